/* vec.h: one vocabulary for 8 and 16 float32 lanes, so that one source serves the avx2 and avx512
 * rungs: the archive's flags choose. Private to kernels/x86.
 *
 * Names: clsa_x_NAME is renamed per archive (CLSA_ISA), vf is a vector of VF_N floats, vf_*_n takes
 * the first n < VF_N lanes and zeros (loads) or leaves (stores) the rest without touching them. */
#ifndef CLSA_KERNELS_VEC_H
#define CLSA_KERNELS_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

#define CLSA_CAT_(a, b) a##_##b
#define CLSA_CAT(a, b) CLSA_CAT_(a, b)
#if defined(__AVX512BF16__)
#define CLSA_ISA(name) CLSA_CAT(name, avx512bf16)
#elif defined(__AVX512F__)
#define CLSA_ISA(name) CLSA_CAT(name, avx512)
#else
#define CLSA_ISA(name) CLSA_CAT(name, avx2)
#endif

#if defined(__clang__)
#define CLSA_UNROLL _Pragma("clang loop unroll(full)")
#define CLSA_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define CLSA_UNROLL _Pragma("GCC unroll 16")
#define CLSA_ROLLED _Pragma("GCC unroll 1")
#endif

#define CLSA_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)

enum { VF_N = 16 };
typedef __m512 vf;
typedef __m512i vu; /* VF_N uint32 */

CLSA_INLINE __mmask16 vf_first(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

CLSA_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}

CLSA_INLINE vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}

CLSA_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

CLSA_INLINE vf vf_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(vf_first(n), p);
}

CLSA_INLINE void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

CLSA_INLINE void vf_store_n(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, vf_first(n), v);
}

CLSA_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

CLSA_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

CLSA_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

CLSA_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

CLSA_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

CLSA_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* The second operand when either is NaN, as the instruction does. */
CLSA_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

CLSA_INLINE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}

/* a where x < 0, else b. */
CLSA_INLINE vf vf_if_negative(vf x, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), b, a);
}

/* Lanes low .. high-1 of a, `fill` in the others. */
CLSA_INLINE vf vf_between(vf a, size_t low, size_t high, float fill)
{
    __mmask16 in = high >= VF_N ? (__mmask16)0xffff : vf_first(high);

    in &= low >= VF_N ? 0 : (__mmask16)~vf_first(low);
    return _mm512_mask_blend_ps(in, _mm512_set1_ps(fill), a);
}

CLSA_INLINE int vf_any_nan(vf a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0;
}

CLSA_INLINE vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* a * 2^n for integral n: any n, right through the subnormals. */
CLSA_INLINE vf vf_ldexp(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}

CLSA_INLINE vf vf_load_bf16(const void *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));

    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

CLSA_INLINE vf vf_load_bf16_n(const void *p, size_t n)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(vf_first(n), p));

    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* 2 VF_N bfloat16 values: those at even places and those at odd places. Cheaper than widening in
 * order, because nothing moves between lanes. */
CLSA_INLINE void vf_pair(__m512i v, vf *even, vf *odd)
{
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000u)));
}

CLSA_INLINE void vf_load_pair(const void *p, vf *even, vf *odd)
{
    vf_pair(_mm512_loadu_si512(p), even, odd);
}

CLSA_INLINE void vf_load_pair_n(const void *p, size_t n, vf *even, vf *odd)
{
    vf_pair(_mm512_maskz_loadu_epi16((__mmask32)((1ull << n) - 1), p), even, odd);
}

/* 2 VF_N floats a, b in order to even and odd places, and back. */
CLSA_INLINE void vf_split(vf a, vf b, vf *even, vf *odd)
{
    __m512i at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);

    *even = _mm512_permutex2var_ps(a, at, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(at, _mm512_set1_epi32(1)), b);
}

CLSA_INLINE void vf_join(vf even, vf odd, vf *a, vf *b)
{
    __m512i at = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);

    *a = _mm512_permutex2var_ps(even, at, odd);
    *b = _mm512_permutex2var_ps(even, _mm512_add_epi32(at, _mm512_set1_epi32(8)), odd);
}

CLSA_INLINE vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

CLSA_INLINE vf vf_load_f16_n(const void *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(vf_first(n), p));
}

/* VF_N e4m3 codes, see clsa_f32_of_e4m3. */
CLSA_INLINE vf vf_load_e4m3(const void *p)
{
    __m512i c = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    __m512i rest = _mm512_and_si512(c, _mm512_set1_epi32(0x7f));
    __m512i sign = _mm512_slli_epi32(_mm512_srli_epi32(c, 7), 31);
    __mmask16 nan = _mm512_cmpeq_epi32_mask(rest, _mm512_set1_epi32(0x7f));
    __m512i bits = _mm512_or_si512(sign, _mm512_slli_epi32(rest, 20));
    vf value = _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0x1p120f));

    return _mm512_mask_blend_ps(nan, value, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)));
}

CLSA_INLINE void vf_store_bf16(void *p, vf v)
{
    __m512i b = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(b, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i quiet = _mm512_or_si512(b, _mm512_set1_epi32(0x400000));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    __m512i r = _mm512_srli_epi32(_mm512_mask_blend_epi32(nan, up, quiet), 16);

    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(r));
}

CLSA_INLINE void vf_store_f16(void *p, vf v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

/* Folds a vector to 8 lanes: lane l + lane l + 8. */
CLSA_INLINE __m256 vf_fold(vf a)
{
    return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}

CLSA_INLINE float vf_max_lane(vf a)
{
    return _mm512_reduce_max_ps(a);
}

#else /* AVX2 */

enum { VF_N = 8 };
typedef __m256 vf;
typedef __m256i vu;

CLSA_INLINE __m256i vf_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

CLSA_INLINE vf vf_zero(void)
{
    return _mm256_setzero_ps();
}

CLSA_INLINE vf vf_set1(float x)
{
    return _mm256_set1_ps(x);
}

CLSA_INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

CLSA_INLINE vf vf_load_n(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, vf_first(n));
}

CLSA_INLINE void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

CLSA_INLINE void vf_store_n(float *p, vf v, size_t n)
{
    _mm256_maskstore_ps(p, vf_first(n), v);
}

CLSA_INLINE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}

CLSA_INLINE vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

CLSA_INLINE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

CLSA_INLINE vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

CLSA_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

CLSA_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

CLSA_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

CLSA_INLINE vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

CLSA_INLINE vf vf_if_negative(vf x, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}

CLSA_INLINE vf vf_between(vf a, size_t low, size_t high, float fill)
{
    __m256i in = vf_first(high < VF_N ? high : VF_N);

    in = _mm256_andnot_si256(vf_first(low < VF_N ? low : VF_N), in);
    return _mm256_blendv_ps(_mm256_set1_ps(fill), a, _mm256_castsi256_ps(in));
}

CLSA_INLINE int vf_any_nan(vf a)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) != 0;
}

CLSA_INLINE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* In two factors of 2^(n/2), each in range when n is within -252 .. 252, so that results round into
 * the subnormals once. */
CLSA_INLINE vf vf_ldexp(vf a, vf n)
{
    __m256i whole, low, high;

    n = _mm256_min_ps(_mm256_set1_ps(252), _mm256_max_ps(_mm256_set1_ps(-252), n));
    whole = _mm256_cvtps_epi32(n);
    low = _mm256_srai_epi32(whole, 1);
    high = _mm256_sub_epi32(whole, low);
    low = _mm256_slli_epi32(_mm256_add_epi32(low, _mm256_set1_epi32(127)), 23);
    high = _mm256_slli_epi32(_mm256_add_epi32(high, _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high));
}

CLSA_INLINE vf vf_load_bf16(const void *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));

    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

CLSA_INLINE __m128i vf_load_half_n(const void *p, size_t n)
{
    uint16_t lanes[8] = {0};

    memcpy(lanes, p, 2 * n);
    return _mm_loadu_si128((const __m128i *)lanes);
}

CLSA_INLINE vf vf_load_bf16_n(const void *p, size_t n)
{
    __m256i wide = _mm256_cvtepu16_epi32(vf_load_half_n(p, n));

    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

CLSA_INLINE void vf_pair(__m256i v, vf *even, vf *odd)
{
    *even = _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
    *odd = _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000u)));
}

CLSA_INLINE void vf_load_pair(const void *p, vf *even, vf *odd)
{
    vf_pair(_mm256_loadu_si256((const __m256i *)p), even, odd);
}

CLSA_INLINE void vf_load_pair_n(const void *p, size_t n, vf *even, vf *odd)
{
    uint16_t lanes[16] = {0};

    memcpy(lanes, p, 2 * n);
    vf_load_pair(lanes, even, odd);
}

CLSA_INLINE void vf_split(vf a, vf b, vf *even, vf *odd)
{
    __m256d e = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    __m256d o = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd));

    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(e, 0xd8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(o, 0xd8));
}

CLSA_INLINE void vf_join(vf even, vf odd, vf *a, vf *b)
{
    vf low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);

    *a = _mm256_permute2f128_ps(low, high, 0x20);
    *b = _mm256_permute2f128_ps(low, high, 0x31);
}

CLSA_INLINE vf vf_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

CLSA_INLINE vf vf_load_f16_n(const void *p, size_t n)
{
    return _mm256_cvtph_ps(vf_load_half_n(p, n));
}

CLSA_INLINE vf vf_load_e4m3(const void *p)
{
    __m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    __m256i rest = _mm256_and_si256(c, _mm256_set1_epi32(0x7f));
    __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(c, 7), 31);
    __m256i nan = _mm256_cmpeq_epi32(rest, _mm256_set1_epi32(0x7f));
    __m256i bits = _mm256_or_si256(sign, _mm256_slli_epi32(rest, 20));
    vf value = _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0x1p120f));

    return _mm256_blendv_ps(value, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)),
                            _mm256_castsi256_ps(nan));
}

CLSA_INLINE void vf_store_bf16(void *p, vf v)
{
    __m256i b = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(b, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(b, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    __m256i r = _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, nan), 16);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);

    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(packed));
}

CLSA_INLINE void vf_store_f16(void *p, vf v)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

CLSA_INLINE __m256 vf_fold(vf a)
{
    return a;
}

CLSA_INLINE float vf_max_lane(vf a)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    return _mm_cvtss_f32(m);
}

#endif

/* Sums of four vectors. The tree of additions is the same for each and the same as vf_sum's: folded
 * to 8 lanes, then within each quarter of 4 lanes (0 + 2) + (1 + 3), then the two quarters. */
CLSA_INLINE __m128 vf_sum4(vf a, vf b, vf c, vf d)
{
    __m256 a8 = vf_fold(a), b8 = vf_fold(b), c8 = vf_fold(c), d8 = vf_fold(d);
    __m256 ab = _mm256_add_ps(_mm256_shuffle_ps(a8, b8, 0x44), _mm256_shuffle_ps(a8, b8, 0xee));
    __m256 cd = _mm256_add_ps(_mm256_shuffle_ps(c8, d8, 0x44), _mm256_shuffle_ps(c8, d8, 0xee));
    __m256 q = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x88), _mm256_shuffle_ps(ab, cd, 0xdd));

    return _mm_add_ps(_mm256_castps256_ps128(q), _mm256_extractf128_ps(q, 1));
}

#if defined(__AVX512F__)
/* vf_sum4 of a[0..3] and of b[0..3] side by side: the same tree, fewer instructions. */
CLSA_INLINE void vf_sum4_two(const vf *a, const vf *b, __m128 *sum_a, __m128 *sum_b)
{
    vf f[4], ab, cd, q;
    int i;

    CLSA_UNROLL
    for (i = 0; i < 4; i++)
        f[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[i], b[i], 0x44),
                             _mm512_shuffle_f32x4(a[i], b[i], 0xee));
    ab = _mm512_add_ps(_mm512_shuffle_ps(f[0], f[1], 0x44), _mm512_shuffle_ps(f[0], f[1], 0xee));
    cd = _mm512_add_ps(_mm512_shuffle_ps(f[2], f[3], 0x44), _mm512_shuffle_ps(f[2], f[3], 0xee));
    q = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x88), _mm512_shuffle_ps(ab, cd, 0xdd));
    q = _mm512_add_ps(q, _mm512_shuffle_f32x4(q, q, 0xb1));
    *sum_a = _mm512_castps512_ps128(q);
    *sum_b = _mm512_extractf32x4_ps(q, 2);
}
#endif

CLSA_INLINE float vf_sum(vf a)
{
    return _mm_cvtss_f32(vf_sum4(a, vf_zero(), vf_zero(), vf_zero()));
}

CLSA_INLINE vf vf_load_as(const char *row, enum clsa_kernel_dtype dtype, size_t i)
{
    switch (dtype) {
    case CLSA_KERNEL_F32:
        return vf_load((const float *)(const void *)(row + 4 * i));
    case CLSA_KERNEL_BF16:
        return vf_load_bf16(row + 2 * i);
    default:
        return vf_load_f16(row + 2 * i);
    }
}

CLSA_INLINE vf vf_load_as_n(const char *row, enum clsa_kernel_dtype dtype, size_t i, size_t n)
{
    switch (dtype) {
    case CLSA_KERNEL_F32:
        return vf_load_n((const float *)(const void *)(row + 4 * i), n);
    case CLSA_KERNEL_BF16:
        return vf_load_bf16_n(row + 2 * i, n);
    default:
        return vf_load_f16_n(row + 2 * i, n);
    }
}

/* exp(x) to within 2 units in the last place: x = n ln2 + r with |r| <= ln2 / 2, ln2 in two parts
 * so that r is good to one rounding, and the Taylor polynomial of degree 7 (first term left out:
 * r^8 / 8! < 5.2e-9 of a value near 1, below a tenth of an ulp). Above 89 Inf, below -105 zero,
 * both by way of 2^n; NaN stays NaN (min and max return their second operand then). */
CLSA_INLINE vf vf_exp(vf x)
{
    vf n, r, p;

#if defined(__AVX512F__)
    x = _mm512_min_ps(vf_set1(128), _mm512_max_ps(vf_set1(-150), x));
#else
    x = _mm256_min_ps(vf_set1(128), _mm256_max_ps(vf_set1(-150), x));
#endif
    n = vf_round(vf_mul(x, vf_set1(1.44269504089f)));
    r = vf_fnma(n, vf_set1(0x1.62e4p-1f), x);    /* 15 bits of ln2: n * it is exact */
    r = vf_fnma(n, vf_set1(0x1.7f7d1cp-20f), r); /* the rest */
    p = vf_set1(1.0f / 5040);
    p = vf_fma(p, r, vf_set1(1.0f / 720));
    p = vf_fma(p, r, vf_set1(1.0f / 120));
    p = vf_fma(p, r, vf_set1(1.0f / 24));
    p = vf_fma(p, r, vf_set1(1.0f / 6));
    p = vf_fma(p, r, vf_set1(0.5f));
    p = vf_fma(p, r, vf_set1(1));
    p = vf_fma(p, r, vf_set1(1));
    return vf_ldexp(p, n);
}

#endif
