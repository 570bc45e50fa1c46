#include "sim/routing/overlap.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/status.h"

/* First index in b[from..m) that is not below x, by doubling steps and then halving them. */
static size_t gallop(const uint32_t *b, size_t from, size_t m, uint32_t x)
{
    size_t step = 1, lo = from, hi = from;
    while (hi < m && b[hi] < x) {
        lo = hi + 1;
        hi = m - hi > step ? hi + step : m;
        step *= 2;
    }
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (b[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t clsa_overlap_count(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
    size_t count = 0, j = 0;
    if (n > m)
        return clsa_overlap_count(b, m, a, n);
    if (m / 16 > n) {
        for (size_t i = 0; i < n && j < m; i++) {
            j = gallop(b, j, m, a[i]);
            count += j < m && b[j] == a[i];
        }
        return count;
    }
    for (size_t i = 0; i < n && j < m;) {
        count += a[i] == b[j];
        const uint32_t x = a[i], y = b[j];
        i += x <= y;
        j += y <= x;
    }
    return count;
}

static float rank(float score)
{
    return isnan(score) ? -INFINITY : score;
}

static int descending(const void *a, const void *b)
{
    const float x = rank(*(const float *)a), y = rank(*(const float *)b);
    return x > y ? -1 : x < y;
}

int clsa_cut_find(const float *scores, size_t keys, size_t k, struct clsa_cut *out)
{
    assert(k <= keys);
    struct clsa_cut cut = {.threshold = INFINITY};
    if (k) {
        float *sorted = clsa_malloc(keys, sizeof *sorted);
        if (!sorted)
            return CLSA_ENOMEM;
        memcpy(sorted, scores, keys * sizeof *sorted);
        qsort(sorted, keys, sizeof *sorted, descending);
        cut.threshold = rank(sorted[k - 1]);
        free(sorted);
        for (size_t i = 0; i < keys; i++) {
            cut.above += rank(scores[i]) > cut.threshold;
            cut.tied += rank(scores[i]) == cut.threshold;
        }
        cut.open = k - cut.above;
    }
    *out = cut;
    return 0;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t beyond(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

int clsa_overlap_tied(const float *scores_a, size_t k_a, const float *scores_b, size_t k_b,
                      size_t keys, size_t *least, size_t *most)
{
    struct clsa_cut a, b;
    /* Keys by what is certain (above the cut), tied or out: in a, then in b. */
    size_t both = 0, a_then_tied = 0, tied_then_b = 0, tied = 0;
    int status = clsa_cut_find(scores_a, keys, k_a, &a);
    if (!status)
        status = clsa_cut_find(scores_b, keys, k_b, &b);
    if (status)
        return status;
    for (size_t i = 0; i < keys; i++) {
        const float x = rank(scores_a[i]), y = rank(scores_b[i]);
        const int in_a = x > a.threshold, in_b = y > b.threshold;
        const int at_a = k_a && x == a.threshold, at_b = k_b && y == b.threshold;
        both += in_a && in_b;
        a_then_tied += in_a && at_b;
        tied_then_b += at_a && in_b;
        tied += at_a && at_b;
    }
    /* Most: a tied place filled with what the other certainly has gains one on its own; a place
     * filled with what is tied in both gains one only if both take it. */
    const size_t gain_a = least_of(a.open, tied_then_b), gain_b = least_of(b.open, a_then_tied);
    *most = both + gain_a + gain_b + least_of(tied, least_of(a.open - gain_a, b.open - gain_b));
    /* Least: first fill with what the other has not at all; what must remain goes to positions tied
     * in both, which meet only where they crowd, before those that the other certainly has. */
    const size_t free_a = a.tied - tied_then_b - tied, free_b = b.tied - a_then_tied - tied;
    const size_t forced_a = beyond(a.open, free_a), forced_b = beyond(b.open, free_b);
    const size_t shared_a = least_of(forced_a, tied), shared_b = least_of(forced_b, tied);
    *least =
        both + (forced_a - shared_a) + (forced_b - shared_b) + beyond(shared_a + shared_b, tied);
    return 0;
}

double clsa_mass_covered(const float *scores, size_t keys, const uint32_t *positions, size_t n)
{
    double top = -INFINITY, all = 0.0, taken = 0.0;
    if (n == keys)
        return keys ? 1.0 : 0.0;
    for (size_t i = 0; i < keys; i++)
        if (scores[i] > top)
            top = scores[i];
    if (!isfinite(top)) /* nothing tells the keys apart */
        return (double)n / (double)keys;
    for (size_t i = 0; i < keys; i++)
        all += exp((double)rank(scores[i]) - top);
    for (size_t i = 0; i < n; i++)
        taken += exp((double)rank(scores[positions[i]]) - top);
    return all > 0.0 ? taken / all : 0.0;
}
