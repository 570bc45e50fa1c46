#include "sim/cli/playback.h"

#include <inttypes.h>
#include <string.h>

#include "sim/base/log.h"
#include "sim/replay/replay.h"
#include "sim/replay/timeline.h"
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
                            int64_t *model_id, struct clsa_err *err)
{
    const struct clsa_trace_header *header = clsa_trace_header(reader);
    const char *name = clsa_trace_provenance(header, "model");
    const char *geometry = clsa_trace_provenance(header, "geometry");
    const struct clsa_model_row model = {name ? name : "unknown", geometry ? geometry : "{}"};
    return clsa_store_add_model(store, &model, model_id, err);
}

/* What the kernels of one target are told to: the timeline, if there is one. */
struct pass {
    const struct clsa_playback *playback;
    struct clsa_target *target;
    struct clsa_timeline *timeline;
    struct clsa_store *store;
};

static int play_steps(const struct pass *pass, struct clsa_trace_reader *reader,
                      struct clsa_replay *replay, struct clsa_err *err)
{
    const struct clsa_playback *playback = pass->playback;
    const struct clsa_trace_step *trace;
    struct clsa_progress progress;
    uint64_t priced = 0;
    int64_t model_id;
    int more = 1;
    int status = store_provenance(pass->store, reader, &model_id, err);
    clsa_progress_begin(&progress, "replaying steps", 0);
    while (status == CLSA_OK && (more = clsa_trace_next(reader, &trace, err)) == 1 &&
           trace->number <= playback->last) {
        const bool counts = trace->number >= playback->first;
        struct clsa_prediction prediction = {0};
        status = clsa_replay_step(replay, trace, counts ? &prediction : NULL, err);
        if (status == CLSA_OK && counts)
            status = store_step(pass->store, pass->target, model_id, playback->threads,
                                &trace->step, &prediction, err);
        clsa_prediction_destroy(&prediction);
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

static int play(const struct pass *pass, struct clsa_err *err)
{
    const struct clsa_replay_request request = {
        .machine = &pass->target->machine,
        .impl = &pass->target->impl,
        .threads = pass->playback->threads,
        .kernel = pass->timeline ? clsa_timeline_kernel : NULL,
        .user = pass->timeline};
    struct clsa_trace_reader *reader = NULL;
    struct clsa_replay *replay = NULL;
    if (pass->timeline)
        clsa_timeline_machine(pass->timeline, pass->target->name);
    int status = clsa_store_target(pass->store, pass->target, err);
    if (status == CLSA_OK)
        status = clsa_trace_open(pass->playback->trace, 0, &reader, err);
    if (status == CLSA_OK)
        status = clsa_replay_create(&request, &replay, err);
    if (status == CLSA_OK)
        status = play_steps(pass, reader, replay, err);
    clsa_replay_destroy(replay);
    clsa_trace_close(reader);
    return status;
}

int clsa_play_trace(const struct clsa_playback *playback, struct clsa_target *targets,
                    size_t n_targets, struct clsa_store *store, struct clsa_err *err)
{
    struct pass pass = {.playback = playback, .store = store};
    const struct clsa_input_row input = {"trace", playback->trace, "", CLSA_NULL};
    if (strcmp(playback->trace, "-") == 0 && n_targets > 1)
        return clsa_fail(err, CLSA_EUSAGE, "standard input can be replayed on one machine only");
    int status = clsa_store_add_input(store, &input, err);
    if (status == CLSA_OK && playback->timeline)
        status = clsa_timeline_open(playback->timeline, &pass.timeline, err);
    for (size_t t = 0; status == CLSA_OK && t < n_targets; t++) {
        pass.target = &targets[t];
        status = play(&pass, err);
    }
    if (pass.timeline && status == CLSA_OK)
        status = clsa_timeline_commit(pass.timeline, err);
    else
        clsa_timeline_abort(pass.timeline);
    return status;
}
