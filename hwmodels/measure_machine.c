/* From measured figures to a machine file. Sizes of caches come from the operating system, but the share
 * of the last level that a guest really gets is read off the latency curve. */
#include "hwmodels/measure.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "hwmodels/cpu.h"
#include "hwmodels/machine.h"
#include "sim/base/alloc.h"
#include "sim/base/csv.h"

#define HUGE_PAGE (2u << 20)
#define SMALL_PAGE 4096u

struct writing {
    FILE *out;
    const struct clsa_measurement_set *set;
    struct clsa_machine draft; /* what was put so far */
    struct clsa_err *err;
    int status;
};

static void put(struct writing *w, const char *parameter, const char *value, const char *unit,
                const char *source)
{
    clsa_csv_put(w->out, 1, parameter);
    clsa_csv_put(w->out, 0, value);
    clsa_csv_put(w->out, 0, unit);
    clsa_csv_put(w->out, 0, source);
    fputc('\n', w->out);
}

/* The same in the draft alone, in base units. */
static void suppose(struct writing *w, const char *parameter, double value, const char *unit)
{
    const int p = clsa_machine_parameter_find(parameter);
    enum clsa_dimension dimension;
    double factor;
    if (p >= 0 && clsa_unit_find(unit, &dimension, &factor) == 0)
        clsa_machine_put(&w->draft, (enum clsa_machine_parameter)p, value * factor);
}

static void put_number(struct writing *w, const char *parameter, double value, const char *unit,
                       const char *source)
{
    char text[40];
    suppose(w, parameter, value, unit);
    /* sizes are whole numbers and stay exact */
    snprintf(text, sizeof text, value == floor(value) && value < 1e15 ? "%.0f" : "%.6g", value);
    put(w, parameter, text, unit, source);
}

static const struct clsa_measured *need(struct writing *w, const char *what, uint32_t threads,
                                        uint64_t footprint, uint64_t row, uint64_t page)
{
    static const struct clsa_measured none;
    const struct clsa_measured *m =
        clsa_measured_find(w->set, what, threads, footprint, row, page);
    if (!m && w->status == CLSA_OK)
        w->status = clsa_fail(w->err, CLSA_ENOTFOUND, "measured figures lack '%s'", what);
    return m ? m : &none;
}

/* A measured figure times `scale`, with its spread in the source. */
static void put_measured(struct writing *w, const char *parameter, const struct clsa_measured *m,
                         double scale, const char *unit)
{
    char source[200], place[96] = "";
    if (m->footprint_bytes && m->row_bytes && strcmp(m->what, "latency"))
        snprintf(place, sizeof place, " of %u-byte rows over %.4g MiB", (unsigned)m->row_bytes,
                 (double)m->footprint_bytes / 0x1p20);
    else if (m->footprint_bytes)
        snprintf(place, sizeof place, " over %.4g MiB", (double)m->footprint_bytes / 0x1p20);
    snprintf(source, sizeof source, "measured: %s%s; %u thread%s; fastest %.4g, median %.4g", m->what,
             place, m->threads, m->threads == 1 ? "" : "s", m->fastest * scale, m->usual * scale);
    put_number(w, parameter, m->value * scale, unit, source);
}

/* What the operating system said, or a common value. */
static double told(const struct writing *w, const char *what, double fallback)
{
    const struct clsa_measured *m = clsa_measured_find(w->set, what, 0, 0, 0, 0);
    return m && m->value > 0 ? m->value : fallback;
}

/* Powers by which what streams from memory follows looks: fitted on two cores of Emerald Rapids. */
#define GOLDEN_COVE_FAR 1.1
/* How their last cache keeps what is read once beside what is read often, where that was not measured. */
#define GOLDEN_COVE_CHURN 0.6

/* Its prefetch follows streams otherwise than others' does, and its looks scatter less. */
static void put_golden_cove(struct writing *w)
{
    put(w, "implementation", "native-golden-cove", "-", "operating system: the kind of its cores");
    put_number(w, "look.far", GOLDEN_COVE_FAR, "-", "fitted on two cores of Emerald Rapids");
    put_number(w, "look.edge", 0, "-", "32 MiB lie well inside its last cache");
}

#define SHARES 16

static void put_caches(struct writing *w, double clock_ghz)
{
    const double l1 = told(w, "size_l1", 32 << 10), l2 = told(w, "size_l2", 1 << 20);
    const double l3 = told(w, "size_l3", 0);
    const char *system = "operating system";
    const uint64_t within_l2 = (uint64_t)(l2 / 4);
    put_number(w, "l1.size", l1, "B", system);
    put_number(w, "l1.ways", told(w, "ways_l1", 8), "-", system);
    put_measured(w, "l1.latency", need(w, "latency", 1, 16u << 10, 0, HUGE_PAGE), clock_ghz,
                 "cycles");
    put_measured(w, "l1.bandwidth", need(w, "read", 1, 16u << 10, 0, 0), 1 / clock_ghz, "B/cycle");
    put_number(w, "l2.size", l2, "B", system);
    put_number(w, "l2.line", told(w, "line", 64), "B", system);
    put_number(w, "l2.ways", told(w, "ways_l2", 8), "-", system);
    put_measured(w, "l2.latency", need(w, "latency", 1, within_l2, 0, HUGE_PAGE), clock_ghz,
                 "cycles");
    put_measured(w, "l2.core_bandwidth", need(w, "read", 1, within_l2, 0, 0), 1 / clock_ghz,
                 "B/cycle");
    if (l3 <= 0)
        return;
    const struct clsa_measured *level = need(w, "latency", 1, (uint64_t)(l2 * 3), 0, HUGE_PAGE);
    const struct clsa_measured *stream = need(w, "read", 1, (uint64_t)(l2 * 4), 0, HUGE_PAGE);
    put_number(w, "l3.size", l3, "B", system);
    put_number(w, "l3.ways", fmax(1, told(w, "ways_l3", 16)), "-", system);
    put_measured(w, "l3.latency", level, clock_ghz, "cycles");
    put_measured(w, "l3.core_bandwidth", stream, 1 / clock_ghz, "B/cycle");
}

/* Little's law: lines outstanding when 64-byte rows come at a rate and each takes a latency. */
static double lines_at_once(struct writing *w, const char *what, uint64_t footprint,
                            const struct clsa_measured *latency)
{
    return fmax(1, need(w, what, 1, footprint, 64, HUGE_PAGE)->value * latency->value / 64);
}

/* The page that large blocks get which ask for huge ones, and how others hold a guest's. */
static void put_translation(struct writing *w, const struct clsa_measured *near,
                            const struct clsa_measured *huge)
{
    const uint64_t half_gib = UINT64_C(512) << 20;
    const bool none = told(w, "huge_pages", 0) <= 0;
    char source[200];
    put_number(w, "tlb.page", none ? SMALL_PAGE : HUGE_PAGE, "B",
               none ? "no transparent huge pages" : "transparent huge pages, as large blocks ask for");
    put_number(w, "tlb.entries", told(w, "tlb_entries", 2048), "-", "the processor's family");
    suppose(w, "tlb.walkers", told(w, "tlb_walkers", 4), "-");
    /* Memory far beyond what the last cache covers costs a dependent load more only for walks. */
    if (huge->value > near->value * 1.25 && huge->footprint_bytes > half_gib) {
        snprintf(source, sizeof source,
                 "measured: huge pages over %.4g MiB take %.4g ns, over %.4g MiB %.4g ns",
                 (double)huge->footprint_bytes / 0x1p20, huge->value,
                 (double)near->footprint_bytes / 0x1p20, near->value);
        put_number(w, "tlb.host_page", SMALL_PAGE, "B", source);
    }
    const struct clsa_measured *a = need(w, "latency", 1, UINT64_C(64) << 20, 0, SMALL_PAGE);
    suppose(w, "tlb.walk", fmax(0, a->value - near->value), "ns");
}

/* Bytes that all threads together stream from, beyond which it is all memory. */
static double far_bytes_of(const struct writing *w)
{
    return fmax(512 << 20, CLSA_CPU_CACHES_FAR * told(w, "size_l3", 0));
}

/* The middle one of the streams from far beyond the caches, over several footprints: what others take of the
 * memory that all share is part of how this host is. */
static const struct clsa_measured *stream_of(struct writing *w, const char *what, uint32_t threads,
                                         uint64_t page)
{
    const double least = far_bytes_of(w);
    const struct clsa_measured *rows[SHARES];
    size_t n = 0;
    for (size_t i = 0; i < w->set->n_rows && n < SHARES; i++) {
        const struct clsa_measured *m = &w->set->rows[i];
        if (strcmp(m->what, what) || m->threads != threads || m->page_bytes != page ||
            (double)m->footprint_bytes * threads < least)
            continue;
        size_t at = n++;
        for (; at && rows[at - 1]->value > m->value; at--)
            rows[at] = rows[at - 1];
        rows[at] = m;
    }
    return n ? rows[n / 2] : need(w, what, threads, UINT64_MAX / 2, 0, page);
}

/* ---- curves ---- */

/* Figures below this many points say too little to stand for a curve. */
#define CURVE_LEAST 4

/* Longer footprints never answer faster: neighbours out of order share their mean (isotonic regression by pooling;
 * Ayer and others, 1955). Values are times. */
static void order(struct clsa_curve *c)
{
    unsigned weight[CLSA_CURVE_POINTS], n = 0;
    double mean[CLSA_CURVE_POINTS];
    for (unsigned i = 0; i < c->n; i++, n++) {
        mean[n] = c->value[i];
        weight[n] = 1;
        for (; n > 0 && mean[n - 1] > mean[n]; n--) {
            mean[n - 1] = (mean[n - 1] * weight[n - 1] + mean[n] * weight[n]) / (weight[n - 1] + weight[n]);
            weight[n - 1] += weight[n];
        }
    }
    for (unsigned i = 0, at = 0; at < n; at++)
        for (unsigned k = 0; k < weight[at]; k++)
            c->value[i++] = mean[at];
}

/* A figure of some threads against the footprint, from a core's L2 on, those beyond `far_bytes` as one point. Times:
 * ns, or ns a byte of one thread. Unsettled streams are as others at footprints where it makes no difference. */
static void collect(struct writing *w, const char *what, uint32_t threads, uint64_t page, bool rate,
                    double far_bytes, struct clsa_curve *c)
{
    const double least = told(w, "size_l2", 1 << 20) / 4;
    const bool unsettled = strcmp(what, "unsettled") == 0;
    const char *usual = unsettled ? "read" : what;
    c->n = 0;
    for (size_t i = 0; i < w->set->n_rows; i++) {
        const struct clsa_measured *m = &w->set->rows[i];
        const double bytes = (double)m->footprint_bytes;
        if ((strcmp(m->what, what) && strcmp(m->what, usual)) || m->threads != threads || m->page_bytes != page ||
            bytes < least || bytes * threads >= far_bytes || c->n == CLSA_CURVE_POINTS - 1)
            continue;
        const struct clsa_measured *own =
            unsettled ? clsa_measured_find(w->set, what, threads, m->footprint_bytes, 0, 0) : NULL;
        if (own && own != m && own->footprint_bytes == m->footprint_bytes)
            continue;
        const double value = rate ? threads / m->value : m->value;
        unsigned at = 0;
        while (at < c->n && c->bytes[at] < bytes)
            at++;
        for (unsigned to = c->n++; to > at; to--) {
            c->bytes[to] = c->bytes[to - 1];
            c->value[to] = c->value[to - 1];
        }
        c->bytes[at] = bytes;
        c->value[at] = value;
    }
    if (c->n && far_bytes < INFINITY) {
        c->bytes[c->n] = far_bytes / threads;
        c->value[c->n++] = threads / stream_of(w, usual, threads, page)->value;
    }
    order(c);
}

static void put_curve(struct writing *w, const char *parameter, const char *what, uint32_t threads,
                      uint64_t page, const char *unit)
{
    const bool rate = strcmp(unit, "GB/s") == 0;
    char text[CLSA_CURVE_POINTS * 24] = "", source[128];
    struct clsa_curve c;
    size_t used = 0;
    collect(w, what, threads, page, rate, rate ? far_bytes_of(w) : INFINITY, &c);
    if (c.n < CURVE_LEAST)
        return;
    for (unsigned i = 0; i < c.n; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.0fKiB:%.4g", i ? " " : "",
                                 c.bytes[i] / 1024, rate ? 1 / c.value[i] : c.value[i]);
    snprintf(source, sizeof source, "measured: %s against footprint, %u thread%s", what, threads,
             threads > 1 ? "s, each" : "");
    put(w, parameter, text, unit, source);
}

/* Rows at random places, those of each thread. */
static void put_rows(struct writing *w, const char *parameter, const char *what, uint32_t threads,
                     uint64_t page)
{
    char text[CLSA_CURVE_POINTS * 24] = "", source[128];
    const struct clsa_measured *found[CLSA_CURVE_POINTS];
    size_t used = 0;
    unsigned n = 0;
    for (size_t i = 0; i < w->set->n_rows && n < CLSA_CURVE_POINTS; i++) {
        const struct clsa_measured *m = &w->set->rows[i];
        if (strcmp(m->what, what) || m->threads != threads || m->page_bytes != page)
            continue;
        unsigned at = n++;
        for (; at && (found[at - 1]->footprint_bytes > m->footprint_bytes ||
                      (found[at - 1]->footprint_bytes == m->footprint_bytes &&
                       found[at - 1]->row_bytes > m->row_bytes)); at--)
            found[at] = found[at - 1];
        found[at] = m;
    }
    for (unsigned i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lluKiB/%llu:%.4g", i ? " " : "",
                                 (unsigned long long)found[i]->footprint_bytes / 1024,
                                 (unsigned long long)found[i]->row_bytes, found[i]->value / threads);
    snprintf(source, sizeof source, "measured: %s against footprint and row, %u thread%s", what, threads,
             threads > 1 ? "s, each" : "");
    if (n >= CURVE_LEAST)
        put(w, parameter, text, "GB/s", source);
}

/* The draft with what one thread streams. Borrows its strings. */
static struct clsa_machine with_streams(struct writing *w)
{
    struct clsa_machine m = w->draft;
    struct clsa_curve *c = &m.curve_stream;
    collect(w, "read", 1, HUGE_PAGE, true, far_bytes_of(w), c);
    for (unsigned i = 0; i < c->n; i++)
        c->value[i] = 1e9 / c->value[i];
    if (c->n < CURVE_LEAST)
        c->n = 0;
    return m;
}

/* What others bring into the last cache meanwhile, in bytes a second. Rates of a sweep right after the last one, after a
 * wait, and from memory say which part of a footprint that lay idle was found. */
static void put_foreign(struct writing *w, double memory_gbps)
{
    const struct clsa_machine m = with_streams(w);
    const struct clsa_measured *level = clsa_measured_find(w->set, "again", 1, 0, 0, 0);
    struct clsa_cpu_idle waits[16];
    double bytes = 0;
    unsigned n = 0;
    for (size_t i = 0; level && i < w->set->n_rows && n < sizeof waits / sizeof *waits; i++) {
        const struct clsa_measured *idle = &w->set->rows[i];
        if (strcmp(idle->what, "again") != 0 || idle->row_bytes == 0)
            continue;
        bytes = (double)idle->footprint_bytes;
        waits[n++] = (struct clsa_cpu_idle){(double)idle->row_bytes * 1e-6,
                                            clsa_cpu_kept_found(level->value, idle->value, memory_gbps)};
    }
    put_number(w, "l3.foreign", n ? clsa_cpu_foreign(&m, 1, bytes, waits, n) / 1e9 : 0, "GB/s",
               "measured: what a footprint inside the last cache loses while it lies idle");
}

/* How far what was read once beside what was read often is from what the curve of streams says, by that churn: squares of
 * logarithms. */
static double churn_error(const struct writing *w, const struct clsa_machine *m)
{
    double sum = 0;
    for (size_t i = 0; i < w->set->n_rows; i++) {
        const struct clsa_measured *once = &w->set->rows[i];
        if (strcmp(once->what, "once") != 0 || once->value <= 0)
            continue;
        const double bytes = (double)once->footprint_bytes, often = bytes * CLSA_ONCE_PART;
        const double traffic = bytes + CLSA_OFTEN_TIMES * often;
        struct clsa_cpu_place at;
        clsa_cpu_place_find(m, often, 0, 1, &at);
        const double seconds = bytes / (once->value * 1e9) + CLSA_OFTEN_TIMES * often * at.read;
        clsa_cpu_place_find(m, clsa_cpu_churned(m, bytes + often, traffic), seconds, 1, &at);
        const double error = log(1 / at.read / (once->value * 1e9));
        sum += error * error;
    }
    return sum;
}

#define CHURN_STEPS 100

/* How much of what one thread reads again and again pushes out what it reads once meanwhile. */
static void put_churn(struct writing *w)
{
    struct clsa_machine m = with_streams(w);
    double least = INFINITY, best = 0;
    if (!clsa_measured_find(w->set, "once", 1, 0, 0, HUGE_PAGE)) {
        if (told(w, "golden_cove", 0) > 0)
            put_number(w, "l3.churn", GOLDEN_COVE_CHURN, "-", "as on two cores of Emerald Rapids");
        return;
    }
    if (m.curve_stream.n == 0)
        return;
    for (int i = 0; i <= CHURN_STEPS; i++) {
        m.l3_churn = (double)i / CHURN_STEPS;
        const double error = churn_error(w, &m);
        if (error < least) {
            least = error;
            best = m.l3_churn;
        }
    }
    put_number(w, "l3.churn", best, "-", "measured: what is read once beside what is read eight times");
}

/* The footprint of a thread at which half of a stream comes from memory. */
static double half_way(struct writing *w, uint32_t threads)
{
    struct clsa_curve c;
    collect(w, "read", threads, HUGE_PAGE, true, far_bytes_of(w), &c);
    const double from = 4 * told(w, "size_l2", 1 << 20);
    unsigned near = 0, i;
    while (near + 1 < c.n && c.bytes[near] < from)
        near++;
    if (c.n < CURVE_LEAST)
        return 0;
    const double half = (c.value[near] + c.value[c.n - 1]) / 2;
    for (i = near; i + 1 < c.n && c.value[i + 1] < half; i++)
        ;
    return i + 1 < c.n ? c.bytes[i] : 0;
}

/* How many threads share a last cache: as the system lists them, or as streams show, whose footprints shrink by
 * that number before all threads find what one finds. */
static void put_sharers(struct writing *w, uint32_t threads)
{
    const double listed = told(w, "sharers_l3", 0);
    const double one = half_way(w, 1), all = threads > 1 ? half_way(w, threads) : 0;
    if (listed > 0)
        put_number(w, "l3.cores", fmin(listed, threads), "-", "operating system");
    else if (one > 0 && all > 0)
        put_number(w, "l3.cores", fmax(1, fmin(threads, round(one / all))), "-",
                   "measured: footprints that one thread and all threads stream from the last cache");
}

static void put_curves(struct writing *w, uint32_t threads)
{
    put_sharers(w, threads);
    put_curve(w, "curve.stream", "read", 1, HUGE_PAGE, "GB/s");
    if (threads > 1)
        put_curve(w, "curve.stream_all", "read", threads, HUGE_PAGE, "GB/s");
    if (clsa_measured_find(w->set, "unsettled", 1, 0, 0, 0))
        put_curve(w, "curve.unsettled", "unsettled", 1, HUGE_PAGE, "GB/s");
    if (threads > 1 && clsa_measured_find(w->set, "unsettled", threads, 0, 0, 0))
        put_curve(w, "curve.unsettled_all", "unsettled", threads, HUGE_PAGE, "GB/s");
    put_curve(w, "curve.latency", "latency", 1, HUGE_PAGE, "ns");
    for (int small = 0; small < 2; small++)
        for (int fetch = 0; fetch < 2; fetch++)
            for (int all = 0; all < (threads > 1 ? 2 : 1); all++) {
                char name[64];
                snprintf(name, sizeof name, "curve.%s%s%s", fetch ? "fetch" : "gather",
                         small ? "_small" : "", all ? "_all" : "");
                put_rows(w, name, fetch ? "fetch" : "gather", all ? threads : 1,
                         small ? SMALL_PAGE : HUGE_PAGE);
            }
}

/* How fast the lines behind the first of a row come, in GB/s: the best of the longer rows, since others on
 * the host only ever make it slower. */
static double lines_behind(const struct writing *w, const struct clsa_measured *line)
{
    double best = 0;
    for (uint64_t bytes = 512; bytes <= 4096; bytes *= 2) {
        const struct clsa_measured *row =
            clsa_measured_find(w->set, "fetch", 1, line->footprint_bytes, bytes, HUGE_PAGE);
        const double more = row ? (double)bytes / row->value - 64 / line->value : 0;
        if (more > 0)
            best = fmax(best, (double)(bytes - 64) / more);
    }
    return best;
}

/* What random rows meet: first guesses from a few figures, then all gathers together. Single figures catch
 * what a neighbour does at their moment. */
static void put_random_rows(struct writing *w, const struct clsa_measured *far)
{
    const uint64_t half_gib = UINT64_C(512) << 20;
    const struct clsa_measured *line = need(w, "fetch", 1, half_gib, 64, HUGE_PAGE);
    struct clsa_machine *m = &w->draft;
    char source[200];
    suppose(w, "core.inflight", lines_at_once(w, "fetch", half_gib, far), "-");
    suppose(w, "core.demand", lines_at_once(w, "gather", half_gib, far), "-");
    suppose(w, "core.rows", lines_behind(w, line), "GB/s");
    const double fetched = m->core_inflight, loaded = m->core_demand, behind = m->core_rows,
                 walk = m->tlb_walk, walkers = m->tlb_walkers, random = m->dram_random;
    const size_t n = w->status == CLSA_OK ? clsa_measurement_fit(m, w->set) : 0;
    const struct {
        const char *name, *unit;
        double value, guess, scale;
    } rows[] = {{"core.inflight", "-", m->core_inflight, fetched, 1},
                {"core.demand", "-", m->core_demand, loaded, 1},
                {"core.rows", "GB/s", m->core_rows, behind, 1e9},
                {"tlb.walk", "ns", m->tlb_walk, walk, 1e-9},
                {"tlb.walkers", "-", m->tlb_walkers, walkers, 1},
                {"dram.random", "-", m->dram_random, random, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(source, sizeof source, "fitted to %zu measured gathers; single figures say %.4g", n,
                 rows[i].guess / rows[i].scale);
        put_number(w, rows[i].name, rows[i].value / rows[i].scale, rows[i].unit, source);
    }
}

static void put_memory(struct writing *w, uint32_t threads)
{
    const uint64_t large = UINT64_MAX / 2;
    const struct clsa_measured *one = stream_of(w, "read", 1, HUGE_PAGE);
    const struct clsa_measured *all = stream_of(w, "read", threads, HUGE_PAGE);
    const struct clsa_measured *broken = stream_of(w, "read", 1, SMALL_PAGE);
    const struct clsa_measured *near = need(w, "latency", 1, UINT64_C(64) << 20, 0, HUGE_PAGE);
    /* Beyond the caches, but not far beyond what translation covers. */
    const struct clsa_measured *far =
        need(w, "latency", 1, (uint64_t)fmax(128 << 20, CLSA_CPU_CACHES_FAR * told(w, "size_l3", 0)), 0, HUGE_PAGE);
    const struct clsa_measured *huge = need(w, "latency", 1, large, 0, HUGE_PAGE);
    const struct clsa_measured *loaded = clsa_measured_find(w->set, "loaded", threads, 0, 0, 0);
    const char *ddr5 = "JEDEC JESD79-5, DDR5-4800; estimate for this host";
    char source[200];
    put_measured(w, "core.stream", one, 1, "GB/s");
    snprintf(source, sizeof source, "measured: read over %.4g MiB in small pages, %.4g GB/s",
             (double)broken->footprint_bytes / 0x1p20, broken->value);
    put_number(w, "core.page_break",
               fmax(0, SMALL_PAGE / broken->value - SMALL_PAGE / one->value), "ns", source);
    put_number(w, "dram.size", told(w, "memory", 1e9), "B",
               "operating system");
    put_measured(w, "dram.bandwidth", one->value > all->value ? one : all, 1, "GB/s");
    put_number(w, "dram.stream", 1, "-", "dram.bandwidth is what was read, not the pins' peak");
    put_measured(w, "dram.latency", far, 1, "ns");
    if (loaded && far->value > 0) {
        snprintf(source, sizeof source, "measured: %.4g ns while other threads stream", loaded->value);
        put_number(w, "dram.loaded", fmin(10, fmax(1, loaded->value / far->value)), "-", source);
    }
    put_number(w, "dram.channels", 24, "-", "estimate: twelve DDR5 channels of two halves");
    put_number(w, "dram.burst", 64, "B", ddr5);
    put_number(w, "dram.banks", 32, "-", ddr5);
    put_number(w, "dram.row", 8192, "B", ddr5);
    put_number(w, "dram.trcd", 16, "ns", ddr5);
    put_number(w, "dram.trp", 16, "ns", ddr5);
    put_number(w, "dram.tcl", 16.7, "ns", ddr5);
    put_number(w, "dram.tras", 32, "ns", ddr5);
    put_translation(w, near, huge);
    put_curves(w, threads);
    if (w->draft.l3_size > 0) {
        put_foreign(w, one->value);
        put_churn(w);
    }
    put_random_rows(w, far);
}

static int write_machine(FILE *out, const char *name, const struct clsa_measurement_set *set,
                         struct clsa_err *err)
{
    struct writing w = {.out = out, .set = set, .err = err};
    clsa_machine_defaults(&w.draft);
    uint32_t threads = 1;
    for (size_t i = 0; i < set->n_rows; i++)
        if (set->rows[i].threads > threads)
            threads = set->rows[i].threads;
    /* Another guest on the core makes a clock look slow, nothing makes it look fast. */
    struct clsa_measured clock = *need(&w, "clock", threads, 0, 0, 0);
    struct clsa_measured clock_one = *need(&w, "clock", 1, 0, 0, 0);
    clock.value = clock.fastest;
    clock_one.value = clock_one.fastest;
    const struct clsa_measured *bf16 = clsa_measured_find(set, "dot_bf16", threads, 0, 0, 0);
    fputs("parameter,value,unit,source\n", out);
    put(&w, "kind", "cpu", "-", "-");
    put(&w, "title", name, "-", "named by its user");
    if (told(&w, "golden_cove", 0) > 0)
        put_golden_cove(&w);
    put_number(&w, "core.count", threads, "-", "operating system");
    put_measured(&w, "core.clock", &clock, 1, "GHz");
    put_measured(&w, "core.clock_one", &clock_one, 1, "GHz");
    put_measured(&w, "vector.fp32", need(&w, "fma_f32", threads, 0, 0, 0), 1, "GFLOP/s");
    put_measured(&w, "vector.fp32_one", need(&w, "fma_f32", 1, 0, 0, 0), 1, "GFLOP/s");
    if (clsa_measured_find(set, "mixed", 1, 0, 0, 0) && clsa_measured_find(set, "mixed", threads, 0, 0, 0)) {
        put_measured(&w, "vector.mixed", need(&w, "mixed", threads, 0, 0, 0), 1, "GFLOP/s");
        put_measured(&w, "vector.mixed_one", need(&w, "mixed", 1, 0, 0, 0), 1, "GFLOP/s");
    }
    if (clsa_measured_find(set, "slowest", threads, 0, 0, 0))
        put_measured(&w, "core.slowest", clsa_measured_find(set, "slowest", threads, 0, 0, 0), 1, "-");
    if (bf16)
        put_measured(&w, "matrix.bf16", bf16, 1, "GFLOP/s");
    put_measured(&w, "fork_join", need(&w, "fork_join", threads, 0, 0, 0), 1, "us");
    put_measured(&w, "fork_join.one", need(&w, "fork_join", 1, 0, 0, 0), 1, "us");
    if (threads > 1 && clsa_measured_find(set, "handed", threads, 0, 0, 0))
        put_measured(&w, "core.handed", clsa_measured_find(set, "handed", threads, 0, 0, 0), 1, "GB/s");
    put_measured(&w, "call.cost", need(&w, "call", 1, 0, 0, 0), 1, "ns");
    put_caches(&w, clock.value);
    put_memory(&w, threads);
    if (w.status == CLSA_OK && ferror(out))
        w.status = clsa_fail(err, CLSA_EIO, "%s: write failed", name);
    return w.status;
}

int clsa_measurement_machine(FILE *out, const char *name, const struct clsa_measurement_set *set,
                             struct clsa_err *err)
{
    struct clsa_measurement_set settled = {.rows = clsa_malloc(set->n_rows + 1, sizeof *settled.rows),
                                           .n_rows = set->n_rows};
    if (!settled.rows)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    memcpy(settled.rows, set->rows, set->n_rows * sizeof *set->rows);
    clsa_measurement_settle(&settled);
    const int status = write_machine(out, name, &settled, err);
    clsa_measurement_destroy(&settled);
    return status;
}
