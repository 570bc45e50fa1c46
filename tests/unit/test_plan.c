#include <stdio.h>
#include <string.h>

#include "kernels/traffic.h"
#include "sim/model/plan.h"
#include "tests/unit/test.h"

static struct clsa_err err;
static struct clsa_geometry g4b, byte5m;

static void setup(void)
{
    char path[256];

    snprintf(path, sizeof path, "%s/models/clsa-4b.json", clsa_test_source());
    ck_assert_msg(clsa_geometry_read(path, &g4b, &err) == 0, "%s", err.text);
    snprintf(path, sizeof path, "%s/models/clsa-byte-5m.json", clsa_test_source());
    ck_assert_msg(clsa_geometry_read(path, &byte5m, &err) == 0, "%s", err.text);
}

static struct clsa_step decode(const struct clsa_geometry *g, uint32_t batch, uint64_t context,
                               uint32_t group)
{
    uint64_t past[64];
    struct clsa_plan_request r;
    struct clsa_step step;

    clsa_plan_decode(g, batch, context, group, past, &r);
    ck_assert_msg(clsa_plan_build(g, &r, &step, &err) == 0, "%s", err.text);
    return step;
}

static unsigned count(const struct clsa_step *step, const char *name)
{
    unsigned n = 0;
    char buf[32];

    for (size_t i = 0; i < step->n_ops; i++)
        n += strcmp(clsa_op_name(&step->ops[i], buf, sizeof buf), name) == 0;
    return n;
}

static uint64_t total_flops(const struct clsa_step *step, enum clsa_op_kind kind)
{
    uint64_t n = 0;
    for (size_t i = 0; i < step->n_ops; i++)
        if (step->ops[i].kind == kind)
            n += step->ops[i].flops;
    return n;
}

/* The calls a step that a profiler saw for this model on a GPU: 16 + 16 layers. */
START_TEST(a_decode_step_has_the_ops_it_was_measured_with)
{
    static const struct {
        const char *name;
        unsigned dense, g1, g16;
    } calls[] = {{"norm", 66, 66, 66},       {"add", 64, 64, 64},      {"silu", 32, 32, 32},
                 {"gemm_qkv", 16, 16, 16},   {"gemm_q", 16, 16, 16},   {"gemm_o", 32, 32, 32},
                 {"gemm_up", 32, 32, 32},    {"gemm_down", 32, 32, 32}, {"gemm_head", 1, 1, 1},
                 {"gemm_kv", 1, 1, 1},       {"gemm_iq", 0, 16, 1},    {"index_score", 0, 16, 1},
                 {"topk", 0, 16, 1},         {"attn_window", 16, 16, 16}, {"attn_dense", 16, 0, 0},
                 {"attn_sparse", 0, 16, 16}, {"gemm_ik", 0, 1, 1},     {"embed", 1, 1, 1}};
    struct clsa_step dense = decode(&g4b, 8, 8192, 0), g1 = decode(&g4b, 8, 8192, 1);
    struct clsa_step g16 = decode(&g4b, 8, 8192, 16);

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        ck_assert_msg(count(&dense, calls[i].name) == calls[i].dense, "%s", calls[i].name);
        ck_assert_msg(count(&g1, calls[i].name) == calls[i].g1, "%s", calls[i].name);
        ck_assert_msg(count(&g16, calls[i].name) == calls[i].g16, "%s", calls[i].name);
    }
    ck_assert_uint_eq(dense.n_sets, 0);
    ck_assert_uint_eq(g1.n_sets, 16);
    ck_assert_uint_eq(g16.n_sets, 1);
    clsa_plan_destroy(&dense);
    clsa_plan_destroy(&g1);
    clsa_plan_destroy(&g16);
}
END_TEST

static void check_layout(const struct clsa_step *step)
{
    for (uint32_t i = 0; i < step->n_tensors; i++) {
        const struct clsa_tensor *t = &step->tensors[i];
        ck_assert_uint_ne(t->address, 0);
        ck_assert_uint_eq(t->address % 256, 0);
        ck_assert_uint_gt(t->bytes, 0);
        if (i)
            ck_assert_uint_ge(t->address, t[-1].address + t[-1].bytes);
    }
    for (size_t i = 0; i < step->n_ops; i++) {
        const struct clsa_op *op = &step->ops[i];
        ck_assert_uint_eq(op->m, clsa_op_rows(step, op));
        for (uint32_t j = 0; j < op->n_operands; j++) {
            const struct clsa_operand *o = &op->operands[j];
            ck_assert_uint_lt(o->tensor, step->n_tensors);
            ck_assert_uint_gt(o->row_bytes, 0);
            ck_assert_uint_le(o->offset + o->row_bytes, step->tensors[o->tensor].bytes);
        }
    }
}

/* Last byte that an operand can reach lies inside its tensor. */
static void check_reach(const struct clsa_step *step)
{
    for (size_t i = 0; i < step->n_ops; i++) {
        const struct clsa_op *op = &step->ops[i];
        for (uint32_t j = 0; j < op->n_operands; j++) {
            const struct clsa_operand *o = &op->operands[j];
            uint64_t rows = 1, end = o->offset + o->row_bytes;
            for (uint32_t s = 0; s < step->n_seqs; s++) {
                const uint64_t all = step->past[s] + step->new_tokens;
                rows = all > rows ? all : rows;
            }
            if (o->ring_rows && o->ring_rows < rows)
                rows = o->ring_rows;
            if (o->axis == CLSA_AXIS_M)
                rows = op->m;
            else if (o->axis == CLSA_AXIS_N)
                rows = op->n;
            else if (o->axis == CLSA_AXIS_NONE || o->axis == CLSA_AXIS_TABLE)
                rows = 1;
            else
                end += (step->n_seqs - 1) * o->seq_stride;
            end += (rows - 1) * o->row_stride;
            if (o->head_stride)
                end += (op->kv_heads - 1) * o->head_stride;
            ck_assert_uint_le(end, step->tensors[o->tensor].bytes);
        }
    }
}

START_TEST(tensors_do_not_overlap_and_operands_stay_inside)
{
    static const uint32_t groups[] = {0, 1, 2, 4, 8};
    const uint64_t past[3] = {0, 100, 700};

    for (int layout = 0; layout < 4; layout++)
        for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
            struct clsa_plan_request r = {.phase = layout & 1 ? CLSA_PREFILL : CLSA_DECODE,
                                          .n_seqs = 3,
                                          .new_tokens = layout & 1 ? 200 : 1,
                                          .past = past,
                                          .group = groups[i],
                                          .per_layer_kv = layout & 2,
                                          .kv_dtype = CLSA_BF16,
                                          .index_dtype = CLSA_BF16,
                                          .activation_dtype = CLSA_F32,
                                          .cache_seqs = 5,
                                          .first_seq = 2};
            struct clsa_step step;
            ck_assert_msg(clsa_plan_build(&byte5m, &r, &step, &err) == 0, "%s", err.text);
            check_layout(&step);
            check_reach(&step);
            clsa_plan_destroy(&step);
        }
}
END_TEST

/* Weights and caches have the same addresses whatever the phase and group. */
START_TEST(addresses_do_not_depend_on_phase_or_group)
{
    const uint64_t past[2] = {10, 10};
    struct clsa_step steps[4];

    for (int i = 0; i < 4; i++) {
        struct clsa_plan_request r = {.phase = i & 1 ? CLSA_PREFILL : CLSA_DECODE,
                                      .n_seqs = 2,
                                      .new_tokens = i & 1 ? 7 : 1,
                                      .past = past,
                                      .capacity = 1000,
                                      .group = i & 2 ? 2 : 0,
                                      .kv_dtype = CLSA_BF16,
                                      .index_dtype = CLSA_BF16,
                                      .activation_dtype = CLSA_BF16};
        ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &steps[i], &err), 0);
    }
    for (int i = 1; i < 4; i++) {
        unsigned same = 0;
        for (uint32_t a = 0; a < steps[0].n_tensors; a++)
            for (uint32_t b = 0; b < steps[i].n_tensors; b++) {
                const struct clsa_tensor *x = &steps[0].tensors[a], *y = &steps[i].tensors[b];
                if (x->kind == CLSA_TENSOR_ACTIVATION || x->kind == CLSA_TENSOR_TOKENS ||
                    strcmp(x->name, y->name) != 0)
                    continue;
                ck_assert_msg(x->address == y->address && x->bytes == y->bytes, "%s", x->name);
                same++;
            }
        /* 4 self layers of 8 weights, 8 cross layers of 7, 6 others; 4 windows and the K/V */
        ck_assert_uint_eq(same, 4 * 8 + 8 * 7 + 6 + 5);
    }
    for (int i = 0; i < 4; i++)
        clsa_plan_destroy(&steps[i]);
}
END_TEST

/* Bytes come from operands; for a step with one context the call's own count must agree. */
START_TEST(bytes_agree_with_the_kernels_traffic)
{
    struct clsa_step step = decode(&g4b, 4, 5000, 4);

    for (size_t i = 0; i < step.n_ops; i++) {
        const struct clsa_op *o = &step.ops[i];
        struct clsa_traffic t;
        struct clsa_attn_shape a = {.queries = o->m, .q_heads = o->heads, .kv_heads = o->kv_heads,
                                    .d = o->head_dim, .dv = o->value_dim, .q_bytes = 2,
                                    .k_row_bytes = 2 * o->head_dim, .v_row_bytes = 2 * o->value_dim,
                                    .y_bytes = 2};
        switch (o->kind) {
        case CLSA_OP_NORM:
            t = clsa_traffic_rmsnorm(o->m, o->n, 2, 2, 2);
            break;
        case CLSA_OP_GEMM:
            t = clsa_traffic_gemm(o->m, o->n, o->k, 2, 2, 2);
            break;
        case CLSA_OP_ROPE:
            t = clsa_traffic_rope(o->m, o->heads, o->head_dim, 2);
            break;
        case CLSA_OP_SILU_MUL:
            t = clsa_traffic_silu_mul(o->m, o->n, 2, 2);
            break;
        case CLSA_OP_ADD:
            t = clsa_traffic_add(o->m * o->n, 2);
            break;
        case CLSA_OP_EMBED:
            t = clsa_traffic_embed(o->m, o->n, 2, 2);
            break;
        case CLSA_OP_KV_APPEND:
            t = clsa_traffic_convert(o->m, o->n, 2, 2);
            break;
        case CLSA_OP_INDEX_SCORE:
            t = clsa_traffic_index_score(1, 4 * 5000, 1, o->head_dim, 0, 2 * 4, 2 * o->head_dim, 4);
            break;
        case CLSA_OP_TOPK:
            t = clsa_traffic_topk(4, 5000, 2048, 4);
            break;
        case CLSA_OP_ATTN_WINDOW:
            a.pairs = a.rows = 4 * 512;
            t = clsa_traffic_attn(&a);
            break;
        case CLSA_OP_ATTN_SPARSE:
            a.pairs = a.rows = a.index_entries = 4 * 2048;
            t = clsa_traffic_attn(&a);
            break;
        default: /* head norms: two weights where the kernels count one */
            continue;
        }
        char name[32];
        clsa_op_name(o, name, sizeof name);
        ck_assert_msg(o->flops == t.flops, "%s: flops", name);
        ck_assert_msg(o->read_bytes == t.bytes_read, "%s: %llu read, traffic says %llu", name,
                      (unsigned long long)o->read_bytes, (unsigned long long)t.bytes_read);
        ck_assert_msg(o->write_bytes == t.bytes_written, "%s: written", name);
    }
    clsa_plan_destroy(&step);
}
END_TEST

START_TEST(a_shared_layer_does_not_grow_with_context)
{
    struct clsa_step near = decode(&g4b, 8, 8192, 16), far = decode(&g4b, 8, 131072, 16);

    ck_assert_uint_eq(total_flops(&near, CLSA_OP_ATTN_SPARSE),
                      total_flops(&far, CLSA_OP_ATTN_SPARSE));
    ck_assert_uint_eq(16 * total_flops(&near, CLSA_OP_INDEX_SCORE),
                      total_flops(&far, CLSA_OP_INDEX_SCORE));
    for (size_t i = 0; i < near.n_ops; i++)
        if (near.ops[i].kind == CLSA_OP_ATTN_SPARSE)
            ck_assert_uint_eq(near.ops[i].read_bytes, far.ops[i].read_bytes);
    clsa_plan_destroy(&near);
    clsa_plan_destroy(&far);
}
END_TEST

/* Prefill in two chunks attends the same pairs as in one; early exit sends one row on. */
START_TEST(chunks_add_up)
{
    uint64_t pairs[3];
    const uint64_t past[3] = {0, 0, 300}, tokens[3] = {700, 300, 400};

    for (int i = 0; i < 3; i++) {
        struct clsa_plan_request r = {.phase = CLSA_PREFILL, .n_seqs = 1, .new_tokens = tokens[i],
                                      .past = &past[i], .capacity = 700, .group = 4,
                                      .kv_dtype = CLSA_F32, .index_dtype = CLSA_F32,
                                      .activation_dtype = CLSA_F32};
        struct clsa_step step;
        ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), 0);
        ck_assert_uint_eq(step.n_queries, 1);
        for (size_t j = 0; j < step.n_ops; j++)
            if (step.ops[j].kind == CLSA_OP_ATTN_WINDOW) {
                pairs[i] = clsa_op_keys_total(&step, &step.ops[j]);
                ck_assert_uint_eq(pairs[i],
                                  clsa_traffic_causal_pairs(past[i], tokens[i], byte5m.window));
            } else if (step.ops[j].over_queries) {
                ck_assert_uint_eq(step.ops[j].m, 1);
            }
        clsa_plan_destroy(&step);
    }
    ck_assert_uint_eq(pairs[0], pairs[1] + pairs[2]);
}
END_TEST

START_TEST(a_chunk_without_queries_ends_at_the_caches)
{
    const uint64_t past = 0;
    const struct clsa_query none = {0, 0};
    struct clsa_plan_request r = {.phase = CLSA_PREFILL, .n_seqs = 1, .new_tokens = 64,
                                  .past = &past, .group = 2, .kv_dtype = CLSA_F32,
                                  .index_dtype = CLSA_F32, .activation_dtype = CLSA_F32,
                                  .queries = &none, .n_queries = 0};
    struct clsa_step step;

    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), 0);
    ck_assert_uint_eq(count(&step, "gemm_q"), 0);
    ck_assert_uint_eq(count(&step, "gemm_head"), 0);
    ck_assert_uint_eq(count(&step, "kv_append_index"), 1);
    clsa_plan_destroy(&step);
}
END_TEST

START_TEST(wrong_requests_are_refused)
{
    uint64_t past[1] = {100};
    const struct clsa_query old = {0, 50}, other = {1, 101};
    struct clsa_plan_request good, r;
    struct clsa_step step;

    clsa_plan_decode(&byte5m, 1, 101, 4, past, &good);
    r = good;
    r.group = 3;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    r = good;
    r.group = 16;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    r = good;
    r.capacity = 100;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_ERANGE);
    r = good;
    r.queries = &old;
    r.n_queries = 1;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    r.queries = &other;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    r = good;
    r.n_seqs = 0;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    r = good;
    r.first_seq = 3;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    r = good;
    r.tensor_parallel = 7;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    r = good;
    r.new_tokens = 2;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &r, &step, &err), CLSA_EUSAGE);
    past[0] = UINT64_MAX;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &good, &step, &err), CLSA_ERANGE);
    past[0] = UINT64_C(1) << 61;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &good, &step, &err), CLSA_ERANGE);
    past[0] = 100;
    good.capacity = UINT64_C(1) << 58;
    ck_assert_int_eq(clsa_plan_build(&byte5m, &good, &step, &err), CLSA_ERANGE);
}
END_TEST

/* Two ranks share what is split by heads, FFN and vocabulary; the indexer is whole on each. */
START_TEST(tensor_parallel_ranks_halve_the_products)
{
    uint64_t past[1];
    struct clsa_plan_request r;
    struct clsa_step one, two;

    clsa_plan_decode(&g4b, 1, 8192, 16, past, &r);
    ck_assert_int_eq(clsa_plan_build(&g4b, &r, &one, &err), 0);
    r.tensor_parallel = 2;
    ck_assert_int_eq(clsa_plan_build(&g4b, &r, &two, &err), 0);
    ck_assert_uint_eq(count(&two, "all_reduce"), 2 * 32);
    ck_assert_uint_eq(two.n_ops, one.n_ops + 64);
    for (size_t i = 0, j = 0; i < one.n_ops; i++, j++) {
        const struct clsa_op *a = &one.ops[i];
        while (two.ops[j].kind == CLSA_OP_ALL_REDUCE)
            j++;
        if (a->kind == CLSA_OP_GEMM)
            ck_assert_uint_eq(a->flops, two.ops[j].flops * (a->role == CLSA_ROLE_IQ ||
                                                                    a->role == CLSA_ROLE_IK
                                                                ? 1
                                                                : 2));
    }
    clsa_plan_destroy(&one);
    clsa_plan_destroy(&two);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, a_decode_step_has_the_ops_it_was_measured_with);
    tcase_add_test(t, tensors_do_not_overlap_and_operands_stay_inside);
    tcase_add_test(t, addresses_do_not_depend_on_phase_or_group);
    tcase_add_test(t, bytes_agree_with_the_kernels_traffic);
    tcase_add_test(t, a_shared_layer_does_not_grow_with_context);
    tcase_add_test(t, chunks_add_up);
    tcase_add_test(t, a_chunk_without_queries_ends_at_the_caches);
    tcase_add_test(t, wrong_requests_are_refused);
    tcase_add_test(t, tensor_parallel_ranks_halve_the_products);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
