/* Replays a trace on machines, one after the other, into a store. */
#ifndef CLSA_CLI_PLAYBACK_H
#define CLSA_CLI_PLAYBACK_H

#include "sim/cli/common.h"

struct clsa_playback {
    const char *trace;
    uint64_t first, last;  /* steps that are priced; those before only move memory on */
    uint32_t threads;      /* CPU: threads used; 0: all */
    const char *timeline;  /* path of a Chrome trace event file; NULL: none */
};

/* Returns 0, CLSA_EUSAGE (no step in that range), or what reader, replay and store return. */
int clsa_play_trace(const struct clsa_playback *playback, struct clsa_target *targets,
                    size_t n_targets, struct clsa_store *store, struct clsa_err *err);

#endif
