#include "kernels/ref/ref.h"

#include <stdlib.h>

#include "kernels/half.h"

/* Larger key, better score: NaN highest, then the order of the reals with -0 equal to +0. */
static uint32_t key_of(float score)
{
    uint32_t bits = clsa_bits_of_float(score + 0.0f); /* -0 + 0 = +0 */

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0xffffffffu;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static int descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x < y) - (x > y);
}

/* Sort all keys; the k-th is the threshold; everything above it is taken, and of the ties the
 * first. */
size_t clsa_ref_topk(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    uint32_t *key = scratch, threshold;
    size_t i, above = 0, count = 0, ties;

    if (k > n)
        k = n;
    if (k == 0)
        return 0;
    for (i = 0; i < n; i++)
        key[i] = key_of(score[i]);
    qsort(key, n, sizeof *key, descending);
    threshold = key[k - 1];
    while (key[above] > threshold)
        above++;
    ties = k - above;
    for (i = 0; i < n; i++) {
        uint32_t at = key_of(score[i]);

        if (at > threshold || (at == threshold && ties > 0)) {
            ties -= at == threshold;
            out[count++] = (int32_t)i;
        }
    }
    return count;
}
