#include "tests/unit/maps_dsa.h"

#include <math.h>
#include <string.h>

#include "sim/replay/closed.h"
#include "sim/replay/map_dsa.h"

static struct clsa_geometry g;
static struct planned p;
static struct clsa_machine machine;
static struct clsa_implementation impl;

static void open_world(const char *name, const char *model)
{
    struct clsa_err err = {{0}};
    char path[512];
    snprintf(path, sizeof path, "%s/hwmodels/machines/%s.csv", clsa_test_source(), name);
    ck_assert_msg(!clsa_machine_read(path, NULL, 0, &machine, &err), "%s", err.text);
    snprintf(path, sizeof path, "%s/hwmodels/implementations/sglang-0.5.14.csv",
             clsa_test_source());
    ck_assert_msg(!clsa_impl_read(path, NULL, 0, &impl, &err), "%s", err.text);
    model_read(model, &g);
}

static void close_world(void)
{
    clsa_machine_destroy(&machine);
    clsa_impl_destroy(&impl);
}

/* Predicted picoseconds of the planned step; with layer >= 0 of the ops of that layer. */
static uint64_t predict(int32_t layer, unsigned only_kind)
{
    struct clsa_err err = {{0}};
    struct clsa_prediction out;
    const struct clsa_closed_request r = {.step = &p.step, .machine = &machine, .impl = &impl,
                                          .no_host = true};
    ck_assert_msg(!clsa_closed_predict(&r, &out, &err), "%s", err.text);
    uint64_t ps = 0;
    for (size_t i = 0; i < out.n_ops; i++)
        if ((layer < 0 || p.step.ops[i].layer == layer) &&
            (only_kind == CLSA_OP_KINDS || p.step.ops[i].kind == only_kind))
            ps += out.ops[i].ps;
    clsa_prediction_destroy(&out);
    return ps;
}

static uint64_t decode(uint32_t seqs, uint64_t context, uint32_t group, int32_t layer, unsigned kind)
{
    plan_of(&p, &g, seqs, context, 1, group);
    const uint64_t ps = predict(layer, kind);
    clsa_plan_destroy(&p.step);
    return ps;
}

/* Beyond the top-k a shared layer's time does not depend on the context. */
START_TEST(shared_layers_do_not_see_the_context)
{
    open_world("h100-sxm", "glm-5.2");
    for (uint32_t seqs = 1; seqs <= 16; seqs *= 4) {
        const uint64_t at_4k = decode(seqs, 4096, g.index_group, 5, CLSA_OP_KINDS);
        ck_assert_uint_eq(at_4k, decode(seqs, 65536, g.index_group, 5, CLSA_OP_KINDS));
        ck_assert_uint_eq(at_4k, decode(seqs, 1 << 20, g.index_group, 5, CLSA_OP_KINDS));
    }
    close_world();
}
END_TEST

/* A full layer takes longer than a shared one, by more at longer contexts. */
START_TEST(what_sharing_saves_grows_with_the_context)
{
    open_world("h100-sxm", "glm-5.2");
    uint64_t before = 0;
    for (uint64_t context = 2048; context <= (1 << 19); context *= 4) {
        const uint64_t full = decode(2, context, g.index_group, 6, CLSA_OP_KINDS);
        const uint64_t shared = decode(2, context, g.index_group, 5, CLSA_OP_KINDS);
        ck_assert_uint_gt(full, shared + before);
        before = full - shared;
    }
    close_world();
}
END_TEST

/* Fewer selections never make a step longer. */
START_TEST(larger_groups_are_never_slower)
{
    const uint32_t groups[] = {1, 2, 3, 6, 13, 26, 39, 78};
    open_world("b200-sxm", "glm-5");
    for (unsigned fp8 = 0; fp8 < 2; fp8++) {
        uint64_t before = UINT64_MAX;
        g.kv_dtype = fp8 ? CLSA_FP8 : CLSA_BF16;
        for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
            const uint64_t ps = decode(8, 32768, groups[i], -1, CLSA_OP_KINDS);
            ck_assert_uint_le(ps, before);
            before = ps;
        }
    }
    close_world();
}
END_TEST

/* Index scores: the keys' bytes at the pins are a lower bound once they exceed the cache, and time
 * grows with sequences and context. */
START_TEST(scores_take_at_least_their_bytes)
{
    open_world("h100-sxm", "deepseek-v3.2");
    g.cross_layers = 1;
    g.experts = 0;
    for (uint32_t seqs = 1; seqs <= 64; seqs *= 4) {
        uint64_t before = 0;
        for (uint64_t context = 1024; context <= (1 << 18); context *= 4) {
            const uint64_t ps = decode(seqs, context, 1, 0, CLSA_OP_INDEX_SCORE);
            const double bytes = 132.0 * seqs * (double)context;
            ck_assert_uint_ge(ps, before);
            if (bytes > 2 * machine.l2_size)
                ck_assert_double_ge((double)ps * 1e-12, bytes / machine.dram_bandwidth);
            before = ps;
        }
    }
    close_world();
}
END_TEST

/* Contexts within the top-k are taken whole: no pass over the scores. */
START_TEST(selection_of_everything_is_cheap)
{
    open_world("h100-sxm", "glm-5");
    g.cross_layers = 1;
    g.experts = 0;
    const uint64_t whole = decode(4, 2048, 1, 0, CLSA_OP_TOPK);
    ck_assert_uint_eq(whole, decode(4, 100, 1, 0, CLSA_OP_TOPK));
    ck_assert_uint_gt(decode(4, 2049, 1, 0, CLSA_OP_TOPK), whole);
    close_world();
}
END_TEST

/* One selection a block: as many rows as SMs take as long as one, by their own reckoning and but for
 * what memory adds; twice as many than fit at once take about twice as long. */
START_TEST(selections_come_in_waves)
{
    open_world("h100-sxm", "glm-5");
    g.cross_layers = 1;
    g.experts = 0;
    const double one = (double)decode(1, 4096, 1, 0, CLSA_OP_TOPK);
    const double wave = (double)decode(132, 4096, 1, 0, CLSA_OP_TOPK);
    const double more = (double)decode(133, 4096, 1, 0, CLSA_OP_TOPK);
    ck_assert_double_lt(wave, 1.3 * one);
    ck_assert_double_gt(more, 1.2 * wave);
    close_world();
}
END_TEST

/* Prefill scores: tiles of 4 queries of 32 heads over 132 SMs, so 528 queries take one round. */
START_TEST(prefill_scores_step_with_rounds_of_queries)
{
    struct clsa_index_tiles t;
    const uint64_t past[2] = {1000, 1000};
    struct clsa_step step = {.phase = CLSA_PREFILL, .n_seqs = 1, .new_tokens = 528, .past = past};
    struct clsa_op op = {.kind = CLSA_OP_INDEX_SCORE, .heads = 32};
    op.m = 528;
    clsa_map_index_tiles(&step, &op, 132, 4, 256, 528, &t);
    ck_assert_uint_eq(t.tiles, 132);
    ck_assert_uint_eq(t.chunks, 1);
    ck_assert_double_eq(t.rounds, 1);
    ck_assert_double_eq(t.longest, ceil(1528 / 256.0));
    step.new_tokens = op.m = 529;
    clsa_map_index_tiles(&step, &op, 132, 4, 256, 529, &t);
    ck_assert_double_eq(t.rounds, 2);
    /* In chunks of 264 queries half the SMs work at a time. */
    step.new_tokens = op.m = 528;
    clsa_map_index_tiles(&step, &op, 132, 4, 256, 264, &t);
    ck_assert_uint_eq(t.chunks, 2);
    ck_assert_double_eq(t.rounds, 2);
    /* A tile over two sequences walks the keys of both. */
    step.n_seqs = 2;
    step.new_tokens = 2;
    op.m = 4;
    clsa_map_index_tiles(&step, &op, 132, 4, 256, 4, &t);
    ck_assert_double_eq(t.steps, ceil(2 * 1002 / 256.0));
}
END_TEST

/* An fp8 cache moves fewer bytes but pays for every slot: at one key it is the slower one. */
START_TEST(scaled_rows_cost_every_slot)
{
    open_world("h100-sxm", "glm-5");
    g.cross_layers = 1;
    g.experts = 0;
    const uint64_t plain = decode(64, 1, 1, 0, CLSA_OP_ATTN_SPARSE);
    g.kv_dtype = CLSA_FP8;
    const uint64_t scaled = decode(64, 1, 1, 0, CLSA_OP_ATTN_SPARSE);
    ck_assert_uint_gt(scaled, plain);
    close_world();
}
END_TEST

/* Prefill is as long as the host needs to issue it, or as the GPU needs to run it. */
START_TEST(short_prefill_is_bound_by_the_host)
{
    struct clsa_err err = {{0}};
    struct clsa_prediction out;
    open_world("h100-sxm", "deepseek-v3.2");
    g.cross_layers = 1;
    plan_of(&p, &g, 1, 4096, 16, 1);
    struct clsa_closed_request r = {.step = &p.step, .machine = &machine, .impl = &impl};
    ck_assert(!clsa_closed_predict(&r, &out, &err));
    double host = 0;
    for (size_t i = 0; i < p.step.n_ops; i++)
        if (clsa_impl_get(&impl, &p.step.ops[i], CLSA_IMPL_LAUNCH) != CLSA_LAUNCH_FUSED)
            host += clsa_impl_get(&impl, &p.step.ops[i], CLSA_IMPL_HOST_TIME);
    ck_assert_double_eq_tol((double)out.step_ps * 1e-12, host, 1e-9);
    ck_assert_uint_eq(out.part_ps[0] + out.part_ps[1] + out.part_ps[2], out.step_ps);
    clsa_prediction_destroy(&out);
    clsa_plan_destroy(&p.step);
    close_world();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("map_dsa");
    TCase *c = tcase_create("map");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, shared_layers_do_not_see_the_context);
    tcase_add_test(c, what_sharing_saves_grows_with_the_context);
    tcase_add_test(c, larger_groups_are_never_slower);
    tcase_add_test(c, scores_take_at_least_their_bytes);
    tcase_add_test(c, selection_of_everything_is_cheap);
    tcase_add_test(c, selections_come_in_waves);
    tcase_add_test(c, prefill_scores_step_with_rounds_of_queries);
    tcase_add_test(c, scaled_rows_cost_every_slot);
    tcase_add_test(c, short_prefill_is_bound_by_the_host);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
