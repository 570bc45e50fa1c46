#include "sim/model/plan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/model/plan_build.h"

#define ADDRESS_ALIGN_BYTES 256u
/* First tensor; 0 is left free so that an address of 0 is always a mistake. */
#define ADDRESS_FIRST (UINT64_C(1) << 21)
#define SIZE_MAX_BYTES (UINT64_C(1) << 62)

void clsa_plan_fail(struct clsa_plan_builder *b, int status, const char *format, ...)
{
    char text[256];
    va_list args;

    if (b->status)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    b->status = clsa_fail(b->err, status, "%s: %s", b->g->name, text);
}

uint64_t clsa_plan_mul(struct clsa_plan_builder *b, uint64_t x, uint64_t y)
{
    uint64_t product;

    if (clsa_mul_u64(x, y, &product) && product <= SIZE_MAX_BYTES)
        return product;
    clsa_plan_fail(b, CLSA_ERANGE, "a size of the step is beyond 2^62");
    return 0;
}

void clsa_plan_reserve(struct clsa_plan_builder *b, uint64_t bytes)
{
    const uint64_t mask = ADDRESS_ALIGN_BYTES - 1;

    if (b->status)
        return;
    if (bytes > SIZE_MAX_BYTES || b->cursor > SIZE_MAX_BYTES - bytes) {
        clsa_plan_fail(b, CLSA_ERANGE, "the tensors of the step need more than 2^62 bytes");
        return;
    }
    b->cursor = (b->cursor + bytes + mask) & ~mask;
}

uint32_t clsa_plan_tensor(struct clsa_plan_builder *b, enum clsa_tensor_kind kind, unsigned dtype,
                          int32_t layer, uint64_t elements, const char *format, ...)
{
    struct clsa_tensor *t;
    va_list args;

    clsa_plan_mul(b, elements, clsa_dtype_bits(dtype));
    if (b->status)
        return 0;
    if (b->n_tensors == b->tensor_room) {
        const uint32_t room = b->tensor_room ? 2 * b->tensor_room : 64;
        t = clsa_realloc(b->tensors, room, sizeof *t);
        if (!t) {
            clsa_plan_fail(b, CLSA_ENOMEM, "out of memory for the plan");
            return 0;
        }
        b->tensors = t;
        b->tensor_room = room;
    }
    t = &b->tensors[b->n_tensors];
    memset(t, 0, sizeof *t);
    va_start(args, format);
    vsnprintf(t->name, sizeof t->name, format, args);
    va_end(args);
    t->kind = (uint8_t)kind;
    t->dtype = (uint8_t)dtype;
    t->layer = layer;
    t->address = b->cursor;
    t->bytes = clsa_dtype_bytes(dtype, elements);
    clsa_plan_reserve(b, t->bytes);
    return b->n_tensors++;
}

struct clsa_op *clsa_plan_op(struct clsa_plan_builder *b, enum clsa_op_kind kind,
                             enum clsa_role role, int32_t layer)
{
    static _Thread_local struct clsa_op dummy;
    struct clsa_op *op = &dummy;

    if (!b->status && b->n_ops == b->op_room) {
        const size_t room = b->op_room ? 2 * b->op_room : 256;
        struct clsa_op *ops = clsa_realloc(b->ops, room, sizeof *ops);
        if (ops) {
            b->ops = ops;
            b->op_room = room;
        } else {
            clsa_plan_fail(b, CLSA_ENOMEM, "out of memory for the plan");
        }
    }
    if (!b->status)
        op = &b->ops[b->n_ops++];
    memset(op, 0, sizeof *op);
    op->kind = (uint16_t)kind;
    op->role = (uint16_t)role;
    op->layer = layer;
    op->set = -1;
    return op;
}

struct clsa_operand *clsa_plan_operand(struct clsa_op *op, uint32_t tensor, enum clsa_access access,
                                       enum clsa_axis axis, uint64_t offset, uint64_t row_bytes,
                                       uint64_t row_stride)
{
    struct clsa_operand *o;

    assert(op->n_operands < CLSA_OP_OPERANDS);
    o = &op->operands[op->n_operands++];
    o->tensor = tensor;
    o->access = (uint8_t)access;
    o->axis = (uint8_t)axis;
    o->offset = offset;
    o->row_bytes = row_bytes;
    o->row_stride = row_stride;
    return o;
}

void clsa_plan_count_bytes(struct clsa_plan_builder *b, const struct clsa_step *step)
{
    for (size_t i = 0; i < b->n_ops && !b->status; i++) {
        struct clsa_op *op = &b->ops[i];
        op->read_bytes = op->write_bytes = 0;
        for (uint32_t j = 0; j < op->n_operands; j++) {
            const struct clsa_operand *o = &op->operands[j];
            uint64_t bytes = clsa_plan_mul(b, clsa_operand_rows(step, op, o), o->row_bytes);
            if (o->head_stride)
                bytes = clsa_plan_mul(b, bytes, op->kv_heads ? op->kv_heads : 1);
            if (o->access == CLSA_READ)
                op->read_bytes += bytes;
            else
                op->write_bytes += bytes;
        }
    }
}

void clsa_plan_decode(const struct clsa_geometry *g, uint32_t n_seqs, uint64_t context,
                      uint32_t group, uint64_t *past, struct clsa_plan_request *out)
{
    assert(context > 0);
    memset(out, 0, sizeof *out);
    for (uint32_t s = 0; s < n_seqs; s++)
        past[s] = context - 1;
    out->phase = CLSA_DECODE;
    out->n_seqs = n_seqs;
    out->new_tokens = 1;
    out->past = past;
    out->group = group;
    out->top_k = g->index_topk;
    out->per_layer_kv = g->per_layer_kv;
    out->kv_dtype = g->kv_dtype;
    out->index_dtype = g->index_dtype;
    /* Activations of a quantised checkpoint stay bfloat16 between ops. */
    out->activation_dtype = clsa_dtype_bits(g->weight_dtype) < 16 ? CLSA_BF16 : g->weight_dtype;
}

/* Copies past and queries, resolves defaults and checks that they make sense together. */
static void resolve(struct clsa_plan_builder *b)
{
    const struct clsa_plan_request *r = b->request;
    uint64_t most = 0;

    if (!r->n_seqs || !r->new_tokens || !r->past) {
        clsa_plan_fail(b, CLSA_EUSAGE, "a step needs at least one sequence and one new token");
        return;
    }
    if (r->phase == CLSA_DECODE && r->new_tokens != 1) {
        clsa_plan_fail(b, CLSA_EUSAGE, "decode takes one new token a sequence");
        return;
    }
    b->rows = clsa_plan_mul(b, r->n_seqs, r->new_tokens);
    b->top_k = r->top_k ? r->top_k : b->g->index_topk;
    b->ranks = r->tensor_parallel ? r->tensor_parallel : 1;
    b->cache_seqs = r->cache_seqs ? r->cache_seqs : r->n_seqs;
    if (r->first_seq > b->cache_seqs || r->n_seqs > b->cache_seqs - r->first_seq) {
        clsa_plan_fail(b, CLSA_EUSAGE, "sequences %u to %u of %u", r->first_seq,
                       r->first_seq + r->n_seqs - 1, b->cache_seqs);
        return;
    }
    b->n_queries = r->queries ? r->n_queries : r->n_seqs;
    b->past = clsa_malloc(r->n_seqs, sizeof *b->past);
    b->queries = clsa_malloc(b->n_queries, sizeof *b->queries);
    if (!b->past || !b->queries) {
        clsa_plan_fail(b, CLSA_ENOMEM, "out of memory for the plan");
        return;
    }
    for (uint32_t s = 0; s < r->n_seqs; s++) {
        uint64_t end;
        if (!clsa_add_u64(r->past[s], r->new_tokens, &end) || end > SIZE_MAX_BYTES) {
            clsa_plan_fail(b, CLSA_ERANGE, "the context of sequence %u is beyond 2^62", s);
            return;
        }
        b->past[s] = r->past[s];
        most = end > most ? end : most;
    }
    b->capacity = r->capacity ? r->capacity : most;
    if (most > b->capacity) {
        clsa_plan_fail(b, CLSA_ERANGE, "a context of %llu tokens exceeds the capacity of %llu",
                       (unsigned long long)most, (unsigned long long)b->capacity);
        return;
    }
    for (uint32_t q = 0; q < b->n_queries; q++) {
        if (r->queries) {
            const struct clsa_query query = r->queries[q];
            if (query.seq >= r->n_seqs || query.keys <= r->past[query.seq] ||
                query.keys > r->past[query.seq] + r->new_tokens) {
                clsa_plan_fail(b, CLSA_EUSAGE, "query %u is not one of the step's new tokens", q);
                return;
            }
            b->queries[q] = query;
        } else {
            b->queries[q].seq = q;
            b->queries[q].keys = r->past[q] + r->new_tokens;
        }
        if (b->queries[q].keys > b->most_keys)
            b->most_keys = b->queries[q].keys;
    }
    if (r->phase == CLSA_DECODE && b->n_queries != r->n_seqs)
        clsa_plan_fail(b, CLSA_EUSAGE, "decode has one query a sequence");
}

/* Flops are sums of products that traffic.h leaves to us to check: more than 2^62 of them, by an
 * estimate from above, are refused. */
static void check_flops(struct clsa_plan_builder *b)
{
    const struct clsa_geometry *g = b->g;
    const double layers = (double)g->self_layers + g->cross_layers;
    const double keys = (double)b->capacity;
    const double wide = ((double)g->hidden + g->ffn + (double)g->moe_ffn * (g->experts_per_token + 1)) *
                            ((double)g->hidden + 4.0 * g->heads * (g->head_dim + g->kv_lora + 1.0)) +
                        (double)g->hidden * g->vocab;
    const double attention =
        keys * ((double)g->heads * 4 * (g->head_dim + g->kv_lora + g->qk_rope + 8.0) +
                (double)g->index_heads * 4 * (g->index_dim + 2.0));

    if ((double)b->rows * (layers + 1) * (4 * wide + attention) > 0x1p62)
        clsa_plan_fail(b, CLSA_ERANGE, "the step takes more than 2^62 operations");
}

int clsa_plan_build(const struct clsa_geometry *g, const struct clsa_plan_request *request,
                    struct clsa_step *out, struct clsa_err *err)
{
    struct clsa_plan_builder b = {.g = g, .request = request, .cursor = ADDRESS_FIRST, .err = err};
    struct clsa_step step = {0};

    resolve(&b);
    if (!b.status)
        check_flops(&b);
    if (!b.status) {
        if (g->family == CLSA_FAMILY_CLSA)
            clsa_plan_build_clsa(&b);
        else
            clsa_plan_build_dsa(&b);
    }
    if (b.status)
        goto fail;
    step.phase = (uint8_t)request->phase;
    step.per_layer_kv = request->per_layer_kv;
    step.group = request->group;
    step.top_k = b.top_k;
    step.n_seqs = request->n_seqs;
    step.new_tokens = request->new_tokens;
    step.past = b.past;
    step.n_queries = b.n_queries;
    step.queries = b.queries;
    step.n_sets = b.n_sets;
    step.n_tensors = b.n_tensors;
    step.tensors = b.tensors;
    step.n_ops = b.n_ops;
    step.ops = b.ops;
    clsa_plan_count_bytes(&b, &step);
    if (b.status)
        goto fail;
    *out = step;
    return 0;
fail:
    free(b.past);
    free(b.queries);
    free(b.tensors);
    free(b.ops);
    return b.status;
}

void clsa_plan_destroy(struct clsa_step *plan)
{
    if (!plan)
        return;
    free((void *)(uintptr_t)plan->past);
    free((void *)(uintptr_t)plan->queries);
    free((void *)(uintptr_t)plan->tensors);
    free((void *)(uintptr_t)plan->ops);
    memset(plan, 0, sizeof *plan);
}
