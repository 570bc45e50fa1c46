#include "hwmodels/cpu.h"

#include <math.h>
#include <string.h>

static double or_one(double value)
{
    return value > 0 ? value : 1;
}

double clsa_cpu_kept(double distance_bytes, double size_bytes)
{
    if (size_bytes <= 0)
        return 0;
    return fmin(1, fmax(0, (1.1 * size_bytes - distance_bytes) / (0.2 * size_bytes)));
}

double clsa_cpu_walk(const struct clsa_machine *machine, double pool_bytes)
{
    const double reach = machine->tlb_entries * machine->tlb_page;
    if (pool_bytes <= reach)
        return 0;
    return (1 - reach / pool_bytes) * machine->tlb_walk * machine->tlb_nested;
}

struct levels {
    double l2, l3, dram; /* bytes answered there */
};

/* Every thread works on its share, so a core's L2 sees its part of the distance; an L3 is shared by
 * its cores, and threads spread over as many L3s as they need. */
static struct levels split(const struct clsa_machine *m, const struct clsa_cpu_stream *s,
                           double threads)
{
    if (s->known)
        return (struct levels){s->bytes * s->in_l2, s->bytes * (s->in_cache - s->in_l2),
                               s->bytes * (1 - s->in_cache)};
    const double l3s = ceil(threads / m->l3_cores);
    const double in_l2 = clsa_cpu_kept(s->distance / threads, m->l2_size);
    const double in_l3 = fmax(in_l2, clsa_cpu_kept(s->distance / l3s, m->l3_size));
    return (struct levels){s->bytes * in_l2, s->bytes * (in_l3 - in_l2), s->bytes * (1 - in_l3)};
}

/* Seconds of one core on random rows: lines of a row wait together, `lines` of them at once, for
 * the level that answers; the first touch of a row may wait for a page walk. */
static double row_seconds(const struct clsa_machine *m, const struct clsa_cpu_stream *s,
                          const struct levels *at, double threads, double lines, double clock)
{
    const double bytes = s->bytes / threads;
    const double rows = bytes / s->row_bytes;
    const double line = m->l2_line;
    const double row_lines = ceil(s->row_bytes / line);
    const double total = at->l2 + at->l3 + at->dram;
    const double latency =
        (at->l2 * m->l2_latency / clock + at->l3 * m->l3_latency / clock +
         at->dram * m->dram_latency) / total;
    const double walk = s->known ? s->walks * m->tlb_walk * m->tlb_nested
                                 : clsa_cpu_walk(m, s->pool_bytes);
    /* Rows shorter than the lines at once overlap with their neighbours, walks with each other. */
    const double row = row_lines * latency / lines;
    const double rows_at_once = fmax(1, fmin(m->tlb_walkers, lines / row_lines));
    return rows * (row + walk / rows_at_once);
}

void clsa_cpu_call_time(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                        unsigned threads, struct clsa_cpu_time *out)
{
    const struct clsa_machine *m = machine;
    const double asked = threads ? threads : m->core_count;
    const double used = fmax(1, fmin(fmin(asked, m->core_count), call->parts));
    /* The slowest thread has the most parts. */
    const double uneven = ceil(call->parts / used) * used / call->parts;
    const double clock = used > 1 ? m->core_clock : m->core_clock_one;
    const double rate = used / m->core_count * clock / m->core_clock;
    memset(out, 0, sizeof *out);

    double arithmetic = call->vector_flops /
                        (m->vector_fp32 * rate * or_one(call->vector_efficiency));
    if (call->matrix_flops > 0) {
        const double peak = m->matrix_bf16 > 0 ? m->matrix_bf16 : m->vector_fp32;
        arithmetic += call->matrix_flops / (peak * rate * or_one(call->matrix_efficiency));
    }
    double core = 0, dram_bytes = 0; /* seconds of each core; bytes of the machine's memory */
    for (unsigned i = 0; i < call->n_streams; i++) {
        const struct clsa_cpu_stream *s = &call->streams[i];
        if (s->bytes <= 0)
            continue;
        const struct levels at = split(m, s, used);
        const double l2_rate = m->l2_core_bandwidth * clock;
        const double l3_rate = fmin(l2_rate, m->l3_core_bandwidth * clock);
        double seconds = (at.l2 + s->again_bytes) / (used * l2_rate) + at.l3 / (used * l3_rate) +
                         at.dram / (used * m->core_stream);
        if (s->row_bytes > 0) {
            const double lines = fmin(m->core_inflight, call->inflight_lines > 0
                                                            ? call->inflight_lines
                                                            : m->core_inflight);
            seconds = fmax(seconds, row_seconds(m, s, &at, used, lines, clock));
        }
        core += seconds;
        dram_bytes += at.dram;
        out->l1_bytes += s->bytes + s->again_bytes;
        out->l2_bytes += s->bytes;
        out->dram_bytes += at.dram;
    }
    const double memory = fmax(core, dram_bytes / (m->dram_bandwidth * m->dram_stream)) /
                          or_one(call->memory_efficiency);
    const double overlap = call->overlap > 0 ? call->overlap : 1;
    const double busy = fmax(arithmetic, memory) + (1 - overlap) * fmin(arithmetic, memory);
    out->arithmetic_seconds = arithmetic * uneven;
    out->memory_seconds = memory * uneven;
    out->memory_bound = memory > arithmetic;
    out->seconds = busy * uneven + m->call_cost + call->fixed_cycles / clock +
                   (used > 1 ? m->fork_join : 0);
}
