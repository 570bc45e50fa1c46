/* hwmodels/dram: times against what the timings imply, and streams in bulk against request by
 * request. */
#include "tests/unit/test.h"

#include "hwmodels/dram.h"
#include "sim/base/alloc.h"
#include "sim/base/rng.h"

/* HBM3 as on an H100: 64 B accesses of 3.05 ns on 160 pseudo channels, 1 KiB rows, 16 banks. */
static const struct clsa_dram_config hbm3 = {.channels = 160,
                                             .banks = 16,
                                             .bank_groups = 4,
                                             .row_bytes = 1024,
                                             .burst_bytes = 64,
                                             .interleave_bytes = 1024,
                                             .window = 64,
                                             .burst_ps = 3055,
                                             .trcd_ps = 14000,
                                             .trp_ps = 14000,
                                             .tcl_ps = 14000,
                                             .tras_ps = 28000,
                                             .trrd_ps = 3000,
                                             .tfaw_ps = 12000,
                                             .tccd_l_ps = 0,
                                             .trefi_ps = 3900000,
                                             .trfc_ps = 260000};
/* DDR5-4800, 12 channels of two sub channels (JESD79-5: BL16, 8 bank groups of 4, tCCD_L 5 ns). */
static const struct clsa_dram_config ddr5 = {.channels = 24,
                                             .banks = 32,
                                             .bank_groups = 8,
                                             .row_bytes = 8192,
                                             .burst_bytes = 64,
                                             .interleave_bytes = 256,
                                             .window = 64,
                                             .burst_ps = 3333,
                                             .trcd_ps = 16000,
                                             .trp_ps = 16000,
                                             .tcl_ps = 16670,
                                             .tras_ps = 32000,
                                             .trrd_ps = 3333,
                                             .tfaw_ps = 13333,
                                             .tccd_l_ps = 5000,
                                             .trefi_ps = 3900000,
                                             .trfc_ps = 295000};
/* One channel of four banks with round numbers, for times worked out by hand. */
static const struct clsa_dram_config toy = {.channels = 1,
                                            .banks = 4,
                                            .bank_groups = 1,
                                            .row_bytes = 256,
                                            .burst_bytes = 64,
                                            .interleave_bytes = 256,
                                            .window = 16,
                                            .burst_ps = 10,
                                            .trcd_ps = 100,
                                            .trp_ps = 200,
                                            .tcl_ps = 70,
                                            .tras_ps = 300,
                                            .trrd_ps = 40,
                                            .tfaw_ps = 400,
                                            .tccd_l_ps = 0,
                                            .trefi_ps = 100000,
                                            .trfc_ps = 20000};

static struct clsa_dram *make(const struct clsa_dram_config *config)
{
    struct clsa_dram *d = NULL;
    struct clsa_err err;
    ck_assert_msg(clsa_dram_create(config, &d, &err) == 0, "%s", err.text);
    return d;
}

static double rate_gbps(const struct clsa_dram *d)
{
    const struct clsa_dram_counters *n = clsa_dram_counts(d);
    return (double)(n->read_bytes + n->write_bytes) /
           (double)clsa_dram_wall_ps(d, clsa_dram_service_ps(d)) * 1e3;
}

static void near_to(double got, double want, double part)
{
    ck_assert_msg(got > want * (1 - part) && got < want * (1 + part), "%g, expected %g +- %g %%",
                  got, want, 100 * part);
}

/* The part of the time that refresh leaves. */
static double awake(const struct clsa_dram_config *c)
{
    return 1.0 - (double)c->trfc_ps / c->trefi_ps;
}

START_TEST(unloaded_latency_is_the_sum_of_its_commands)
{
    static const struct clsa_dram_config *const all[] = {&hbm3, &ddr5, &toy};
    for (size_t i = 0; i < 3; i++) {
        const struct clsa_dram_config *c = all[i];
        struct clsa_dram *d = make(c);
        ck_assert_uint_eq(clsa_dram_latency_ps(d, 0), c->trcd_ps + c->tcl_ps + c->burst_ps);
        clsa_dram_access(d, 0, 1, false);
        clsa_dram_finish(d);
        ck_assert_uint_eq(clsa_dram_service_ps(d), c->burst_ps);
        ck_assert_uint_eq(clsa_dram_latency_ps(d, 0), c->tcl_ps + c->burst_ps); /* row open */
        /* find an address whose row would close the one at 0 */
        uint64_t other = c->row_bytes, latency = 0;
        const uint64_t want = c->trp_ps + c->trcd_ps + c->tcl_ps + c->burst_ps;
        while (other < UINT64_C(1) << 30 && (latency = clsa_dram_latency_ps(d, other)) != want)
            other += c->row_bytes;
        ck_assert_uint_eq(latency, want);
        clsa_dram_destroy(d);
    }
}
END_TEST

START_TEST(toy_times_by_hand)
{
    struct clsa_dram *d = make(&toy);
    /* segments 0, 1, 2, 3 lie in banks 0, 1, 2, 3; 4 is digits (1, 0): bank 1; 5 is (1, 1): bank 2
     */
    clsa_dram_access(d, 0, 256, false); /* act 0, reads 100 110 120 130, bus free at 140 */
    clsa_dram_finish(d);
    ck_assert_uint_eq(clsa_dram_service_ps(d), 40);
    ck_assert_uint_eq(clsa_dram_counts(d)->activates, 1);
    clsa_dram_mark(d);
    clsa_dram_access(d, 0, 64, false); /* row open: no activate */
    clsa_dram_finish(d);
    ck_assert_uint_eq(clsa_dram_service_ps(d), 10);
    ck_assert_uint_eq(clsa_dram_counts(d)->activates, 1);
    clsa_dram_mark(d);
    /* four banks: bank 0 is open (read at 0), 1 2 3 activate at 0 40 80 and are read at 100 140 180
     */
    clsa_dram_access(d, 0, 64, false);
    clsa_dram_access(d, 256, 64, false);
    clsa_dram_access(d, 512, 64, false);
    clsa_dram_access(d, 768, 64, false);
    clsa_dram_finish(d);
    ck_assert_uint_eq(clsa_dram_service_ps(d), 190);
    ck_assert_uint_eq(clsa_dram_counts(d)->activates, 4);
    clsa_dram_mark(d);
    /* Segments 4 and 1 in bank 1, where 1 is open: 1 first although younger? No: 4 came to an idle
     * bank and took it. Precharge at 0, activate 200, read 300; then 1: precharge may start at 500
     * (tRAS after 200), activate 700, read 800, bus free at 810. */
    clsa_dram_access(d, 4 * 256, 64, false);
    clsa_dram_access(d, 1 * 256, 64, false);
    clsa_dram_finish(d);
    ck_assert_uint_eq(clsa_dram_service_ps(d), 510);
    clsa_dram_mark(d);
    /* 1, 4, 1 in bank 1 with 1 open: the second 1 passes 4 (first ready, first come). Reads 0, 10;
     * then precharge at 20, activate 220, read 320, bus free at 330. */
    const uint64_t before = clsa_dram_counts(d)->activates;
    clsa_dram_access(d, 1 * 256, 64, false);
    clsa_dram_access(d, 4 * 256, 64, false);
    clsa_dram_access(d, 1 * 256 + 64, 64, false);
    clsa_dram_finish(d);
    ck_assert_uint_eq(clsa_dram_counts(d)->activates, before + 1);
    ck_assert_uint_eq(clsa_dram_service_ps(d), 330);
    ck_assert_uint_eq(clsa_dram_wall_ps(d, 400), 500); /* 20 of every 100 ns go to refresh */
    clsa_dram_destroy(d);
}
END_TEST

START_TEST(four_activates_a_window)
{
    struct clsa_dram_config c = toy;
    c.banks = 16;
    struct clsa_dram *d = make(&c);
    /* sixteen idle banks: activates at 0 40 80 120, 400 440 480 520, 800 ... 1320; the last read is
     * 100 after its activate, the first at 100 */
    for (uint64_t i = 0; i < 16; i++)
        clsa_dram_access(d, i * 256, 64, false);
    clsa_dram_finish(d);
    ck_assert_uint_eq(clsa_dram_service_ps(d), 1320 + 100 - 100 + 10);
    clsa_dram_destroy(d);
}
END_TEST

START_TEST(streams_reach_the_peak_less_refresh)
{
    static const struct clsa_dram_config *const all[] = {&hbm3, &ddr5};
    for (size_t i = 0; i < 2; i++) {
        struct clsa_dram *d = make(all[i]);
        clsa_dram_access(d, 0, 64 << 20, false);
        clsa_dram_finish(d);
        near_to(rate_gbps(d), clsa_dram_peak(all[i]) * awake(all[i]) * 1e-9, 0.05);
        near_to(rate_gbps(d), i == 0 ? 3352 * awake(&hbm3) : 460.8 * awake(&ddr5), 0.05);
        clsa_dram_destroy(d);
    }
}
END_TEST

START_TEST(open_rows_reach_the_peak)
{
    static const struct clsa_dram_config *const all[] = {&hbm3, &ddr5};
    for (size_t i = 0; i < 2; i++) {
        const uint64_t span = all[i]->interleave_bytes * (uint64_t)all[i]->channels;
        struct clsa_dram *d = make(all[i]);
        clsa_dram_access(d, 0, span, false); /* one chunk a channel: opens its rows */
        clsa_dram_finish(d);
        clsa_dram_mark(d);
        const uint64_t activates = clsa_dram_counts(d)->activates;
        for (int pass = 0; pass < 200; pass++)
            clsa_dram_access(d, 0, span, true);
        clsa_dram_finish(d);
        ck_assert_uint_eq(clsa_dram_counts(d)->activates, activates);
        near_to(200.0 * (double)span / (double)clsa_dram_service_ps(d) * 1e12,
                clsa_dram_peak(all[i]), 0.05);
        clsa_dram_destroy(d);
    }
}
END_TEST

/* Rows at random, one bank after another. The skew walks the places, so a segment s of round r lies
 * in place (s + digits of r) mod super: any s will do as long as all places come up alike. */
START_TEST(random_rows_reach_what_activates_allow)
{
    /* the second half makes activates or banks the bound, where the real parts have the bus */
    struct clsa_dram_config configs[6] = {hbm3, ddr5, hbm3, ddr5, hbm3, ddr5};
    configs[2].tfaw_ps = 30000;
    configs[3].trrd_ps = 9000;
    configs[4].tras_ps = 100000; /* 16 banks / 114 ns */
    configs[5].trp_ps = 200000;  /* 32 banks / 232 ns */
    for (size_t i = 0; i < 6; i++) {
        struct clsa_dram *d = make(&configs[i]);
        const struct clsa_dram_config *c = &configs[i];
        const uint64_t rows = 4096;
        struct clsa_rng rng;
        clsa_rng_seed(&rng, i);
        /* A span of chunks that all lie in one segment of each channel opens the same bank in all
         * of them: take one burst of each chunk there, then move to a random far segment whose bank
         * is the next one. Banks come in turn, rows at random. */
        const uint64_t lanes = c == &configs[1] || c == &configs[3] || c == &configs[5] ? 2 : 1;
        const uint64_t segment = lanes * c->row_bytes * c->channels, super = c->banks / lanes;
        for (uint64_t n = 0; n < rows; n++) {
            uint64_t high = clsa_rng_below(&rng, 100000) * super, digits = 0;
            for (uint64_t s = high; s; s /= super)
                digits += s % super;
            const uint64_t low = (n / lanes + super * 64 - digits) % super;
            for (uint64_t ch = 0; ch < c->channels; ch++)
                clsa_dram_access(d,
                                 (high + low) * segment + ch * c->interleave_bytes +
                                     n % lanes * c->burst_bytes,
                                 64, false);
        }
        clsa_dram_finish(d);
        ck_assert_uint_ge(clsa_dram_counts(d)->activates, rows * c->channels * 99 / 100);
        near_to((double)(rows * c->channels * 64) / (double)clsa_dram_service_ps(d) * 1e12,
                clsa_dram_random(c, 64), 0.05);
        clsa_dram_destroy(d);
    }
}
END_TEST

START_TEST(one_bank_gives_a_row_each_tras_and_trp)
{
    struct clsa_dram_config c = hbm3;
    c.channels = 1;
    c.banks = c.bank_groups = 1;
    struct clsa_dram *d = make(&c);
    for (uint64_t i = 0; i < 1000; i++)
        clsa_dram_access(d, i * 7 * 1024, 64, false);
    clsa_dram_finish(d);
    near_to((double)clsa_dram_service_ps(d), 1000.0 * (c.tras_ps + c.trp_ps), 0.001);
    clsa_dram_destroy(d);
}
END_TEST

START_TEST(truly_random_rows_stay_below_the_bound)
{
    static const struct clsa_dram_config *const all[] = {&hbm3, &ddr5};
    for (size_t i = 0; i < 2; i++)
        for (uint32_t bytes = 64; bytes <= all[i]->interleave_bytes; bytes *= 2) {
            struct clsa_dram *d = make(all[i]);
            struct clsa_rng rng;
            clsa_rng_seed(&rng, bytes);
            const uint64_t n = 200000;
            for (uint64_t j = 0; j < n; j++)
                clsa_dram_access(d, clsa_rng_below(&rng, (UINT64_C(8) << 30) / bytes) * bytes,
                                 bytes, false);
            clsa_dram_finish(d);
            const double rate = (double)(n * bytes) / (double)clsa_dram_service_ps(d) * 1e12;
            ck_assert_double_le(rate, clsa_dram_random(all[i], bytes));
            ck_assert_double_ge(rate, 0.6 * clsa_dram_random(all[i], bytes));
            clsa_dram_destroy(d);
        }
}
END_TEST

START_TEST(streams_equal_request_by_request)
{
    struct clsa_dram_config configs[10] = {hbm3, ddr5, hbm3, ddr5, hbm3,
                                           toy,  ddr5, hbm3, toy,  ddr5};
    configs[2].interleave_bytes = 256; /* rows filled by several chunks */
    configs[3].interleave_bytes = 64;
    configs[4].interleave_bytes = 4096; /* chunks of several rows */
    configs[4].channels = 5;
    configs[5].channels = 3;
    configs[5].banks = 8;
    configs[6].banks = 24;       /* places that are no power of two */
    configs[7].tfaw_ps = 100000; /* bound by activates */
    configs[8].banks = 12;
    configs[8].channels = 7;
    configs[9].window = 3;
    for (size_t i = 0; i < 10; i++) {
        const struct clsa_dram_config *c = &configs[i];
        struct clsa_dram *bulk = make(c), *plain = make(c);
        struct clsa_rng rng;
        clsa_rng_seed(&rng, i);
        const uint64_t round = (uint64_t)c->channels * c->row_bytes;
        for (int step = 0; step < 40; step++) {
            uint64_t at = clsa_rng_below(&rng, 4000 * round);
            if (clsa_rng_below(&rng, 3) == 0) { /* random rows in between */
                for (int j = 0; j < 300; j++) {
                    at = clsa_rng_below(&rng, 4000 * round);
                    const uint64_t bytes = 1 + clsa_rng_below(&rng, 3 * c->row_bytes);
                    clsa_dram_access(bulk, at, bytes, j & 1);
                    clsa_dram_access(plain, at, bytes, j & 1);
                }
            } else {
                static const unsigned rounds[] = {1, 8, 70, 300, 1500};
                uint64_t bytes =
                    clsa_rng_below(&rng, rounds[clsa_rng_below(&rng, 5)] * round /
                                             (i == 1 || i == 3 || i == 6 || i == 9 ? 4 : 1));
                if (clsa_rng_below(&rng, 3) == 0)
                    at -= at % round;
                if (step % 10 == 9) /* the same again: rows are still open */
                    at = 0, bytes = 64 * round;
                clsa_dram_finish(plain);
                clsa_dram_access(plain, at, bytes, false);
                clsa_dram_finish(plain);
                clsa_dram_stream(bulk, at, bytes, false);
                ck_assert_uint_eq(clsa_dram_service_ps(bulk), clsa_dram_service_ps(plain));
                ck_assert_uint_eq(clsa_dram_digest(bulk), clsa_dram_digest(plain));
            }
            ck_assert_mem_eq(clsa_dram_counts(bulk), clsa_dram_counts(plain),
                             sizeof(struct clsa_dram_counters));
        }
        clsa_dram_destroy(bulk);
        clsa_dram_destroy(plain);
    }
}
END_TEST

START_TEST(shapes_that_cannot_be_are_named)
{
    struct clsa_dram_config bad[8] = {toy, toy, toy, toy, toy, toy, toy, toy};
    bad[0].channels = 0;
    bad[1].banks = 3, bad[1].bank_groups = 2;
    bad[2].row_bytes = 100;
    bad[3].interleave_bytes = 96;
    bad[4].window = 0;
    bad[5].burst_ps = 0;
    bad[6].trfc_ps = bad[6].trefi_ps;
    bad[7].burst_bytes = 0;
    for (size_t i = 0; i < 8; i++) {
        struct clsa_dram *d = NULL;
        struct clsa_err err = {""};
        ck_assert_int_eq(clsa_dram_create(&bad[i], &d, &err), CLSA_ERANGE);
        ck_assert_ptr_null(d);
        ck_assert(err.text[0]);
    }
    for (unsigned long n = 1; n < 10; n++) {
        struct clsa_dram *d = NULL;
        clsa_alloc_fail_at(n);
        const int status = clsa_dram_create(&toy, &d, NULL);
        clsa_alloc_fail_at(0);
        clsa_dram_destroy(d);
        if (status == 0)
            return;
        ck_assert_int_eq(status, CLSA_ENOMEM);
    }
    ck_abort_msg("creation never succeeded");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dram");
    TCase *t = tcase_create("dram");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, unloaded_latency_is_the_sum_of_its_commands);
    tcase_add_test(t, toy_times_by_hand);
    tcase_add_test(t, four_activates_a_window);
    tcase_add_test(t, streams_reach_the_peak_less_refresh);
    tcase_add_test(t, open_rows_reach_the_peak);
    tcase_add_test(t, random_rows_reach_what_activates_allow);
    tcase_add_test(t, one_bank_gives_a_row_each_tras_and_trp);
    tcase_add_test(t, truly_random_rows_stay_below_the_bound);
    tcase_add_test(t, streams_equal_request_by_request);
    tcase_add_test(t, shapes_that_cannot_be_are_named);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
