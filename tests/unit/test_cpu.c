/* The CPU model: formulas on the toy CPU (4 cores at 1 GHz), and what more work or a better machine may never do. */
#include "tests/unit/cpu_test.h"

#include <string.h>
#include <unistd.h>

/* ---- the timing core ---- */

START_TEST(streams_run_at_the_level_that_answers)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_cpu_time t;
    struct clsa_cpu_call call = streaming(1e9, INFINITY);
    NEAR(seconds(&m, &call, 1), 0.1); /* 10 GB/s a core */
    clsa_cpu_call_time(&m, &call, 4, &t);
    NEAR(t.seconds, 0.05 + 1e-6); /* 20 GB/s for all, and a fork */
    NEAR(t.dram_bytes, 1e9);
    call = streaming(64e3, 64e3); /* in one core's 128 KiB of L2: 32 B a cycle */
    clsa_cpu_call_time(&m, &call, 1, &t);
    NEAR(t.seconds, 2e-6);
    NEAR(t.dram_bytes + 1, 1);
    call = streaming(256e3, 256e3); /* in what a step keeps of 1 MiB of L3: 16 B a cycle */
    NEAR(seconds(&m, &call, 1), 16e-6);
    NEAR(seconds(&m, &call, 8), 2e-6 + 1e-6); /* four cores, whose L2s hold it */
    NEAR(clsa_cpu_kept_l3(&m, 0.28 * m.l3_size), 1);
    NEAR(clsa_cpu_kept_l3(&m, CLSA_CPU_STEP_L3 * m.l3_size), 0.5);
    NEAR(1 - clsa_cpu_kept_l3(&m, 1.12 * m.l3_size), 1);
    /* Small pages cost at their ends. */
    call = streaming(1e9, INFINITY);
    m.tlb_page = 2 << 20;
    m.core_page_break = 4096 / 10e9;
    NEAR(seconds(&m, &call, 1), 0.1 * (1 + 1 / 512.0));
    m.tlb_page = 4096;
    NEAR(seconds(&m, &call, 1), 0.2);
    clsa_machine_destroy(&m);
}
END_TEST

/* What one thread alone works on, always the same, lies in its L2 if its part of all traffic has left it there. */
START_TEST(one_of_several_meets_its_part)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_cpu_call call = streaming(64e3, 256e3);
    call.parts = 1;
    NEAR(seconds(&m, &call, 1), 4e-6); /* L3, 16 B a cycle */
    NEAR(seconds(&m, &call, 4), 2e-6); /* L2, 32 B a cycle: 64 kB of 128 KiB went by */
    call.streams[0].distance = 1024e3;
    NEAR(seconds(&m, &call, 4), seconds(&m, &call, 1));
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(rows_wait_for_their_first_line_and_for_walks)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_cpu_call call = streaming(640e3, INFINITY);
    call.streams[0].row_bytes = 640; /* ten lines, ten at once: one latency a row */
    call.streams[0].pool_bytes = 64 * 4096;
    NEAR(seconds(&m, &call, 1), 1000 * 100e-9);
    call.inflight_lines = 5;
    NEAR(seconds(&m, &call, 1), 1000 * 200e-9);
    call.inflight_lines = 0;
    m.core_rows = 64 / 8e-9; /* lines behind the first sooner than at a tenth of a latency each */
    NEAR(seconds(&m, &call, 1), 1000 * (10e-9 + 9 * 8e-9));
    call.demand = true;
    m.core_demand = 5;
    NEAR(seconds(&m, &call, 1), 1000 * (20e-9 + 9 * 8e-9));
    call.row_cycles = 7;
    NEAR(seconds(&m, &call, 1), 1000 * (20e-9 + 9 * 8e-9 + 7e-9));
    /* Waits for data and for a walk join to more than the longer and less than both. */
    const struct clsa_cpu_call plain = {.parts = 1};
    struct clsa_cpu_place memory;
    clsa_cpu_place_find(&m, INFINITY, 0, 1, &memory);
    const double data = clsa_cpu_row(&m, &plain, 640, INFINITY, &memory, 1e9, 0), walk = 80e-9;
    const double both = clsa_cpu_row(&m, &plain, 640, INFINITY, &memory, 1e9, walk);
    ck_assert(both > fmax(data, walk) && both < data + walk);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(walks_cost_where_their_tables_lie)
{
    struct clsa_machine m = machine_named("toy-cpu");
    const double reach = m.tlb_entries * m.tlb_page;
    ck_assert(clsa_cpu_walk(&m, reach, 64) == 0);
    /* Half of the pages missed; 128 pages have their entries in 16 lines, which L2 holds: 10 cycles. */
    NEAR(clsa_cpu_walk(&m, 2 * reach, 64), 0.5 * (m.tlb_walk + 10e-9));
    double before = 0;
    for (double pool = reach; pool < 1e13; pool *= 2) {
        const double now = clsa_cpu_walk(&m, pool, 64);
        ck_assert(now >= before);
        before = now;
    }
    WITHIN(before, m.tlb_walk + m.dram_latency, 1e-6); /* beyond every cache */
    ck_assert(clsa_cpu_walk(&m, 1e9, 4096) >= clsa_cpu_walk(&m, 1e9, 64));
    /* Huge pages reach further, unless a hypervisor holds them in small ones. */
    m.tlb_page = 2 << 20;
    ck_assert(clsa_cpu_walk(&m, 64 * reach, 64) == 0);
    m.tlb_host_page = 4096;
    ck_assert(clsa_cpu_walk(&m, 64 * reach, 64) > 0);
    const double hosted = clsa_cpu_walk(&m, 1e12, 64);
    m.tlb_page = 4096;
    ck_assert(clsa_cpu_walk(&m, 1e12, 64) > hosted);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(arithmetic_parts_and_forks)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_cpu_call call = {.parts = 1, .vector_flops = 1e6};
    NEAR(seconds(&m, &call, 4), 1e6 / 10e9); /* one part runs on one core, without a fork */
    call.parts = 4;
    NEAR(seconds(&m, &call, 4), 1e6 / 40e9 + 1e-6);
    call.parts = 5; /* one core has two of five parts */
    NEAR(seconds(&m, &call, 4), 2.0 / 5 * 1e6 / 10e9 + 1e-6);
    NEAR(seconds(&m, &call, 2), 3.0 / 5 * 1e6 / 10e9 + 0.5e-6); /* half way in the logarithm to four */
    call.parts = 4.5; /* the half goes to another core than the one with two */
    NEAR(seconds(&m, &call, 2), 2.5 / 4.5 * 1e6 / 10e9 + 0.5e-6);
    call.share = 2; /* units taken two at a time, but half a thread's due of few */
    NEAR(seconds(&m, &call, 2), 2.5 / 4.5 * 1e6 / 10e9 + 0.5e-6);
    call.parts = 64; /* half a share between who takes what others left */
    NEAR(seconds(&m, &call, 2), (1 + 0.5 / 32 * (1 - 2. / 32)) / 2 * 1e6 / 10e9 + 0.5e-6);
    call.parts = 4; /* one share each: nothing is left */
    NEAR(seconds(&m, &call, 4), 1e6 / 40e9 + 1e-6);
    call.share = 0;
    call.parts = 5;
    m.fork_join_one = 2e-7;
    NEAR(seconds(&m, &call, 1), 1e6 / 10e9 + 2e-7);
    m.vector_one = 20e9; /* alone on units that threads share */
    NEAR(seconds(&m, &call, 1), 1e6 / 20e9 + 2e-7);
    NEAR(seconds(&m, &call, 4), 2.0 / 5 * 1e6 / 10e9 + 1e-6);
    m.vector_one = 0;
    call = (struct clsa_cpu_call){.parts = 4, .matrix_flops = 1e6, .matrix_efficiency = 0.5};
    NEAR(seconds(&m, &call, 4), 1e6 / 40e9 + 1e-6);
    call = (struct clsa_cpu_call){.parts = 4, .cycles = 4000, .fixed_cycles = 10, .tail_cycles = 5};
    NEAR(seconds(&m, &call, 4), 1e-6 + 15e-9 + 1e-6);
    /* What one core does and waits for overlaps as far as the call says. */
    call = streaming(1e6, INFINITY);
    call.parts = 1;
    call.vector_flops = 0.5e6; /* 50 us beside 100 us */
    NEAR(seconds(&m, &call, 1), 100e-6);
    call.exposed = 0.5;
    NEAR(seconds(&m, &call, 1), 100e-6 * sqrt(1 + 0.25));
    call.exposed = 1;
    NEAR(seconds(&m, &call, 1), 150e-6);
    clsa_machine_destroy(&m);
}
END_TEST

/* The first bytes that nobody foresaw are met by plain loads, but of rows at random places kernels know all. */
START_TEST(first_rows_come_as_kernels_ask_for_them)
{
    struct clsa_machine m = machine_named("toy-cpu");
    m.core_demand = m.core_inflight / 2;
    struct clsa_cpu_call call = streaming(1e5, INFINITY);
    struct clsa_cpu_stream *s = &call.streams[0];
    s->cold_bytes = s->bytes;
    s->cold_row_bytes = 64;
    const double loads = seconds(&m, &call, 1);
    s->row_bytes = 64;
    const double asked_for = seconds(&m, &call, 1);
    call.demand = true;
    NEAR(seconds(&m, &call, 1), loads);
    NEAR(asked_for - m.fork_join_one - m.call_cost, (loads - m.fork_join_one - m.call_cost) / 2);
    clsa_machine_destroy(&m);
}
END_TEST

/* One thread of the asked ones is slower than the others: who is fast takes more parts, but nobody takes over one that
 * was begun. */
START_TEST(parts_wait_for_the_slow_thread)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_cpu_call call = {.parts = 2, .vector_flops = 2e6};
    m.core_slowest = 0.8;
    m.core_slowest_share = 0.5; /* 0.4 and 1.6 of the mean */
    m.core_first_share = 0.4;   /* the slow one forks */
    const double part = 1e6 / 10e9;
    NEAR(seconds(&m, &call, 1), 2 * part);
    NEAR(seconds(&m, &call, 2), part / 0.4 + 0.5e-6);
    call = (struct clsa_cpu_call){.parts = 5, .vector_flops = 5e6}; /* four of five by the fast one */
    NEAR(seconds(&m, &call, 2), 4 * part / 1.6 + 0.5e-6);
    call = (struct clsa_cpu_call){.parts = 5.5, .vector_flops = 5.5e6}; /* the half after its four */
    NEAR(seconds(&m, &call, 2), 4.5 * part / 1.6 + 0.5e-6);
    call.parts = 1e6; /* evens out */
    ck_assert_double_eq_tol(seconds(&m, &call, 2), 5.5 * part / 2 + 0.5e-6, 1e-9);
    call = (struct clsa_cpu_call){.parts = 2, .vector_flops = 2e6}; /* of two out of four by chance one of 0.4 */
    NEAR(seconds(&m, &call, 4), part / 0.7 + 1e-6);
    call = (struct clsa_cpu_call){.parts = 1e6, .share = 1, .first = 0.75, .vector_flops = 2e6}; /* still at its first */
    NEAR(seconds(&m, &call, 2), 0.75 * part / 0.4 + 0.5e-6);
    /* Another one than that which forks began before it, by a fifth of the fork: so much less of it shows. */
    m.core_first_share = 1.6;
    NEAR(seconds(&m, &call, 2), 0.75 * part / 0.4 + 0.4e-6);
    call = (struct clsa_cpu_call){.parts = 2, .vector_flops = 200};
    NEAR(seconds(&m, &call, 2), 1e-8 / 1.6 + 0.5e-6);
    m.core_slowest_share = 10; /* never faster than the mean */
    call = (struct clsa_cpu_call){.parts = 2, .vector_flops = 2e6};
    NEAR(seconds(&m, &call, 2), part + 0.5e-6);
    clsa_machine_destroy(&m);
}
END_TEST

/* Another thread of the core slows what takes turns with it, and no more. */
START_TEST(arithmetic_takes_turns_with_a_sibling)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_cpu_call call = {.parts = 1, .vector_flops = 1e7, .cycles = 1e6};
    const double alone = seconds(&m, &call, 1);
    m.core_share = 0.5;
    NEAR(seconds(&m, &call, 1), 2 * alone);
    call.apart = 1;
    NEAR(seconds(&m, &call, 1), alone);
    call.apart = 0.75;
    NEAR(seconds(&m, &call, 1), 1.25 * alone);
    /* One part is the forking thread's: where its core is free, so is the part. */
    m.core_first_share = 2;
    NEAR(seconds(&m, &call, 1), 1.25 * alone); /* the mean of one */
    NEAR(seconds(&m, &call, 4), 1.25 * alone / 1.25);
    call.apart = 0;
    NEAR(seconds(&m, &call, 4), alone);
    clsa_machine_destroy(&m);
}
END_TEST

/* What other cores have: parts that one thread joins, and data of fewer parts than threads. */
START_TEST(what_other_cores_have_comes_over)
{
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_cpu_call call = {.parts = 3.5, .vector_flops = 1e6};
    const struct clsa_cpu_call rows = {.parts = 1, .demand = true};
    struct clsa_cpu_place memory, near, far;
    const double one = seconds(&m, &call, 1), four = seconds(&m, &call, 4);
    clsa_cpu_place_find(&m, INFINITY, 0, 1, &memory);
    call.part_bytes = 640;
    NEAR(seconds(&m, &call, 1), one); /* its own */
    NEAR(seconds(&m, &call, 4), four + 4 * 0.75 * clsa_cpu_row(&m, &rows, 640, INFINITY, &memory, 0, 0));
    m.core_handed = 5e9; /* measured: at that rate, as it is now */
    m.core_handed_share = 0.5;
    NEAR(seconds(&m, &call, 4), four + 4 * 0.75 * 640 / 2.5e9);
    call = streaming(64e3, 64e3);
    call.parts = 1;
    call.streams[0].handed = true;
    clsa_cpu_place_find(&m, 64e3, 0, 1, &near);
    NEAR(seconds(&m, &call, 4), 64e3 * (near.read + 0.75 * (1 / 2.5e9 - near.read)));
    m.core_handed = 0;
    /* Two of four threads get to work: unless both met their own, once in four times, what the last one waits for lies
     * with others, in the L3 of all or behind memory. */
    call = streaming(64e3, 64e3);
    call.parts = 2;
    clsa_cpu_place_find(&m, 64e3, 0, 2, &near);
    clsa_cpu_place_find(&m, 8 * m.l2_size, 0, 2, &far);
    m.l3_cores = 0;
    NEAR(seconds(&m, &call, 4), 64e3 / 2 * (near.read + 0.75 * (far.read - near.read)) + 1e-6);
    m.l3_cores = 2;
    clsa_cpu_place_find(&m, INFINITY, 0, 2, &far);
    clsa_cpu_place_find(&m, 64e3, 0, 2, &near);
    NEAR(seconds(&m, &call, 4), 64e3 / 2 * (near.read + 0.75 * (far.read - near.read)) + 1e-6);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(more_work_never_takes_less)
{
    struct clsa_machine m = machine_named(machine_of_kind(_i));
    for (unsigned threads = 1; threads <= m.core_count; threads *= 2) {
        double before = 0;
        for (double bytes = 1e3; bytes < 1e11; bytes *= 3) {
            struct clsa_cpu_call call = streaming(bytes, bytes);
            const double now = seconds(&m, &call, threads);
            ck_assert_msg(now >= before, "%s: %g bytes", machine_of_kind(_i), bytes);
            before = now;
            call.vector_flops = bytes;
            ck_assert(seconds(&m, &call, threads) >= now);
        }
    }
    struct clsa_cpu_call call = streaming(1e8, 3e7);
    const double now = seconds(&m, &call, 1);
    m.l3_size *= 2;
    ck_assert(seconds(&m, &call, 1) <= now);
    m.core_stream *= 2;
    ck_assert(seconds(&m, &call, 1) <= now);
    double before = 0;
    for (double row = 64; row <= 4096; row *= 2) { /* longer rows take longer, a byte of them never more */
        struct clsa_cpu_call rows = {.parts = 1};
        struct clsa_cpu_place memory;
        clsa_cpu_place_find(&m, INFINITY, 0, 1, &memory);
        const double walk = clsa_cpu_walk(&m, 4e9, row);
        const double one = clsa_cpu_row(&m, &rows, row, INFINITY, &memory, 4e9, walk);
        ck_assert(one >= before);
        ck_assert(row == 64 || one <= 2 * before * 1.0001);
        before = one;
    }
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(caches_keep_less_of_what_is_further_away)
{
    for (double edge = 0.1; edge < 0.9; edge += 0.25) {
        double before = 1;
        ck_assert(clsa_cpu_kept(1e6 * (1 - edge), 1e6, edge) == 1);
        ck_assert(clsa_cpu_kept(1e6 * (1 + edge) * 1.0001, 1e6, edge) == 0);
        NEAR(clsa_cpu_kept(1e6, 1e6, edge), 0.5);
        for (double d = 0; d < 3e6; d += 1e5) {
            const double kept = clsa_cpu_kept(d, 1e6, edge);
            ck_assert(kept <= before && kept >= 0);
            before = kept;
        }
    }
    ck_assert(clsa_cpu_kept(1, 0, 0.1) == 0);
    ck_assert(clsa_cpu_kept(INFINITY, 1e9, 0.6) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cpu");
    TCase *c = tcase_create("core");
    tcase_add_test(c, streams_run_at_the_level_that_answers);
    tcase_add_test(c, one_of_several_meets_its_part);
    tcase_add_test(c, rows_wait_for_their_first_line_and_for_walks);
    tcase_add_test(c, walks_cost_where_their_tables_lie);
    tcase_add_test(c, arithmetic_parts_and_forks);
    tcase_add_test(c, first_rows_come_as_kernels_ask_for_them);
    tcase_add_test(c, parts_wait_for_the_slow_thread);
    tcase_add_test(c, arithmetic_takes_turns_with_a_sibling);
    tcase_add_test(c, what_other_cores_have_comes_over);
    tcase_add_loop_test(c, more_work_never_takes_less, 0, MACHINE_KINDS);
    tcase_add_test(c, caches_keep_less_of_what_is_further_away);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
