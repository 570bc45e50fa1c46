#include <math.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/rng.h"
#include "sim/routing/overlap.h"
#include "sim/routing/reuse.h"
#include "sim/routing/stats.h"
#include "sim/routing/synthetic.h"
#include "tests/unit/mock_step.h"
#include "tests/unit/test.h"
#include "traces/bounds.h"

static struct clsa_err err;

/* ---- overlap ---- */

static size_t overlap_plain(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++)
            count += a[i] == b[j];
    return count;
}

START_TEST(overlap_equals_the_plain_count)
{
    uint32_t a[400], b[400];
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 3);
    for (int round = 0; round < 500; round++) {
        size_t n = 0, m = 0;
        /* Sparse against dense drives the galloping path. */
        const uint64_t rare = 1 + clsa_rng_below(&rng, 60);
        for (uint32_t p = 0; p < 400; p++) {
            if (clsa_rng_below(&rng, rare) == 0)
                a[n++] = p;
            if (clsa_rng_below(&rng, 2) == 0)
                b[m++] = p;
        }
        ck_assert_uint_eq(clsa_overlap_count(a, n, b, m), overlap_plain(a, n, b, m));
        ck_assert_uint_eq(clsa_overlap_count(b, m, a, n), overlap_plain(a, n, b, m));
        ck_assert_uint_eq(clsa_overlap_count(a, n, a, n), n);
    }
    ck_assert_uint_eq(clsa_overlap_count(a, 0, b, 5), 0);
}
END_TEST

START_TEST(the_cut_counts_ties)
{
    const float scores[] = {0, 3, 0, NAN, 2, 0, 5, -INFINITY};
    struct clsa_cut cut;
    ck_assert_int_eq(clsa_cut_find(scores, 8, 4, &cut), 0);
    ck_assert(cut.threshold == 0 && cut.above == 3 && cut.tied == 3 && cut.open == 1);
    ck_assert_int_eq(clsa_cut_find(scores, 8, 2, &cut), 0);
    ck_assert(cut.threshold == 3 && cut.above == 1 && cut.tied == 1 && cut.open == 1);
    ck_assert_int_eq(clsa_cut_find(scores, 8, 0, &cut), 0);
    ck_assert(cut.open == 0);
    ck_assert_int_eq(clsa_cut_find(scores, 8, 8, &cut), 0);
    ck_assert(cut.above == 6 && cut.tied == 2 && cut.open == 2); /* NaN ranks as -inf */
}
END_TEST

/* Is `mask` a legal top-k selection of the scores: nothing outside beats anything inside. */
static bool legal(const float *scores, size_t keys, unsigned mask, int k)
{
    if (__builtin_popcount(mask) != k)
        return false;
    for (size_t i = 0; i < keys; i++)
        for (size_t j = 0; j < keys; j++)
            if ((mask >> i & 1) && !(mask >> j & 1) && scores[j] > scores[i])
                return false;
    return true;
}

START_TEST(tied_bounds_equal_enumeration)
{
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 11);
    for (int round = 0; round < 400; round++) {
        enum { KEYS = 7 };
        float a[KEYS], b[KEYS];
        size_t least = KEYS, most = 0, got_least, got_most;
        const uint64_t values = 1 + clsa_rng_below(&rng, 4); /* few values: many ties */
        for (int i = 0; i < KEYS; i++) {
            a[i] = (float)clsa_rng_below(&rng, values);
            b[i] = (float)clsa_rng_below(&rng, values);
        }
        const int ka = (int)clsa_rng_below(&rng, KEYS + 1),
                  kb = (int)clsa_rng_below(&rng, KEYS + 1);
        for (unsigned x = 0; x < 1u << KEYS; x++)
            for (unsigned y = 0; legal(a, KEYS, x, ka) && y < 1u << KEYS; y++)
                if (legal(b, KEYS, y, kb)) {
                    const size_t shared = (size_t)__builtin_popcount(x & y);
                    least = shared < least ? shared : least;
                    most = shared > most ? shared : most;
                }
        ck_assert_int_eq(
            clsa_overlap_tied(a, (size_t)ka, b, (size_t)kb, KEYS, &got_least, &got_most), 0);
        ck_assert_uint_eq(got_least, least);
        ck_assert_uint_eq(got_most, most);
    }
}
END_TEST

START_TEST(mass_is_a_share)
{
    const float scores[] = {0.0f, 0.0f, 0.0f, 0.0f}, steep[] = {100.0f, 0.0f, 0.0f, 0.0f};
    const float none[] = {-INFINITY, -INFINITY};
    const uint32_t first[] = {0}, all[] = {0, 1, 2, 3}, rest[] = {1, 2, 3};
    ck_assert_double_eq_tol(clsa_mass_covered(scores, 4, first, 1), 0.25, 1e-15);
    ck_assert_double_eq(clsa_mass_covered(scores, 4, all, 4), 1.0);
    ck_assert_double_eq_tol(clsa_mass_covered(steep, 4, first, 1), 1.0, 1e-15);
    ck_assert_double_eq_tol(clsa_mass_covered(steep, 4, rest, 3), 3 * exp(-100.0), 1e-50);
    ck_assert_double_eq(clsa_mass_covered(none, 2, first, 1), 0.5);
    ck_assert_double_eq(clsa_mass_covered(scores, 0, NULL, 0), 0.0);
}
END_TEST

/* ---- reuse ---- */

START_TEST(a_cyclic_sweep_has_its_length_as_distance)
{
    /* Rows 0 .. n-1 again and again: every reuse sees n - 1 others. */
    struct clsa_reuse *r = clsa_reuse_create();
    const uint64_t n = 5000;
    for (int sweep = 0; sweep < 4; sweep++)
        for (uint64_t row = 0; row < n; row++) {
            uint64_t d;
            ck_assert_int_eq(clsa_reuse_touch(r, row << 32, &d), 0);
            ck_assert_uint_eq(d, sweep ? n - 1 : CLSA_REUSE_FIRST);
        }
    clsa_reuse_destroy(r);
}
END_TEST

START_TEST(distances_equal_a_list)
{
    /* Against the definition: a list with the most recent row in front. */
    enum { ROWS = 97 };
    uint64_t list[ROWS];
    size_t n = 0;
    struct clsa_reuse *r = clsa_reuse_create();
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 5);
    for (int i = 0; i < 30000; i++) {
        const uint64_t row = clsa_rng_below(&rng, 1 + clsa_rng_below(&rng, ROWS));
        size_t at = 0;
        uint64_t d;
        while (at < n && list[at] != row)
            at++;
        ck_assert_int_eq(clsa_reuse_touch(r, row, &d), 0);
        ck_assert_uint_eq(d, at < n ? at : CLSA_REUSE_FIRST);
        n += at == n;
        memmove(list + 1, list, at * sizeof *list);
        list[0] = row;
    }
    clsa_reuse_destroy(r);
}
END_TEST

START_TEST(the_histogram_bins_by_powers_of_two)
{
    struct clsa_reuse_histogram h = {0};
    ck_assert_double_eq(clsa_reuse_median(&h), -1.0);
    clsa_reuse_add(&h, CLSA_REUSE_FIRST);
    clsa_reuse_add(&h, 0);
    clsa_reuse_add(&h, 1);
    clsa_reuse_add(&h, 2);
    clsa_reuse_add(&h, 3);
    clsa_reuse_add(&h, UINT64_MAX - 1);
    ck_assert(h.first == 1 && h.reuses == 5 && h.bins[0] == 1 && h.bins[1] == 1 && h.bins[2] == 2);
    ck_assert_uint_eq(h.bins[CLSA_REUSE_BINS - 1], 1);
    ck_assert_double_ge(clsa_reuse_median(&h), 2.0);
    ck_assert_double_lt(clsa_reuse_median(&h), 4.0);
}
END_TEST

/* ---- synthetic ---- */

/* Decode steps of n_seqs sequences, `keys` growing by one, with n_sets groups. */
struct run {
    struct clsa_step step;
    uint64_t past[4];
    struct clsa_query queries[4];
};

static void run_step(struct run *r, uint32_t n_seqs, uint64_t keys, uint32_t n_sets, uint32_t top_k)
{
    memset(r, 0, sizeof *r);
    r->step = (struct clsa_step){.phase = CLSA_DECODE,
                                 .group = n_sets ? 1 : 0,
                                 .top_k = top_k,
                                 .n_seqs = n_seqs,
                                 .new_tokens = 1,
                                 .past = r->past,
                                 .n_queries = n_seqs,
                                 .queries = r->queries,
                                 .n_sets = n_sets};
    for (uint32_t s = 0; s < n_seqs; s++) {
        r->past[s] = keys - 1;
        r->queries[s] = (struct clsa_query){.seq = s, .keys = keys};
    }
}

/* Runs the generator and counts; every step is held against the trace's bounds. */
static struct clsa_selection_counter *count_run(const struct clsa_synthetic_params *p,
                                                uint32_t n_seqs, uint64_t keys, uint64_t steps,
                                                uint32_t n_sets, uint32_t top_k)
{
    struct clsa_synthetic *s = NULL;
    struct clsa_selection_counter *c = clsa_selection_counter_create();
    ck_assert_int_eq(clsa_synthetic_create(p, &s, &err), 0);
    for (uint64_t i = 0; i < steps; i++) {
        struct run r;
        struct clsa_trace_step trace = {0};
        run_step(&r, n_seqs, keys + i, n_sets, top_k);
        ck_assert_int_eq(
            clsa_synthetic_step(s, &r.step, &trace.index_sets, &trace.n_index_sets, &err), 0);
        trace.step = r.step;
        ck_assert_uint_eq(trace.n_index_sets, (size_t)n_sets * n_seqs);
        ck_assert_msg(clsa_trace_bounds(&trace, &err) == 0, "%s", err.text);
        for (size_t j = 0; j < trace.n_index_sets; j++)
            ck_assert_uint_eq(trace.index_sets[j].count, keys + i < top_k ? keys + i : top_k);
        ck_assert_int_eq(clsa_selection_count_step(c, &trace, &err), 0);
    }
    clsa_synthetic_destroy(s);
    return c;
}

START_TEST(made_up_selections_have_the_structure_asked_for)
{
    static const uint32_t sets[] = {0, 300, 850, 1000}, steps[] = {0, 350, 600, 950};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            struct clsa_synthetic_params p;
            clsa_synthetic_defaults(&p);
            p.overlap_set_permille = sets[i];
            p.overlap_step_permille = steps[j];
            p.sink_rows = p.recent_rows = 0;
            struct clsa_selection_counter *c = count_run(&p, 2, 20000, 12, 3, 512);
            for (uint32_t g = 0; g < 3; g++) {
                struct clsa_selection_stats st;
                clsa_selection_stats_get(c, g, &st);
                ck_assert_uint_eq(st.queries, 24);
                /* A share of 512 rows is met to the row wherever both can be met. */
                if (g)
                    ck_assert_double_eq_tol(st.overlap_previous_set, sets[i] / 1000.0, 1.0 / 512);
                if (g == 0 || sets[i] + steps[j] <= 1000)
                    ck_assert_double_eq_tol(st.overlap_previous_step, steps[j] / 1000.0, 1.0 / 512);
            }
            clsa_selection_counter_destroy(c);
        }
}
END_TEST

START_TEST(sinks_and_recent_rows_are_always_there)
{
    struct clsa_synthetic_params p;
    struct clsa_selection_stats st;
    clsa_synthetic_defaults(&p);
    p.sink_rows = 4;
    p.recent_rows = 16;
    struct clsa_selection_counter *c = count_run(&p, 1, 5000, 20, 2, 256);
    clsa_selection_stats_get(c, 1, &st);
    ck_assert_double_eq(st.sink_share, 1.0);
    ck_assert_double_eq(st.recent_share, 1.0);
    clsa_selection_counter_destroy(c);
}
END_TEST

START_TEST(runs_grow_with_their_parameter)
{
    double before = 0;
    for (uint32_t run = 1; run <= 16; run *= 4) {
        struct clsa_synthetic_params p;
        struct clsa_selection_stats st;
        clsa_synthetic_defaults(&p);
        p.overlap_set_permille = p.overlap_step_permille = 0;
        p.sink_rows = p.recent_rows = 0;
        p.run_rows = run;
        struct clsa_selection_counter *c = count_run(&p, 1, 100000, 4, 2, 1024);
        clsa_selection_stats_get(c, 0, &st);
        /* Runs may join or be cut short where the set is full; a fifth covers it at 1 % density. */
        ck_assert_double_eq_tol(st.mean_run, run, 0.2 * run);
        ck_assert_double_gt(st.mean_run, before);
        before = st.mean_run;
        clsa_selection_counter_destroy(c);
    }
}
END_TEST

START_TEST(the_same_seed_gives_the_same_selections)
{
    struct clsa_synthetic_params p;
    struct clsa_synthetic *alone = NULL, *batched = NULL, *otherwise = NULL;
    size_t differing = 0;
    clsa_synthetic_defaults(&p);
    ck_assert_int_eq(clsa_synthetic_create(&p, &alone, &err), 0);
    ck_assert_int_eq(clsa_synthetic_create(&p, &batched, &err), 0);
    p.seed++;
    ck_assert_int_eq(clsa_synthetic_create(&p, &otherwise, &err), 0);
    for (uint64_t i = 0; i < 5; i++) {
        const struct clsa_index_set *x, *y, *z;
        size_t n, m;
        struct run one, four;
        run_step(&one, 1, 3000 + i, 2, 128);
        run_step(&four, 4, 3000 + i, 2, 128);
        ck_assert_int_eq(clsa_synthetic_step(alone, &one.step, &x, &n, &err), 0);
        ck_assert_int_eq(clsa_synthetic_step(batched, &four.step, &y, &m, &err), 0);
        ck_assert_int_eq(clsa_synthetic_step(otherwise, &one.step, &z, &n, &err), 0);
        for (uint32_t g = 0; g < 2; g++) {
            /* Sequence 0 has the same selections whatever batch it is in. */
            ck_assert_mem_eq(x[g].positions, y[g * 4].positions, 128 * 4);
            differing += memcmp(x[g].positions, z[g].positions, 128 * 4) != 0;
        }
    }
    ck_assert_uint_eq(differing, 10);
    clsa_synthetic_destroy(alone);
    clsa_synthetic_destroy(batched);
    clsa_synthetic_destroy(otherwise);
}
END_TEST

/* Contexts around top-k and parameters at their ends: always k distinct positions, whatever is
 * asked. */
START_TEST(extreme_parameters_still_give_selections)
{
    static const uint32_t shares[] = {0, 1000};
    for (unsigned i = 0; i < 16; i++) {
        struct clsa_synthetic_params p;
        clsa_synthetic_defaults(&p);
        p.overlap_set_permille = shares[i & 1];
        p.overlap_step_permille = shares[i >> 1 & 1];
        p.sink_rows = i >> 2 & 1 ? UINT32_MAX : 0;
        p.recent_rows = i >> 3 & 1 ? UINT32_MAX : 0;
        p.recent_permille = shares[i & 1];
        p.run_rows = i & 2 ? UINT32_MAX / 2 : 1;
        clsa_selection_counter_destroy(count_run(&p, 2, 1, 90, 3, 40));
    }
}
END_TEST

START_TEST(parameters_print_and_parse)
{
    struct clsa_synthetic_params p, q;
    char text[256], again[256];
    clsa_synthetic_defaults(&p);
    p.seed = UINT64_MAX;
    p.run_rows = 9;
    clsa_synthetic_print(&p, text, sizeof text);
    clsa_synthetic_defaults(&q);
    ck_assert_int_eq(clsa_synthetic_parse(text, &q, &err), 0);
    ck_assert_str_eq(clsa_synthetic_print(&q, again, sizeof again), text);
    static const char *const bad[] = {"x=1",     "seed", "seed=", "seed=-1", "run_rows=4294967296",
                                      "seed=1x", "=3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(clsa_synthetic_parse(bad[i], &q, &err) == CLSA_EUSAGE, "'%s' passes", bad[i]);
    p.overlap_set_permille = 1001;
    struct clsa_synthetic *s = NULL;
    ck_assert_int_eq(clsa_synthetic_create(&p, &s, &err), CLSA_EUSAGE);
}
END_TEST

START_TEST(a_fit_gives_back_what_was_made)
{
    struct clsa_synthetic_params p, q;
    clsa_synthetic_defaults(&p);
    p.overlap_set_permille = 700;
    p.overlap_step_permille = 250;
    p.recent_permille = 0;
    p.sink_rows = 4;
    p.recent_rows = 16;
    struct clsa_selection_counter *c = count_run(&p, 2, 30000, 10, 4, 1000);
    clsa_synthetic_defaults(&q);
    q.overlap_set_permille = q.overlap_step_permille = 1;
    q.sink_rows = q.recent_rows = 0;
    clsa_selection_fit(c, &q);
    ck_assert_int_le(abs((int)q.overlap_set_permille - 700), 2);
    ck_assert_int_le(abs((int)q.overlap_step_permille - 250), 2);
    ck_assert_uint_eq(q.sink_rows, p.sink_rows);
    ck_assert_uint_eq(q.recent_rows, p.recent_rows);
    clsa_selection_counter_destroy(c);
}
END_TEST

/* ---- statistics ---- */

START_TEST(statistics_of_known_selections)
{
    /* Group 1 shares 6 of 8 with group 0; each group shares 4 of 8 with its step before. */
    struct mock_step m;
    struct clsa_selection_counter *c = clsa_selection_counter_create();
    struct clsa_selection_stats st;
    for (uint32_t i = 0; i < 3; i++) {
        mock_step_make(&m, 1, 100 + i, 2, 1);
        for (uint32_t j = 0; j < 8; j++) {
            m.positions[0][j] = j + 4 * i;
            m.positions[1][j] = j + 4 * i + 2;
        }
        ck_assert_int_eq(clsa_selection_count_step(c, &m.trace, &err), 0);
    }
    ck_assert_uint_eq(clsa_selection_sets(c), 2);
    clsa_selection_stats_get(c, 1, &st);
    ck_assert_double_eq(st.overlap_previous_set, 6.0 / 8);
    ck_assert_double_eq(st.overlap_previous_step, 4.0 / 8);
    ck_assert_double_eq(st.mean_run, 8.0);
    ck_assert_double_eq(st.mean_keys, 101.0);
    ck_assert_double_eq(st.mean_selected, 8.0);
    ck_assert_double_lt(st.mass_covered, 0); /* no scores were given */
    ck_assert_uint_eq(st.reuse.first, 16);   /* positions 2 .. 17 */
    ck_assert_uint_eq(st.reuse.reuses, 8);
    clsa_selection_stats_get(c, 0, &st);
    ck_assert_double_lt(st.overlap_previous_set, 0); /* there is no group before */
    clsa_selection_counter_destroy(c);
}
END_TEST

START_TEST(selections_of_everything_say_nothing)
{
    struct mock_step m;
    struct clsa_selection_counter *c = clsa_selection_counter_create();
    struct clsa_selection_stats st;
    for (uint32_t keys = 4; keys <= MOCK_TOPK; keys++) {
        mock_step_make(&m, 1, keys, 2, 1);
        ck_assert_int_eq(clsa_selection_count_step(c, &m.trace, &err), 0);
    }
    clsa_selection_stats_get(c, 1, &st);
    ck_assert_uint_eq(st.queries, 5);
    ck_assert_uint_eq(st.chosen, 0);
    ck_assert_double_lt(st.overlap_previous_set, 0);
    ck_assert_double_lt(st.overlap_previous_step, 0);
    clsa_selection_counter_destroy(c);
}
END_TEST

START_TEST(no_allocation_failure_harms)
{
    unsigned long n = 0;
    for (;;) {
        struct clsa_synthetic_params p;
        struct clsa_synthetic *s = NULL;
        clsa_synthetic_defaults(&p);
        clsa_alloc_fail_at(++n);
        struct clsa_selection_counter *c = clsa_selection_counter_create();
        int status = c ? clsa_synthetic_create(&p, &s, &err) : CLSA_ENOMEM;
        for (uint64_t i = 0; i < 3 && !status; i++) {
            struct run r;
            struct clsa_trace_step trace = {0};
            run_step(&r, 1 + (uint32_t)i, 2000 + i, 2, 700);
            status = clsa_synthetic_step(s, &r.step, &trace.index_sets, &trace.n_index_sets, &err);
            trace.step = r.step;
            if (!status)
                status = clsa_selection_count_step(c, &trace, &err);
        }
        const bool reached = clsa_alloc_fail_at(0);
        clsa_synthetic_destroy(s);
        clsa_selection_counter_destroy(c);
        ck_assert_msg(status == (reached ? CLSA_ENOMEM : 0), "allocation %lu: status %d", n,
                      status);
        if (!reached)
            break;
    }
    ck_assert_uint_gt(n, 20);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("routing");
    TCase *overlap = tcase_create("overlap"), *reuse = tcase_create("reuse"),
          *synthetic = tcase_create("synthetic"), *stats = tcase_create("stats");
    tcase_add_test(overlap, overlap_equals_the_plain_count);
    tcase_add_test(overlap, the_cut_counts_ties);
    tcase_add_test(overlap, tied_bounds_equal_enumeration);
    tcase_add_test(overlap, mass_is_a_share);
    tcase_add_test(reuse, a_cyclic_sweep_has_its_length_as_distance);
    tcase_add_test(reuse, distances_equal_a_list);
    tcase_add_test(reuse, the_histogram_bins_by_powers_of_two);
    tcase_set_timeout(synthetic, 60);
    tcase_add_test(synthetic, made_up_selections_have_the_structure_asked_for);
    tcase_add_test(synthetic, sinks_and_recent_rows_are_always_there);
    tcase_add_test(synthetic, runs_grow_with_their_parameter);
    tcase_add_test(synthetic, the_same_seed_gives_the_same_selections);
    tcase_add_test(synthetic, extreme_parameters_still_give_selections);
    tcase_add_test(synthetic, parameters_print_and_parse);
    tcase_add_test(synthetic, a_fit_gives_back_what_was_made);
    tcase_add_test(stats, statistics_of_known_selections);
    tcase_add_test(stats, selections_of_everything_say_nothing);
    tcase_add_test(stats, no_allocation_failure_harms);
    suite_add_tcase(s, overlap);
    suite_add_tcase(s, reuse);
    suite_add_tcase(s, synthetic);
    suite_add_tcase(s, stats);
    return s;
}

CLSA_TEST_MAIN(suite)
