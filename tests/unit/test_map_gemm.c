#include "tests/unit/maps_dense.h"

#include "sim/replay/map_gemm.h"

static const char *const machines[] = {"h100-sxm", "a100-sxm-80g", "l40s", "b200-sxm", "rtx-4090",
                                       "mi300x"};
#define MACHINES ((int)(sizeof machines / sizeof machines[0]))
static const uint64_t sizes_m[] = {1, 2, 7, 16, 64, 100, 128, 512, 1000, 4096, 16384};
static const uint64_t sizes_nk[] = {64, 256, 1000, 4096, 16384};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct world world;

static struct clsa_gemm_tiling tiling(uint64_t m, uint64_t n, uint64_t k)
{
    const struct clsa_op op = {.kind = CLSA_OP_GEMM};
    const struct clsa_gemm_shape shape = {1, m, n, k, CLSA_BF16, CLSA_BF16, CLSA_BF16};
    struct clsa_gemm_tiling t;
    clsa_map_gemm_tiling(&world.machine, &world.impl, &op, &shape, &t);
    return t;
}

START_TEST(tiles_cover_the_product_and_fit_an_sm)
{
    world_open(&world, machines[_i], "cublas");
    for (size_t a = 0; a < COUNT(sizes_m); a++)
        for (size_t b = 0; b < COUNT(sizes_nk); b++)
            for (size_t c = 0; c < COUNT(sizes_nk); c++) {
                const uint64_t m = sizes_m[a], n = sizes_nk[b], k = sizes_nk[c];
                const struct clsa_gemm_tiling t = tiling(m, n, k);
                const uint64_t down = (m + t.tile_m - 1) / t.tile_m;
                const uint64_t across = (n + t.tile_n - 1) / t.tile_n;
                ck_assert_uint_eq(t.tiles, down * across);
                ck_assert_uint_ge(t.split, 1);
                ck_assert_uint_le(t.split, (k + 63) / 64);
                ck_assert_uint_ge(t.stages, 1);
                const double held = 128.0 * (t.tile_m + t.tile_n) * t.stages * t.resident;
                ck_assert(t.stages == 1 || held <= world.machine.sm_smem);
                ck_assert(t.seconds > 0);
            }
    world_close(&world);
}
END_TEST

/* No product beats its arithmetic at the peak rate or, from cold caches, its weights at the
 * pins. */
START_TEST(time_is_never_below_the_roofline)
{
    struct one o;
    world_open(&world, machines[_i], "cublas");
    for (size_t a = 0; a < COUNT(sizes_m); a++)
        for (size_t b = 0; b < COUNT(sizes_nk); b++)
            for (size_t c = 0; c < COUNT(sizes_nk); c++) {
                const double m = (double)sizes_m[a], n = (double)sizes_nk[b],
                             k = (double)sizes_nk[c];
                one_gemm(&o, sizes_m[a], sizes_nk[b], sizes_nk[c]);
                const double seconds = one_seconds(&world, &o, true);
                ck_assert_double_ge(seconds, 2 * m * n * k / world.machine.tensor_bf16);
                ck_assert_double_ge(seconds, 2 * (n * k + m * k) / world.machine.dram_bandwidth);
            }
    world_close(&world);
}
END_TEST

/* Doubling a dimension never makes a product faster. Another tile or split may be chosen by an
 * estimate that the full model prices a little differently: that may cost 5 %. */
START_TEST(time_grows_with_every_dimension)
{
    struct one o;
    world_open(&world, machines[_i], "cublas");
    for (size_t a = 0; a < COUNT(sizes_m); a++)
        for (size_t b = 0; b < COUNT(sizes_nk); b++)
            for (size_t c = 0; c < COUNT(sizes_nk); c++) {
                const uint64_t m = sizes_m[a], n = sizes_nk[b], k = sizes_nk[c];
                one_gemm(&o, m, n, k);
                const double least = 0.95 * one_seconds(&world, &o, true);
                one_gemm(&o, 2 * m, n, k);
                ck_assert_double_ge(one_seconds(&world, &o, true), least);
                one_gemm(&o, m, 2 * n, k);
                ck_assert_double_ge(one_seconds(&world, &o, true), least);
                one_gemm(&o, m, n, 2 * k);
                ck_assert_double_ge(one_seconds(&world, &o, true), least);
            }
    world_close(&world);
}
END_TEST

/* With a tile of its own, one tile more than the SMs take at once is a second wave. */
START_TEST(a_tile_too_many_is_a_second_wave)
{
    struct one o;
    world_open(&world, "h100-sxm", "cublas");
    clsa_impl_put(&world.impl, CLSA_OP_GEMM, CLSA_IMPL_TILE_M, 128);
    clsa_impl_put(&world.impl, CLSA_OP_GEMM, CLSA_IMPL_TILE_N, 256);
    clsa_impl_put(&world.impl, CLSA_OP_GEMM, CLSA_IMPL_SPLIT_MAX, 1);
    ck_assert_double_eq(world.machine.sm_count, 12 * 11);
    one_gemm(&o, 128 * 12, 256 * 10, 16384);
    const double before = one_seconds(&world, &o, true);
    one_gemm(&o, 128 * 12, 256 * 11, 16384);
    const double full = one_seconds(&world, &o, true);
    one_gemm(&o, 128 * 12, 256 * 11 + 1, 16384);
    const double over = one_seconds(&world, &o, true);
    one_gemm(&o, 128 * 12, 256 * 22, 16384);
    const double twice = one_seconds(&world, &o, true);
    /* Power: a fuller machine runs at a lower clock. */
    ck_assert_double_lt(full - before, 0.12 * full);
    ck_assert_double_gt(over, 1.6 * full);
    ck_assert_double_lt(twice - over, 0.3 * over);
    world_close(&world);
}
END_TEST

START_TEST(power_takes_only_what_the_limit_asks)
{
    world_open(&world, "h100-sxm", "cublas");
    const double sustained = world.machine.tensor_sustained;
    const double second = world.machine.tensor_bf16; /* flops of one second at the peak */
    ck_assert(sustained < 1);
    /* Busy all the time: the sustained rate. Idle half the time: the peak. Between them, what
     * stretches the kernel to its energy. */
    ck_assert_double_eq_tol(clsa_map_power_share(&world.machine, CLSA_BF16, second, 1), 1, 1e-12);
    ck_assert_double_eq_tol(clsa_map_power_share(&world.machine, CLSA_BF16, second, 2),
                            1 / sustained, 1e-12);
    const double between = (1 + 1 / sustained) / 2;
    ck_assert_double_eq_tol(clsa_map_power_share(&world.machine, CLSA_BF16, second, between),
                            between, 1e-12);
    ck_assert_double_eq_tol(clsa_map_power_share(&world.machine, CLSA_BF16, 0, 1), 1 / sustained,
                            1e-12);
    world_close(&world);
}
END_TEST

/* Every output tile's operands pass L2 at least once for the product and at most once a tile. */
START_TEST(streams_lie_between_once_and_once_a_tile)
{
    struct one o;
    struct clsa_err err = {{0}};
    struct clsa_kernel_list list = {0};
    world_open(&world, machines[_i], "cublas");
    for (size_t a = 0; a < COUNT(sizes_m); a++) {
        one_gemm(&o, sizes_m[a], 4096, 1000);
        ck_assert(!clsa_map_op(&o.step, &o.op, &world.machine, &world.impl, &list, &err));
        const struct clsa_gemm_tiling t = tiling(sizes_m[a], 4096, 1000);
        ck_assert_uint_eq(list.n, t.split > 1 ? 2 : 1);
        for (unsigned s = 0; s < list.kernels[0].n_streams; s++) {
            const struct clsa_gpu_stream *x = &list.kernels[0].streams[s];
            ck_assert_double_ge(x->total_bytes, x->unique_bytes);
            ck_assert_double_le(x->total_bytes, x->unique_bytes * (double)t.tiles);
        }
    }
    world_close(&world);
}
END_TEST

START_TEST(what_the_machine_lacks_is_said)
{
    struct one o;
    struct clsa_err err = {{0}};
    struct clsa_kernel_list list = {0};
    world_open(&world, "a100-sxm-80g", "cublas");
    one_gemm(&o, 16, 4096, 4096);
    o.op.weight_dtype = o.op.input_dtype = CLSA_FP8;
    ck_assert_int_eq(clsa_map_op(&o.step, &o.op, &world.machine, &world.impl, &list, &err),
                     CLSA_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "fp8"));
    one_gemm(&o, 16, 0, 4096);
    ck_assert_int_eq(clsa_map_op(&o.step, &o.op, &world.machine, &world.impl, &list, &err),
                     CLSA_EUNSUPPORTED);
    world_close(&world);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("map_gemm");
    TCase *t = tcase_create("gemm");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, tiles_cover_the_product_and_fit_an_sm, 0, MACHINES);
    tcase_add_loop_test(t, time_is_never_below_the_roofline, 0, MACHINES);
    tcase_add_loop_test(t, time_grows_with_every_dimension, 0, MACHINES);
    tcase_add_test(t, a_tile_too_many_is_a_second_wave);
    tcase_add_test(t, power_takes_only_what_the_limit_asks);
    tcase_add_loop_test(t, streams_lie_between_once_and_once_a_tile, 0, MACHINES);
    tcase_add_test(t, what_the_machine_lacks_is_said);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
