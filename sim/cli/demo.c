#include "config.h"

#include "sim/cli/demo.h"

#include <stdlib.h>

#include "sim/base/alloc.h"
#include "sim/cli/answers.h"
#include "sim/cli/playback.h"
#include "sim/cli/pricing.h"
#include "sim/record/record.h"
#include "traces/validate.h"

#define LARGE_CONTEXT (UINT64_C(128) << 10)

int clsa_demo_run(struct clsa_demo *d, struct clsa_generation_request *requests, size_t n, size_t recorded,
                  struct clsa_prober *prober, struct clsa_generation *generations, struct clsa_err *err)
{
    const struct clsa_provenance provenance[] = {{"tool", "clsa " PACKAGE_VERSION},
                                                 {"model", d->ref.geometry.name},
                                                 {"geometry", d->ref.json},
                                                 {"selections", "engine"}};
    struct clsa_trace_writer *writer = NULL;
    struct clsa_recorder *recorder = NULL;
    int status = clsa_trace_writer_open(d->trace, provenance,
                                        sizeof provenance / sizeof *provenance, &writer, err);
    if (status == CLSA_OK)
        status = clsa_recorder_create(writer, &recorder, err);
    if (status == CLSA_OK) {
        requests[recorded].listener = clsa_recorder_observer(recorder);
        status = clsa_generate(requests, n, prober, generations, err);
    }
    if (status == CLSA_OK)
        status = clsa_trace_writer_commit(writer, err);
    if (status == CLSA_OK)
        d->trace_steps = clsa_recorder_steps(recorder);
    clsa_recorder_destroy(recorder);
    clsa_trace_writer_destroy(writer);
    return status;
}

/* One prediction of a planned decode step, into the store. */
static int predict(struct clsa_demo *d, const struct clsa_model_ref *ref, int64_t model_id,
                   struct clsa_target *target, uint32_t batch, uint64_t context, uint32_t group,
                   struct clsa_err *err)
{
    uint64_t past[8];
    struct clsa_plan_request request;
    struct clsa_step step;
    struct clsa_prediction prediction;
    clsa_plan_decode(&ref->geometry, batch, context, group, past, &request);
    int status = clsa_plan_build(&ref->geometry, &request, &step, err);
    if (status)
        return status;
    status = clsa_price_step(&step, target, false, 0, &prediction, err);
    if (status == CLSA_OK) {
        const struct clsa_point point = {.model_id = model_id,
                                         .phase = "decode",
                                         .batch = batch,
                                         .context_tokens = context,
                                         .new_tokens = 1,
                                         .group = group,
                                         .top_k = group ? step.top_k : 0,
                                         .kv_shared = !request.per_layer_kv};
        status = clsa_store_prediction(d->store, target, "replay", &point, &step, &prediction, err);
        clsa_prediction_destroy(&prediction);
    }
    clsa_plan_destroy(&step);
    return status;
}

int clsa_demo_large(struct clsa_demo *d, struct clsa_err *err)
{
    static const char *const machines[] = {"a100-sxm-80g", "h100-sxm", "b200-sxm"};
    static const uint32_t groups[] = {0, 1, 2, 4, 8, 16};
    static const uint32_t batches[] = {1, 8};
    struct clsa_model_ref ref;
    int64_t model_id;
    int status = clsa_open_model_named("clsa-4b", &ref, err);
    if (status)
        return status;
    status = clsa_store_model(d->store, &ref, &model_id, err);
    for (size_t m = 0; status == CLSA_OK && m < sizeof machines / sizeof *machines; m++) {
        struct clsa_target target;
        status = clsa_open_target(machines[m], "triton-own", &target, err);
        if (status)
            break;
        status = clsa_store_target(d->store, &target, err);
        for (size_t b = 0; status == CLSA_OK && b < sizeof batches / sizeof *batches; b++)
            for (size_t g = 0; status == CLSA_OK && g < sizeof groups / sizeof *groups; g++)
                status = predict(d, &ref, model_id, &target, batches[b], LARGE_CONTEXT, groups[g],
                                 err);
        clsa_close_target(&target);
    }
    clsa_close_model(&ref);
    return status;
}

int clsa_demo_replay(struct clsa_demo *d, struct clsa_err *err)
{
    static const char *const machines[] = {"h100-sxm", "epyc-genoa"};
    static const char *const implementations[] = {"triton-own", NULL};
    enum { MACHINES = sizeof machines / sizeof *machines };
    struct clsa_target targets[MACHINES] = {{.name = NULL}};
    int status = CLSA_OK;
    for (int m = 0; status == CLSA_OK && m < MACHINES; m++)
        status = clsa_open_target(machines[m], implementations[m], &targets[m], err);
    /* The prompt's steps and all decode steps but the last put the caches where they would be. */
    const struct clsa_playback playback = {
        .trace = d->trace, .first = d->trace_steps - 1, .last = d->trace_steps - 1};
    if (status == CLSA_OK)
        status = clsa_play_trace(&playback, targets, MACHINES, d->store, err);
    for (int m = 0; m < MACHINES; m++)
        clsa_close_target(&targets[m]);
    return status;
}

int clsa_demo_tasks(struct clsa_demo *d, struct clsa_err *err)
{
    static uint64_t groups[] = {0, 1, 2, 4, 8}, top_ks[] = {64};
    const struct clsa_answers answers = {.ref = d->ref,
                                         .tasks = d->tasks,
                                         .groups = groups,
                                         .n_groups = sizeof groups / sizeof *groups,
                                         .top_ks = top_ks,
                                         .n_top_ks = 1,
                                         .text_stride = 64};
    return clsa_answers_store(&answers, d->store, err);
}
