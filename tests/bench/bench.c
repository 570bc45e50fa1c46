#include "tests/bench/bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kernels/probe.h"

enum { TURNS_MAX = 2000, TURNS_MIN = 5 };

static int missed;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct bench_pair bench_compare(struct bench_side a, struct bench_side b, double seconds)
{
    static double ratio[TURNS_MAX];
    struct bench_pair p = {1e30, 1e30, 0};
    double start;
    int turns = 0;

    a.run(a.ctx);
    b.run(b.ctx);
    start = clsa_probe_seconds();
    while (turns < TURNS_MAX && (turns < TURNS_MIN || clsa_probe_seconds() - start < seconds)) {
        double t0 = clsa_probe_seconds(), t1, t2;

        a.run(a.ctx);
        t1 = clsa_probe_seconds();
        b.run(b.ctx);
        t2 = clsa_probe_seconds();
        p.a_seconds = fmin(p.a_seconds, t1 - t0);
        p.b_seconds = fmin(p.b_seconds, t2 - t1);
        ratio[turns++] = (t2 - t1) / (t1 - t0);
    }
    qsort(ratio, (size_t)turns, sizeof *ratio, ascending);
    p.ratio = ratio[turns / 2];
    return p;
}

float bench_normal(unsigned long long *state)
{
    double u[2];
    int i;

    for (i = 0; i < 2; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        u[i] = (double)(*state >> 11) * 0x1p-53;
    }
    return (float)(sqrt(-2 * log(1 - u[0])) * cos(6.283185307179586 * u[1]));
}

void *bench_memory(size_t bytes)
{
    size_t huge = (size_t)2 << 20;
    void *p = aligned_alloc(huge, (bytes + huge - 1) / huge * huge);

    if (p == NULL) {
        fprintf(stderr, "bench: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

void bench_report(const char *name, double ratio, double goal, const char *format, ...)
{
    char detail[256];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    printf("%-34s %7.3f  %s %.2f  %s\n", name, ratio, ratio >= goal ? ">=" : "< !", goal, detail);
    fflush(stdout);
    missed |= ratio < goal;
}

int bench_status(void)
{
    return missed;
}
