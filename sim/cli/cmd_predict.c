/* predict: time of a step over machines, batches, contexts and group sizes. */
#include <stdlib.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/cli/pricing.h"

/* What the command line asked for. */
struct sweep {
    struct clsa_model_ref model;
    struct clsa_target *targets;
    size_t n_targets;
    uint64_t *batches, *contexts, *groups, *top_ks;
    size_t n_batches, n_contexts, n_groups, n_top_ks;
    uint64_t new_tokens, ranks, threads;
    int phase;
    bool fast, per_layer_kv;
    struct clsa_store *store;
    int64_t model_id;
};

static int predict_point(const struct sweep *s, const struct clsa_target *target, uint64_t batch,
                         uint64_t context, uint64_t group, uint64_t top_k, struct clsa_err *err)
{
    struct clsa_step step = {0};
    struct clsa_plan_request request;
    struct clsa_prediction prediction = {0};
    uint64_t *past = clsa_calloc(batch, sizeof *past);
    if (!past)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    clsa_plan_decode(&s->model.geometry, (uint32_t)batch, context, (uint32_t)group, past,
                     &request);
    if (s->phase == CLSA_PREFILL) {
        request.phase = CLSA_PREFILL;
        request.new_tokens = s->new_tokens && s->new_tokens < context ? s->new_tokens : context;
        for (uint64_t i = 0; i < batch; i++)
            past[i] = context - request.new_tokens;
    }
    if (top_k)
        request.top_k = (uint32_t)top_k;
    request.per_layer_kv |= s->per_layer_kv;
    request.tensor_parallel = (uint32_t)s->ranks;
    int status = clsa_plan_build(&s->model.geometry, &request, &step, err);
    if (status == CLSA_OK)
        status = clsa_price_step(&step, target, s->fast, (uint32_t)s->threads, &prediction, err);
    if (status == CLSA_OK) {
        const struct clsa_point point = {.model_id = s->model_id,
                                         .phase = s->phase == CLSA_PREFILL ? "prefill" : "decode",
                                         .batch = batch,
                                         .context_tokens = context,
                                         .new_tokens = request.new_tokens,
                                         .group = (uint32_t)group,
                                         .top_k = group ? request.top_k : 0,
                                         .kv_shared = !request.per_layer_kv,
                                         .ranks = (uint32_t)s->ranks,
                                         .threads = (uint32_t)s->threads};
        status = clsa_store_prediction(s->store, target, s->fast ? "closed" : "replay", &point,
                                       &step, &prediction, err);
    }
    clsa_prediction_destroy(&prediction);
    clsa_plan_destroy(&step);
    free(past);
    return status;
}

static int predict_all(struct sweep *s, struct clsa_err *err)
{
    struct clsa_progress progress;
    const uint64_t total = s->n_targets * s->n_batches * s->n_contexts * s->n_groups * s->n_top_ks;
    uint64_t done = 0;
    int status = CLSA_OK;
    clsa_progress_begin(&progress, "predicting", total);
    for (size_t t = 0; status == CLSA_OK && t < s->n_targets; t++) {
        status = clsa_store_target(s->store, &s->targets[t], err);
        /* One index over the flattened product keeps this one loop deep. */
        const uint64_t points = total / s->n_targets;
        for (uint64_t i = 0; status == CLSA_OK && i < points; i++) {
            uint64_t rest = i;
            const uint64_t group = s->groups[rest % s->n_groups];
            rest /= s->n_groups;
            const uint64_t top_k = s->top_ks[rest % s->n_top_ks];
            rest /= s->n_top_ks;
            const uint64_t context = s->contexts[rest % s->n_contexts];
            const uint64_t batch = s->batches[rest / s->n_contexts];
            status = predict_point(s, &s->targets[t], batch, context, group, top_k, err);
            clsa_progress_step(&progress, ++done);
        }
    }
    clsa_progress_end(&progress);
    return status;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct sweep s = {.ranks = 1};
    int status = clsa_open_model(args, NULL, &s.model, err);
    if (status)
        return status;
    s.fast = clsa_arg_given(args, "fast");
    s.per_layer_kv = clsa_arg_given(args, "per-layer-kv");
    if ((status = clsa_arg_choice(args, "phase", "prefill|decode", "decode", &s.phase, err)) ||
        (status = clsa_arg_sizes(args, "batch", "1", 1, 1 << 20, &s.batches, &s.n_batches, err)) ||
        (status = clsa_arg_sizes(args, "context", "8K,128K", 1, (uint64_t)1 << 40, &s.contexts,
                                 &s.n_contexts, err)) ||
        (status = clsa_arg_sizes(args, "top-k", "0", 0, (uint64_t)1 << 31, &s.top_ks, &s.n_top_ks,
                                 err)) ||
        (status = clsa_open_groups(args, &s.model.geometry, &s.groups, &s.n_groups, err)) ||
        (status = clsa_arg_size(args, "new-tokens", 1, (uint64_t)1 << 32, &s.new_tokens, err)) ||
        (status = clsa_arg_size(args, "ranks", 1, 1024, &s.ranks, err)) ||
        (status = clsa_arg_size(args, "threads", 1, 4096, &s.threads, err)) ||
        (status = clsa_open_targets(args, NULL, &s.targets, &s.n_targets, err)) ||
        (status = clsa_begin_run(args, CLSA_NULL, &s.store, err)) ||
        (status = clsa_store_model(s.store, &s.model, &s.model_id, err)) ||
        (status = predict_all(&s, err)) ||
        (status = clsa_print_run(args, s.store, "predict", err)) ||
        (status = clsa_store_commit(s.store, err)))
        goto done;
done:
    clsa_store_destroy(s.store);
    clsa_close_targets(s.targets, s.n_targets);
    free(s.batches);
    free(s.contexts);
    free(s.groups);
    free(s.top_ks);
    clsa_close_model(&s.model);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MODEL,
    CLSA_OPT_MACHINE,
    CLSA_OPT_IMPLEMENTATION,
    {"phase", "P", "prefill or decode (default decode)"},
    {"batch", "B,...", "sequences (default 1)"},
    {"context", "S,...", "tokens a sequence, the new ones included (default 8K,128K)"},
    {"new-tokens", "N", "prefill: tokens that are new (default: the whole context)"},
    {"group", "G,...", "layers that share an index; 0 is dense (default: 0 and powers of two)"},
    {"top-k", "K,...", "keys selected (default: the model's)"},
    {"per-layer-kv", NULL, "every cross layer keeps K/V of its own"},
    {"ranks", "R", "tensor parallel ranks (default 1)"},
    CLSA_OPT_THREADS,
    CLSA_OPT_SET,
    {"fast", NULL, "closed form instead of replay: thousands of points a second"},
    CLSA_OPT_DB,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_predict = {
    .name = "predict",
    .synopsis = "--model M --machine A,B --batch 1,8 --context 8K,128K --group 0,1,4,16",
    .summary = "time of a step over machines, batches, contexts and group sizes",
    .details =
        "Times are microseconds; step_us_lo and step_us_hi bound 80 % of machines like it. Without\n"
        "--implementation the machine's own is taken, or `tuned` on a GPU and `native` on a CPU. --set changes the machine\n"
        "(l2.size=128MiB) or the implementation (topk.passes=2).\n\n"
        "clsa predict --model clsa-4b --machine h100-sxm --batch 1,8 --context 8K,128K\n"
        "clsa predict --model clsa-4b --machine h100-sxm --set l2.size=200MB --fast",
    .options = options,
    .run = run};
