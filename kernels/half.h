/* half.h: single values between float32 and the storage types, for the reference and for tests. */
#ifndef CLSA_KERNELS_HALF_H
#define CLSA_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float clsa_float_of_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t clsa_bits_of_float(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float clsa_f32_of_bf16(uint16_t h)
{
    return clsa_float_of_bits((uint32_t)h << 16);
}

/* Round to nearest even; NaN becomes a quiet NaN of the same sign. */
static inline uint16_t clsa_bf16_of_f32(float f)
{
    uint32_t bits = clsa_bits_of_float(f);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float clsa_f32_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t rest = h & 0x7fffu;

    if (rest >= 0x7c00u) /* Inf, or NaN made quiet as the hardware does */
        return clsa_float_of_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13 |
                                  (rest > 0x7c00u ? 0x400000u : 0));
    if (rest < 0x400u) { /* zero or subnormal: rest * 2^-24 is exact */
        float f = (float)rest * 0x1p-24f;

        return sign ? -f : f;
    }
    return clsa_float_of_bits(sign | ((rest << 13) + 0x38000000u));
}

/* Round to nearest even, overflow to Inf, NaN becomes a quiet NaN. */
static inline uint16_t clsa_f16_of_f32(float f)
{
    uint32_t bits = clsa_bits_of_float(f);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t rest = bits & 0x7fffffffu;

    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u) /* 65520 and above round to Inf */
        return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u) { /* below 2^-14: adding 0.5 rounds at 2^-24, the subnormals' step */
        float sum = clsa_float_of_bits(rest) + 0.5f;

        return (uint16_t)(sign | (clsa_bits_of_float(sum) - 0x3f000000u));
    }
    rest += 0xfffu + (rest >> 13 & 1u);
    return (uint16_t)(sign | ((rest - 0x38000000u) >> 13));
}

/* e4m3 (the "fn" form: no Inf, 0x7f and 0xff are NaN, largest value 448). Scaling the code's bits,
 * placed at float32's exponent, by 2^120 gives normal and subnormal values alike, exactly. */
static inline float clsa_f32_of_e4m3(uint8_t c)
{
    uint32_t sign = (uint32_t)(c & 0x80u) << 24;
    uint32_t rest = c & 0x7fu;

    if (rest == 0x7fu)
        return clsa_float_of_bits(sign | 0x7fc00000u);
    return clsa_float_of_bits(sign | rest << 20) * 0x1p120f;
}

#endif
