/* hwmodels/tlb, hwmodels/hierarchy, sim/replay: what a step's rows do to memory, and what
 * follows. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/json.h"
#include "sim/model/plan.h"
#include "sim/replay/bench_replay.h"
#include "sim/replay/replay.h"
#include "sim/replay/replay_units.h"
#include "sim/replay/timeline.h"
#include "sim/routing/synthetic.h"

static struct clsa_err err;

/* ---- operands as runs ---- */

struct seen {
    struct clsa_byte_run runs[64];
    size_t n;
};

static int note(void *user, const struct clsa_byte_run *runs, size_t n)
{
    struct seen *s = user;
    ck_assert_uint_le(s->n + n, 64);
    memcpy(s->runs + s->n, runs, n * sizeof *runs);
    s->n += n;
    return 0;
}

/* Walks operand 0 with all that joins it and holds the runs against pairs (address, bytes). */
static void expect_runs(const struct clsa_trace_step *trace, const struct clsa_op *op,
                        const struct clsa_byte_run *want, size_t n)
{
    struct clsa_units_group group;
    struct seen seen = {.n = 0};
    clsa_units_join(op, 0, (1u << op->n_operands) - 1, &group);
    ck_assert_int_eq(clsa_units_walk(trace, op, &group, UINT64_MAX, note, &seen, &err), 0);
    ck_assert_uint_eq(seen.n, n);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(seen.runs[i].address, want[i].address);
        ck_assert_uint_eq(seen.runs[i].bytes, want[i].bytes);
    }
}

#define EXPECT(trace, op, ...)                                                                     \
    do {                                                                                           \
        static const struct clsa_byte_run want_[] = {__VA_ARGS__};                                 \
        expect_runs((trace), (op), want_, sizeof want_ / sizeof *want_);                           \
    } while (0)

START_TEST(operands_become_runs)
{
    static const uint64_t past[2] = {5, 9};
    static const struct clsa_query queries[2] = {{0, 6}, {1, 10}};
    static const struct clsa_tensor tensors[1] = {{.address = 1000, .bytes = 100000}};
    static const uint32_t first[2] = {1, 4}, second[3] = {0, 1, 9};
    static const struct clsa_index_set sets[2] = {{0, 0, 2, first}, {1, 0, 3, second}};
    struct clsa_trace_step trace = {.n_index_sets = 2, .index_sets = sets};
    trace.step = (struct clsa_step){.phase = CLSA_DECODE,
                                    .n_seqs = 2,
                                    .new_tokens = 1,
                                    .past = past,
                                    .n_queries = 2,
                                    .queries = queries,
                                    .n_sets = 1,
                                    .n_tensors = 1,
                                    .tensors = tensors};
    struct clsa_op op = {
        .over_queries = 1, .set = 0, .m = 2, .n = 4, .kv_heads = 2, .n_operands = 1};
    struct clsa_operand *o = op.operands;

    *o = (struct clsa_operand){.axis = CLSA_AXIS_N, .row_bytes = 10, .row_stride = 10};
    EXPECT(&trace, &op, {1000, 40}); /* rows that touch are one run */
    o->row_stride = 16;
    EXPECT(&trace, &op, {1000, 10}, {1016, 10}, {1032, 10}, {1048, 10});
    *o = (struct clsa_operand){.axis = CLSA_AXIS_M, .row_bytes = 8, .row_stride = 32, .offset = 4};
    EXPECT(&trace, &op, {1004, 8}, {1036, 8});
    *o = (struct clsa_operand){.axis = CLSA_AXIS_NONE, .row_bytes = 12};
    EXPECT(&trace, &op, {1000, 12});

    /* K and V of two heads in one row of 40 bytes: K at 0, V at 20, 10 a head */
    const struct clsa_operand k = {.axis = CLSA_AXIS_SELECTED,
                                   .row_bytes = 10,
                                   .row_stride = 40,
                                   .head_stride = 10,
                                   .seq_stride = 1000};
    struct clsa_operand v = k;
    v.offset = 20;
    op.operands[0] = k;
    op.operands[1] = v;
    op.n_operands = 2;
    EXPECT(&trace, &op, {1040, 40}, {1160, 40}, {2000, 80}, {2360, 40});
    op.operands[0].axis = op.operands[1].axis = CLSA_AXIS_KEYS;
    EXPECT(&trace, &op, {1000, 240}, {2000, 400});
    op.window = 3;
    EXPECT(&trace, &op, {1120, 120}, {2280, 120});
    /* a ring of 4 rows: keys 3 4 5 in slots 3 0 1, keys 7 8 9 in slots 3 0 1 */
    op.operands[0].ring_rows = op.operands[1].ring_rows = 4;
    EXPECT(&trace, &op, {1120, 40}, {1000, 80}, {2120, 40}, {2000, 80});
    op.operands[0].ring_rows = op.operands[1].ring_rows = 0;
    /* V alone does not join when it is only read elsewhere */
    op.operands[1].access = CLSA_WRITE;
    EXPECT(&trace, &op, {1120, 20}, {1160, 20}, {1200, 20}, {2280, 20}, {2320, 20}, {2360, 20});
    op.n_operands = 1;
    op.window = 0;
    /* heads in planes of their own */
    *o = (struct clsa_operand){.axis = CLSA_AXIS_NEW,
                               .row_bytes = 10,
                               .row_stride = 10,
                               .head_stride = 500,
                               .seq_stride = 1000};
    EXPECT(&trace, &op, {1050, 10}, {1550, 10}, {2090, 10}, {2590, 10});
}
END_TEST

START_TEST(a_missing_set_is_named)
{
    static const uint64_t past[1] = {5};
    static const struct clsa_query queries[1] = {{0, 6}};
    static const struct clsa_tensor tensors[1] = {{.address = 1000, .bytes = 100000}};
    struct clsa_trace_step trace = {.number = 7};
    trace.step = (struct clsa_step){.n_seqs = 1,
                                    .new_tokens = 1,
                                    .past = past,
                                    .n_queries = 1,
                                    .queries = queries,
                                    .n_sets = 1,
                                    .n_tensors = 1,
                                    .tensors = tensors};
    const struct clsa_op op = {
        .over_queries = 1,
        .set = 0,
        .n_operands = 1,
        .operands = {{.axis = CLSA_AXIS_SELECTED, .row_bytes = 4, .row_stride = 4}}};
    struct clsa_units_group group;
    struct seen seen = {.n = 0};
    clsa_units_join(&op, 0, 1, &group);
    ck_assert_int_eq(clsa_units_walk(&trace, &op, &group, 1, note, &seen, &err), CLSA_EFORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "step 7"));
}
END_TEST

/* ---- whole steps ---- */

static void read_machine(const char *name, struct clsa_machine *m)
{
    ck_assert_msg(clsa_machine_read(name, NULL, 0, m, &err) == 0, "%s", err.text);
}

struct bed {
    struct clsa_machine machine;
    struct clsa_implementation impl;
    struct clsa_geometry geometry;
    uint64_t past[8];
    struct clsa_trace_step trace;
    struct clsa_synthetic *synthetic;
};

static void make_bed(struct bed *bed, const char *model, const char *machine, const char *impl,
                     uint32_t batch, uint64_t context, uint32_t group)
{
    struct clsa_plan_request request;
    struct clsa_synthetic_params params;
    char *config = NULL, *weights = NULL;
    memset(bed, 0, sizeof *bed);
    ck_assert_uint_le(batch, 8);
    read_machine(machine, &bed->machine);
    ck_assert_msg(clsa_impl_read(impl, NULL, 0, &bed->impl, &err) == 0, "%s", err.text);
    ck_assert_msg(clsa_model_find(model, &config, &weights, &err) == 0, "%s", err.text);
    ck_assert_msg(clsa_geometry_read(config, &bed->geometry, &err) == 0, "%s", err.text);
    free(config);
    free(weights);
    clsa_plan_decode(&bed->geometry, batch, context, group, bed->past, &request);
    ck_assert_msg(clsa_plan_build(&bed->geometry, &request, &bed->trace.step, &err) == 0, "%s",
                  err.text);
    clsa_synthetic_defaults(&params);
    ck_assert_int_eq(clsa_synthetic_create(&params, &bed->synthetic, &err), 0);
    ck_assert_int_eq(clsa_synthetic_step(bed->synthetic, &bed->trace.step, &bed->trace.index_sets,
                                         &bed->trace.n_index_sets, &err),
                     0);
}

static void free_bed(struct bed *bed)
{
    clsa_synthetic_destroy(bed->synthetic);
    clsa_plan_destroy(&bed->trace.step);
    clsa_impl_destroy(&bed->impl);
    clsa_machine_destroy(&bed->machine);
}

/* The second of two equal steps. */
static struct clsa_prediction replay_warm(const struct bed *bed, uint64_t *digest,
                                          struct clsa_replay_counts *counts)
{
    const struct clsa_replay_request request = {.machine = &bed->machine, .impl = &bed->impl};
    struct clsa_replay *replay = NULL;
    struct clsa_prediction p;
    ck_assert_msg(clsa_replay_create(&request, &replay, &err) == 0, "%s", err.text);
    ck_assert_msg(clsa_replay_step(replay, &bed->trace, NULL, &err) == 0, "%s", err.text);
    ck_assert_msg(clsa_replay_step(replay, &bed->trace, &p, &err) == 0, "%s", err.text);
    if (digest)
        *digest = clsa_replay_digest(replay);
    if (counts)
        memcpy(counts, clsa_replay_counts(replay), p.n_ops * sizeof *counts);
    clsa_replay_destroy(replay);
    return p;
}

/* Model, machine, implementation, batch, context, group. */
static const struct {
    const char *model, *machine, *impl;
    uint32_t batch;
    uint64_t context;
    uint32_t group;
} cases[] = {
    {"clsa-byte-5m", "toy-gpu", "triton-own", 1, 512, 2},
    {"clsa-byte-5m", "h100-sxm", "triton-own", 4, 4096, 4},
    {"clsa-byte-5m", "h100-sxm", "triton-own", 4, 4096, 0},
    {"clsa-byte-5m", "toy-cpu", "native", 1, 4096, 8},
    {"clsa-4b", "h100-sxm", "triton-own", 1, 8192, 16},
    {"clsa-4b", "h100-sxm", "triton-own", 4, 32768, 4},
    {"clsa-4b", "a100-sxm-80g", "triton-own", 2, 16384, 1},
};
#define CASES (sizeof cases / sizeof *cases)

static void make_case(struct bed *bed, size_t i)
{
    make_bed(bed, cases[i].model, cases[i].machine, cases[i].impl, cases[i].batch, cases[i].context,
             cases[i].group);
}

static void check_levels(const struct clsa_prediction *p, const struct clsa_replay_counts *n)
{
    uint64_t ps = 0, parts = 0;
    for (size_t o = 0; o < p->n_ops; o++) {
        ck_assert_uint_ge(p->ops[o].l1_bytes, p->ops[o].l2_bytes);
        ck_assert_uint_ge(p->ops[o].l2_bytes + n[o].dram_write_bytes, p->ops[o].dram_bytes);
        ck_assert_uint_ge(n[o].dram_bursts, n[o].dram_row_hits);
        ck_assert_uint_ge(n[o].tlb_lookups, n[o].tlb_walks);
        ps += p->ops[o].ps;
    }
    for (int part = 0; part < CLSA_PARTS; part++)
        parts += p->part_ps[part];
    ck_assert_uint_eq(ps, p->step_ps);
    ck_assert_uint_eq(parts, p->step_ps);
    ck_assert_uint_ge(p->l1_bytes, p->l2_bytes);
    ck_assert_uint_ge(p->l2_bytes, p->dram_bytes);
}

/* Levels pass on no more than they are asked, parts add up, a second run gives the same integers,
 * and the two predictors keep their stated distance: 6 % of a step. What replay alone knows is
 * which dirty lines leave when, which channels random rows crowd, and what a few selections leave
 * in L2. */
START_TEST(steps_keep_the_rules)
{
    for (size_t i = 0; i < CASES; i++) {
        struct bed bed;
        uint64_t digest[2];
        struct clsa_prediction closed;
        make_case(&bed, i);
        const size_t n_ops = bed.trace.step.n_ops;
        struct clsa_replay_counts *n = clsa_calloc(2 * n_ops, sizeof *n);
        ck_assert_ptr_nonnull(n);
        struct clsa_prediction a = replay_warm(&bed, &digest[0], n);
        struct clsa_prediction b = replay_warm(&bed, &digest[1], n + n_ops);
        check_levels(&a, n);
        ck_assert_uint_eq(digest[0], digest[1]);
        ck_assert_uint_eq(a.step_ps, b.step_ps);
        ck_assert_mem_eq(n, n + n_ops, n_ops * sizeof *n);
        for (size_t o = 0; o < n_ops; o++)
            ck_assert_uint_eq(a.ops[o].ps, b.ops[o].ps);
        const struct clsa_closed_request request = {
            .step = &bed.trace.step, .machine = &bed.machine, .impl = &bed.impl};
        ck_assert_int_eq(clsa_closed_predict(&request, &closed, &err), 0);
        const double ratio = (double)a.step_ps / (double)closed.step_ps;
        ck_assert_msg(ratio > 0.94 && ratio < 1.06, "case %zu: replay %.1f us, closed form %.1f us",
                      i, (double)a.step_ps / 1e6, (double)closed.step_ps / 1e6);
        free(n);
        clsa_prediction_destroy(&a);
        clsa_prediction_destroy(&b);
        clsa_prediction_destroy(&closed);
        free_bed(&bed);
    }
}
END_TEST

/* Time of the layers that reuse an index, by context. */
START_TEST(a_shared_layer_does_not_grow_with_context)
{
    uint64_t shared[2] = {0, 0}, scores[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        struct bed bed;
        make_bed(&bed, "clsa-4b", "h100-sxm", "triton-own", 1, i ? 131072 : 16384, 4);
        struct clsa_prediction p = replay_warm(&bed, NULL, NULL);
        for (size_t o = 0; o < p.n_ops; o++)
            if (bed.trace.step.ops[o].kind == CLSA_OP_INDEX_SCORE)
                scores[i] += p.ops[o].ps;
            else if (p.ops[o].part != CLSA_PART_INDEX && bed.trace.step.ops[o].layer > 16)
                shared[i] += p.ops[o].ps;
        clsa_prediction_destroy(&p);
        free_bed(&bed);
    }
    ck_assert_uint_gt(scores[1], scores[0] * 3 / 2);
    /* rows farther apart cost page walks and channels that collide, not more rows */
    ck_assert_uint_lt(shared[1], shared[0] * 103 / 100);
    ck_assert_uint_gt(shared[1], shared[0] * 97 / 100);
}
END_TEST

START_TEST(a_larger_cache_never_reads_more)
{
    static const char *const sizes[] = {"l2.size=2MiB", "l2.size=8MiB", "l2.size=12MiB",
                                        "l2.size=25MiB", "l2.size=50MiB"};
    struct bed bed;
    make_bed(&bed, "clsa-byte-5m", "h100-sxm", "triton-own", 4, 4096, 4);
    uint64_t before = UINT64_MAX;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        clsa_machine_destroy(&bed.machine);
        ck_assert_msg(clsa_machine_read("h100-sxm", &sizes[i], 1, &bed.machine, &err) == 0, "%s",
                      err.text);
        struct clsa_prediction p = replay_warm(&bed, NULL, NULL);
        ck_assert_uint_le(p.dram_bytes, before);
        before = p.dram_bytes;
        clsa_prediction_destroy(&p);
    }
    free_bed(&bed);
}
END_TEST

START_TEST(caches_keep_state_from_step_to_step)
{
    /* the byte model's weights fit the L2 of an H100 whole: the second step reads nothing */
    struct bed bed;
    make_bed(&bed, "clsa-byte-5m", "h100-sxm", "triton-own", 1, 2048, 2);
    const struct clsa_replay_request request = {.machine = &bed.machine, .impl = &bed.impl};
    struct clsa_replay *replay = NULL;
    struct clsa_prediction cold, warm;
    ck_assert_int_eq(clsa_replay_create(&request, &replay, &err), 0);
    ck_assert_ptr_null(clsa_replay_counts(replay));
    ck_assert_int_eq(clsa_replay_step(replay, &bed.trace, &cold, &err), 0);
    ck_assert_int_eq(clsa_replay_step(replay, &bed.trace, &warm, &err), 0);
    ck_assert_uint_gt(cold.dram_bytes, 8000000);
    ck_assert_uint_eq(warm.dram_bytes, 0);
    ck_assert_uint_lt(warm.step_ps, cold.step_ps);
    clsa_prediction_destroy(&cold);
    clsa_prediction_destroy(&warm);
    clsa_replay_destroy(replay);
    free_bed(&bed);
}
END_TEST

START_TEST(steps_that_cannot_be_replayed)
{
    struct bed bed;
    make_bed(&bed, "clsa-byte-5m", "toy-gpu", "triton-own", 1, 512, 2);
    const struct clsa_replay_request request = {.machine = &bed.machine, .impl = &bed.impl};
    struct clsa_replay *replay = NULL;
    struct clsa_prediction p;
    ck_assert_int_eq(clsa_replay_create(&request, &replay, &err), 0);
    struct clsa_trace_step broken = bed.trace;
    broken.n_index_sets--;
    ck_assert_int_eq(clsa_replay_step(replay, &broken, &p, &err), CLSA_EMISMATCH);
    /* every tensor moved up by 2^61: still a step, but no tag holds it */
    struct clsa_tensor *moved = clsa_calloc(bed.trace.step.n_tensors, sizeof *moved);
    ck_assert_ptr_nonnull(moved);
    memcpy(moved, bed.trace.step.tensors, bed.trace.step.n_tensors * sizeof *moved);
    for (uint32_t i = 0; i < bed.trace.step.n_tensors; i++)
        moved[i].address += UINT64_C(1) << 61;
    broken = bed.trace;
    broken.step.tensors = moved;
    ck_assert_int_eq(clsa_replay_step(replay, &broken, &p, &err), CLSA_ERANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "address"));
    free(moved);
    for (unsigned long n = 1; n < 4; n++) {
        clsa_alloc_fail_at(n);
        const int status = clsa_replay_step(replay, &bed.trace, &p, &err);
        clsa_alloc_fail_at(0);
        if (status == 0)
            clsa_prediction_destroy(&p);
        else
            ck_assert_int_eq(status, CLSA_ENOMEM);
    }
    clsa_replay_destroy(replay);
    unsigned long n = 1;
    for (; n < 100; n++) {
        replay = NULL;
        clsa_alloc_fail_at(n);
        const int status = clsa_replay_create(&request, &replay, &err);
        clsa_alloc_fail_at(0);
        clsa_replay_destroy(replay);
        if (status == 0)
            break;
        ck_assert_int_eq(status, CLSA_ENOMEM);
    }
    ck_assert_uint_lt(n, 100);
    /* more ways than are modelled: the message names machine and level */
    static const char *const ways[] = {"l2.ways=128"};
    clsa_machine_destroy(&bed.machine);
    ck_assert_int_eq(clsa_machine_read("toy-gpu", ways, 1, &bed.machine, &err), 0);
    replay = NULL;
    ck_assert_int_eq(clsa_replay_create(&request, &replay, &err), CLSA_ERANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "toy-gpu: l2: "));
    free_bed(&bed);
}
END_TEST

/* ---- timelines ---- */

START_TEST(timelines_are_json_in_order)
{
    struct bed bed;
    struct clsa_timeline *timeline = NULL;
    struct clsa_json *doc = NULL;
    char path[] = "timeline-XXXXXX";
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    make_bed(&bed, "clsa-byte-5m", "toy-gpu", "triton-own", 1, 512, 2);
    ck_assert_msg(clsa_timeline_open(path, &timeline, &err) == 0, "%s", err.text);
    clsa_timeline_machine(timeline, "toy \"GPU\"");
    const struct clsa_replay_request request = {.machine = &bed.machine,
                                                .impl = &bed.impl,
                                                .kernel = clsa_timeline_kernel,
                                                .user = timeline};
    struct clsa_replay *replay = NULL;
    struct clsa_prediction p[2];
    ck_assert_int_eq(clsa_replay_create(&request, &replay, &err), 0);
    for (int i = 0; i < 2; i++) {
        bed.trace.number = (uint64_t)i;
        ck_assert_int_eq(clsa_replay_step(replay, &bed.trace, &p[i], &err), 0);
    }
    ck_assert_int_eq(clsa_timeline_commit(timeline, &err), 0);
    ck_assert_msg(clsa_json_read(path, &doc, &err) == 0, "%s", err.text);
    const struct clsa_node *events = clsa_node_get(clsa_json_root(doc), "traceEvents");
    ck_assert(clsa_node_is_array(events));
    double kernels_us = 0, steps_us = 0, ops_us = 0, last_end = 0;
    for (size_t i = 0; i < clsa_node_count(events); i++) {
        const struct clsa_node *e = clsa_node_at(events, i);
        const char *phase = clsa_node_text(clsa_node_get(e, "ph"));
        ck_assert_ptr_nonnull(phase);
        if (strcmp(phase, "X") != 0)
            continue;
        double ts, dur;
        uint64_t track;
        ck_assert(clsa_node_f64(clsa_node_get(e, "ts"), &ts));
        ck_assert(clsa_node_f64(clsa_node_get(e, "dur"), &dur));
        ck_assert(clsa_node_u64(clsa_node_get(e, "tid"), &track));
        if (track == 1) {
            steps_us += dur;
        } else if (track == 2) {
            ops_us += dur;
        } else {
            ck_assert_double_ge(ts, last_end - 1e-5); /* kernels do not overlap */
            last_end = ts + dur;
            kernels_us += dur;
        }
    }
    const double whole = (double)(p[0].step_ps + p[1].step_ps) / 1e6;
    ck_assert_double_eq_tol(steps_us, whole, 1e-3);
    ck_assert_double_eq_tol(ops_us, whole, 1e-3);
    ck_assert_double_lt(kernels_us, whole); /* the rest is gaps between launches */
    ck_assert_double_gt(kernels_us, 0);
    clsa_json_destroy(doc);
    ck_assert_int_eq(unlink(path), 0);
    /* dropped timelines leave nothing */
    ck_assert_int_eq(clsa_timeline_open(path, &timeline, &err), 0);
    clsa_timeline_machine(timeline, "x");
    clsa_timeline_abort(timeline);
    ck_assert(!clsa_file_exists(path));
    clsa_prediction_destroy(&p[0]);
    clsa_prediction_destroy(&p[1]);
    clsa_replay_destroy(replay);
    free_bed(&bed);
}
END_TEST

START_TEST(the_bench_checks_what_it_times)
{
    struct clsa_bench_rate rates[CLSA_BENCH_RATES];
    size_t n = 0;
    ck_assert_msg(clsa_bench_replay(0, rates, &n, &err) == 0, "%s", err.text);
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_le(n, CLSA_BENCH_RATES);
    for (size_t i = 0; i < n; i++)
        ck_assert_double_gt(rates[i].rate, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("replay");
    TCase *units = tcase_create("units");
    tcase_add_test(units, operands_become_runs);
    tcase_add_test(units, a_missing_set_is_named);
    suite_add_tcase(s, units);
    TCase *steps = tcase_create("steps");
    tcase_set_timeout(steps, 120);
    tcase_add_test(steps, steps_keep_the_rules);
    tcase_add_test(steps, a_shared_layer_does_not_grow_with_context);
    tcase_add_test(steps, a_larger_cache_never_reads_more);
    tcase_add_test(steps, caches_keep_state_from_step_to_step);
    tcase_add_test(steps, steps_that_cannot_be_replayed);
    tcase_add_test(steps, timelines_are_json_in_order);
    tcase_add_test(steps, the_bench_checks_what_it_times);
    suite_add_tcase(s, steps);
    return s;
}

CLSA_TEST_MAIN(suite)
