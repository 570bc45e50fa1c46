#include "tests/unit/maps_dense.h"

#include <math.h>

#include "sim/replay/map_attention.h"

static const char *const machines[] = {"h100-sxm", "a100-sxm-80g", "l40s", "b200-sxm", "rtx-4090",
                                       "mi300x"};
#define MACHINES ((int)(sizeof machines / sizeof machines[0]))
static const uint32_t batches[] = {1, 3, 16, 128, 1000};
static const uint64_t contexts[] = {1, 100, 128, 1024, 5000, 32768};
static const uint32_t head_pairs[][2] = {{8, 1}, {8, 8}, {32, 8}, {64, 1}, {20, 4}};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct world world;

static struct clsa_attention_blocks blocks_of(const struct one *o)
{
    struct clsa_attention_blocks b;
    clsa_map_attention_blocks(&o->step, &o->op, &world.machine, &world.impl, &b);
    return b;
}

/* The keys' bytes at the pins and the products at the peak are lower bounds. */
START_TEST(time_is_never_below_the_roofline)
{
    struct one o;
    world_open(&world, machines[_i], "flash-attention-3");
    for (size_t a = 0; a < COUNT(batches); a++)
        for (size_t b = 0; b < COUNT(contexts); b++)
            for (size_t h = 0; h < COUNT(head_pairs); h++) {
                const double keys = (double)batches[a] * (double)contexts[b];
                one_attention(&o, batches[a], contexts[b], 1, head_pairs[h][0],
                              head_pairs[h][1], 0);
                double seconds = one_seconds(&world, &o, true);
                ck_assert_double_ge(seconds,
                                    keys * head_pairs[h][1] * 512 / world.machine.dram_bandwidth);
                ck_assert_double_ge(seconds,
                                    keys * head_pairs[h][0] * 512 / world.machine.tensor_bf16);
                const double triangle = keys * ((double)contexts[b] + 1) / 2;
                one_attention(&o, batches[a], contexts[b], contexts[b], head_pairs[h][0],
                              head_pairs[h][1], 0);
                seconds = one_seconds(&world, &o, true);
                ck_assert_double_ge(seconds,
                                    triangle * head_pairs[h][0] * 512 / world.machine.tensor_bf16);
            }
    world_close(&world);
}
END_TEST

static unsigned kernels_of(const struct one *o)
{
    struct clsa_err err = {{0}};
    struct clsa_kernel_list list = {0};
    ck_assert(!clsa_map_op(&o->step, &o->op, &world.machine, &world.impl, &list, &err));
    return list.n;
}

/* More sequences or keys never take less time, as long as the same kernels run (many sequences
 * need no kernel that joins splits, several tokens none that packs queries). Splits are whole
 * tiles and blocks whole waves, so that a doubling may trade one for the other: within 10 %. */
START_TEST(time_grows_with_batch_and_context)
{
    struct one o;
    world_open(&world, machines[_i], "flash-attention-3");
    for (size_t a = 0; a < COUNT(batches); a++)
        for (size_t b = 0; b < COUNT(contexts); b++)
            for (size_t h = 0; h < COUNT(head_pairs); h++)
                for (int prefill = 0; prefill < 2; prefill++) {
                    const uint64_t s = contexts[b], fresh = prefill ? s : 1;
                    const uint32_t hq = head_pairs[h][0], hk = head_pairs[h][1];
                    one_attention(&o, batches[a], s, fresh, hq, hk, 0);
                    const double least = 0.9 * one_seconds(&world, &o, true);
                    const unsigned kernels = kernels_of(&o);
                    one_attention(&o, 2 * batches[a], s, fresh, hq, hk, 0);
                    /* The planned splits of up to 992 sequences cost a pass over them. */
                    if (kernels_of(&o) == kernels && (batches[a] > 992 || 2 * batches[a] <= 992))
                        ck_assert_double_ge(one_seconds(&world, &o, true), least);
                    one_attention(&o, batches[a], 2 * s, prefill ? 2 * s : 1, hq, hk, 0);
                    if (kernels_of(&o) == kernels)
                        ck_assert_double_ge(one_seconds(&world, &o, true), least);
                }
    world_close(&world);
}
END_TEST

/* A window's time does not depend on how much lies before it. */
START_TEST(a_window_hides_what_lies_before_it)
{
    struct one o;
    world_open(&world, machines[_i], "flash-attention-3");
    for (uint64_t fresh = 1; fresh <= 1024; fresh *= 32) {
        one_attention(&o, 4, 8192 + fresh, fresh, 20, 4, 512);
        const double near = one_seconds(&world, &o, true);
        one_attention(&o, 4, 131072 + fresh, fresh, 20, 4, 512);
        ck_assert_double_eq_tol(one_seconds(&world, &o, true), near, 1e-12);
        const struct clsa_attention_blocks b = blocks_of(&o);
        ck_assert_double_le(b.longest, (512 + b.tile_m) / b.tile_n + 2);
    }
    world_close(&world);
}
END_TEST

/* With square tiles of one head, row tile i of a causal prefill sees i + 1 key tiles. */
START_TEST(causal_tiles_follow_the_triangle)
{
    struct one o;
    world_open(&world, "h100-sxm", "flash-attention-3");
    for (uint64_t n = 1; n <= 64; n *= 4) {
        const double tiles = (double)n;
        one_attention(&o, 132, 128 * n, 128 * n, 8, 8, 0);
        const struct clsa_attention_blocks b = blocks_of(&o);
        ck_assert(!b.packed);
        ck_assert_double_eq(b.chunks, 132 * 8 * tiles);
        ck_assert_double_eq_tol(b.tiles, (tiles + 1) / 2, 1e-9);
        ck_assert_double_eq(b.longest, tiles);
        ck_assert_double_eq(b.key_passes, tiles);
    }
    world_close(&world);
}
END_TEST

/* Query heads share a tile where that saves blocks: 4 heads of 16 tokens fill 64 of 128 rows. */
START_TEST(heads_are_packed_where_that_saves_blocks)
{
    struct one o;
    world_open(&world, "h100-sxm", "flash-attention-3");
    one_attention(&o, 132, 16, 16, 32, 8, 0);
    struct clsa_attention_blocks b = blocks_of(&o);
    ck_assert(b.packed);
    ck_assert_double_eq(b.rows, 64);
    ck_assert_double_eq(b.chunks, 132 * 8);
    one_attention(&o, 132, 1024, 1, 64, 1, 0);
    b = blocks_of(&o);
    ck_assert(b.packed);
    ck_assert_double_eq(b.rows, 64);
    world_close(&world);
}
END_TEST

/* Few sequences split their keys until the SMs have equal shares or the limit is met; many do
 * not. */
START_TEST(keys_are_split_only_where_sms_idle)
{
    struct one o;
    world_open(&world, "h100-sxm", "flash-attention-3");
    one_attention(&o, 1, 1024, 1, 8, 1, 0);
    ck_assert_double_eq(blocks_of(&o).splits, 8); /* as many as tiles of 128 keys */
    one_attention(&o, 1, 131072, 1, 8, 1, 0);
    ck_assert_double_eq(blocks_of(&o).splits, 32); /* split_max */
    ck_assert_double_eq(blocks_of(&o).tiles, 32);
    one_attention(&o, 256, 4096, 1, 64, 8, 0);
    ck_assert_double_eq(blocks_of(&o).splits, 1);
    /* Whatever the split, all tiles are visited. */
    for (size_t a = 0; a < COUNT(batches); a++)
        for (size_t c = 0; c < COUNT(contexts); c++) {
            one_attention(&o, batches[a], contexts[c], 1, 16, 2, 0);
            const struct clsa_attention_blocks b = blocks_of(&o);
            const double tiles = ceil((double)contexts[c] / 128) * 2 * batches[a];
            ck_assert_double_ge(b.chunks * b.longest, tiles);
        }
    world_close(&world);
}
END_TEST

/* What the kernels ask of memory is the K/V rows once in decode, and at least once in prefill. */
START_TEST(streams_carry_the_keys)
{
    struct one o;
    struct clsa_err err = {{0}};
    struct clsa_kernel_list list = {0};
    world_open(&world, machines[_i], "flash-attention-3");
    for (uint64_t fresh = 1; fresh <= 2048; fresh *= 2048) {
        one_attention(&o, 3, 4096, fresh, 32, 8, 0);
        ck_assert(!clsa_map_op(&o.step, &o.op, &world.machine, &world.impl, &list, &err));
        double unique = 0, total = 0;
        for (unsigned i = 0; i < list.n; i++)
            for (unsigned s = 0; s < list.kernels[i].n_streams; s++) {
                const struct clsa_gpu_stream *x = &list.kernels[i].streams[s];
                if (x->operand < 0 || o.op.operands[x->operand].axis != CLSA_AXIS_KEYS)
                    continue;
                unique += x->unique_bytes;
                total += x->total_bytes;
            }
        ck_assert_double_eq_tol(unique, 3.0 * 4096 * 8 * 512, 1);
        ck_assert_double_ge(total, unique);
        if (fresh == 1)
            ck_assert_double_eq_tol(total, unique, 1);
    }
    world_close(&world);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("map_attention");
    TCase *t = tcase_create("attention");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, time_is_never_below_the_roofline, 0, MACHINES);
    tcase_add_loop_test(t, time_grows_with_batch_and_context, 0, MACHINES);
    tcase_add_loop_test(t, a_window_hides_what_lies_before_it, 0, MACHINES);
    tcase_add_test(t, causal_tiles_follow_the_triangle);
    tcase_add_test(t, heads_are_packed_where_that_saves_blocks);
    tcase_add_test(t, keys_are_split_only_where_sms_idle);
    tcase_add_loop_test(t, streams_carry_the_keys, 0, MACHINES);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
