/* What the makers of cases share (validate_rows.c, validate_dsa.c, validate_cpu.c); private to sim/replay. */
#ifndef CLSA_REPLAY_VALIDATE_CASE_H
#define CLSA_REPLAY_VALIDATE_CASE_H

#include "sim/model/plan.h"
#include "sim/replay/validate_table.h"

#define CLSA_CASE_QUERIES_MOST ((uint64_t)1 << 24)

/* Behind clsa_table_case.memory; released by clsa_table_case_destroy. */
struct clsa_case {
    struct clsa_op op;
    struct clsa_tensor tensors[CLSA_OP_OPERANDS];
    struct clsa_step planned; /* of a plan, to be destroyed; ops NULL otherwise */
    uint64_t *past;
    struct clsa_query *queries;
};

/* An unsigned cell of a named column: at least `least`; `fallback` where an optional one is empty. */
int clsa_case_cell(const struct clsa_csv *csv, size_t row, const char *name, bool required,
                   uint64_t least, uint64_t fallback, uint64_t *out, struct clsa_err *err);
/* A cell's text, "" without such a column. */
const char *clsa_case_word(const struct clsa_csv *csv, size_t row, const char *name);
int clsa_case_dtype(const struct clsa_csv *csv, size_t row, const char *name, unsigned fallback,
                    unsigned *out, struct clsa_err *err);

/* dsa_layer_decode and dsa_layer_prefill, as clsa_table_case. */
int clsa_case_dsa_layer_decode(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                               struct clsa_err *err);
int clsa_case_dsa_layer_prefill(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                                struct clsa_err *err);

/* A decode step of a model that clsa_model_find knows, at `context` keys, as the request says once `adjust` has
 * changed it. */
int clsa_case_decode_step(const char *model, uint64_t batch, uint64_t context, uint64_t group,
                          void (*adjust)(struct clsa_plan_request *request, const void *user),
                          const void *user, struct clsa_table_case *c, struct clsa_err *err);
/* cpu_ops, as clsa_table_case. */
int clsa_case_cpu_op(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                     struct clsa_err *err);

#endif
