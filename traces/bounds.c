#include "traces/bounds.h"

#include <inttypes.h>
#include <string.h>

static int check_tensors(const struct clsa_step *step, struct clsa_err *err)
{
    for (uint32_t i = 0; i < step->n_tensors; i++) {
        const struct clsa_tensor *t = &step->tensors[i];
        if (t->kind >= CLSA_TENSOR_KINDS || t->dtype >= CLSA_DTYPE_COUNT || t->layer < -1)
            return clsa_fail(err, CLSA_ERANGE, "tensor %" PRIu32 ": unknown kind, dtype or layer",
                             i);
        if (t->address > CLSA_TRACE_BYTES_MAX || t->bytes > CLSA_TRACE_BYTES_MAX - t->address)
            return clsa_fail(err, CLSA_ERANGE, "tensor %" PRIu32 " ends beyond 2^62 bytes", i);
    }
    return 0;
}

static int check_op(const struct clsa_step *step, const struct clsa_op *op, const char **what)
{
    const uint64_t extent = CLSA_TRACE_EXTENT_MAX, bytes = CLSA_TRACE_BYTES_MAX;
    *what = "unknown kind, role or dtype";
    if (op->kind >= CLSA_OP_KINDS || op->role >= CLSA_ROLES ||
        op->weight_dtype >= CLSA_DTYPE_COUNT || op->input_dtype >= CLSA_DTYPE_COUNT ||
        op->over_queries > 1 || op->layer < -1)
        return CLSA_ERANGE;
    *what = "names an index set that the step does not have";
    if (op->set < -1 || (op->set >= 0 && (uint32_t)op->set >= step->n_sets))
        return CLSA_ERANGE;
    *what = "a size beyond the largest allowed";
    if (op->m > extent || op->n > extent || op->k > extent || op->window > extent ||
        op->topk > extent || op->heads > CLSA_TRACE_HEADS_MAX ||
        op->kv_heads > CLSA_TRACE_HEADS_MAX || op->head_dim > CLSA_TRACE_HEADS_MAX ||
        op->value_dim > CLSA_TRACE_HEADS_MAX || op->flops > bytes || op->read_bytes > bytes ||
        op->write_bytes > bytes)
        return CLSA_ERANGE;
    *what = "too many operands";
    if (op->n_operands > CLSA_OP_OPERANDS)
        return CLSA_ERANGE;
    *what = "an operand without tensor, with an unknown access or axis, or beyond 2^62 bytes";
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        if (o->tensor >= step->n_tensors || o->access > CLSA_WRITE || o->axis >= CLSA_AXES ||
            o->offset > bytes || o->row_bytes > bytes || o->row_stride > bytes ||
            o->seq_stride > bytes || o->head_stride > bytes || o->ring_rows > extent)
            return CLSA_ERANGE;
    }
    return 0;
}

static int check_sets(const struct clsa_trace_step *trace, struct clsa_err *err)
{
    const struct clsa_step *step = &trace->step;
    for (size_t i = 0; i < trace->n_index_sets; i++) {
        const struct clsa_index_set *s = &trace->index_sets[i];
        if (s->set >= step->n_sets || s->query >= step->n_queries)
            return clsa_fail(err, CLSA_ERANGE,
                             "index set %zu: group %" PRIu32 " or query %" PRIu32
                             " is not of this step",
                             i, s->set, s->query);
        if (i && (s[-1].set > s->set || (s[-1].set == s->set && s[-1].query >= s->query)))
            return clsa_fail(err, CLSA_ERANGE, "index set %zu does not ascend by group and query",
                             i);
        if (s->count == 0)
            return clsa_fail(err, CLSA_ERANGE, "index set %zu is empty", i);
        for (uint32_t j = 1; j < s->count; j++)
            if (s->positions[j] <= s->positions[j - 1])
                return clsa_fail(err, CLSA_ERANGE, "index set %zu: positions do not ascend", i);
        if (s->positions[s->count - 1] >= step->queries[s->query].keys)
            return clsa_fail(err, CLSA_ERANGE,
                             "index set %zu: position %" PRIu32 " is not below the %" PRIu64
                             " keys that query %" PRIu32 " sees",
                             i, s->positions[s->count - 1], step->queries[s->query].keys, s->query);
    }
    return 0;
}

int clsa_trace_bounds(const struct clsa_trace_step *trace, struct clsa_err *err)
{
    const struct clsa_step *step = &trace->step;
    char name[64];
    const char *what;
    int status;

    if (step->phase > CLSA_DECODE || step->per_layer_kv > 1)
        return clsa_fail(err, CLSA_ERANGE, "unknown phase or K/V sharing");
    if (step->n_sets > CLSA_TRACE_SETS_MAX)
        return clsa_fail(err, CLSA_ERANGE, "more than %" PRIu32 " selections a query",
                         CLSA_TRACE_SETS_MAX);
    if (step->n_seqs == 0 || step->new_tokens == 0 || step->new_tokens > CLSA_TRACE_KEYS_MAX ||
        step->new_tokens * step->n_seqs > CLSA_TRACE_KEYS_MAX)
        return clsa_fail(err, CLSA_ERANGE, "sequences x new tokens must be 1 .. 2^32");
    for (uint32_t s = 0; s < step->n_seqs; s++)
        if (step->past[s] > CLSA_TRACE_KEYS_MAX - step->new_tokens)
            return clsa_fail(err, CLSA_ERANGE, "sequence %" PRIu32 " is longer than 2^32 tokens",
                             s);
    for (uint32_t q = 0; q < step->n_queries; q++) {
        const struct clsa_query *query = &step->queries[q];
        if (query->seq >= step->n_seqs || query->keys == 0 ||
            query->keys > step->past[query->seq] + step->new_tokens)
            return clsa_fail(err, CLSA_ERANGE,
                             "query %" PRIu32 ": no such sequence, or keys that it does not have",
                             q);
    }
    status = check_tensors(step, err);
    if (status)
        return status;
    for (size_t i = 0; i < step->n_ops; i++)
        if (check_op(step, &step->ops[i], &what) != 0)
            return clsa_fail(err, CLSA_ERANGE, "op %zu (%s): %s", i,
                             clsa_op_name(&step->ops[i], name, sizeof name), what);
    return check_sets(trace, err);
}

const struct clsa_index_set *clsa_trace_find_set(const struct clsa_trace_step *trace,
                                                 uint32_t query, uint32_t set)
{
    size_t lo = 0, hi = trace->n_index_sets;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const struct clsa_index_set *s = &trace->index_sets[mid];
        if (s->set < set || (s->set == set && s->query < query))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < trace->n_index_sets && trace->index_sets[lo].set == set &&
        trace->index_sets[lo].query == query)
        return &trace->index_sets[lo];
    return NULL;
}

const char *clsa_trace_provenance(const struct clsa_trace_header *header, const char *key)
{
    for (size_t i = 0; i < header->n_provenance; i++)
        if (strcmp(header->provenance[i].key, key) == 0)
            return header->provenance[i].value;
    return NULL;
}
