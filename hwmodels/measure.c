#include "hwmodels/measure.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
#define REPEATS_MAX 63
/* A sample shorter than this drowns in the clock's own cost (tens of nanoseconds); one much longer
 * rarely escapes the scheduler of a busy host. */
#define SAMPLE_NS 1500000.0
/* Lines of a chase over a large footprint: enough to overflow any cache, few enough to link soon. */
#define CHASE_LINES (1u << 20)
/* Bytes between a prefetched row and its use: half of a common L1, as in the attention kernels. */
#define AHEAD_BYTES 16384u
#define ROWS_MOST 65536u
#define STEPS_TOTAL 150u

/* Results of probes end here: a store the compiler must make. */
static volatile uint64_t sink;

struct bench {
    struct clsa_measurement_set *set;
    const struct clsa_measure_options *options;
    uint32_t threads, repeats, done;
    uint64_t memory_bytes;
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

/* Adds a row from nanoseconds that samples took; the figure is amount / ns, or ns / amount. */
static void note(struct bench *b, struct clsa_measured row, double *ns, double amount, bool rate)
{
    const uint32_t n = b->repeats;
    for (uint32_t i = 1; i < n; i++) /* insertion sort of a few, fastest first */
        for (uint32_t j = i; j && ns[j] < ns[j - 1]; j--) {
            const double t = ns[j];
            ns[j] = ns[j - 1];
            ns[j - 1] = t;
        }
    const uint32_t half = (n + 1) / 2;
    const double figures[] = {half % 2 ? ns[half / 2] : (ns[half / 2 - 1] + ns[half / 2]) / 2, ns[0],
                              n % 2 ? ns[n / 2] : (ns[n / 2 - 1] + ns[n / 2]) / 2};
    double *to[] = {&row.value, &row.fastest, &row.usual};
    for (int i = 0; i < 3; i++)
        *to[i] = rate ? amount / figures[i] : figures[i] / amount;
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
 * small one, of a large one a random line out of each of CHASE_LINES equal parts. */
static uint64_t link_lines(struct bench *b, const struct area *a)
{
    const uint64_t all = a->bytes / 64, lines = all < CHASE_LINES ? all : CHASE_LINES;
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
    double ns[REPEATS_MAX];
    const uint64_t hops = a->bytes <= 1u << 20 ? 1u << 17 : a->bytes <= 16u << 20 ? 1u << 15 : 1u << 14;
    const void *p = a->base + first;
    for (uint32_t r = 0; r < b->repeats; r++) {
        const uint64_t start = clsa_now_ns();
        p = clsa_host_chase(p, hops);
        ns[r] = (double)(clsa_now_ns() - start);
    }
    sink += (uintptr_t)p;
    note(b, (struct clsa_measured){"latency", 1, a->bytes, 64, a->page, 0, 0, 0, "ns"}, ns,
         (double)hops, false);
}

/* One thread chases through the first part of the area while the others stream from the rest. */
static void measure_loaded(struct bench *b, const struct area *whole)
{
    const struct area chased = {.base = whole->base, .bytes = whole->bytes / 2, .page = whole->page};
    const uint64_t first = link_lines(b, &chased), hops = 1u << 13;
    const uint64_t share = whole->bytes / 2 / (b->threads - 1) / 512 * 512;
    if (b->status)
        return;
    double ns[REPEATS_MAX];
    uint64_t total = 0;
    atomic_bool stop = false;
#pragma omp parallel num_threads((int)b->threads) reduction(+ : total)
    {
        const int me = thread_id();
#pragma omp barrier
        if (me == 0) {
            const void *p = chased.base + first;
            for (uint32_t r = 0; r < b->repeats; r++) {
                const uint64_t start = clsa_now_ns();
                p = clsa_host_chase(p, hops);
                ns[r] = (double)(clsa_now_ns() - start);
            }
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
         ns, (double)hops, false);
}

/* ---- streams and gathers ---- */

/* All threads read parts of the area of their own; a sample lasts from the first's start to the last's
 * end. Parts beyond the caches continue where the sample before ended, so that each sample stays short. */
static void measure_read(struct bench *b, const struct area *a, uint64_t bytes, uint32_t threads)
{
    double ns[REPEATS_MAX];
    const uint64_t once = bytes < 4u << 20 ? bytes : 4u << 20;
    const uint64_t rounds = (uint64_t)(SAMPLE_NS * 40 / (double)once) + 1; /* some 40 GB/s */
    for (uint32_t r = 0; r <= b->repeats; r++) {
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
                total += clsa_host_read(mine + at, once);
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
            ns[r - 1] = (double)(end - begin);
    }
    note(b, (struct clsa_measured){"read", threads, bytes, 0, a->page, 0, 0, 0, "GB/s"}, ns,
         (double)(once * threads * rounds), true);
}

static void measure_gather(struct bench *b, const struct area *a, uint64_t row_bytes,
                           uint32_t threads, bool fetch)
{
    double ns[REPEATS_MAX];
    const uint64_t guess = (uint64_t)(SAMPLE_NS * 4) / row_bytes; /* some 4 GB/s */
    const size_t rows = guess < 1024 ? 1024 : guess > ROWS_MOST / threads ? ROWS_MOST / threads : guess;
    const size_t ahead = !fetch ? 0 : row_bytes < AHEAD_BYTES / 64 ? 64 : AHEAD_BYTES / row_bytes;
    for (uint32_t r = 0; r < b->repeats; r++) {
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
        ns[r] = (double)(end - begin);
    }
    note(b, (struct clsa_measured){fetch ? "fetch" : "gather", threads, a->bytes, row_bytes, a->page,
                                   0, 0, 0, "GB/s"},
         ns, (double)(rows * threads * row_bytes), true);
}

/* ---- arithmetic, clock, calls ---- */

static void measure_arithmetic(struct bench *b, uint32_t threads, bool bf16)
{
    double ns[REPEATS_MAX];
    const uint64_t rounds = 100000;
    uint64_t flops = 0;
    for (uint32_t r = 0; r <= b->repeats; r++) {
        double keep = 0;
        flops = 0;
        const uint64_t start = clsa_now_ns();
#pragma omp parallel num_threads((int)threads) reduction(+ : flops, keep)
        {
            uint64_t mine;
            keep += bf16 ? clsa_host_dot_bf16(rounds, &mine) : clsa_host_fma(rounds, &mine);
            flops += mine;
        }
        if (flops == 0)
            return;
        if (r)
            ns[r - 1] = (double)(clsa_now_ns() - start);
        sink += (uint64_t)keep;
    }
    note(b, (struct clsa_measured){bf16 ? "dot_bf16" : "fma_f32", threads, 0, 0, 0, 0, 0, 0,
                                   "GFLOP/s"},
         ns, (double)flops, true);
}

static void measure_clock(struct bench *b, uint32_t threads)
{
    double ns[REPEATS_MAX];
    const uint64_t adds = 1u << 22;
    for (uint32_t r = 0; r < b->repeats; r++) {
        uint64_t total = 0;
        const uint64_t start = clsa_now_ns();
#pragma omp parallel num_threads((int)threads) reduction(+ : total)
        total += clsa_host_chain(adds);
        ns[r] = (double)(clsa_now_ns() - start);
        sink += total;
    }
    note(b, (struct clsa_measured){"clock", threads, 0, 0, 0, 0, 0, 0, "GHz"}, ns, (double)adds, true);
}

static void measure_fork_join(struct bench *b, uint32_t threads)
{
    double ns[REPEATS_MAX];
    const int regions = 500;
    for (uint32_t r = 0; r < b->repeats; r++) {
        const uint64_t start = clsa_now_ns();
        for (int i = 0; i < regions; i++) {
#pragma omp parallel num_threads((int)threads)
            clsa_host_call();
        }
        ns[r] = (double)(clsa_now_ns() - start);
    }
    note(b, (struct clsa_measured){"fork_join", threads, 0, 0, 0, 0, 0, 0, "us"}, ns, regions * 1e3,
         false);
}

static void measure_call(struct bench *b)
{
    double ns[REPEATS_MAX];
    const uint64_t calls = 1u << 20;
    for (uint32_t r = 0; r < b->repeats; r++) {
        const uint64_t start = clsa_now_ns();
        for (uint64_t i = 0; i < calls; i++)
            clsa_host_call();
        ns[r] = (double)(clsa_now_ns() - start);
    }
    note(b, (struct clsa_measured){"call", 1, 0, 0, 0, 0, 0, 0, "ns"}, ns, (double)calls, false);
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
    static const uint64_t reads[] = {16u << 10, 256u << 10, 4u << 20, 8u << 20, 16u << 20, 32u << 20};
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
        measure_read(b, &a, reads[i], 1);
        if (threads > 1)
            measure_read(b, &a, reads[i], threads);
        area_close(&a);
    }
}

/* One footprint in one page size: latency, rows of all sizes, prefetched or not, and streams. */
static void measure_memory(struct bench *b, uint64_t bytes, uint64_t page)
{
    static const uint64_t rows[] = {64, 128, 256, 512, 1024, 2048, 4096};
    struct area a;
    if (!area_open(b, bytes, page, &a))
        return;
    measure_latency(b, &a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !b->status; i++)
        for (int fetch = 0; fetch < 2 && !b->status; fetch++) {
            measure_gather(b, &a, rows[i], 1, fetch);
            if (b->threads > 1 && i % 2 == 0 && bytes >= 256u << 20 && !b->status)
                measure_gather(b, &a, rows[i], b->threads, fetch);
        }
    if (!b->status && bytes >= 256u << 20) {
        const uint64_t most = bytes / b->threads / 512 * 512;
        measure_read(b, &a, bytes, 1);
        if (b->threads > 1 && !b->status)
            measure_read(b, &a, most, b->threads);
        if (b->threads > 1 && !b->status && page == PAGE_HUGE)
            measure_loaded(b, &a);
    }
    area_close(&a);
}

int clsa_measure_host(const struct clsa_measure_options *options, struct clsa_measurement_set *out,
                      struct clsa_err *err)
{
    static const uint64_t footprints[] = {4u << 20, 64u << 20, 512u << 20, UINT64_C(4) << 30};
    struct clsa_measurement_set set = {0};
    struct bench b = {.set = &set, .options = options, .err = err};
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    b.threads = options->threads ? options->threads : cores > 0 ? (uint32_t)cores : 1;
    b.repeats = options->repeats ? options->repeats : 15;
    b.repeats = b.repeats > REPEATS_MAX ? REPEATS_MAX : b.repeats;
    const uint64_t third = clsa_memory_available_bytes() / 3, most = UINT64_C(4) << 30;
    b.memory_bytes = options->memory_bytes ? options->memory_bytes : third < most ? third : most;
    clsa_rng_seed(&b.rng, 1);
    b.offsets = clsa_malloc(ROWS_MOST + 1024 * (size_t)b.threads, sizeof *b.offsets);
    if (!b.offsets)
        return out_of_memory(&b);
    measure_core(&b);
    if (!b.status)
        measure_caches(&b);
    for (size_t i = 0; i < sizeof footprints / sizeof *footprints && !b.status; i++)
        for (int huge = 0; huge < 2 && !b.status && footprints[i] <= b.memory_bytes; huge++)
            measure_memory(&b, footprints[i], huge ? PAGE_HUGE : PAGE_SMALL);
    free(b.offsets);
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
    fputs("what,threads,footprint_bytes,row_bytes,page_bytes,value,fastest,usual,unit\n", out);
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct clsa_measured *r = &set->rows[i];
        fprintf(out, "%s,%u,%llu,%llu,%llu,%.4f,%.4f,%.4f,%s\n", r->what, r->threads,
                (unsigned long long)r->footprint_bytes, (unsigned long long)r->row_bytes,
                (unsigned long long)r->page_bytes, r->value, r->fastest, r->usual, r->unit);
    }
}
