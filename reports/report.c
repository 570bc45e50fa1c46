/* The HTML page, section by section. A section without rows is left out. */
#include "reports/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/page.h"
#include "reports/study.h"
#include "sim/base/file.h"

/* Settings and findings beyond these many start folded. */
#define OPEN_SETTINGS 4
#define OPEN_FINDINGS 8
/* Machines are compared at every point when there are no more than this, else at the corners. */
#define COMPARED_POINTS 8

struct report {
    FILE *f; /* the body under way */
    struct clsa_page page;
    struct clsa_canvas *canvas;
    struct clsa_study study;
};

static void put_finding(FILE *f, const struct clsa_finding *finding)
{
    fputs("<li><b>", f);
    clsa_put_escaped(f, finding->subject);
    fputs("</b> ", f);
    clsa_put_escaped(f, finding->text);
    fputs("</li>\n", f);
}

static void put_findings(struct report *r)
{
    const struct clsa_study *s = &r->study;
    const size_t shown = s->n_findings < OPEN_FINDINGS ? s->n_findings : OPEN_FINDINGS;
    if (s->n_findings == 0)
        return;
    fputs("<ul class=\"findings\">\n", r->f);
    for (size_t i = 0; i < shown; i++)
        put_finding(r->f, &s->findings[i]);
    fputs("</ul>\n", r->f);
    if (s->n_findings == shown)
        return;
    fprintf(r->f, "<details><summary>%zu more</summary>\n<ul class=\"findings\">\n",
            s->n_findings - shown);
    for (size_t i = shown; i < s->n_findings; i++)
        put_finding(r->f, &s->findings[i]);
    fputs("</ul>\n</details>\n", r->f);
}

/* How strongly a speed-up is tinted. */
static const char *heat(double speedup)
{
    return !isfinite(speedup) ? "h0" : speedup < 1 ? "hm" : speedup < 1.25 ? "h0"
           : speedup < 2      ? "h1" : speedup < 4 ? "h2" : speedup < 8    ? "h3" : "h4";
}

static void put_best(struct report *r, const struct clsa_setting *s)
{
    struct clsa_study *study = &r->study;
    if (s->top_k == 0)
        return;
    fputs("<div class=\"scroll\"><table class=\"heat\"><caption>Fastest group size, its speed-up "
          "over "
          "dense attention (over one index a layer where dense was not asked for), and its step "
          "time</caption>\n<tr><th class=\"t\">batch \\ context</th>", r->f);
    for (size_t c = 0; c < s->n_contexts; c++)
        fprintf(r->f, "<th>%s</th>", clsa_text_tokens(&study->pool, s->contexts[c]));
    fputs("</tr>\n", r->f);
    for (size_t b = 0; b < s->n_batches; b++) {
        fprintf(r->f, "<tr><th>%lld</th>", (long long)s->batches[b]);
        for (size_t c = 0; c < s->n_contexts; c++) {
            const size_t row = clsa_study_best(study, s, s->batches[b], s->contexts[c]);
            if (row == CLSA_NO_ROW) {
                fputs("<td></td>", r->f);
                continue;
            }
            double speedup = clsa_rows_f64(&study->best, row, "speedup_vs_dense");
            if (!isfinite(speedup))
                speedup = clsa_rows_f64(&study->best, row, "speedup_vs_group1");
            fprintf(r->f, "<td class=\"%s\"><b>g=%lld</b> ", heat(speedup),
                    (long long)clsa_rows_i64(&study->best, row, "best_group"));
            if (isfinite(speedup))
                fprintf(r->f, "%.2f×", speedup);
            fprintf(r->f, "<small>%s</small></td>",
                    clsa_text_time(&study->pool, clsa_rows_f64(&study->best, row, "step_us")));
        }
        fputs("</tr>\n", r->f);
    }
    fputs("</table></div>\n", r->f);
}

static const struct clsa_column step_columns[] = {
    {"batch", "batch", CLSA_AS_COUNT},
    {"context", "context", CLSA_AS_TOKENS},
    {"group", "group", CLSA_AS_GROUP},
    {"step_us", "step", CLSA_AS_TIME},
    {"step_us_lo", "80 % from", CLSA_AS_TIME},
    {"step_us_hi", "to", CLSA_AS_TIME},
    {"attention_us", "attention", CLSA_AS_TIME},
    {"index_us", "index", CLSA_AS_TIME},
    {"other_us", "other", CLSA_AS_TIME},
    {"speedup_vs_dense", "vs dense", CLSA_AS_FACTOR},
    {"speedup_vs_group1", "vs g=1", CLSA_AS_FACTOR},
    {"launches", "launches", CLSA_AS_COUNT},
    {"dram_bytes", "DRAM", CLSA_AS_BYTES},
};
#define COLUMNS(list) (list), sizeof(list) / sizeof *(list)

static int put_setting_figures(struct report *r, const struct clsa_setting *s, const char *id,
                               struct clsa_err *err)
{
    struct clsa_study *study = &r->study;
    int status = CLSA_OK;
    fputs("<div class=\"figures\">\n", r->f);
    for (size_t b = 0; b < s->n_batches && !status; b++) {
        const int64_t batch = s->batches[b];
        const char *prefix = clsa_pool_printf(&study->pool, "%s-b%lld", id, (long long)batch);
        if (s->top_k) {
            fprintf(r->f, "<figure><figcaption><b>Speed-up against group size, batch %lld</b>"
                    "One line a context.</figcaption>\n", (long long)batch);
            status = clsa_figure_speedup(study, s, batch, prefix, r->canvas, err);
            fputs("</figure>\n", r->f);
        }
        if (!status && s->n_contexts > 1) {
            fprintf(r->f, "<figure><figcaption><b>Step time against context, batch %lld</b>One "
                          "line "
                    "a group size; bands are 80 %% intervals.</figcaption>\n", (long long)batch);
            status = clsa_figure_time(study, s, batch, prefix, r->canvas, err);
            fputs("</figure>\n", r->f);
        }
    }
    /* Where the time goes: at the longest context, for the smallest and the largest batch. */
    const int64_t context = s->contexts[s->n_contexts - 1];
    for (size_t b = 0; b < s->n_batches && !status; b += s->n_batches > 1 ? s->n_batches - 1 : 1) {
        struct clsa_legend legend;
        const int64_t batch = s->batches[b];
        const char *prefix = clsa_pool_printf(&study->pool, "%s-b%lld", id, (long long)batch);
        fprintf(r->f, "<figure class=\"wide\"><figcaption><b>Time by op, batch %lld, context %s</b>"
                "Blue is attention, orange the index (scores and top-k), grey everything else; the "
                "whisker is the 80 %% interval of the step.</figcaption>\n", (long long)batch,
                clsa_text_tokens(&study->pool, context));
        status = clsa_figure_ops(study, s, batch, context, prefix, r->canvas, &legend, err);
        if (!status)
            clsa_page_legend(r->f, &legend);
        fputs("</figure>\n", r->f);
    }
    fputs("</div>\n", r->f);
    return status;
}

static int put_settings(struct report *r, struct clsa_err *err)
{
    struct clsa_study *study = &r->study;
    int status = CLSA_OK;
    if (study->n_settings == 0)
        return CLSA_OK;
    clsa_page_section(&r->page, "predictions", "Predictions, point by point");
    for (size_t i = 0; i < study->n_settings && !status; i++) {
        const struct clsa_setting *s = &study->settings[i];
        const char *id = clsa_pool_printf(&study->pool, "s%zu", i + 1);
        fprintf(r->f, "<details class=\"setting\" id=\"%s\"%s><summary>", id,
                i < OPEN_SETTINGS ? " open" : "");
        clsa_put_escaped(r->f, s->title);
        fputs("</summary>\n<p class=\"notes\">", r->f);
        clsa_put_escaped(r->f, s->notes);
        fputs("</p>\n", r->f);
        put_best(r, s);
        status = put_setting_figures(r, s, id, err);
        fputs("<details><summary>All numbers</summary>\n", r->f);
        clsa_page_rows(r->f, &study->pool, &study->steps, s->rows, s->n_rows,
                       COLUMNS(step_columns));
        fputs("</details>\n</details>\n", r->f);
    }
    return status;
}

/* Settings that differ in machine or software only: the same question asked of several. */
static bool comparable(const struct clsa_setting *a, const struct clsa_setting *b)
{
    return strcmp(a->model, b->model) == 0 && strcmp(a->phase, b->phase) == 0 &&
           strcmp(a->method, b->method) == 0 && a->top_k == b->top_k &&
           a->kv_shared == b->kv_shared;
}

static void put_comparison(struct report *r, const struct clsa_setting *first)
{
    struct clsa_study *study = &r->study;
    const bool all = first->n_batches * first->n_contexts <= COMPARED_POINTS;
    const size_t db = all || first->n_batches < 2 ? 1 : first->n_batches - 1;
    const size_t dc = all || first->n_contexts < 2 ? 1 : first->n_contexts - 1;
    fputs("<div class=\"scroll\"><table><caption>", r->f);
    clsa_put_escaped(r->f, clsa_pool_printf(&study->pool, "%s, %s: step time at the fastest group "
                                            "size; in brackets, times as fast as the first row",
                                            first->model, first->phase));
    fputs("</caption>\n<tr><th class=\"t\">machine</th><th class=\"t\">software</th>", r->f);
    for (size_t b = 0; b < first->n_batches; b += db)
        for (size_t c = 0; c < first->n_contexts; c += dc)
            fprintf(r->f, "<th>batch %lld<br>%s</th>", (long long)first->batches[b],
                    clsa_text_tokens(&study->pool, first->contexts[c]));
    fputs("</tr>\n", r->f);
    for (const struct clsa_setting *s = first; s < study->settings + study->n_settings; s++) {
        if (!comparable(first, s))
            continue;
        fputs("<tr><td class=\"t\">", r->f);
        clsa_put_escaped(r->f, s->machine);
        fputs("</td><td class=\"t\">", r->f);
        clsa_put_escaped(r->f, s->implementation);
        fputs("</td>", r->f);
        for (size_t b = 0; b < first->n_batches; b += db)
            for (size_t c = 0; c < first->n_contexts; c += dc) {
                const int64_t batch = first->batches[b], context = first->contexts[c];
                const size_t row = clsa_study_best(study, s, batch, context);
                const size_t base = clsa_study_best(study, first, batch, context);
                const double us =
                    row == CLSA_NO_ROW ? NAN : clsa_rows_f64(&study->best, row, "step_us");
                fprintf(r->f, "<td class=\"n\">%s", clsa_text_time(&study->pool, us));
                if (s != first && base != CLSA_NO_ROW && us > 0)
                    fprintf(r->f, " (%.2f×)", clsa_rows_f64(&study->best, base, "step_us") / us);
                fputs("</td>", r->f);
            }
        fputs("</tr>\n", r->f);
    }
    fputs("</table></div>\n", r->f);
}

static bool first_of_kind(const struct clsa_study *study, size_t i, size_t *n)
{
    *n = 0;
    for (size_t k = 0; k < study->n_settings; k++)
        if (comparable(&study->settings[k], &study->settings[i])) {
            if (k < i)
                return false;
            ++*n;
        }
    return true;
}

static void put_machines_compared(struct report *r)
{
    const struct clsa_study *study = &r->study;
    bool begun = false;
    size_t n;
    for (size_t i = 0; i < study->n_settings; i++)
        if (study->settings[i].top_k && first_of_kind(study, i, &n) && n > 1) {
            if (!begun)
                clsa_page_section(&r->page, "machines-compared", "Machines side by side");
            begun = true;
            put_comparison(r, &study->settings[i]);
        }
}

static const struct clsa_column quality_columns[] = {
    {"group", "group", CLSA_AS_GROUP},
    {"top_k", "top-k", CLSA_AS_COUNT},
    {"hop1", "one hop right", CLSA_AS_TEXT},
    {"hop2", "two hops right", CLSA_AS_TEXT},
    {"hop2_percent", "two hops %", CLSA_AS_TENTH},
    {"hop2_points_vs_dense", "vs dense", CLSA_AS_SIGNED},
    {"bits_per_byte", "bits a byte", CLSA_AS_FOUR},
    {"bits_per_byte_vs_dense", "vs dense", CLSA_AS_FOUR_SIGNED},
    {"mass_covered", "mass covered", CLSA_AS_FOUR},
};

static int put_quality(struct report *r, struct clsa_err *err)
{
    struct clsa_study *study = &r->study;
    const struct clsa_rows *q = &study->quality;
    int status = CLSA_OK;
    if (q->n == 0)
        return CLSA_OK;
    clsa_page_section(&r->page, "quality", "What sharing costs in answers");
    fputs("<p>Recall tasks: a text holds facts; a one-hop question asks for one, a two-hop "
          "question "
          "for the fact that another fact names. An answer counts when every byte of it is the "
          "most "
          "likely one. Mass covered is the share of dense attention's weight that falls on the "
          "positions selected.</p>\n<div class=\"figures\">\n", r->f);
    for (size_t from = 0, to, i = 1; from < q->n && !status; from = to, i++) {
        to = clsa_study_quality_end(study, from);
        const char *name = clsa_rows_text(q, from, "kernels");
        fputs("<figure><figcaption><b>", r->f);
        clsa_put_escaped(r->f, clsa_pool_printf(&study->pool, "%s, texts of %lld tokens%s%s",
                                                clsa_rows_text(q, from, "model"),
                                                (long long)clsa_rows_i64(q, from, "tokens"),
                                                *name ? ", " : "", name));
        fputs("</b>Two-hop answers right; one line a top-k.</figcaption>\n", r->f);
        status = clsa_figure_quality(study, from, to,
                                     clsa_pool_printf(&study->pool, "q%zu", i), r->canvas, err);
        fputs("</figure>\n", r->f);
    }
    fputs("</div>\n", r->f);
    for (size_t from = 0, to; from < q->n && !status; from = to) {
        to = clsa_study_quality_end(study, from);
        size_t *list = clsa_pool_alloc(&study->pool, to - from, sizeof *list);
        for (size_t i = from; i < to && list; i++)
            list[i - from] = i;
        if (!list)
            return clsa_fail(err, CLSA_ENOMEM, "out of memory");
        fprintf(r->f, "<details%s><summary>%lld tokens, all numbers</summary>\n",
                from == 0 ? " open" : "", (long long)clsa_rows_i64(q, from, "tokens"));
        clsa_page_rows(r->f, &study->pool, q, list, to - from, COLUMNS(quality_columns));
        fputs("</details>\n", r->f);
    }
    return status;
}

static const struct clsa_column error_columns[] = {
    {"machine", "machine", CLSA_AS_TEXT},
    {"implementation", "software", CLSA_AS_TEXT},
    {"op", "op", CLSA_AS_TEXT},
    {"points", "points", CLSA_AS_COUNT},
    {"mean_error_percent", "mean %", CLSA_AS_TENTH},
    {"max_error_percent", "max %", CLSA_AS_TENTH},
    {"bias_percent", "bias %", CLSA_AS_SIGNED},
    {"coverage_percent", "inside %", CLSA_AS_TENTH},
    {"measured_us", "measured", CLSA_AS_TIME},
    {"predicted_us", "predicted", CLSA_AS_TIME},
};

static const struct clsa_column accuracy_columns[] = {
    {"measured", "table", CLSA_AS_TEXT},
    {"machine", "machine", CLSA_AS_TEXT},
    {"implementation", "software", CLSA_AS_TEXT},
    {"rows_used", "rows", CLSA_AS_TEXT},
    {"rows", "number", CLSA_AS_COUNT},
    {"mean_error_percent", "mean %", CLSA_AS_TENTH},
    {"median_error_percent", "median %", CLSA_AS_TENTH},
    {"p90_error_percent", "p90 %", CLSA_AS_TENTH},
    {"max_error_percent", "max %", CLSA_AS_TENTH},
    {"bias_percent", "bias %", CLSA_AS_SIGNED},
    {"rank_correlation", "rank", CLSA_AS_FOUR},
    {"coverage_percent", "inside %", CLSA_AS_TENTH},
    {"roofline_mean_error_percent", "roofline %", CLSA_AS_TENTH},
};

static const struct clsa_column routing_columns[] = {
    {"model", "model", CLSA_AS_TEXT},
    {"source", "trace", CLSA_AS_TEXT},
    {"group", "group", CLSA_AS_GROUP},
    {"top_k", "top-k", CLSA_AS_COUNT},
    {"set_index", "set", CLSA_AS_COUNT},
    {"queries", "queries", CLSA_AS_COUNT},
    {"mean_keys", "keys", CLSA_AS_TENTH},
    {"mean_selected", "selected", CLSA_AS_TENTH},
    {"overlap_set_percent", "same as group before %", CLSA_AS_TENTH},
    {"overlap_step_percent", "same as step before %", CLSA_AS_TENTH},
    {"mass_percent", "mass covered %", CLSA_AS_TENTH},
    {"reuse_distance_rows", "reuse distance (rows)", CLSA_AS_TENTH},
};

static const struct clsa_column kernel_columns[] = {
    {"run", "run", CLSA_AS_COUNT},
    {"kernel", "kernel", CLSA_AS_TEXT},
    {"rung", "rung", CLSA_AS_TEXT},
    {"shape", "shape", CLSA_AS_TEXT},
    {"cases", "cases", CLSA_AS_COUNT},
    {"failures", "failures", CLSA_AS_COUNT},
    {"worst_error", "worst error / bound", CLSA_AS_FOUR},
    {"time_us", "time", CLSA_AS_TIME},
    {"gbytes_per_s", "GB/s", CLSA_AS_TENTH},
    {"gflops_per_s", "GFLOP/s", CLSA_AS_TENTH},
    {"message", "message", CLSA_AS_TEXT},
};

static const struct clsa_column run_columns[] = {
    {"run", "run", CLSA_AS_COUNT},
    {"command_line", "command", CLSA_AS_TEXT},
    {"tool_version", "version", CLSA_AS_TEXT},
    {"git_id", "source", CLSA_AS_TEXT},
    {"seed", "seed", CLSA_AS_COUNT},
    {"host", "host", CLSA_AS_TEXT},
    {"predictions", "predictions", CLSA_AS_COUNT},
    {"measurements", "measurements", CLSA_AS_COUNT},
    {"evals", "evals", CLSA_AS_COUNT},
    {"guid", "id", CLSA_AS_TEXT},
};

/* A section that is one query in a table. */
static int put_query(struct report *r, const char *query, const char *id, const char *title,
                     const char *text, const struct clsa_column *columns, size_t n_columns,
                     struct clsa_err *err)
{
    struct clsa_rows rows = {0};
    int status = clsa_rows_load(r->study.reader, query, -1, &rows, err);
    if (!status && rows.n > 0) {
        clsa_page_section(&r->page, id, title);
        fprintf(r->f, "<p>%s</p>\n", text);
        clsa_page_rows(r->f, &r->study.pool, &rows, NULL, rows.n, columns, n_columns);
    }
    clsa_rows_destroy(&rows);
    return status;
}

static int put_measured(struct report *r, struct clsa_err *err)
{
    struct clsa_study *study = &r->study;
    if (study->pairs.n == 0)
        return CLSA_OK;
    clsa_page_section(&r->page, "measured", "Predicted against measured");
    fputs("<p>Every measured time of the store that has a prediction of the same model, machine, "
          "software, batch, context, group and op. Error is predicted over measured, less one; "
          "mean and max are of its "
          "size; inside counts measured times within their 80 % interval.</p>\n"
          "<div class=\"figures\"><figure><figcaption><b>All pairs</b>Orange are whole steps, blue "
          "are ops; the shaded band is within 20 %, whiskers are 80 % intervals.</figcaption>\n",
          r->f);
    const int status = clsa_figure_pairs(study, "m", r->canvas, err);
    fputs("</figure></div>\n", r->f);
    clsa_page_rows(r->f, &study->pool, &study->errors, NULL, study->errors.n,
                   COLUMNS(error_columns));
    return status;
}

static int put_sections(struct report *r, struct clsa_err *err)
{
    int status = put_settings(r, err);
    put_machines_compared(r);
    if (!status)
        status = put_quality(r, err);
    if (!status)
        status = put_measured(r, err);
    if (!status)
        status = put_query(r, "validation", "accuracy", "How far predictions are off",
                           "Tables of measurements held against predictions: size of the error, "
                           "its "
                           "bias, rank correlation, and rows inside their 80 % interval. Judged "
                           "rows "
                           "were not used in fitting any constant; the roofline is bytes over "
                           "bandwidth or operations over peak, whichever is longer.",
                           COLUMNS(accuracy_columns), err);
    if (!status)
        status = put_query(r, "routing", "routing", "What selections look like",
                           "How much of a selection the group before and the step before made too.",
                           COLUMNS(routing_columns), err);
    if (!status)
        status = put_query(r, "kernels", "kernels", "Kernels against the reference",
                           "The worst error is in units of the bound derived from the arithmetic: "
                           "above 1 is a failure.", COLUMNS(kernel_columns), err);
    if (!status)
        status = clsa_page_setups(&r->page, r->study.reader, err);
    if (!status)
        status = put_query(r, "runs", "runs", "Runs",
                           "Every number above came from one of these commands.",
                           COLUMNS(run_columns), err);
    return status;
}

/* The body, in memory: the list of sections that stands before it is known when it ends. */
static int make_body(struct report *r, char **body, size_t *bytes, struct clsa_err *err)
{
    int status = CLSA_OK;
    r->f = open_memstream(body, bytes);
    if (!r->f)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    r->page.f = r->f;
    r->canvas = clsa_canvas_svg(r->f);
    if (!r->canvas)
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
    put_findings(r);
    if (r->study.n_settings + r->study.quality.n == 0)
        fputs("<p>This store holds no prediction and no evaluation yet: <code>clsa predict</code> "
              "and <code>clsa eval</code> with <code>--db</code> add them.</p>\n", r->f);
    if (!status)
        status = put_sections(r, err);
    clsa_page_end(&r->page);
    clsa_canvas_destroy(r->canvas);
    const bool failed = ferror(r->f) || r->study.pool.failed;
    if ((fclose(r->f) != 0 || failed) && !status)
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
    return status;
}

int clsa_report_html(struct clsa_reader *reader, const char *path, struct clsa_err *err)
{
    struct clsa_outfile out = {0};
    struct report r = {0};
    char *body = NULL;
    size_t bytes = 0;
    int status = clsa_study_load(reader, &r.study, err);
    if (!status)
        status = make_body(&r, &body, &bytes, err);
    if (!status)
        status = clsa_outfile_open(path, &out, err);
    if (!status) {
        clsa_page_begin(out.stream, &r.page);
        fwrite(body, 1, bytes, out.stream);
        status = clsa_outfile_commit(&out, err);
    }
    free(body);
    clsa_study_destroy(&r.study);
    return status;
}
