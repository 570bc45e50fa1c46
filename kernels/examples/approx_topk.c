/* An approximate top-k: a threshold from a sample, then the k best of what passes it.
 *
 * An exact selection must look at every score with enough care to order it. This one sorts a sample of
 * SAMPLE scores, takes the sample's order statistic that should let about 1.25 k scores pass, collects
 * those in one pass, and keeps the first k of them in the order of position. Too few pass when the
 * sample was unlucky: the threshold then falls. So it may miss some of the k best, and the first
 * positions are preferred to better scores later on: `clsa check --plugin` says how many are missed,
 * `clsa eval --plugin` what that does to a model's answers. With EXACT_TAIL=1 in the environment the
 * candidates are ordered before they are cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../plugin.h"

enum { SAMPLE = 512 };

/* Order of scores as unsigned numbers: NaN highest, -0 equal to +0. */
static uint32_t key_of(float score)
{
    uint32_t bits;

    if (score != score)
        return 0xffffffffu;
    if (score == 0)
        score = 0;
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static int descending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x < y) - (x > y);
}

struct candidate {
    uint32_t key;
    int32_t position;
};

static int best_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    return x->key != y->key ? (x->key < y->key) - (x->key > y->key)
                            : (x->position > y->position) - (x->position < y->position);
}

/* The sample's value that about `pass` of n scores reach. Positions of the sample are spread evenly,
 * each at a random place of its stretch. */
static uint32_t threshold_of(const float *score, int64_t n, int64_t pass)
{
    uint32_t sample[SAMPLE], state = 2463534242u;
    int64_t i, rank;

    for (i = 0; i < SAMPLE; i++) {
        const int64_t from = i * n / SAMPLE, to = (i + 1) * n / SAMPLE;

        state ^= state << 13; /* xorshift32 (Marsaglia 2003) */
        state ^= state >> 17;
        state ^= state << 5;
        sample[i] = key_of(score[from + (to > from ? state % (uint32_t)(to - from) : 0)]);
    }
    qsort(sample, SAMPLE, sizeof *sample, descending);
    rank = pass * SAMPLE / n;
    return rank < SAMPLE ? sample[rank] : 0;
}

static int64_t select_row(const float *score, int64_t n, int64_t k, int32_t *out,
                          struct candidate *found, int exact_tail)
{
    int64_t pass = k + k / 4 + 8, count = 0, i;

    if (k >= n) {
        for (i = 0; i < n; i++)
            out[i] = (int32_t)i;
        return n;
    }
    while (count < k) {
        const uint32_t threshold = pass < n ? threshold_of(score, n, pass) : 0;

        for (i = 0, count = 0; i < n; i++) {
            const uint32_t key = key_of(score[i]);

            if (key >= threshold) {
                found[count].key = key;
                found[count++].position = (int32_t)i;
            }
        }
        pass *= 2;
    }
    if (exact_tail)
        qsort(found, (size_t)count, sizeof *found, best_first);
    for (i = 0; i < k; i++)
        out[i] = found[i].position;
    return k;
}

static int topk(const void *argument)
{
    const struct clsa_plugin_topk_call *call = argument;
    const char *tail = getenv("EXACT_TAIL");
    struct candidate *found;
    int64_t row, longest = 0;

    for (row = 0; row < call->rows; row++)
        longest = call->n[row] > longest ? call->n[row] : longest;
    found = malloc((size_t)longest * sizeof *found);
    if (found == NULL)
        return -1;
    for (row = 0; row < call->rows; row++)
        call->count[row] = (int32_t)select_row(call->score + row * call->ld_score, call->n[row],
                                               call->k, call->out + row * call->ldo, found,
                                               tail != NULL && tail[0] == '1');
    free(found);
    return 0;
}

static const struct clsa_plugin_kernel kernels[] = {
    {CLSA_PLUGIN_TOPK, CLSA_PLUGIN_APPROXIMATE, "topk-sampled", topk}};

const struct clsa_plugin *clsa_plugin_v1(void)
{
    static const struct clsa_plugin plugin = {CLSA_PLUGIN_ABI, 1, "approx-topk", kernels};

    return &plugin;
}
