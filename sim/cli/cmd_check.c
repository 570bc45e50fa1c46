/* check: kernels against the reference, and their speed. */
#include <math.h>
#include <string.h>

#include "kernels/check.h"
#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/cli/plugin.h"

/* Where results go: a table on standard output and rows in the store. */
struct sink {
    struct clsa_printer *printer;
    struct clsa_store *store;
    struct clsa_err *err;
    uint64_t failures;
    int status;
};

static void on_result(void *ctx, const struct clsa_check_result *r)
{
    struct sink *s = ctx;
    const struct clsa_value row[] = {clsa_text(r->kernel),   clsa_text(r->rung),     clsa_whole(r->cases),
                                     clsa_whole(r->values),  clsa_whole(r->failures), clsa_real(r->worst, 3),
                                     clsa_text(r->message)};
    const struct clsa_kernel_check_row stored = {.kernel = r->kernel,
                                                 .rung = r->rung,
                                                 .shape = "",
                                                 .message = r->message,
                                                 .cases = r->cases,
                                                 .failures = r->failures,
                                                 .worst_error = r->worst,
                                                 .time_ps = CLSA_NULL,
                                                 .bytes = CLSA_NULL,
                                                 .flops = CLSA_NULL};
    s->failures += r->failures;
    if (s->status == CLSA_OK)
        s->status = clsa_printer_row(s->printer, row, s->err);
    if (s->status == CLSA_OK)
        s->status = clsa_store_add_kernel_check(s->store, &stored, s->err);
}

/* While timing, only what failed is of interest. */
static void on_failure(void *ctx, const struct clsa_check_result *r)
{
    (void)ctx;
    if (r->failures)
        clsa_error("%s on %s: %s", r->kernel, r->rung, r->message);
}

static void on_timing(void *ctx, const struct clsa_check_timing *t)
{
    struct sink *s = ctx;
    const struct clsa_value row[] = {clsa_text(t->kernel),
                                     clsa_text(t->rung),
                                     clsa_text(t->shape),
                                     clsa_whole((uint64_t)t->threads),
                                     clsa_real(t->ns / 1e3, 3),
                                     clsa_real(t->gbps, 2),
                                     clsa_real(t->stream_gbps > 0 ? 100 * t->gbps / t->stream_gbps : NAN,
                                          1),
                                     clsa_real(t->gflops, 2),
                                     clsa_real(t->peak_gflops > 0 ? 100 * t->gflops / t->peak_gflops
                                                             : NAN,
                                          1)};
    const struct clsa_kernel_check_row stored = {.kernel = t->kernel,
                                                 .rung = t->rung,
                                                 .shape = t->shape,
                                                 .message = "",
                                                 .worst_error = NAN,
                                                 .time_ps = (int64_t)(t->ns * 1e3),
                                                 .bytes = (int64_t)t->bytes,
                                                 .flops = (int64_t)t->flops};
    if (s->status == CLSA_OK)
        s->status = clsa_printer_row(s->printer, row, s->err);
    if (s->status == CLSA_OK)
        s->status = clsa_store_add_kernel_check(s->store, &stored, s->err);
}

static int verify(const struct clsa_args *args, const struct clsa_check_options *options,
                  struct sink *s, enum clsa_format format, struct clsa_err *err)
{
    static const char *const verified[] = {"kernel",   "rung",           "cases",  "values",
                                           "failures", "worst_of_bound", "message"};
    static const char *const timed[] = {"kernel", "rung",   "shape",           "threads", "time_us",
                                        "gbps",   "stream_percent", "gflops", "peak_percent"};
    const struct clsa_check_sink sink = {.ctx = s,
                                         .result = options->bench ? on_failure : on_result,
                                         .timing = options->bench ? on_timing : NULL};
    int status = clsa_printer_open(stdout, format, options->bench ? timed : verified,
                                   options->bench ? sizeof timed / sizeof *timed
                                                  : sizeof verified / sizeof *verified,
                                   &s->printer, err);
    if (status)
        return status;
    const int failed = clsa_check_run(options, &sink);
    status = s->status;
    const int closed = clsa_printer_close(s->printer, status ? NULL : err);
    if (status == CLSA_OK)
        status = closed;
    if (status == CLSA_OK && failed < 0)
        status = clsa_fail(err, CLSA_EUSAGE,
                           "check: no kernel '%s' or no rung '%s' here, or out of memory",
                           clsa_arg(args, "kernel", "(all)"), clsa_arg(args, "kernels", "(all)"));
    return status ? status : failed > 0;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct sink s = {.err = err};
    uint64_t seed = 1;
    int format, status;
    if (clsa_arg_given(args, "list")) {
        for (size_t i = 0; clsa_check_kernel_name(i); i++)
            puts(clsa_check_kernel_name(i));
        return 0;
    }
    if ((status = clsa_arg_size(args, "seed", 0, INT64_MAX, &seed, err)) ||
        (status = clsa_arg_format(args, &format, err)))
        return status;
    const struct clsa_check_options options = {.kernel = clsa_arg(args, "kernel", NULL),
                                               .rung = clsa_arg(args, "kernels", NULL),
                                               .seed = seed,
                                               .bench = clsa_arg_given(args, "bench"),
                                               .quick = clsa_arg_given(args, "quick")};
    if ((status = clsa_begin_run(args, (int64_t)seed, &s.store, err)) == CLSA_OK) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        status = clsa_arg_given(args, "plugin")
                     ? clsa_cli_plugin_check(args, seed, (enum clsa_format)format, s.store, err)
                     : verify(args, &options, &s, (enum clsa_format)format, err);
        if (status >= 0) {
            const int stored = clsa_store_commit(s.store, err);
            status = stored ? stored : status;
        }
    }
    clsa_store_destroy(s.store);
    return status;
}

static const struct clsa_option options[] = {
    {"kernel", "NAME", "one kernel (default: all; --list names them)"},
    {"list", NULL, "the kernels there are"},
    {"bench", NULL, "time the kernels that pass, beside this machine's streaming and peak rates"},
    {"quick", NULL, "fewer random shapes"},
    CLSA_OPT_PLUGIN,
    CLSA_OPT_DEADLINE,
    CLSA_OPT_KERNELS,
    CLSA_OPT_SEED,
    CLSA_OPT_DB,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_check = {
    .name = "check",
    .synopsis = "[--kernel NAME] [--kernels RUNG | --plugin F.so] [--bench] [--seed N]",
    .summary = "hold kernels against the reference, and time them",
    .details =
        "Shapes with 0, 1, tails and long contexts, unaligned and guarded memory, NaN and ties; errors\n"
        "are held to bounds derived from the arithmetic (kernels/kernels.h). Exit 1 when a kernel fails.\n\n"
        "With --plugin the kernels of a shared object are held to the same bounds, on those shapes and on\n"
        "what the embedded model feeds its own kernels. They run in a process of their own: a crash, a\n"
        "hang or a write out of bounds is a line of the table. Approximate top-k reports its recall.",
    .options = options,
    .run = run};
