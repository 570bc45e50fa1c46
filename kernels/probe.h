/* probe.h: what this machine can do at most with a rung's instructions, measured: the scale that
 * timings of kernels are read against. */
#ifndef CLSA_KERNELS_PROBE_H
#define CLSA_KERNELS_PROBE_H

#include <stddef.h>

#include "kernels/kernels.h"

/* Seconds since some fixed moment (CLOCK_MONOTONIC). */
double clsa_probe_seconds(void);

/* Reads all bytes once with full-width loads into registers (a sum that is returned so that the
 * loads stay). Unavailable rungs take the reference's. */
float clsa_probe_read(enum clsa_rung rung, const void *p, size_t bytes);

/* Independent float32 multiply-adds at full width: `rounds` rounds; returns how many flops that
 * was. */
double clsa_probe_fma(enum clsa_rung rung, size_t rounds);

/* Streaming read rate in GB/s (10^9) of `threads` OpenMP threads together, each over its own 256
 * MiB: the best of five passes. Returns 0, or -1 when there is no memory. */
int clsa_probe_stream(enum clsa_rung rung, int threads, double *gbps);

/* float32 multiply-add rate in GFLOP/s of `threads` threads together: the best of five rounds. */
double clsa_probe_peak(enum clsa_rung rung, int threads);

#endif
