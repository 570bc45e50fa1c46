/* The CPU model: formulas on the toy CPU (4 cores at 1 GHz), what more work or a better machine may never
 * do, and how ops become calls. */
#include "tests/unit/cpu_test.h"

#include <string.h>
#include <unistd.h>

#include "kernels/parallel.h"
#include "sim/model/plan.h"
#include "sim/replay/closed.h"
#include "sim/replay/map_cpu.h"

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

static const char *const machines[] = {"toy-cpu", "epyc-genoa", "xeon-spr", "grace"};

START_TEST(more_work_never_takes_less)
{
    struct clsa_machine m = machine_named(machines[_i]);
    for (unsigned threads = 1; threads <= m.core_count; threads *= 2) {
        double before = 0;
        for (double bytes = 1e3; bytes < 1e11; bytes *= 3) {
            struct clsa_cpu_call call = streaming(bytes, bytes);
            const double now = seconds(&m, &call, threads);
            ck_assert_msg(now >= before, "%s: %g bytes", machines[_i], bytes);
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

/* ---- ops as calls ---- */

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

/* Rows that decode attention uses where they lie cost by the line, whoever selected them; rows that it copies first do
 * not. */
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
                clsa_map_cpu(&p.step, &op, &m, &p.impl, &without);
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_STEP_CYCLES, 3);
                clsa_map_cpu(&p.step, &op, &m, &p.impl, &with);
                NEAR(with.cycles - without.cycles, 3 * bytes / m.l2_line);
                op.head_dim++; /* no multiple of what registers hold */
                clsa_map_cpu(&p.step, &op, &m, &p.impl, &with);
                clsa_impl_put(&p.impl, op.kind, CLSA_IMPL_STEP_CYCLES, 0);
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
    const char *machine = machines[_i];
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
    Suite *s = suite_create("cpu");
    TCase *c = tcase_create("core");
    tcase_add_test(c, streams_run_at_the_level_that_answers);
    tcase_add_test(c, rows_wait_for_their_first_line_and_for_walks);
    tcase_add_test(c, walks_cost_where_their_tables_lie);
    tcase_add_test(c, arithmetic_parts_and_forks);
    tcase_add_test(c, first_rows_come_as_kernels_ask_for_them);
    tcase_add_test(c, parts_wait_for_the_slow_thread);
    tcase_add_test(c, arithmetic_takes_turns_with_a_sibling);
    tcase_add_test(c, what_other_cores_have_comes_over);
    tcase_add_loop_test(c, more_work_never_takes_less, 0, 4);
    tcase_add_test(c, caches_keep_less_of_what_is_further_away);
    suite_add_tcase(s, c);
    c = tcase_create("ops");
    tcase_add_test(c, parts_are_the_units_of_the_kernels);
    tcase_add_test(c, rows_of_keys_and_values_are_met_once);
    tcase_add_test(c, parts_leave_lines_of_sums);
    tcase_add_test(c, keys_cost_by_the_line_where_they_lie);
    tcase_add_test(c, keys_read_again_push_out_weights);
    tcase_add_test(c, steps_that_fit_settle);
    tcase_add_loop_test(c, steps_obey_context_groups_threads_and_neighbours, 0, 4);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
