/* How much two selections share, and how much of the scores one of them covers.
 *
 * Positions of a selection ascend strictly. Scores that tie at the cut (ReLU scores tie at exactly
 * 0) leave open which of the tied positions were taken; the tied functions say what any choice
 * among them could have given. */
#ifndef CLSA_ROUTING_OVERLAP_H
#define CLSA_ROUTING_OVERLAP_H

#include <stddef.h>
#include <stdint.h>

/* Number of positions in both; O(n + m), or O(n log m) when n is far smaller. */
size_t clsa_overlap_count(const uint32_t *a, size_t n, const uint32_t *b, size_t m);

/* Where a top-k cut runs through `keys` scores: the k-th largest score, how many scores are larger,
 * and how many equal it. k is at most keys. NaN counts below everything. */
struct clsa_cut {
    float threshold;
    size_t above, tied;
    size_t open; /* how many of the tied are selected: k - above */
};

/* Returns 0 or CLSA_ENOMEM (it copies the scores). */
int clsa_cut_find(const float *scores, size_t keys, size_t k, struct clsa_cut *out);

/* Fewest and most positions that two top-k selections over the same keys can share, over all ways
 * to break ties: *least <= clsa_overlap_count of any such pair <= *most. k_a, k_b <= keys. Returns
 * 0 or CLSA_ENOMEM. */
int clsa_overlap_tied(const float *scores_a, size_t k_a, const float *scores_b, size_t k_b,
                      size_t keys, size_t *least, size_t *most);

/* Share of softmax(scores) that lies on the selection: sum exp(score) over it, over that of all
 * keys. 1 for a selection of all keys; 0 when keys is 0. */
double clsa_mass_covered(const float *scores, size_t keys, const uint32_t *positions, size_t n);

#endif
