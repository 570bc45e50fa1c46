/* reports: named queries give the columns the commands promise, tables print what a cursor
 * holds, and the page is whole, self-contained, escaped and the same every time. */
#include "tests/unit/test.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/chart.h"
#include "reports/print.h"
#include "reports/query.h"
#include "reports/report.h"
#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/json.h"
#include "sim/store/store.h"

static const uint32_t groups[] = {0, 1, 2, 4, 8, 16};

/* ps of a step on the made-up machine, exact in microseconds. */
static int64_t step_ps(uint64_t batch, uint64_t context, uint32_t group)
{
    const int64_t n = (int64_t)(batch * context);
    return group == 0 ? 1000000000 + n * 20000 : 1100000000 + (16 / (int64_t)group) * n * 500;
}

/* A store in memory with two machines, two batches, two contexts, all groups, and some quality. */
static struct clsa_store *make_store(const char *model_name)
{
    struct clsa_err err;
    struct clsa_store *store = NULL;
    const struct clsa_run_row run = {.guid = "33333333-3333-4333-8333-333333333333",
                                     .command = "predict", .command_line = "clsa predict <x> & y",
                                     .tool_version = "0.1", .seed = CLSA_NULL,
                                     .started_unix_s = CLSA_NULL};
    const struct clsa_model_row model = {model_name, "{}"};
    const struct clsa_parameter_row parameter = {"gemm", "l2.size", "50", "MB", "data sheet, p. 3",
                                                 "toy.csv:2"};
    int64_t model_id, machine_id, implementation_id;
    ck_assert_int_eq(clsa_store_open(NULL, &run, &store, &err), 0);
    ck_assert_int_eq(clsa_store_add_model(store, &model, &model_id, &err), 0);
    const struct clsa_setup_row software = {.name = "plain", .parameters = &parameter,
                                            .n_parameters = 1};
    ck_assert_int_eq(clsa_store_add_implementation(store, &software, &implementation_id, &err), 0);
    for (int m = 0; m < 2; m++) {
        const struct clsa_setup_row machine = {.name = m ? "slow" : "fast", .kind = "gpu",
                                               .parameters = &parameter, .n_parameters = 1};
        ck_assert_int_eq(clsa_store_add_machine(store, &machine, &machine_id, &err), 0);
        for (uint64_t batch = 1; batch <= 8; batch *= 8)
            for (uint64_t context = 8192; context <= 131072; context *= 16)
                for (size_t g = 0; g < 6; g++) {
                    const int64_t ps = step_ps(batch, context, groups[g]) * (m + 1);
                    int64_t id;
                    struct clsa_prediction_row row = {
                        .point = {.model_id = model_id, .phase = "decode", .batch = batch,
                                  .context_tokens = context, .group = groups[g], .top_k = 2048,
                                  .kv_shared = true},
                        .machine_id = machine_id, .implementation_id = implementation_id,
                        .method = "closed", .step_ps = ps, .step_lo_ps = ps / 2,
                        .step_hi_ps = ps * 2, .attention_ps = ps / 2, .index_ps = ps / 4,
                        .other_ps = ps / 4, .launches = 10};
                    ck_assert_int_eq(clsa_store_add_prediction(store, &row, &id, &err), 0);
                    const struct clsa_op_row ops[] = {
                        {.op = "attn_sparse", .part = "attention", .layer = -1, .count = 1,
                         .time_ps = ps / 2, .lo_ps = CLSA_NULL, .hi_ps = CLSA_NULL},
                        {.op = "topk", .part = "index", .layer = -1, .count = 1, .time_ps = ps / 4,
                         .lo_ps = CLSA_NULL, .hi_ps = CLSA_NULL},
                        {.op = "gemm_up", .part = "other", .layer = -1, .count = 1,
                         .time_ps = ps / 4, .lo_ps = CLSA_NULL, .hi_ps = CLSA_NULL}};
                    ck_assert_int_eq(clsa_store_add_ops(store, id, ops, 3, &err), 0);
                    const struct clsa_measurement_row measured = {
                        .point = row.point, .machine = machine.name, .implementation = "plain",
                        .count = 1, .time_ps = ps * 10 / 11, .lo_ps = CLSA_NULL,
                        .hi_ps = CLSA_NULL, .samples = 3};
                    ck_assert_int_eq(clsa_store_add_measurement(store, &measured, &err), 0);
                }
    }
    for (uint32_t k = 0; k <= 256; k = k ? k * 2 : 64)
        for (uint32_t g = k ? 1 : 0; g <= (k ? 8u : 0u); g *= 2) {
            const struct clsa_quality_row row = {
                .model_id = model_id, .tokens = 4096, .group = g, .top_k = k, .hop1_right = 9,
                .hop1_asked = 10, .hop2_right = k ? 64 - g : 60, .hop2_asked = 100,
                .bits_per_byte = 1.5, .mass_covered = NAN, .overlap = NAN};
            ck_assert_int_eq(clsa_store_add_quality(store, &row, &err), 0);
            if (k == 0)
                break;
        }
    return store;
}

static char *printed(struct clsa_reader *reader, const char *query, enum clsa_format format)
{
    struct clsa_err err;
    struct clsa_cursor *cursor = NULL;
    char *text = NULL;
    size_t bytes = 0;
    ck_assert_msg(clsa_query_open(reader, query, &cursor, &err) == 0, "%s", err.text);
    FILE *f = open_memstream(&text, &bytes);
    ck_assert_int_eq(clsa_print_cursor(f, format, cursor, &err), 0);
    fclose(f);
    return text;
}

START_TEST(queries_hold_the_columns_the_commands_promise)
{
    struct clsa_store *store = make_store("toy");
    char *predict = printed(clsa_store_reader(store), "predict", CLSA_FORMAT_CSV);
    static const char header[] =
        "model,machine,implementation,phase,batch,context,group,kv_shared,top_k,step_us,step_us_lo,"
        "step_us_hi,attention_us,index_us,other_us,speedup_vs_dense,speedup_vs_group1\n";
    ck_assert_int_eq(strncmp(predict, header, sizeof header - 1), 0);
    size_t lines = 0;
    char *save = NULL;
    for (char *line = strtok_r(predict, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long long batch, context;
        unsigned group, shared, top_k;
        double step, lo, hi, parts[3], dense, one = 1;
        char machine[16];
        if (lines++ == 0)
            continue;
        const int got = sscanf(line, "toy,%15[^,],plain,decode,%llu,%llu,%u,%u,%u,%lf,%lf,%lf,%lf,"
                               "%lf,%lf,%lf,%lf", machine, &batch, &context, &group, &shared,
                               &top_k, &step, &lo, &hi, &parts[0], &parts[1], &parts[2], &dense,
                               &one);
        ck_assert_msg(got == (group ? 14 : 13), "%s", line);
        const double want = (double)step_ps(batch, context, group);
        ck_assert_double_eq_tol(step * 1e6, want * (strcmp(machine, "slow") == 0 ? 2 : 1), 1);
        ck_assert_double_eq_tol(dense, (double)step_ps(batch, context, 0) / want, 1e-12);
        ck_assert(!group || fabs(one - (double)step_ps(batch, context, 1) / want) < 1e-12);
        ck_assert_uint_eq(top_k, group ? 2048 : 0);
        ck_assert_double_eq_tol(parts[0] + parts[1] + parts[2], step, 1e-5);
    }
    ck_assert_uint_eq(lines, 1 + 2 * 2 * 2 * 6);
    free(predict);
    char *eval = printed(clsa_store_reader(store), "eval", CLSA_FORMAT_CSV);
    ck_assert_int_eq(strncmp(eval, "tokens,group,top_k,hop1_right,hop1_asked,hop2_right,hop2_asked,"
                             "bits_per_byte,mass_covered\n4096,0,0,9,10,60,100,1.5,\n", 116), 0);
    free(eval);
    clsa_store_destroy(store);
}
END_TEST

START_TEST(every_named_query_and_view_answers)
{
    struct clsa_store *store = make_store("toy");
    struct clsa_reader *reader = clsa_store_reader(store);
    ck_assert_uint_gt(clsa_named_query_count, 10);
    for (size_t i = 0; i < clsa_named_query_count; i++) {
        const struct clsa_named_query *q = &clsa_named_queries[i];
        ck_assert_msg(i == 0 || strcmp(clsa_named_queries[i - 1].name, q->name) < 0,
                      "%s is out of order", q->name);
        ck_assert_msg(strlen(q->title) > 10 && q->title[0] >= 'A', "%s has no title", q->name);
        ck_assert_msg(!clsa_reader_has(reader, q->name), "%s hides a table or view", q->name);
        free(printed(reader, q->name, CLSA_FORMAT_TABLE));
    }
    static const char *const views[] = {"speedup", "best_group", "launches", "top_ops",
                                        "error_by_op", "quality"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        free(printed(reader, views[i], CLSA_FORMAT_CSV));
    struct clsa_cursor *cursor = NULL;
    struct clsa_err err;
    ck_assert_int_eq(clsa_query_open(reader, "speed", &cursor, &err), CLSA_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "speedup"));
    ck_assert_int_eq(clsa_query_open(reader, "DROP TABLE run", &cursor, &err), CLSA_EUSAGE);
    clsa_store_destroy(store);
}
END_TEST

START_TEST(formats_agree_and_escape)
{
    struct clsa_store *store = make_store("toy");
    struct clsa_reader *reader = clsa_store_reader(store);
    static const char sql[] = "SELECT 1 AS i, 0.1 AS r, NULL AS n, "
                              "'a,\"b\"' || char(10) || 'é' AS t "
                              "UNION ALL SELECT -5, 1e300, 2, 'x' || char(27) || '[31m'";
    char *csv = printed(reader, sql, CLSA_FORMAT_CSV);
    ck_assert_str_eq(csv, "i,r,n,t\n1,0.1,,\"a,\"\"b\"\"\né\"\n-5,1e+300,2,x\033[31m\n");
    char *json = printed(reader, sql, CLSA_FORMAT_JSON);
    struct clsa_json *doc = NULL;
    ck_assert_int_eq(clsa_json_parse("out", json, strlen(json), &doc, NULL), 0);
    const struct clsa_node *row = clsa_node_at(clsa_json_root(doc), 0);
    double r = 0;
    ck_assert(clsa_node_f64(clsa_node_get(row, "r"), &r));
    ck_assert_double_eq(r, 0.1);
    ck_assert_ptr_null(clsa_node_get(row, "n"));
    ck_assert_str_eq(clsa_node_text(clsa_node_get(row, "t")), "a,\"b\"\né");
    clsa_json_destroy(doc);
    char *table = printed(reader, sql, CLSA_FORMAT_TABLE);
    ck_assert_ptr_null(strchr(table, '\033'));
    ck_assert_int_eq(strncmp(table, " i       r  n  t\n", 17), 0);
    char *none = printed(reader, "SELECT 1 AS x WHERE 0", CLSA_FORMAT_JSON);
    ck_assert_str_eq(none, "[]\n");
    ck_assert_int_eq(clsa_format_find("json"), CLSA_FORMAT_JSON);
    ck_assert_int_eq(clsa_format_find("xml"), -1);
    free(none);
    free(csv);
    free(json);
    free(table);
    clsa_store_destroy(store);
}
END_TEST

START_TEST(a_full_disk_is_not_a_finished_table)
{
    struct clsa_store *store = make_store("toy");
    struct clsa_cursor *cursor = NULL;
    struct clsa_err err;
    FILE *full = fopen("/dev/full", "w");
    ck_assert_int_eq(clsa_query_open(clsa_store_reader(store), "ops", &cursor, &err), 0);
    ck_assert_int_eq(clsa_print_cursor(full, CLSA_FORMAT_TABLE, cursor, &err), CLSA_EIO);
    fclose(full);
    clsa_store_destroy(store);
}
END_TEST

static char *page_of(struct clsa_store *store)
{
    char path[] = "/tmp/clsa-page-XXXXXX";
    struct clsa_err err;
    char *text = NULL;
    size_t bytes = 0;
    close(mkstemp(path));
    ck_assert_msg(clsa_report_html(clsa_store_reader(store), path, &err) == 0, "%s", err.text);
    ck_assert_int_eq(clsa_file_read(path, 64 << 20, &text, &bytes, &err), 0);
    ck_assert_uint_eq(strlen(text), bytes);
    unlink(path);
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

/* Every element that is opened is closed, in order: the page is written as XML would be. */
static void check_nesting(const char *text)
{
    char stack[64][16];
    size_t depth = 0;
    static const char *const empty[] = {"meta", "br", "!DOCTYPE"};
    for (const char *p = text; (p = strchr(p, '<')); p++) {
        const bool closing = p[1] == '/';
        const char *name = p + 1 + closing;
        const size_t n = strcspn(name, " >/\n");
        const char *end = strchr(p, '>');
        bool skip = end[-1] == '/';
        ck_assert_uint_lt(n, 16);
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
            skip = skip || (strlen(empty[i]) == n && strncmp(empty[i], name, n) == 0);
        if (skip)
            continue;
        if (closing) {
            ck_assert_uint_gt(depth, 0);
            ck_assert_msg(strncmp(stack[--depth], name, n) == 0 && stack[depth][n] == '\0',
                          "</%.*s> closes <%s>", (int)n, name, stack[depth]);
        } else {
            ck_assert_uint_lt(depth, 64);
            snprintf(stack[depth++], sizeof stack[0], "%.*s", (int)n, name);
        }
    }
    ck_assert_uint_eq(depth, 0);
}

START_TEST(the_page_is_whole_and_alone)
{
    struct clsa_store *store = make_store("toy");
    char *page = page_of(store), *again = page_of(store);
    ck_assert_str_eq(page, again);
    check_nesting(page);
    static const char *const foreign[] = {"<script", "http://", "https://", "@import", "url(",
                                          "<link", "<img", "nan", "inf\""};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        ck_assert_msg(!strstr(page, foreign[i]), "the page holds %s", foreign[i]);
    /* Two machines: for each, two batches with two line charts and one of ops; quality; pairs. */
    ck_assert_uint_eq(count(page, "<svg "), 2 * 2 * 3 + 1 + 1);
    ck_assert_ptr_nonnull(strstr(page, "A group of 16 is fastest at every point asked"));
    ck_assert_ptr_nonnull(strstr(page, "data sheet, p. 3"));
    ck_assert_ptr_nonnull(strstr(page, "prefers-color-scheme: dark"));
    ck_assert_ptr_nonnull(strstr(page, "clsa predict &lt;x&gt; &amp; y"));
    /* The largest gain, as a formula: batch 8, context 128K. */
    char want[64];
    const double most = (double)step_ps(8, 131072, 0) / (double)step_ps(8, 131072, 16);
    snprintf(want, sizeof want, "%.*f times as fast as with dense", most < 9.995 ? 2 : 1, most);
    ck_assert_msg(strstr(page, want) != NULL, "%s", want);
    /* Ids are unique. */
    for (const char *p = page; (p = strstr(p, " id=\"")); p += 5) {
        char id[64];
        snprintf(id, sizeof id, "%.*s", (int)strcspn(p + 5, "\"") + 6, p);
        ck_assert_msg(count(page, id) == 1, "%s twice", id);
    }
    free(page);
    free(again);
    clsa_store_destroy(store);
}
END_TEST

START_TEST(names_cannot_break_out_of_the_page)
{
    struct clsa_store *store = make_store("<script>alert(1)</script>\"'&\x01\xff\xc3");
    char *page = page_of(store);
    check_nesting(page);
    ck_assert_ptr_null(strstr(page, "<script"));
    ck_assert_ptr_null(strchr(page, '\x01'));
    ck_assert_ptr_null(strchr(page, '\xff'));
    free(page);
    clsa_store_destroy(store);
}
END_TEST

START_TEST(an_empty_store_gives_a_page_that_says_so)
{
    const struct clsa_run_row run = {.command = "check", .command_line = "clsa check",
                                     .tool_version = "0.1", .seed = CLSA_NULL,
                                     .started_unix_s = CLSA_NULL};
    struct clsa_store *store = NULL;
    struct clsa_err err;
    ck_assert_int_eq(clsa_store_open(NULL, &run, &store, &err), 0);
    char *page = page_of(store);
    check_nesting(page);
    ck_assert_ptr_nonnull(strstr(page, "holds no prediction"));
    free(page);
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    ck_assert_int_eq(clsa_report_terminal(clsa_store_reader(store), f, 0, &err), 0);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "No finding"));
    free(text);
    clsa_store_destroy(store);
}
END_TEST

START_TEST(the_terminal_report_fits_its_columns)
{
    struct clsa_store *store = make_store("toy");
    struct clsa_err err;
    for (unsigned columns = 60; columns <= 180; columns += 40) {
        char *text = NULL, *save = NULL;
        size_t bytes = 0;
        FILE *f = open_memstream(&text, &bytes);
        ck_assert_int_eq(clsa_report_terminal(clsa_store_reader(store), f, columns, &err), 0);
        fclose(f);
        ck_assert_ptr_nonnull(strstr(text, "128K"));
        ck_assert_ptr_nonnull(strstr(text, "g=16"));
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            unsigned width = 0;
            for (const char *p = line; *p; p++)
                width += ((unsigned char)*p & 0xc0) != 0x80;
            ck_assert_msg(width <= columns || strstr(line, "Speed-up over"), "%u: %s", columns,
                          line);
        }
        free(text);
    }
    clsa_store_destroy(store);
}
END_TEST

/* A canvas that keeps the heights of dots, to hold a chart against what it was given. */
struct probe {
    struct clsa_canvas canvas;
    double y[32];
    size_t n;
};

static void probe_begin(struct clsa_canvas *c, const char *id, const char *title,
                        const char *description, double w, double h)
{
    ck_assert(c && id && title && description && w > 0 && h > 0);
}

static void probe_line(struct clsa_canvas *c, const double *x, const double *y, size_t n,
                       enum clsa_paint paint)
{
    (void)c;
    (void)paint;
    for (size_t i = 0; i < n; i++)
        ck_assert(isfinite(x[i]) && isfinite(y[i]));
}

static void probe_band(struct clsa_canvas *c, const double *x, const double *lo, const double *hi,
                       size_t n, enum clsa_paint paint)
{
    (void)c;
    (void)x;
    (void)paint;
    for (size_t i = 0; i < n; i++)
        ck_assert_double_ge(lo[i], hi[i]); /* downwards is larger */
}

static void probe_rect(struct clsa_canvas *c, double x, double y, double w, double h,
                       enum clsa_paint paint, const char *tip)
{
    (void)paint;
    (void)tip;
    struct probe *p = (struct probe *)c;
    ck_assert(w >= 0 && h > 0 && x >= 0 && y >= 0);
    p->y[p->n++] = w;
}

static void probe_dot(struct clsa_canvas *c, double x, double y, enum clsa_paint paint,
                      const char *tip)
{
    (void)x;
    (void)paint;
    (void)tip;
    struct probe *p = (struct probe *)c;
    p->y[p->n++] = y;
}

static void probe_text(struct clsa_canvas *c, double x, double y, enum clsa_anchor anchor,
                       enum clsa_paint paint, const char *text)
{
    (void)c;
    (void)anchor;
    (void)paint;
    ck_assert(isfinite(x) && isfinite(y) && text);
}

static int probe_end(struct clsa_canvas *c, struct clsa_err *err)
{
    (void)c;
    (void)err;
    return 0;
}

static void probe_destroy(struct clsa_canvas *c)
{
    (void)c;
}

static const struct clsa_canvas_ops probe_ops = {
    probe_begin, probe_line, probe_band, probe_rect, probe_dot, probe_text, probe_end,
    probe_destroy};

START_TEST(charts_are_to_scale)
{
    const size_t place[] = {0, 1, 2, 3};
    const double y[] = {1, 2, 3, NAN}, log_y[] = {1, 10, 100, 0}, lo[] = {0.5, 1, 2, NAN},
                 hi[] = {2, 3, 4, NAN};
    static const char *const names[] = {"a", "b", "c", "d"};
    struct clsa_series series = {.name = "s", .n = 4, .place = place, .y = y, .lo = lo, .hi = hi};
    struct clsa_line_chart chart = {.id = "i", .title = "t", .x_label = "x", .y_unit = "",
                                    .categories = names, .n_categories = 4, .series = &series,
                                    .n_series = 1, .reference = 1, .reference_label = "r"};
    struct probe p = {.canvas = {&probe_ops, NULL}};
    ck_assert_int_eq(clsa_chart_lines(&p.canvas, &chart, NULL), 0);
    ck_assert_uint_eq(p.n, 3); /* what is not known is not drawn */
    ck_assert_double_eq_tol(p.y[0] - p.y[1], p.y[1] - p.y[2], 1e-9);
    ck_assert_double_gt(p.y[0], p.y[1]);
    series.y = log_y;
    series.lo = series.hi = NULL;
    chart.log_y = true;
    p.n = 0;
    ck_assert_int_eq(clsa_chart_lines(&p.canvas, &chart, NULL), 0);
    ck_assert_uint_eq(p.n, 3);
    ck_assert_double_eq_tol(p.y[0] - p.y[1], p.y[1] - p.y[2], 1e-9);
    /* Nothing to draw is no failure. */
    chart.n_series = 0;
    ck_assert_int_eq(clsa_chart_lines(&p.canvas, &chart, NULL), 0);

    const struct clsa_segment segments[] = {{3, CLSA_PAINT_ATTENTION, NULL},
                                            {1, CLSA_PAINT_OTHER, NULL}};
    const struct clsa_bar bar = {"b", NULL, segments, 2, NAN, NAN};
    const struct clsa_bar_chart bars = {"i", "t", "", &bar, 1};
    p.n = 0;
    ck_assert_int_eq(clsa_chart_bars(&p.canvas, &bars, NULL), 0);
    ck_assert_uint_eq(p.n, 2);
    ck_assert_double_eq_tol(p.y[0], 3 * p.y[1], 1e-9);

    const struct clsa_scatter_point points[] = {{1, 1, NAN, NAN, CLSA_PAINT_INDEX, NULL},
                                                {10, 10, 9, 12, CLSA_PAINT_INDEX, NULL},
                                                {100, 100, NAN, NAN, CLSA_PAINT_INDEX, NULL},
                                                {0, 5, NAN, NAN, CLSA_PAINT_INDEX, NULL}};
    const struct clsa_scatter_chart scatter = {"i", "t", "x", "y", points, 4, 1.2};
    p.n = 0;
    ck_assert_int_eq(clsa_chart_scatter(&p.canvas, &scatter, NULL), 0);
    ck_assert_uint_eq(p.n, 3);
    ck_assert_double_eq_tol(p.y[0] - p.y[1], p.y[1] - p.y[2], 1e-9);
}
END_TEST

START_TEST(every_failed_allocation_ends_the_page)
{
    struct clsa_store *store = make_store("toy");
    unsigned long n = 1, step = 1;
    for (;; n += step, step = 1 + n / 40) {
        char path[] = "/tmp/clsa-page-XXXXXX";
        struct clsa_err err = {""};
        close(mkstemp(path));
        clsa_alloc_fail_at(n);
        const int status = clsa_report_html(clsa_store_reader(store), path, &err);
        const bool failed = clsa_alloc_fail_at(0);
        char *text = NULL;
        size_t bytes = 0;
        ck_assert_int_eq(clsa_file_read(path, 64 << 20, &text, &bytes, NULL), 0);
        free(text);
        unlink(path);
        if (!failed) {
            ck_assert_int_eq(status, 0);
            break;
        }
        ck_assert_msg(status == CLSA_ENOMEM, "allocation %lu: %d %s", n, status, err.text);
        ck_assert_uint_eq(bytes, 0); /* the old file stays */
    }
    ck_assert_uint_gt(n, 100);
    clsa_store_destroy(store);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("reports");
    TCase *t = tcase_create("reports");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, queries_hold_the_columns_the_commands_promise);
    tcase_add_test(t, every_named_query_and_view_answers);
    tcase_add_test(t, formats_agree_and_escape);
    tcase_add_test(t, a_full_disk_is_not_a_finished_table);
    tcase_add_test(t, the_page_is_whole_and_alone);
    tcase_add_test(t, names_cannot_break_out_of_the_page);
    tcase_add_test(t, an_empty_store_gives_a_page_that_says_so);
    tcase_add_test(t, the_terminal_report_fits_its_columns);
    tcase_add_test(t, charts_are_to_scale);
    tcase_add_test(t, every_failed_allocation_ends_the_page);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
