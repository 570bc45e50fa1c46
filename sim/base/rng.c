#include "sim/base/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void clsa_rng_seed(struct clsa_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        rng->s[i] = splitmix(&seed);
}

uint64_t clsa_rng_u64(struct clsa_rng *rng)
{
    uint64_t *s = rng->s;
    const uint64_t result = rotl(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t clsa_rng_below(struct clsa_rng *rng, uint64_t bound)
{
    const uint64_t threshold = (0 - bound) % bound;
    for (;;) {
        const unsigned __int128 wide = (unsigned __int128)clsa_rng_u64(rng) * bound;
        if ((uint64_t)wide >= threshold)
            return (uint64_t)(wide >> 64);
    }
}

double clsa_rng_unit(struct clsa_rng *rng)
{
    return (double)(clsa_rng_u64(rng) >> 11) * 0x1.0p-53;
}

double clsa_rng_normal(struct clsa_rng *rng)
{
    for (;;) {
        const double u = 2.0 * clsa_rng_unit(rng) - 1.0;
        const double v = 2.0 * clsa_rng_unit(rng) - 1.0;
        const double q = u * u + v * v;
        if (q > 0.0 && q < 1.0)
            return u * sqrt(-2.0 * log(q) / q);
    }
}
