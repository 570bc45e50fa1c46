/* Decode steps that `clsa run` timed on a CPU, whole and op by op, as steps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/replay/validate_case.h"

/* Ops below this part of their step are no targets: their times are mostly those of reading the clock. */
#define SHARE_LEAST_PERCENT 2

int clsa_case_decode_step(const char *model, uint64_t batch, uint64_t context, uint64_t group,
                          void (*adjust)(struct clsa_plan_request *request, const void *user),
                          const void *user, struct clsa_table_case *c, struct clsa_err *err)
{
    char *config = NULL, *weights = NULL;
    struct clsa_geometry g;
    struct clsa_case *one = clsa_calloc(1, sizeof *one);
    c->memory = one;
    if (one)
        one->past = clsa_calloc((size_t)batch, sizeof *one->past);
    if (!one || !one->past)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    int status = clsa_model_find(model, &config, &weights, err);
    if (!status)
        status = clsa_geometry_read(config, &g, err);
    free(config);
    free(weights);
    if (status)
        return status;
    struct clsa_plan_request request;
    clsa_plan_decode(&g, (uint32_t)batch, context, (uint32_t)group, one->past, &request);
    adjust(&request, user);
    status = clsa_plan_build(&g, &request, &one->planned, err);
    if (status) {
        memset(&one->planned, 0, sizeof one->planned);
        return status;
    }
    c->step = one->planned;
    return 0;
}

/* What the engine does unless told otherwise, with caches of one dtype. */
static void as_engine(struct clsa_plan_request *request, const void *kv_dtype)
{
    const unsigned *dtype = kv_dtype;
    request->kv_dtype = request->index_dtype = (uint8_t)*dtype;
    request->activation_dtype = CLSA_F32;
}

static int find_op(const struct clsa_csv *csv, size_t row, const char *name, struct clsa_table_case *c,
                   struct clsa_err *err)
{
    char buffer[64];
    for (size_t i = 0; i < c->step.n_ops; i++) {
        const struct clsa_op *op = &c->step.ops[i];
        if (strcmp(clsa_op_name(op, buffer, sizeof buffer), name) == 0) {
            c->only = (int)((unsigned)op->kind << 8 | op->role);
            c->all_calls = true;
            return 0;
        }
    }
    return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: the step has no op '%s'", csv->path, csv->lines[row],
                     name);
}

/* The columns that looks at the host left, if there are any. */
static int read_probe(const struct clsa_csv *csv, size_t row, struct clsa_probe *probe, struct clsa_err *err)
{
    for (int i = 0; i < CLSA_PROBE_FIGURES; i++) {
        char name[64];
        double value = 0;
        snprintf(name, sizeof name, "probe_%s", clsa_probe_figures[i].name);
        const int at = clsa_csv_column(csv, name);
        const int status = at < 0 ? 0 : clsa_csv_f64(csv, row, at, &value, err);
        if (status)
            return status;
        /* Looks always find arithmetic and memory. */
        if (at >= 0 && (value < 0 || (i < 2 && value <= 0)))
            return clsa_fail(err, CLSA_ERANGE, "%s:%zu: '%s' is not above 0", csv->path, csv->lines[row], name);
        clsa_probe_set(probe, i, value);
    }
    return 0;
}

int clsa_case_cpu_op(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                     struct clsa_err *err)
{
    const char *model = clsa_case_word(csv, row, "model"), *op = clsa_case_word(csv, row, "op");
    uint64_t threads, batch, context, group;
    unsigned dtype;
    int status = clsa_case_cell(csv, row, "threads", true, 1, 0, &threads, err);
    if (!status)
        status = clsa_case_cell(csv, row, "batch", false, 1, 1, &batch, err);
    if (!status)
        status = clsa_case_cell(csv, row, "context", true, 1, 0, &context, err);
    if (!status)
        status = clsa_case_cell(csv, row, "group", true, 0, 0, &group, err);
    if (!status)
        status = clsa_case_dtype(csv, row, "kv_dtype", CLSA_F32, &dtype, err);
    if (!status && (threads > 4096 || batch > 65536 || group > CLSA_LAYERS_MAX))
        status = clsa_fail(err, CLSA_ERANGE, "%s:%zu: out of range", csv->path, csv->lines[row]);
    if (!status)
        status = clsa_case_decode_step(model, batch, context, group, as_engine, &dtype, c, err);
    if (status)
        return status;
    c->threads = (uint32_t)threads;
    status = read_probe(csv, row, &c->found, err);
    if (status)
        return status;
    snprintf(c->group, sizeof c->group, "%s", op);
    if (strcmp(op, "(step)") == 0)
        return 0;
    const char *share = clsa_case_word(csv, row, "share_percent");
    c->target = !*share || strtod(share, NULL) > SHARE_LEAST_PERCENT;
    return find_op(csv, row, op, c, err);
}
