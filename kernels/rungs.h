/* rungs.h: the tables that the archives of each instruction set define (private to kernels/). */
#ifndef CLSA_KERNELS_RUNGS_H
#define CLSA_KERNELS_RUNGS_H

#include "kernels/kernels.h"

/* CLSA_KERNELS_X86 and CLSA_KERNELS_AVX512BF16 say which archives the build makes. */
#ifdef CLSA_KERNELS_X86
extern const struct clsa_kernels clsa_kernels_avx2;
extern const struct clsa_kernels clsa_kernels_avx512;
extern const struct clsa_kernels clsa_kernels_avx512bf16;

/* probe.h, per archive. */
float clsa_x_probe_read_avx2(const void *p, size_t bytes);
float clsa_x_probe_read_avx512(const void *p, size_t bytes);
float clsa_x_probe_fma_avx2(size_t rounds, double *flops);
float clsa_x_probe_fma_avx512(size_t rounds, double *flops);
#endif
extern const struct clsa_kernels clsa_kernels_ref;

#endif
