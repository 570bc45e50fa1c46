/* What the selections of a run look like: `clsa trace stats`, and an observer's sums.
 *
 * Overlaps count only selections that had to choose (fewer positions than visible keys); a
 * selection of everything overlaps with everything and says nothing. */
#ifndef CLSA_ROUTING_STATS_H
#define CLSA_ROUTING_STATS_H

#include <stdio.h>

#include "sim/routing/reuse.h"
#include "traces/info.h"
#include "traces/tool.h"

/* One group of layers. Shares are in 0 .. 1, and negative where nothing was counted. */
struct clsa_selection_stats {
    uint32_t set_index;
    uint32_t group, top_k; /* layers that share the selection; of the last step seen */
    uint64_t queries;      /* selections counted */
    uint64_t chosen;       /* those that had fewer positions than keys */
    double mean_keys, mean_selected;
    double overlap_previous_set;  /* share of positions that the group before selected too */
    double overlap_previous_step; /* share that the same group selected for the token before */
    double overlap_by_chance;     /* selected / keys: what independent selections would share */
    double sink_share;            /* of the first 4 rows, how many are selected */
    double recent_share;          /* of the last 16 visible rows */
    double mean_run;              /* positions in a row, on average */
    double mass_covered;          /* of softmax(scores), where scores were given */
    double reuse_distance_rows;   /* median of distinct rows between two uses; first uses apart */
    struct clsa_reuse_histogram reuse;
};

struct clsa_selection_counter;

/* NULL when out of memory. */
struct clsa_selection_counter *clsa_selection_counter_create(void);
void clsa_selection_counter_destroy(struct clsa_selection_counter *counter);

/* Adds one selection. Selections of one query come in the order of their groups. `scores` has the
 * query's `keys` index scores, or is NULL. Returns 0 or CLSA_ENOMEM. */
int clsa_selection_count(struct clsa_selection_counter *counter, const struct clsa_step *step,
                         const struct clsa_index_set *set, const float *scores,
                         struct clsa_err *err);
/* Adds all selections of a step of a trace. */
int clsa_selection_count_step(struct clsa_selection_counter *counter,
                              const struct clsa_trace_step *step, struct clsa_err *err);
size_t clsa_selection_sets(const struct clsa_selection_counter *counter);
/* The figures of group i < clsa_selection_sets. */
void clsa_selection_stats_get(const struct clsa_selection_counter *counter, size_t i,
                              struct clsa_selection_stats *out);

/* The counter as a tool. */
struct clsa_trace_tool clsa_selection_tool(struct clsa_selection_counter *counter);

/* Prints a row a group: set,group,top_k,queries,mean_keys,... in the order of the struct; shares
 * that were not counted are empty (JSON: null). */
void clsa_selection_print(const struct clsa_selection_counter *counter,
                          enum clsa_trace_format format, FILE *out);
/* `clsa trace stats PATH`. Returns 0 or what the reader returns. */
int clsa_trace_stats(const char *path, enum clsa_trace_format format, FILE *out,
                     struct clsa_err *err);

struct clsa_synthetic_params;
/* Sets sinks, recents, runs and overlaps of the generator to what was counted; the rest stays. */
void clsa_selection_fit(const struct clsa_selection_counter *counter,
                        struct clsa_synthetic_params *params);

#endif
