#include "hwmodels/measure.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "hwmodels/measure_kernels.h"
#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/base/rng.h"

#define PAGE_SMALL 4096u
#define PAGE_HUGE (2u << 20)
/* A sample shorter than this drowns in the clock's own cost (tens of nanoseconds); one much longer
 * rarely escapes the scheduler of a busy host. */
#define SAMPLE_NS 700000.0
/* On a busy host sampling goes on, up to so many times what was asked for, until the samples that count
 * lie within SPREAD of the fastest. */
#define PATIENCE 8u
#define SPREAD 0.04
#define PATIENCE_NS UINT64_C(40000000000)
/* Lines of a chase over a large footprint, at least, and times what the last cache holds: enough to overflow
 * it, few enough to link soon. */
#define CHASE_LINES (1u << 20)
#define CHASE_CACHES 2
/* Bytes between a prefetched row and its use: half of a common L1, as in the attention kernels. */
#define AHEAD_BYTES 16384u
#define ROWS_MOST 65536u
/* What a thread of a probe streams from: beyond its share of any cache. */
#define PROBE_BYTES (UINT64_C(128) << 20)
/* What lies idle: beyond a core's L2, inside a last cache. Few samples, since each waits. */
#define AGAIN_BYTES (UINT64_C(4) << 20)
#define AGAIN_SAMPLES 25
/* Values that a parallel region is given, and that each of its units makes. */
#define HANDED 256
#define RESULTS 16
/* Beyond most caches: a stream over it is measured at both ends. */
#define STREAM_BYTES (128u << 20)
#define STEPS_TOTAL 150u
#define SAMPLES_MAX 64u

/* Results of probes end here: a store the compiler must make. */
static volatile uint64_t sink;

struct bench {
    struct clsa_measurement_set *set;
    const struct clsa_measure_options *options;
    uint32_t threads, repeats, done;
    uint64_t memory_bytes;
    uint64_t chase_lines; /* of a large footprint */
    uint64_t patient_until_ns; /* then a busy host is taken as it is */
    size_t room;
    struct clsa_rng rng;
    uint64_t *offsets; /* ROWS_MOST rows of a gather */
    struct clsa_err *err;
    int status;
};

static int thread_id(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static int out_of_memory(struct bench *b)
{
    return b->status = clsa_fail(b->err, CLSA_ENOMEM, "out of memory");
}

/* The fastest samples of a figure so far, ascending, as many as half of what was asked for. */
struct samples {
    double best[SAMPLES_MAX], all[SAMPLES_MAX * PATIENCE];
    uint32_t n, taken, half;
};

static struct samples samples_begin(const struct bench *b)
{
    return (struct samples){.half = (b->repeats + 1) / 2};
}

/* Adds one of `ns`; false when that was enough. */
static bool samples_add(const struct bench *b, struct samples *s, double ns)
{
    uint32_t at = s->n;
    s->all[s->taken++] = ns;
    if (at < s->half)
        s->n++;
    else if (ns >= s->best[--at])
        return s->taken < b->repeats ||
               (s->best[s->n - 1] > s->best[0] * (1 + SPREAD) &&
                s->taken < b->repeats * PATIENCE && clsa_now_ns() < b->patient_until_ns);
    for (; at && s->best[at - 1] > ns; at--)
        s->best[at] = s->best[at - 1];
    s->best[at] = ns;
    if (s->taken < b->repeats)
        return true;
    return s->best[s->n - 1] > s->best[0] * (1 + SPREAD) && s->taken < b->repeats * PATIENCE &&
           clsa_now_ns() < b->patient_until_ns;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const double *sorted, uint32_t n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* The row of a figure that was measured before, if it was. */
static struct clsa_measured *noted(const struct bench *b, const struct clsa_measured *row)
{
    for (size_t i = 0; i < b->set->n_rows; i++) {
        struct clsa_measured *m = &b->set->rows[i];
        if (strcmp(m->what, row->what) == 0 && m->threads == row->threads &&
            m->footprint_bytes == row->footprint_bytes && m->row_bytes == row->row_bytes &&
            m->page_bytes == row->page_bytes)
            return m;
    }
    return NULL;
}

/* Adds a row from samples; the figure is amount / ns, or ns / amount. Of a figure measured twice the
 * better one stays. */
static void note(struct bench *b, struct clsa_measured row, struct samples *s, double amount, bool rate)
{
    qsort(s->all, s->taken, sizeof *s->all, ascending);
    const double figures[] = {middle(s->best, s->n), s->best[0], middle(s->all, s->taken)};
    double *to[] = {&row.value, &row.fastest, &row.usual};
    for (int i = 0; i < 3; i++)
        *to[i] = rate ? amount / figures[i] : figures[i] / amount;
    struct clsa_measured *before = noted(b, &row);
    if (before) {
        if (rate ? row.value > before->value : row.value < before->value)
            *before = row;
        return;
    }
    if (b->set->n_rows == b->room) {
        const size_t more = b->room ? 2 * b->room : 64;
        struct clsa_measured *rows = clsa_realloc(b->set->rows, more, sizeof *rows);
        if (!rows) {
            out_of_memory(b);
            return;
        }
        b->set->rows = rows;
        b->room = more;
    }
    b->set->rows[b->set->n_rows++] = row;
    b->done++;
    if (b->options->progress)
        b->options->progress(b->options->user, b->done, STEPS_TOTAL);
}

/* ---- memory ---- */

/* Memory in pages of one size, touched by all threads. The advice may be refused; then huge stays small,
 * and the row says what was asked for. */
struct area {
    void *mapped;
    size_t mapped_bytes;
    unsigned char *base;
    uint64_t bytes, page;
};

static bool area_open(struct bench *b, uint64_t bytes, uint64_t page, struct area *a)
{
    a->mapped_bytes = (bytes + PAGE_HUGE - 1) / PAGE_HUGE * PAGE_HUGE + PAGE_HUGE;
    a->mapped = mmap(NULL, a->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    if (a->mapped == MAP_FAILED) {
        out_of_memory(b);
        return false;
    }
#ifdef MADV_HUGEPAGE
    madvise(a->mapped, a->mapped_bytes, page == PAGE_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
    a->base = (unsigned char *)(((uintptr_t)a->mapped + PAGE_HUGE - 1) &
                                ~(uintptr_t)(PAGE_HUGE - 1));
    a->bytes = bytes;
    a->page = page;
    const int64_t pieces = (int64_t)((bytes + PAGE_HUGE - 1) / PAGE_HUGE);
#pragma omp parallel for num_threads((int)b->threads)
    for (int64_t i = 0; i < pieces; i++)
        memset(a->base + (uint64_t)i * PAGE_HUGE, 1,
               bytes - (uint64_t)i * PAGE_HUGE < PAGE_HUGE ? bytes - (uint64_t)i * PAGE_HUGE
                                                           : PAGE_HUGE);
    return true;
}

static void area_close(struct area *a)
{
    munmap(a->mapped, a->mapped_bytes);
}

/* ---- latency ---- */

/* Links 64-byte lines of an area into one cycle in random order (Sattolo's shuffle): all lines of a
 * small one, of a large one a random line out of each of chase_lines equal parts. */
static uint64_t link_lines(struct bench *b, const struct area *a)
{
    const uint64_t all = a->bytes / 64, lines = all < b->chase_lines ? all : b->chase_lines;
    uint64_t *order = clsa_malloc(lines, sizeof *order);
    if (!order) {
        out_of_memory(b);
        return 0;
    }
    for (uint64_t i = 0; i < lines; i++)
        order[i] = (i * (all / lines) + clsa_rng_below(&b->rng, all / lines)) * 64;
    for (uint64_t i = lines - 1; i > 0; i--) {
        const uint64_t j = clsa_rng_below(&b->rng, i), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint64_t i = 0; i < lines; i++) {
        const void *next = a->base + order[(i + 1) % lines];
        memcpy(a->base + order[i], &next, sizeof next);
    }
    sink += (uintptr_t)clsa_host_chase(a->base + order[0], lines);
    const uint64_t first = order[0];
    free(order);
    return first;
}

static void measure_latency(struct bench *b, const struct area *a)
{
    const uint64_t first = link_lines(b, a);
    if (b->status)
        return;
    struct samples s = samples_begin(b);
    const uint64_t hops = a->bytes <= 1u << 20 ? 1u << 17 : a->bytes <= 16u << 20 ? 1u << 15 : 1u << 12;
    const void *p = a->base + first;
    uint64_t start;
    do {
        start = clsa_now_ns();
        p = clsa_host_chase(p, hops);
    } while (samples_add(b, &s, (double)(clsa_now_ns() - start)));
    sink += (uintptr_t)p;
    note(b, (struct clsa_measured){"latency", 1, a->bytes, 64, a->page, 0, 0, 0, "ns"}, &s,
         (double)hops, false);
}

/* One thread chases through the first part of the area while the others stream from the rest. */
static void measure_loaded(struct bench *b, const struct area *whole)
{
    const struct area chased = {.base = whole->base, .bytes = whole->bytes / 2, .page = whole->page};
    const uint64_t first = link_lines(b, &chased), hops = 1u << 12;
    const uint64_t share = whole->bytes / 2 / (b->threads - 1) / 512 * 512;
    if (b->status)
        return;
    struct samples s = samples_begin(b);
    uint64_t total = 0;
    atomic_bool stop = false;
#pragma omp parallel num_threads((int)b->threads) reduction(+ : total)
    {
        const int me = thread_id();
#pragma omp barrier
        if (me == 0) {
            const void *p = chased.base + first;
            uint64_t start;
            do {
                start = clsa_now_ns();
                p = clsa_host_chase(p, hops);
            } while (samples_add(b, &s, (double)(clsa_now_ns() - start)));
            total += (uintptr_t)p;
            atomic_store(&stop, true);
        } else {
            const unsigned char *mine = whole->base + whole->bytes / 2 + share * (uint64_t)(me - 1);
            while (!atomic_load(&stop))
                for (uint64_t at = 0; at < share && !atomic_load(&stop); at += 1u << 20)
                    total += clsa_host_read(mine + at, share - at < 1u << 20 ? share - at : 1u << 20);
        }
    }
    sink += total;
    note(b, (struct clsa_measured){"loaded", b->threads, chased.bytes, 64, whole->page, 0, 0, 0, "ns"},
         &s, (double)hops, false);
}

/* ---- streams and gathers ---- */

/* All threads read parts of the area of their own; a sample lasts from the first's start to the last's
 * end. Parts beyond the caches continue where the sample before ended, so that each sample stays short. */
static void measure_read(struct bench *b, const struct area *a, uint64_t bytes, uint32_t threads,
                         bool dot)
{
    float x[256];
    for (int i = 0; i < 256; i++)
        x[i] = (float)i;
    struct samples s = samples_begin(b);
    bool more = true;
    const uint64_t once = bytes < 4u << 20 ? bytes : 4u << 20;
    const uint64_t rounds = (uint64_t)(SAMPLE_NS * 40 / (double)once) + 1; /* some 40 GB/s */
    for (uint32_t r = 0; more; r++) {
        uint64_t total = 0, begin = UINT64_MAX, end = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : total)
        {
            const unsigned char *mine = a->base + bytes * (uint64_t)thread_id();
            uint64_t at = (uint64_t)r * rounds * once % bytes;
#pragma omp barrier
            const uint64_t start = clsa_now_ns();
            for (uint64_t i = 0; i < rounds; i++) {
                if (at + once > bytes)
                    at = 0;
                total += dot ? (uint64_t)clsa_host_dot(mine + at, once / 2, x)
                             : clsa_host_read(mine + at, once);
                at += once;
            }
            const uint64_t stop = clsa_now_ns();
#pragma omp critical
            {
                begin = start < begin ? start : begin;
                end = stop > end ? stop : end;
            }
        }
        sink += total;
        if (r) /* the first round warms caches and clocks */
            more = samples_add(b, &s, (double)(end - begin));
    }
    note(b, (struct clsa_measured){dot ? "dot" : "read", threads, bytes, 0, a->page, 0, 0, 0, "GB/s"}, &s,
         (double)(once * threads * rounds), true);
}

/* What others leave of a footprint in the last cache while it is not used. */
static void measure_again(struct bench *b, const struct area *a)
{
    static const uint64_t waits_us[] = {0, 1000, 4000};
    for (size_t w = 0; w < sizeof waits_us / sizeof *waits_us && !b->status; w++) {
        double ns[AGAIN_SAMPLES];
        struct samples s = {.half = 1};
        uint64_t total = 0;
        for (int i = 0; i < AGAIN_SAMPLES; i++) {
            total += clsa_host_read(a->base, a->bytes) + clsa_host_read(a->base, a->bytes);
            const uint64_t idle = clsa_now_ns();
            while (clsa_now_ns() - idle < waits_us[w] * 1000)
                ;
            const uint64_t start = clsa_now_ns();
            total += clsa_host_read(a->base, a->bytes);
            ns[i] = (double)(clsa_now_ns() - start);
        }
        sink += total;
        /* The middle, not the best: how much others do is what is asked. */
        qsort(ns, AGAIN_SAMPLES, sizeof *ns, ascending);
        samples_add(b, &s, ns[AGAIN_SAMPLES / 2]);
        note(b, (struct clsa_measured){"again", 1, a->bytes, waits_us[w], a->page, 0, 0, 0, "GB/s"}, &s,
             (double)a->bytes, true);
    }
}

static void measure_gather(struct bench *b, const struct area *a, uint64_t row_bytes,
                           uint32_t threads, bool fetch)
{
    struct samples s = samples_begin(b);
    bool more = true;
    const uint64_t guess = (uint64_t)(SAMPLE_NS * 4) / row_bytes; /* some 4 GB/s */
    const size_t rows = guess < 1024 ? 1024 : guess > ROWS_MOST / threads ? ROWS_MOST / threads : guess;
    const size_t ahead = !fetch ? 0 : row_bytes < AHEAD_BYTES / 64 ? 64 : AHEAD_BYTES / row_bytes;
    while (more) {
        uint64_t total = 0, begin = UINT64_MAX, end = 0;
        for (size_t i = 0; i < rows * threads; i++)
            b->offsets[i] = clsa_rng_below(&b->rng, a->bytes / row_bytes) * row_bytes;
#pragma omp parallel num_threads((int)threads) reduction(+ : total)
        {
            const uint64_t *mine = b->offsets + rows * (size_t)thread_id();
#pragma omp barrier
            const uint64_t start = clsa_now_ns();
            total += clsa_host_gather(a->base, mine, rows, row_bytes, ahead);
            const uint64_t stop = clsa_now_ns();
#pragma omp critical
            {
                begin = start < begin ? start : begin;
                end = stop > end ? stop : end;
            }
        }
        sink += total;
        more = samples_add(b, &s, (double)(end - begin));
    }
    note(b, (struct clsa_measured){fetch ? "fetch" : "gather", threads, a->bytes, row_bytes, a->page,
                                   0, 0, 0, "GB/s"},
         &s, (double)(rows * threads * row_bytes), true);
}

/* ---- arithmetic, clock, calls ---- */

/* Processor time of this thread: what other programs take of its core is not its speed. */
static double thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure_arithmetic(struct bench *b, uint32_t threads, bool bf16)
{
    struct samples s = samples_begin(b);
    bool more = true;
    const uint64_t rounds = 50000;
    uint64_t flops = 0;
    for (uint32_t r = 0; more; r++) {
        double keep = 0, slowest = 0;
        flops = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : flops, keep) reduction(max : slowest)
        {
            uint64_t mine;
            const double start = thread_ns();
            keep += bf16 ? clsa_host_dot_bf16(rounds, &mine) : clsa_host_fma(rounds, &mine);
            slowest = thread_ns() - start;
            flops += mine;
        }
        if (flops == 0)
            return;
        if (r)
            more = samples_add(b, &s, slowest);
        sink += (uint64_t)keep;
    }
    note(b, (struct clsa_measured){bf16 ? "dot_bf16" : "fma_f32", threads, 0, 0, 0, 0, 0, 0,
                                   "GFLOP/s"},
         &s, (double)flops, true);
}

static void measure_clock(struct bench *b, uint32_t threads)
{
    struct samples s = samples_begin(b);
    bool more = true;
    const uint64_t adds = 1u << 21;
    while (more) {
        uint64_t total = 0;
        double slowest = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : total) reduction(max : slowest)
        {
            /* processor time: what other programs take of the core is not its clock */
            const double start = thread_ns();
            total += clsa_host_chain(adds);
            slowest = thread_ns() - start;
        }
        more = samples_add(b, &s, slowest);
        sink += total;
    }
    note(b, (struct clsa_measured){"clock", threads, 0, 0, 0, 0, 0, 0, "GHz"}, &s, (double)adds, true);
}

/* As a small op of a step has it: one thread writes the input, all take units, read the input and write
 * results that lie side by side, one reads them. */
static void measure_fork_join(struct bench *b, uint32_t threads)
{
    struct samples s = samples_begin(b);
    const int regions = 500;
    float input[HANDED], *results = clsa_calloc(threads, RESULTS * sizeof *results);
    if (!results) {
        out_of_memory(b);
        return;
    }
    uint64_t start;
    do {
        float total = 0;
        start = clsa_now_ns();
        for (int i = 0; i < regions; i++) {
            for (int j = 0; j < HANDED; j++)
                input[j] = total;
#pragma omp parallel for schedule(dynamic, 1) num_threads((int)threads)
            for (uint32_t u = 0; u < threads; u++)
                for (int j = 0; j < RESULTS; j++)
                    results[u * RESULTS + (uint32_t)j] = input[j] + input[HANDED - 1 - j];
            for (uint32_t u = 0; u < threads; u++)
                total += results[u * RESULTS];
        }
        sink += (uint64_t)total;
    } while (samples_add(b, &s, (double)(clsa_now_ns() - start)));
    free(results);
    note(b, (struct clsa_measured){"fork_join", threads, 0, 0, 0, 0, 0, 0, "us"}, &s, regions * 1e3,
         false);
}

static void measure_call(struct bench *b)
{
    struct samples s = samples_begin(b);
    const uint64_t calls = 1u << 18;
    uint64_t start;
    do {
        start = clsa_now_ns();
        for (uint64_t i = 0; i < calls; i++)
            clsa_host_call();
    } while (samples_add(b, &s, (double)(clsa_now_ns() - start)));
    note(b, (struct clsa_measured){"call", 1, 0, 0, 0, 0, 0, 0, "ns"}, &s, (double)calls, false);
}

/* ---- what the operating system says ---- */

static void say(struct bench *b, const char *what, double value, const char *unit)
{
    struct clsa_measured *rows = clsa_realloc(b->set->rows, b->set->n_rows + 1, sizeof *rows);
    if (!rows) {
        out_of_memory(b);
        return;
    }
    b->set->rows = rows;
    b->room = b->set->n_rows + 1;
    rows[b->set->n_rows++] =
        (struct clsa_measured){.what = what, .value = value, .fastest = value, .usual = value,
                               .unit = unit};
}

static void ask_system(struct bench *b)
{
    say(b, "size_l1", clsa_host_cache(1, "size", _SC_LEVEL1_DCACHE_SIZE), "B");
    say(b, "size_l2", clsa_host_cache(2, "size", _SC_LEVEL2_CACHE_SIZE), "B");
    const double last = clsa_host_cache(3, "size", _SC_LEVEL3_CACHE_SIZE);
    say(b, "size_l3", last, "B");
    b->chase_lines = (uint64_t)fmax(CHASE_LINES, CHASE_CACHES * last / 64);
    say(b, "line", clsa_host_cache(2, "coherency_line_size", _SC_LEVEL2_CACHE_LINESIZE), "B");
    say(b, "ways_l1", clsa_host_cache(1, "ways_of_associativity", _SC_LEVEL1_DCACHE_ASSOC), "-");
    say(b, "ways_l2", clsa_host_cache(2, "ways_of_associativity", _SC_LEVEL2_CACHE_ASSOC), "-");
    say(b, "ways_l3", clsa_host_cache(3, "ways_of_associativity", _SC_LEVEL3_CACHE_ASSOC), "-");
    say(b, "memory", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), "B");
    say(b, "huge_pages", clsa_host_huge_pages(), "-");
    uint32_t entries = 0, walkers = 0;
    if (clsa_host_translation(&entries, &walkers)) {
        say(b, "tlb_entries", entries, "-");
        say(b, "tlb_walkers", walkers, "-");
    }
}

/* ---- all of it ---- */

/* What one thread and all threads do, one after the other. */
static void measure_core(struct bench *b)
{
    const uint32_t both[] = {1, b->threads};
    measure_call(b);
    for (int i = 0; i < (b->threads > 1 ? 2 : 1) && !b->status; i++) {
        measure_clock(b, both[i]);
        measure_arithmetic(b, both[i], false);
        measure_arithmetic(b, both[i], true);
        measure_fork_join(b, both[i]);
    }
}

/* Latency over footprints inside and around the caches, then streams inside them. */
static void measure_caches(struct bench *b)
{
    static const uint64_t kib[] = {16,   256,   512,   1024,  2048,  3072,  4096,  6144,  8192,
                                   12288, 16384, 24576, 32768, 49152, 65536, 98304, 131072};
    static const uint64_t reads[] = {16u << 10, 256u << 10, 4u << 20,  8u << 20,
                                     16u << 20, 32u << 20,  64u << 20, STREAM_BYTES};
    struct area a;
    for (size_t i = 0; i < sizeof kib / sizeof *kib && !b->status; i++) {
        if (kib[i] << 10 > b->memory_bytes || !area_open(b, kib[i] << 10, PAGE_HUGE, &a))
            break;
        measure_latency(b, &a);
        area_close(&a);
    }
    for (size_t i = 0; i < sizeof reads / sizeof *reads && !b->status; i++) {
        const uint32_t threads = reads[i] * b->threads <= b->memory_bytes ? b->threads : 1;
        if (!area_open(b, reads[i] * threads, PAGE_HUGE, &a))
            break;
        measure_read(b, &a, reads[i], 1, false);
        if (threads > 1)
            measure_read(b, &a, reads[i], threads, false);
        measure_read(b, &a, reads[i], 1, true);
        if (reads[i] == AGAIN_BYTES && !b->status)
            measure_again(b, &a);
        area_close(&a);
    }
}

/* One footprint in one page size: latency, rows of all sizes, prefetched or not, and streams, of one thread
 * and, the first time, of all. */
static void measure_memory(struct bench *b, uint64_t bytes, uint64_t page, bool first)
{
    static const uint64_t rows[] = {64, 128, 256, 512, 1024, 2048, 4096};
    /* Streams want a footprint beyond every cache, or the largest that there may be. */
    const bool large = bytes >= 256u << 20 || bytes * 8 > b->memory_bytes;
    const bool all = large && first && b->threads > 1;
    struct area a;
    if (!area_open(b, bytes, page, &a))
        return;
    measure_latency(b, &a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !b->status; i++)
        for (int fetch = 0; fetch < 2 && !b->status; fetch++) {
            measure_gather(b, &a, rows[i], 1, fetch);
            if (all && i % 2 == 0 && !b->status)
                measure_gather(b, &a, rows[i], b->threads, fetch);
        }
    if (!b->status && large) {
        const uint64_t most = bytes / b->threads / 512 * 512;
        for (int dot = 0; dot < 2 && !b->status; dot++) {
            measure_read(b, &a, bytes, 1, dot);
            if (all && !b->status)
                measure_read(b, &a, most, b->threads, dot);
        }
        if (all && !b->status && page == PAGE_HUGE)
            measure_loaded(b, &a);
    }
    area_close(&a);
}

static void measure_everything(struct bench *b)
{
    static const uint64_t footprints[] = {4u << 20, 64u << 20, 512u << 20, UINT64_C(4) << 30};
    ask_system(b);
    /* Twice, the better stays: a guest's processors may have shared a core just then, or its caches and memory been
     * busy. What all threads take of memory is measured once and enters as it was. */
    for (int again = 0; again < 2; again++) {
        if (!b->status)
            measure_core(b);
        if (!b->status)
            measure_caches(b);
        for (size_t i = 0; i < sizeof footprints / sizeof *footprints && !b->status; i++)
            for (int huge = 0; huge < 2 && !b->status && footprints[i] <= b->memory_bytes; huge++)
                measure_memory(b, footprints[i], huge ? PAGE_HUGE : PAGE_SMALL, !again);
    }
    if (!b->status)
        measure_core(b);
}

/* What a probe takes: how fast `threads` compute and stream right now. Threads of others on the same cores
 * show in the multiply-adds, not in the clock. */
static void measure_probe(struct bench *b)
{
    const uint64_t each = b->memory_bytes / b->threads < PROBE_BYTES ? b->memory_bytes / b->threads
                                                                     : PROBE_BYTES;
    struct area a;
    measure_arithmetic(b, b->threads, false);
    if (b->status || !area_open(b, each * b->threads, PAGE_HUGE, &a))
        return;
    measure_read(b, &a, each, b->threads, false);
    a.bytes = a.bytes < AGAIN_BYTES ? a.bytes : AGAIN_BYTES;
    if (!b->status)
        measure_again(b, &a);
    area_close(&a);
}

int clsa_measure_host(const struct clsa_measure_options *options, struct clsa_measurement_set *out,
                      struct clsa_err *err)
{
    struct clsa_measurement_set set = {0};
    struct bench b = {.set = &set, .options = options, .err = err};
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    b.threads = options->threads ? options->threads : cores > 0 ? (uint32_t)cores : 1;
    b.repeats = options->repeats ? options->repeats : 15;
    b.repeats = b.repeats > SAMPLES_MAX ? SAMPLES_MAX : b.repeats;
    const uint64_t third = clsa_memory_available_bytes() / 3, most = UINT64_C(4) << 30;
    b.memory_bytes = options->memory_bytes ? options->memory_bytes : third < most ? third : most;
    clsa_rng_seed(&b.rng, 1);
    b.offsets = clsa_malloc(ROWS_MOST + 1024 * (size_t)b.threads, sizeof *b.offsets);
    if (!b.offsets)
        return out_of_memory(&b);
    b.patient_until_ns = options->probe ? 0 : clsa_now_ns() + PATIENCE_NS;
    if (options->probe)
        measure_probe(&b);
    else
        measure_everything(&b);
    free(b.offsets);
    if (b.status) {
        clsa_measurement_destroy(&set);
        return b.status;
    }
    *out = set;
    return CLSA_OK;
}
