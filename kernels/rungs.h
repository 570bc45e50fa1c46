/* rungs.h: the tables that the archives of each instruction set define (private to kernels/). */
#ifndef CLSA_KERNELS_RUNGS_H
#define CLSA_KERNELS_RUNGS_H

#include "kernels/kernels.h"

#if defined(__x86_64__) && !defined(CLSA_KERNELS_REF_ONLY)
#define CLSA_HAVE_X86 1
extern const struct clsa_kernels clsa_kernels_avx2;
extern const struct clsa_kernels clsa_kernels_avx512;
extern const struct clsa_kernels clsa_kernels_avx512bf16;
#endif
extern const struct clsa_kernels clsa_kernels_ref;

#endif
