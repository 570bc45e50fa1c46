/* Short looks at how fast the host is right now. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hwmodels/cpu.h"
#include "hwmodels/measure.h"
#include "hwmodels/measure_bench.h"
#include "hwmodels/measure_kernels.h"
#include "sim/base/alloc.h"

/* Samples of each figure in a look. */
#define LOOK_SAMPLES 5u
/* Long waits are for the first of so many looks. */
#define LONG_LOOKS_EVERY 4u

struct clsa_prober {
    struct clsa_bench bench;
    struct clsa_measurement_set set; /* rows of every look */
    struct clsa_area area;
    uint32_t looks;
    uint64_t each; /* bytes that a thread has: those it streams beyond caches */
};

int clsa_prober_create(uint32_t threads, struct clsa_prober **out, struct clsa_err *err)
{
    struct clsa_prober *p = clsa_calloc(1, sizeof *p);
    if (!p)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    struct clsa_bench *b = &p->bench;
    b->set = &p->set;
    b->err = err;
    b->threads = threads ? threads : clsa_host_cores();
    b->repeats = LOOK_SAMPLES;
    const uint64_t most = clsa_memory_available_bytes() / 3 / b->threads;
    /* However few the threads, all together read more than stays in a last cache. */
    const double caches = CLSA_CPU_CACHES_FAR * clsa_host_cache(3, "size", _SC_LEVEL3_CACHE_SIZE) / b->threads;
    const uint64_t far = (uint64_t)fmax(clsa_probe_stream_bytes[CLSA_PROBE_STREAMS - 1], caches);
    p->each = most < far ? most : far;
    if (!clsa_area_open(b, p->each * b->threads, CLSA_PAGE_HUGE, &p->area)) {
        free(p);
        return CLSA_ENOMEM;
    }
    *out = p;
    return CLSA_OK;
}

/* Threads of others on the same cores take turns at instructions: they show where many of them could go at once,
 * not in the clock and hardly in multiply-adds alone. */
int clsa_prober_look(struct clsa_prober *prober, struct clsa_err *err)
{
    struct clsa_bench *b = &prober->bench;
    b->err = err;
    clsa_bench_arithmetic(b, b->threads, CLSA_BENCH_MIXED);
    if (!b->status)
        clsa_bench_fork_join(b, b->threads);
    if (!b->status && b->threads > 1)
        clsa_bench_handed(b, b->threads);
    if (!b->status)
        clsa_bench_read(b, &prober->area, prober->each, b->threads);
    for (int i = 0; i < CLSA_PROBE_STREAMS - 1 && !b->status && clsa_probe_stream_bytes[i] < (double)prober->each; i++)
        clsa_bench_read(b, &prober->area, (uint64_t)clsa_probe_stream_bytes[i], b->threads);
    struct clsa_area a = prober->area;
    a.bytes = CLSA_PROBE_IDLE_BYTES * b->threads;
    const int idles = prober->each <= CLSA_PROBE_IDLE_BYTES   ? -1
                      : prober->looks++ % LONG_LOOKS_EVERY == 0 ? CLSA_PROBE_IDLES
                                                                : 1;
    for (int i = -1; i < idles && !b->status; i++)
        clsa_bench_again(b, &a, b->threads, i < 0 ? 0 : clsa_probe_idle_us[i], 1);
    return b->status;
}

/* Of a figure: the median of the faster half of all looks, or of all where what others do is asked for: what of idle
 * data is left, and how even threads are. */
static double found(const struct clsa_prober *p, const char *what, uint64_t footprint_bytes, uint64_t row_bytes)
{
    const struct clsa_measurement_set *set = &p->set;
    double *values = clsa_malloc(set->n_rows, sizeof *values), figure = 0;
    bool rate = false, ratio = false;
    size_t n = 0;
    for (size_t i = 0; values && i < set->n_rows; i++) {
        const struct clsa_measured *row = &set->rows[i];
        if (strcmp(row->what, what) || row->threads != p->bench.threads || row->row_bytes != row_bytes ||
            (footprint_bytes && row->footprint_bytes != footprint_bytes))
            continue;
        rate = strchr(row->unit, '/') != NULL;
        ratio = strcmp(row->unit, "-") == 0;
        values[n++] = rate ? -row->value : ratio ? row->usual : row->value;
    }
    if (n)
        figure = clsa_bench_median(values, n, row_bytes || ratio ? n : (n + 1) / 2);
    free(values);
    return rate ? -figure : figure;
}

void clsa_prober_found(const struct clsa_prober *prober, struct clsa_probe *out)
{
    const double near = found(prober, "again", 0, 0);
    *out = (struct clsa_probe){.flops = found(prober, "mixed", 0, 0) * 1e9,
                               .fork_join = found(prober, "fork_join", 0, 0) * 1e-6,
                               .slowest = found(prober, "slowest", 0, 0),
                               .first = found(prober, "first", 0, 0),
                               .handed = found(prober, "handed", 0, 0) * 1e9};
    const int far = CLSA_PROBE_STREAMS - 1;
    for (int i = 0; i < far; i++)
        out->stream[i] = found(prober, "read", (uint64_t)clsa_probe_stream_bytes[i], 0) * 1e9;
    out->stream[far] = found(prober, "read", prober->each, 0) * 1e9;
    for (int i = 0; i < CLSA_PROBE_IDLES; i++) {
        const double idle = found(prober, "again", 0, clsa_probe_idle_us[i]);
        if (idle > 0 && out->stream[far] > 0)
            out->kept[i] = clsa_cpu_kept_found(near * 1e9, idle * 1e9, out->stream[far]);
    }
}

void clsa_prober_destroy(struct clsa_prober *prober)
{
    if (!prober)
        return;
    clsa_area_close(&prober->area);
    clsa_measurement_destroy(&prober->set);
    free(prober);
}
