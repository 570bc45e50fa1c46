/* Exact top-k. A sample's order statistic gives a threshold that a little more than k scores should
 * reach; one pass keeps the positions of those that do; bisection among these few finds the k-th
 * exactly. When the buffer fills (an unlucky sample, or many equal scores) it is cut back to its
 * best k and from then on only strictly larger scores enter: later equals would lose the tie. When
 * too few reach the threshold the pass is repeated with none. Both repairs keep the result exact,
 * so the sample decides time only. */
#include "kernels/x86/x86.h"

#include <limits.h>
#include <math.h>

enum {
    SAMPLE_GROUPS = 256, /* runs of 16 scores, evenly spread */
    SAMPLE = SAMPLE_GROUPS * 16,
    CHUNK = 512, /* scores between two looks at the room left */
    PAD = 64
};

/* Order-preserving int32 of a score: reals in order, -0 as +0, NaN highest. */
CLSA_INLINE vu keys_of(vf v)
{
#if defined(__AVX512F__)
    __m512i bits = _mm512_castps_si512(_mm512_add_ps(v, _mm512_setzero_ps()));
    __m512i flip = _mm512_srli_epi32(_mm512_srai_epi32(bits, 31), 1);

    return _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                                   _mm512_xor_si512(bits, flip), _mm512_set1_epi32(INT_MAX));
#else
    __m256i bits = _mm256_castps_si256(_mm256_add_ps(v, _mm256_setzero_ps()));
    __m256i flip = _mm256_srli_epi32(_mm256_srai_epi32(bits, 31), 1);

    return _mm256_blendv_epi8(_mm256_xor_si256(bits, flip), _mm256_set1_epi32(INT_MAX),
                              _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
#endif
}

CLSA_INLINE vu load_keys(const int32_t *p)
{
    return *(const vu *)(const void *)p; /* key arrays are aligned and padded */
}

CLSA_INLINE void store_ints(int32_t *p, vu v)
{
#if defined(__AVX512F__)
    _mm512_storeu_si512(p, v);
#else
    _mm256_storeu_si256((__m256i *)(void *)p, v);
#endif
}

CLSA_INLINE vu load_ints(const int32_t *p)
{
#if defined(__AVX512F__)
    return _mm512_loadu_si512(p);
#else
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
#endif
}

CLSA_INLINE vu ints(int32_t x)
{
#if defined(__AVX512F__)
    return _mm512_set1_epi32(x);
#else
    return _mm256_set1_epi32(x);
#endif
}

CLSA_INLINE vu gather_keys(const float *score, vu at)
{
#if defined(__AVX512F__)
    return keys_of(_mm512_i32gather_ps(at, score, 4));
#else
    return keys_of(_mm256_i32gather_ps(score, at, 4));
#endif
}

CLSA_INLINE unsigned greater(vu a, vu b)
{
#if defined(__AVX512F__)
    return _mm512_cmpgt_epi32_mask(a, b);
#else
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b)));
#endif
}

CLSA_INLINE unsigned equal(vu a, vu b)
{
#if defined(__AVX512F__)
    return _mm512_cmpeq_epi32_mask(a, b);
#else
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)));
#endif
}

/* Lanes not below t, or (strictly) not at most t: a NaN score always qualifies. */
CLSA_INLINE unsigned reaches(vf v, vf t, const int strictly)
{
#if defined(__AVX512F__)
    return strictly ? _mm512_cmp_ps_mask(v, t, _CMP_NLE_UQ) : _mm512_cmp_ps_mask(v, t, _CMP_NLT_UQ);
#else
    return (unsigned)_mm256_movemask_ps(strictly ? _mm256_cmp_ps(v, t, _CMP_NLE_UQ)
                                                 : _mm256_cmp_ps(v, t, _CMP_NLT_UQ));
#endif
}

struct work {
    const float *score;
    int32_t *key; /* keys of the candidates, aligned, VF_N beyond count writable */
    int32_t *at;  /* their positions, ascending */
    size_t count, room;
};

/* Appends base + i for every set bit i of mask, lowest first; returns the new end. Up to four
 * places beyond it may be written. A few set bits are the rule, and their number is hard to
 * predict: four are written whether there or not. */
CLSA_INLINE int32_t *append(int32_t *to, uint64_t mask, int32_t base)
{
    int32_t *end = to + __builtin_popcountll(mask);
    int i;

    CLSA_UNROLL
    for (i = 0; i < 4; i++) {
        to[i] = base + (int32_t)__builtin_ctzll(mask | (uint64_t)1 << 63);
        mask &= mask - 1;
    }
    for (to += 4; mask != 0; mask &= mask - 1)
        *to++ = base + __builtin_ctzll(mask);
    return end;
}

/* a + 1 in the lanes where key > low. */
CLSA_INLINE vu count_greater(vu a, vu key, vu low)
{
#if defined(__AVX512F__)
    return _mm512_mask_add_epi32(a, _mm512_cmpgt_epi32_mask(key, low), a, _mm512_set1_epi32(1));
#else
    return _mm256_sub_epi32(a, _mm256_cmpgt_epi32(key, low));
#endif
}

static size_t lanes_sum(vu a)
{
    int32_t lane[VF_N];
    size_t sum = 0, i;

    store_ints(lane, a);
    for (i = 0; i < VF_N; i++)
        sum += (size_t)lane[i];
    return sum;
}

static size_t count_at_least(const int32_t *key, size_t count, int32_t t)
{
    vu low = ints(t - 1), n0 = ints(0), n1 = ints(0); /* t > INT_MIN always */
    size_t i = 0;

    for (; i + VF_N < count; i += 2 * VF_N) {
        n0 = count_greater(n0, load_keys(key + i), low);
        n1 = count_greater(n1, load_keys(key + i + VF_N), low);
    }
    if (i < count)
        n0 = count_greater(n0, load_keys(key + i), low);
    return lanes_sum(n0) + lanes_sum(n1);
}

static void bounds(const int32_t *key, size_t count, int64_t *low, int64_t *high)
{
    vu least = ints(INT_MAX), most = ints(INT_MIN);
    int32_t a[VF_N], b[VF_N];
    size_t i;

    for (i = 0; i + VF_N <= count; i += VF_N) {
#if defined(__AVX512F__)
        least = _mm512_min_epi32(least, load_keys(key + i));
        most = _mm512_max_epi32(most, load_keys(key + i));
#else
        least = _mm256_min_epi32(least, load_keys(key + i));
        most = _mm256_max_epi32(most, load_keys(key + i));
#endif
    }
    store_ints(a, least);
    store_ints(b, most);
    *low = INT_MAX;
    *high = INT_MIN;
    for (i = count / VF_N * VF_N; i < count; i++) {
        *low = key[i] < *low ? key[i] : *low;
        *high = key[i] > *high ? key[i] : *high;
    }
    for (i = 0; i < VF_N; i++) {
        *low = a[i] < *low ? a[i] : *low;
        *high = b[i] > *high ? b[i] : *high;
    }
}

/* A t that at least r keys reach, and no more than r + slack unless equal keys forbid it, by
 * bisection between the least and the greatest key; *reach is how many do. 1 <= r <= count. Lanes
 * beyond count are set to INT_MIN, below every key. */
static int32_t order_statistic(int32_t *key, size_t count, size_t r, size_t slack, size_t *reach)
{
    int64_t low, high;
    size_t i, n = count;

    for (i = count; i % VF_N != 0; i++)
        key[i] = INT_MIN;
    bounds(key, count, &low, &high);
    while (low < high && n > r + slack) {
        int64_t middle = low + (high - low + 1) / 2;
        size_t above = count_at_least(key, count, (int32_t)middle);

        if (above >= r) {
            low = middle;
            n = above;
        } else {
            high = middle - 1;
        }
    }
    *reach = n;
    return (int32_t)low;
}

/* Keeps the best k of the candidates, ties by position, in `to` (which may be w->at), which holds
 * k. Returns a key that all of them reach and that no more than k others of this list exceed. */
static int32_t keep_best(struct work *w, size_t k, int32_t *to)
{
    size_t i, reach, ties;
    int32_t t, *end = to;
    vu tv;

    for (i = w->count; i % VF_N != 0; i++)
        w->at[i] = 0; /* a readable score; its key is replaced by INT_MIN */
    for (i = 0; i < w->count; i += VF_N)
        store_ints(w->key + i, gather_keys(w->score, load_ints(w->at + i)));
    t = order_statistic(w->key, w->count, k, 0, &reach);
    tv = ints(t);
    /* more than k reach t: then t is the k-th key itself, and only the first equals are taken */
    ties = reach == k ? k : k - (t == INT_MAX ? 0 : count_at_least(w->key, w->count, t + 1));
    for (i = 0; i < w->count; i += VF_N) {
        vu key = load_keys(w->key + i);
        unsigned same = equal(key, tv), chosen;

        if (ties == 0)
            same = 0;
        while ((size_t)__builtin_popcount(same) > ties)
            same &= ~(1u << (31 - __builtin_clz(same))); /* the highest position leaves */
        ties -= (size_t)__builtin_popcount(same);
        for (chosen = greater(key, tv) | same; chosen != 0; chosen &= chosen - 1)
            *end++ = w->at[i + (size_t)__builtin_ctz(chosen)];
    }
    w->count = k;
    return t;
}

CLSA_INLINE void scan(struct work *w, size_t from, size_t to, float threshold, const int strictly)
{
    int32_t *end = w->at + w->count;
    vf t = vf_set1(threshold);
    size_t i = from;

    for (; i + 64 <= to; i += 64) {
        uint64_t mask = 0;
        size_t c;

        CLSA_UNROLL
        for (c = 0; c < 64; c += VF_N)
            mask |= (uint64_t)reaches(vf_load(w->score + i + c), t, strictly) << c;
        end = append(end, mask, (int32_t)i);
    }
    for (; i < to; i++)
        if (strictly ? !(w->score[i] <= threshold) : !(w->score[i] < threshold))
            *end++ = (int32_t)i;
    w->count = (size_t)(end - w->at);
}

/* The float whose key is t; the highest keys (NaN) give +Inf, which NaN still passes. */
static float score_of(int32_t t)
{
    int32_t bits;
    float f;

    if (t > 0x7f800000)
        return INFINITY;
    bits = t ^ (int32_t)((uint32_t)(t >> 31) >> 1);
    memcpy(&f, &bits, sizeof f);
    return f;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Collects every score that can be among the best k; fewer than k when the threshold was too high.
 */
static void collect(struct work *w, size_t n, size_t k, float threshold)
{
    int strictly = 0;
    size_t i, to;

    w->count = 0;
    for (i = 0; i < n; i = to) {
        to = least(n, i + CHUNK);
        if (w->count + (to - i) > w->room) {
            int32_t t = keep_best(w, k, w->at);

            if (t == INT_MAX) /* k NaNs: nothing beats them */
                return;
            threshold = score_of(t);
            strictly = 1;
        }
        if (strictly)
            scan(w, i, to, threshold, 1);
        else
            scan(w, i, to, threshold, 0);
    }
}

/* A score that somewhat more than k of n should reach: the r-th largest of a sample, r four
 * standard deviations above the k * SAMPLE / n expected. */
static float sampled_threshold(const struct work *w, size_t n, size_t k)
{
    size_t g, i, stride = (n - 16) / (SAMPLE_GROUPS - 1);
    double expected = (double)k * SAMPLE / (double)n;
    size_t r = (size_t)(expected + 4 * sqrt(expected)) + 4, reach;

    for (g = 0; g < SAMPLE_GROUPS; g++)
        for (i = 0; i < 16; i += VF_N)
            store_ints(w->key + g * 16 + i, keys_of(vf_load(w->score + g * stride + i)));
    return score_of(order_statistic(w->key, SAMPLE, r, r / 8, &reach));
}

size_t clsa_x_topk(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    struct work w = {.score = score};
    size_t room;

    k = least(k, n);
    if (k == 0)
        return 0;
    room = least(n, 2 * k + 4096);
    /* scratch: keys of the candidates (or the sample), then positions */
    w.key = scratch;
    w.at = w.key + (room > SAMPLE ? room : SAMPLE) / PAD * PAD + 2 * PAD;
    w.room = room;
    if (n >= 4 * SAMPLE && k <= n / 8) {
        collect(&w, n, k, sampled_threshold(&w, n, k));
        if (w.count < k)
            collect(&w, n, k, -INFINITY);
    } else {
        collect(&w, n, k, -INFINITY);
    }
    keep_best(&w, k, out);
    return k;
}
