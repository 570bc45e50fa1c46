#include "hwmodels/measure_kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#define WITH(isa) __attribute__((target(isa)))
#endif

const void *clsa_host_chase(const void *node, uint64_t hops)
{
    const void *p = node;
    for (uint64_t i = 0; i < hops; i += 8) {
        /* unrolled, so that the loop itself costs nothing beside a load's latency */
        p = *(const void *const *)p;
        p = *(const void *const *)p;
        p = *(const void *const *)p;
        p = *(const void *const *)p;
        p = *(const void *const *)p;
        p = *(const void *const *)p;
        p = *(const void *const *)p;
        p = *(const void *const *)p;
    }
    return p;
}

uint64_t clsa_host_chain(uint64_t adds)
{
    uint64_t x = adds;
    for (uint64_t i = 0; i < adds; i += 16) {
        /* the empty asm keeps the adds apart and in order */
#define ADD                                                                                        \
    x += i;                                                                                        \
    __asm__ volatile("" : "+r"(x));
        ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD
#undef ADD
    }
    return x;
}

__attribute__((noinline)) void clsa_host_call(void)
{
    __asm__ volatile("");
}

static uint64_t read_plain(const void *data, uint64_t bytes)
{
    const uint64_t *p = data;
    uint64_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (uint64_t i = 0; i < bytes / 8; i += 4) {
        s0 += p[i];
        s1 += p[i + 1];
        s2 += p[i + 2];
        s3 += p[i + 3];
    }
    return s0 + s1 + s2 + s3;
}

/* Bytes between a line's prefetch and its use; and of a stretch, whose first line an instruction of its own loads
 * (kernels/x86/tile.h says why). */
enum { READ_AHEAD = 6144, READ_STRETCH = 4096 };

/* A line is read by LINE(sum, p). */
#define READ_AHEAD_LOOP(name, attribute, vector, zero, line, reduce)                               \
    attribute static uint64_t name(const void *data, uint64_t bytes)                              \
    {                                                                                              \
        vector s0 = zero, s1 = zero;                                                               \
        for (uint64_t from = 0; from < bytes; from += READ_STRETCH) {                              \
            const uint64_t end = bytes - from < READ_STRETCH ? bytes - from : READ_STRETCH;        \
            const unsigned char *p = (const unsigned char *)data + from;                           \
            __builtin_prefetch(p + READ_AHEAD, 0, 3);                                              \
            s0 = line(s0, p);                                                                      \
            _Pragma("GCC unroll 1") for (uint64_t at = 64; at < end; at += 64)                     \
            {                                                                                      \
                __builtin_prefetch(p + READ_AHEAD + at, 0, 3);                                     \
                s1 = line(s1, p + at);                                                             \
            }                                                                                      \
        }                                                                                          \
        return reduce(s0) + reduce(s1);                                                            \
    }

static inline uint64_t line_plain(uint64_t sum, const unsigned char *p)
{
    uint64_t w[8];
    memcpy(w, p, sizeof w);
    return sum + w[0] + w[1] + w[2] + w[3] + w[4] + w[5] + w[6] + w[7];
}

#define WHOLE(sum) (sum)
READ_AHEAD_LOOP(read_ahead_plain, , uint64_t, 0, line_plain, WHOLE)

/* Eight accumulators hide a multiply-add's latency of 4 cycles at two a cycle. */
static float mixed_plain(const void *data, uint64_t n_values, const float *x)
{
    const uint16_t *values = data;
    float sum[4] = {0};
    for (uint64_t i = 0; i < n_values; i++) {
        const uint32_t bits = (uint32_t)values[i] << 16;
        float f;
        memcpy(&f, &bits, sizeof f);
        sum[i % 4] += f * x[i % (2 * CLSA_MIXED_ROW)];
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static float fma_plain(uint64_t rounds, uint64_t *flops)
{
    float a[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (uint64_t i = 0; i < rounds; i++)
        for (int j = 0; j < 8; j++) {
            a[j] = a[j] * 0.5f + 1.0f;
            __asm__ volatile("" : "+m"(a[j]));
        }
    *flops = rounds * 8 * 2;
    return a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
}

#if defined(__x86_64__)

WITH("avx2") static uint64_t read_avx2(const void *data, uint64_t bytes)
{
    const __m256i *p = data;
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    for (uint64_t i = 0; i < bytes / 32; i += 4) {
        s0 = _mm256_add_epi64(s0, _mm256_loadu_si256(p + i));
        s1 = _mm256_add_epi64(s1, _mm256_loadu_si256(p + i + 1));
        s2 = _mm256_add_epi64(s2, _mm256_loadu_si256(p + i + 2));
        s3 = _mm256_add_epi64(s3, _mm256_loadu_si256(p + i + 3));
    }
    uint64_t lanes[4];
    s0 = _mm256_add_epi64(_mm256_add_epi64(s0, s1), _mm256_add_epi64(s2, s3));
    memcpy(lanes, &s0, sizeof lanes);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

/* Wraps round like the sums of lanes before it; the intrinsic's own sum is a signed one. */
WITH("avx512f") static uint64_t sum_avx512(__m512i sum)
{
    uint64_t lanes[8], total = 0;
    memcpy(lanes, &sum, sizeof lanes);
    for (int i = 0; i < 8; i++)
        total += lanes[i];
    return total;
}

WITH("avx512f") static uint64_t read_avx512(const void *data, uint64_t bytes)
{
    const __m512i *p = data;
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (uint64_t i = 0; i < bytes / 64; i += 4) {
        s0 = _mm512_add_epi64(s0, _mm512_loadu_si512(p + i));
        s1 = _mm512_add_epi64(s1, _mm512_loadu_si512(p + i + 1));
        s2 = _mm512_add_epi64(s2, _mm512_loadu_si512(p + i + 2));
        s3 = _mm512_add_epi64(s3, _mm512_loadu_si512(p + i + 3));
    }
    s0 = _mm512_add_epi64(_mm512_add_epi64(s0, s1), _mm512_add_epi64(s2, s3));
    return sum_avx512(s0);
}

WITH("avx2") static inline __m256i line_avx2(__m256i sum, const unsigned char *p)
{
    const __m256i *v = (const __m256i *)(const void *)p;
    return _mm256_add_epi64(sum, _mm256_add_epi64(_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)));
}

WITH("avx2") static inline uint64_t sum_avx2(__m256i sum)
{
    uint64_t lanes[4];
    memcpy(lanes, &sum, sizeof lanes);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

WITH("avx512f") static inline __m512i line_avx512(__m512i sum, const unsigned char *p)
{
    return _mm512_add_epi64(sum, _mm512_loadu_si512((const void *)p));
}

READ_AHEAD_LOOP(read_ahead_avx2, WITH("avx2"), __m256i, _mm256_setzero_si256(), line_avx2, sum_avx2)
READ_AHEAD_LOOP(read_ahead_avx512, WITH("avx512f"), __m512i, _mm512_setzero_si512(), line_avx512,
                sum_avx512)

#define FMA_ROUND(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)

WITH("avx2,fma") static float fma_avx2(uint64_t rounds, uint64_t *flops)
{
    const __m256 half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1.0f);
    __m256 a[12];
    for (int j = 0; j < 12; j++)
        a[j] = _mm256_set1_ps((float)j);
    for (uint64_t i = 0; i < rounds; i++) {
#define STEP(j) a[j] = _mm256_fmadd_ps(a[j], half, one);
        FMA_ROUND(STEP)
#undef STEP
    }
    for (int j = 1; j < 12; j++)
        a[0] = _mm256_add_ps(a[0], a[j]);
    *flops = rounds * 12 * 8 * 2;
    return _mm256_cvtss_f32(a[0]);
}

WITH("avx512f") static float fma_avx512(uint64_t rounds, uint64_t *flops)
{
    const __m512 half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1.0f);
    __m512 a[12];
    for (int j = 0; j < 12; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (uint64_t i = 0; i < rounds; i++) {
#define STEP(j) a[j] = _mm512_fmadd_ps(a[j], half, one);
        FMA_ROUND(STEP)
#undef STEP
    }
    for (int j = 1; j < 12; j++)
        a[0] = _mm512_add_ps(a[0], a[j]);
    *flops = rounds * 12 * 16 * 2;
    return _mm512_cvtss_f32(a[0]);
}

WITH("avx512f,avx512bf16") static float dot_avx512(uint64_t rounds, uint64_t *flops)
{
    __m512 a[12];
    const __m512i ones = _mm512_set1_epi32(0x3f803f80);
    __m512bh one;
    memcpy(&one, &ones, sizeof one);
    for (int j = 0; j < 12; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (uint64_t i = 0; i < rounds; i++) {
#define STEP(j) a[j] = _mm512_dpbf16_ps(a[j], one, one);
        FMA_ROUND(STEP)
#undef STEP
    }
    for (int j = 1; j < 12; j++)
        a[0] = _mm512_add_ps(a[0], a[j]);
    *flops = rounds * 12 * 32 * 2;
    return _mm512_cvtss_f32(a[0]);
}

/* Each row's products in one chain of sums, rows one after another: as many instructions at once as the processor
 * takes. A vector of bfloat16 is two of float32: values at odd places lie in the upper halves, those at even places
 * are shifted there. */
#define MIXED(name, attribute, vector, zero, load, shift, mask, as_float, fma, add, loadx, bytes)             \
    attribute static float name(const unsigned char *p, uint64_t n_values, const float *x)                    \
    {                                                                                                         \
        vector all = zero;                                                                                    \
        float lane[16] = {0}, sum = 0;                                                                        \
        for (uint64_t row = 0; row < 2 * n_values; row += 2 * CLSA_MIXED_ROW) {                               \
            const float *mine = x + (row & 2 * CLSA_MIXED_ROW) / 2; /* not to be kept in registers */         \
            vector acc = zero;                                                                                \
            _Pragma("GCC unroll 1")                                                                           \
            for (uint64_t at = 0; at < 2 * CLSA_MIXED_ROW; at += bytes) {                                     \
                acc = fma(as_float(shift(load(p + row + at), 16)), loadx(mine + at / 2), acc);                \
                acc = fma(as_float(mask(load(p + row + at))), loadx(mine + at / 2 + bytes / 4), acc);         \
            }                                                                                                 \
            all = add(all, acc);                                                                              \
        }                                                                                                     \
        memcpy(lane, &all, sizeof all);                                                                       \
        for (int j = 0; j < 16; j++)                                                                          \
            sum += lane[j];                                                                                   \
        return sum;                                                                                           \
    }
#define LOAD256(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define LOAD512(p) _mm512_loadu_si512((const void *)(p))
#define MASK256(v) _mm256_and_si256(v, _mm256_set1_epi32(-65536))
#define MASK512(v) _mm512_and_si512(v, _mm512_set1_epi32(-65536))
MIXED(mixed_avx2, WITH("avx2,fma"), __m256, _mm256_setzero_ps(), LOAD256, _mm256_slli_epi32, MASK256,
      _mm256_castsi256_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_loadu_ps, 32)
MIXED(mixed_avx512, WITH("avx512f"), __m512, _mm512_setzero_ps(), LOAD512, _mm512_slli_epi32, MASK512,
      _mm512_castsi512_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_loadu_ps, 64)

float clsa_host_mixed(const void *data, uint64_t n_values, const float *x)
{
    if (__builtin_cpu_supports("avx512f"))
        return mixed_avx512(data, n_values, x);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return mixed_avx2(data, n_values, x);
    return mixed_plain(data, n_values, x);
}

uint64_t clsa_host_read(const void *data, uint64_t bytes, bool ahead)
{
    if (__builtin_cpu_supports("avx512f"))
        return ahead ? read_ahead_avx512(data, bytes) : read_avx512(data, bytes);
    if (__builtin_cpu_supports("avx2"))
        return ahead ? read_ahead_avx2(data, bytes) : read_avx2(data, bytes);
    return ahead ? read_ahead_plain(data, bytes) : read_plain(data, bytes);
}

float clsa_host_fma(uint64_t rounds, uint64_t *flops)
{
    if (__builtin_cpu_supports("avx512f"))
        return fma_avx512(rounds, flops);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return fma_avx2(rounds, flops);
    return fma_plain(rounds, flops);
}

float clsa_host_dot_bf16(uint64_t rounds, uint64_t *flops)
{
    *flops = 0;
    return __builtin_cpu_supports("avx512bf16") ? dot_avx512(rounds, flops) : 0;
}

#else

float clsa_host_mixed(const void *data, uint64_t n_values, const float *x)
{
    return mixed_plain(data, n_values, x);
}

uint64_t clsa_host_read(const void *data, uint64_t bytes, bool ahead)
{
    return ahead ? read_ahead_plain(data, bytes) : read_plain(data, bytes);
}

float clsa_host_fma(uint64_t rounds, uint64_t *flops)
{
    return fma_plain(rounds, flops);
}

float clsa_host_dot_bf16(uint64_t rounds, uint64_t *flops)
{
    (void)rounds;
    *flops = 0;
    return 0;
}

#endif

/* Asks for a row into L2, which can wait for more lines at once than L1 (kernels/x86/attention.h). */
static inline void ask(const unsigned char *row, uint64_t row_bytes)
{
    for (uint64_t at = 0; at < row_bytes; at += 64)
        __builtin_prefetch(row + at, 0, 2);
}

/* Rows of whole lines; the loads of a line are the widest there are, so that the reorder window spans
 * many rows and the number of outstanding lines is what limits. */
#define GATHER(name, attribute, vector, zero, add, load, lanes)                                    \
    attribute static uint64_t name(const unsigned char *base, const uint64_t *offsets,            \
                                   size_t rows, uint64_t row_bytes, size_t ahead)                  \
    {                                                                                              \
        vector s0 = zero, s1 = zero;                                                               \
        uint64_t lane[8] = {0};                                                                    \
        for (size_t i = 0; i < ahead && i < rows; i++)                                             \
            ask(base + offsets[i], row_bytes);                                                     \
        for (size_t i = 0; i < rows; i++) {                                                        \
            if (ahead && i + ahead < rows)                                                         \
                ask(base + offsets[i + ahead], row_bytes);                                         \
            const unsigned char *row = base + offsets[i];                                          \
            for (uint64_t at = 0; at < row_bytes; at += 64) {                                      \
                s0 = add(s0, load(row + at));                                                      \
                if (lanes < 8)                                                                     \
                    s1 = add(s1, load(row + at + 32));                                             \
            }                                                                                      \
        }                                                                                          \
        s0 = add(s0, s1);                                                                          \
        memcpy(lane, &s0, sizeof s0);                                                              \
        return lane[0] + lane[1] + lane[2] + lane[3] + lane[4] + lane[5] + lane[6] + lane[7];      \
    }

/* Two 16-byte words a step: what plain C reads a line with. */
struct words {
    uint64_t a[4];
};

static inline struct words words_add(struct words x, struct words y)
{
    return (struct words){{x.a[0] + y.a[0], x.a[1] + y.a[1], x.a[2] + y.a[2], x.a[3] + y.a[3]}};
}

static inline struct words words_load(const unsigned char *p)
{
    struct words w;
    memcpy(&w, p, sizeof w);
    return w;
}

GATHER(gather_plain, , struct words, (struct words){{0}}, words_add, words_load, 4)

#if defined(__x86_64__)
GATHER(gather_avx2, WITH("avx2"), __m256i, _mm256_setzero_si256(), _mm256_add_epi64, LOAD256, 4)
GATHER(gather_avx512, WITH("avx512f"), __m512i, _mm512_setzero_si512(), _mm512_add_epi64, LOAD512,
       8)
#endif

uint64_t clsa_host_gather(const void *base, const uint64_t *offsets, size_t rows,
                          uint64_t row_bytes, size_t ahead)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return gather_avx512(base, offsets, rows, row_bytes, ahead);
    if (__builtin_cpu_supports("avx2"))
        return gather_avx2(base, offsets, rows, row_bytes, ahead);
#endif
    return gather_plain(base, offsets, rows, row_bytes, ahead);
}

/* The first number of a file with its K or M, or -1. */
static double number_in(const char *path)
{
    char unit = 0;
    double value = -1;
    FILE *f = fopen(path, "r");
    if (!f)
        return -1;
    if (fscanf(f, "%lf%c", &value, &unit) < 1)
        value = -1;
    fclose(f);
    return unit == 'K' ? value * 1024 : unit == 'M' ? value * 1048576 : value;
}

/* AMD's last cache belongs to eight cores and has 32 MiB (Zen 3 to Zen 5 without stacked cache: Processor
 * Programming References of families 19h and 1Ah); what its oldest leaf of CPUID tells is all of the package's. */
#define AMD_LAST_BYTES (32 << 20)

/* sysfs knows the caches of this processor; sysconf may add up those of others. */
double clsa_host_cache(int level, const char *name, int fallback)
{
    for (int i = 0; i < 8; i++) {
        char path[128], type[32] = "";
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        FILE *f = fopen(path, "r");
        if (!f)
            break;
        const bool code = fscanf(f, "%31s", type) == 1 && strcmp(type, "Instruction") == 0;
        fclose(f);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        if (code || number_in(path) != level)
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", i, name);
        return fmax(0, number_in(path));
    }
    double told = fmax(0, (double)sysconf(fallback));
#if defined(__x86_64__)
    if (level == 3 && strcmp(name, "size") == 0 && __builtin_cpu_is("amd"))
        told = fmin(told, AMD_LAST_BYTES);
#endif
    return told;
}

unsigned clsa_host_sharers(void)
{
    unsigned count = 0, from, to;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list", "r");
    if (!f)
        return 0;
    /* "0-7,64-71" */
    while (fscanf(f, "%u", &from) == 1) {
        const int next = fgetc(f);
        to = from;
        if (next == '-' && fscanf(f, "%u", &to) == 1)
            fgetc(f);
        count += to >= from ? to - from + 1 : 0;
    }
    fclose(f);
    return count;
}

unsigned clsa_host_cores(void)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (unsigned)cores : 1;
}

bool clsa_host_huge_pages(void)
{
    char word[64] = "";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    const bool huge = f && fgets(word, sizeof word, f) && !strstr(word, "[never]");
    if (f)
        fclose(f);
    return huge;
}

bool clsa_host_golden_cove(void)
{
#if defined(__x86_64__)
    /* Intel's cores before it lack half precision (Intel 64 and IA-32 SDM, CPUID leaf 7: EDX bit 23). */
    unsigned a, b, c, d = 0;
    return __builtin_cpu_is("intel") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 23 & 1;
#else
    return false;
#endif
}

bool clsa_host_translation(uint32_t *entries, uint32_t *walkers)
{
#if defined(__x86_64__)
    /* Software Optimization Guides of the AMD families 17h (Zen 2: 2048), 19h (Zen 3: 2048, Zen 4: 3072;
     * 6 walkers) and 1Ah (Zen 5: 4096); Intel 64 and IA-32 Optimization Reference Manual: 2048 entries since
     * Sunny Cove with 2 walkers, 4 since Golden Cove. */
    if (__builtin_cpu_is("amd")) {
        *entries = __builtin_cpu_supports("avx512vp2intersect") ? 4096
                   : __builtin_cpu_supports("avx512bf16")       ? 3072
                                                                : 2048;
        *walkers = 6;
        return true;
    }
    if (__builtin_cpu_is("intel")) {
        *entries = __builtin_cpu_supports("avx512f") ? 2048 : 1536;
        *walkers = clsa_host_golden_cove() ? 4 : 2;
        return true;
    }
#endif
    (void)entries;
    (void)walkers;
    return false;
}
