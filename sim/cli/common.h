/* What several subcommands do alike: open a model, a machine, a run in the store. */
#ifndef CLSA_CLI_COMMON_H
#define CLSA_CLI_COMMON_H

#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "reports/print.h"
#include "sim/cli/cli.h"
#include "sim/model/geometry.h"
#include "sim/model/plan.h"
#include "sim/replay/closed.h"
#include "sim/store/store.h"

/* A model named on the command line. */
struct clsa_model_ref {
    char *config;  /* path of its config.json */
    char *weights; /* path of its .safetensors, or NULL */
    char *json;    /* text of the config, for the store */
    struct clsa_geometry geometry;
};

/* --model, or `fallback` when not given (NULL: the option is needed). */
int clsa_open_model(const struct clsa_args *args, const char *fallback, struct clsa_model_ref *out,
                    struct clsa_err *err);
int clsa_open_model_named(const char *name, struct clsa_model_ref *out, struct clsa_err *err);
void clsa_close_model(struct clsa_model_ref *model);

/* One machine with the implementation it runs. */
struct clsa_target {
    struct clsa_machine machine;
    struct clsa_implementation impl;
    char *name; /* with overrides: "h100-sxm l2.size=128MiB" */
    char *overrides;
    int64_t machine_id, implementation_id; /* after clsa_store_target */
};

/* --machine (or `fallback`), --implementation and --set. An override whose key starts with an op name or
 * "*" goes to the implementation, any other to the machine. Without --implementation
 * the machine's own is taken (clsa_machine_implementation). */
int clsa_open_targets(const struct clsa_args *args, const char *fallback,
                      struct clsa_target **out, size_t *count, struct clsa_err *err);
/* The same with another implementation to take when --implementation is not given. */
int clsa_open_targets_with(const struct clsa_args *args, const char *fallback, const char *impl,
                           struct clsa_target **out, size_t *count, struct clsa_err *err);
/* One machine by name or file; `impl` NULL: as --implementation's default. */
int clsa_open_target(const char *machine, const char *impl, struct clsa_target *out,
                     struct clsa_err *err);
/* Takes zeroed structs. */
void clsa_close_target(struct clsa_target *target);
void clsa_close_targets(struct clsa_target *targets, size_t count);

/* Begins a run in the store named by --db, or in memory when it was not given. `seed` may be
 * CLSA_NULL. */
int clsa_begin_run(const struct clsa_args *args, int64_t seed, struct clsa_store **out,
                   struct clsa_err *err);
int clsa_store_model(struct clsa_store *store, const struct clsa_model_ref *model, int64_t *id,
                     struct clsa_err *err);
int clsa_store_target(struct clsa_store *store, struct clsa_target *target, struct clsa_err *err);

/* A prediction of a step as rows of the store: the step, and its ops summed by name. */
int clsa_store_prediction(struct clsa_store *store, const struct clsa_target *target,
                          const char *method, const struct clsa_point *point,
                          const struct clsa_step *step, const struct clsa_prediction *prediction,
                          struct clsa_err *err);

/* Prints the rows of a named query about this run (:run) in --format. */
int clsa_print_run(const struct clsa_args *args, struct clsa_store *store, const char *query,
                   struct clsa_err *err);
/* --format as an enum clsa_format. */
int clsa_arg_format(const struct clsa_args *args, int *format, struct clsa_err *err);

/* Groups from --group or all divisors that the model's cross layers have, dense first: 0,1,2,...,n. */
int clsa_open_groups(const struct clsa_args *args, const struct clsa_geometry *geometry,
                     uint64_t **groups, size_t *count, struct clsa_err *err);

#endif
