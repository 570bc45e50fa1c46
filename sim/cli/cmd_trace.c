/* trace info, dump, validate: looking at traces. */
#include <stdlib.h>

#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "traces/dump.h"
#include "traces/info.h"
#include "traces/validate.h"

static const struct clsa_option info_options[] = {CLSA_OPT_FORMAT, CLSA_OPT_END};

static int run_info(const struct clsa_args *args, struct clsa_err *err)
{
    int format;
    const int status = clsa_arg_format(args, &format, err);
    return status ? status
                  : clsa_trace_info(args->words[0], (enum clsa_trace_format)format, stdout, err);
}

const struct clsa_command clsa_command_trace_info = {
    .name = "trace info",
    .synopsis = "TRACE [--format table|csv|json]",
    .summary = "what is in a trace: provenance, steps, tensors, ops, index sets",
    .words_min = 1,
    .words_max = 1,
    .options = info_options,
    .run = run_info};

static const struct clsa_option dump_options[] = {
    {"first", "N", "first step (default 0)"},
    {"last", "N", "last step (default: the last)"},
    {"no-sets", NULL, "leave index sets out"},
    {"no-operands", NULL, "leave operands out"},
    {"no-tensors", NULL, "leave the tensor table out"},
    CLSA_OPT_END};

static int run_dump(const struct clsa_args *args, struct clsa_err *err)
{
    uint64_t first = 0, last = UINT64_MAX;
    int status;
    if ((status = clsa_arg_size(args, "first", 0, INT64_MAX, &first, err)) ||
        (status = clsa_arg_size(args, "last", 0, INT64_MAX, &last, err)))
        return status;
    const struct clsa_trace_dump what = {.out = stdout,
                                         .tensors = !clsa_arg_given(args, "no-tensors"),
                                         .ops = true,
                                         .operands = !clsa_arg_given(args, "no-operands"),
                                         .sets = !clsa_arg_given(args, "no-sets")};
    return clsa_trace_dump(args->words[0], first, last, &what, err);
}

const struct clsa_command clsa_command_trace_dump = {
    .name = "trace dump",
    .synopsis = "TRACE [--first N] [--last N] [--no-sets] [--no-operands] [--no-tensors]",
    .summary = "a trace as text, one line a record",
    .words_min = 1,
    .words_max = 1,
    .options = dump_options,
    .run = run_dump};

static const struct clsa_option no_options[] = {CLSA_OPT_END};

static int run_validate(const struct clsa_args *args, struct clsa_err *err)
{
    const int status = clsa_trace_validate(args->words[0], stdout, err);
    /* What was found is on standard output already. */
    return status == CLSA_EMISMATCH && !err->text[0] ? 1 : status;
}

const struct clsa_command clsa_command_trace_validate = {
    .name = "trace validate",
    .synopsis = "TRACE",
    .summary = "hold a trace against the rules of a step; exit 1 when one is broken",
    .words_min = 1,
    .words_max = 1,
    .options = no_options,
    .run = run_validate};
