#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/engine/engine.h"
#include "sim/record/record.h"
#include "sim/record/shape.h"
#include "sim/routing/stats.h"
#include "tests/unit/mock_step.h"
#include "tests/unit/test.h"
#include "traces/compare.h"
#include "traces/info.h"
#include "traces/validate.h"

static char dir[64], functional[128], shape_only[128];
static struct clsa_err err;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/clsa-record-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(functional, sizeof functional, "%s/functional.clsat", dir);
    snprintf(shape_only, sizeof shape_only, "%s/shape.clsat", dir);
}

static void teardown(void)
{
    unlink(functional);
    unlink(shape_only);
    ck_assert_int_eq(rmdir(dir), 0);
}

static void must_validate(const char *path)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    const int status = clsa_trace_validate(path, out, &err);
    fclose(out);
    ck_assert_msg(status == 0, "%s: %s\n%s", path, err.text, text);
    free(text);
}

/* What an engine would tell an observer about a mock step, selections in the order queries come. */
static int observe(const struct clsa_observer *o, const struct mock_step *m)
{
    const struct clsa_step *step = &m->trace.step;
    int status = o->step_begin(o->user, step);
    for (uint32_t q = 0; q < step->n_queries && !status; q++)
        for (uint32_t j = 0; j < step->n_sets && !status; j++) {
            /* Borrowed for the call only: what was handed over is gone afterwards. */
            uint32_t positions[MOCK_TOPK];
            struct clsa_index_set set = m->sets[j * step->n_queries + q];
            memcpy(positions, set.positions, set.count * sizeof *positions);
            set.positions = positions;
            status = o->selection(o->user, step, &set, NULL);
            memset(positions, 0xff, sizeof positions);
        }
    return status ? status : o->step_end(o->user, step, 12345);
}

static int record_mock(const char *path, uint64_t steps)
{
    struct clsa_trace_writer *w = NULL;
    struct clsa_recorder *r = NULL;
    int status = clsa_trace_writer_open(path, NULL, 0, &w, &err);
    if (!status)
        status = clsa_recorder_create(w, &r, &err);
    for (uint64_t i = 0; i < steps && !status; i++) {
        struct mock_step m;
        mock_step_make(&m, 3, 50 + i, 2, i);
        status = observe(clsa_recorder_observer(r), &m);
    }
    if (!status)
        status = clsa_trace_writer_commit(w, &err);
    clsa_recorder_destroy(r);
    clsa_trace_writer_destroy(w);
    return status;
}

START_TEST(what_is_observed_is_recorded)
{
    struct clsa_trace_reader *reader = NULL;
    const struct clsa_trace_step *step;
    uint64_t i = 0;
    ck_assert_int_eq(record_mock(functional, 4), 0);
    must_validate(functional);
    ck_assert_int_eq(clsa_trace_open(functional, 0, &reader, &err), 0);
    while (clsa_trace_next(reader, &step, &err) == 1) {
        struct mock_step m;
        struct clsa_trace_difference d = {0};
        mock_step_make(&m, 3, 50 + i, 2, i);
        i++;
        ck_assert_int_eq(clsa_trace_compare_steps(step, &m.trace, &d, &err), 0);
        ck_assert_uint_eq(d.tensors + d.heads + d.ops + d.index_sets, 0);
    }
    ck_assert_uint_eq(i, 4);
    clsa_trace_close(reader);
}
END_TEST

START_TEST(a_selection_reported_twice_is_refused)
{
    struct clsa_trace_writer *w = NULL;
    struct clsa_recorder *r = NULL;
    struct mock_step m;
    mock_step_make(&m, 3, 50, 2, 1);
    m.sets[1].query = 0;
    ck_assert_int_eq(clsa_trace_writer_open(functional, NULL, 0, &w, &err), 0);
    ck_assert_int_eq(clsa_recorder_create(w, &r, &err), 0);
    ck_assert_int_eq(observe(clsa_recorder_observer(r), &m), CLSA_ERANGE);
    ck_assert_ptr_nonnull(strstr(clsa_recorder_error(r), "does not ascend"));
    clsa_recorder_destroy(r);
    clsa_trace_writer_destroy(w);
    ck_assert(!clsa_file_exists(functional));
}
END_TEST

START_TEST(no_allocation_failure_harms)
{
    unsigned long n = 0;
    for (;;) {
        clsa_alloc_fail_at(++n);
        const int status = record_mock(functional, 3);
        const bool reached = clsa_alloc_fail_at(0);
        ck_assert_msg(status == (reached ? CLSA_ENOMEM : 0), "allocation %lu: %d", n, status);
        if (!reached)
            break;
        ck_assert(!clsa_file_exists(functional));
    }
    ck_assert_uint_gt(n, 10);
}
END_TEST

/* ---- shape only ---- */

static void read_geometry(const char *name, struct clsa_geometry *g)
{
    char path[256];
    snprintf(path, sizeof path, "%s/models/%s.json", clsa_test_source(), name);
    ck_assert_msg(clsa_geometry_read(path, g, &err) == 0, "%s", err.text);
}

/* Every policy of a large model: made up, valid, and with the structure that was asked for. */
START_TEST(made_up_runs_are_valid)
{
    static const uint32_t groups[] = {0, 1, 4, 16};
    struct clsa_geometry g;
    read_geometry("clsa-4b", &g);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        struct clsa_trace_totals t = {0};
        const struct clsa_trace_tool tool = clsa_trace_totals_tool(&t);
        struct clsa_shape_run run = {.geometry = &g,
                                     .tool = "test",
                                     .n_seqs = 2,
                                     .context = 5000,
                                     .decode_steps = 3,
                                     .group = groups[i],
                                     .per_layer_kv = groups[i] == 4};
        clsa_synthetic_defaults(&run.synthetic);
        ck_assert_msg(clsa_shape_generate(&run, shape_only, &err) == 0, "%s", err.text);
        must_validate(shape_only);
        ck_assert_int_eq(clsa_trace_walk_file(shape_only, 0, UINT64_MAX, &tool, 1, &err), 0);
        ck_assert_uint_eq(t.steps, 3);
        ck_assert_uint_eq(t.keys_min, 5000);
        ck_assert_uint_eq(t.keys_max, 5002);
        const uint64_t sets = groups[i] ? g.cross_layers / groups[i] : 0;
        ck_assert_uint_eq(t.index_sets, 3 * 2 * sets);
        ck_assert_uint_eq(t.positions, 3 * 2 * sets * g.index_topk);
        ck_assert_uint_eq(t.op_count[CLSA_OP_ATTN_SPARSE], groups[i] ? 3 * g.cross_layers : 0);
        ck_assert_uint_eq(t.op_count[CLSA_OP_TOPK], 3 * sets);
    }
}
END_TEST

START_TEST(impossible_runs_are_refused)
{
    struct clsa_geometry g;
    struct clsa_shape_run run = {.geometry = &g, .tool = "test", .n_seqs = 1};
    read_geometry("clsa-4b", &g);
    clsa_synthetic_defaults(&run.synthetic);
    ck_assert_int_eq(clsa_shape_generate(&run, shape_only, &err), CLSA_EUSAGE);
    run.decode_steps = 1;
    ck_assert_int_eq(clsa_shape_generate(&run, shape_only, &err), CLSA_EUSAGE);
    run.context = UINT64_MAX;
    ck_assert_int_eq(clsa_shape_generate(&run, shape_only, &err), CLSA_ERANGE);
    run.context = 100;
    run.group = 3; /* does not divide 16 */
    ck_assert_int_eq(clsa_shape_generate(&run, shape_only, &err), CLSA_EUSAGE);
    ck_assert(!clsa_file_exists(shape_only));
}
END_TEST

START_TEST(recorded_selections_can_be_replanned)
{
    /* Selections of one group a layer, given to a plan of the same queries: same sets, other ops.
     */
    struct clsa_geometry g;
    struct clsa_trace_writer *w = NULL;
    struct clsa_trace_reader *r = NULL;
    const struct clsa_trace_step *step;
    struct clsa_trace_difference d;
    uint64_t past[1] = {2999};
    struct clsa_plan_request request;
    read_geometry("clsa-4b", &g);
    struct clsa_shape_run run = {.geometry = &g,
                                 .tool = "test",
                                 .n_seqs = 1,
                                 .context = 3000,
                                 .decode_steps = 1,
                                 .group = 1};
    clsa_synthetic_defaults(&run.synthetic);
    ck_assert_int_eq(clsa_shape_generate(&run, functional, &err), 0);
    ck_assert_int_eq(clsa_trace_open(functional, 0, &r, &err), 0);
    ck_assert_int_eq(clsa_trace_next(r, &step, &err), 1);
    clsa_plan_decode(&g, 1, 3000, 1, past, &request);
    request.per_layer_kv = true;
    ck_assert_int_eq(clsa_trace_writer_open(shape_only, NULL, 0, &w, &err), 0);
    ck_assert_int_eq(clsa_shape_step(w, &g, &request, NULL, step, &err), 0);
    past[0]++;
    ck_assert_int_eq(clsa_shape_step(w, &g, &request, NULL, step, &err), CLSA_EUSAGE);
    ck_assert_int_eq(clsa_trace_writer_commit(w, &err), 0);
    clsa_trace_writer_destroy(w);
    clsa_trace_close(r);
    must_validate(shape_only);
    ck_assert_int_eq(clsa_trace_compare(functional, shape_only, NULL, &d, &err), CLSA_EMISMATCH);
    ck_assert_uint_eq(d.index_sets, 0);
    ck_assert_uint_gt(d.ops, 0);
}
END_TEST

START_TEST(a_recorded_run_can_change_its_policy)
{
    /* 16 selections a query, one a layer, replanned for groups of 4: group j takes layer 4 j's. */
    struct clsa_geometry g;
    struct clsa_trace_reader *a = NULL, *b = NULL;
    const struct clsa_trace_step *x, *y;
    int steps = 0;
    read_geometry("clsa-4b", &g);
    struct clsa_shape_run run = {.geometry = &g,
                                 .tool = "test",
                                 .n_seqs = 2,
                                 .context = 2500,
                                 .decode_steps = 3,
                                 .group = 1,
                                 .top_k = 64};
    clsa_synthetic_defaults(&run.synthetic);
    ck_assert_int_eq(clsa_shape_generate(&run, functional, &err), 0);
    run.group = 4;
    run.top_k = 0;
    ck_assert_msg(clsa_shape_replan(&run, functional, shape_only, &err) == 0, "%s", err.text);
    must_validate(shape_only);
    ck_assert_int_eq(clsa_trace_open(functional, 0, &a, &err), 0);
    ck_assert_int_eq(clsa_trace_open(shape_only, 0, &b, &err), 0);
    ck_assert_str_eq(clsa_trace_provenance(clsa_trace_header(b), "selections"), "synthetic");
    for (; clsa_trace_next(a, &x, &err) == 1; steps++) {
        ck_assert_int_eq(clsa_trace_next(b, &y, &err), 1);
        ck_assert_uint_eq(y->n_index_sets, 4 * 2);
        for (size_t i = 0; i < y->n_index_sets; i++) {
            const struct clsa_index_set *set = &y->index_sets[i];
            const struct clsa_index_set *from = clsa_trace_find_set(x, set->query, set->set * 4);
            ck_assert_uint_eq(set->count, 64);
            ck_assert_mem_eq(set->positions, from->positions, 64 * sizeof *set->positions);
        }
    }
    ck_assert_int_eq(steps, 3);
    clsa_trace_close(a);
    clsa_trace_close(b);
    /* Fewer recorded groups than the plan has are not enough. */
    run.group = 1;
    ck_assert_int_eq(clsa_shape_replan(&run, shape_only, functional, &err), CLSA_EUSAGE);
}
END_TEST

/* ---- the real model ---- */

enum { PROMPT = 200, CHUNK = 128, DECODE = 3, SEQS = 2, CAPACITY = 256, TOPK = 32 };

/* Runs the embedded model for real and records it. */
static void run_engine(struct clsa_model *model, uint32_t group, const char *path)
{
    const struct clsa_provenance provenance[] = {{"selections", "engine"}};
    struct clsa_engine_options options;
    struct clsa_engine *engine = NULL;
    struct clsa_trace_writer *w = NULL;
    struct clsa_recorder *r = NULL;
    static int32_t tokens[SEQS * PROMPT];
    for (int i = 0; i < SEQS * PROMPT; i++)
        tokens[i] = 32 + i * 7 % 91;
    ck_assert_int_eq(clsa_trace_writer_open(path, provenance, 1, &w, &err), 0);
    ck_assert_int_eq(clsa_recorder_create(w, &r, &err), 0);
    clsa_engine_defaults(clsa_model_geometry(model), CAPACITY, &options);
    options.n_seqs = SEQS;
    options.chunk = CHUNK;
    options.group = group;
    options.top_k = TOPK;
    options.observer = clsa_recorder_observer(r);
    ck_assert_msg(clsa_engine_create(model, &options, &engine, &err) == 0, "%s", err.text);
    ck_assert_msg(clsa_engine_prefill(engine, 0, SEQS, tokens, PROMPT, NULL, 0, NULL, &err) == 0,
                  "%s", err.text);
    for (int i = 0; i < DECODE; i++)
        ck_assert_msg(clsa_engine_decode(engine, 0, SEQS, tokens + i * SEQS, NULL, &err) == 0, "%s",
                      err.text);
    ck_assert_int_eq(clsa_trace_writer_commit(w, &err), 0);
    clsa_engine_destroy(engine);
    clsa_recorder_destroy(r);
    clsa_trace_writer_destroy(w);
}

START_TEST(a_functional_and_a_shape_only_trace_differ_in_index_sets_only)
{
    static const uint32_t groups[] = {0, 1, 4};
    char path[256];
    struct clsa_model *model = NULL;
    snprintf(path, sizeof path, "%s/models/clsa-byte-5m.json", clsa_test_source());
    ck_assert_msg(clsa_model_open(path, &model, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        struct clsa_trace_difference d;
        struct clsa_shape_run run = {.geometry = clsa_model_geometry(model),
                                     .tool = "test",
                                     .n_seqs = SEQS,
                                     .prompt_tokens = PROMPT,
                                     .chunk = CHUNK,
                                     .decode_steps = DECODE,
                                     .capacity = CAPACITY,
                                     .group = groups[i],
                                     .top_k = TOPK,
                                     .engine_dtypes = true};
        clsa_synthetic_defaults(&run.synthetic);
        run_engine(model, groups[i], functional);
        ck_assert_int_eq(clsa_shape_generate(&run, shape_only, &err), 0);
        must_validate(functional);
        must_validate(shape_only);
        ck_assert_int_eq(clsa_trace_compare(functional, shape_only, NULL, &d, &err),
                         CLSA_EMISMATCH);
        ck_assert_uint_eq(d.steps, 0);
        ck_assert_uint_eq(d.tensors, 0);
        ck_assert_uint_eq(d.heads, 0);
        ck_assert_uint_eq(d.ops, 0);
        /* One selection a query and group, in the last chunk of the prompt and in decode: all
         * differ (made-up selections of 32 of 200 positions do not meet real ones by chance). */
        const uint64_t sets = groups[i] ? clsa_model_geometry(model)->cross_layers / groups[i] : 0;
        ck_assert_uint_eq(d.index_sets, sets * SEQS * (1 + DECODE));
        if (groups[i] != 4)
            continue;
        /* The same run twice is the same trace. */
        run_engine(model, groups[i], shape_only);
        ck_assert_int_eq(clsa_trace_compare(functional, shape_only, NULL, &d, &err), 0);
    }
    clsa_model_destroy(model);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("record");
    TCase *record = tcase_create("record"), *shape = tcase_create("shape"),
          *engine = tcase_create("engine");
    tcase_add_checked_fixture(record, setup, teardown);
    tcase_add_test(record, what_is_observed_is_recorded);
    tcase_add_test(record, a_selection_reported_twice_is_refused);
    tcase_add_test(record, no_allocation_failure_harms);
    tcase_add_checked_fixture(shape, setup, teardown);
    tcase_set_timeout(shape, 60);
    tcase_add_test(shape, made_up_runs_are_valid);
    tcase_add_test(shape, impossible_runs_are_refused);
    tcase_add_test(shape, recorded_selections_can_be_replanned);
    tcase_add_test(shape, a_recorded_run_can_change_its_policy);
    tcase_add_checked_fixture(engine, setup, teardown);
    tcase_set_timeout(engine, 120);
    tcase_add_test(engine, a_functional_and_a_shape_only_trace_differ_in_index_sets_only);
    suite_add_tcase(s, record);
    suite_add_tcase(s, shape);
    suite_add_tcase(s, engine);
    return s;
}

CLSA_TEST_MAIN(suite)
