#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/parallel.h"
#include "kernels/traffic.h"
#include "tests/kernels/mutants.h"
#include "tests/unit/test.h"

static float noise(size_t i)
{
    return (float)(int32_t)((uint32_t)i * 2654435761u ^ (uint32_t)i << 13) * 0x1p-31f;
}

static float *floats(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64 + 64);
    size_t i;

    ck_assert_ptr_nonnull(x);
    for (i = 0; i < n; i++)
        x[i] = noise(i);
    return x;
}

/* Every kernel of every rung that runs here. */
static void each_result(void *ctx, const struct clsa_check_result *r)
{
    int *seen = ctx;

    ++*seen;
    ck_assert_msg(r->failures == 0, "%s %s seed %llu: %s", r->rung, r->kernel,
                  (unsigned long long)r->seed, r->message);
    ck_assert_uint_gt(r->cases, 10);
    ck_assert_uint_gt(r->values, 0);
    ck_assert_double_le(r->worst, 1);
}

START_TEST(every_rung_holds)
{
    const struct clsa_kernels *k = clsa_kernels_get((enum clsa_rung)_i);
    struct clsa_check_options options = {
        .rung = clsa_rung_name((enum clsa_rung)_i), .seed = 42, .quick = 1};
    int seen = 0, names = 0;
    struct clsa_check_sink sink = {&seen, each_result, NULL};

    while (clsa_check_kernel_name((size_t)names) != NULL)
        names++;
    if (k == NULL) { /* not on this processor: asking for it is an error, not a pass */
        ck_assert_int_eq(clsa_check_run(&options, &sink), -1);
        return;
    }
    ck_assert_int_eq(clsa_check_run(&options, &sink), 0);
    ck_assert_int_eq(seen, names);
}
END_TEST

START_TEST(mutants_are_caught)
{
    struct clsa_check_result result;
    struct mutant m;

    ck_assert(mutant_get(_i, &m));
    ck_assert_msg(clsa_check_kernel(m.kernel, &m.table, 7, 1, &result) == 1,
                  "not caught: %s in %s (worst %g)", m.fault, m.kernel, result.worst);
    ck_assert_uint_gt(result.failures, 0);
    ck_assert_str_ne(result.message, "");
}
END_TEST

START_TEST(mutants_end)
{
    struct mutant m;

    ck_assert(!mutant_get(34, &m));
}
END_TEST

START_TEST(names_are_checked)
{
    struct clsa_check_options options = {.kernel = "no such kernel", .quick = 1};
    struct clsa_check_sink sink = {NULL, NULL, NULL};
    struct clsa_check_result result;

    ck_assert_int_eq(clsa_check_run(&options, &sink), -1);
    options.kernel = NULL;
    options.rung = "avx1024";
    ck_assert_int_eq(clsa_check_run(&options, &sink), -1);
    ck_assert_int_eq(clsa_check_kernel("", clsa_kernels_best(), 1, 1, &result), -1);
    ck_assert_ptr_null(clsa_kernels_by_name("avx1024"));
    ck_assert_ptr_eq(clsa_kernels_by_name("best"), clsa_kernels_best());
}
END_TEST

START_TEST(a_seed_repeats)
{
    struct clsa_check_result a, b, c;

    ck_assert_int_eq(clsa_check_kernel("softmax", clsa_kernels_best(), 5, 1, &a), 0);
    ck_assert_int_eq(clsa_check_kernel("softmax", clsa_kernels_best(), 5, 1, &b), 0);
    ck_assert_int_eq(clsa_check_kernel("softmax", clsa_kernels_best(), 6, 1, &c), 0);
    ck_assert_uint_eq(a.values, b.values);
    ck_assert_double_eq(a.worst, b.worst);
    ck_assert_double_ne(a.worst, c.worst);
}
END_TEST

/* The rung asked for is the one that was compiled for its instructions, and no slot is another's.
 */
START_TEST(the_rung_asked_for_runs)
{
    static const char *const isa[CLSA_RUNG_COUNT] = {"c11", "avx2", "avx512", "avx512bf16"};
    int a, b;

    for (a = 0; a < CLSA_RUNG_COUNT; a++) {
        const struct clsa_kernels *k = clsa_kernels_get((enum clsa_rung)a);

        if (k == NULL)
            continue;
        ck_assert_int_eq(k->rung, a);
        ck_assert_str_eq(k->name, clsa_rung_name((enum clsa_rung)a));
        ck_assert_str_eq(k->isa(), isa[a]);
        ck_assert_ptr_eq(clsa_kernels_by_name(k->name), k);
        for (b = 0; b < a; b++) {
            const struct clsa_kernels *other = clsa_kernels_get((enum clsa_rung)b);

            if (other == NULL)
                continue;
            ck_assert(k->gemm != other->gemm && k->topk != other->topk &&
                      k->attn_sparse != other->attn_sparse &&
                      k->index_score != other->index_score && k->rmsnorm != other->rmsnorm &&
                      k->attn_prefill != other->attn_prefill);
        }
    }
    ck_assert_int_ne(clsa_kernels_best()->rung, CLSA_RUNG_AVX512_BF16);
}
END_TEST

/* One problem for every function of parallel.h, its outputs in one array. */
enum { TOKENS = 3000, Q_HEADS = 6, KV_HEADS = 2, D = 32, QUERIES = 70, PICK = 300 };

struct outputs {
    float gemm_few[3 * 1000], gemm_many[40 * 200], attn[2][Q_HEADS * D],
        prefill[QUERIES * Q_HEADS * D];
    float sparse[QUERIES * Q_HEADS * D], score[TOKENS];
    int32_t index[PICK];
};

static void run_all(const struct clsa_kernels *k, int threads, struct outputs *o)
{
    float *x = floats(200000), *kv = floats(TOKENS * 2 * KV_HEADS * D);
    struct clsa_attn a = {Q_HEADS,
                          KV_HEADS,
                          D,
                          D,
                          0.18f,
                          {kv, CLSA_KERNEL_F32, 2 * KV_HEADS * D * 4, D * 4},
                          {kv + KV_HEADS * D, CLSA_KERNEL_F32, 2 * KV_HEADS * D * 4, D * 4},
                          0};
    struct clsa_rows w = {kv, CLSA_KERNEL_F32, 96 * 4, 0};
    struct clsa_par_topk_job select = {o->index, o->score, TOKENS, PICK, 0};
    struct clsa_par_index_job score = {
        o->score, x, NULL, {kv, CLSA_KERNEL_F32, 256, 0}, 0, TOKENS, 1, 64, 0.125f};
    struct clsa_par_attn_job jobs[2] = {{&a, x, o->attn[0], NULL, 10, 2900},
                                        {&a, x + 500, o->attn[1], o->index, 0, PICK}};
    int32_t count[QUERIES], *lists = malloc(QUERIES * PICK * sizeof *lists);
    size_t i;

    ck_assert_ptr_nonnull(lists);
    memset(o, 0xff, sizeof *o);
    omp_set_num_threads(threads);
    clsa_par_gemm(k, o->gemm_few, 1000, x, 96, &w, 3, 1000, 96);
    clsa_par_gemm(k, o->gemm_many, 200, x, 96, &w, 40, 200, 96);
    clsa_par_index_score(k, &score, 1);
    ck_assert_int_eq(clsa_par_topk(k, &select, 1), 0);
    ck_assert_uint_eq(select.count, PICK);
    ck_assert_int_eq(clsa_par_attn(k, jobs, 2), 0);
    clsa_par_attn_prefill(k, &a, o->prefill, Q_HEADS * D, x, Q_HEADS * D, 100, QUERIES, 50);
    for (i = 0; i < QUERIES; i++) {
        count[i] = (int32_t)(i * 4 % PICK);
        memcpy(lists + i * PICK, o->index, sizeof o->index);
    }
    clsa_par_attn_sparse_prefill(k, &a, o->sparse, Q_HEADS * D, x, Q_HEADS * D, QUERIES, lists,
                                 PICK, count);
    free(lists);
    free(x);
    free(kv);
}

START_TEST(threads_do_not_show)
{
    const struct clsa_kernels *k = clsa_kernels_get((enum clsa_rung)_i);
    static struct outputs one, many;
    int threads;

    if (k == NULL)
        return;
    run_all(k, 1, &one);
    for (threads = 2; threads <= 5; threads++) {
        run_all(k, threads, &many);
        ck_assert_mem_eq(&one, &many, sizeof one);
    }
}
END_TEST

/* Selecting every position, in order, is dense attention. */
START_TEST(all_selected_is_dense)
{
    const struct clsa_kernels *k = clsa_kernels_get((enum clsa_rung)_i);
    enum { KEYS = 700 };
    float *x = floats(20000), *kv = floats(KEYS * 2 * KV_HEADS * D), out[2][Q_HEADS * D];
    struct clsa_attn a = {Q_HEADS,
                          KV_HEADS,
                          D,
                          D,
                          0.18f,
                          {kv, CLSA_KERNEL_F32, 2 * KV_HEADS * D * 4, D * 4},
                          {kv + KV_HEADS * D, CLSA_KERNEL_F32, 2 * KV_HEADS * D * 4, D * 4},
                          0};
    int32_t all[KEYS];
    struct clsa_par_attn_job jobs[2] = {{&a, x, out[0], NULL, 0, KEYS},
                                        {&a, x, out[1], all, 0, KEYS}};
    int i;

    for (i = 0; i < KEYS; i++)
        all[i] = i;
    if (k != NULL) {
        ck_assert_int_eq(clsa_par_attn(k, jobs, 2), 0);
        ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
        /* and the last query of a prefill, up to the order of the additions */
        k->attn_prefill(&a, out[1], Q_HEADS * D, x, Q_HEADS * D, KEYS - 1, 1, 0);
        for (i = 0; i < Q_HEADS * D; i++)
            ck_assert_float_eq_tol(out[0][i], out[1][i], 2e-6f);
    }
    free(x);
    free(kv);
}
END_TEST

START_TEST(no_jobs_no_work)
{
    const struct clsa_kernels *k = clsa_kernels_best();
    struct clsa_attn a = {
        2, 1, 4, 4, 1, {NULL, CLSA_KERNEL_F32, 16, 16}, {NULL, CLSA_KERNEL_F32, 16, 16}, 0};
    float out[8] = {1, 1, 1, 1, 1, 1, 1, 1}, q[8] = {0};
    struct clsa_par_attn_job empty = {&a, q, out, NULL, 0, 0};
    int i;

    ck_assert_int_eq(clsa_par_attn(k, NULL, 0), 0);
    ck_assert_int_eq(clsa_par_topk(k, NULL, 0), 0);
    clsa_par_index_score(k, NULL, 0);
    ck_assert_int_eq(clsa_par_attn(k, &empty, 1), 0); /* nothing attended: zeros */
    for (i = 0; i < 8; i++)
        ck_assert_float_eq(out[i], 0);
}
END_TEST

/* Closed forms of traffic.h against counting. */
START_TEST(causal_work_is_counted)
{
    uint64_t first, nq, window, i, s;

    for (first = 0; first < 12; first++)
        for (nq = 0; nq < 12; nq++)
            for (window = 0; window < 10; window++) {
                uint64_t pairs = 0, rows = 0, seen[32] = {0};

                for (i = 0; i < nq; i++)
                    for (s = 0; s <= first + i; s++)
                        if (window == 0 || s + window > first + i) {
                            pairs++;
                            seen[s] = 1;
                        }
                for (s = 0; s < 32; s++)
                    rows += seen[s];
                ck_assert_uint_eq(clsa_traffic_causal_pairs(first, nq, window), pairs);
                ck_assert_uint_eq(clsa_traffic_causal_rows(first, nq, window), rows);
            }
    /* a prefill of 128 K tokens: the sum of 1 .. n */
    ck_assert_uint_eq(clsa_traffic_causal_pairs(0, 131072, 0), 131072ull * 131073 / 2);
}
END_TEST

START_TEST(work_of_calls)
{
    struct clsa_traffic t = clsa_traffic_gemm(3, 5, 7, 4, 2, 4);
    struct clsa_attn_shape s = {1, 2048, 2048, 20, 4, 128, 128, 2, 256, 256, 2, 2048, 0};

    ck_assert_uint_eq(t.flops, 2 * 3 * 5 * 7);
    ck_assert_uint_eq(t.bytes_read, 3 * 7 * 4 + 5 * 7 * 2);
    ck_assert_uint_eq(t.bytes_written, 3 * 5 * 4);
    t = clsa_traffic_attn(&s);
    ck_assert_uint_eq(t.bytes_read, 20 * 128 * 2 + 2048 * 4 * 512 + 2048 * 4);
    ck_assert_uint_eq(t.bytes_written, 20 * 128 * 2);
    s.kv_same = 1; /* a latent row is read once */
    ck_assert_uint_eq(clsa_traffic_attn(&s).bytes_read, 20 * 128 * 2 + 2048 * 4 * 256 + 2048 * 4);
    t = clsa_traffic_topk(2, 100, 300, 4);
    ck_assert_uint_eq(t.bytes_written, 2 * 100 * 4);
    t = clsa_traffic_rmsnorm(0, 100, 4, 4, 4);
    ck_assert_uint_eq(t.flops + t.bytes_read + t.bytes_written, 0);
    /* the index scan of facts: 128 K keys of 128 bfloat16 values are 33.5 MB */
    ck_assert_uint_eq(clsa_traffic_index_score(1, 131072, 1, 128, 0, 2, 256, 4).bytes_read,
                      131072ull * 256 + 256);
    ck_assert_uint_eq(clsa_kernel_row_bytes(CLSA_KERNEL_MLA_FP8, 576), 656);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kernels");
    TCase *t = tcase_create("kernels");

    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, every_rung_holds, 0, CLSA_RUNG_COUNT);
    tcase_add_loop_test(t, mutants_are_caught, 0, 34);
    tcase_add_test(t, mutants_end);
    tcase_add_test(t, names_are_checked);
    tcase_add_test(t, a_seed_repeats);
    tcase_add_test(t, the_rung_asked_for_runs);
    tcase_add_loop_test(t, threads_do_not_show, 0, CLSA_RUNG_COUNT);
    tcase_add_loop_test(t, all_selected_is_dense, 0, CLSA_RUNG_COUNT);
    tcase_add_test(t, no_jobs_no_work);
    tcase_add_test(t, causal_work_is_counted);
    tcase_add_test(t, work_of_calls);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
