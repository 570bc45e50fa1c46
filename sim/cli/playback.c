#include "sim/cli/playback.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/replay/replay.h"
#include "traces/reader.h"

/* The longest context of a step's queries (or of its sequences, when no query is among its rows). */
static uint64_t longest_context(const struct clsa_step *step)
{
    uint64_t most = 0;
    for (uint32_t q = 0; q < step->n_queries; q++)
        if (step->queries[q].keys > most)
            most = step->queries[q].keys;
    for (uint32_t s = 0; !step->n_queries && s < step->n_seqs; s++)
        if (step->past[s] + step->new_tokens > most)
            most = step->past[s] + step->new_tokens;
    return most;
}

static int store_step(struct clsa_store *store, const struct clsa_target *target, int64_t model_id,
                      uint32_t threads, const struct clsa_step *step,
                      const struct clsa_prediction *prediction, struct clsa_err *err)
{
    const struct clsa_point point = {.model_id = model_id,
                                     .phase = step->phase == CLSA_PREFILL ? "prefill" : "decode",
                                     .batch = step->n_seqs,
                                     .context_tokens = longest_context(step),
                                     .new_tokens = step->new_tokens,
                                     .group = step->group,
                                     .top_k = step->group ? step->top_k : 0,
                                     .kv_shared = !step->per_layer_kv,
                                     .threads = threads};
    return clsa_store_prediction(store, target, "replay", &point, step, prediction, err);
}

/* The trace's own words about its model, for the store. */
static int store_provenance(struct clsa_store *store, const struct clsa_trace_reader *reader,
                            const char *path, int64_t *model_id, struct clsa_err *err)
{
    const struct clsa_trace_header *header = clsa_trace_header(reader);
    const char *name = clsa_trace_provenance(header, "model");
    const char *geometry = clsa_trace_provenance(header, "geometry");
    const struct clsa_model_row model = {name ? name : "unknown", geometry ? geometry : "{}"};
    const struct clsa_input_row input = {"trace", path, "", CLSA_NULL};
    const int status = clsa_store_add_model(store, &model, model_id, err);
    return status ? status : clsa_store_add_input(store, &input, err);
}

static int play(const struct clsa_playback *playback, struct clsa_trace_reader *reader,
                struct clsa_replay **replays, struct clsa_target *targets, size_t n_targets,
                struct clsa_store *store, struct clsa_err *err)
{
    const struct clsa_trace_step *trace;
    struct clsa_progress progress;
    uint64_t priced = 0;
    int64_t model_id;
    int more = 1;
    int status = store_provenance(store, reader, playback->trace, &model_id, err);
    clsa_progress_begin(&progress, "replaying steps", 0);
    while (status == CLSA_OK && (more = clsa_trace_next(reader, &trace, err)) == 1 &&
           trace->number <= playback->last) {
        const bool counts = trace->number >= playback->first;
        for (size_t t = 0; status == CLSA_OK && t < n_targets; t++) {
            struct clsa_prediction prediction = {0};
            status = clsa_replay_step(replays[t], trace, counts ? &prediction : NULL, err);
            if (status == CLSA_OK && counts)
                status = store_step(store, &targets[t], model_id, playback->threads, &trace->step,
                                    &prediction, err);
            clsa_prediction_destroy(&prediction);
        }
        priced += counts;
        clsa_progress_step(&progress, trace->number + 1);
    }
    clsa_progress_end(&progress);
    if (status == CLSA_OK && more < 0)
        status = more;
    if (status == CLSA_OK && priced == 0)
        status = clsa_fail(err, CLSA_EUSAGE, "%s: no step from %" PRIu64 " on", playback->trace,
                           playback->first);
    return status;
}

int clsa_play_trace(const struct clsa_playback *playback, struct clsa_target *targets,
                    size_t n_targets, struct clsa_store *store, struct clsa_err *err)
{
    struct clsa_trace_reader *reader = NULL;
    struct clsa_replay **replays = clsa_calloc(n_targets, sizeof *replays);
    int status = replays ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    if (status == CLSA_OK)
        status = clsa_trace_open(playback->trace, 0, &reader, err);
    for (size_t t = 0; status == CLSA_OK && t < n_targets; t++) {
        const struct clsa_replay_request request = {.machine = &targets[t].machine,
                                                    .impl = &targets[t].impl,
                                                    .threads = playback->threads};
        status = clsa_store_target(store, &targets[t], err);
        if (status == CLSA_OK)
            status = clsa_replay_create(&request, &replays[t], err);
    }
    if (status == CLSA_OK)
        status = play(playback, reader, replays, targets, n_targets, store, err);
    for (size_t t = 0; replays && t < n_targets; t++)
        clsa_replay_destroy(replays[t]);
    free(replays);
    clsa_trace_close(reader);
    return status;
}
