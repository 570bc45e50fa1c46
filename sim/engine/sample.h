/* Choosing the next token. */
#ifndef CLSA_ENGINE_SAMPLE_H
#define CLSA_ENGINE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "sim/base/rng.h"
#include "sim/base/status.h"

/* The position of the largest of n > 0 logits; ties go to the lowest, numbers win over NaN. */
size_t clsa_sample_greedy(const float *logits, size_t n);

/* Draws from softmax(logits / temperature) cut to the smallest set of most likely tokens that holds
 * at least top_p of the mass (1: all; ties by position). A temperature of 0 is greedy. The same
 * seed and logits give the same token. temperature >= 0, 0 < top_p <= 1.
 * Returns 0 and *token, or CLSA_ENOMEM. */
int clsa_sample(const float *logits, size_t n, double temperature, double top_p,
                struct clsa_rng *rng, size_t *token);

#endif
