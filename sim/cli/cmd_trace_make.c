/* trace generate, stats: making traces without an engine, and what selections look like. */
#include "config.h"

#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/record/shape.h"
#include "sim/routing/stats.h"

static const struct clsa_option stats_options[] = {CLSA_OPT_FORMAT, CLSA_OPT_END};

static int run_stats(const struct clsa_args *args, struct clsa_err *err)
{
    int format;
    const int status = clsa_arg_format(args, &format, err);
    return status ? status
                  : clsa_trace_stats(args->words[0], (enum clsa_trace_format)format, stdout, err);
}

const struct clsa_command clsa_command_trace_stats = {
    .name = "trace stats",
    .synopsis = "TRACE [--format table|csv|json]",
    .summary = "what the selections of a trace look like: overlap, reuse distance, sinks, runs",
    .words_min = 1,
    .words_max = 1,
    .options = stats_options,
    .run = run_stats};

/* Sets the generator to the structure of a recorded trace's selections. */
static int imitate(const char *path, struct clsa_synthetic_params *params, struct clsa_err *err)
{
    struct clsa_selection_counter *counter = clsa_selection_counter_create();
    struct clsa_trace_reader *reader = NULL;
    const struct clsa_trace_step *step;
    int status = counter ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    int more = 0;
    if (status == CLSA_OK)
        status = clsa_trace_open(path, 0, &reader, err);
    while (status == CLSA_OK && (more = clsa_trace_next(reader, &step, err)) == 1)
        status = clsa_selection_count_step(counter, step, err);
    if (status == CLSA_OK)
        status = more;
    if (status == CLSA_OK && clsa_selection_sets(counter) == 0)
        status = clsa_fail(err, CLSA_EUSAGE, "%s: no selections to imitate", path);
    if (status == CLSA_OK)
        clsa_selection_fit(counter, params);
    clsa_trace_close(reader);
    clsa_selection_counter_destroy(counter);
    return status;
}

static int run_generate(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_model_ref model = {0};
    uint64_t batch = 1, prompt = 0, context = 8192, steps = 1, group, top_k = 0, seed = 1;
    const char *texts[CLSA_ARGS_REPEATS];
    int status = clsa_open_model(args, "clsa-byte-5m", &model, err);
    if (status)
        return status;
    group = model.geometry.index_group;
    struct clsa_shape_run shape = {.geometry = &model.geometry,
                                   .geometry_json = model.json,
                                   .tool = "clsa " PACKAGE_VERSION};
    clsa_synthetic_defaults(&shape.synthetic);
    if ((status = clsa_arg_size(args, "batch", 1, 1 << 20, &batch, err)) ||
        (status = clsa_arg_size(args, "prompt", 1, UINT64_C(1) << 40, &prompt, err)) ||
        (status = clsa_arg_size(args, "chunk", 1, UINT64_C(1) << 40, &shape.chunk, err)) ||
        (status = clsa_arg_size(args, "context", 1, UINT64_C(1) << 40, &context, err)) ||
        (status = clsa_arg_size(args, "decode", 0, 1 << 20, &steps, err)) ||
        (status = clsa_arg_size(args, "group", 0, CLSA_LAYERS_MAX, &group, err)) ||
        (status = clsa_arg_size(args, "top-k", 1, UINT64_C(1) << 31, &top_k, err)) ||
        (status = clsa_arg_size(args, "seed", 0, INT64_MAX, &seed, err)))
        goto done;
    shape.synthetic.seed = seed;
    if (clsa_arg_given(args, "like"))
        status = imitate(clsa_arg(args, "like", ""), &shape.synthetic, err);
    const size_t n = clsa_arg_all(args, "selection", texts, CLSA_ARGS_REPEATS);
    for (size_t i = 0; status == CLSA_OK && i < n; i++)
        status = clsa_synthetic_parse(texts[i], &shape.synthetic, err);
    if (status)
        goto done;
    shape.n_seqs = (uint32_t)batch;
    shape.prompt_tokens = prompt;
    shape.context = context;
    shape.decode_steps = steps;
    shape.group = (uint32_t)group;
    shape.top_k = (uint32_t)top_k;
    shape.per_layer_kv = model.geometry.per_layer_kv || clsa_arg_given(args, "per-layer-kv");
    const char *recorded = clsa_arg(args, "selections", NULL);
    status = recorded ? clsa_shape_replan(&shape, recorded, args->words[0], err)
                      : clsa_shape_generate(&shape, args->words[0], err);
done:
    clsa_close_model(&model);
    return status;
}

static const struct clsa_option generate_options[] = {
    CLSA_OPT_MODEL,
    {"batch", "B", "sequences (default 1)"},
    {"context", "S", "keys that the first decode step sees (default 8K)"},
    {"prompt", "N", "a prefill of N tokens first, instead of --context"},
    {"chunk", "N", "tokens that a prefill step takes at once (default: all)"},
    {"decode", "N", "decode steps (default 1)"},
    {"group", "G", "layers that share an index; 0 is dense (default: the model's)"},
    {"top-k", "K", "keys selected (default: the model's)"},
    {"per-layer-kv", NULL, "every cross layer keeps K/V of its own"},
    {"selections", "TRACE",
     "the recorded selections and lengths of a trace, planned anew for this model and group"},
    {"like", "TRACE", "selections with the structure of those recorded in a trace"},
    {"selection", "K=V,...",
     "structure of the selections: sink_rows, recent_rows, run_rows, overlap_set_permille, "
     "overlap_step_permille, recent_permille, recent_span"},
    CLSA_OPT_SEED,
    CLSA_OPT_END};

const struct clsa_command clsa_command_trace_generate = {
    .name = "trace generate",
    .synopsis = "OUT.clsat --model M [--batch B] [--context S] [--decode N] [--group G]",
    .summary = "a trace of a run that nobody executed, with made-up selections",
    .details =
        "clsa trace generate t.clsat --model clsa-4b --batch 8 --context 128K --group 4\n"
        "clsa trace generate t.clsat --model clsa-4b --like recorded.clsat\n"
        "clsa trace generate t.clsat --model glm-5.2 --selections imported.clsat",
    .words_min = 1,
    .words_max = 1,
    .options = generate_options,
    .run = run_generate};
