/* verify: the engine against golden values. */
#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/cli/measured.h"
#include "sim/engine/verify.h"

static int print_report(const struct clsa_verify_report *report, enum clsa_format format,
                        struct clsa_err *err)
{
    static const char *const columns[] = {"tensor", "values", "skipped", "max_error",
                                          "bound",  "ratio",  "holds"};
    struct clsa_printer *printer;
    int status = clsa_printer_open(stdout, format, columns, sizeof columns / sizeof *columns,
                                   &printer, err);
    if (status)
        return status;
    for (size_t i = 0; status == CLSA_OK && i < report->n_rows; i++) {
        const struct clsa_verify_row *r = &report->rows[i];
        const struct clsa_value row[] = {
            {.type = CLSA_CELL_TEXT, .text = r->name},
            {.type = CLSA_CELL_INTEGER, .integer = (int64_t)r->values},
            {.type = CLSA_CELL_INTEGER, .integer = (int64_t)r->skipped},
            {.type = CLSA_CELL_REAL, .decimals = 9, .real = r->max_error},
            {.type = CLSA_CELL_REAL, .decimals = 9, .real = r->bound},
            {.type = CLSA_CELL_REAL, .decimals = 4, .real = r->ratio},
            {.type = CLSA_CELL_TEXT, .text = r->holds ? "yes" : "no"}};
        status = clsa_printer_row(printer, row, err);
    }
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    return status ? status : closed;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_verify_options options = {.seed = 1};
    struct clsa_verify_report report = {0};
    struct clsa_model *model = NULL;
    const char *golden = clsa_arg(args, "golden", NULL);
    uint64_t probes = 0;
    int format, status;
    if (!golden)
        return clsa_fail(err, CLSA_EUSAGE, "verify: --golden is needed");
    if ((status = clsa_arg_size(args, "probes", 1, 1000, &probes, err)) ||
        (status = clsa_arg_size(args, "seed", 0, INT64_MAX, &options.seed, err)) ||
        (status = clsa_arg_format(args, &format, err)) ||
        (status = clsa_kernels_choose(args, &options.kernels, err)) ||
        (status = clsa_threads_choose(args, err)) ||
        (status = clsa_model_open(clsa_arg(args, "model", "clsa-byte-5m"), &model, err)))
        return status;
    options.probes = (uint32_t)probes;
    options.blas = clsa_arg_given(args, "blas");
    status = clsa_verify(model, golden, &options, &report, err);
    if (status == CLSA_OK)
        status = print_report(&report, (enum clsa_format)format, err);
    if (status == CLSA_OK && !report.holds) {
        clsa_error("%s: values outside the bound", golden);
        status = 1;
    }
    clsa_verify_report_destroy(&report);
    clsa_model_destroy(model);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MODEL,
    {"golden", "F", "golden values (.safetensors; sim/engine/verify.h says which)"},
    {"probes", "N", "noisy runs that measure how rounding spreads (default 8)"},
    {"blas", NULL, "large matrix products by OpenBLAS instead of our kernels"},
    CLSA_OPT_KERNELS,
    CLSA_OPT_THREADS,
    CLSA_OPT_SEED,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_verify = {
    .name = "verify",
    .synopsis = "--model M --golden F.safetensors",
    .summary = "hold the engine against golden values; exit 1 outside the derived bound",
    .details =
        "The bound follows from the arithmetic: errors of every op, carried to the outputs by noisy runs\n"
        "of the same engine. A change of one weight in its last bits is seen.\n\n"
        "clsa verify --model clsa-byte-5m --golden tests/golden/golden.safetensors",
    .options = options,
    .run = run};
