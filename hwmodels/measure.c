#include "hwmodels/measure.h"

#include <math.h>
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
#define REPEATS_MAX 31
/* A sample shorter than this drowns in the clock's own cost (tens of nanoseconds). */
#define SAMPLE_NS 1500000.0

/* Results of probes end here: a store the compiler must make. */
static volatile uint64_t sink;

struct bench {
    struct clsa_measurement_set *set;
    const struct clsa_measure_options *options;
    uint32_t threads, repeats, done;
    uint64_t memory_bytes;
    size_t room;
    struct clsa_err *err;
    int status;
};

#define STEPS_TOTAL 60u

static void note(struct bench *b, struct clsa_measured row, double *samples, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) /* insertion sort of a handful */
        for (uint32_t j = i; j && samples[j] < samples[j - 1]; j--) {
            const double t = samples[j];
            samples[j] = samples[j - 1];
            samples[j - 1] = t;
        }
    row.median = n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
    row.low = samples[n / 4];
    row.high = samples[n - 1 - n / 4];
    if (b->set->n_rows == b->room) {
        const size_t more = b->room ? 2 * b->room : 64;
        struct clsa_measured *rows = clsa_realloc(b->set->rows, more, sizeof *rows);
        if (!rows) {
            b->status = clsa_fail(b->err, CLSA_ENOMEM, "out of memory");
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

/* Memory in pages of one size, touched. The advice may be refused; then huge stays small, and the row
 * says what was asked for. */
static void *pages(uint64_t bytes, uint64_t page)
{
    const uint64_t whole = (bytes + PAGE_HUGE - 1) / PAGE_HUGE * PAGE_HUGE + PAGE_HUGE;
    unsigned char *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(p, whole, page == PAGE_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
    memset(p, 1, whole);
    return p;
}

static unsigned char *aligned_start(void *p)
{
    return (unsigned char *)(((uintptr_t)p + PAGE_HUGE - 1) & ~(uintptr_t)(PAGE_HUGE - 1));
}

static void free_pages(void *p, uint64_t bytes)
{
    if (p)
        munmap(p, (bytes + PAGE_HUGE - 1) / PAGE_HUGE * PAGE_HUGE + PAGE_HUGE);
}

/* Links the 64-byte lines of a footprint into one cycle in random order (Sattolo's shuffle). */
static bool link_lines(unsigned char *base, uint64_t bytes, struct clsa_rng *rng)
{
    const uint64_t lines = bytes / 64;
    uint32_t *order = clsa_malloc(lines, sizeof *order);
    if (!order)
        return false;
    for (uint64_t i = 0; i < lines; i++)
        order[i] = (uint32_t)i;
    for (uint64_t i = lines - 1; i > 0; i--) {
        const uint64_t j = clsa_rng_below(rng, i);
        const uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint64_t i = 0; i < lines; i++) {
        void *next = base + (uint64_t)order[(i + 1) % lines] * 64;
        memcpy(base + (uint64_t)order[i] * 64, &next, sizeof next);
    }
    free(order);
    return true;
}

static void measure_latency(struct bench *b, uint64_t bytes, uint64_t page)
{
    void *area = pages(bytes, page);
    struct clsa_rng rng;
    clsa_rng_seed(&rng, bytes ^ page);
    unsigned char *base = area ? aligned_start(area) : NULL;
    if (!base || !link_lines(base, bytes, &rng)) {
        b->status = clsa_fail(b->err, CLSA_ENOMEM, "out of memory");
        free_pages(area, bytes);
        return;
    }
    double samples[REPEATS_MAX];
    uint64_t hops = bytes / 64 < 1u << 14 ? 1u << 18 : 1u << 16;
    const void *p = clsa_host_chase(base, bytes / 64 < hops ? hops : bytes / 64);
    for (uint32_t r = 0; r < b->repeats; r++) {
        const uint64_t start = clsa_now_ns();
        p = clsa_host_chase(p, hops);
        samples[r] = (double)(clsa_now_ns() - start) / (double)hops;
    }
    sink += (uintptr_t)p;
    note(b, (struct clsa_measured){"latency", 1, bytes, 64, page, 0, 0, 0, "ns"}, samples,
         b->repeats);
    free_pages(area, bytes);
}

/* All threads read areas of their own, the same number of times, between two barriers. */
static void measure_read(struct bench *b, uint64_t bytes, uint32_t threads)
{
    const uint64_t page = PAGE_HUGE;
    void *area = pages(bytes * threads, page);
    if (!area) {
        b->status = clsa_fail(b->err, CLSA_ENOMEM, "out of memory");
        return;
    }
    unsigned char *base = aligned_start(area);
    double samples[REPEATS_MAX];
    const double guess_ns = (double)bytes / 20.0; /* 20 GB/s */
    uint64_t rounds = (uint64_t)(SAMPLE_NS * 4 / guess_ns) + 1;
    for (uint32_t r = 0; r <= b->repeats; r++) {
        uint64_t total = 0, first = UINT64_MAX, last = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : total)
        {
#ifdef _OPENMP
            const unsigned char *mine = base + bytes * (uint64_t)omp_get_thread_num();
#else
            const unsigned char *mine = base;
#endif
#pragma omp barrier
            const uint64_t start = clsa_now_ns();
            for (uint64_t i = 0; i < rounds; i++)
                total += clsa_host_read(mine, bytes);
            const uint64_t end = clsa_now_ns();
#pragma omp critical
            {
                first = start < first ? start : first;
                last = end > last ? end : last;
            }
        }
        sink += total;
        if (r) /* the first round warms caches and clocks */
            samples[r - 1] = (double)(bytes * threads * rounds) / (double)(last - first);
    }
    note(b, (struct clsa_measured){"read", threads, bytes, 0, page, 0, 0, 0, "GB/s"}, samples,
         b->repeats);
    free_pages(area, bytes * threads);
}

static void measure_gather(struct bench *b, uint64_t bytes, uint64_t row_bytes, uint64_t page)
{
    const size_t rows = (size_t)(((uint64_t)16 << 20) / row_bytes < 2048
                                     ? 2048
                                     : ((uint64_t)16 << 20) / row_bytes);
    void *area = pages(bytes, page);
    uint64_t *offsets = clsa_malloc(rows, sizeof *offsets);
    if (!area || !offsets) {
        b->status = clsa_fail(b->err, CLSA_ENOMEM, "out of memory");
    } else {
        double samples[REPEATS_MAX];
        struct clsa_rng rng;
        clsa_rng_seed(&rng, bytes ^ page ^ row_bytes);
        for (uint32_t r = 0; r < b->repeats; r++) {
            for (size_t i = 0; i < rows; i++)
                offsets[i] = clsa_rng_below(&rng, bytes / row_bytes) * row_bytes;
            const uint64_t start = clsa_now_ns();
            sink += clsa_host_gather(aligned_start(area), offsets, rows, row_bytes);
            samples[r] = (double)(rows * row_bytes) / (double)(clsa_now_ns() - start);
        }
        note(b, (struct clsa_measured){"gather", 1, bytes, row_bytes, page, 0, 0, 0, "GB/s"},
             samples, b->repeats);
    }
    free(offsets);
    free_pages(area, bytes);
}

static void measure_arithmetic(struct bench *b, uint32_t threads, bool bf16)
{
    double samples[REPEATS_MAX];
    const uint64_t rounds = 400000;
    for (uint32_t r = 0; r <= b->repeats; r++) {
        uint64_t flops = 0;
        double keep = 0;
        const uint64_t start = clsa_now_ns();
#pragma omp parallel num_threads((int)threads) reduction(+ : flops, keep)
        {
            uint64_t mine;
            keep += bf16 ? clsa_host_dot_bf16(rounds, &mine) : clsa_host_fma(rounds, &mine);
            flops += mine;
        }
        const double ns = (double)(clsa_now_ns() - start);
        sink += (uint64_t)keep;
        if (flops == 0)
            return;
        if (r)
            samples[r - 1] = (double)flops / ns;
    }
    note(b, (struct clsa_measured){bf16 ? "dot_bf16" : "fma_f32", threads, 0, 0, 0, 0, 0, 0,
                                   "GFLOP/s"},
         samples, b->repeats);
}

static void measure_small(struct bench *b)
{
    double samples[REPEATS_MAX];
    const uint64_t adds = 1u << 22;
    for (uint32_t r = 0; r < b->repeats; r++) {
        const uint64_t start = clsa_now_ns();
        sink += clsa_host_chain(adds);
        samples[r] = (double)adds / (double)(clsa_now_ns() - start);
    }
    note(b, (struct clsa_measured){"clock", 1, 0, 0, 0, 0, 0, 0, "GHz"}, samples, b->repeats);
    const uint64_t calls = 1u << 20;
    for (uint32_t r = 0; r < b->repeats; r++) {
        const uint64_t start = clsa_now_ns();
        for (uint64_t i = 0; i < calls; i++)
            clsa_host_call();
        samples[r] = (double)(clsa_now_ns() - start) / (double)calls;
    }
    note(b, (struct clsa_measured){"call", 1, 0, 0, 0, 0, 0, 0, "ns"}, samples, b->repeats);
    const int regions = 2000;
    for (uint32_t r = 0; r < b->repeats; r++) {
        const uint64_t start = clsa_now_ns();
        for (int i = 0; i < regions; i++) {
#pragma omp parallel num_threads((int)b->threads)
            clsa_host_call();
        }
        samples[r] = (double)(clsa_now_ns() - start) / regions / 1e3;
    }
    note(b, (struct clsa_measured){"fork_join", b->threads, 0, 0, 0, 0, 0, 0, "us"}, samples,
         b->repeats);
}

int clsa_measure_host(const struct clsa_measure_options *options, struct clsa_measurement_set *out,
                      struct clsa_err *err)
{
    static const uint64_t rows[] = {64, 256, 512, 1024, 4096};
    static const uint64_t footprints[] = {16u << 10, 256u << 10, 8u << 20, 64u << 20, 512u << 20};
    struct clsa_measurement_set set = {0};
    struct bench b = {.set = &set, .options = options, .err = err};
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    b.threads = options->threads ? options->threads : cores > 0 ? (uint32_t)cores : 1;
    b.repeats = options->repeats ? options->repeats : 7;
    b.repeats = b.repeats > REPEATS_MAX ? REPEATS_MAX : b.repeats;
    const uint64_t eighth = clsa_memory_available_bytes() / 8;
    b.memory_bytes = options->memory_bytes ? options->memory_bytes
                     : eighth < (1u << 30) ? eighth
                                           : (1u << 30);
    measure_small(&b);
    for (int bf16 = 0; bf16 < 2 && !b.status; bf16++) {
        measure_arithmetic(&b, 1, bf16);
        if (b.threads > 1 && !b.status)
            measure_arithmetic(&b, b.threads, bf16);
    }
    for (size_t i = 0; i < sizeof footprints / sizeof *footprints && !b.status; i++) {
        if (footprints[i] > b.memory_bytes / b.threads)
            break;
        measure_read(&b, footprints[i], 1);
        if (b.threads > 1 && !b.status)
            measure_read(&b, footprints[i], b.threads);
    }
    for (uint64_t bytes = 16u << 10; bytes <= b.memory_bytes && !b.status; bytes *= 4) {
        measure_latency(&b, bytes, PAGE_HUGE);
        if (bytes >= 1u << 20 && !b.status)
            measure_latency(&b, bytes, PAGE_SMALL);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint64_t bytes = 4u << 20; bytes <= b.memory_bytes && !b.status; bytes *= 16) {
            measure_gather(&b, bytes, rows[i], PAGE_HUGE);
            if (!b.status)
                measure_gather(&b, bytes, rows[i], PAGE_SMALL);
        }
    if (b.status) {
        clsa_measurement_destroy(&set);
        return b.status;
    }
    *out = set;
    return CLSA_OK;
}

void clsa_measurement_destroy(struct clsa_measurement_set *set)
{
    if (!set)
        return;
    free(set->rows);
    *set = (struct clsa_measurement_set){0};
}

const struct clsa_measured *clsa_measured_find(const struct clsa_measurement_set *set,
                                               const char *what, uint32_t threads,
                                               uint64_t footprint_bytes, uint64_t row_bytes,
                                               uint64_t page_bytes)
{
    const struct clsa_measured *best = NULL;
    double nearest = INFINITY;
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct clsa_measured *r = &set->rows[i];
        if (strcmp(r->what, what) || (threads && r->threads != threads) ||
            (row_bytes && r->row_bytes != row_bytes) || (page_bytes && r->page_bytes != page_bytes))
            continue;
        const double distance =
            footprint_bytes ? fabs(log((double)r->footprint_bytes / (double)footprint_bytes)) : 0;
        if (distance < nearest) {
            nearest = distance;
            best = r;
        }
    }
    return best;
}

void clsa_measurement_print(FILE *out, const struct clsa_measurement_set *set)
{
    fputs("what,threads,footprint_bytes,row_bytes,page_bytes,median,low,high,unit\n", out);
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct clsa_measured *r = &set->rows[i];
        fprintf(out, "%s,%u,%llu,%llu,%llu,%.4f,%.4f,%.4f,%s\n", r->what, r->threads,
                (unsigned long long)r->footprint_bytes, (unsigned long long)r->row_bytes,
                (unsigned long long)r->page_bytes, r->median, r->low, r->high, r->unit);
    }
}
