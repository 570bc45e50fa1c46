#include "hwmodels/measure_bench.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "hwmodels/measure_kernels.h"
#include "sim/base/alloc.h"
#include "sim/base/log.h"

/* A sample shorter than this drowns in the clock's own cost (tens of nanoseconds); one much longer
 * rarely escapes the scheduler of a busy host. */
#define SAMPLE_NS 700000.0
/* A chase over more lines than this goes through a random part of them, each once. */
#define CHASE_LINES (1u << 19)
#define CHASE_HOPS (1u << 12)
/* Rows between one that is asked for and its use: the attention kernels' block of keys. */
#define AHEAD_ROWS 64u
/* What passes in a decode step of a large model over keys that a last cache could hold. */
#define UNSETTLED_NS 100e6
/* What a thread writes for another to read, and how often a sample does. */
#define HANDED_PART 16384u
#define HANDED_TIMES 32
/* What a thread takes at a time of what all read. */
#define READ_PIECE (UINT64_C(512) << 10)
/* Values that a parallel region is given, and that each of its units makes; lines that a thread finds one through
 * the other before it knows what to do: arguments, what is left of the work, shapes, pointers. */
#define HANDED 256
#define MIXED_VALUES (UINT64_C(64) << 10) /* 128 KiB of bfloat16: in any L2, in few L1 */
#define RESULTS 16
#define LINKS 5

volatile uint64_t clsa_bench_sink;

static int thread_id(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

int clsa_bench_out_of_memory(struct clsa_bench *b)
{
    return b->status = clsa_fail(b->err, CLSA_ENOMEM, "out of memory");
}

/* The fastest samples of a figure so far, ascending, as many as half of what was asked for. */
struct samples {
    double best[CLSA_BENCH_SAMPLES], all[CLSA_BENCH_SAMPLES];
    uint32_t n, taken, half;
};

static struct samples samples_begin(const struct clsa_bench *b)
{
    return (struct samples){.half = (b->repeats + 1) / 2};
}

/* Adds one of `ns`; false when that was enough. */
static bool samples_add(const struct clsa_bench *b, struct samples *s, double ns)
{
    uint32_t at = s->n < s->half ? s->n++ : s->n - 1;
    s->all[s->taken++] = ns;
    if (at == s->n - 1 && s->taken > s->n && ns >= s->best[at])
        return s->taken < b->repeats;
    for (; at && s->best[at - 1] > ns; at--)
        s->best[at] = s->best[at - 1];
    s->best[at] = ns;
    return s->taken < b->repeats;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const double *sorted, size_t n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double clsa_bench_median(double *values, size_t n, size_t used)
{
    qsort(values, n, sizeof *values, ascending);
    return middle(values, used);
}

void clsa_bench_add(struct clsa_bench *b, const struct clsa_measured *row)
{
    struct clsa_measurement_set *set = b->set;
    if (clsa_grow(&set->rows, &b->room, set->n_rows + 1, sizeof *set->rows))
        set->rows[set->n_rows++] = *row;
    else
        clsa_bench_out_of_memory(b);
}

/* Of two ways to do the same the one whose fast samples are faster. */
static struct samples *faster(struct samples *a, struct samples *b)
{
    return middle(b->best, b->n) < middle(a->best, a->n) ? b : a;
}

/* What a round says of a figure: amount / ns, or ns / amount. */
static void note(struct clsa_bench *b, struct clsa_measured row, struct samples *s, double amount, bool rate)
{
    qsort(s->all, s->taken, sizeof *s->all, ascending);
    const double figures[] = {middle(s->best, s->n), s->best[0], middle(s->all, s->taken)};
    double *to[] = {&row.value, &row.fastest, &row.usual};
    for (int i = 0; i < 3; i++)
        *to[i] = rate ? amount / figures[i] : figures[i] / amount;
    clsa_bench_add(b, &row);
}

/* ---- memory ---- */

bool clsa_area_open(struct clsa_bench *b, uint64_t bytes, uint64_t page, struct clsa_area *a)
{
    a->mapped_bytes = (bytes + CLSA_PAGE_HUGE - 1) / CLSA_PAGE_HUGE * CLSA_PAGE_HUGE + CLSA_PAGE_HUGE;
    a->mapped = mmap(NULL, a->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    if (a->mapped == MAP_FAILED) {
        clsa_bench_out_of_memory(b);
        return false;
    }
#ifdef MADV_HUGEPAGE
    madvise(a->mapped, a->mapped_bytes, page == CLSA_PAGE_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
    a->base = (unsigned char *)(((uintptr_t)a->mapped + CLSA_PAGE_HUGE - 1) &
                                ~(uintptr_t)(CLSA_PAGE_HUGE - 1));
    a->bytes = bytes;
    a->page = page;
    const int64_t pieces = (int64_t)((bytes + CLSA_PAGE_HUGE - 1) / CLSA_PAGE_HUGE);
#pragma omp parallel for num_threads((int)b->threads)
    for (int64_t i = 0; i < pieces; i++)
        memset(a->base + (uint64_t)i * CLSA_PAGE_HUGE, 1,
               bytes - (uint64_t)i * CLSA_PAGE_HUGE < CLSA_PAGE_HUGE ? bytes - (uint64_t)i * CLSA_PAGE_HUGE
                                                           : CLSA_PAGE_HUGE);
    return true;
}

void clsa_area_close(struct clsa_area *a)
{
    munmap(a->mapped, a->mapped_bytes);
}

/* ---- latency ---- */

void clsa_bench_wander(struct clsa_bench *b, const struct clsa_area *a)
{
    const uint64_t all = a->bytes / 64, last = b->last_bytes / 64;
    /* A hypervisor may take back pages that lie idle, and gives each again when it is touched. */
    for (uint64_t at = 0; at < a->bytes; at += CLSA_PAGE_SMALL)
        clsa_bench_sink += a->base[at];
    for (uint64_t left = 2 * (all < last ? all : last) + CLSA_BENCH_ROWS; left > 0;) {
        const size_t n = left < CLSA_BENCH_ROWS ? (size_t)left : CLSA_BENCH_ROWS;
        for (size_t i = 0; i < n; i++)
            b->offsets[i] = clsa_rng_below(&b->rng, all) * 64;
        clsa_bench_sink += clsa_host_gather(a->base, b->offsets, n, 64, 0);
        left -= n;
    }
}

/* Links 64-byte lines of an area into one cycle in random order (Sattolo's shuffle): all lines of a
 * small one, of a large one as many random ones as will be followed, out of equal parts of it. */
static uint64_t link_lines(struct clsa_bench *b, const struct clsa_area *a)
{
    const uint64_t all = a->bytes / 64, some = (uint64_t)CHASE_HOPS * b->repeats;
    const uint64_t lines = all <= CHASE_LINES ? all : some;
    uint64_t *order = clsa_malloc(lines, sizeof *order);
    if (!order) {
        clsa_bench_out_of_memory(b);
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
    if (lines == all)
        clsa_bench_sink += (uintptr_t)clsa_host_chase(a->base + order[0], lines);
    else
        clsa_bench_wander(b, a);
    const uint64_t first = order[0];
    free(order);
    return first;
}

void clsa_bench_latency(struct clsa_bench *b, const struct clsa_area *a)
{
    const uint64_t first = link_lines(b, a);
    if (b->status)
        return;
    struct samples s = samples_begin(b);
    const uint64_t hops = a->bytes <= 1u << 20 ? 1u << 17 : a->bytes <= 16u << 20 ? 1u << 15 : CHASE_HOPS;
    const void *p = a->base + first;
    uint64_t start;
    do {
        start = clsa_now_ns();
        p = clsa_host_chase(p, hops);
    } while (samples_add(b, &s, (double)(clsa_now_ns() - start)));
    clsa_bench_sink += (uintptr_t)p;
    note(b, (struct clsa_measured){"latency", 1, a->bytes, 64, a->page, 0, 0, 0, "ns"}, &s,
         (double)hops, false);
}

/* One thread chases through the first part of the area while the others stream from the rest. */
void clsa_bench_loaded(struct clsa_bench *b, const struct clsa_area *whole)
{
    const struct clsa_area chased = {.base = whole->base, .bytes = whole->bytes / 2, .page = whole->page};
    const uint64_t first = link_lines(b, &chased), hops = CHASE_HOPS;
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
                    total += clsa_host_read(mine + at, share - at < 1u << 20 ? share - at : 1u << 20, false);
        }
    }
    clsa_bench_sink += total;
    note(b, (struct clsa_measured){"loaded", b->threads, chased.bytes, 64, whole->page, 0, 0, 0, "ns"},
         &s, (double)hops, false);
}

/* ---- streams and gathers ---- */

/* One sample of threads that read parts of the area of their own: nanoseconds from the first's start to the last's end.
 * Who is fast reads more, as in kernels that share their work in small pieces: each takes `passes` over `once` bytes at
 * a time until all together took `pieces` a thread. Each goes on in the next sample where it stopped, places[thread]: who
 * began where the slow ones are would find what it has just read. */
static double read_once(const struct clsa_area *a, uint64_t bytes, uint32_t threads, uint64_t *places,
                        uint64_t once, uint64_t passes, uint64_t pieces, bool ahead)
{
    uint64_t total = 0, begin = UINT64_MAX, end = 0;
    atomic_uint_fast64_t taken = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : total)
    {
        const unsigned char *mine = a->base + bytes * (uint64_t)thread_id();
        uint64_t at = places[thread_id()];
#pragma omp barrier
        const uint64_t start = clsa_now_ns();
        while (atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed) < pieces * threads) {
            if (at + once > bytes)
                at = 0;
            for (uint64_t i = 0; i < passes; i++)
                total += clsa_host_read(mine + at, once, ahead);
            at += once;
        }
        const uint64_t stop = clsa_now_ns();
        places[thread_id()] = at;
#pragma omp critical
        {
            begin = start < begin ? start : begin;
            end = stop > end ? stop : end;
        }
    }
    clsa_bench_sink += total;
    return (double)(end - begin);
}

bool clsa_bench_settles(const struct clsa_bench *b, uint64_t all_bytes)
{
    return all_bytes > b->last_bytes / 5 && all_bytes <= b->last_bytes;
}

/* Of a sample of a stream: bytes of one thread at a time (more than one pass over what is smaller than a piece), and how
 * often: for some 40 GB/s. */
static void read_pieces(uint64_t bytes, uint64_t *once, uint64_t *passes, uint64_t *pieces)
{
    *once = bytes < READ_PIECE ? bytes : READ_PIECE;
    *passes = READ_PIECE / *once;
    *pieces = (uint64_t)(SAMPLE_NS * 40 / READ_PIECE) + 1;
}

void clsa_bench_unsettled(struct clsa_bench *b, const struct clsa_area *a, const struct clsa_area *other, uint64_t bytes,
                          uint32_t threads)
{
    uint64_t once, passes, pieces, *places = clsa_calloc(threads, sizeof *places);
    double ns = 0, samples = 0;
    if (!places) {
        clsa_bench_out_of_memory(b);
        return;
    }
    read_pieces(bytes, &once, &passes, &pieces);
    clsa_bench_sink += clsa_host_read(other->base, other->bytes, false);
    for (; ns < UNSETTLED_NS; samples++)
        ns += read_once(a, bytes, threads, places, once, passes, pieces, true);
    free(places);
    const double rate = samples * (double)(once * passes * pieces * threads) / ns;
    clsa_bench_add(b, &(struct clsa_measured){"unsettled", threads, bytes, 0, a->page, rate, rate, rate, "GB/s"});
}

/* Plain loads and lines asked for ahead take turns; the faster way counts. Footprints that fill much of the last cache
 * are read until it holds what it will. */
void clsa_bench_read(struct clsa_bench *b, const struct clsa_area *a, uint64_t bytes, uint32_t threads)
{
    struct samples ways[2] = {samples_begin(b), samples_begin(b)};
    bool more = true;
    uint64_t once, passes, pieces, *places = clsa_calloc(threads, sizeof *places);
    if (!places) {
        clsa_bench_out_of_memory(b);
        return;
    }
    read_pieces(bytes, &once, &passes, &pieces);
    const uint64_t begin = clsa_now_ns();
    while (clsa_bench_settles(b, bytes * threads) && clsa_now_ns() - begin < CLSA_SETTLE_NS)
        read_once(a, bytes, threads, places, once, passes, pieces, false);
    for (uint64_t r = 0; more; r++)
        for (int ahead = 0; ahead < 2; ahead++) {
            const double ns = read_once(a, bytes, threads, places, once, passes, pieces, ahead);
            if (r) /* the first round warms caches and clocks */
                more = samples_add(b, &ways[ahead], ns);
        }
    free(places);
    note(b, (struct clsa_measured){"read", threads, bytes, 0, a->page, 0, 0, 0, "GB/s"},
         faster(&ways[0], &ways[1]), (double)(once * passes * pieces * threads), true);
}

/* Nanoseconds that all threads take to read parts of their own again which lay idle, at their rates added up. */
static double again_once(const struct clsa_area *a, uint64_t bytes, uint32_t threads, uint64_t wait_us, bool ahead)
{
    uint64_t total = 0;
    double rate = 0; /* parts a nanosecond */
#pragma omp parallel num_threads((int)threads) reduction(+ : total, rate)
    {
        const unsigned char *mine = a->base + bytes * (uint64_t)thread_id();
        total += clsa_host_read(mine, bytes, ahead) + clsa_host_read(mine, bytes, ahead);
#pragma omp barrier
        const uint64_t idle = clsa_now_ns();
        while (clsa_now_ns() - idle < wait_us * 1000)
            ;
        const uint64_t start = clsa_now_ns();
        total += clsa_host_read(mine, bytes, ahead);
        rate = 1 / (double)(clsa_now_ns() - start);
    }
    clsa_bench_sink += total;
    return threads / rate;
}

/* What others leave of a footprint in the last cache while it is not used. */
void clsa_bench_again(struct clsa_bench *b, const struct clsa_area *a, uint32_t threads, uint64_t wait_us,
                      uint32_t samples)
{
    struct samples ways[2] = {{.half = 1}, {.half = 1}};
    const uint64_t bytes = a->bytes / threads;
    for (int ahead = 0; ahead < 2; ahead++) {
        double ns[CLSA_BENCH_SAMPLES];
        for (uint32_t i = 0; i < samples; i++)
            ns[i] = again_once(a, bytes, threads, wait_us, ahead);
        /* The middle, not the best: how much others do is what is asked. */
        qsort(ns, samples, sizeof *ns, ascending);
        samples_add(b, &ways[ahead], ns[samples / 2]);
    }
    note(b, (struct clsa_measured){"again", threads, bytes, wait_us, a->page, 0, 0, 0, "GB/s"},
         faster(&ways[0], &ways[1]), (double)(bytes * threads), true);
}

/* Every thread but the first writes a part; the first reads them. */
void clsa_bench_handed(struct clsa_bench *b, uint32_t threads)
{
    struct samples s = samples_begin(b);
    unsigned char *parts = clsa_aligned(64, threads, HANDED_PART);
    uint64_t ns, total = 0;
    if (!parts) {
        clsa_bench_out_of_memory(b);
        return;
    }
    do {
        ns = 0;
        for (int i = 0; i < HANDED_TIMES; i++) {
#pragma omp parallel num_threads((int)threads)
            memset(parts + (size_t)thread_id() * HANDED_PART, i, HANDED_PART);
            const uint64_t start = clsa_now_ns();
            total += clsa_host_read(parts + HANDED_PART, (uint64_t)(threads - 1) * HANDED_PART, false);
            ns += clsa_now_ns() - start;
        }
    } while (samples_add(b, &s, (double)ns));
    clsa_bench_sink += total;
    free(parts);
    note(b, (struct clsa_measured){"handed", threads, HANDED_PART, 0, 0, 0, 0, 0, "GB/s"}, &s,
         (double)(threads - 1) * HANDED_PART * HANDED_TIMES, true);
}

void clsa_bench_once(struct clsa_bench *b, const struct clsa_area *a, uint64_t bytes)
{
    struct samples s = samples_begin(b);
    const uint64_t begin = clsa_now_ns();
    for (bool more = true; more;) {
        const uint64_t start = clsa_now_ns();
        clsa_bench_sink += clsa_host_read(a->base, bytes, true);
        const uint64_t stop = clsa_now_ns();
        for (unsigned i = 0; i < CLSA_OFTEN_TIMES; i++)
            clsa_bench_sink += clsa_host_read(a->base + bytes, a->bytes - bytes, true);
        if (start - begin > CLSA_SETTLE_NS)
            more = samples_add(b, &s, (double)(stop - start));
    }
    note(b, (struct clsa_measured){"once", 1, bytes, 0, a->page, 0, 0, 0, "GB/s"}, &s, (double)bytes, true);
}

/* Rows of a sample of one thread: some 4 GB/s. */
static size_t rows_of(uint64_t row_bytes, uint32_t threads)
{
    const uint64_t guess = (uint64_t)(SAMPLE_NS * 4) / row_bytes, most = CLSA_BENCH_ROWS / threads;
    return guess < 1024 ? 1024 : guess > most ? most : guess;
}

/* One sample, from the first's start to the last's end, as for streams. */
static double gather_once(struct clsa_bench *b, const struct clsa_area *a, uint64_t row_bytes, uint32_t threads,
                          bool fetch)
{
    const size_t rows = rows_of(row_bytes, threads);
    uint64_t total = 0, begin = UINT64_MAX, end = 0;
    for (size_t i = 0; i < rows * threads; i++)
        b->offsets[i] = clsa_rng_below(&b->rng, a->bytes / row_bytes) * row_bytes;
#pragma omp parallel num_threads((int)threads) reduction(+ : total)
    {
        const uint64_t *mine = b->offsets + rows * (size_t)thread_id();
#pragma omp barrier
        const uint64_t start = clsa_now_ns();
        total += clsa_host_gather(a->base, mine, rows, row_bytes, fetch ? AHEAD_ROWS : 0);
        const uint64_t stop = clsa_now_ns();
#pragma omp critical
        {
            begin = start < begin ? start : begin;
            end = stop > end ? stop : end;
        }
    }
    clsa_bench_sink += total;
    return (double)(end - begin);
}

void clsa_bench_gathers(struct clsa_bench *b, const struct clsa_area *a, const uint64_t *row_bytes, size_t n,
                        uint32_t threads, bool fetch)
{
    struct samples s[CLSA_BENCH_SIZES];
    bool more = true;
    for (size_t i = 0; i < n; i++)
        s[i] = samples_begin(b);
    while (more)
        for (size_t i = 0; i < n; i++)
            more = samples_add(b, &s[i], gather_once(b, a, row_bytes[i], threads, fetch));
    for (size_t i = 0; i < n && !b->status; i++)
        note(b, (struct clsa_measured){fetch ? "fetch" : "gather", threads, a->bytes, row_bytes[i], a->page,
                                       0, 0, 0, "GB/s"},
             &s[i], (double)(rows_of(row_bytes[i], threads) * threads * row_bytes[i]), true);
}

/* ---- arithmetic, clock, calls ---- */

/* Processor time of this thread: what other programs take of its core is not its speed. */
static double thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static float arithmetic(enum clsa_bench_arithmetic_kind kind, const uint16_t *data, uint64_t *flops)
{
    _Alignas(64) static const float x[2 * CLSA_MIXED_ROW];
    const uint64_t rounds = 50000;
    float sum = 0;
    if (kind == CLSA_BENCH_FMA)
        return clsa_host_fma(rounds, flops);
    if (kind == CLSA_BENCH_DOT_BF16)
        return clsa_host_dot_bf16(rounds, flops);
    for (uint64_t i = 0; i < rounds / 100; i++)
        sum += clsa_host_mixed(data, MIXED_VALUES, x);
    *flops = rounds / 100 * MIXED_VALUES * 2;
    return sum;
}

/* The rates of all threads, each over its own time, added up: who ends early takes over work in a kernel. */
void clsa_bench_arithmetic(struct clsa_bench *b, uint32_t threads, enum clsa_bench_arithmetic_kind kind)
{
    static const char *const names[] = {"fma_f32", "dot_bf16", "mixed"};
    struct samples s = samples_begin(b), apart = s, best = s, master = s;
    uint16_t *data = clsa_aligned(64, threads, MIXED_VALUES * sizeof *data);
    bool more = true;
    uint64_t flops = 0;
    if (!data) {
        clsa_bench_out_of_memory(b);
        return;
    }
    memset(data, 0, threads * MIXED_VALUES * sizeof *data);
    for (uint32_t r = 0; more; r++) {
        double keep = 0, rate = 0, slowest = INFINITY, fastest = 0, first = 0;
        flops = 0;
#pragma omp parallel num_threads((int)threads) reduction(+ : flops, keep, rate) reduction(min : slowest)                \
    reduction(max : fastest)
        {
            uint64_t mine;
            const double start = thread_ns();
            keep += arithmetic(kind, data + (size_t)thread_id() * MIXED_VALUES, &mine);
            const double own = (double)mine / (thread_ns() - start);
            rate += own;
            slowest = fastest = own;
            if (thread_id() == 0)
                first = own;
            flops += mine;
        }
        if (flops == 0)
            break;
        if (r) {
            more = samples_add(b, &s, (double)flops / rate);
            samples_add(b, &apart, rate / threads / slowest);
            samples_add(b, &best, 1 / fastest);
            samples_add(b, &master, rate / threads / first);
        }
        clsa_bench_sink += (uint64_t)keep;
    }
    free(data);
    if (flops)
        note(b, (struct clsa_measured){names[kind], threads, 0, 0, 0, 0, 0, 0, "GFLOP/s"}, &s,
             (double)flops, true);
    if (kind == CLSA_BENCH_MIXED && threads > 1) {
        note(b, (struct clsa_measured){"slowest", threads, 0, 0, 0, 0, 0, 0, "-"}, &apart, 1, true);
        note(b, (struct clsa_measured){"first", threads, 0, 0, 0, 0, 0, 0, "-"}, &master, 1, true);
        /* One of all may have its core to itself while the one that is timed alone does not. */
        note(b, (struct clsa_measured){"mixed", 1, 0, 0, 0, 0, 0, 0, "GFLOP/s"}, &best, 1, true);
    }
}

void clsa_bench_clock(struct clsa_bench *b, uint32_t threads)
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
        clsa_bench_sink += total;
    }
    note(b, (struct clsa_measured){"clock", threads, 0, 0, 0, 0, 0, 0, "GHz"}, &s, (double)adds, true);
}

struct link {
    _Alignas(64) volatile uint32_t next;
};

/* As a small op of a step has it: one thread writes the input and where it lies, every thread reads both and
 * writes results that lie side by side, one reads them. */
void clsa_bench_fork_join(struct clsa_bench *b, uint32_t threads)
{
    struct samples s = samples_begin(b);
    const int regions = 500;
    struct link links[LINKS + 1] = {{0}};
    float input[HANDED], *results = clsa_calloc(threads, RESULTS * sizeof *results);
    if (!results) {
        clsa_bench_out_of_memory(b);
        return;
    }
    uint64_t start;
    do {
        float total = 0;
        start = clsa_now_ns();
        for (int i = 0; i < regions; i++) {
            for (int j = 0; j < HANDED; j++)
                input[j] = total;
            for (uint32_t j = 0; j < LINKS; j++)
                links[j].next = j + 1;
#pragma omp parallel num_threads((int)threads)
            {
                const uint32_t unit = (uint32_t)thread_id();
                uint32_t at = 0;
                while (at < LINKS)
                    at = links[at].next;
                for (uint32_t j = 0; j < RESULTS; j++)
                    results[unit * RESULTS + j] = input[j + at] + input[HANDED - 1 - j];
            }
            for (uint32_t u = 0; u < threads; u++)
                total += results[u * RESULTS];
        }
        clsa_bench_sink += (uint64_t)total;
    } while (samples_add(b, &s, (double)(clsa_now_ns() - start)));
    free(results);
    note(b, (struct clsa_measured){"fork_join", threads, 0, 0, 0, 0, 0, 0, "us"}, &s, regions * 1e3,
         false);
}

void clsa_bench_call(struct clsa_bench *b)
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
