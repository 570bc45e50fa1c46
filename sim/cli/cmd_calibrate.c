/* calibrate: fit the named constants of an implementation to measured tables. */
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/csv.h"
#include "sim/base/file.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/replay/calibrate.h"

struct fit {
    struct clsa_target *targets;
    size_t n_targets;
    struct clsa_csv csvs[CLSA_CALIBRATE_TABLES];
    struct clsa_calibrate_request request;
    struct clsa_calibrate_result result;
    uint64_t seed, folds;
};

/* --op and --measured are lists of equal length. */
static int open_tables(const struct clsa_args *args, struct fit *f, struct clsa_err *err)
{
    char **ops = NULL, **files = NULL;
    size_t n_ops = 0, n_files = 0;
    int status = clsa_arg_names(args, "op", &ops, &n_ops, err);
    if (status == CLSA_OK)
        status = clsa_arg_names(args, "measured", &files, &n_files, err);
    if (status == CLSA_OK && (n_ops != n_files || n_ops > CLSA_CALIBRATE_TABLES))
        status = clsa_fail(err, CLSA_EUSAGE, "calibrate: as many --measured as --op, at most %d",
                           CLSA_CALIBRATE_TABLES);
    for (size_t i = 0; status == CLSA_OK && i < n_ops; i++) {
        const int table = clsa_table_find(ops[i]);
        if (table < 0)
            status = clsa_fail(err, CLSA_EUSAGE, "calibrate: --op '%s' is no table", ops[i]);
        else
            status = clsa_csv_read(files[i], &f->csvs[i], err);
        if (status == CLSA_OK) {
            f->request.tables[i] = (enum clsa_table)table;
            f->request.csvs[i] = &f->csvs[i];
            f->request.n_tables++;
        }
    }
    clsa_names_free(ops, n_ops);
    clsa_names_free(files, n_files);
    return status;
}

/* Where a fitted value came from: the tables and the part of their rows. */
static void source_text(const struct fit *f, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "fitted on ");
    for (unsigned i = 0; i < f->request.n_tables && used < size; i++) {
        const char *slash = strrchr(f->csvs[i].path, '/');
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " and " : "",
                                 slash ? slash + 1 : f->csvs[i].path);
    }
    if (used < size)
        snprintf(out + used, size - used, "; %g %% of rows by seed %llu", f->request.fit_percent,
                 (unsigned long long)f->seed);
}

/* A fitted value in the unit of its row. */
static double in_unit(const struct fit *f, const char *name, double value, const char **unit)
{
    const struct clsa_implementation *impl = &f->targets[0].impl;
    const char *dot = strrchr(name, '.');
    *unit = "-";
    for (size_t i = impl->n_rows; i-- > 0;) {
        const struct clsa_impl_row *r = &impl->rows[i];
        if (strncmp(r->op, name, (size_t)(dot - name)) == 0 &&
            r->op[dot - name] == '\0' && strcmp(r->parameter, dot + 1) == 0) {
            enum clsa_dimension dimension;
            double factor = 1;
            clsa_unit_find(r->unit, &dimension, &factor);
            *unit = r->unit;
            return value / factor;
        }
    }
    return value;
}

/* The implementation as read, with fitted rows replaced, in the form a file has. */
static int write_rows(const struct fit *f, const char *path, struct clsa_err *err)
{
    const struct clsa_implementation *impl = &f->targets[0].impl;
    struct clsa_outfile out;
    char source[512];
    const int status = clsa_outfile_open(path, &out, err);
    if (status)
        return status;
    source_text(f, source, sizeof source);
    fputs("op,parameter,value,unit,source\n", out.stream);
    for (size_t i = 0; i < impl->n_rows; i++) {
        const struct clsa_impl_row *r = &impl->rows[i];
        bool repeated = false; /* a base's row that a later file says again */
        for (size_t j = i + 1; j < impl->n_rows; j++)
            repeated |= strcmp(impl->rows[j].op, r->op) == 0 &&
                        strcmp(impl->rows[j].parameter, r->parameter) == 0;
        if (repeated)
            continue;
        char name[96], value[40];
        const char *text = r->text, *unit = r->unit, *from = r->source;
        snprintf(name, sizeof name, "%s.%s", r->op, r->parameter);
        for (unsigned c = 0; c < f->result.n_constants; c++)
            if (strcmp(f->result.names[c], name) == 0) {
                snprintf(value, sizeof value, "%.4g", in_unit(f, name, f->result.after[c], &unit));
                text = value;
                from = source;
            }
        clsa_csv_put(out.stream, 1, r->op);
        clsa_csv_put(out.stream, 0, r->parameter);
        clsa_csv_put(out.stream, 0, text);
        clsa_csv_put(out.stream, 0, unit);
        clsa_csv_put(out.stream, 0, from);
        fputc('\n', out.stream);
    }
    return clsa_outfile_commit(&out, err);
}

static int print_fit(const struct clsa_args *args, const struct fit *f, struct clsa_err *err)
{
    static const char *const columns[] = {"constant", "before", "after", "unit"};
    const struct clsa_calibrate_result *r = &f->result;
    struct clsa_printer *printer;
    int format;
    int status = clsa_arg_format(args, &format, err);
    if (status == CLSA_OK)
        status = clsa_printer_open(stdout, (enum clsa_format)format, columns, 4, &printer, err);
    if (status)
        return status;
    for (unsigned i = 0; status == CLSA_OK && i < r->n_constants; i++) {
        const char *unit;
        const double before = in_unit(f, r->names[i], r->before[i], &unit);
        const double after = in_unit(f, r->names[i], r->after[i], &unit);
        const struct clsa_value row[] = {
            {.type = CLSA_CELL_TEXT, .text = r->names[i]},
            {.type = CLSA_CELL_REAL, .decimals = -1, .real = before},
            {.type = CLSA_CELL_REAL, .decimals = -1, .real = after},
            {.type = CLSA_CELL_TEXT, .text = unit}};
        status = clsa_printer_row(printer, row, err);
    }
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    fprintf(stderr,
            "%zu rows fitted: %.2f %% mean error before, %.2f %% after; %zu rows held out: %.2f %%\n",
            r->rows_fitted, r->error_before, r->error_after, r->rows_held_out, r->error_held_out);
    if (r->error_cross_validated > 0)
        fprintf(stderr, "cross-validated over %llu folds: %.2f %%\n", (unsigned long long)f->folds,
                r->error_cross_validated);
    fprintf(stderr, "inside their 80 %% intervals: %.1f %% of the rows fitted, %.1f %% of the rows held out\n",
            100 * r->coverage_fitted, 100 * r->coverage_held_out);
    return status ? status : closed;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct fit *f = clsa_calloc(1, sizeof *f);
    uint64_t evaluations = 0;
    int status;
    if (!f)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    f->seed = 1;
    f->request.fit_percent = 20;
    if ((status = open_tables(args, f, err)) ||
        (status = clsa_arg_f64(args, "fit-percent", 0.1, 100, &f->request.fit_percent, err)) ||
        (status = clsa_arg_size(args, "seed", 0, INT64_MAX, &f->seed, err)) ||
        (status = clsa_arg_size(args, "folds", 0, 20, &f->folds, err)) ||
        (status = clsa_arg_size(args, "evaluations", 1, 1 << 24, &evaluations, err)) ||
        (status = clsa_open_targets_with(args, NULL,
                                         clsa_table_implementation(f->request.tables[0]),
                                         &f->targets, &f->n_targets, err)))
        goto done;
    if (f->n_targets != 1 && f->n_targets != f->request.n_tables) {
        status = clsa_fail(err, CLSA_EUSAGE, "calibrate: one --machine, or as many as --op");
        goto done;
    }
    for (unsigned t = 0; t < f->request.n_tables; t++)
        f->request.machines[t] = &f->targets[f->n_targets > 1 ? t : 0].machine;
    f->request.groups = clsa_arg(args, "rows", NULL);
    f->request.seed = f->seed;
    f->request.frontier = clsa_arg_given(args, "frontier");
    f->request.folds = (unsigned)f->folds;
    f->request.most_evaluations = (unsigned)evaluations;
    const char *constants[CLSA_CALIBRATE_CONSTANTS];
    f->request.n_constants =
        (unsigned)clsa_arg_all(args, "constant", constants, CLSA_CALIBRATE_CONSTANTS);
    memcpy(f->request.constants, constants, f->request.n_constants * sizeof *constants);
    f->request.n_intervals =
        (unsigned)clsa_arg_all(args, "interval", constants, CLSA_CALIBRATE_CONSTANTS);
    memcpy(f->request.intervals, constants, f->request.n_intervals * sizeof *constants);
    f->request.keep_constants = clsa_arg_given(args, "keep-constants");
    status = clsa_calibrate(&f->request, &f->targets[0].impl, &f->result, err);
    if (status == CLSA_OK)
        status = print_fit(args, f, err);
    if (status == CLSA_OK && clsa_arg_given(args, "output"))
        status = write_rows(f, clsa_arg(args, "output", ""), err);
done:
    clsa_calibrate_destroy(&f->result);
    for (size_t i = 0; i < CLSA_CALIBRATE_TABLES; i++)
        clsa_csv_destroy(&f->csvs[i]);
    clsa_close_targets(f->targets, f->n_targets);
    free(f);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MACHINE,
    {"op", "OP,...", "what the tables measure, as in clsa validate"},
    {"measured", "F.csv,...", "the measured tables, in the same order"},
    CLSA_OPT_IMPLEMENTATION,
    {"constant", "OP.PARAMETER", "fit this one (repeatable; default: rows marked as fitted)"},
    {"interval", "OP", "set the 80 % interval of this op too (repeatable: one interval for all of "
                       "them; 'step': whole steps, beside what their ops add up to)"},
    {"keep-constants", NULL, "fit no constants, only intervals"},
    {"rows", "GROUP,...", "only rows of these groups (dtype, layer kind, kernel)"},
    {"fit-percent", "P", "part of the rows to fit on, chosen by seed (default 20)"},
    {"frontier", NULL, "fit on at most 16 sequences of 16K keys, hold out all beyond"},
    {"folds", "N", "cross-validate over N folds"},
    {"evaluations", "N", "most evaluations of the simplex (default 400 a constant)"},
    {"output", "F.csv", "write the implementation with the fitted rows (also -o)"},
    CLSA_OPT_SET,
    CLSA_OPT_SEED,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_calibrate = {
    .name = "calibrate",
    .synopsis = "--machine A --op OP --measured F.csv [-o IMPL.csv]",
    .summary = "fit an implementation's named constants to your own measurements",
    .details = "A simplex search over positive factors on the constants; mean absolute error of the rows held\n"
               "out is reported beside that of the rows fitted, and with --folds that of rows left out in\n"
               "turn. Constants are rows of the implementation whose source starts with 'fitted'. With\n"
               "--interval the widths are set so that a tenth of the fitted rows lies on either side; on\n"
               "another machine than the one measured, the widening for its distance. With several machines,\n"
               "each table was measured on the one in its place, and one implementation fits them all.\n\n"
               "clsa calibrate --machine h100-sxm --op gemm --measured "
               "hwmodels/measured/h100_gemm.csv -o mine.csv",
    .options = options,
    .run = run};
