#include "traces/compare.h"

#include <inttypes.h>
#include <string.h>

#include "traces/encode.h"

static bool same_bytes(const struct clsa_buffer *a, const struct clsa_buffer *b)
{
    return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

static uint64_t apart(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

int clsa_trace_compare_steps(const struct clsa_trace_step *a, const struct clsa_trace_step *b,
                             struct clsa_trace_difference *d, struct clsa_err *err)
{
    struct clsa_buffer x = {0}, y = {0};
    int status = 0;

    clsa_encode_tensors(&x, &a->step);
    clsa_encode_tensors(&y, &b->step);
    d->tensors += !same_bytes(&x, &y);
    x.bytes = y.bytes = 0;
    clsa_encode_step(&x, a);
    clsa_encode_step(&y, b);
    d->heads += !same_bytes(&x, &y);
    for (size_t i = 0; i < a->step.n_ops && i < b->step.n_ops; i++) {
        x.bytes = y.bytes = 0;
        clsa_encode_op(&x, &a->step.ops[i]);
        clsa_encode_op(&y, &b->step.ops[i]);
        d->ops += !same_bytes(&x, &y);
    }
    d->ops += apart(a->step.n_ops, b->step.n_ops);
    for (size_t i = 0; i < a->n_index_sets && i < b->n_index_sets; i++) {
        x.bytes = y.bytes = 0;
        clsa_encode_set(&x, &a->index_sets[i]);
        clsa_encode_set(&y, &b->index_sets[i]);
        d->index_sets += !same_bytes(&x, &y);
    }
    d->index_sets += apart(a->n_index_sets, b->n_index_sets);
    if (x.failed || y.failed)
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory to compare steps");
    clsa_buffer_destroy(&x);
    clsa_buffer_destroy(&y);
    return status;
}

static uint64_t compare_provenance(const struct clsa_trace_header *a,
                                   const struct clsa_trace_header *b)
{
    uint64_t differing = 0;
    for (size_t i = 0; i < a->n_provenance; i++) {
        const char *other = clsa_trace_provenance(b, a->provenance[i].key);
        differing += !other || strcmp(other, a->provenance[i].value) != 0;
    }
    for (size_t i = 0; i < b->n_provenance; i++)
        differing += !clsa_trace_provenance(a, b->provenance[i].key);
    return differing;
}

static int walk(struct clsa_trace_reader *a, struct clsa_trace_reader *b,
                struct clsa_trace_difference *d, struct clsa_err *err)
{
    for (;;) {
        const struct clsa_trace_step *x, *y;
        const int more_a = clsa_trace_next(a, &x, err);
        if (more_a < 0)
            return more_a;
        const int more_b = clsa_trace_next(b, &y, err);
        if (more_b < 0)
            return more_b;
        if (!more_a && !more_b)
            return 0;
        if (more_a && more_b) {
            const int status = clsa_trace_compare_steps(x, y, d, err);
            if (status)
                return status;
        } else {
            d->steps++;
        }
    }
}

int clsa_trace_compare(const char *path_a, const char *path_b, FILE *out,
                       struct clsa_trace_difference *difference, struct clsa_err *err)
{
    struct clsa_trace_reader *a = NULL, *b = NULL;
    struct clsa_trace_difference d = {0};
    int status = clsa_trace_open(path_a, 0, &a, err);
    if (!status)
        status = clsa_trace_open(path_b, 0, &b, err);
    if (!status) {
        d.provenance = compare_provenance(clsa_trace_header(a), clsa_trace_header(b));
        status = walk(a, b, &d, err);
    }
    clsa_trace_close(a);
    clsa_trace_close(b);
    if (status)
        return status;
    *difference = d;
    if (out)
        fprintf(out,
                "provenance %" PRIu64 "\nsteps %" PRIu64 "\ntensors %" PRIu64 "\nheads %" PRIu64
                "\nops %" PRIu64 "\nindex_sets %" PRIu64 "\n",
                d.provenance, d.steps, d.tensors, d.heads, d.ops, d.index_sets);
    if (d.provenance || d.steps || d.tensors || d.heads || d.ops || d.index_sets)
        return clsa_fail(err, CLSA_EMISMATCH, "%s and %s differ", path_a, path_b);
    return 0;
}
