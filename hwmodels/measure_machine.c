/* From measured figures to a machine file. Sizes of caches come from the operating system, but the share
 * of the last level that a guest really gets is read off the latency curve. */
#include "hwmodels/measure.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "hwmodels/machine.h"
#include "sim/base/csv.h"

#define HUGE_PAGE (2u << 20)
#define SMALL_PAGE 4096u

struct writing {
    FILE *out;
    const struct clsa_measurement_set *set;
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

static void put_number(struct writing *w, const char *parameter, double value, const char *unit,
                       const char *source)
{
    char text[40];
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
    char source[160], place[64] = "";
    if (m->footprint_bytes)
        snprintf(place, sizeof place, " over %.4g MiB", (double)m->footprint_bytes / 0x1p20);
    snprintf(source, sizeof source, "measured: %s%s; %u thread%s; fastest %.4g, median %.4g", m->what,
             place, m->threads, m->threads == 1 ? "" : "s", m->fastest * scale, m->usual * scale);
    put_number(w, parameter, m->value * scale, unit, source);
}

static double system_size(int name, double fallback)
{
    const long value = sysconf(name);
    return value > 0 ? (double)value : fallback;
}

/* The largest footprint that answers faster than half way (in ratio) from a level's latency to
 * memory's: what is left of a cache that others share. */
static double effective_size(struct writing *w, double level_ns, double memory_ns, double most)
{
    const double edge = sqrt(level_ns * memory_ns);
    double size = 0;
    for (size_t i = 0; i < w->set->n_rows; i++) {
        const struct clsa_measured *m = &w->set->rows[i];
        if (strcmp(m->what, "latency") == 0 && m->page_bytes == HUGE_PAGE && m->value < edge &&
            (double)m->footprint_bytes > size)
            size = (double)m->footprint_bytes;
    }
    return size > 0 && size < most ? size : most;
}

static void put_caches(struct writing *w, double clock_ghz)
{
    const double l1 = system_size(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    const double l2 = system_size(_SC_LEVEL2_CACHE_SIZE, 1 << 20);
    const double l3 = system_size(_SC_LEVEL3_CACHE_SIZE, 0);
    const char *system = "operating system";
    const uint64_t within_l2 = (uint64_t)(l2 / 4);
    const struct clsa_measured *far = need(w, "latency", 1, UINT64_C(64) << 20, 0, HUGE_PAGE);
    put_number(w, "l1.size", l1, "B", system);
    put_number(w, "l1.ways", system_size(_SC_LEVEL1_DCACHE_ASSOC, 8), "-", system);
    put_measured(w, "l1.latency", need(w, "latency", 1, 16u << 10, 0, HUGE_PAGE), clock_ghz,
                 "cycles");
    put_measured(w, "l1.bandwidth", need(w, "read", 1, 16u << 10, 0, 0), 1 / clock_ghz, "B/cycle");
    put_number(w, "l2.size", l2, "B", system);
    put_number(w, "l2.line", system_size(_SC_LEVEL2_CACHE_LINESIZE, 64), "B", system);
    put_number(w, "l2.ways", system_size(_SC_LEVEL2_CACHE_ASSOC, 8), "-", system);
    put_measured(w, "l2.latency", need(w, "latency", 1, within_l2, 0, HUGE_PAGE), clock_ghz,
                 "cycles");
    put_measured(w, "l2.core_bandwidth", need(w, "read", 1, within_l2, 0, 0), 1 / clock_ghz,
                 "B/cycle");
    if (l3 <= 0)
        return;
    const uint64_t within_l3 = (uint64_t)(l2 * 3);
    const struct clsa_measured *level = need(w, "latency", 1, within_l3, 0, HUGE_PAGE);
    const double share = effective_size(w, level->value, far->value, l3);
    put_number(w, "l3.size", share, "B",
               share < l3 ? "measured: the share that answers faster than memory" : system);
    put_number(w, "l3.ways", system_size(_SC_LEVEL3_CACHE_ASSOC, 16), "-", system);
    put_measured(w, "l3.latency", level, clock_ghz, "cycles");
    put_measured(w, "l3.core_bandwidth", need(w, "read", 1, within_l3 * 2, 0, 0), 1 / clock_ghz,
                 "B/cycle");
}

static void put_memory(struct writing *w, uint32_t threads)
{
    const uint64_t large = UINT64_MAX / 2;
    const struct clsa_measured *one = need(w, "read", 1, large, 0, 0);
    const struct clsa_measured *all = need(w, "read", threads, large, 0, 0);
    const struct clsa_measured *far = need(w, "latency", 1, UINT64_C(64) << 20, 0, HUGE_PAGE);
    const struct clsa_measured *small = need(w, "latency", 1, large, 0, SMALL_PAGE);
    const struct clsa_measured *huge = need(w, "latency", 1, large, 0, HUGE_PAGE);
    const struct clsa_measured *rows = need(w, "gather", 1, large, 64, HUGE_PAGE);
    const char *ddr5 = "JEDEC JESD79-5, DDR5-4800; estimate for this host";
    char source[160];
    put_measured(w, "core.stream", one, 1, "GB/s");
    snprintf(source, sizeof source,
             "Little's law on measured figures: %.3g GB/s of 64-byte rows at %.4g ns", rows->value,
             huge->value);
    put_number(w, "core.inflight", fmax(1, rows->value * huge->value / 64), "-", source);
    put_number(w, "dram.size", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), "B",
               "operating system");
    put_measured(w, "dram.bandwidth", one->value > all->value ? one : all, 1, "GB/s");
    put_number(w, "dram.stream", 1, "-", "dram.bandwidth is what was read, not the pins' peak");
    put_measured(w, "dram.latency", far, 1, "ns");
    put_number(w, "dram.channels", 24, "-", "estimate: twelve DDR5 channels of two halves");
    put_number(w, "dram.burst", 64, "B", ddr5);
    put_number(w, "dram.banks", 32, "-", ddr5);
    put_number(w, "dram.row", 8192, "B", ddr5);
    put_number(w, "dram.trcd", 16, "ns", ddr5);
    put_number(w, "dram.trp", 16, "ns", ddr5);
    put_number(w, "dram.tcl", 16.7, "ns", ddr5);
    put_number(w, "dram.tras", 32, "ns", ddr5);
    put_number(w, "tlb.entries", 3072, "-", "estimate: Zen 4 second level, data");
    put_number(w, "tlb.page", SMALL_PAGE, "B", "small pages unless the program asks for others");
    snprintf(source, sizeof source, "measured: latency over %.4g MiB with 4 KiB pages less 2 MiB pages",
             (double)small->footprint_bytes / 0x1p20);
    put_number(w, "tlb.walk", fmax(0, small->value - huge->value), "ns", source);
}

int clsa_measurement_machine(FILE *out, const char *name, const struct clsa_measurement_set *set,
                             struct clsa_err *err)
{
    struct writing w = {.out = out, .set = set, .err = err};
    uint32_t threads = 1;
    for (size_t i = 0; i < set->n_rows; i++)
        if (set->rows[i].threads > threads)
            threads = set->rows[i].threads;
    const struct clsa_measured *clock = need(&w, "clock", 1, 0, 0, 0);
    const struct clsa_measured *bf16 = clsa_measured_find(set, "dot_bf16", threads, 0, 0, 0);
    fputs("parameter,value,unit,source\n", out);
    put(&w, "kind", "cpu", "-", "-");
    put(&w, "title", name, "-", "named by its user");
    put_number(&w, "core.count", threads, "-", "operating system");
    put_measured(&w, "core.clock", clock, 1, "GHz");
    put_measured(&w, "vector.fp32", need(&w, "fma_f32", threads, 0, 0, 0), 1, "GFLOP/s");
    if (bf16)
        put_measured(&w, "matrix.bf16", bf16, 1, "GFLOP/s");
    put_measured(&w, "fork_join", need(&w, "fork_join", 0, 0, 0, 0), 1, "us");
    put_measured(&w, "call.cost", need(&w, "call", 1, 0, 0, 0), 1, "ns");
    put_caches(&w, clock->value);
    put_memory(&w, threads);
    if (w.status == CLSA_OK && ferror(out))
        w.status = clsa_fail(err, CLSA_EIO, "%s: write failed", name);
    return w.status;
}
