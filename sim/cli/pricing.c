#include "sim/cli/pricing.h"

#include "sim/replay/replay.h"
#include "sim/routing/synthetic.h"

static int closed_form(const struct clsa_step *step, const struct clsa_target *target,
                       uint32_t threads, struct clsa_prediction *out, struct clsa_err *err)
{
    const struct clsa_closed_request request = {.step = step,
                                                .machine = &target->machine,
                                                .impl = &target->impl,
                                                .threads = threads};
    return clsa_closed_predict(&request, out, err);
}

/* The step runs twice, so that caches hold what an equal step left there; the second run counts. Each
 * run has selections of its own that keep part of those before, as consecutive tokens do. */
static int replayed(const struct clsa_step *step, const struct clsa_target *target,
                    uint32_t threads, struct clsa_prediction *out, struct clsa_err *err)
{
    const struct clsa_replay_request request = {
        .machine = &target->machine, .impl = &target->impl, .threads = threads};
    struct clsa_synthetic_params params;
    struct clsa_synthetic *synthetic = NULL;
    struct clsa_replay *replay = NULL;
    clsa_synthetic_defaults(&params);
    int status = clsa_synthetic_create(&params, &synthetic, err);
    if (status == CLSA_OK)
        status = clsa_replay_create(&request, &replay, err);
    for (int pass = 0; status == CLSA_OK && pass < 2; pass++) {
        struct clsa_trace_step trace = {.number = (uint64_t)pass, .step = *step};
        status = clsa_synthetic_step(synthetic, step, &trace.index_sets, &trace.n_index_sets, err);
        if (status == CLSA_OK)
            status = clsa_replay_step(replay, &trace, pass ? out : NULL, err);
    }
    clsa_replay_destroy(replay);
    clsa_synthetic_destroy(synthetic);
    return status;
}

int clsa_price_step(const struct clsa_step *step, const struct clsa_target *target, bool fast,
                    uint32_t threads, struct clsa_prediction *out, struct clsa_err *err)
{
    return fast ? closed_form(step, target, threads, out, err)
                : replayed(step, target, threads, out, err);
}
