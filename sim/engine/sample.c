#include "sim/engine/sample.h"

#include <math.h>
#include <stdlib.h>

#include "sim/base/alloc.h"

struct candidate {
    double weight;
    size_t token;
};

size_t clsa_sample_greedy(const float *logits, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best] || (isnan(logits[best]) && !isnan(logits[i])))
            best = i;
    return best;
}

static int by_weight(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

int clsa_sample(const float *logits, size_t n, double temperature, double top_p,
                struct clsa_rng *rng, size_t *token)
{
    const size_t best = clsa_sample_greedy(logits, n);
    double total = 0, kept = 0, draw;
    struct candidate *c;
    size_t m = 0;

    if (temperature == 0 || isnan(logits[best])) {
        *token = best;
        return CLSA_OK;
    }
    c = clsa_malloc(n, sizeof *c);
    if (!c)
        return CLSA_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const double w = exp(((double)logits[i] - (double)logits[best]) / temperature);
        c[i].weight = w > 0 ? w : 0; /* NaN as well */
        c[i].token = i;
        total += c[i].weight;
    }
    qsort(c, n, sizeof *c, by_weight);
    while (m < n && (m == 0 || kept < top_p * total))
        kept += c[m++].weight;
    draw = clsa_rng_unit(rng) * kept;
    for (m = m - 1; m > 0; m--) {
        /* From the tail, so that rounding leaves the remainder to the most likely. */
        if (draw < c[m].weight)
            break;
        draw -= c[m].weight;
    }
    *token = c[m].token;
    free(c);
    return CLSA_OK;
}
