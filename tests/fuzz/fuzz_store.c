/* Stores: a file that may be anything is opened, asked, reported, appended to and merged. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reports/query.h"
#include "reports/report.h"
#include "sim/store/store.h"
#include "tests/fuzz/fuzz.h"

static volatile double sum; /* what was read, so that it is read */

const unsigned long clsa_fuzz_runs = 100;

static const struct clsa_run_row a_run = {.guid = "00000000-0000-4000-8000-000000000001",
                                          .command = "predict",
                                          .command_line = "clsa predict",
                                          .tool_version = "0",
                                          .seed = 1,
                                          .started_unix_s = 1};

static void ask(struct clsa_reader *reader, const char *text)
{
    struct clsa_cursor *cursor = NULL;
    struct clsa_err err;
    unsigned rows = 0;
    if (clsa_query_open(reader, text, &cursor, &err) != 0)
        return;
    while (rows++ < 1000 && clsa_cursor_next(cursor, &err) == 1)
        for (int c = 0; c < clsa_cursor_columns(cursor); c++)
            sum += clsa_cursor_text(cursor, c)[0] + (double)clsa_cursor_i64(cursor, c) +
                   clsa_cursor_f64(cursor, c);
    clsa_cursor_destroy(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *path = clsa_fuzz_file(".db", data, bytes), *merged = clsa_fuzz_path("merged.db");
    struct clsa_reader *reader = NULL;
    struct clsa_store *store = NULL;
    struct clsa_err err;
    if (clsa_reader_open(path, &reader, &err) == 0) {
        clsa_reader_time_limit(reader, 1);
        for (size_t i = 0; i < clsa_named_query_count; i++)
            ask(reader, clsa_named_queries[i].name);
        FILE *nowhere = fopen("/dev/null", "w");
        if (nowhere) {
            clsa_report_terminal(reader, nowhere, 80, &err);
            fclose(nowhere);
        }
        clsa_report_html(reader, "/dev/null", &err);
        clsa_reader_destroy(reader);
    }
    unlink(merged);
    clsa_store_merge(merged, &path, 1, NULL, &err);
    struct clsa_run_row run = a_run;
    run.guid = NULL;
    if (clsa_store_open(path, &run, &store, &err) == 0) {
        clsa_store_commit(store, &err);
        clsa_store_destroy(store);
    }
    return 0;
}

uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    const char *path = clsa_fuzz_path("seed.db");
    const struct clsa_model_row model = {"toy", "{\"model_type\": \"clsa\"}"};
    const struct clsa_parameter_row l2 = {"", "l2.size", "50", "MB", "data sheet", "toy.csv:3"};
    const struct clsa_setup_row machine = {"toy", "gpu", "", "", "toy.csv", &l2, 1};
    const struct clsa_setup_row software = {"tuned", "", "", "", "tuned.csv", NULL, 0};
    struct clsa_store *store = NULL;
    struct clsa_err err;
    int64_t model_id, machine_id, software_id, id;
    if (i > 1)
        return NULL;
    unlink(path);
    if (clsa_store_open(path, &a_run, &store, &err) ||
        clsa_store_add_model(store, &model, &model_id, &err) ||
        clsa_store_add_machine(store, &machine, &machine_id, &err) ||
        clsa_store_add_implementation(store, &software, &software_id, &err))
        abort();
    for (uint32_t group = 0; i == 1 && group < 3; group++) {
        const struct clsa_prediction_row row = {.point = {.model_id = model_id,
                                                          .phase = "decode",
                                                          .batch = 1,
                                                          .context_tokens = 8192,
                                                          .group = group,
                                                          .top_k = group ? 2048 : 0,
                                                          .kv_shared = true},
                                                .machine_id = machine_id,
                                                .implementation_id = software_id,
                                                .method = "closed",
                                                .step_ps = 1000 + group,
                                                .step_lo_ps = 900,
                                                .step_hi_ps = 1200,
                                                .attention_ps = 500,
                                                .index_ps = 300,
                                                .other_ps = 200 + group};
        const struct clsa_op_row op = {.op = "topk", .part = "index", .bound = "dram", .layer = -1,
                                       .count = 4, .time_ps = 300, .lo_ps = 200, .hi_ps = 400};
        if (clsa_store_add_prediction(store, &row, &id, &err) ||
            clsa_store_add_ops(store, id, &op, 1, &err))
            abort();
    }
    if (clsa_store_commit(store, &err))
        abort();
    clsa_store_destroy(store);
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc((size_t)1 << 20);
    if (!f || !data)
        abort();
    *bytes = fread(data, 1, (size_t)1 << 20, f);
    fclose(f);
    return data;
}
