/* run: execute a model, time every op, record a trace, and set a prediction for this host beside it. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "hwmodels/measure.h"
#include "sim/base/alloc.h"
#include "sim/base/file.h"
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
    uint64_t *groups;
    size_t n_groups;
    struct clsa_generation_request *requests; /* [n_groups] */
    struct clsa_generation *generations;      /* [n_groups] */
    struct clsa_cli_plugin plugin;
    struct clsa_prober *prober; /* NULL: nobody looks at the host */
    uint64_t batch, limit, steps, top_k, seed, threads;
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

static int read_groups(const struct clsa_args *args, struct job *j, struct clsa_err *err)
{
    const bool dense = clsa_arg_given(args, "dense");
    char own[24];
    snprintf(own, sizeof own, "%" PRIu32, dense ? 0 : j->ref.geometry.index_group);
    if (dense && clsa_arg_given(args, "group"))
        return clsa_fail(err, CLSA_EUSAGE, "run: --dense and --group exclude each other");
    int status = clsa_arg_sizes(args, "group", own, 0, CLSA_LAYERS_MAX, &j->groups, &j->n_groups, err);
    if (status)
        return status;
    if (j->n_groups > 1 && clsa_arg_given(args, "trace"))
        return clsa_fail(err, CLSA_EUSAGE, "run: --trace records one group size");
    j->requests = clsa_calloc(j->n_groups, sizeof *j->requests);
    j->generations = clsa_calloc(j->n_groups, sizeof *j->generations);
    return j->requests && j->generations ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
}

static int read_options(const struct clsa_args *args, struct job *j, struct clsa_err *err)
{
    struct clsa_generation_request request = {.top_p = 1, .prompt = &j->prompt};
    struct clsa_engine_options *o = &request.engine;
    const struct clsa_kernels *kernels;
    int kv = 0;
    int status;
    j->batch = j->seed = 1;
    j->steps = 64;
    if ((status = clsa_arg_size(args, "batch", 1, 4096, &j->batch, err)) ||
        (status = clsa_arg_size(args, "prompt", 1, UINT64_C(1) << 30, &j->limit, err)) ||
        (status = clsa_arg_size(args, "decode", 0, 1 << 20, &j->steps, err)) ||
        (status = clsa_arg_size(args, "top-k", 1, UINT64_C(1) << 31, &j->top_k, err)) ||
        (status = clsa_arg_size(args, "seed", 0, INT64_MAX, &j->seed, err)) ||
        (status = clsa_arg_size(args, "threads", 1, 4096, &j->threads, err)) ||
        (status = clsa_arg_choice(args, "kv-dtype", "f32|bf16|f16", "f32", &kv, err)) ||
        (status = clsa_arg_f64(args, "temperature", 0, 100, &request.temperature, err)) ||
        (status = clsa_arg_f64(args, "top-p", 1e-6, 1, &request.top_p, err)) ||
        (status = clsa_kernels_choose(args, &kernels, err)) ||
        (status = clsa_threads_choose(args, err)) || (status = read_groups(args, j, err)))
        return status;
    clsa_engine_defaults(&j->ref.geometry, 1, o);
    o->kernels = kernels;
    o->top_k = (uint32_t)j->top_k;
    o->per_layer_kv |= clsa_arg_given(args, "per-layer-kv");
    o->kv_dtype = o->index_dtype = kv == 0 ? CLSA_F32 : kv == 1 ? CLSA_BF16 : CLSA_F16;
    o->hooks = clsa_cli_plugin_hooks(&j->plugin, kernels);
    request.steps = (uint32_t)j->steps;
    request.fill = clsa_arg_given(args, "fill");
    request.seed = j->seed;
    for (size_t g = 0; g < j->n_groups; g++) {
        j->requests[g] = request;
        j->requests[g].engine.group = (uint32_t)j->groups[g];
    }
    return CLSA_OK;
}

/* The continuation of the first sequence, with what is not printable as escapes. */
static void print_text(const struct clsa_generation *generation)
{
    fputc('"', stderr);
    for (uint32_t i = 0; i < generation->steps; i++) {
        const int c = generation->tokens[i];
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
        return clsa_generate(j->requests, j->n_groups, j->prober, j->generations, err);
    int status = clsa_trace_writer_open(path, provenance, sizeof provenance / sizeof *provenance,
                                        &writer, err);
    if (status == CLSA_OK)
        status = clsa_recorder_create(writer, &recorder, err);
    if (status == CLSA_OK) {
        j->requests->listener = clsa_recorder_observer(recorder);
        status = clsa_generate(j->requests, 1, j->prober, j->generations, err);
        if (status && clsa_recorder_error(recorder)[0])
            clsa_fail(err, status, "%s", clsa_recorder_error(recorder));
    }
    if (status == CLSA_OK)
        status = clsa_trace_writer_commit(writer, err);
    clsa_recorder_destroy(recorder);
    clsa_trace_writer_destroy(writer);
    return status;
}

/* What looks at the host found, as `clsa machine probe` prints it. */
static int write_looks(const char *path, const struct clsa_probe *found, uint64_t threads, struct clsa_err *err)
{
    struct clsa_outfile file;
    int status = clsa_outfile_open(path, &file, err);
    if (status)
        return status;
    fputs("threads", file.stream);
    for (int i = 0; i < CLSA_PROBE_FIGURES; i++)
        fprintf(file.stream, ",%s", clsa_probe_figures[i].name);
    fprintf(file.stream, "\n%" PRIu64, threads);
    for (int i = 0; i < CLSA_PROBE_FIGURES; i++)
        fprintf(file.stream, ",%.*f", clsa_probe_figures[i].decimals, clsa_probe_get(found, i));
    fputc('\n', file.stream);
    return clsa_outfile_commit(&file, err);
}

/* Runs all group sizes, with looks at the host between their steps where that is asked for. */
static int run_all(const struct clsa_args *args, struct job *j, struct clsa_store *store,
                   struct clsa_err *err)
{
    const char *looks = clsa_arg(args, "looks", NULL);
    struct clsa_measured_run measured = {
        .ref = &j->ref, .prompt = &j->prompt, .threads = (uint32_t)j->threads};
    int status = CLSA_OK;
    if (looks || clsa_arg_given(args, "predict"))
        status = clsa_prober_create((uint32_t)j->threads, &j->prober, err);
    if (status == CLSA_OK)
        status = generate(args, j, err);
    if (status == CLSA_OK && j->prober)
        clsa_prober_found(j->prober, &measured.found);
    if (status == CLSA_OK && looks)
        status = write_looks(looks, &measured.found, j->threads, err);
    for (size_t g = 0; status == CLSA_OK && g < j->n_groups; g++) {
        measured.engine = &j->requests[g].engine;
        measured.generation = &j->generations[g];
        status = clsa_measured_store(args, store, &measured, err);
    }
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
    for (size_t g = 0; g < j.n_groups; g++)
        j.requests[g].model = j.model;
    if (status || (status = clsa_begin_run(args, (int64_t)j.seed, &store, err)) ||
        (status = run_all(args, &j, store, err)))
        goto done;
    for (size_t g = 0; g < j.n_groups; g++)
        if (j.ref.geometry.vocab == 256 && j.steps && !clsa_arg_given(args, "quiet")) {
            fprintf(stderr, j.n_groups > 1 ? "group %" PRIu64 ": " : "continuation: ", j.groups[g]);
            print_text(&j.generations[g]);
        }
    status = clsa_print_run(args, store, "run_ops", err);
    if (status == CLSA_OK)
        status = clsa_store_commit(store, err);
done:
    clsa_store_destroy(store);
    for (size_t g = 0; j.generations && g < j.n_groups; g++)
        clsa_generation_destroy(&j.generations[g]);
    free(j.generations);
    free(j.requests);
    free(j.groups);
    clsa_prober_destroy(j.prober);
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
    {"group", "A,B", "layers that share an index (default: the model's); several decode in turns"},
    {"top-k", "K", "keys selected (default: the model's)"},
    {"per-layer-kv", NULL, "every cross layer keeps K/V of its own"},
    {"kv-dtype", "T", "what caches hold: f32, bf16 or f16 (default f32)"},
    {"decode", "N", "decode steps (default 64)"},
    {"batch", "B", "sequences (default 1)"},
    {"temperature", "T", "0 is greedy (default)"},
    {"top-p", "P", "sample from the likeliest tokens that hold P of the mass (default 1)"},
    {"trace", "F", "record a trace"},
    {"predict", "HOST.csv", "predict the same steps on this machine and compare"},
    {"looks", "F.csv", "how fast the host computed, streamed and forked between the steps"},
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
    .synopsis = "[--model M] [--text F] [--dense | --group A,B] [--decode N] [--trace F]",
    .summary = "execute a model, time every op, record a trace",
    .details =
        "The time of an op is the median of the faster half of the decode steps: others on the host only\n"
        "ever make it slower. Several group sizes take turns, so that what others do meets all alike and their ratios\n"
        "hold; all are in memory at once, and before a turn its first step is made again and again until the caches,\n"
        "which others left, hold what it reads (0.4 s). With --predict the same step is priced on the machine\n"
        "file given (see clsa machine measure) and both stand side by side; how fast the host computes,\n"
        "streams and forks, as short looks between the turns find it, is allowed for (parameters of a machine\n"
        "that end in share).\n\n"
        "clsa run --text README.md --group 4 --decode 64 --trace run.clsat\n"
        "clsa run --text README.md --group 0,1,4,8 --predict host.csv\n"
        "clsa run --model clsa-4b --synthetic --prompt 256 --decode 8",
    .options = options,
    .run = run};
