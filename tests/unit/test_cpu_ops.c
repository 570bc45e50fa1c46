/* How ops become calls on a CPU, and steps made of them. */
#include "tests/unit/cpu_test.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/parallel.h"
#include "sim/base/rng.h"
#include "sim/model/plan.h"
#include "sim/replay/closed.h"
#include "sim/replay/map_cpu.h"

struct planned {
    struct clsa_geometry g;
    struct clsa_step step;
    struct clsa_implementation impl;
    uint64_t past[1];
};

static void plan_open(struct planned *p, const char *model, uint64_t context, uint32_t group,
                      unsigned kv_dtype)
{
    struct clsa_plan_request r;
    char path[512];
    path_of(path, sizeof path, "models", model, ".json");
    ck_assert_msg(clsa_geometry_read(path, &p->g, &err) == 0, "%s", err.text);
    clsa_plan_decode(&p->g, 1, context, group, p->past, &r);
    r.kv_dtype = r.index_dtype = kv_dtype;
    r.activation_dtype = CLSA_F32;
    ck_assert_msg(clsa_plan_build(&p->g, &r, &p->step, &err) == 0, "%s", err.text);
    path_of(path, sizeof path, "hwmodels/implementations", "native", ".csv");
    ck_assert_msg(clsa_impl_read(path, NULL, 0, &p->impl, &err) == 0, "%s", err.text);
}

static void plan_close(struct planned *p)
{
    clsa_plan_destroy(&p->step);
    clsa_impl_destroy(&p->impl);
}

/* Units as kernels/parallel.c cuts them. */
static size_t units_of_attention(size_t keys)
{
    size_t each = (keys + CLSA_PAR_SPLITS_MAX - 1) / CLSA_PAR_SPLITS_MAX;
    each = (each + CLSA_PAR_SPLIT_KEYS - 1) / CLSA_PAR_SPLIT_KEYS * CLSA_PAR_SPLIT_KEYS;
    return (keys + each - 1) / each;
}

START_TEST(parts_are_the_units_of_the_kernels)
{
    static const uint64_t contexts[] = {1, 100, 256, 257, 5000, 16384, 16385, 40000};
    struct clsa_machine m = machine_named("toy-cpu");
    for (size_t c = 0; c < sizeof contexts / sizeof *contexts; c++)
        for (uint32_t group = 0; group <= 8; group += 4) {
            struct planned p;
            plan_open(&p, "clsa-byte-5m", contexts[c], group, CLSA_F32);
            for (size_t i = 0; i < p.step.n_ops; i++) {
                const struct clsa_op *op = &p.step.ops[i];
                const uint64_t keys = clsa_op_keys(&p.step, op, 0);
                struct clsa_cpu_call call;
                clsa_map_cpu(&p.step, op, &m, &p.impl, &call);
                if (op->kind == CLSA_OP_ATTN_DENSE || op->kind == CLSA_OP_ATTN_WINDOW)
                    ck_assert_double_eq(ceil(call.parts), (double)units_of_attention(keys));
                if (op->kind == CLSA_OP_ATTN_SPARSE)
                    ck_assert_double_eq(ceil(call.parts),
                                        (double)units_of_attention(keys < op->topk ? keys : op->topk));
                if (op->kind == CLSA_OP_INDEX_SCORE)
                    ck_assert_double_eq(ceil(call.parts), (double)((keys + CLSA_PAR_INDEX_KEYS - 1) /
                                                             CLSA_PAR_INDEX_KEYS));
                if (op->kind == CLSA_OP_NORM || op->kind == CLSA_OP_TOPK)
                    ck_assert_double_eq(call.parts, 1);
            }
            plan_close(&p);
        }
    clsa_machine_destroy(&m);
}
END_TEST

/* Joining K and V to one random row moves no bytes and drops none. */
START_TEST(rows_of_keys_and_values_are_met_once)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct planned p;
    unsigned seen = 0;
    plan_open(&p, "clsa-0.6b", 20000, 16, CLSA_BF16);
    for (size_t i = 0; i < p.step.n_ops; i++) {
        const struct clsa_op *op = &p.step.ops[i];
        struct clsa_cpu_call call;
        double bytes = 0, asked = 0;
        clsa_map_cpu(&p.step, op, &m, &p.impl, &call);
        for (unsigned s = 0; s < call.n_streams; s++)
            bytes += call.streams[s].bytes;
        for (uint32_t o = 0; o < op->n_operands; o++)
            asked += (double)clsa_operand_rows(&p.step, op, &op->operands[o]) *
                     (double)op->operands[o].row_bytes *
                     (op->operands[o].head_stride && op->kv_heads ? op->kv_heads : 1);
        NEAR(bytes, asked);
        if (op->kind != CLSA_OP_ATTN_SPARSE)
            continue;
        seen++;
        ck_assert_double_eq(call.streams[1].row_bytes, 2.0 * op->kv_heads * op->head_dim * 2);
        ck_assert_double_eq(call.streams[1].bytes, call.streams[1].row_bytes * (double)op->topk);
        ck_assert_double_eq(call.streams[2].bytes, 0);
    }
    ck_assert_uint_eq(seen, p.g.cross_layers);
    plan_close(&p);
    clsa_machine_destroy(&m);
}
END_TEST

/* What a part leaves is a row of values for each query head: heads of twice the size leave twice as much. */
START_TEST(parts_leave_lines_of_sums)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct planned p;
    unsigned seen = 0;
    plan_open(&p, "clsa-0.6b", 20000, 4, CLSA_BF16);
    for (size_t i = 0; i < p.step.n_ops; i++) {
        struct clsa_op op = p.step.ops[i];
        if (op.kind != CLSA_OP_ATTN_SPARSE && op.kind != CLSA_OP_ATTN_WINDOW)
            continue;
        struct clsa_cpu_call once, twice;
        clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_COMBINE_STEP, 7);
        clsa_map_cpu(&p.step, &op, &m, &p.impl, &once);
        const double lines = ceil(once.parts) * op.heads * op.value_dim * 4.0 / m.l2_line;
        const double of_line = clsa_impl_get(&p.impl, &op, CLSA_IMPL_EPILOGUE);
        op.value_dim *= 2;
        clsa_map_cpu(&p.step, &op, &m, &p.impl, &twice);
        ck_assert(of_line > 0);
        NEAR(twice.cycles - once.cycles, lines * of_line);
        const double heads = ceil(once.parts) * op.heads, each = lines / heads;
        const double of_head = clsa_impl_get(&p.impl, &op, CLSA_IMPL_COMBINE_STEP);
        const double of_sums = clsa_impl_get(&p.impl, &op, CLSA_IMPL_COMBINE_ISSUE);
        NEAR(once.tail_cycles, heads * (of_head + each * of_sums));
        NEAR(twice.tail_cycles, heads * (of_head + 2 * each * of_sums));
        seen++;
    }
    ck_assert_uint_gt(seen, 0);
    plan_close(&p);
    clsa_machine_destroy(&m);
}
END_TEST

/* Rows that decode attention uses where they lie cost by the line and by the head, whoever selected them; rows that it
 * copies first do not. */
START_TEST(keys_cost_by_the_line_where_they_lie)
{
    static const unsigned dtypes[] = {CLSA_F32, CLSA_BF16};
    struct clsa_machine m = machine_named("toy-cpu");
    unsigned seen = 0;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (uint32_t group = 0; group <= 4; group += 4) {
            struct planned p;
            plan_open(&p, "clsa-byte-5m", 5000, group, dtypes[d]);
            for (size_t i = 0; i < p.step.n_ops; i++) {
                struct clsa_op op = p.step.ops[i];
                if (op.kind != CLSA_OP_ATTN_SPARSE && op.kind != CLSA_OP_ATTN_WINDOW && op.kind != CLSA_OP_ATTN_DENSE)
                    continue;
                const double keys = op.kind == CLSA_OP_ATTN_SPARSE ? op.topk : (double)clsa_op_keys(&p.step, &op, 0);
                const double bytes = keys * op.kv_heads * (op.head_dim + op.value_dim) * (dtypes[d] == CLSA_F32 ? 4 : 2);
                struct clsa_cpu_call without, with;
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_STEP_CYCLES, 0);
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_ROW_CYCLES, 0);
                clsa_map_cpu(&p.step, &op, &m, &p.impl, &without);
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_STEP_CYCLES, 3);
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_ROW_CYCLES, 5);
                clsa_map_cpu(&p.step, &op, &m, &p.impl, &with);
                NEAR(with.cycles - without.cycles, 3 * bytes / m.l2_line + 5 * keys * op.kv_heads);
                op.head_dim++; /* no multiple of what registers hold */
                clsa_map_cpu(&p.step, &op, &m, &p.impl, &with);
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_STEP_CYCLES, 0);
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_ROW_CYCLES, 0);
                clsa_map_cpu(&p.step, &op, &m, &p.impl, &without);
                ck_assert_double_eq(with.cycles, without.cycles);
                seen++;
            }
            plan_close(&p);
        }
    ck_assert_uint_gt(seen, 0);
    clsa_machine_destroy(&m);
}
END_TEST

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The k-th best; the best come to the front. */
static float kth_of(float *score, size_t n, size_t k)
{
    qsort(score, n, sizeof *score, falling);
    return score[k - 1];
}

/* What kernels/x86/topk.c does, counted: candidates of all cuts, and positions kept. */
static void search_counted(const float *score, size_t n, size_t k, double *candidates, double *kept)
{
    const size_t room = 2 * k + 4096, stride = (n - 16) / 255;
    float *held = malloc((room + 512) * sizeof *held), threshold = -INFINITY;
    size_t count = 0;
    *candidates = *kept = 0;
    if (n >= 16384 && k <= n / 8) {
        const double expected = (double)k * 4096 / (double)n;
        const size_t rank = (size_t)(17.0 / 16 * (expected + 4 * sqrt(expected) + 4));
        float *sample = malloc(4096 * sizeof *sample);
        for (size_t i = 0; i < 4096; i++)
            sample[i] = score[i / 16 * stride + i % 16];
        threshold = kth_of(sample, 4096, rank);
        free(sample);
    }
    for (size_t i = 0; i < n; i++) {
        if (i % 512 == 0 && count + (n - i < 512 ? n - i : 512) > room) {
            threshold = kth_of(held, count, k);
            *candidates += (double)count;
            *kept += (double)k;
            count = k;
        }
        if (score[i] > threshold)
            held[count++] = score[i];
    }
    *candidates += (double)count;
    *kept += (double)k;
    free(held);
}

START_TEST(top_k_works_on_what_its_kernel_keeps)
{
    static const struct {
        uint64_t n;
        uint32_t k;
    } cases[] = {{1000, 64}, {4096, 256}, {8201, 2048}, {15000, 64}, {15000, 2048}, {20000, 256}, {20000, 4096},
                 {65545, 256}, {65545, 2048}};
    struct clsa_machine m = machine_named("toy-cpu");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const uint64_t n = cases[c].n;
        struct clsa_cpu_call by_candidate, by_kept;
        struct clsa_rng rng;
        struct planned p;
        double candidates, kept;
        float *score = malloc(n * sizeof *score);
        clsa_rng_seed(&rng, 7);
        for (uint64_t i = 0; i < n; i++)
            score[i] = (float)clsa_rng_normal(&rng);
        search_counted(score, n, cases[c].k, &candidates, &kept);
        free(score);
        plan_open(&p, "clsa-byte-5m", n, 4, CLSA_F32);
        size_t at = 0;
        while (p.step.ops[at].kind != CLSA_OP_TOPK)
            at++;
        struct clsa_op op = p.step.ops[at];
        op.topk = cases[c].k;
        clsa_impl_put(&p.impl, CLSA_OP_TOPK, CLSA_IMPL_ELEMENT_CYCLES, 0);
        clsa_impl_put(&p.impl, CLSA_OP_TOPK, CLSA_IMPL_EPILOGUE, 0);
        clsa_impl_put(&p.impl, CLSA_OP_TOPK, CLSA_IMPL_PASS_CYCLES, 1);
        clsa_map_cpu(&p.step, &op, &m, &p.impl, &by_candidate);
        clsa_impl_put(&p.impl, CLSA_OP_TOPK, CLSA_IMPL_EPILOGUE, 1);
        clsa_impl_put(&p.impl, CLSA_OP_TOPK, CLSA_IMPL_PASS_CYCLES, 0);
        clsa_map_cpu(&p.step, &op, &m, &p.impl, &by_kept);
        const bool sampled = n >= 16384 && op.topk <= n / 8; /* whose own search counts as well */
        WITHIN(by_candidate.cycles, candidates + (sampled ? 0.4 * 4096 : 0), 0.12);
        NEAR(by_kept.cycles, kept);
        plan_close(&p);
    }
    clsa_machine_destroy(&m);
}
END_TEST

static uint64_t step_ps(const char *machine, uint64_t context, uint32_t group, uint32_t threads,
                        double foreign)
{
    struct clsa_machine m = machine_named(machine);
    struct clsa_prediction out;
    struct planned p;
    plan_open(&p, "clsa-0.6b", context, group, CLSA_BF16);
    m.l3_foreign = foreign;
    const struct clsa_closed_request r = {
        .step = &p.step, .machine = &m, .impl = &p.impl, .threads = threads};
    ck_assert_msg(clsa_closed_predict(&r, &out, &err) == 0, "%s", err.text);
    const uint64_t ps = out.step_ps;
    clsa_prediction_destroy(&out);
    plan_close(&p);
    clsa_machine_destroy(&m);
    return ps;
}

START_TEST(steps_obey_context_groups_threads_and_neighbours)
{
    const char *machine = machine_of_kind(_i);
    uint64_t before = 0;
    for (uint64_t context = 4096; context <= 131072; context *= 4) {
        const uint64_t dense = step_ps(machine, context, 0, 1, 0);
        ck_assert_uint_ge(dense, before);
        before = dense;
    }
    const uint64_t g1 = step_ps(machine, 65536, 1, 1, 0), g4 = step_ps(machine, 65536, 4, 1, 0),
                   g16 = step_ps(machine, 65536, 16, 1, 0);
    ck_assert(g1 >= g4 && g4 >= g16);
    ck_assert_uint_ge(step_ps(machine, 65536, 0, 1, 0), g1);
    ck_assert_uint_lt(step_ps(machine, 65536, 4, 2, 0), g4);
    ck_assert_uint_ge(step_ps(machine, 65536, 4, 1, 1e10), g4);
    ck_assert_uint_eq(step_ps(machine, 65536, 4, 1, 0), g4); /* the same again */
}
END_TEST

static double op_ps(const struct clsa_prediction *p, const struct clsa_step *step, enum clsa_op_kind kind)
{
    double sum = 0;
    for (size_t i = 0; i < step->n_ops; i++)
        sum += step->ops[i].kind == kind ? (double)p->ops[i].ps : 0;
    return sum;
}

/* Keys of 32 MiB that a step reads eight times push out its weights as far as churn says, but not themselves. */
START_TEST(keys_read_again_push_out_weights)
{
    struct clsa_machine m = machine_named("xeon-emr");
    struct clsa_prediction kept, lost;
    struct planned p;
    plan_open(&p, "clsa-byte-5m", 65536, 0, CLSA_F32);
    m.l3_size = 128 << 20;
    m.l3_churn = 0;
    struct clsa_closed_request r = {.step = &p.step, .machine = &m, .impl = &p.impl, .threads = 1};
    ck_assert_int_eq(clsa_closed_predict(&r, &kept, &err), 0);
    m.l3_churn = 1;
    ck_assert_int_eq(clsa_closed_predict(&r, &lost, &err), 0);
    ck_assert(op_ps(&lost, &p.step, CLSA_OP_ATTN_DENSE) < 1.001 * op_ps(&kept, &p.step, CLSA_OP_ATTN_DENSE));
    ck_assert(op_ps(&lost, &p.step, CLSA_OP_GEMM) > 1.1 * op_ps(&kept, &p.step, CLSA_OP_GEMM));
    clsa_prediction_destroy(&kept);
    clsa_prediction_destroy(&lost);
    plan_close(&p);
    clsa_machine_destroy(&m);
}
END_TEST

/* A last cache that holds all of a step learns it; one through which a large model's weights pass does not. */
START_TEST(steps_that_fit_settle)
{
    const char *const models[] = {"clsa-byte-5m", "clsa-0.6b"};
    for (int large = 0; large < 2; large++) {
        struct clsa_machine m = machine_named("xeon-emr");
        struct clsa_curve *curves[] = {&m.curve_stream, &m.curve_unsettled};
        for (int i = 0; i < 2; i++)
            *curves[i] = (struct clsa_curve){.n = 3, .bytes = {1 << 20, 64 << 20, 1 << 30}, .value = {30e9, 30e9, 10e9}};
        struct clsa_prediction as, slower;
        struct planned p;
        plan_open(&p, models[large], 8192, 0, CLSA_BF16);
        const struct clsa_closed_request r = {.step = &p.step, .machine = &m, .impl = &p.impl, .threads = 1};
        ck_assert_int_eq(clsa_closed_predict(&r, &as, &err), 0);
        m.curve_unsettled.value[0] = m.curve_unsettled.value[1] = 10e9;
        ck_assert_int_eq(clsa_closed_predict(&r, &slower, &err), 0);
        ck_assert(large ? slower.step_ps > as.step_ps : slower.step_ps == as.step_ps);
        clsa_prediction_destroy(&as);
        clsa_prediction_destroy(&slower);
        plan_close(&p);
        clsa_machine_destroy(&m);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cpu_ops");
    TCase *c = tcase_create("ops");
    tcase_add_test(c, parts_are_the_units_of_the_kernels);
    tcase_add_test(c, rows_of_keys_and_values_are_met_once);
    tcase_add_test(c, parts_leave_lines_of_sums);
    tcase_add_test(c, keys_cost_by_the_line_where_they_lie);
    tcase_add_test(c, top_k_works_on_what_its_kernel_keeps);
    tcase_add_test(c, keys_read_again_push_out_weights);
    tcase_add_test(c, steps_that_fit_settle);
    tcase_add_loop_test(c, steps_obey_context_groups_threads_and_neighbours, 0, MACHINE_KINDS);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
