/* Rows of a cache that several selections of a step chose.
 *
 * Sets of rows are chosen from the same keys. If each is k of n rows by chance, two have k/n of their rows in common, so a
 * row of a set was last used by the set that came right before with that probability, by the one before that if not by
 * this one, and so on, and by its own set a step ago if by none of them. Selections of real models have more in common
 * than that, those of neighbouring layers most of all, so that more is found near than is said here. */
#ifndef CLSA_REPLAY_CHANCE_H
#define CLSA_REPLAY_CHANCE_H

#include <stddef.h>
#include <stdint.h>

#include "sim/base/op.h"
#include "sim/replay/reuse.h"

/* Other sets, the latest ones, that rows are told apart by; what older ones used is taken as used by nobody else. */
#define CLSA_CHANCE_OTHERS 3

struct clsa_chance_plane;

/* The selections that each plane of each cache saw. Starts from zeroes. */
struct clsa_chance {
    struct clsa_chance_plane *planes;
    size_t n, room;
};

/* Bytes whose last use was the same. Distances count their whole sweep's own. */
struct clsa_chance_part {
    double bytes;
    struct clsa_reuse reuse;
};

/* Uses `bytes` that set `set` selects of the operand's plane, `common` of which any other set has by chance. `parts`
 * receives what no other set used since, then what the latest other sets did, the last one first. Touches the stack.
 * Returns 0 or CLSA_ENOMEM. */
int clsa_chance_touch(struct clsa_chance *chance, struct clsa_stack *stack, const struct clsa_operand *operand,
                      uint64_t set, double bytes, double common, struct clsa_chance_part parts[1 + CLSA_CHANCE_OTHERS]);
void clsa_chance_destroy(struct clsa_chance *chance);

#endif
