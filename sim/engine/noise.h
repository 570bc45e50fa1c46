/* Rounding-sized noise on the outputs of ops: local errors of step 1 in verify.h. Private to
 * sim/engine. */
#ifndef CLSA_ENGINE_NOISE_H
#define CLSA_ENGINE_NOISE_H

#include "sim/engine/exec.h"

/* Adds +-sigma * scale to every value that op `i` of the running step wrote; the signs follow from
 * seed, op and row. `rung` is the rung whose errors are meant: avx512-bf16 rounds what products
 * read.
 * Returns 0 or CLSA_ENOMEM. */
int clsa_noise_add(const struct clsa_exec *x, size_t i, enum clsa_rung rung, double scale,
                   uint64_t seed);

#endif
