/* Measured runs as rows of the store, with a prediction for the same step beside them. */
#ifndef CLSA_CLI_MEASURED_H
#define CLSA_CLI_MEASURED_H

#include "hwmodels/cpu.h"
#include "sim/cli/common.h"
#include "sim/cli/runner.h"

struct clsa_measured_run {
    const struct clsa_model_ref *ref;
    const struct clsa_engine_options *engine; /* as it ran: group, top-k, dtypes, sharing */
    const struct clsa_prompt *prompt;
    const struct clsa_generation *generation;
    uint32_t threads; /* 0: all */
    const char *machine; /* NULL: --predict's machine, else the host's name */
    struct clsa_probe found; /* how the host was; flops 0: not looked at */
};

/* Adds model, measurements (step and ops) and, where --predict names a machine, its prediction. The
 * step measured stands for the middle of the decode: context = prompt + steps / 2 keys. */
int clsa_measured_store(const struct clsa_args *args, struct clsa_store *store,
                        const struct clsa_measured_run *run, struct clsa_err *err);

/* The same with a target that is open already (NULL: none) instead of --predict. */
int clsa_measured_add(struct clsa_store *store, const struct clsa_measured_run *run,
                      struct clsa_target *target, struct clsa_err *err);

/* --kernels as a table of kernels; NULL (the engine's choice) when it was not given. */
int clsa_kernels_choose(const struct clsa_args *args, const struct clsa_kernels **out,
                        struct clsa_err *err);
/* Sets the number of worker threads from --threads, if it was given. */
int clsa_threads_choose(const struct clsa_args *args, struct clsa_err *err);

#endif
