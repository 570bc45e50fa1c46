/* query, report, merge: what reads and joins stores. */
#include "reports/query.h"
#include "reports/report.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"

/* A query that runs longer than this is stopped rather than left to fill a terminal one day. */
#define QUERY_SECONDS 600

static int run_query(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_reader *reader;
    struct clsa_cursor *cursor;
    int format;
    if (args->n_words < 2) {
        for (size_t i = 0; i < clsa_named_query_count; i++)
            printf("%-20s %s\n", clsa_named_queries[i].name, clsa_named_queries[i].title);
        return 0;
    }
    int status = clsa_arg_format(args, &format, err);
    if (status == CLSA_OK)
        status = clsa_reader_open(args->words[0], &reader, err);
    if (status)
        return status;
    clsa_reader_time_limit(reader, QUERY_SECONDS);
    status = clsa_query_open(reader, args->words[1], &cursor, err);
    if (status == CLSA_OK)
        status = clsa_print_cursor(stdout, (enum clsa_format)format, cursor, err);
    clsa_reader_destroy(reader);
    return status;
}

static const struct clsa_option query_options[] = {CLSA_OPT_FORMAT, CLSA_OPT_END};

const struct clsa_command clsa_command_query = {
    .name = "query",
    .synopsis = "[DB SQL|NAME] [--format table|csv|json]",
    .summary = "ask a store by SQL or by the name of a query or view",
    .details = "Without DB the named queries are listed. The store is opened read-only; one SELECT a "
               "call.\nUseful views: speedup, best_group, launches, top_ops, error_by_op, quality.",
    .words_max = 2,
    .options = query_options,
    .run = run_query};

static int run_report(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_reader *reader;
    const char *output = clsa_arg(args, "output", NULL);
    int status = clsa_reader_open(args->words[0], &reader, err);
    if (status)
        return status;
    status = output ? clsa_report_html(reader, output, err)
                    : clsa_report_terminal(reader, stdout, 0, err);
    clsa_reader_destroy(reader);
    return status;
}

static const struct clsa_option report_options[] = {
    {"output", "F.html", "write one self-contained HTML file (also -o)"}, CLSA_OPT_END};

const struct clsa_command clsa_command_report = {
    .name = "report",
    .synopsis = "DB [-o F.html]",
    .summary = "what a store says, as one HTML file or in the terminal",
    .words_min = 1,
    .words_max = 1,
    .options = report_options,
    .run = run_report};

static int run_merge(const struct clsa_args *args, struct clsa_err *err)
{
    size_t added = 0;
    const int status =
        clsa_store_merge(args->words[0], args->words + 1, args->n_words - 1, &added, err);
    if (status == CLSA_OK)
        printf("%zu runs added to %s\n", added, args->words[0]);
    return status;
}

static const struct clsa_option no_options[] = {CLSA_OPT_END};

const struct clsa_command clsa_command_merge = {
    .name = "merge",
    .synopsis = "OUT.db A.db [B.db ...]",
    .summary = "copy the runs of several stores into one, each run once",
    .words_min = 2,
    .words_max = 1000,
    .options = no_options,
    .run = run_merge};
