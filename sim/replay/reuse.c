#include "sim/replay/reuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/status.h"

struct clsa_distances_slot {
    uint64_t key; /* 0: free */
    double touched;
};

int clsa_distances_init(struct clsa_distances *reuse, const struct clsa_step *step, uint32_t variants)
{
    size_t operands = 1;
    for (size_t i = 0; i < step->n_ops; i++)
        operands += step->ops[i].n_operands;
    size_t room = 64;
    while (room < 2 * operands * variants)
        room *= 2;
    struct clsa_distances_slot *slots = clsa_calloc(room, sizeof *slots);
    if (!slots)
        return CLSA_ENOMEM;
    *reuse = (struct clsa_distances){.slots = slots, .mask = room - 1};
    return 0;
}

void clsa_distances_destroy(struct clsa_distances *reuse)
{
    free(reuse->slots);
    memset(reuse, 0, sizeof *reuse);
}

static struct clsa_distances_slot *find(struct clsa_distances *reuse, const struct clsa_op *op,
                                    const struct clsa_operand *operand)
{
    const bool selected = operand->axis == CLSA_AXIS_SELECTED;
    const bool varies = selected || operand->axis == CLSA_AXIS_N;
    /* splitmix64's finaliser spreads the key; it is a bijection, so keys stay distinct. */
    /* Rows appended to a cache are told apart from the cache: writing one row does not bring back all. */
    uint64_t key = (uint64_t)operand->tensor + 1 + (operand->offset << 20) +
                   ((uint64_t)(operand->axis == CLSA_AXIS_NEW) << 19) +
                   ((uint64_t)(selected ? op->set + 1 : 0) << 44) +
                   ((uint64_t)(varies ? reuse->variant : 0) << 56);
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    key ^= key >> 31;
    key |= key == 0;
    size_t i = key & reuse->mask;
    while (reuse->slots[i].key != key && reuse->slots[i].key != 0)
        i = (i + 1) & reuse->mask;
    if (reuse->slots[i].key == 0) {
        reuse->slots[i].key = key;
        reuse->slots[i].touched = -INFINITY;
    }
    return &reuse->slots[i];
}

double clsa_distances_distance(struct clsa_distances *reuse, const struct clsa_op *op,
                           const struct clsa_operand *operand, double unique_bytes)
{
    return reuse->clock - find(reuse, op, operand)->touched + unique_bytes;
}

void clsa_distances_touch(struct clsa_distances *reuse, const struct clsa_op *op,
                      const struct clsa_operand *operand, double came_in_bytes)
{
    reuse->clock += came_in_bytes;
    find(reuse, op, operand)->touched = reuse->clock;
}
