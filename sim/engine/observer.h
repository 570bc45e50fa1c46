/* What an engine tells whoever listens. The engine does not know who that is. */
#ifndef CLSA_ENGINE_OBSERVER_H
#define CLSA_ENGINE_OBSERVER_H

#include "sim/base/op.h"

/* Every member may be NULL. A non-zero return ends the run with that status. Pointers are borrowed
 * for the call. */
struct clsa_observer {
    void *user;
    int (*step_begin)(void *user, const struct clsa_step *step);
    /* After op `i` of the step ran, with its wall time. */
    int (*op_done)(void *user, const struct clsa_step *step, size_t i, uint64_t wall_ns);
    /* The selection that a group made for a query, before the layers that use it. `scores` has the
     * query's `keys` index scores (before the cut), or NULL when the kernel does not keep them. */
    int (*selection)(void *user, const struct clsa_step *step, const struct clsa_index_set *set,
                     const float *scores);
    int (*step_end)(void *user, const struct clsa_step *step, uint64_t wall_ns);
};

#endif
