#include "hwmodels/cpu.h"

#include <math.h>
#include <string.h>

/* How the waits for data and for page walks of a row join: between their sum (1) and the longer of the
 * two (large), fitted on gathers of 64 B to 4 KiB from 4 MiB to 4 GiB (hwmodels/measured/zen4x2_cpu_gathers.csv). */
#define JOIN 2.5

/* The loop of a plain gather: cycles of a row, and of a load or a prefetch of a line. */
#define ROW_CYCLES 1.5
#define LINE_CYCLES 0.4

static double or_one(double value)
{
    return value > 0 ? value : 1;
}

double clsa_cpu_kept(double distance_bytes, double size_bytes, double edge)
{
    if (size_bytes <= 0)
        return 0;
    return fmin(1, fmax(0, ((1 + edge) * size_bytes - distance_bytes) / (2 * edge * size_bytes)));
}

double clsa_cpu_kept_l3(const struct clsa_machine *machine, double distance_bytes)
{
    return clsa_cpu_kept(distance_bytes, CLSA_CPU_STEP_L3 * machine->l3_size, CLSA_CPU_EDGE_L3);
}

double clsa_cpu_left(const struct clsa_machine *machine, double seconds)
{
    return machine->l3_foreign > 0 && machine->l3_size > 0
               ? exp(-machine->l3_foreign * seconds / machine->l3_size)
               : 1;
}

/* Lines of entries a page table has for a pool, eight bytes an entry. */
static double table_lines(const struct clsa_machine *m, double pool_bytes, double page_bytes)
{
    return fmax(1, pool_bytes / page_bytes * 8 / m->l2_line);
}

/* Seconds until a line comes that was last read `distance` bytes ago. */
static double line_seconds(const struct clsa_machine *m, double distance)
{
    const double in_l2 = clsa_cpu_kept(distance, m->l2_size, CLSA_CPU_EDGE_L2);
    const double in_l3 = fmax(in_l2, clsa_cpu_kept_l3(m, distance));
    return in_l2 * m->l2_latency / m->core_clock + (in_l3 - in_l2) * m->l3_latency / m->core_clock +
           (1 - in_l3) * m->dram_latency;
}

double clsa_cpu_walk(const struct clsa_machine *machine, double pool_bytes, double row_bytes)
{
    const struct clsa_machine *m = machine;
    const bool hosted = m->tlb_host_page > 0 && m->tlb_host_page < m->tlb_page;
    const double held = hosted ? m->tlb_host_page : m->tlb_page;
    const double missed = fmax(0, 1 - m->tlb_entries * held / pool_bytes);
    if (missed <= 0)
        return 0;
    const double beyond = fmax(0, 1 - m->tlb_entries * m->tlb_page / pool_bytes);
    /* A line of entries is read again after a row from everywhere else that it could have served, each
     * with its lines of entries: the row's own and, under a hypervisor, the host's. */
    const double tables = (beyond > 0) + (m->tlb_host_page > 0);
    const double each = row_bytes + tables * m->l2_line;
    double seconds = missed * m->tlb_walk * m->tlb_nested;
    if (beyond > 0)
        seconds += beyond * line_seconds(m, table_lines(m, pool_bytes, m->tlb_page) * each);
    if (m->tlb_host_page > 0)
        seconds += missed * line_seconds(m, table_lines(m, pool_bytes, m->tlb_host_page) * each);
    return seconds;
}

double clsa_cpu_row(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                    double row_bytes, double in_l2, double in_cache, double walk_seconds)
{
    const struct clsa_machine *m = machine;
    const double clock = m->core_clock, line = m->l2_line, lines = ceil(row_bytes / line);
    const double most = call->demand && m->core_demand > 0 ? m->core_demand : m->core_inflight;
    const double at_once = call->inflight_lines > 0 ? fmin(most, call->inflight_lines) : most;
    const double in_l3 = in_cache - in_l2, in_dram = 1 - in_cache;
    const double l2 = m->l2_latency / clock, l3 = m->l3_latency / clock;
    const double first = (in_l2 * l2 + in_l3 * l3 + in_dram * m->dram_latency) / at_once;
    /* A line behind the first follows at its level's rate, but no later than a first line would. */
    const double l2_next = fmin(l2 / at_once, line / (m->l2_core_bandwidth * clock));
    const double l3_next = fmin(l3 / at_once, line / (m->l3_core_bandwidth * clock));
    const double dram_next =
        fmin(m->dram_latency / at_once, m->core_rows > 0 ? line / m->core_rows : INFINITY);
    const double next = in_l2 * l2_next + in_l3 * l3_next + in_dram * dram_next;
    const double data = first + (lines - 1) * next;
    /* Rows that wait for a walk at once are bounded by the walkers, as far as the lines under way keep them
     * busy, and by the loads that wait with them. */
    const double walk = walk_seconds / fmax(1, fmin(m->tlb_walkers * at_once / m->core_inflight,
                                                    m->core_loads / lines));
    return pow(pow(data, JOIN) + pow(walk, JOIN), 1 / JOIN) + call->row_cycles / clock;
}

struct levels {
    double l2, l3, dram; /* parts answered there */
};

static double l3s_of(const struct clsa_machine *m, double threads)
{
    return m->l3_cores > 0 ? ceil(threads / m->l3_cores) : 1;
}

/* Every thread works on its share, so a core's L2 sees its part of the distance; an L3 is shared by
 * its cores, and threads spread over as many L3s as they need. */
static struct levels split(const struct clsa_machine *m, const struct clsa_cpu_stream *s,
                           double threads)
{
    if (s->known)
        return (struct levels){s->in_l2, s->in_cache - s->in_l2, 1 - s->in_cache};
    const double l3s = l3s_of(m, threads);
    const double in_l2 = clsa_cpu_kept(s->distance / threads, m->l2_size, CLSA_CPU_EDGE_L2);
    const double in_l3 = fmax(in_l2, clsa_cpu_left(m, s->age) * clsa_cpu_kept_l3(m, s->distance / l3s));
    return (struct levels){in_l2, in_l3 - in_l2, 1 - in_l3};
}

/* Forking and joining `threads`: rounds of waking and waiting, so it grows with the logarithm. */
static double fork_seconds(const struct clsa_machine *m, double threads)
{
    if (threads <= 1 || m->core_count <= 1)
        return m->fork_join_one;
    return m->fork_join_one +
           (m->fork_join - m->fork_join_one) * fmin(1, log(threads) / log(m->core_count));
}

/* The slowest of `used` threads over their mean, the last part being a fraction of one. Shares that shrink
 * end within a part of each other, half of one on average. */
static double slowest(double parts, double used, bool shrinking)
{
    if (shrinking)
        return 1 + 0.5 * (used - 1) / parts;
    const double whole = floor(parts), each = floor(whole / used);
    const double most = whole > each * used ? each + 1 : each + parts - whole;
    return most * used / parts;
}

void clsa_cpu_call_time(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                        unsigned threads, struct clsa_cpu_time *out)
{
    const struct clsa_machine *m = machine;
    const double asked = fmin(threads ? threads : m->core_count, m->core_count);
    const double unit = call->share > 0 ? fmin(call->share, ceil(call->parts / (2 * asked))) : 1;
    const double parts = call->parts / unit, used = fmax(1, fmin(asked, ceil(parts)));
    const double uneven = slowest(parts, used, call->share > 0);
    const double clock = used > 1 ? m->core_clock : m->core_clock_one;
    /* Threads that share a core's units get less each, the more of them run. */
    const double each = m->vector_fp32 / m->core_count;
    const double alone = m->vector_one > 0 ? m->vector_one : each * m->core_clock_one / m->core_clock;
    const double busy_part = m->core_count > 1 ? (used - 1) / (m->core_count - 1) : 0;
    const double rate = used / m->core_count * (alone + (each - alone) * busy_part) / each;
    memset(out, 0, sizeof *out);

    double arithmetic = call->vector_flops /
                        (m->vector_fp32 * rate * or_one(call->vector_efficiency));
    if (call->matrix_flops > 0) {
        const double peak = m->matrix_bf16 > 0 ? m->matrix_bf16 : m->vector_fp32;
        arithmetic += call->matrix_flops / (peak * rate * or_one(call->matrix_efficiency));
    }
    arithmetic += call->cycles / (used * clock);
    const double l2_rate = m->l2_core_bandwidth * clock;
    const double l3_rate = fmin(l2_rate, m->l3_core_bandwidth * clock);
    const double stream = call->dot && m->core_dot > 0 ? m->core_dot : m->core_stream;
    struct clsa_cpu_call cold_call = *call;
    cold_call.demand = true;
    double core = 0, cold = 0, dram_bytes = 0; /* seconds of each core; bytes of the machine's memory */
    for (unsigned i = 0; i < call->n_streams; i++) {
        const struct clsa_cpu_stream *s = &call->streams[i];
        if (s->bytes <= 0)
            continue;
        const struct levels at = split(m, s, used);
        const double dram_rate = 1 / (1 / stream + m->core_page_break / m->tlb_page);
        const double first = fmin(s->bytes, s->cold_bytes * used);
        double seconds = (s->bytes - first) * (at.l2 / l2_rate + at.l3 / l3_rate + at.dram / dram_rate) /
                         or_one(call->memory_efficiency);
        if (s->row_bytes > 0) {
            const double walk = s->known
                                    ? s->walks * m->tlb_walk * m->tlb_nested
                                    : (1 - at.l2 - at.l3) *
                                          clsa_cpu_walk(m, s->pool_bytes, s->row_bytes);
            seconds = fmax(seconds, s->bytes / s->row_bytes *
                                        clsa_cpu_row(m, call, s->row_bytes, at.l2, at.l2 + at.l3, walk));
        }
        if (first > 0)
            cold += first / s->cold_row_bytes / used *
                    clsa_cpu_row(m, &cold_call, s->cold_row_bytes, at.l2, at.l2 + at.l3, 0);
        core += (seconds + s->again_bytes / l2_rate) / used;
        dram_bytes += at.dram * s->bytes;
        out->l1_bytes += s->bytes + s->again_bytes;
        out->l2_bytes += s->bytes;
        out->dram_bytes += at.dram * s->bytes;
    }
    const double overlap = call->serial ? 0 : call->overlap > 0 ? call->overlap : 1;
    const double mine = fmax(arithmetic, core) + (1 - overlap) * fmin(arithmetic, core) + cold;
    /* The machine-wide limit meets all threads together, however uneven their shares, and while one
     * waits for it others work. */
    const double shared = dram_bytes / (m->dram_bandwidth * m->dram_stream) / uneven;
    const double memory = fmax(core, shared), busy = fmax(mine, shared);
    out->arithmetic_seconds = arithmetic * uneven;
    out->memory_seconds = memory * uneven;
    out->memory_bound = memory > arithmetic;
    out->seconds = busy * uneven + m->call_cost + call->fixed_cycles / clock +
                   call->tail_cycles / clock + (parts > 1 ? fork_seconds(m, asked) : 0);
}

double clsa_cpu_gather(const struct clsa_machine *machine, double footprint_bytes, double row_bytes,
                       double page_bytes, unsigned threads, bool demand)
{
    struct clsa_machine m = *machine; /* borrows the strings */
    const double lines = ceil(row_bytes / m.l2_line);
    const struct clsa_cpu_call call = {
        .parts = 1, .demand = demand, .row_cycles = ROW_CYCLES + lines * (demand ? 1 : 2) * LINE_CYCLES};
    m.tlb_page = page_bytes;
    const double walk = clsa_cpu_walk(&m, footprint_bytes, row_bytes);
    /* Beyond L2 a line that is there has pushed another out to the L3, which costs as much as fetching. */
    const double in_l2 = footprint_bytes <= m.l2_size;
    double rate = row_bytes / clsa_cpu_row(&m, &call, row_bytes, 0, 0, walk);
    double found = footprint_bytes < m.l3_size ? 1 : in_l2;
    const double sharers = threads / l3s_of(&m, threads);
    /* Between two visits of a row its footprint's misses and what others fetch push lines out at random;
     * what is found speeds up what is fetched, so go round until both agree. */
    for (int i = 0; i < 40; i++) {
        const double seconds = footprint_bytes / (rate * sharers);
        const double others = m.l3_foreign * seconds, missed = footprint_bytes * (1 - found);
        found = 0.5 * found + 0.5 * fmax(in_l2, m.l3_size > 0 ? exp(-(missed + others) / m.l3_size) : 0);
        rate = row_bytes / clsa_cpu_row(&m, &call, row_bytes, in_l2, found, walk);
        if (found < 1)
            rate = fmin(rate, m.dram_bandwidth * m.dram_stream / threads / (1 - found));
    }
    return rate * threads;
}
