/* Reuse distance: between two uses of a row, how many other rows were used. A fully associative LRU
 * cache of C rows hits exactly the uses whose distance is below C (Mattson et al. 1970), so the
 * histogram says how large a cache must be before selections profit from each other.
 *
 * Distances are counted exactly with a Fenwick tree over times of last use (Bennett and Kruskal
 * 1975); memory follows the number of distinct rows, time is O(log rows) a use. */
#ifndef CLSA_ROUTING_REUSE_H
#define CLSA_ROUTING_REUSE_H

#include <stdint.h>

#define CLSA_REUSE_BINS 40
#define CLSA_REUSE_FIRST UINT64_MAX

/* bins[0]: distance 0; bins[b]: distance in [2^(b-1), 2^b). */
struct clsa_reuse_histogram {
    uint64_t first;  /* uses of rows never used before */
    uint64_t reuses; /* all others: the sum of bins */
    uint64_t bins[CLSA_REUSE_BINS];
};

struct clsa_reuse;

/* NULL when out of memory. */
struct clsa_reuse *clsa_reuse_create(void);
void clsa_reuse_destroy(struct clsa_reuse *reuse);

/* Uses `row` (any number but UINT64_MAX). *distance is the number of distinct other rows used since
 * its last use, or CLSA_REUSE_FIRST. Returns 0 or CLSA_ENOMEM. */
int clsa_reuse_touch(struct clsa_reuse *reuse, uint64_t row, uint64_t *distance);

void clsa_reuse_add(struct clsa_reuse_histogram *histogram, uint64_t distance);
/* The distance below which half of the reuses lie, linear within its bin; -1 without reuses. */
double clsa_reuse_median(const struct clsa_reuse_histogram *histogram);

#endif
