/* What a cache does to sixteen ways at once, with SSE2 (part of every x86-64) and in plain C
 * with the same results. `tags` are 16 x uint32, `ages` 16 x uint8: 0 is the most recent way,
 * CLSA_AGE_PAD marks lanes beyond the last way. Ages are below 64, so signed byte compares are
 * safe. */
#ifndef CLSA_HWMODELS_CACHE_LANES_H
#define CLSA_HWMODELS_CACHE_LANES_H

#include <stdint.h>

#define CLSA_LANES 16
#define CLSA_AGE_PAD 127

/* Lanes of a mask; the compiler's own is a library call where popcnt is not assumed. */
static inline unsigned clsa_lanes_count(unsigned mask)
{
    mask = (mask & 0x5555u) + (mask >> 1 & 0x5555u);
    mask = (mask & 0x3333u) + (mask >> 2 & 0x3333u);
    mask = (mask + (mask >> 4)) & 0x0f0fu;
    return (mask + (mask >> 8)) & 0xffu;
}

/* Bit w: tags[w] == tag. */
static inline unsigned clsa_plain_match(const uint32_t *tags, uint32_t tag)
{
    unsigned m = 0;
    for (unsigned w = 0; w < CLSA_LANES; w++)
        m |= (unsigned)(tags[w] == tag) << w;
    return m;
}

/* Bit w: first <= tags[w] < first + count, count > 0. */
static inline unsigned clsa_plain_range(const uint32_t *tags, uint32_t first, uint32_t count)
{
    unsigned m = 0;
    for (unsigned w = 0; w < CLSA_LANES; w++)
        m |= (unsigned)((uint32_t)(tags[w] - first) < count) << w;
    return m;
}

/* Bit w: ages[w] == age. */
static inline unsigned clsa_plain_aged(const uint8_t *ages, uint8_t age)
{
    unsigned m = 0;
    for (unsigned w = 0; w < CLSA_LANES; w++)
        m |= (unsigned)(ages[w] == age) << w;
    return m;
}

/* Bit w: age <= ages[w] < CLSA_AGE_PAD. */
static inline unsigned clsa_plain_older(const uint8_t *ages, uint8_t age)
{
    unsigned m = 0;
    for (unsigned w = 0; w < CLSA_LANES; w++)
        m |= (unsigned)(ages[w] >= age && ages[w] != CLSA_AGE_PAD) << w;
    return m;
}

/* Ways younger than `age` grow one older. */
static inline void clsa_plain_push(uint8_t *ages, uint8_t age)
{
    for (unsigned w = 0; w < CLSA_LANES; w++)
        ages[w] = (uint8_t)(ages[w] + (ages[w] < age));
}

/* What a cold stream of lines with tags ..., last - 1, last does to a set of `ways` ways: ages turn
 * by `turn` (= lines mod ways), ways whose old age is >= `from` take the tag last - new age and
 * `flags`. */
static inline void clsa_plain_turn(uint32_t *tags, uint8_t *ages, uint8_t *flags, uint8_t ways,
                                   uint8_t turn, uint8_t from, uint32_t last, uint8_t fresh)
{
    for (unsigned w = 0; w < CLSA_LANES; w++) {
        if (ages[w] == CLSA_AGE_PAD)
            continue;
        const uint8_t age = (uint8_t)((ages[w] + turn) % ways);
        if (ages[w] >= from) {
            tags[w] = last - age;
            flags[w] = fresh;
        }
        ages[w] = age;
    }
}

/* Bit w: flags[w] & mask is not 0. */
static inline unsigned clsa_plain_any(const uint8_t *flags, uint8_t mask)
{
    unsigned m = 0;
    for (unsigned w = 0; w < CLSA_LANES; w++)
        m |= (unsigned)((flags[w] & mask) != 0) << w;
    return m;
}

/* Bit w: flags[w] has all of mask. */
static inline unsigned clsa_plain_all(const uint8_t *flags, uint8_t mask)
{
    unsigned m = 0;
    for (unsigned w = 0; w < CLSA_LANES; w++)
        m |= (unsigned)((flags[w] & mask) == mask) << w;
    return m;
}

/* What a stream of lines with tags first, first + 1, ... does to a set that holds them all, in the
 * lanes of `there`: they become the youngest, the last line at age 0, and the others, pushed by
 * those that were older, keep their order. */
static inline void clsa_plain_rewarm(const uint32_t *tags, uint8_t *ages, uint32_t first,
                                     unsigned there)
{
    const uint8_t last = (uint8_t)(clsa_lanes_count(there) - 1);
    uint8_t next[CLSA_LANES];
    for (unsigned w = 0; w < CLSA_LANES; w++) {
        next[w] = ages[w];
        if (there >> w & 1)
            next[w] = (uint8_t)(last - (uint8_t)(tags[w] - first));
        else if (ages[w] != CLSA_AGE_PAD)
            for (unsigned v = 0; v < CLSA_LANES; v++)
                next[w] = (uint8_t)(next[w] + ((there >> v & 1) && ages[v] > ages[w]));
    }
    for (unsigned w = 0; w < CLSA_LANES; w++)
        ages[w] = next[w];
}

#ifdef __SSE2__
#include <emmintrin.h>

static inline __m128i clsa_sse2_pack(__m128i a, __m128i b, __m128i c, __m128i d)
{
    return _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
}

static inline unsigned clsa_sse2_match(const uint32_t *tags, uint32_t tag)
{
    const __m128i *t = (const __m128i *)(const void *)tags;
    const __m128i v = _mm_set1_epi32((int)tag);
    return (unsigned)_mm_movemask_epi8(clsa_sse2_pack(
        _mm_cmpeq_epi32(_mm_load_si128(t), v), _mm_cmpeq_epi32(_mm_load_si128(t + 1), v),
        _mm_cmpeq_epi32(_mm_load_si128(t + 2), v), _mm_cmpeq_epi32(_mm_load_si128(t + 3), v)));
}

static inline __m128i clsa_sse2_within(const __m128i *tags, __m128i first, __m128i end)
{
    /* unsigned x < count is signed x - 2^31 < count - 2^31 */
    const __m128i x = _mm_sub_epi32(_mm_load_si128(tags), first);
    return _mm_cmplt_epi32(_mm_xor_si128(x, _mm_set1_epi32(INT32_MIN)), end);
}

static inline unsigned clsa_sse2_range(const uint32_t *tags, uint32_t first, uint32_t count)
{
    const __m128i *t = (const __m128i *)(const void *)tags;
    const __m128i low = _mm_set1_epi32((int)first);
    const __m128i end = _mm_set1_epi32((int)(count ^ 0x80000000u));
    return (unsigned)_mm_movemask_epi8(
        clsa_sse2_pack(clsa_sse2_within(t, low, end), clsa_sse2_within(t + 1, low, end),
                       clsa_sse2_within(t + 2, low, end), clsa_sse2_within(t + 3, low, end)));
}

static inline unsigned clsa_sse2_aged(const uint8_t *ages, uint8_t age)
{
    const __m128i a = _mm_load_si128((const __m128i *)(const void *)ages);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, _mm_set1_epi8((char)age)));
}

static inline unsigned clsa_sse2_older(const uint8_t *ages, uint8_t age)
{
    const __m128i a = _mm_load_si128((const __m128i *)(const void *)ages);
    const __m128i pad = _mm_cmpeq_epi8(a, _mm_set1_epi8(CLSA_AGE_PAD));
    const __m128i young = _mm_cmplt_epi8(a, _mm_set1_epi8((char)age));
    return 0xffffu & ~(unsigned)_mm_movemask_epi8(_mm_or_si128(pad, young));
}

static inline void clsa_sse2_push(uint8_t *ages, uint8_t age)
{
    __m128i *p = (__m128i *)(void *)ages;
    const __m128i a = _mm_load_si128(p);
    _mm_store_si128(p, _mm_sub_epi8(a, _mm_cmplt_epi8(a, _mm_set1_epi8((char)age))));
}

static inline void clsa_sse2_retag(__m128i *tags, __m128i last, __m128i age, __m128i keep)
{
    _mm_store_si128(tags, _mm_or_si128(_mm_and_si128(keep, _mm_load_si128(tags)),
                                       _mm_andnot_si128(keep, _mm_sub_epi32(last, age))));
}

static inline void clsa_sse2_turn(uint32_t *tags, uint8_t *ages, uint8_t *flags, uint8_t ways,
                                  uint8_t turn, uint8_t from, uint32_t last, uint8_t fresh)
{
    __m128i *tp = (__m128i *)(void *)tags, *ap = (__m128i *)(void *)ages;
    __m128i *fp = (__m128i *)(void *)flags;
    const __m128i a = _mm_load_si128(ap), zero = _mm_setzero_si128();
    const __m128i pad = _mm_cmpeq_epi8(a, _mm_set1_epi8(CLSA_AGE_PAD));
    const __m128i keep = _mm_or_si128(pad, _mm_cmplt_epi8(a, _mm_set1_epi8((char)from)));
    __m128i n = _mm_add_epi8(a, _mm_set1_epi8((char)turn));
    const __m128i wrap = _mm_cmpgt_epi8(n, _mm_set1_epi8((char)(ways - 1)));
    n = _mm_sub_epi8(n, _mm_and_si128(wrap, _mm_set1_epi8((char)ways)));
    n = _mm_or_si128(_mm_andnot_si128(pad, n), _mm_and_si128(pad, a));
    _mm_store_si128(ap, n);
    _mm_store_si128(fp, _mm_or_si128(_mm_and_si128(keep, _mm_load_si128(fp)),
                                     _mm_andnot_si128(keep, _mm_set1_epi8((char)fresh))));
    const __m128i l = _mm_set1_epi32((int)last);
    const __m128i n0 = _mm_unpacklo_epi8(n, zero), n1 = _mm_unpackhi_epi8(n, zero);
    const __m128i k0 = _mm_unpacklo_epi8(keep, keep), k1 = _mm_unpackhi_epi8(keep, keep);
    clsa_sse2_retag(tp, l, _mm_unpacklo_epi16(n0, zero), _mm_unpacklo_epi16(k0, k0));
    clsa_sse2_retag(tp + 1, l, _mm_unpackhi_epi16(n0, zero), _mm_unpackhi_epi16(k0, k0));
    clsa_sse2_retag(tp + 2, l, _mm_unpacklo_epi16(n1, zero), _mm_unpacklo_epi16(k1, k1));
    clsa_sse2_retag(tp + 3, l, _mm_unpackhi_epi16(n1, zero), _mm_unpackhi_epi16(k1, k1));
}

static inline unsigned clsa_sse2_any(const uint8_t *flags, uint8_t mask)
{
    const __m128i f = _mm_and_si128(_mm_load_si128((const __m128i *)(const void *)flags),
                                    _mm_set1_epi8((char)mask));
    return 0xffffu & ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(f, _mm_setzero_si128()));
}

static inline unsigned clsa_sse2_all(const uint8_t *flags, uint8_t mask)
{
    const __m128i m = _mm_set1_epi8((char)mask);
    const __m128i f = _mm_and_si128(_mm_load_si128((const __m128i *)(const void *)flags), m);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(f, m));
}

static inline void clsa_sse2_rewarm(const uint32_t *tags, uint8_t *ages, uint32_t first,
                                    unsigned there)
{
    const __m128i *t = (const __m128i *)(const void *)tags;
    const __m128i base = _mm_set1_epi32((int)first), old = _mm_load_si128((__m128i *)(void *)ages);
    const __m128i last = _mm_set1_epi8((char)(clsa_lanes_count(there) - 1));
    /* places in the stream as bytes; lanes outside it saturate and are not used */
    const __m128i place =
        _mm_packus_epi16(_mm_packs_epi32(_mm_sub_epi32(_mm_load_si128(t), base),
                                         _mm_sub_epi32(_mm_load_si128(t + 1), base)),
                         _mm_packs_epi32(_mm_sub_epi32(_mm_load_si128(t + 2), base),
                                         _mm_sub_epi32(_mm_load_si128(t + 3), base)));
    uint8_t was[CLSA_LANES];
    _mm_storeu_si128((__m128i *)(void *)was, old);
    _mm_store_si128((__m128i *)(void *)ages, _mm_sub_epi8(last, place));
    const unsigned pads =
        (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(old, _mm_set1_epi8(CLSA_AGE_PAD)));
    for (unsigned m = 0xffffu & ~there; m; m &= m - 1) {
        const unsigned w = (unsigned)__builtin_ctz(m);
        const unsigned older =
            (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(old, _mm_set1_epi8((char)was[w])));
        ages[w] = pads >> w & 1 ? CLSA_AGE_PAD
                                : (uint8_t)(was[w] + clsa_lanes_count(older & there));
    }
}

#define clsa_lanes_match clsa_sse2_match
#define clsa_lanes_range clsa_sse2_range
#define clsa_lanes_aged clsa_sse2_aged
#define clsa_lanes_older clsa_sse2_older
#define clsa_lanes_push clsa_sse2_push
#define clsa_lanes_any clsa_sse2_any
#define clsa_lanes_all clsa_sse2_all
#define clsa_lanes_rewarm clsa_sse2_rewarm
#define clsa_lanes_turn clsa_sse2_turn
#else
#define clsa_lanes_match clsa_plain_match
#define clsa_lanes_range clsa_plain_range
#define clsa_lanes_aged clsa_plain_aged
#define clsa_lanes_older clsa_plain_older
#define clsa_lanes_push clsa_plain_push
#define clsa_lanes_any clsa_plain_any
#define clsa_lanes_all clsa_plain_all
#define clsa_lanes_rewarm clsa_plain_rewarm
#define clsa_lanes_turn clsa_plain_turn
#endif

#endif
