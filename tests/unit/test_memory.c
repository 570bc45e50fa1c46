/* hwmodels/tlb, hwmodels/hierarchy: levels together, on machines small enough to draw. */
#include "tests/unit/test.h"

#include "hwmodels/hierarchy.h"
#include "sim/base/file.h"
#include "sim/base/rng.h"

static struct clsa_err err;

/* ---- translation ---- */

START_TEST(toy_tlb_by_hand)
{
    /* 4 KiB pages, 2 entries in the first level, 4 in the last (2 sets of 2: even and odd pages) */
    const struct clsa_tlb_config config = {
        .page_bytes = 4096, .l1_entries = 2, .entries = 4, .ways = 2};
    struct clsa_tlb *t = NULL;
    ck_assert_int_eq(clsa_tlb_create(&config, &t, &err), 0);
    ck_assert_uint_eq(clsa_tlb_reach_bytes(t), 16384);
    static const struct {
        uint64_t page, l1_misses, walks; /* counts after it */
    } steps[] = {
        {0, 1, 1},            /* L1 [0]     last even [0]   odd []  */
        {0, 1, 1}, {2, 2, 2}, /* L1 [2 0]   even [2 0]              */
        {4, 3, 3},            /* L1 [4 2]   even [4 2], 0 is gone   */
        {1, 4, 4},            /* L1 [1 4]   odd [1]                 */
        {2, 5, 4},            /* L1 [2 1]   found in the last level */
        {0, 6, 5},            /* L1 [0 2]   even [0 2], 4 is gone   */
        {4, 7, 6},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct clsa_byte_run run = {steps[i].page * 4096 + 100, 64};
        clsa_tlb_access(t, &run, 1);
        ck_assert_uint_eq(clsa_tlb_counts(t)->lookups, i + 1);
        ck_assert_uint_eq(clsa_tlb_counts(t)->l1_misses, steps[i].l1_misses);
        ck_assert_uint_eq(clsa_tlb_counts(t)->walks, steps[i].walks);
    }
    clsa_tlb_reset(t);
    const struct clsa_byte_run across = {4096 - 1, 2}; /* two pages */
    clsa_tlb_access(t, &across, 1);
    ck_assert_uint_eq(clsa_tlb_counts(t)->lookups, 2);
    clsa_tlb_destroy(t);
}
END_TEST

START_TEST(tlb_takes_long_runs_in_bulk)
{
    const struct clsa_tlb_config configs[] = {
        {.page_bytes = 4096, .l1_entries = 64, .entries = 2048, .ways = 8},
        {.page_bytes = 1 << 21, .l1_entries = 0, .entries = 48, .ways = 12}};
    for (size_t i = 0; i < 2; i++) {
        struct clsa_tlb *bulk = NULL, *plain = NULL;
        struct clsa_rng rng;
        clsa_rng_seed(&rng, i);
        ck_assert_int_eq(clsa_tlb_create(&configs[i], &bulk, &err), 0);
        ck_assert_int_eq(clsa_tlb_create(&configs[i], &plain, &err), 0);
        const uint64_t page = configs[i].page_bytes;
        for (int step = 0; step < 60; step++) {
            const uint64_t first = clsa_rng_below(&rng, 6000), n = 1 + clsa_rng_below(&rng, 5000);
            const struct clsa_byte_run run = {first * page + 5, (n - 1) * page + 1};
            clsa_tlb_access(bulk, &run, 1);
            for (uint64_t p = first; p < first + n; p++) {
                const struct clsa_byte_run one = {p * page, 1};
                clsa_tlb_access(plain, &one, 1);
            }
            ck_assert_mem_eq(clsa_tlb_counts(bulk), clsa_tlb_counts(plain),
                             sizeof(struct clsa_tlb_counters));
            ck_assert_uint_eq(clsa_tlb_digest(bulk), clsa_tlb_digest(plain));
        }
        clsa_tlb_destroy(bulk);
        clsa_tlb_destroy(plain);
    }
}
END_TEST

START_TEST(tlbs_that_cannot_be)
{
    static const struct clsa_tlb_config bad[] = {
        {.page_bytes = 3000, .entries = 16, .ways = 4},
        {.page_bytes = 0, .entries = 16, .ways = 4},
        {.page_bytes = 4096, .entries = 2, .ways = 4},
        {.page_bytes = 4096, .entries = 512, .ways = 128},
        {.page_bytes = 4096, .entries = 16, .ways = 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct clsa_tlb *t = NULL;
        ck_assert_int_eq(clsa_tlb_create(&bad[i], &t, &err), CLSA_ERANGE);
        ck_assert_ptr_null(t);
    }
}
END_TEST

/* ---- the levels together ---- */

static void read_machine(const char *name, struct clsa_machine *m)
{
    ck_assert_msg(clsa_machine_read(name, NULL, 0, m, &err) == 0, "%s", err.text);
}

START_TEST(gpu_levels_by_hand)
{
    struct clsa_machine m;
    struct clsa_hierarchy *h = NULL;
    struct clsa_traffic t;
    read_machine("toy-gpu", &m);
    ck_assert_msg(clsa_hierarchy_create(&m, 1, &h, &err) == 0, "%s", err.text);
    const uint64_t line = (uint64_t)m.l2_line;
    const uint64_t sector = m.l2_sector > 0 ? (uint64_t)m.l2_sector : line;
    /* one byte moves one sector; the rest of its line comes with the next access, the second time
     * nothing moves */
    const struct clsa_byte_run byte = {1 << 20, 1}, whole = {1 << 20, line};
    clsa_hierarchy_access(h, 0, &byte, 1, false);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.level[0].read_bytes, sector);
    ck_assert_uint_eq(t.dram_read_bytes, sector);
    ck_assert_uint_eq(t.tlb.walks, 1);
    clsa_hierarchy_access(h, 0, &whole, 1, false);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.level[0].read_bytes, line);
    ck_assert_uint_eq(t.level[0].hit_bytes, sector);
    ck_assert_uint_eq(t.dram_read_bytes, line - sector);
    ck_assert_uint_eq(t.tlb.walks, 0);
    clsa_hierarchy_access(h, 0, &whole, 1, false);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.dram_read_bytes, 0);
    ck_assert_uint_eq(t.level[0].hit_bytes, line);
    /* written lines stay until reads of more than the cache push them out, all of them */
    const uint64_t size = (uint64_t)m.l2_size;
    const struct clsa_byte_run written = {4 * size, size / 8}, flood = {16 * size, 3 * size};
    clsa_hierarchy_access(h, 0, &written, 1, true);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.level[0].write_bytes, size / 8);
    ck_assert_uint_eq(t.dram_read_bytes + t.dram_write_bytes, 0);
    clsa_hierarchy_access(h, 0, &flood, 1, false);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.dram_write_bytes, size / 8);
    ck_assert_uint_eq(t.dram_read_bytes, 3 * size);
    clsa_hierarchy_destroy(h);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(cpu_levels_by_hand)
{
    struct clsa_machine m;
    struct clsa_hierarchy *h = NULL;
    struct clsa_traffic t;
    read_machine("toy-cpu", &m);
    ck_assert_msg(clsa_hierarchy_create(&m, 2, &h, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(clsa_hierarchy_levels(h), m.l3_size > 0 ? 3 : 2);
    /* half of L1 read by core 0, again by core 0 (L1), then by core 1 (L3 where it is shared) */
    const struct clsa_byte_run run = {1 << 22, (uint64_t)m.l1_size / 2};
    clsa_hierarchy_access(h, 0, &run, 1, false);
    clsa_hierarchy_take(h, &t);
    for (uint32_t i = 0; i < clsa_hierarchy_levels(h); i++)
        ck_assert_uint_eq(t.level[i].read_bytes, run.bytes);
    ck_assert_uint_eq(t.dram_read_bytes, run.bytes);
    clsa_hierarchy_access(h, 0, &run, 1, false);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.level[0].hit_bytes, run.bytes);
    ck_assert_uint_eq(t.level[1].read_bytes, 0);
    clsa_hierarchy_access(h, 1, &run, 1, false);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.level[1].read_bytes, run.bytes);
    ck_assert_uint_eq(t.level[1].hit_bytes, 0);
    if (m.l3_size > 0 && (m.l3_cores == 0 || m.l3_cores >= 2))
        ck_assert_uint_eq(t.level[2].hit_bytes, run.bytes);
    /* a CPU reads a line before it writes to it */
    const struct clsa_byte_run fresh = {1 << 26, 4096};
    clsa_hierarchy_access(h, 0, &fresh, 1, true);
    clsa_hierarchy_take(h, &t);
    ck_assert_uint_eq(t.level[0].write_bytes, 4096);
    ck_assert_uint_eq(t.dram_read_bytes, 4096);
    ck_assert_uint_eq(t.dram_write_bytes, 0);
    clsa_hierarchy_destroy(h);
    clsa_machine_destroy(&m);
}
END_TEST

/* Repeated reads of a buffer on an H100 (hwmodels/measured/h100_own_micro.csv, "read"): 33.5 MB run
 * at L2 speed (7.8 us), 41.9 MB take twice as long (15.2 us), 50.3 MB come from DRAM (20 us). That
 * is what a cache of 50 MB / 1.5 does: half of all lines lie in two partitions. */
START_TEST(h100_keeps_what_was_measured)
{
    static const struct {
        uint64_t bytes;
        bool kept;
    } sweeps[] = {{16777216, true}, {33554432, true}, {41943040, false}, {50331648, false}};
    struct clsa_machine m;
    read_machine("h100-sxm", &m);
    for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++) {
        struct clsa_hierarchy *h = NULL;
        struct clsa_traffic t;
        const struct clsa_byte_run run = {UINT64_C(1) << 30, sweeps[i].bytes};
        ck_assert_int_eq(clsa_hierarchy_create(&m, 1, &h, &err), 0);
        for (int pass = 0; pass < 3; pass++) {
            clsa_hierarchy_access(h, 0, &run, 1, false);
            clsa_hierarchy_take(h, &t);
        }
        if (sweeps[i].kept)
            ck_assert_uint_eq(t.dram_read_bytes, 0);
        else
            ck_assert_uint_gt(t.dram_read_bytes, sweeps[i].bytes * 9 / 10);
        clsa_hierarchy_destroy(h);
    }
    clsa_machine_destroy(&m);
}
END_TEST

/* Long runs are taken in bulk: cut into pieces too short for that, they do the same. Where several
 * levels pass dirty lines on to each other, a long run's write-backs come after its reads, so there
 * only reads are alike. */
START_TEST(long_runs_equal_short_ones)
{
    static const char *const names[] = {"toy-gpu", "toy-cpu", "h100-sxm", "mi300x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct clsa_machine m;
        struct clsa_hierarchy *bulk = NULL, *plain = NULL;
        struct clsa_rng rng;
        read_machine(names[i], &m);
        ck_assert_int_eq(clsa_hierarchy_create(&m, 1, &bulk, &err), 0);
        ck_assert_int_eq(clsa_hierarchy_create(&m, 1, &plain, &err), 0);
        clsa_rng_seed(&rng, i);
        for (int step = 0; step < 12; step++) {
            struct clsa_traffic a, b;
            const bool write = step % 4 == 3 && clsa_hierarchy_levels(bulk) == 1;
            const struct clsa_byte_run run = {clsa_rng_below(&rng, UINT64_C(1) << 30),
                                              1 + clsa_rng_below(&rng, UINT64_C(24) << 20)};
            clsa_hierarchy_access(bulk, 0, &run, 1, write);
            /* pieces end where sectors do, so that none is asked for twice */
            for (uint64_t at = run.address, end = at + run.bytes; at < end;) {
                const uint64_t stop = (at / 65536 + 1) * 65536;
                const struct clsa_byte_run piece = {at, (stop < end ? stop : end) - at};
                clsa_hierarchy_access(plain, 0, &piece, 1, write);
                at += piece.bytes;
            }
            clsa_hierarchy_take(bulk, &a);
            clsa_hierarchy_take(plain, &b);
            for (uint32_t l = 0; l < clsa_hierarchy_levels(bulk); l++) {
                ck_assert_uint_eq(a.level[l].read_bytes, b.level[l].read_bytes);
                ck_assert_uint_eq(a.level[l].write_bytes, b.level[l].write_bytes);
                ck_assert_uint_eq(a.level[l].lookups, b.level[l].lookups);
            }
            ck_assert_uint_eq(a.dram_read_bytes, b.dram_read_bytes);
            ck_assert_uint_eq(a.dram_write_bytes, b.dram_write_bytes);
        }
        clsa_hierarchy_destroy(bulk);
        clsa_hierarchy_destroy(plain);
        clsa_machine_destroy(&m);
    }
}
END_TEST

/* Every machine of the library has a memory that can be simulated, and answers a read of its second
 * time from a cache. */
START_TEST(all_machines_have_a_memory)
{
    char **names = NULL;
    size_t count = 0;
    ck_assert_int_eq(clsa_data_list("hwmodels/machines", ".csv", &names, &count, &err), 0);
    ck_assert_uint_gt(count, 20);
    for (size_t i = 0; i < count; i++) {
        struct clsa_machine m;
        struct clsa_hierarchy *h = NULL;
        struct clsa_traffic t;
        const struct clsa_byte_run run = {1 << 20, 16384};
        read_machine(names[i], &m);
        const uint32_t cores = m.kind == CLSA_MACHINE_CPU ? (uint32_t)m.core_count : 1;
        ck_assert_msg(clsa_hierarchy_create(&m, cores, &h, &err) == 0, "%s", err.text);
        clsa_hierarchy_access(h, cores - 1, &run, 1, false);
        clsa_hierarchy_take(h, &t);
        ck_assert_uint_eq(t.dram_read_bytes, run.bytes);
        ck_assert_uint_ge(t.dram_ps, t.dram_ideal_ps);
        clsa_hierarchy_access(h, cores - 1, &run, 1, false);
        clsa_hierarchy_take(h, &t);
        ck_assert_uint_eq(t.dram_read_bytes, 0);
        clsa_hierarchy_destroy(h);
        clsa_machine_destroy(&m);
        free(names[i]);
    }
    free(names);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("memory");
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, toy_tlb_by_hand);
    tcase_add_test(t, tlb_takes_long_runs_in_bulk);
    tcase_add_test(t, tlbs_that_cannot_be);
    tcase_add_test(t, gpu_levels_by_hand);
    tcase_add_test(t, cpu_levels_by_hand);
    tcase_add_test(t, all_machines_have_a_memory);
    tcase_add_test(t, h100_keeps_what_was_measured);
    tcase_add_test(t, long_runs_equal_short_ones);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
