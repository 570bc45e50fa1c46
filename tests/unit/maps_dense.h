/* Steps of one op and their closed-form time, for the tests of map_gemm.c and map_attention.c. */
#ifndef CLSA_TESTS_MAPS_DENSE_H
#define CLSA_TESTS_MAPS_DENSE_H

#include <stdio.h>
#include <string.h>

#include "sim/replay/closed.h"
#include "sim/replay/map.h"
#include "tests/unit/test.h"

struct world {
    struct clsa_machine machine;
    struct clsa_implementation impl;
};

static inline void world_open(struct world *w, const char *machine, const char *impl)
{
    char path[512];
    struct clsa_err err = {{0}};
    memset(w, 0, sizeof *w);
    snprintf(path, sizeof path, "%s/hwmodels/machines/%s.csv", clsa_test_source(), machine);
    ck_assert_msg(!clsa_machine_read(path, NULL, 0, &w->machine, &err), "%s", err.text);
    snprintf(path, sizeof path, "%s/hwmodels/implementations/%s.csv", clsa_test_source(), impl);
    ck_assert_msg(!clsa_impl_read(path, NULL, 0, &w->impl, &err), "%s", err.text);
}

static inline void world_close(struct world *w)
{
    clsa_machine_destroy(&w->machine);
    clsa_impl_destroy(&w->impl);
}

#define ONE_TENSORS 4
#define ONE_SEQS 4096

struct one {
    struct clsa_step step;
    struct clsa_op op;
    struct clsa_tensor tensors[ONE_TENSORS];
    uint64_t past[ONE_SEQS];
};

static inline struct clsa_operand *one_operand(struct one *o, enum clsa_tensor_kind kind,
                                               enum clsa_access access, enum clsa_axis axis,
                                               uint64_t row_bytes)
{
    const uint32_t i = o->op.n_operands++;
    o->tensors[i] = (struct clsa_tensor){.kind = (uint8_t)kind, .address = (uint64_t)(i + 1) << 44};
    o->op.operands[i] = (struct clsa_operand){.tensor = i,
                                              .access = (uint8_t)access,
                                              .axis = (uint8_t)axis,
                                              .row_bytes = row_bytes,
                                              .row_stride = row_bytes};
    o->step.n_tensors = o->op.n_operands;
    return &o->op.operands[i];
}

static inline void one_init(struct one *o, uint32_t seqs, uint64_t past, uint64_t fresh)
{
    memset(o, 0, sizeof *o);
    ck_assert(seqs <= ONE_SEQS);
    for (uint32_t i = 0; i < seqs; i++)
        o->past[i] = past;
    o->step = (struct clsa_step){.phase = fresh > 1 ? CLSA_PREFILL : CLSA_DECODE,
                                 .n_seqs = seqs,
                                 .new_tokens = fresh,
                                 .past = o->past,
                                 .tensors = o->tensors,
                                 .n_ops = 1,
                                 .ops = &o->op};
    o->op.layer = o->op.set = -1;
    o->op.weight_dtype = o->op.input_dtype = CLSA_BF16;
    o->op.m = seqs * fresh;
}

static inline void one_gemm(struct one *o, uint64_t m, uint64_t n, uint64_t k)
{
    one_init(o, 1, 0, m);
    o->op.kind = CLSA_OP_GEMM;
    o->op.n = n;
    o->op.k = k;
    one_operand(o, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, 2 * k);
    one_operand(o, CLSA_TENSOR_WEIGHT, CLSA_READ, CLSA_AXIS_N, 2 * k);
    one_operand(o, CLSA_TENSOR_ACTIVATION, CLSA_WRITE, CLSA_AXIS_M, 2 * n);
}

/* Attention of `fresh` new tokens a sequence over keys that end with them; heads of 128. */
static inline void one_attention(struct one *o, uint32_t seqs, uint64_t keys, uint64_t fresh,
                                 uint32_t heads, uint32_t kv_heads, uint64_t window)
{
    one_init(o, seqs, keys - fresh, fresh);
    o->op.kind = window ? CLSA_OP_ATTN_WINDOW : CLSA_OP_ATTN_DENSE;
    o->op.heads = heads;
    o->op.kv_heads = kv_heads;
    o->op.head_dim = o->op.value_dim = 128;
    o->op.n = o->op.k = heads * 128;
    o->op.window = window;
    one_operand(o, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, heads * 256);
    one_operand(o, CLSA_TENSOR_KV, CLSA_READ, CLSA_AXIS_KEYS, 256)->head_stride = 256;
    one_operand(o, CLSA_TENSOR_KV, CLSA_READ, CLSA_AXIS_KEYS, 256)->head_stride = 256;
    one_operand(o, CLSA_TENSOR_ACTIVATION, CLSA_WRITE, CLSA_AXIS_M, heads * 256);
}

/* Seconds of the step; cold: nothing in the caches. */
static inline double one_seconds(const struct world *w, const struct one *o, bool cold)
{
    struct clsa_err err = {{0}};
    struct clsa_prediction p;
    const struct clsa_closed_request request = {.step = &o->step,
                                                .machine = &w->machine,
                                                .impl = &w->impl,
                                                .cold = cold,
                                                .no_ops = true};
    memset(&p, 0, sizeof p);
    ck_assert_msg(!clsa_closed_predict(&request, &p, &err), "%s", err.text);
    const double seconds = (double)p.step_ps * 1e-12;
    clsa_prediction_destroy(&p);
    return seconds;
}

#endif
