/* trace import, compare: selections that engines recorded, and where two traces differ. */
#include "config.h"

#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "traces/compare.h"
#include "traces/import.h"

static int run_import(const struct clsa_args *args, struct clsa_err *err)
{
    static const enum clsa_import_kind kinds[] = {CLSA_IMPORT_AUTO, CLSA_IMPORT_ARRAY,
                                                  CLSA_IMPORT_ARRAY, CLSA_IMPORT_JSONL};
    struct clsa_import options = {.tool = "clsa " PACKAGE_VERSION};
    int kind, status;
    if ((status = clsa_arg_choice(args, "from", "auto|sglang|vllm|jsonl", "auto", &kind, err)) ||
        (status = clsa_arg_size(args, "layers", 1, UINT16_MAX, &options.layers, err)) ||
        (status = clsa_arg_size(args, "top-k", 1, UINT32_MAX, &options.top_k, err)) ||
        (status = clsa_arg_size(args, "first", 0, UINT32_MAX, &options.first_position, err)))
        return status;
    options.kind = kinds[kind];
    return clsa_trace_import(&options, args->words[1], args->words[0], err);
}

static const struct clsa_option import_options[] = {
    {"from", "F", "auto (by content), sglang, vllm or jsonl"},
    {"layers", "L", "indexer layers, where the file does not say (bare base64)"},
    {"top-k", "K", "positions a layer, where the file does not say"},
    {"first", "N", "position in its sequence of the first token recorded (default 0)"},
    CLSA_OPT_END};

const struct clsa_command clsa_command_trace_import = {
    .name = "trace import",
    .synopsis = "OUT.clsat FILE [--from auto|sglang|vllm|jsonl] [--layers L --top-k K]",
    .summary = "selections that SGLang, vLLM or a DeepSeek fork recorded, as a trace",
    .words_min = 2,
    .words_max = 2,
    .options = import_options,
    .run = run_import};

static int run_compare(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_trace_difference difference;
    return clsa_trace_compare(args->words[0], args->words[1], stdout, &difference, err);
}

static const struct clsa_option compare_options[] = {CLSA_OPT_END};

const struct clsa_command clsa_command_trace_compare = {
    .name = "trace compare",
    .synopsis = "TRACE TRACE",
    .summary = "where two traces differ: provenance, steps, tensors, ops, index sets",
    .words_min = 2,
    .words_max = 2,
    .options = compare_options,
    .run = run_compare};
