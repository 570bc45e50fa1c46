/* replay: the steps of a trace on machines. */
#include <stdlib.h>
#include <string.h>

#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/playback.h"

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_target *targets = NULL;
    size_t n_targets = 0;
    struct clsa_store *store = NULL;
    uint64_t first = 0, last = UINT64_MAX, threads = 0;
    const char *timeline = clsa_arg(args, "timeline", NULL);
    int status;
    if ((status = clsa_arg_size(args, "first", 0, INT64_MAX, &first, err)) ||
        (status = clsa_arg_size(args, "last", 0, INT64_MAX, &last, err)) ||
        (status = clsa_arg_size(args, "threads", 1, 4096, &threads, err)) ||
        (status = clsa_open_targets(args, NULL, &targets, &n_targets, err)) ||
        (status = clsa_begin_run(args, CLSA_NULL, &store, err)))
        goto done;
    const struct clsa_playback playback = {.trace = args->words[0],
                                           .first = first,
                                           .last = last,
                                           .threads = (uint32_t)threads,
                                           .timeline = timeline};
    status = clsa_play_trace(&playback, targets, n_targets, store, err);
    if (status == CLSA_OK)
        status = clsa_print_run(args, store, "predict", err);
    if (status == CLSA_OK)
        status = clsa_store_commit(store, err);
done:
    clsa_store_destroy(store);
    clsa_close_targets(targets, n_targets);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MACHINE,
    CLSA_OPT_IMPLEMENTATION,
    CLSA_OPT_SET,
    {"first", "N", "first step that counts; those before it only warm the caches (default 0)"},
    {"last", "N", "last step (default: the last of the trace)"},
    {"timeline", "F.json", "write every kernel as a Chrome trace event (opens in Perfetto)"},
    CLSA_OPT_THREADS,
    CLSA_OPT_DB,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_replay = {
    .name = "replay",
    .synopsis = "TRACE --machine A,B [--implementation I] [--timeline F.json]",
    .summary = "predict the steps of a trace from exact cache, TLB and DRAM state",
    .details =
        "Caches keep their state from op to op and step to step; every step from --first to --last is a\n"
        "row. A trace from a pipe is \"-\".\n\n"
        "clsa replay t.clsat --machine h100-sxm,epyc-genoa --timeline t.json",
    .words_min = 1,
    .words_max = 1,
    .options = options,
    .run = run};
