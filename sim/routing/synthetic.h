/* Selections made up with a given structure, for runs that no engine executed.
 *
 * A selection of k out of n visible keys (all of them while n <= k) is made of: sink rows (the
 * first of the sequence, which attention always keeps), recent rows (the last), rows kept from the
 * group before (same query) and from the step before (same group), and fresh rows. Kept and fresh
 * rows come in runs of neighbours. All arithmetic is on integers: the same parameters give the same
 * selections on every machine, whatever batch a sequence is in.
 *
 * Shares are in thousandths of k. Both overlaps are met to the row where they can be: when their
 * sum forces more common rows than exist, the overlap with the group before wins. */
#ifndef CLSA_ROUTING_SYNTHETIC_H
#define CLSA_ROUTING_SYNTHETIC_H

#include "sim/base/status.h"
#include "traces/format.h"

struct clsa_synthetic_params {
    uint64_t seed;
    uint32_t sink_rows;             /* always selected, from position 0 on */
    uint32_t recent_rows;           /* always selected, up to the query itself */
    uint32_t run_rows;              /* mean length of a run of neighbours, at least 1 */
    uint32_t overlap_set_permille;  /* of a group's selection that the group before made too */
    uint32_t overlap_step_permille; /* of a selection that the same group made a token before */
    uint32_t recent_permille; /* share of fresh runs that begin among the last recent_span rows */
    uint32_t recent_span;
};

/* The default structure; the source of each number is beside it in synthetic.c. */
void clsa_synthetic_defaults(struct clsa_synthetic_params *out);
/* "seed=1 sink_rows=4 ..." into buf, and back: unknown names and bad values are CLSA_EUSAGE with
 * the name in err; fields not named keep their value. Separators are spaces or commas. */
const char *clsa_synthetic_print(const struct clsa_synthetic_params *params, char *buf,
                                 size_t buf_bytes);
int clsa_synthetic_parse(const char *text, struct clsa_synthetic_params *params,
                         struct clsa_err *err);

struct clsa_synthetic;

/* Returns 0, CLSA_EUSAGE (shares above 1000, a run of 0) or CLSA_ENOMEM. */
int clsa_synthetic_create(const struct clsa_synthetic_params *params, struct clsa_synthetic **out,
                          struct clsa_err *err);
void clsa_synthetic_destroy(struct clsa_synthetic *synthetic);

/* Makes the index sets of one step: n_sets for every query, ascending by (set, query), borrowed
 * until the next call. Steps are given in the order of the run, so that a selection can keep rows
 * of the one before. Returns 0, CLSA_ELIMIT (more than 2^28 positions in one step) or CLSA_ENOMEM.
 */
int clsa_synthetic_step(struct clsa_synthetic *synthetic, const struct clsa_step *step,
                        const struct clsa_index_set **sets, size_t *n_sets, struct clsa_err *err);

#endif
