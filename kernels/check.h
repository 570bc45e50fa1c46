/* check.h: holds every kernel of a table against the reference, and times those that pass.
 *
 * Each kernel is called over many shapes (0, 1, odd tails, long), with unaligned pointers, padded
 * strides, guard zones around and between its outputs, poisoned outputs, NaN around its inputs, and
 * special values inside. Errors are judged by the bounds that kernels.h derives. Everything random
 * comes from one seed.
 */
#ifndef CLSA_KERNELS_CHECK_H
#define CLSA_KERNELS_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* The kernels by name, in the order of the table: "rmsnorm", "head-norm", "rope", "silu-mul",
 * "softmax", "embed", "add", "gemm", "to-f32", "from-f32", "attn-dense", "attn-sparse",
 * "attn-combine", "attn-window", "attn-prefill", "attn-sparse-prefill", "attn-mla", "index-score",
 * "index-score-heads", "topk". NULL beyond the last. */
const char *clsa_check_kernel_name(size_t i);

/* One kernel of one table. */
struct clsa_check_result {
    const char *kernel, *rung;
    uint64_t seed;
    size_t cases;      /* calls made */
    size_t values;     /* outputs compared */
    size_t failures;   /* calls that failed in any way */
    double worst;      /* largest error / bound met; <= 1 when passed; 0 where results are exact */
    char message[240]; /* the first failure; "" when passed */
};

/* One timing: the median of several runs of one shape, one thread unless threads says more. */
struct clsa_check_timing {
    const char *kernel, *rung;
    char shape[96];
    int threads;
    double ns;           /* of a call */
    double bytes, flops; /* of a call, from traffic.h */
    double gbps, gflops; /* reached */
    double stream_gbps;  /* streaming read of the same number of threads, same run */
    double peak_gflops;  /* float32 multiply-add peak of the same rung, same run */
};

struct clsa_check_sink {
    void *ctx;
    void (*result)(void *ctx, const struct clsa_check_result *result);
    void (*timing)(void *ctx, const struct clsa_check_timing *timing); /* NULL: no timing */
};

struct clsa_check_options {
    const char *kernel; /* NULL: all */
    const char *rung;   /* NULL: every rung available here */
    uint64_t seed;
    int bench; /* also time what passed */
    int quick; /* fewer random shapes, for unit tests */
};

/* Runs; returns the number of (kernel, rung) that failed, or -1 when the kernel or rung named does
 * not exist (or is not available here), or memory is short. */
int clsa_check_run(const struct clsa_check_options *options, const struct clsa_check_sink *sink);

/* Holds one kernel of any table (a faulty one, a plugin's) against the reference. Slots of the
 * table that the kernel does not use are not called. Returns 0 when it passed, 1 when it failed, -1
 * as above. *result is filled unless -1. */
int clsa_check_kernel(const char *kernel, const struct clsa_kernels *subject, uint64_t seed,
                      int quick, struct clsa_check_result *result);

/* Times one kernel of a table at its standard shapes. stream_gbps and peak_gflops are copied into
 * the timings. Returns 0, or -1 when the kernel is unknown or memory is short. */
int clsa_check_time(const char *kernel, const struct clsa_kernels *subject, double stream_gbps,
                    double peak_gflops, const struct clsa_check_sink *sink);

#endif
