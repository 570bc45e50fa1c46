/* Small integer-only generator: the same seed gives the same stream on every machine.
 * xoshiro256** by Blackman and Vigna (public domain algorithm, "Scrambled linear pseudorandom number
 * generators", 2018), seeded by splitmix64 as its authors advise. */
#ifndef CLSA_BASE_RNG_H
#define CLSA_BASE_RNG_H

#include <stdint.h>

struct clsa_rng {
    uint64_t s[4];
};

void clsa_rng_seed(struct clsa_rng *rng, uint64_t seed);
uint64_t clsa_rng_u64(struct clsa_rng *rng);
/* Uniform in [0, bound), bound > 0, without modulo bias (Lemire's multiply-and-reject). */
uint64_t clsa_rng_below(struct clsa_rng *rng, uint64_t bound);
/* Uniform in [0, 1) with 53 bits. */
double clsa_rng_unit(struct clsa_rng *rng);
/* Standard normal (Marsaglia's polar method). */
double clsa_rng_normal(struct clsa_rng *rng);

#endif
