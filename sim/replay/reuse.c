#include "sim/replay/reuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/status.h"

struct clsa_distances_slot {
    uint64_t key; /* 0: free */
    double touched, first;
};

#define ROOM 64

int clsa_distances_init(struct clsa_distances *d, const struct clsa_step *step, bool warm)
{
    struct clsa_distances out = {.n_tensors = step->n_tensors, .mask = ROOM - 1};
    out.tensors = clsa_malloc(2 * (step->n_tensors + (size_t)1), sizeof *out.tensors);
    out.slots = clsa_calloc(ROOM, sizeof *out.slots);
    if (!out.tensors || !out.slots) {
        clsa_distances_destroy(&out);
        return CLSA_ENOMEM;
    }
    out.first = out.tensors + step->n_tensors;
    for (size_t t = 0; t < step->n_tensors; t++) {
        const bool hot = warm && (step->tensors[t].kind == CLSA_TENSOR_ACTIVATION ||
                                  step->tensors[t].kind == CLSA_TENSOR_TOKENS);
        out.tensors[t] = hot ? 0 : -INFINITY;
        out.first[t] = hot ? INFINITY : -INFINITY;
    }
    *d = out;
    return 0;
}

void clsa_distances_destroy(struct clsa_distances *d)
{
    free(d->tensors);
    free(d->slots);
    memset(d, 0, sizeof *d);
}

static struct clsa_distances_slot *place(struct clsa_distances_slot *slots, size_t mask,
                                         uint64_t key)
{
    size_t i = key & mask;
    while (slots[i].key != key && slots[i].key != 0)
        i = (i + 1) & mask;
    return &slots[i];
}

static int grow(struct clsa_distances *d)
{
    const size_t mask = 2 * d->mask + 1;
    struct clsa_distances_slot *slots = clsa_calloc(mask + 1, sizeof *slots);
    if (!slots)
        return CLSA_ENOMEM;
    for (size_t i = 0; i <= d->mask; i++)
        if (d->slots[i].key)
            *place(slots, mask, d->slots[i].key) = d->slots[i];
    free(d->slots);
    d->slots = slots;
    d->mask = mask;
    return 0;
}

double *clsa_distances_piece(struct clsa_distances *d, const struct clsa_op *op,
                             const struct clsa_operand *operand)
{
    const bool selected = operand->axis == CLSA_AXIS_SELECTED;
    /* Odd multipliers keep the parts apart, splitmix64's finaliser spreads them. Rows that a step
     * appends are not the rows that it reads. */
    const bool varies = selected || operand->axis == CLSA_AXIS_N;
    uint64_t key = operand->offset * 0x9e3779b97f4a7c15u +
                   (operand->tensor + (uint64_t)1) * 0xc2b2ae3d27d4eb4fu +
                   (uint64_t)(selected ? op->set + 1 : 0) * 0x165667b19e3779f9u +
                   (uint64_t)(varies ? d->variant : 0) * 0xd6e8feb86659fd93u +
                   (uint64_t)(operand->axis == CLSA_AXIS_NEW);
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    key ^= key >> 31;
    key |= key == 0;
    struct clsa_distances_slot *slot = place(d->slots, d->mask, key);
    if (!slot->key) {
        if (2 * (d->used + 1) > d->mask) {
            if (grow(d))
                return NULL;
            slot = place(d->slots, d->mask, key);
        }
        d->used++;
        *slot = (struct clsa_distances_slot){key, -INFINITY, d->clock};
    }
    return &slot->touched;
}

double clsa_distances_next(const struct clsa_distances *d)
{
    double least = INFINITY;
    for (size_t t = 0; t < d->n_tensors; t++)
        if (d->first[t] >= 0 && d->first[t] < INFINITY)
            least = fmin(least, d->clock - d->tensors[t] + d->first[t]);
    for (size_t i = 0; i <= d->mask; i++)
        if (d->slots[i].key)
            least = fmin(least, d->clock - d->slots[i].touched + d->slots[i].first);
    return least;
}

static size_t low_bit(size_t i)
{
    return i & (~i + 1);
}

static int stack_grow(struct clsa_stack *s)
{
    const size_t room = 2 * s->room + 1024;
    double *sums = clsa_realloc(s->sums, room + 1, sizeof *sums);
    if (sums)
        s->sums = sums;
    double *bytes = clsa_realloc(s->bytes, room + 1, sizeof *bytes);
    if (bytes)
        s->bytes = bytes;
    struct clsa_moment *moments = clsa_realloc(s->moments, room + 1, sizeof *moments);
    if (moments)
        s->moments = moments;
    if (!sums || !bytes || !moments)
        return CLSA_ENOMEM;
    s->room = room;
    return 0;
}

struct clsa_reuse clsa_stack_find(const struct clsa_stack *s, double touched, double bytes)
{
    if (touched < 0)
        return (struct clsa_reuse){INFINITY, INFINITY, INFINITY};
    const size_t at = (size_t)touched;
    const struct clsa_moment then = at ? s->moments[at] : (struct clsa_moment){0};
    double before = 0;
    for (size_t i = at; i > 0; i -= low_bit(i))
        before += s->sums[i];
    return (struct clsa_reuse){fmax(0, s->total - before) + bytes, s->now.seconds - then.seconds,
                               s->now.traffic - then.traffic};
}

void clsa_stack_take(struct clsa_stack *s, double touched, double bytes)
{
    const size_t at = (size_t)touched;
    const double gone = fmin(bytes, s->bytes[at]);
    s->bytes[at] -= gone;
    s->total -= gone;
    for (size_t i = at; i <= s->n; i += low_bit(i))
        s->sums[i] -= gone;
}

int clsa_stack_touch(struct clsa_stack *s, double *touched, double bytes, struct clsa_reuse *reuse)
{
    *reuse = clsa_stack_find(s, *touched, bytes);
    if (*touched > 0)
        clsa_stack_take(s, *touched, INFINITY);
    if (s->n == s->room && stack_grow(s))
        return CLSA_ENOMEM;
    const size_t now = ++s->n;
    double sum = bytes;
    for (size_t i = now - 1; i > now - low_bit(now); i -= low_bit(i))
        sum += s->sums[i];
    s->sums[now] = sum;
    s->bytes[now] = bytes;
    s->moments[now] = s->now;
    s->total += bytes;
    *touched = (double)now;
    return 0;
}

void clsa_stack_destroy(struct clsa_stack *s)
{
    free(s->sums);
    free(s->bytes);
    free(s->moments);
    memset(s, 0, sizeof *s);
}
