#include "tests/unit/mock_step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/rng.h"
#include "traces/writer.h"

enum { WEIGHT, NORM, KV, KEYS, X, H, Q, SCORES, SELECTED, ATTN };

#define HIDDEN 64u
#define HEADS 4u
#define KV_HEADS 2u
#define HEAD_DIM 16u
#define CAPACITY 4096u
#define KV_ROW (2u * KV_HEADS * HEAD_DIM * 2u) /* bf16 */

static void tensor(struct mock_step *m, uint32_t i, const char *name, uint8_t kind, uint8_t dtype,
                   uint64_t bytes)
{
    struct clsa_tensor *t = &m->tensors[i];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->kind = kind;
    t->dtype = dtype;
    t->layer = i < KV ? 0 : -1;
    t->bytes = bytes;
    t->address = i == 0 ? 4096 : m->tensors[i - 1].address + m->tensors[i - 1].bytes;
    t->address = (t->address + 255) / 256 * 256;
}

static struct clsa_op *op(struct mock_step *m, uint16_t kind, uint16_t role, uint64_t n, uint64_t k)
{
    struct clsa_op *o = &m->ops[m->trace.step.n_ops++];
    o->kind = kind;
    o->role = role;
    o->weight_dtype = o->input_dtype = CLSA_BF16;
    o->over_queries = 1;
    o->layer = 0;
    o->set = -1;
    o->m = m->trace.step.n_queries;
    o->n = n;
    o->k = k;
    return o;
}

static struct clsa_operand *operand(struct clsa_op *o, uint32_t t, uint8_t access, uint8_t axis,
                                    uint64_t row)
{
    struct clsa_operand *x = &o->operands[o->n_operands++];
    x->tensor = t;
    x->access = access;
    x->axis = axis;
    x->row_bytes = x->row_stride = row;
    return x;
}

void mock_step_count_bytes(struct mock_step *m)
{
    for (size_t i = 0; i < m->trace.step.n_ops; i++) {
        struct clsa_op *o = &m->ops[i];
        o->read_bytes = o->write_bytes = 0;
        for (uint32_t j = 0; j < o->n_operands; j++) {
            const struct clsa_operand *x = &o->operands[j];
            const uint64_t bytes = clsa_operand_rows(&m->trace.step, o, x) * x->row_bytes *
                                   (x->head_stride ? o->kv_heads : 1);
            *(x->access == CLSA_READ ? &o->read_bytes : &o->write_bytes) += bytes;
        }
    }
}

static void append(struct mock_step *m)
{
    struct clsa_op *o = op(m, CLSA_OP_KV_APPEND, CLSA_ROLE_KV, HIDDEN, 0);
    o->over_queries = 0;
    operand(o, X, CLSA_READ, CLSA_AXIS_M, HIDDEN * 2);
    operand(o, KV, CLSA_WRITE, CLSA_AXIS_NEW, KV_ROW)->seq_stride = CAPACITY * KV_ROW;
}

static void attend(struct mock_step *m, int32_t set)
{
    struct clsa_op *o =
        op(m, set < 0 ? CLSA_OP_ATTN_DENSE : CLSA_OP_ATTN_SPARSE, CLSA_ROLE_NONE, HIDDEN, HIDDEN);
    uint64_t pairs = 0;
    o->heads = HEADS;
    o->kv_heads = KV_HEADS;
    o->head_dim = o->value_dim = HEAD_DIM;
    o->set = set;
    o->topk = set < 0 ? 0 : MOCK_TOPK;
    operand(o, Q, CLSA_READ, CLSA_AXIS_M, HIDDEN * 2);
    for (unsigned v = 0; v < 2; v++) {
        struct clsa_operand *kv =
            operand(o, KV, CLSA_READ, set < 0 ? CLSA_AXIS_KEYS : CLSA_AXIS_SELECTED, HEAD_DIM * 2);
        kv->offset = v * KV_ROW / 2;
        kv->row_stride = KV_ROW;
        kv->seq_stride = CAPACITY * KV_ROW;
        kv->head_stride = HEAD_DIM * 2;
    }
    operand(o, ATTN, CLSA_WRITE, CLSA_AXIS_M, HIDDEN * 2);
    for (uint32_t q = 0; q < m->trace.step.n_queries; q++)
        pairs += set >= 0 && m->queries[q].keys > MOCK_TOPK ? MOCK_TOPK : m->queries[q].keys;
    o->flops = pairs * HEADS * (4 * HEAD_DIM + 5);
}

static void choose(struct mock_step *m, int32_t set, uint64_t keys)
{
    struct clsa_op *o = op(m, CLSA_OP_INDEX_SCORE, CLSA_ROLE_NONE, keys, 32);
    struct clsa_operand *k;
    o->heads = o->kv_heads = 1;
    o->head_dim = 32;
    o->flops = keys * m->trace.step.n_queries * 64;
    operand(o, Q, CLSA_READ, CLSA_AXIS_M, 64);
    k = operand(o, KEYS, CLSA_READ, CLSA_AXIS_KEYS, 64);
    k->seq_stride = CAPACITY * 64;
    operand(o, SCORES, CLSA_WRITE, CLSA_AXIS_M, keys * 4);
    o = op(m, CLSA_OP_TOPK, CLSA_ROLE_NONE, keys, 0);
    o->set = set;
    o->topk = MOCK_TOPK;
    operand(o, SCORES, CLSA_READ, CLSA_AXIS_M, keys * 4);
    operand(o, SELECTED, CLSA_WRITE, CLSA_AXIS_M, MOCK_TOPK * 4);
}

/* n distinct ascending positions below keys. */
static void draw(uint32_t *out, uint32_t n, uint64_t keys, struct clsa_rng *rng)
{
    uint64_t left = keys;
    for (uint32_t have = 0; have < n; left--)
        if (clsa_rng_below(rng, left) < n - have)
            out[have++] = (uint32_t)(keys - left);
}

void mock_step_make(struct mock_step *m, uint32_t n_seqs, uint64_t keys, uint32_t n_sets,
                    uint64_t seed)
{
    struct clsa_step *s = &m->trace.step;
    struct clsa_rng rng;
    memset(m, 0, sizeof *m);
    clsa_rng_seed(&rng, seed);
    s->phase = CLSA_DECODE;
    s->group = n_sets ? 1 : 0;
    s->top_k = n_sets ? MOCK_TOPK : 0;
    s->n_seqs = s->n_queries = n_seqs;
    s->new_tokens = 1;
    s->n_sets = n_sets;
    for (uint32_t i = 0; i < n_seqs; i++) {
        m->past[i] = keys - 1;
        m->queries[i] = (struct clsa_query){.seq = i, .keys = keys};
    }
    tensor(m, WEIGHT, "layer.0.weight", CLSA_TENSOR_WEIGHT, CLSA_BF16, HIDDEN * HIDDEN * 2);
    tensor(m, NORM, "layer.0.norm", CLSA_TENSOR_WEIGHT, CLSA_BF16, HIDDEN * 2);
    tensor(m, KV, "kv", CLSA_TENSOR_KV, CLSA_BF16, (uint64_t)MOCK_SEQS_MAX * CAPACITY * KV_ROW);
    tensor(m, KEYS, "index_keys", CLSA_TENSOR_INDEX_KEYS, CLSA_BF16,
           (uint64_t)MOCK_SEQS_MAX * CAPACITY * 64);
    tensor(m, X, "x", CLSA_TENSOR_ACTIVATION, CLSA_BF16, MOCK_SEQS_MAX * HIDDEN * 2);
    tensor(m, H, "h", CLSA_TENSOR_ACTIVATION, CLSA_BF16, MOCK_SEQS_MAX * HIDDEN * 2);
    tensor(m, Q, "q", CLSA_TENSOR_ACTIVATION, CLSA_BF16, MOCK_SEQS_MAX * HIDDEN * 2);
    tensor(m, SCORES, "scores", CLSA_TENSOR_ACTIVATION, CLSA_F32, MOCK_SEQS_MAX * CAPACITY * 4);
    tensor(m, SELECTED, "selected", CLSA_TENSOR_ACTIVATION, CLSA_I32,
           MOCK_SEQS_MAX * MOCK_TOPK * 4);
    tensor(m, ATTN, "attn", CLSA_TENSOR_ACTIVATION, CLSA_BF16, MOCK_SEQS_MAX * HIDDEN * 2);
    s->n_tensors = MOCK_TENSORS;

    struct clsa_op *o = op(m, CLSA_OP_NORM, CLSA_ROLE_NONE, HIDDEN, 0);
    o->flops = n_seqs * HIDDEN * 4;
    operand(o, X, CLSA_READ, CLSA_AXIS_M, HIDDEN * 2);
    operand(o, NORM, CLSA_READ, CLSA_AXIS_NONE, HIDDEN * 2);
    operand(o, H, CLSA_WRITE, CLSA_AXIS_M, HIDDEN * 2);
    o = op(m, CLSA_OP_GEMM, CLSA_ROLE_Q, HIDDEN, HIDDEN);
    o->flops = 2 * (uint64_t)n_seqs * HIDDEN * HIDDEN;
    operand(o, H, CLSA_READ, CLSA_AXIS_M, HIDDEN * 2);
    operand(o, WEIGHT, CLSA_READ, CLSA_AXIS_N, HIDDEN * 2);
    operand(o, Q, CLSA_WRITE, CLSA_AXIS_M, HIDDEN * 2);
    append(m);
    for (uint32_t j = 0; j < n_sets; j++) {
        choose(m, (int32_t)j, keys);
        attend(m, (int32_t)j);
    }
    if (n_sets == 0)
        attend(m, -1);
    for (uint32_t j = 0; j < n_sets; j++)
        for (uint32_t q = 0; q < n_seqs; q++) {
            const size_t i = (size_t)j * n_seqs + q;
            const uint32_t count = keys < MOCK_TOPK ? (uint32_t)keys : MOCK_TOPK;
            draw(m->positions[i], count, keys, &rng);
            m->sets[i] = (struct clsa_index_set){
                .query = q, .set = j, .count = count, .positions = m->positions[i]};
        }
    m->trace.n_index_sets = (size_t)n_sets * n_seqs;
    s->past = m->past;
    s->queries = m->queries;
    s->tensors = m->tensors;
    s->ops = m->ops;
    m->trace.index_sets = m->sets;
    mock_step_count_bytes(m);
}

const struct clsa_provenance mock_provenance[4] = {{"tool", "test 1"},
                                                   {"model", "m\xc3\xb6"
                                                             "ck"},
                                                   {"absent", NULL},
                                                   {"seed", "7"}};

void mock_trace_step(struct mock_step *m, uint64_t i)
{
    mock_step_make(m, 1 + (uint32_t)(i % 3), 100 + i, i % 4 == 0 ? 0 : 3, i);
}

int mock_trace_write(const char *path, uint64_t steps, struct clsa_err *err)
{
    struct clsa_trace_writer *w = NULL;
    struct mock_step m;
    int status = clsa_trace_writer_open(path, mock_provenance, 4, &w, err);
    for (uint64_t i = 0; i < steps && !status; i++) {
        mock_trace_step(&m, i);
        status = clsa_trace_write(w, &m.trace, err);
    }
    if (!status)
        status = clsa_trace_writer_commit(w, err);
    clsa_trace_writer_destroy(w);
    return status;
}
