/* The whole way from weights to a stored answer, with the n-th allocation failing, n = 1, 2, ...,
 * until a run gets by without a failure: every failure is a negative status with a message, nothing
 * crashes, no file appears, and (under AddressSanitizer) nothing leaks. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/engine/engine.h"
#include "sim/record/record.h"
#include "sim/replay/closed.h"
#include "sim/replay/replay.h"
#include "sim/store/store.h"
#include "tests/unit/test.h"
#include "traces/reader.h"

enum { SEQS = 2, PROMPT = 12, TOP_K = 4, GROUP = 2 };

static char dir[64], trace[96], store_path[96];

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/clsa-fault-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(trace, sizeof trace, "%s/a.clsat", dir);
    snprintf(store_path, sizeof store_path, "%s/s.db", dir);
}

static void teardown(void)
{
    clsa_alloc_fail_at(0);
    unlink(trace);
    unlink(store_path);
    ck_assert_int_eq(rmdir(dir), 0);
}

/* Every job once for every allocation it makes. `made`: the file that only success may leave. */
static void sweep(const char *what, int (*job)(struct clsa_err *err), const char *made,
                  unsigned long least)
{
    for (unsigned long n = 1;; n++) {
        struct clsa_err err = {""};
        clsa_alloc_fail_at(n);
        const int status = job(&err);
        const bool reached = clsa_alloc_fail_at(0);
        if (!reached) {
            ck_assert_msg(status == 0, "%s: %s", what, err.text);
            ck_assert_msg(n > least, "%s makes only %lu allocations", what, n - 1);
            return;
        }
        ck_assert_msg(status < 0, "%s: allocation %lu failed and nobody minded", what, n);
        ck_assert_msg(err.text[0], "%s: allocation %lu failed without a message", what, n);
        ck_assert_msg(!made || !clsa_file_exists(made), "%s: a file after failure %lu", what, n);
    }
}

/* A model of the embedded one's kind, small enough to be run a thousand times. */
static int small_geometry(struct clsa_geometry *g, struct clsa_err *err)
{
    char *config = NULL, *weights = NULL;
    int status = clsa_model_find("clsa-byte-5m", &config, &weights, err);
    if (status == CLSA_OK)
        status = clsa_geometry_read(config, g, err);
    free(config);
    free(weights);
    if (status)
        return status;
    g->hidden = 16;
    g->ffn = 32;
    g->self_layers = 1;
    g->cross_layers = 4;
    g->heads = 2;
    g->kv_heads = 1;
    g->head_dim = 8;
    g->index_dim = 8;
    g->index_topk = TOP_K;
    g->index_group = GROUP;
    g->window = 8;
    return CLSA_OK;
}

static int play(struct clsa_engine *engine, struct clsa_err *err)
{
    int32_t tokens[SEQS * PROMPT];
    float logits[SEQS * 256];
    for (int i = 0; i < SEQS * PROMPT; i++)
        tokens[i] = 7 * i % 256;
    const int status =
        clsa_engine_prefill(engine, 0, SEQS, tokens, PROMPT, NULL, SEQS, logits, err);
    return status ? status : clsa_engine_decode(engine, 0, SEQS, tokens, logits, err);
}

static int run_and_record(struct clsa_err *err)
{
    static const struct clsa_provenance provenance[] = {{"tool", "test"}};
    struct clsa_geometry g;
    struct clsa_engine_options options;
    struct clsa_model *model = NULL;
    struct clsa_engine *engine = NULL;
    struct clsa_trace_writer *writer = NULL;
    struct clsa_recorder *recorder = NULL;
    int status = small_geometry(&g, err);
    if (status)
        return status;
    if ((status = clsa_model_synthetic(&g, 1, &model, err)) ||
        (status = clsa_trace_writer_open(trace, provenance, 1, &writer, err)) ||
        (status = clsa_recorder_create(writer, &recorder, err)))
        goto done;
    clsa_engine_defaults(&g, PROMPT + 1, &options);
    options.n_seqs = SEQS;
    options.observer = clsa_recorder_observer(recorder);
    status = clsa_engine_create(model, &options, &engine, err);
    if (status == CLSA_OK)
        status = play(engine, err);
    if (status == CLSA_OK)
        status = clsa_trace_writer_commit(writer, err);
    if (status && !err->text[0] && clsa_recorder_error(recorder)[0])
        clsa_fail(err, status, "%s", clsa_recorder_error(recorder));
done:
    clsa_engine_destroy(engine);
    clsa_recorder_destroy(recorder);
    clsa_trace_writer_destroy(writer);
    clsa_model_destroy(model);
    return status;
}

static int open_checkpoint(struct clsa_err *err)
{
    struct clsa_model *model = NULL;
    const int status = clsa_model_open("clsa-byte-5m", &model, err);
    clsa_model_destroy(model);
    return status;
}

static int read_trace(struct clsa_err *err)
{
    struct clsa_trace_reader *reader = NULL;
    const struct clsa_trace_step *step;
    int status = clsa_trace_open(trace, 0, &reader, err);
    int more = 1;
    while (status == CLSA_OK && more == 1) {
        more = clsa_trace_next(reader, &step, err);
        status = more < 0 ? more : CLSA_OK;
    }
    clsa_trace_close(reader);
    return status;
}

static int price(struct clsa_err *err)
{
    struct clsa_machine machine = {.rows = NULL};
    struct clsa_implementation impl = {.values = NULL};
    struct clsa_trace_reader *reader = NULL;
    struct clsa_replay *replay = NULL;
    struct clsa_prediction closed = {.ops = NULL}, replayed = {.ops = NULL};
    const struct clsa_trace_step *step;
    int status;
    if ((status = clsa_machine_read("toy-gpu", NULL, 0, &machine, err)) ||
        (status = clsa_impl_read("tuned", NULL, 0, &impl, err)) ||
        (status = clsa_trace_open(trace, 0, &reader, err)))
        goto done;
    const struct clsa_replay_request play_request = {.machine = &machine, .impl = &impl};
    status = clsa_replay_create(&play_request, &replay, err);
    while (status == CLSA_OK && (status = clsa_trace_next(reader, &step, err)) == 1) {
        const struct clsa_closed_request request = {
            .step = &step->step, .machine = &machine, .impl = &impl};
        status = clsa_closed_predict(&request, &closed, err);
        if (status == CLSA_OK)
            clsa_prediction_destroy(&closed);
        if (status == CLSA_OK)
            status = clsa_replay_step(replay, step, &replayed, err);
        if (status == CLSA_OK)
            clsa_prediction_destroy(&replayed);
    }
done:
    clsa_replay_destroy(replay);
    clsa_trace_close(reader);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&machine);
    return status;
}

static int keep(struct clsa_err *err)
{
    static const struct clsa_run_row run = {.command = "predict",
                                            .command_line = "clsa predict",
                                            .tool_version = "0",
                                            .seed = 1,
                                            .started_unix_s = 1};
    static const struct clsa_model_row model = {"toy", "{}"};
    static const struct clsa_parameter_row l2 = {"", "l2.size", "1", "MB", "test", "toy.csv:1"};
    static const struct clsa_setup_row machine = {"toy", "gpu", "", "", "toy.csv", &l2, 1};
    static const struct clsa_setup_row software = {"tuned", "", "", "", "tuned.csv", &l2, 1};
    struct clsa_prediction_row row = {
        .point = {.phase = "decode", .batch = 1, .context_tokens = 100, .kv_shared = true},
        .method = "closed", .step_ps = 3, .step_lo_ps = 2, .step_hi_ps = 4, .other_ps = 3};
    struct clsa_store *store = NULL;
    struct clsa_reader *reader = NULL;
    struct clsa_cursor *cursor = NULL;
    int status;
    unlink(store_path);
    if ((status = clsa_store_open(store_path, &run, &store, err)) ||
        (status = clsa_store_add_model(store, &model, &row.point.model_id, err)) ||
        (status = clsa_store_add_machine(store, &machine, &row.machine_id, err)) ||
        (status = clsa_store_add_implementation(store, &software, &row.implementation_id, err)) ||
        (status = clsa_store_add_prediction(store, &row, NULL, err)) ||
        (status = clsa_store_commit(store, err)))
        goto done;
    if ((status = clsa_reader_open(store_path, &reader, err)) == CLSA_OK &&
        (status = clsa_cursor_open(reader, "SELECT count(*) FROM prediction", &cursor, err)) ==
            CLSA_OK &&
        (status = clsa_cursor_next(cursor, err)) == 1)
        status = clsa_cursor_i64(cursor, 0) == 1 ? CLSA_OK : CLSA_EMISMATCH;
    if (status)
        unlink(store_path); /* written before reading failed */
done:
    clsa_cursor_destroy(cursor);
    clsa_reader_destroy(reader);
    clsa_store_destroy(store);
    return status;
}

START_TEST(running_and_recording)
{
    sweep("a recorded run", run_and_record, trace, 100);
    sweep("a checkpoint", open_checkpoint, NULL, 10);
}
END_TEST

START_TEST(reading_and_pricing)
{
    struct clsa_err err;
    ck_assert_msg(run_and_record(&err) == 0, "%s", err.text);
    sweep("a trace", read_trace, NULL, 10);
    sweep("a prediction", price, NULL, 100);
}
END_TEST

START_TEST(storing)
{
    sweep("a store", keep, store_path, 5);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("fault");
    TCase *c = tcase_create("allocation");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, running_and_recording);
    tcase_add_test(c, reading_and_pricing);
    tcase_add_test(c, storing);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
