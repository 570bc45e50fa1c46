#include "hwmodels/cpu.h"

#include <math.h>
#include <string.h>

/* How the waits for data and for page walks of a row join: between their sum (1) and the longer of the
 * two (large), fitted on gathers of 64 B to 4 KiB from 4 MiB to 4 GiB on two Zen 4 cores. */
#define JOIN 2.5

#define SMALL_PAGE 4096
#define MIB 1048576.0

/* Prefetches retire while they wait: so many times as many as loads may wait behind page walks. Fitted with
 * implementations/native.csv. */
#define PREFETCHES 2

/* So much of a fork and join the other threads are ahead of the one that forks: it releases them before it starts
 * itself. Measured on two Zen 5 cores (0.7 of 3.5 us with libgomp). */
#define AHEAD 0.2

/* What a thread has of a core whose other thread is as busy: measured on Zen 4 and Zen 5 (0.6 to 0.65 of multiply-adds
 * with loads). */
#define BESIDE_ANOTHER 0.6

/* Times closer than this are the same. */
#define ROUND 1e-9

/* The loop of a plain gather: cycles of a row, and of a load or a prefetch of a line. */
#define ROW_CYCLES 1.5
#define LINE_CYCLES 0.4

static double or_one(double value)
{
    return value > 0 ? value : 1;
}

double clsa_cpu_threads(const struct clsa_machine *machine, unsigned asked)
{
    return asked ? fmin(asked, machine->core_count) : machine->core_count;
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
               ? exp(-machine->l3_foreign * machine->l3_foreign_share * seconds / machine->l3_size)
               : 1;
}

double clsa_cpu_churned(const struct clsa_machine *machine, double distance_bytes, double traffic_bytes)
{
    return distance_bytes + machine->l3_churn * fmax(0, traffic_bytes - distance_bytes);
}

/* Lines of entries a page table has for a pool, eight bytes an entry. */
static double table_lines(const struct clsa_machine *m, double pool_bytes, double page_bytes)
{
    return fmax(1, pool_bytes / page_bytes * 8 / m->l2_line);
}

/* Threads that share one L3. */
static double sharers_of(const struct clsa_machine *m, double threads)
{
    return threads / (m->l3_cores > 0 ? ceil(threads / m->l3_cores) : 1);
}

/* Parts that L2 and any cache answer: what follows for latency and rates from the machine's figures. */
static void place_by_parts(const struct clsa_machine *m, double in_l2, double in_cache, double clock,
                           struct clsa_cpu_place *out)
{
    const double l2_rate = m->l2_core_bandwidth * clock;
    const double l3_rate = fmin(l2_rate, m->l3_core_bandwidth * clock);
    const double in_l3 = in_cache - in_l2, in_dram = 1 - in_cache;
    const double near = in_l2 / l2_rate + in_l3 / l3_rate, page = m->core_page_break / m->tlb_page;
    *out = (struct clsa_cpu_place){
        .in_l2 = in_l2,
        .in_cache = in_cache,
        .dram = in_dram,
        .latency = in_l2 * m->l2_latency / m->core_clock + in_l3 * m->l3_latency / m->core_clock +
                   in_dram * m->dram_latency,
        .read = near + in_dram * (1 / m->core_stream + page) / m->dram_share};
}

/* Seconds a byte of each of `threads` threads: from the curve of one thread and that of all where it was measured,
 * in between by their number. All went through `together` times the footprint of one in the same cache. */
static double curve_seconds(const struct clsa_machine *m, const struct clsa_curve *one,
                            const struct clsa_curve *all, const struct clsa_cpu_place *at,
                            double row_bytes, double together)
{
    const double alone = 1 / clsa_curve_at(one, at->since, row_bytes, at->foreign);
    if (at->threads <= 1 || m->core_count <= 1 || !all->n || at->since * together < all->bytes[0])
        return alone;
    const double of_all = 1 / clsa_curve_at(all, at->since * together, row_bytes, at->foreign * together);
    return alone + (of_all - alone) * (at->threads - 1) / (m->core_count - 1);
}

const unsigned clsa_probe_idle_us[CLSA_PROBE_IDLES] = {2000, 16000};
const double clsa_probe_stream_bytes[CLSA_PROBE_STREAMS] = {8 * MIB, 16 * MIB, 32 * MIB, 128 * MIB};

/* The part of a stream's rate that was found: by footprint between those that looks went through. */
static double stream_share(const struct clsa_machine *m, double bytes)
{
    const double shares[CLSA_PROBE_STREAMS] = {m->stream_share_8m, m->stream_share_16m, m->stream_share_32m,
                                               m->dram_share};
    int i = 0;
    while (i < CLSA_PROBE_STREAMS - 2 && bytes > clsa_probe_stream_bytes[i + 1])
        i++;
    const double begin = clsa_probe_stream_bytes[i], end = clsa_probe_stream_bytes[i + 1];
    const double part = log(fmin(fmax(bytes, begin), end) / begin) / log(end / begin);
    return shares[i] * pow(shares[i + 1] / shares[i], part);
}

/* What a thread of `threads` has of the arithmetic of one that is alone on its core: less by the clock, and by what other
 * threads of the core take of units, but for the part of it that does not take turns. */
static double pace_of(const struct clsa_machine *m, double threads, double apart)
{
    const double all = m->vector_mixed_one > 0 ? m->vector_mixed / m->core_count / m->vector_mixed_one
                       : m->vector_one > 0     ? m->vector_fp32 / m->core_count / m->vector_one
                                               : m->core_clock / m->core_clock_one;
    const double part = m->core_count > 1 ? (threads - 1) / (m->core_count - 1) : 0;
    const double clock = 1 + (m->core_clock / m->core_clock_one - 1) * part;
    const double units = (1 + (all - 1) * part) * m->core_share / clock;
    return clock / (1 + (1 - apart) * (1 / units - 1));
}

/* How many times as far apart two uses of data seem to an L2 whose core has another busy thread. That each has half of it
 * is an estimate. */
static double l2_crowded(const struct clsa_machine *m, double threads)
{
    return 1 / (1 - 0.5 * fmin(1, fmax(0, (1 - pace_of(m, threads, 0)) / (1 - BESIDE_ANOTHER))));
}

/* Seconds a byte of a stream, where the last cache has learnt what comes again and where it has not. */
static double stream_seconds(const struct clsa_machine *m, const struct clsa_cpu_place *at, double unsettled)
{
    const double settled = curve_seconds(m, &m->curve_stream, &m->curve_stream_all, at, 0, 1);
    if (unsettled <= 0 || !m->curve_unsettled.n)
        return settled;
    return settled + unsettled * (curve_seconds(m, &m->curve_unsettled, &m->curve_unsettled_all, at, 0, 1) - settled);
}

/* What lies idle in a cache that others use as well loses as much as if so many bytes more had gone by. */
static void place_by_curves(const struct clsa_machine *m, double distance, double age, double threads, double unsettled,
                            struct clsa_cpu_place *out)
{
    distance += fmin(distance, m->l2_size) * (l2_crowded(m, threads) - 1);
    const double foreign = distance <= m->l2_size ? 0 : m->l3_foreign / sharers_of(m, threads);
    const double far = 1 / clsa_curve_at(&m->curve_stream, INFINITY, 0, 0);
    const double near = 1 / clsa_curve_at(&m->curve_stream, 4 * m->l2_size, 0, 0);
    const double l3 = m->l3_latency / m->core_clock;
    const double in_l2 = clsa_cpu_kept(distance, m->l2_size, CLSA_CPU_EDGE_L2);
    out->threads = threads;
    out->foreign = foreign;
    out->since = foreign > 0 ? distance + foreign * m->l3_foreign_share * age : distance;
    out->in_l2 = in_l2;
    out->read = stream_seconds(m, out, unsettled);
    out->dram = far > near ? fmin(1 - in_l2, fmax(0, (out->read - near) / (far - near))) : 1 - in_l2;
    out->latency = m->curve_latency.n
                       ? fmin(m->dram_latency, clsa_curve_at(&m->curve_latency, out->since, 0, foreign))
                       : in_l2 * m->l2_latency / m->core_clock + (1 - in_l2 - out->dram) * l3 +
                             out->dram * m->dram_latency;
    out->read /= stream_share(m, out->since);
    out->in_cache = fmax(in_l2, 1 - fmax(0, out->latency - l3) / fmax(1e-12, m->dram_latency - l3));
}

double clsa_cpu_foreign(const struct clsa_machine *machine, double threads, double bytes,
                        const struct clsa_cpu_idle *idle, unsigned n)
{
    struct clsa_machine m = *machine; /* borrows the strings */
    /* Ten caches full in the shortest of the waits leave nothing. */
    double low = log(CLSA_CPU_FOREIGN_LEAST), high = low;
    for (unsigned i = 0; i < n; i++)
        high = fmax(high, log(10 * m.l3_size / idle[i].seconds));
    while (high - low > 1e-6) {
        const double middle = (low + high) / 2;
        double more = 0; /* left than should be */
        m.l3_foreign = machine->l3_foreign > 0 ? machine->l3_foreign : exp(middle);
        m.l3_foreign_share = exp(middle) / m.l3_foreign;
        for (unsigned i = 0; i < n; i++) {
            struct clsa_cpu_place at = {0};
            if (m.curve_stream.n)
                place_by_curves(&m, bytes, idle[i].seconds, threads, 0, &at);
            more += (m.curve_stream.n ? 1 - at.dram : clsa_cpu_left(&m, idle[i].seconds)) - idle[i].kept;
        }
        if (more > 0)
            low = middle;
        else
            high = middle;
    }
    return exp(low);
}

static void place_find(const struct clsa_machine *m, double distance_bytes, double age_seconds, double threads,
                       double unsettled, struct clsa_cpu_place *out)
{
    if (m->curve_stream.n) {
        place_by_curves(m, distance_bytes / threads, age_seconds, threads, unsettled, out);
        return;
    }
    /* Every thread works on its share, so a core's L2 sees its part of the distance; an L3 is shared by
     * its cores, and threads spread over as many L3s as they need. */
    const double in_l2 = clsa_cpu_kept(distance_bytes / threads, m->l2_size, CLSA_CPU_EDGE_L2);
    const double l3 = distance_bytes / threads * sharers_of(m, threads);
    place_by_parts(m, in_l2, fmax(in_l2, clsa_cpu_left(m, age_seconds) * clsa_cpu_kept_l3(m, l3)),
                   threads > 1 ? m->core_clock : m->core_clock_one, out);
}

void clsa_cpu_place_find(const struct clsa_machine *machine, double distance_bytes, double age_seconds,
                         double threads, struct clsa_cpu_place *out)
{
    place_find(machine, distance_bytes, age_seconds, threads, 0, out);
}

/* The same for what one thread of `asked` works on, always the same: its L2 has met its part of what all did since. */
static void place_alone(const struct clsa_machine *m, double distance_bytes, double age_seconds, double asked,
                        double unsettled, struct clsa_cpu_place *out)
{
    struct clsa_cpu_place near;
    const double own = distance_bytes / asked, kept = clsa_cpu_kept(own, m->l2_size, CLSA_CPU_EDGE_L2);
    place_find(m, distance_bytes, age_seconds, 1, unsettled, out);
    if (asked <= 1 || kept <= out->in_l2)
        return;
    place_find(m, fmin(own, (1 - CLSA_CPU_EDGE_L2) * m->l2_size), age_seconds, 1, unsettled, &near);
    out->in_l2 += kept * (near.in_l2 - out->in_l2);
    out->in_cache += kept * (near.in_cache - out->in_cache);
    out->dram += kept * (near.dram - out->dram);
    out->latency += kept * (near.latency - out->latency);
    out->read += kept * (near.read - out->read);
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
    double seconds = missed * m->tlb_walk * m->tlb_nested;
    /* A line of entries is read again after a row from everywhere else that it could have served, each
     * with its lines of entries: the row's own and, under a hypervisor, the host's. */
    const double tables = (beyond > 0) + (m->tlb_host_page > 0);
    const double each = row_bytes + tables * m->l2_line;
    struct clsa_cpu_place at;
    if (beyond > 0) {
        clsa_cpu_place_find(m, table_lines(m, pool_bytes, m->tlb_page) * each, 0, 1, &at);
        seconds += beyond * at.latency;
    }
    if (m->tlb_host_page > 0) {
        clsa_cpu_place_find(m, table_lines(m, pool_bytes, m->tlb_host_page) * each, 0, 1, &at);
        seconds += missed * at.latency;
    }
    return seconds;
}

/* What walks cost a row beyond those in the measured rates. Rows one after another find the tables' lines in some
 * cache, but the first of a call's rows that needs one looks for it where its last use left it: calls at random places
 * meet each line once in so many, all threads together sooner, and what else goes by takes entries of the TLB as well. */
static double walk_again(const struct clsa_machine *m, double pool_bytes, double row_bytes, double rows,
                         double row_seconds, const struct clsa_cpu_place *at)
{
    const bool hosted = m->tlb_host_page > 0 && m->tlb_host_page < m->tlb_page;
    const double page = hosted ? m->tlb_host_page : m->tlb_page;
    const double lines = table_lines(m, pool_bytes, page), met = lines * (1 - exp(-rows / lines));
    const double met_by_all = lines * (1 - exp(-rows * fmax(1, at->threads) / lines));
    const double missed = fmax(0, 1 - m->tlb_entries * page / fmax(pool_bytes, at->since * lines / met));
    const double waits = met / rows * missed; /* of a row; none where rows come again and again */
    struct clsa_cpu_place near, far;
    if (waits <= 0)
        return 0;
    place_by_curves(m, lines * (row_bytes + m->l2_line), lines * row_seconds, 1, 0, &near);
    place_by_curves(m, at->since * lines / met_by_all, 0, 1, 0, &far);
    return waits * fmax(0, far.latency - near.latency);
}

/* Page walks of a row that wait at once are bounded by the walkers, as far as the lines under way keep them
 * busy, and by the loads that wait with them. */
static double walks_at_once(const struct clsa_machine *m, double at_once, double lines)
{
    return fmax(1, fmin(m->tlb_walkers * at_once / m->core_inflight, m->core_loads / lines));
}

/* A row where gathers were measured: walks, and lines that come together, are in their rates. 0 where not. */
static double row_by_curves(const struct clsa_machine *m, bool demand, double row_bytes, double pool_bytes,
                            const struct clsa_cpu_place *at)
{
    const bool small = m->tlb_page <= SMALL_PAGE;
    const struct clsa_curve *one = demand ? small ? &m->curve_gather_small : &m->curve_gather
                                   : small ? &m->curve_fetch_small
                                           : &m->curve_fetch;
    const struct clsa_curve *all = demand ? small ? &m->curve_gather_small_all : &m->curve_gather_all
                                   : small ? &m->curve_fetch_small_all
                                           : &m->curve_fetch_all;
    if (!one->n || at->since <= 0)
        return 0;
    /* Rows that come from memory need not come from all of it: the tables of their pool are what is walked. */
    struct clsa_cpu_place there = *at;
    const double far = fmax(pool_bytes, CLSA_CPU_CACHES_FAR * m->l3_size);
    if (at->since > far) {
        there.since = far;
        there.foreign = 0;
    }
    /* Rows were gathered from one footprint by all threads. They wait for latency as much as for bandwidth, of which
     * streams lose all that others take. */
    return row_bytes * curve_seconds(m, one, all, &there, row_bytes, sharers_of(m, at->threads)) *
           (1 + at->dram * (1 / sqrt(m->dram_share) - 1));
}

/* How many times as long as streams a kernel takes over data of which that part comes from memory. */
static double slower(const struct clsa_cpu_call *call, double dram)
{
    return 1 + dram * (1 / or_one(call->memory_efficiency) - 1);
}

double clsa_cpu_row(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                    double row_bytes, double rows, const struct clsa_cpu_place *at, double pool_bytes,
                    double walk_seconds)
{
    const struct clsa_machine *m = machine;
    const double clock = m->core_clock, line = m->l2_line, lines = ceil(row_bytes / line);
    const double most = call->demand && m->core_demand > 0 ? m->core_demand : m->core_inflight;
    const double at_once = call->inflight_lines > 0 ? fmin(most, call->inflight_lines) : most;
    const double in_l2 = at->in_l2, in_l3 = at->in_cache - in_l2, in_dram = 1 - at->in_cache;
    const double l2 = m->l2_latency / clock, l3 = m->l3_latency / clock;
    /* A line behind the first follows at its level's rate, but no later than a first line would. */
    const double l2_next = fmin(l2 / at_once, line / (m->l2_core_bandwidth * clock));
    const double measured = row_by_curves(m, call->demand, row_bytes, pool_bytes, at);
    if (measured > 0) { /* beyond a core's L2 */
        const double waiting = (call->demand ? 1 : PREFETCHES) * m->core_loads;
        const double walks = fmax(1, fmin(m->tlb_walkers, waiting / lines));
        const double beyond = measured * slower(call, at->dram) +
                              walk_again(m, pool_bytes, row_bytes, rows, measured, at) / walks;
        return in_l2 * (l2 / at_once + (lines - 1) * l2_next) + (1 - in_l2) * beyond +
               call->row_cycles / m->core_clock;
    }
    const double first = at->latency / at_once;
    const double l3_next = fmin(l3 / at_once, line / (m->l3_core_bandwidth * clock));
    const double dram_next =
        fmin(m->dram_latency / at_once, m->core_rows > 0 ? line / m->core_rows : INFINITY);
    const double next = in_l2 * l2_next + in_l3 * l3_next + in_dram * dram_next;
    const double data = first + (lines - 1) * next;
    const double walk = walk_seconds / walks_at_once(m, at_once, lines);
    return pow(pow(data, JOIN) + pow(walk, JOIN), 1 / JOIN) + call->row_cycles / clock;
}

/* Forking and joining `threads`: rounds of waking and waiting, so it grows with the logarithm. */
static double fork_seconds(const struct clsa_machine *m, double threads)
{
    double seconds = m->fork_join_one;
    if (threads > 1 && m->core_count > 1)
        seconds += (m->fork_join - m->fork_join_one) * fmin(1, log(threads) / log(m->core_count));
    return seconds * m->fork_share;
}

/* Seconds a byte that a core reads of what others just wrote. */
static double handed_seconds(const struct clsa_machine *m, double age)
{
    struct clsa_cpu_place far;
    if (m->core_handed > 0)
        return 1 / (m->core_handed * m->core_handed_share);
    clsa_cpu_place_find(m, INFINITY, age, 1, &far);
    return far.read;
}

/* What threads left for others to join comes from their caches: row by row, as rows at random places would from
 * memory, unless it was measured. */
static double handed_over(const struct clsa_machine *m, const struct clsa_cpu_call *cold, double parts,
                          double bytes, double used)
{
    struct clsa_cpu_place far;
    if (bytes <= 0 || used <= 1)
        return 0;
    const double over = parts * (1 - 1 / used);
    if (m->core_handed > 0)
        return over * bytes * handed_seconds(m, 0);
    clsa_cpu_place_find(m, INFINITY, 0, 1, &far);
    return over * clsa_cpu_row(m, cold, bytes, INFINITY, &far, 0, 0);
}

/* Of `used` threads one has `slow` of their mean rate, and the others are alike: what each of those has. */
static double others_rate(double used, double slow)
{
    return used > 1 ? (used - slow) / (used - 1) : 1;
}

/* When they are through that take one of `whole` parts after another, in times that a part takes a thread of their mean
 * rate. */
static double through(double whole, double used, double slow)
{
    if (used <= 1)
        return whole;
    const double fast = others_rate(used, slow), sure = fmax(0, whole / used - 2);
    /* Parts that the slow thread, and that each other, has begun. */
    double late = floor(sure * slow), early = floor(sure * fast);
    while (early * (used - 1) + late < whole)
        if (early / fast <= late / slow + ROUND)
            early++;
        else
            late++;
    return fmax(early / fast, late / slow);
}

/* The last of `used` threads over their mean, the last part being a fraction of one. Where threads take what is left of
 * others' shares they end half a part from each other on average, unless the slow one is still at its first. */
static double uneven(const struct clsa_cpu_call *call, double parts, double used, double slow)
{
    const double whole = floor(parts), missing = (whole + 1 - parts) / others_rate(used, slow);
    const double last = parts > whole ? through(whole + 1, used, slow) - missing : 0;
    const double worst = fmax(through(whole, used, slow), last) * used / parts;
    if (call->share <= 0 || used <= 1)
        return worst;
    return fmax(fmax(worst, 1 + 0.5 * (used - 1) / parts * (1 - used / parts)), call->first / slow);
}

/* Two that go on beside each other: their sum where all is exposed, the longer of both where nothing is; between, the
 * less of the shorter shows the shorter it is. */
static double beside(double a, double b, double exposed)
{
    const double most = fmax(a, b), least = fmin(a, b);
    return most > 0 && exposed > 0 ? most * pow(1 + pow(least / most, 1 / exposed), exposed) : most;
}

/* When the last thread is done, one of which has `slow` of their mean rate: seconds of arithmetic if all had that of the
 * `fast` ones, and with the `late` one, beside `core` from memory. All but the one that forks begin `ahead` of it, so
 * much less of the slow one shows if that is another. */
static double last_done(const struct clsa_machine *m, double slow, double fast, double late, double core,
                        double exposed, double ahead)
{
    const double forks = slow < 1 ? fmin(1, fmax(0, (1 - m->core_first_share) / (1 - slow))) : 1;
    return fmax(beside(fast, core, exposed), beside(late, core, exposed) - (1 - forks) * ahead);
}

void clsa_cpu_call_time(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                        unsigned threads, struct clsa_cpu_time *out)
{
    const struct clsa_machine *m = machine;
    const double asked = clsa_cpu_threads(m, threads);
    const double unit = call->share > 0 ? fmin(call->share, ceil(call->parts / (2 * asked))) : 1;
    const double parts = call->parts / unit, used = fmax(1, fmin(asked, ceil(parts)));
    const double even = uneven(call, parts, used, 1);
    const double clock = used > 1 ? m->core_clock : m->core_clock_one;
    /* Threads with nothing to do wait awake, so who works has no more of a core than when all do; who works alone is
     * the first of them. Of fewer than were asked the slow one may be none. */
    const double pace = pace_of(m, asked, call->apart);
    const double own = asked > 1 ? pace * (1 + (1 - call->apart) * (m->core_first_share - 1)) : pace;
    const double slow = 1 - fmax(0, 1 - m->core_slowest * m->core_slowest_share) * (used > 1 ? used / asked : 0);
    const double alone = m->vector_one > 0 ? m->vector_one
                                           : m->vector_fp32 / m->core_count * m->core_clock_one / m->core_clock;
    memset(out, 0, sizeof *out);

    double arithmetic = call->vector_flops / or_one(call->vector_efficiency) / alone;
    if (call->matrix_flops > 0)
        arithmetic += call->matrix_flops / or_one(call->matrix_efficiency) / alone *
                      (m->matrix_bf16 > 0 ? m->vector_fp32 / m->matrix_bf16 : 1);
    arithmetic += call->cycles / m->core_clock_one;
    arithmetic /= used > 1 ? pace * used : own;
    /* Looks say what all threads get of memory together. Where that is less than usual, one of several that computes
     * beside its stream asks for less than its part, and waits for the root of the loss, as random rows do. */
    const double waits = used > 1 ? fmin(1, sqrt(m->dram_share)) : 1;
    /* What nobody foresaw: rows that the kernel asks for all the same, and plain loads. */
    struct clsa_cpu_call asked_for = *call, loaded;
    asked_for.memory_efficiency = 1;
    loaded = asked_for;
    loaded.demand = true;
    /* Seconds of each core; and of the memory that all share, by the machine's figures or as curves and looks say. */
    double core = 0, cold = 0, dram = 0;
    for (unsigned i = 0; i < call->n_streams; i++) {
        const struct clsa_cpu_stream *s = &call->streams[i];
        if (s->bytes <= 0)
            continue;
        struct clsa_cpu_place at;
        if (s->known)
            place_by_parts(m, s->in_l2, s->in_cache, clock, &at);
        else if (parts <= 1)
            place_alone(m, s->distance, s->age, asked, call->unsettled, &at);
        else
            place_find(m, s->distance, s->age, used, call->unsettled, &at);
        const double first = fmin(s->bytes, s->cold_bytes * used);
        double walk = 0, rows = INFINITY; /* of a thread */
        const bool by_curves = m->curve_stream.n && !s->known;
        const double together = (s->bytes - first) * at.read;
        double seconds = together * slower(call, at.dram) * (by_curves ? 1 - at.dram * (1 - waits) : 1);
        if (s->row_bytes > 0) {
            walk = s->known ? s->walks * m->tlb_walk * m->tlb_nested
                            : (1 - at.in_cache) * clsa_cpu_walk(m, s->pool_bytes, s->row_bytes);
            rows = s->bytes / s->row_bytes / used;
            seconds = fmax(seconds, (s->bytes - first) / s->row_bytes *
                                        clsa_cpu_row(m, call, s->row_bytes, rows, &at, s->pool_bytes, walk));
        }
        if (first > 0)
            cold += first / s->cold_row_bytes / used *
                    clsa_cpu_row(m, s->row_bytes > 0 ? &asked_for : &loaded, s->cold_row_bytes, rows, &at,
                                 s->pool_bytes, walk);
        if (used < asked && (s->handed || parts > 1)) {
            /* Which threads get to work is up to chance: what other cores wrote, or worked on before in an L3 of
             * their own, comes over as if from memory; what an L3 of all has, from there. The last waits for it
             * unless each met its own. */
            const bool shared = !s->handed && sharers_of(m, asked) >= asked;
            struct clsa_cpu_place far;
            clsa_cpu_place_find(m, shared ? fmax(s->distance, 4 * m->l2_size * used) : INFINITY, s->age, used, &far);
            const double over = s->handed ? handed_seconds(m, s->age) : far.read;
            const double other = parts > 1 ? 1 - pow(used / asked, used) : 1 - used / asked;
            seconds += s->bytes * other * fmax(0, over - at.read);
        }
        core += (seconds + s->again_bytes / (m->l2_core_bandwidth * clock)) / used;
        dram += by_curves ? together / used
                          : at.dram * s->bytes /
                                (m->dram_bandwidth * m->dram_share *
                                 fmin(m->dram_stream, s->row_bytes > 0 ? m->dram_random : 1));
        out->l1_bytes += s->bytes + s->again_bytes;
        out->l2_bytes += s->bytes;
        out->dram_bytes += at.dram * s->bytes;
    }
    core *= even;
    /* The machine-wide limit meets all threads together, however uneven their shares. */
    const double memory = fmax(core, dram), fork = parts > 1 ? fork_seconds(m, asked) : 0;
    out->arithmetic_seconds = arithmetic * (slow < 1 ? uneven(call, parts, used, slow) : even);
    out->memory_seconds = memory;
    out->memory_bound = memory > out->arithmetic_seconds;
    const double work = last_done(m, slow, arithmetic * even / others_rate(used, slow), out->arithmetic_seconds, core,
                                  call->exposed, AHEAD * fork);
    out->seconds = fmax(work + cold * even, dram) + m->call_cost +
                   (call->fixed_cycles + call->tail_cycles) / (m->core_clock_one * own) +
                   handed_over(m, &loaded, ceil(call->parts), call->part_bytes, used) + fork;
}

double clsa_cpu_kept_found(double near, double idle, double memory)
{
    return fmin(1, fmax(0.02, (1 / memory - 1 / idle) / (1 / memory - 1 / near)));
}

const struct clsa_probe_figure clsa_probe_figures[CLSA_PROBE_FIGURES] = {
    {"gflops", offsetof(struct clsa_probe, flops), 1e9, 2},
    {"stream_gbps", offsetof(struct clsa_probe, stream[3]), 1e9, 3},
    {"fork_join_us", offsetof(struct clsa_probe, fork_join), 1e-6, 4},
    {"stream_8m_gbps", offsetof(struct clsa_probe, stream[0]), 1e9, 2},
    {"stream_16m_gbps", offsetof(struct clsa_probe, stream[1]), 1e9, 2},
    {"stream_32m_gbps", offsetof(struct clsa_probe, stream[2]), 1e9, 2},
    {"handed_gbps", offsetof(struct clsa_probe, handed), 1e9, 3},
    {"kept", offsetof(struct clsa_probe, kept[0]), 1, 4},
    {"kept_16ms", offsetof(struct clsa_probe, kept[1]), 1, 4},
    {"slowest", offsetof(struct clsa_probe, slowest), 1, 3},
    {"first", offsetof(struct clsa_probe, first), 1, 3}};

double clsa_probe_get(const struct clsa_probe *probe, int figure)
{
    double value;
    memcpy(&value, (const char *)probe + clsa_probe_figures[figure].offset, sizeof value);
    return value / clsa_probe_figures[figure].unit;
}

void clsa_probe_set(struct clsa_probe *probe, int figure, double value)
{
    value *= clsa_probe_figures[figure].unit;
    memcpy((char *)probe + clsa_probe_figures[figure].offset, &value, sizeof value);
}

/* The part of the rate that n threads should stream with over the footprint of a look, the last of which lies beyond
 * all caches. 0: not looked at. */
static double found_stream(const struct clsa_machine *m, double n, const struct clsa_probe *probe, int look)
{
    struct clsa_cpu_place at;
    const bool far = look == CLSA_PROBE_STREAMS - 1;
    place_find(m, far ? INFINITY : clsa_probe_stream_bytes[look] * n, 0, n, 1, &at); /* the last look was at memory */
    const double expected = n / at.read;
    return probe->stream[look] / (m->curve_stream.n ? expected : fmin(expected, m->dram_bandwidth * m->dram_stream));
}

void clsa_cpu_shares(const struct clsa_machine *machine, unsigned threads, const struct clsa_probe *probe,
                     struct clsa_cpu_share out[CLSA_CPU_SHARES])
{
    struct clsa_machine m = *machine; /* borrows the strings */
    const double n = clsa_cpu_threads(&m, threads);
    m.stream_share_8m = m.stream_share_16m = m.stream_share_32m = m.dram_share = m.fork_share = m.core_share = 1;
    const double mixed = n > 1 || m.vector_mixed_one <= 0 ? m.vector_mixed / m.core_count * n : m.vector_mixed_one;
    const double core = mixed > 0 ? probe->flops / mixed : 1, fork = fork_seconds(&m, n);
    double streams[CLSA_PROBE_STREAMS];
    for (int i = 0; i < CLSA_PROBE_STREAMS; i++)
        streams[i] = found_stream(&m, n, probe, i);
    if (!(streams[0] > 0))
        streams[0] = core;
    const double far = streams[CLSA_PROBE_STREAMS - 1];
    for (int i = 1; i < CLSA_PROBE_STREAMS - 1; i++)
        if (!(streams[i] > 0))
            streams[i] = streams[0] * pow(far / streams[0], 0.25 * i);
    struct clsa_cpu_idle idle[CLSA_PROBE_IDLES];
    unsigned waits = 0;
    for (int i = 0; i < CLSA_PROBE_IDLES; i++)
        if (probe->kept[i] > 0)
            idle[waits++] = (struct clsa_cpu_idle){clsa_probe_idle_us[i] * 1e-6, probe->kept[i]};
    const double foreign = waits && m.l3_foreign > 0
                               ? clsa_cpu_foreign(&m, n, (double)CLSA_PROBE_IDLE_BYTES, idle, waits) / m.l3_foreign
                               : 1;
    const struct clsa_cpu_share shares[CLSA_CPU_SHARES] = {
        {CLSA_MACHINE_core_share, core},
        {CLSA_MACHINE_stream_share_8m, streams[0]},
        {CLSA_MACHINE_stream_share_16m, streams[1]},
        {CLSA_MACHINE_stream_share_32m, streams[2]},
        {CLSA_MACHINE_dram_share, pow(far, m.look_far) * pow(streams[CLSA_PROBE_STREAMS - 2], m.look_edge)},
        {CLSA_MACHINE_l3_foreign_share, fmin(100, fmax(0.01, foreign))},
        {CLSA_MACHINE_core_handed_share, probe->handed > 0 && m.core_handed > 0 ? probe->handed / m.core_handed : 1},
        {CLSA_MACHINE_core_first_share, probe->first > 0 ? probe->first : 1},
        {CLSA_MACHINE_core_slowest_share, probe->slowest > 0 ? probe->slowest / m.core_slowest : 1},
        {CLSA_MACHINE_fork_share, probe->fork_join > 0 && fork > 0 ? probe->fork_join / fork : 1}};
    memcpy(out, shares, sizeof shares);
}

int clsa_cpu_as_found(struct clsa_machine *machine, unsigned threads, const struct clsa_probe *probe)
{
    struct clsa_cpu_share shares[CLSA_CPU_SHARES];
    int status = 0;
    clsa_cpu_shares(machine, threads, probe, shares);
    for (int i = 0; i < CLSA_CPU_SHARES && !status; i++)
        status = clsa_machine_found(machine, shares[i].parameter, shares[i].value,
                                    "found beside the run, against the file");
    return status;
}

double clsa_cpu_gather(const struct clsa_machine *machine, double footprint_bytes, double row_bytes,
                       double page_bytes, unsigned threads, bool demand)
{
    struct clsa_machine m = *machine; /* borrows the strings */
    const double lines = ceil(row_bytes / m.l2_line);
    const struct clsa_cpu_call call = {
        .parts = 1, .demand = demand, .row_cycles = ROW_CYCLES + lines * (demand ? 1 : 2) * LINE_CYCLES};
    const double most = m.dram_bandwidth * fmin(m.dram_stream, m.dram_random) / threads;
    struct clsa_cpu_place at = {.since = footprint_bytes / sharers_of(&m, threads), .threads = threads};
    m.tlb_page = page_bytes;
    const double measured = row_by_curves(&m, demand, row_bytes, footprint_bytes, &at);
    if (measured > 0)
        return row_bytes / measured * threads;
    const double walk = clsa_cpu_walk(&m, footprint_bytes, row_bytes);
    /* Beyond L2 a line that is there has pushed another out to the L3, which costs as much as fetching. */
    const double in_l2 = footprint_bytes <= m.l2_size;
    double found = footprint_bytes < m.l3_size ? 1 : in_l2, rate;
    /* Between two visits of a row its footprint's misses and what others fetch push lines out at random;
     * what is found speeds up what is fetched, so go round until both agree. */
    place_by_parts(&m, 0, 0, m.core_clock, &at);
    rate = row_bytes / clsa_cpu_row(&m, &call, row_bytes, INFINITY, &at, footprint_bytes, walk);
    for (int i = 0; i < 40; i++) {
        const double seconds = footprint_bytes / (rate * sharers_of(&m, threads));
        const double others = m.l3_foreign * seconds, missed = footprint_bytes * (1 - found);
        found = 0.5 * found + 0.5 * fmax(in_l2, m.l3_size > 0 ? exp(-(missed + others) / m.l3_size) : 0);
        place_by_parts(&m, in_l2, found, m.core_clock, &at);
        rate = row_bytes / clsa_cpu_row(&m, &call, row_bytes, INFINITY, &at, footprint_bytes, walk);
        if (found < 1)
            rate = fmin(rate, most / (1 - found));
    }
    return rate * threads;
}
