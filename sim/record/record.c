#include "sim/record/record.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"

struct clsa_recorder {
    struct clsa_trace_writer *writer;
    struct clsa_observer observer;
    struct clsa_err err;
    uint64_t steps;
    /* The selections of the step in progress, in the order made; `at` finds their positions. */
    struct clsa_index_set *sets;
    size_t *at;
    size_t n_sets, sets_room, at_room;
    uint32_t *positions;
    size_t n_positions, positions_room;
};

static int step_begin(void *user, const struct clsa_step *step)
{
    struct clsa_recorder *r = user;
    (void)step;
    r->n_sets = 0;
    r->n_positions = 0;
    return 0;
}

static int selection(void *user, const struct clsa_step *step, const struct clsa_index_set *set,
                     const float *scores)
{
    struct clsa_recorder *r = user;
    (void)step;
    (void)scores;
    if (!clsa_grow(&r->sets, &r->sets_room, r->n_sets + 1, sizeof *r->sets) ||
        !clsa_grow(&r->at, &r->at_room, r->n_sets + 1, sizeof *r->at) ||
        !clsa_grow(&r->positions, &r->positions_room, r->n_positions + set->count, sizeof *r->positions))
        return clsa_fail(&r->err, CLSA_ENOMEM, "out of memory for the selections of a step");
    r->sets[r->n_sets] = *set;
    r->at[r->n_sets++] = r->n_positions;
    if (set->count)
        memcpy(r->positions + r->n_positions, set->positions, set->count * sizeof *set->positions);
    r->n_positions += set->count;
    return 0;
}

static int by_set_and_query(const void *a, const void *b)
{
    const struct clsa_index_set *x = a, *y = b;
    if (x->set != y->set)
        return x->set < y->set ? -1 : 1;
    return x->query < y->query ? -1 : x->query > y->query;
}

static int step_end(void *user, const struct clsa_step *step, uint64_t wall_ns)
{
    struct clsa_recorder *r = user;
    (void)wall_ns;
    for (size_t i = 0; i < r->n_sets; i++)
        r->sets[i].positions = r->positions + r->at[i];
    if (r->n_sets)
        qsort(r->sets, r->n_sets, sizeof *r->sets, by_set_and_query);
    const struct clsa_trace_step trace = {
        .step = *step, .n_index_sets = r->n_sets, .index_sets = r->sets};
    const int status = clsa_trace_write(r->writer, &trace, &r->err);
    r->steps += status == 0;
    return status;
}

int clsa_recorder_create(struct clsa_trace_writer *writer, struct clsa_recorder **out,
                         struct clsa_err *err)
{
    struct clsa_recorder *r = clsa_calloc(1, sizeof *r);
    if (!r)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    r->writer = writer;
    r->observer = (struct clsa_observer){
        .user = r, .step_begin = step_begin, .selection = selection, .step_end = step_end};
    *out = r;
    return 0;
}

void clsa_recorder_destroy(struct clsa_recorder *r)
{
    if (!r)
        return;
    free(r->sets);
    free(r->at);
    free(r->positions);
    free(r);
}

const struct clsa_observer *clsa_recorder_observer(const struct clsa_recorder *r)
{
    return &r->observer;
}

const char *clsa_recorder_error(const struct clsa_recorder *r)
{
    return r->err.text;
}

uint64_t clsa_recorder_steps(const struct clsa_recorder *r)
{
    return r->steps;
}
