#include "kernels/probe.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/rungs.h"

enum { PASSES = 5, PEAK_ROUNDS = 2000000 };
static const size_t stream_bytes = (size_t)256 << 20;

/* Keeps measured work from being dropped. */
static volatile float sink;

double clsa_probe_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float read_plain(const void *p, size_t bytes)
{
    const char *at = p;
    uint64_t sum[4] = {0, 0, 0, 0}, word;
    size_t i, j;

    for (i = 0; i + 32 <= bytes; i += 32)
        for (j = 0; j < 4; j++) {
            memcpy(&word, at + i + 8 * j, sizeof word);
            sum[j] += word;
        }
    return (float)(sum[0] ^ sum[1] ^ sum[2] ^ sum[3]);
}

static float fma_plain(size_t rounds, double *flops)
{
    float a[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    size_t i, j;

    for (i = 0; i < rounds; i++)
        for (j = 0; j < 8; j++)
            a[j] = a[j] * 0.999f + 0.5f;
    *flops = (double)rounds * 16;
    return a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
}

float clsa_probe_read(enum clsa_rung rung, const void *p, size_t bytes)
{
#ifdef CLSA_KERNELS_X86
    if (clsa_kernels_get(rung) != NULL && rung == CLSA_RUNG_AVX2)
        return clsa_x_probe_read_avx2(p, bytes);
    if (clsa_kernels_get(rung) != NULL && rung != CLSA_RUNG_REF)
        return clsa_x_probe_read_avx512(p, bytes);
#else
    (void)rung;
#endif
    return read_plain(p, bytes);
}

double clsa_probe_fma(enum clsa_rung rung, size_t rounds)
{
    double flops;

#ifdef CLSA_KERNELS_X86
    if (clsa_kernels_get(rung) != NULL && rung == CLSA_RUNG_AVX2) {
        sink = clsa_x_probe_fma_avx2(rounds, &flops);
        return flops;
    }
    if (clsa_kernels_get(rung) != NULL && rung != CLSA_RUNG_REF) {
        sink = clsa_x_probe_fma_avx512(rounds, &flops);
        return flops;
    }
#else
    (void)rung;
#endif
    sink = fma_plain(rounds, &flops);
    return flops;
}

int clsa_probe_stream(enum clsa_rung rung, int threads, double *gbps)
{
    size_t total = stream_bytes * (size_t)threads;
    char *memory = aligned_alloc(4096, total);
    int pass;

    if (memory == NULL)
        return -1;
        /* each thread touches its own part first, so that pages lie near it */
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; t++)
        memset(memory + (size_t)t * stream_bytes, t + 1, stream_bytes);
    *gbps = 0;
    for (pass = 0; pass < PASSES; pass++) {
        double start = clsa_probe_seconds(), rate;

#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++)
            sink = clsa_probe_read(rung, memory + (size_t)t * stream_bytes, stream_bytes);
        rate = (double)total / (clsa_probe_seconds() - start) * 1e-9;
        *gbps = rate > *gbps ? rate : *gbps;
    }
    free(memory);
    return 0;
}

double clsa_probe_peak(enum clsa_rung rung, int threads)
{
    double best = 0;
    int pass;

    for (pass = 0; pass < PASSES; pass++) {
        double flops = 0, start = clsa_probe_seconds(), rate;

#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : flops)
        for (int t = 0; t < threads; t++)
            flops += clsa_probe_fma(rung, PEAK_ROUNDS);
        rate = flops / (clsa_probe_seconds() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}
