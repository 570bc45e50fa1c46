/* Reuse distances of operands over a walk through the ops of a step.
 *
 * The clock counts bytes that came into the cache. An operand touched again finds what the bytes
 * that came in since, and its own, have not pushed out: under LRU a sweep over u bytes last touched
 * when the clock stood at t has distance clock - t + u. Weights and activations are one piece of
 * data a tensor; caches are told apart by offset (planes of layers and groups, K and V) and index
 * set. */
#ifndef CLSA_REPLAY_REUSE_H
#define CLSA_REPLAY_REUSE_H

#include <stddef.h>
#include <stdint.h>

#include "sim/base/op.h"

struct clsa_distances_slot;

struct clsa_distances {
    double *tensors;                   /* clock at the last touch, by tensor */
    double *first;                     /* clock before the first touch of the walk */
    struct clsa_distances_slot *slots; /* pieces of caches, open addressing */
    size_t n_tensors, mask, used;
    double clock;
    uint32_t variant; /* selections and weights of another variant are other data */
};

/* Everything untouched, the clock at 0, but activations touched where `warm`.
 * Returns 0 or CLSA_ENOMEM. */
int clsa_distances_init(struct clsa_distances *d, const struct clsa_step *step, bool warm);
void clsa_distances_destroy(struct clsa_distances *d);

/* Where an operand's last touch is kept, and the distance of `bytes` of it now (infinite when never
 * touched). Set *touched to the clock, moved by what came in, to touch it. The pointer lives until
 * the next call. NULL when out of memory. _piece is the part of it for caches and variants. */
double *clsa_distances_piece(struct clsa_distances *d, const struct clsa_op *op,
                             const struct clsa_operand *operand);
static inline double *clsa_distances_find(struct clsa_distances *d, const struct clsa_op *op,
                                          const struct clsa_operand *operand)
{
    const unsigned caches = 1u << CLSA_AXIS_SELECTED | 1u << CLSA_AXIS_KEYS | 1u << CLSA_AXIS_NEW;
    if (d->variant || (caches >> operand->axis & 1u))
        return clsa_distances_piece(d, op, operand);
    double *touched = &d->tensors[operand->tensor];
    if (*touched < 0 && d->first[operand->tensor] < 0)
        d->first[operand->tensor] = d->clock;
    return touched;
}

/* After a walk over a whole step: the least distance at which an equal step would find what this
 * one found untouched. */
double clsa_distances_next(const struct clsa_distances *d);

/* When a piece was touched: seconds, and bytes that had come from beyond cores' L2 by then, again and again or not. */
struct clsa_moment {
    double seconds, traffic;
};

/* What a touch finds of the last one; all INFINITY for never. */
struct clsa_reuse {
    double distance;         /* distinct bytes touched since, its own included */
    double seconds, traffic; /* since */
};

/* LRU stack distances: how many distinct bytes were touched since a piece's last touch. A Fenwick tree over
 * touches in their order, each of which holds the bytes that it is the last touch of. */
struct clsa_stack {
    double *sums, *bytes;        /* by touch, from 1 */
    struct clsa_moment *moments; /* of touches */
    struct clsa_moment now;      /* moved by who touches */
    size_t n, room;
    double total;
};

/* Touches `bytes`, last touched at *touched: an earlier touch, 0 before all others (at moment 0), or below 0 for never.
 * Sets *touched to this one. Starts from zeroes; what the stack owns is freed by clsa_stack_destroy. Returns 0 or
 * CLSA_ENOMEM. */
int clsa_stack_touch(struct clsa_stack *stack, double *touched, double bytes, struct clsa_reuse *reuse);
/* The same, but touches nothing. */
struct clsa_reuse clsa_stack_find(const struct clsa_stack *stack, double touched, double bytes);
/* Takes up to so many bytes from those that the touch at `touched` (from 1) is the last one of. */
void clsa_stack_take(struct clsa_stack *stack, double touched, double bytes);
void clsa_stack_destroy(struct clsa_stack *stack);

#endif
