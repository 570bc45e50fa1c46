/* run: execute a model, time every op, record a trace, and set a prediction for this host beside it. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "hwmodels/measure.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/cli/measured.h"
#include "sim/cli/plugin.h"
#include "sim/cli/runner.h"
#include "sim/record/record.h"

struct job {
    struct clsa_model_ref ref;
    struct clsa_model *model;
    struct clsa_prompt prompt;
    struct clsa_generation_request request;
    struct clsa_generation generation;
    struct clsa_cli_plugin plugin;
    uint64_t batch, limit, steps, group, top_k, seed, threads;
};

static int read_prompt(const struct clsa_args *args, struct job *j, struct clsa_err *err)
{
    const char *text = clsa_arg(args, "text", NULL), *tokens = clsa_arg(args, "tokens", NULL);
    if (text && tokens)
        return clsa_fail(err, CLSA_EUSAGE, "run: --text and --tokens exclude each other");
    if (text)
        return clsa_prompt_text(text, j->limit, (uint32_t)j->batch, &j->ref.geometry, &j->prompt,
                                err);
    if (tokens)
        return clsa_prompt_tokens(tokens, j->limit, (uint32_t)j->batch, &j->ref.geometry,
                                  &j->prompt, err);
    return clsa_prompt_random(j->limit ? j->limit : 1024, (uint32_t)j->batch, j->seed,
                              &j->ref.geometry, &j->prompt, err);
}

static int read_options(const struct clsa_args *args, struct job *j, struct clsa_err *err)
{
    struct clsa_engine_options *o = &j->request.engine;
    int kv = 0;
    int status;
    j->batch = j->seed = 1;
    j->steps = 64;
    j->group = j->ref.geometry.index_group;
    if ((status = clsa_arg_size(args, "batch", 1, 4096, &j->batch, err)) ||
        (status = clsa_arg_size(args, "prompt", 1, UINT64_C(1) << 30, &j->limit, err)) ||
        (status = clsa_arg_size(args, "decode", 0, 1 << 20, &j->steps, err)) ||
        (status = clsa_arg_size(args, "group", 0, CLSA_LAYERS_MAX, &j->group, err)) ||
        (status = clsa_arg_size(args, "top-k", 1, UINT64_C(1) << 31, &j->top_k, err)) ||
        (status = clsa_arg_size(args, "seed", 0, INT64_MAX, &j->seed, err)) ||
        (status = clsa_arg_size(args, "threads", 1, 4096, &j->threads, err)) ||
        (status = clsa_arg_choice(args, "kv-dtype", "f32|bf16|f16", "f32", &kv, err)))
        return status;
    j->request.top_p = 1;
    if ((status = clsa_arg_f64(args, "temperature", 0, 100, &j->request.temperature, err)) ||
        (status = clsa_arg_f64(args, "top-p", 1e-6, 1, &j->request.top_p, err)) ||
        (status = clsa_kernels_choose(args, &o->kernels, err)) ||
        (status = clsa_threads_choose(args, err)))
        return status;
    if (clsa_arg_given(args, "dense"))
        j->group = 0;
    const struct clsa_kernels *chosen = o->kernels;
    clsa_engine_defaults(&j->ref.geometry, 1, o);
    o->kernels = chosen;
    o->group = (uint32_t)j->group;
    o->top_k = (uint32_t)j->top_k;
    o->per_layer_kv |= clsa_arg_given(args, "per-layer-kv");
    o->kv_dtype = o->index_dtype = kv == 0 ? CLSA_F32 : kv == 1 ? CLSA_BF16 : CLSA_F16;
    j->request.steps = (uint32_t)j->steps;
    j->request.fill = clsa_arg_given(args, "fill");
    j->request.seed = j->seed;
    return CLSA_OK;
}

/* The continuation of the first sequence, with what is not printable as escapes. */
static void print_text(const struct job *j)
{
    fputs("continuation: \"", stderr);
    for (uint32_t i = 0; i < j->generation.steps; i++) {
        const int c = j->generation.tokens[i];
        if (c == '\n')
            fputs("\\n", stderr);
        else if (c >= 32 && c < 127 && c != '"' && c != '\\')
            fputc(c, stderr);
        else
            fprintf(stderr, "\\x%02x", c);
    }
    fputs("\"\n", stderr);
}

static int generate(const struct clsa_args *args, struct job *j, struct clsa_err *err)
{
    const char *path = clsa_arg(args, "trace", NULL);
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, j->seed);
    const struct clsa_provenance provenance[] = {{"tool", "clsa " PACKAGE_VERSION},
                                                 {"model", j->ref.geometry.name},
                                                 {"geometry", j->ref.json},
                                                 {"selections", "engine"},
                                                 {"seed", seed}};
    struct clsa_trace_writer *writer = NULL;
    struct clsa_recorder *recorder = NULL;
    if (!path)
        return clsa_generate(&j->request, &j->generation, err);
    int status = clsa_trace_writer_open(path, provenance, sizeof provenance / sizeof *provenance,
                                        &writer, err);
    if (status == CLSA_OK)
        status = clsa_recorder_create(writer, &recorder, err);
    if (status == CLSA_OK) {
        j->request.listener = clsa_recorder_observer(recorder);
        status = clsa_generate(&j->request, &j->generation, err);
        if (status && clsa_recorder_error(recorder)[0])
            clsa_fail(err, status, "%s", clsa_recorder_error(recorder));
    }
    if (status == CLSA_OK)
        status = clsa_trace_writer_commit(writer, err);
    clsa_recorder_destroy(recorder);
    clsa_trace_writer_destroy(writer);
    return status;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct job j = {0};
    struct clsa_store *store = NULL;
    int status = clsa_open_model(args, "clsa-byte-5m", &j.ref, err);
    if (status)
        return status;
    if ((status = clsa_cli_plugin_open(args, &j.plugin, err)) ||
        (status = read_options(args, &j, err)) || (status = read_prompt(args, &j, err)))
        goto done;
    if (clsa_arg_given(args, "synthetic"))
        status = clsa_model_synthetic(&j.ref.geometry, j.seed, &j.model, err);
    else
        status = clsa_model_open(clsa_arg(args, "model", "clsa-byte-5m"), &j.model, err);
    if (status)
        goto done;
    j.request.model = j.model;
    j.request.engine.hooks = clsa_cli_plugin_hooks(&j.plugin, j.request.engine.kernels);
    j.request.prompt = &j.prompt;
    struct clsa_measured_run measured = {.ref = &j.ref,
                                         .engine = &j.request.engine,
                                         .prompt = &j.prompt,
                                         .generation = &j.generation,
                                         .threads = (uint32_t)j.threads};
    const bool predict = clsa_arg_given(args, "predict");
    if ((predict && (status = clsa_measure_probe((uint32_t)j.threads, &measured.before, err))) ||
        (status = generate(args, &j, err)) ||
        (predict && (status = clsa_measure_probe((uint32_t)j.threads, &measured.after, err))) ||
        (status = clsa_begin_run(args, (int64_t)j.seed, &store, err)) ||
        (status = clsa_measured_store(args, store, &measured, err)))
        goto done;
    if (j.ref.geometry.vocab == 256 && j.generation.steps && !clsa_arg_given(args, "quiet"))
        print_text(&j);
    status = clsa_print_run(args, store, "run_ops", err);
    if (status == CLSA_OK)
        status = clsa_store_commit(store, err);
done:
    clsa_store_destroy(store);
    clsa_generation_destroy(&j.generation);
    clsa_cli_plugin_close(&j.plugin);
    clsa_prompt_destroy(&j.prompt);
    clsa_model_destroy(j.model);
    clsa_close_model(&j.ref);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MODEL,
    {"text", "F", "prompt: bytes of a file (models with a vocabulary of 256)"},
    {"tokens", "F", "prompt: .safetensors with `tokens` [B, S], or a text file of numbers"},
    {"prompt", "N", "at most so many prompt tokens; without a file: random ones (default 1024)"},
    {"dense", NULL, "dense attention, as --group 0"},
    {"group", "G", "layers that share an index (default: the model's)"},
    {"top-k", "K", "keys selected (default: the model's)"},
    {"per-layer-kv", NULL, "every cross layer keeps K/V of its own"},
    {"kv-dtype", "T", "what caches hold: f32, bf16 or f16 (default f32)"},
    {"decode", "N", "decode steps (default 64)"},
    {"batch", "B", "sequences (default 1)"},
    {"temperature", "T", "0 is greedy (default)"},
    {"top-p", "P", "sample from the likeliest tokens that hold P of the mass (default 1)"},
    {"trace", "F", "record a trace"},
    {"predict", "HOST.csv", "predict the same steps on this machine and compare"},
    {"fill", NULL, "fill the caches with random rows instead of running the prompt, to time decode"},
    {"synthetic", NULL, "random weights: time any geometry without a checkpoint"},
    {"quiet", NULL, "do not show the continuation"},
    CLSA_OPT_KERNELS,
    CLSA_OPT_PLUGIN,
    CLSA_OPT_DEADLINE,
    CLSA_OPT_THREADS,
    CLSA_OPT_SEED,
    CLSA_OPT_DB,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_run = {
    .name = "run",
    .synopsis = "[--model M] [--text F] [--dense | --group G] [--decode N] [--trace F]",
    .summary = "execute a model, time every op, record a trace",
    .details =
        "The time of an op is the median of the faster half of the decode steps: others on the host only\n"
        "ever make it slower. With --predict the same step is priced on the machine\n"
        "file given (see clsa machine measure) and both stand side by side; how fast the host computes,\n"
        "streams and forks right before and after the run is allowed for (core.share, dram.share,\n"
        "fork_join.share).\n\n"
        "clsa run --text README.md --group 4 --decode 64 --trace run.clsat\n"
        "clsa run --model clsa-4b --synthetic --prompt 256 --decode 8",
    .options = options,
    .run = run};
