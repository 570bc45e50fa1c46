#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#ifdef CLSA_KERNELS_X86
#include <cpuid.h>
#endif

#include "kernels/rungs.h"

static const char *const rung_names[CLSA_RUNG_COUNT] = {"ref", "avx2", "avx512", "avx512-bf16"};

const char *clsa_rung_name(enum clsa_rung rung)
{
    return (unsigned)rung < CLSA_RUNG_COUNT ? rung_names[rung] : "unknown";
}

#ifdef CLSA_KERNELS_X86
/* Not every compiler knows this one by name. CPUID leaf 1, ECX bit 29. */
static int has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1) != 0;
}
#endif

const struct clsa_kernels *clsa_kernels_get(enum clsa_rung rung)
{
    switch (rung) {
    case CLSA_RUNG_REF:
        return &clsa_kernels_ref;
#ifdef CLSA_KERNELS_X86
    /* __builtin_cpu_supports asks cpuid and, for the vector states, whether the system saves them.
     */
    case CLSA_RUNG_AVX2:
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
            return &clsa_kernels_avx2;
        return NULL;
    case CLSA_RUNG_AVX512:
    case CLSA_RUNG_AVX512_BF16:
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
            !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
            !__builtin_cpu_supports("fma"))
            return NULL;
        if (rung == CLSA_RUNG_AVX512)
            return &clsa_kernels_avx512;
#ifdef CLSA_KERNELS_AVX512BF16
        if (__builtin_cpu_supports("avx512bf16"))
            return &clsa_kernels_avx512bf16;
#endif
        return NULL;
#endif
    default:
        return NULL;
    }
}

const struct clsa_kernels *clsa_kernels_best(void)
{
    int rung;

    for (rung = CLSA_RUNG_AVX512; rung > CLSA_RUNG_REF; rung--) {
        const struct clsa_kernels *kernels = clsa_kernels_get((enum clsa_rung)rung);

        if (kernels != NULL)
            return kernels;
    }
    return clsa_kernels_get(CLSA_RUNG_REF);
}

const struct clsa_kernels *clsa_kernels_by_name(const char *name)
{
    int rung;

    if (strcmp(name, "best") == 0)
        return clsa_kernels_best();
    for (rung = 0; rung < CLSA_RUNG_COUNT; rung++)
        if (strcmp(name, rung_names[rung]) == 0)
            return clsa_kernels_get((enum clsa_rung)rung);
    return NULL;
}

size_t clsa_kernel_row_bytes(enum clsa_kernel_dtype dtype, size_t n)
{
    switch (dtype) {
    case CLSA_KERNEL_F32:
        return n * 4;
    case CLSA_KERNEL_MLA_FP8:
        return CLSA_MLA_FP8_BYTES;
    default:
        return n * 2;
    }
}

const char *clsa_kernel_dtype_name(enum clsa_kernel_dtype dtype)
{
    static const char *const names[CLSA_KERNEL_DTYPE_COUNT] = {"f32", "bf16", "f16", "mla-fp8"};

    return (unsigned)dtype < CLSA_KERNEL_DTYPE_COUNT ? names[dtype] : "unknown";
}

size_t clsa_topk_scratch_bytes(size_t n, size_t k)
{
    (void)k;
    /* keys (or a sample of 4096) and positions of up to n candidates with a vector's overhang; the
     * reference sorts n keys */
    return (2 * (n + 256) + 4096) * sizeof(uint32_t);
}

void clsa_rope_table(float *cos_table, float *sin_table, const int32_t *position, size_t tokens,
                     size_t d, double base)
{
    size_t half = d / 2, t, i;

    for (i = 0; i < half; i++) {
        double frequency = pow(base, -2.0 * (double)i / (double)d);

        for (t = 0; t < tokens; t++) {
            double angle = (double)position[t] * frequency;

            cos_table[t * half + i] = (float)cos(angle);
            sin_table[t * half + i] = (float)sin(angle);
        }
    }
}
