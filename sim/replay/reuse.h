/* Reuse distances of operands over a walk through the ops of a step.
 *
 * The clock counts bytes that came into the cache. An operand touched again finds what the bytes that
 * came in since, and its own, have not pushed out: under LRU a sweep over u bytes last touched when the
 * clock stood at t has distance clock - t + u. Operands are told apart by tensor, offset and index set. */
#ifndef CLSA_REPLAY_REUSE_H
#define CLSA_REPLAY_REUSE_H

#include <stddef.h>
#include <stdint.h>

#include "sim/base/op.h"

struct clsa_distances_slot;

struct clsa_distances {
    struct clsa_distances_slot *slots;
    size_t mask, used;
    double clock;
    uint32_t variant; /* selections and weights of another variant are other data */
};

/* Room for a step's operands. Returns 0 or CLSA_ENOMEM. */
int clsa_distances_init(struct clsa_distances *reuse, const struct clsa_step *step, uint32_t variants);
void clsa_distances_destroy(struct clsa_distances *reuse);

/* The distance of an operand of unique_bytes now (infinite when never touched), and its touch: the
 * clock moves by the bytes that came in. */
double clsa_distances_distance(struct clsa_distances *reuse, const struct clsa_op *op,
                           const struct clsa_operand *operand, double unique_bytes);
void clsa_distances_touch(struct clsa_distances *reuse, const struct clsa_op *op,
                      const struct clsa_operand *operand, double came_in_bytes);

#endif
