/* validate: predicted against measured, for tables of measurements. */
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/csv.h"
#include "sim/base/file.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/replay/validate_table.h"

struct validation {
    enum clsa_table table;
    struct clsa_target *targets;
    size_t n_targets;
    struct clsa_csv csv;
    struct clsa_table_row *rows;
    double fit_percent;
    uint64_t seed;
    struct clsa_store *store;
};

/* The measured rows and columns, followed by predicted_us, lo_us, hi_us. */
static int write_predictions(const struct validation *v, const char *path, struct clsa_err *err)
{
    struct clsa_outfile file;
    const int status = clsa_outfile_open(path, &file, err);
    if (status)
        return status;
    for (size_t c = 0; c < v->csv.columns; c++)
        clsa_csv_put(file.stream, c == 0, v->csv.header[c]);
    fputs(",predicted_us,lo_us,hi_us\n", file.stream);
    for (size_t r = 0; r < v->csv.rows; r++) {
        for (size_t c = 0; c < v->csv.columns; c++)
            clsa_csv_put(file.stream, c == 0, clsa_csv_cell(&v->csv, r, (int)c));
        fprintf(file.stream, ",%.4f,%.4f,%.4f\n", v->rows[r].predicted_us, v->rows[r].lo_us,
                v->rows[r].hi_us);
    }
    return clsa_outfile_commit(&file, err);
}

/* One line of the answer: rows of a group, all or only the fitted or judged ones. */
static int print_line(const struct validation *v, struct clsa_printer *printer, const char *group,
                      int fitted, struct clsa_err *err)
{
    static const char *const used[] = {"all", "judged", "fitted"};
    struct clsa_table_stats s;
    int status = clsa_table_measure(v->rows, v->csv.rows, fitted, group, &s);
    if (status || s.rows == 0)
        return status ? clsa_fail(err, status, "out of memory") : CLSA_OK;
    const struct clsa_target *t = &v->targets[0];
    char measured[128];
    snprintf(measured, sizeof measured, "%s%s%s", clsa_table_name(v->table), group ? " " : "",
             group ? group : "");
    const double numbers[] = {s.mean, s.median, s.p90, s.max, s.bias, s.rank,
                              s.coverage * 100, s.roofline_mean};
    struct clsa_value row[4 + 8] = {
        {.type = CLSA_CELL_TEXT, .text = measured},
        {.type = CLSA_CELL_TEXT, .text = t->name},
        {.type = CLSA_CELL_TEXT, .text = used[fitted + 1]},
        {.type = CLSA_CELL_INTEGER, .integer = (int64_t)s.rows}};
    for (int i = 0; i < 8; i++)
        row[4 + i] = (struct clsa_value){
            .type = CLSA_CELL_REAL, .decimals = i == 5 ? 4 : 2, .real = numbers[i]};
    status = clsa_printer_row(printer, row, err);
    const struct clsa_accuracy_row stored = {.machine = t->name,
                                             .implementation = t->impl.name,
                                             .measured = measured,
                                             .rows_used = used[fitted + 1],
                                             .rows = s.rows,
                                             .mean_error_percent = s.mean,
                                             .median_error_percent = s.median,
                                             .p90_error_percent = s.p90,
                                             .max_error_percent = s.max,
                                             .bias_percent = s.bias,
                                             .rank_correlation = s.rank,
                                             .coverage_percent = s.coverage * 100,
                                             .roofline_mean_error_percent = s.roofline_mean};
    return status ? status : clsa_store_add_accuracy(v->store, &stored, err);
}

static int print_groups(const struct validation *v, struct clsa_printer *printer,
                        struct clsa_err *err)
{
    int status = CLSA_OK;
    for (int fitted = -1; status == CLSA_OK && fitted <= 1; fitted++)
        if (fitted < 0 || v->fit_percent > 0)
            status = print_line(v, printer, NULL, fitted, err);
    for (size_t r = 0; status == CLSA_OK && r < v->csv.rows; r++) {
        const char *group = v->rows[r].group;
        size_t first = 0;
        while (strcmp(v->rows[first].group, group))
            first++;
        if (first == r && *group)
            status = print_line(v, printer, group, v->fit_percent > 0 ? 0 : -1, err);
    }
    return status;
}

static int validate(const struct clsa_args *args, struct validation *v, struct clsa_err *err)
{
    static const char *const columns[] = {
        "measured",     "machine",      "rows_used",       "rows",
        "mean_percent", "median_percent", "p90_percent",   "max_percent",
        "bias_percent", "rank_correlation", "coverage_percent", "roofline_mean_percent"};
    struct clsa_printer *printer;
    int format, status;
    if ((status = clsa_table_predict(v->table, &v->csv, &v->targets[0].machine,
                                     &v->targets[0].impl, v->fit_percent, v->seed, &v->rows,
                                     err)) ||
        (status = clsa_arg_format(args, &format, err)) ||
        (status = clsa_begin_run(args, (int64_t)v->seed, &v->store, err)) ||
        (status = clsa_store_target(v->store, &v->targets[0], err)) ||
        (status = clsa_printer_open(stdout, (enum clsa_format)format, columns,
                                    sizeof columns / sizeof *columns, &printer, err)))
        return status;
    status = print_groups(v, printer, err);
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    if (status == CLSA_OK)
        status = closed;
    if (status == CLSA_OK && clsa_arg_given(args, "predictions"))
        status = write_predictions(v, clsa_arg(args, "predictions", ""), err);
    return status ? status : clsa_store_commit(v->store, err);
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct validation v = {.seed = 1};
    const char *op = clsa_arg(args, "op", NULL), *measured = clsa_arg(args, "measured", NULL);
    if (!op || !measured)
        return clsa_fail(err, CLSA_EUSAGE, "validate: --op and --measured are needed");
    const int table = clsa_table_find(op);
    if (table < 0)
        return clsa_fail(err, CLSA_EUSAGE, "validate: --op '%s' is no table; see --help", op);
    v.table = (enum clsa_table)table;
    int status;
    if ((status = clsa_arg_f64(args, "fit-percent", 0, 100, &v.fit_percent, err)) ||
        (status = clsa_arg_size(args, "seed", 0, INT64_MAX, &v.seed, err)) ||
        (status = clsa_open_targets_with(args, NULL, clsa_table_implementation(v.table),
                                         &v.targets, &v.n_targets, err)))
        return status;
    if (v.n_targets != 1)
        status = clsa_fail(err, CLSA_EUSAGE, "validate: one --machine at a time");
    if (status == CLSA_OK)
        status = clsa_csv_read(measured, &v.csv, err);
    if (status == CLSA_OK)
        status = validate(args, &v, err);
    clsa_store_destroy(v.store);
    free(v.rows);
    clsa_csv_destroy(&v.csv);
    clsa_close_targets(v.targets, v.n_targets);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MACHINE,
    {"op", "OP", "what the table measures (below)"},
    {"measured", "F.csv", "the measured table"},
    CLSA_OPT_IMPLEMENTATION,
    {"predictions", "F.csv", "write the measured rows followed by predicted_us,lo_us,hi_us"},
    {"fit-percent", "P", "part of the rows, chosen by seed, that constants were fitted on"},
    CLSA_OPT_SET,
    CLSA_OPT_SEED,
    CLSA_OPT_DB,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_validate = {
    .name = "validate",
    .synopsis = "--machine A --op OP --measured F.csv [--predictions F.csv]",
    .summary = "predicted against measured: errors, bias, rank correlation, interval coverage",
    .details =
        "OP is gemm, attention_decode, attention_prefill, dsa_layer_decode, dsa_layer_prefill,\n"
        "index_scores, index_scores_paged, topk, sparse_attention, own_kernels, own_steps,\n"
        "own_step_ops, own_micro or cpu_ops; the columns are those of hwmodels/measured/*.csv. Without\n"
        "--implementation the one that such tables were measured with is taken.\n\n"
        "clsa validate --machine h100-sxm --op own_steps --measured "
        "hwmodels/measured/h100_own_steps.csv",
    .options = options,
    .run = run};
