#include "sim/replay/chance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/status.h"

/* Parts of a selection that are not worth following. */
#define NOTHING 1e-6

/* The last time that a set was used: its place in the stack. */
struct use {
    uint64_t set;
    double touched;
};

struct clsa_chance_plane {
    uint32_t tensor;
    uint64_t offset;
    struct use *uses; /* the latest last */
    size_t n, room;
};

static struct clsa_chance_plane *find_plane(struct clsa_chance *c, const struct clsa_operand *operand)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->planes[i].tensor == operand->tensor && c->planes[i].offset == operand->offset)
            return &c->planes[i];
    if (!clsa_grow(&c->planes, &c->room, c->n + 1, sizeof *c->planes))
        return NULL;
    struct clsa_chance_plane *fresh = &c->planes[c->n++];
    *fresh = (struct clsa_chance_plane){.tensor = operand->tensor, .offset = operand->offset};
    return fresh;
}

int clsa_chance_touch(struct clsa_chance *chance, struct clsa_stack *stack, const struct clsa_operand *operand,
                      uint64_t set, double bytes, double common, struct clsa_chance_part parts[1 + CLSA_CHANCE_OTHERS])
{
    struct clsa_chance_plane *plane = find_plane(chance, operand);
    if (!plane || !clsa_grow(&plane->uses, &plane->room, plane->n + 1, sizeof *plane->uses))
        return CLSA_ENOMEM;
    size_t own = 0;
    while (own < plane->n && plane->uses[own].set != set)
        own++;
    const bool used = own < plane->n;
    struct use mine = used ? plane->uses[own] : (struct use){.set = set, .touched = -INFINITY};
    const size_t first = used ? own + 1 : 0; /* of the uses since */
    memset(parts, 0, (1 + CLSA_CHANCE_OTHERS) * sizeof *parts);
    struct clsa_reuse unused;
    double rest = bytes;
    parts[0] = (struct clsa_chance_part){bytes, clsa_stack_find(stack, mine.touched, bytes)};
    for (size_t i = plane->n, other = 1; i-- > first && other <= CLSA_CHANCE_OTHERS; other++) {
        const struct use *u = &plane->uses[i];
        const double shared = parts[0].bytes * common;
        parts[0].bytes -= shared;
        parts[other] = (struct clsa_chance_part){shared, clsa_stack_find(stack, u->touched, bytes)};
    }
    /* Their rows that this set uses now are no longer theirs. */
    for (size_t i = plane->n; i-- > first && rest > NOTHING * bytes;) {
        clsa_stack_take(stack, plane->uses[i].touched, rest * common);
        rest -= rest * common;
    }
    if (clsa_stack_touch(stack, &mine.touched, bytes, &unused))
        return CLSA_ENOMEM;
    if (used)
        memmove(plane->uses + own, plane->uses + own + 1, (--plane->n - own) * sizeof *plane->uses);
    plane->uses[plane->n++] = mine;
    return 0;
}

void clsa_chance_destroy(struct clsa_chance *chance)
{
    for (size_t i = 0; i < chance->n; i++)
        free(chance->planes[i].uses);
    free(chance->planes);
    *chance = (struct clsa_chance){0};
}
