/* Where two traces differ: `clsa trace compare`. */
#ifndef CLSA_TRACES_COMPARE_H
#define CLSA_TRACES_COMPARE_H

#include <stdio.h>

#include "traces/tool.h"

/* Records that differ, or that only one side has. */
struct clsa_trace_difference {
    uint64_t provenance; /* keys */
    uint64_t steps;      /* that only one trace has */
    uint64_t tensors;    /* steps whose tensor tables differ */
    uint64_t heads;      /* steps that differ in shape, queries or counts */
    uint64_t ops;
    uint64_t index_sets; /* sets that differ in positions, group or query */
};

/* Adds the differences of two steps. Returns 0 or CLSA_ENOMEM. */
int clsa_trace_compare_steps(const struct clsa_trace_step *a, const struct clsa_trace_step *b,
                             struct clsa_trace_difference *difference, struct clsa_err *err);

/* Walks both traces side by side, adds up *difference (zeroed first) and, with `out`, prints a line
 * for each of its members: name and count. Returns 0 when they are equal in everything,
 * CLSA_EMISMATCH when not, or what the readers return. */
int clsa_trace_compare(const char *path_a, const char *path_b, FILE *out,
                       struct clsa_trace_difference *difference, struct clsa_err *err);

#endif
