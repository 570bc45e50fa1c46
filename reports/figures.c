#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/chart.h"
#include "reports/study.h"

#define US_PER_MS 1000.0

static int no_memory(struct clsa_err *err)
{
    return clsa_fail(err, CLSA_ENOMEM, "out of memory");
}

/* An empty series with room for n points, intervals and tips. */
static bool make_series(struct clsa_pool *pool, size_t n, struct clsa_series *out, double **y,
                        double **lo, double **hi, size_t **place, const char ***tips)
{
    *y = clsa_pool_alloc(pool, n + 1, sizeof **y);
    *lo = clsa_pool_alloc(pool, n + 1, sizeof **lo);
    *hi = clsa_pool_alloc(pool, n + 1, sizeof **hi);
    *place = clsa_pool_alloc(pool, n + 1, sizeof **place);
    *tips = clsa_pool_alloc(pool, n + 1, sizeof **tips);
    *out = (struct clsa_series){.y = *y, .lo = *lo, .hi = *hi, .place = *place, .tips = *tips};
    return !pool->failed;
}

static const char *step_text(struct clsa_study *study, size_t r)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *rows = &study->steps;
    const double lo = clsa_rows_f64(rows, r, "step_us_lo");
    const double hi = clsa_rows_f64(rows, r, "step_us_hi");
    const char *time = clsa_text_time(pool, clsa_rows_f64(rows, r, "step_us"));
    if (!isfinite(lo) || !isfinite(hi))
        return time;
    return clsa_pool_printf(pool, "%s (%s to %s)", time, clsa_text_time(pool, lo),
                            clsa_text_time(pool, hi));
}

int clsa_figure_speedup(struct clsa_study *study, const struct clsa_setting *s, int64_t batch,
                        const char *prefix, struct clsa_canvas *canvas, struct clsa_err *err)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *rows = &study->steps;
    const size_t skip = s->n_groups > 0 && s->groups[0] == 0; /* dense is the reference */
    const size_t n_groups = s->n_groups - skip;
    const char *column = "speedup_vs_dense", *against = "dense";
    if (n_groups == 0)
        return CLSA_OK;
    if (!skip) {
        column = "speedup_vs_group1";
        against = "an index a layer";
    }
    const char **names = clsa_pool_alloc(pool, n_groups, sizeof *names);
    struct clsa_series *series = clsa_pool_alloc(pool, s->n_contexts, sizeof *series);
    if (!names || !series)
        return no_memory(err);
    for (size_t g = 0; g < n_groups; g++)
        names[g] = clsa_pool_printf(pool, "%lld", (long long)s->groups[g + skip]);
    size_t n_series = 0, points = 0;
    for (size_t c = 0; c < s->n_contexts; c++) {
        double *y, *lo, *hi;
        size_t *place;
        const char **tips;
        struct clsa_series *line = &series[n_series];
        if (!make_series(pool, n_groups, line, &y, &lo, &hi, &place, &tips))
            return no_memory(err);
        line->lo = line->hi = NULL;
        line->name = clsa_text_tokens(pool, s->contexts[c]);
        line->paint = clsa_ramp(c, s->n_contexts);
        for (size_t g = 0; g < n_groups; g++) {
            const size_t r = clsa_study_step(study, s, batch, s->contexts[c], s->groups[g + skip]);
            const double v = r == CLSA_NO_ROW ? NAN : clsa_rows_f64(rows, r, column);
            if (!isfinite(v))
                continue;
            place[line->n] = g;
            y[line->n] = v;
            tips[line->n++] = clsa_pool_printf(pool, "context %s, group of %s: %.2f× %s, step %s",
                                               line->name, names[g], v, against,
                                               step_text(study, r));
        }
        points += line->n;
        n_series += line->n > 0;
    }
    if (points == 0)
        return CLSA_OK;
    const struct clsa_line_chart chart = {
        .id = clsa_pool_printf(pool, "%s-speedup", prefix),
        .title = clsa_pool_printf(pool, "Speed-up over %s, batch %lld, a line a context", against,
                                  (long long)batch),
        .x_label = "layers that share one index (group size)", .y_unit = "×",
        .categories = names, .n_categories = n_groups, .series = series, .n_series = n_series,
        .reference = 1, .reference_label = against};
    return clsa_chart_lines(canvas, &chart, err);
}

int clsa_figure_time(struct clsa_study *study, const struct clsa_setting *s, int64_t batch,
                     const char *prefix, struct clsa_canvas *canvas, struct clsa_err *err)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *rows = &study->steps;
    const char **names = clsa_pool_alloc(pool, s->n_contexts, sizeof *names);
    struct clsa_series *series = clsa_pool_alloc(pool, s->n_groups, sizeof *series);
    if (s->n_contexts < 2)
        return CLSA_OK;
    if (!names || !series)
        return no_memory(err);
    for (size_t c = 0; c < s->n_contexts; c++)
        names[c] = clsa_text_tokens(pool, s->contexts[c]);
    size_t n_series = 0, points = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        double *y, *lo, *hi;
        size_t *place;
        const char **tips;
        struct clsa_series *line = &series[n_series];
        if (!make_series(pool, s->n_contexts, line, &y, &lo, &hi, &place, &tips))
            return no_memory(err);
        line->name = clsa_text_group(pool, s->groups[g]);
        line->paint = s->groups[g] == 0 ? CLSA_PAINT_REFERENCE : clsa_ramp(g, s->n_groups);
        if (s->groups[g] != 0 && g + 1 < s->n_groups) /* all bands would hide each other */
            line->lo = line->hi = NULL;
        for (size_t c = 0; c < s->n_contexts; c++) {
            const size_t r = clsa_study_step(study, s, batch, s->contexts[c], s->groups[g]);
            if (r == CLSA_NO_ROW)
                continue;
            place[line->n] = c;
            y[line->n] = clsa_rows_f64(rows, r, "step_us") / US_PER_MS;
            lo[line->n] = clsa_rows_f64(rows, r, "step_us_lo") / US_PER_MS;
            hi[line->n] = clsa_rows_f64(rows, r, "step_us_hi") / US_PER_MS;
            tips[line->n++] = clsa_pool_printf(pool, "%s, context %s: %s", line->name, names[c],
                                               step_text(study, r));
        }
        points += line->n;
        n_series += line->n > 0;
    }
    if (points == 0)
        return CLSA_OK;
    const struct clsa_line_chart chart = {
        .id = clsa_pool_printf(pool, "%s-time", prefix),
        .title = clsa_pool_printf(pool, "Step time, batch %lld, a line a group size",
                                  (long long)batch),
        .x_label = "context (tokens)", .y_unit = " ms", .categories = names,
        .n_categories = s->n_contexts, .series = series, .n_series = n_series, .log_y = true,
        .reference = NAN};
    return clsa_chart_lines(canvas, &chart, err);
}

/* Ops of one part that get a shade of their own; the others of the part share the last shade. */
#define SHADES 4

static const struct part {
    const char *name;
    enum clsa_paint paint;
    const char *rest;
} parts[] = {{"attention", CLSA_PAINT_ATTENTION, "other attention"},
             {"index", CLSA_PAINT_INDEX, "other index"},
             {"other", CLSA_PAINT_OTHER, "everything else"}};
#define PARTS (sizeof parts / sizeof *parts)

struct op_time {
    const char *name, *part;
    double total_us; /* over all bars: decides the order */
    size_t layer;    /* place in the legend */
};

static int dearest_first(const void *a, const void *b)
{
    const struct op_time *x = a, *y = b;
    if (x->total_us != y->total_us)
        return x->total_us > y->total_us ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The ops of one step: those stored, or its parts where none are. */
static int load_ops(struct clsa_study *study, size_t step, struct clsa_rows *ops,
                    struct clsa_err *err)
{
    const int64_t id = clsa_rows_i64(&study->steps, step, "prediction_id");
    return clsa_rows_load(study->reader, "step_ops", id, ops, err);
}

static size_t find_op(struct op_time *list, size_t *n, const char *name, const char *part)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp(list[i].name, name) == 0 && strcmp(list[i].part, part) == 0)
            return i;
    list[*n] = (struct op_time){.name = name, .part = part};
    return (*n)++;
}

/* Shades by part, dearest op first; fills the legend in drawing order. */
static void make_legend(struct op_time *list, size_t n, struct clsa_legend *legend)
{
    legend->n = 0;
    qsort(list, n, sizeof *list, dearest_first);
    for (size_t p = 0; p < PARTS; p++) {
        size_t own = 0, of_part = 0;
        for (size_t i = 0; i < n; i++)
            of_part += strcmp(list[i].part, parts[p].name) == 0;
        for (size_t i = 0; i < n; i++) {
            if (strcmp(list[i].part, parts[p].name) != 0)
                continue;
            const size_t shade = own < SHADES - 1 ? own : SHADES - 1;
            if (own < SHADES) {
                legend->items[legend->n].name =
                    shade == SHADES - 1 && of_part > SHADES ? parts[p].rest : list[i].name;
                legend->items[legend->n].paint = (enum clsa_paint)(parts[p].paint + shade);
                legend->n++;
            }
            list[i].layer = legend->n - 1;
            own++;
        }
    }
}

struct ops_bar {
    int64_t group;
    size_t step;
    struct clsa_rows ops;
};

/* One bar: times summed by place in the legend. */
static bool fill_bar(struct clsa_study *study, const struct ops_bar *from, struct op_time *list,
                     size_t n_list, const struct clsa_legend *legend, struct clsa_bar *bar)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *steps = &study->steps;
    struct clsa_segment *segments = clsa_pool_alloc(pool, legend->n + 1, sizeof *segments);
    if (!segments)
        return false;
    for (size_t i = 0; i < from->ops.n; i++) {
        const size_t k = find_op(list, &n_list, clsa_rows_text(&from->ops, i, "op"),
                                 clsa_rows_text(&from->ops, i, "part"));
        segments[list[k].layer].value += clsa_rows_f64(&from->ops, i, "time_us") / US_PER_MS;
    }
    const double step_us = clsa_rows_f64(steps, from->step, "step_us");
    for (size_t i = 0; i < legend->n; i++) {
        const double us = segments[i].value * US_PER_MS;
        segments[i].paint = legend->items[i].paint;
        segments[i].tip = clsa_pool_printf(pool, "%s, %s: %s, %.1f %% of the step",
                                           clsa_text_group(pool, from->group),
                                           legend->items[i].name, clsa_text_time(pool, us),
                                           step_us > 0 ? 100 * us / step_us : 0);
    }
    *bar = (struct clsa_bar){
        .label = clsa_text_group(pool, from->group),
        .note = step_text(study, from->step), .segments = segments, .n_segments = legend->n,
        .lo = clsa_rows_f64(steps, from->step, "step_us_lo") / US_PER_MS,
        .hi = clsa_rows_f64(steps, from->step, "step_us_hi") / US_PER_MS};
    return !pool->failed;
}

/* Bars of predictions that were stored without ops: their parts. */
static bool part_bar(struct clsa_study *study, const struct ops_bar *from, struct clsa_bar *bar)
{
    struct clsa_pool *pool = &study->pool;
    static const char *const columns[PARTS] = {"attention_us", "index_us", "other_us"};
    struct clsa_segment *segments = clsa_pool_alloc(pool, PARTS, sizeof *segments);
    if (!segments)
        return false;
    for (size_t p = 0; p < PARTS; p++) {
        const double us = clsa_rows_f64(&study->steps, from->step, columns[p]);
        segments[p] = (struct clsa_segment){
            us / US_PER_MS, parts[p].paint,
            clsa_pool_printf(pool, "%s, %s: %s", clsa_text_group(pool, from->group),
                             parts[p].name, clsa_text_time(pool, us))};
    }
    *bar = (struct clsa_bar){
        .label = clsa_text_group(pool, from->group), .note = step_text(study, from->step),
        .segments = segments, .n_segments = PARTS,
        .lo = clsa_rows_f64(&study->steps, from->step, "step_us_lo") / US_PER_MS,
        .hi = clsa_rows_f64(&study->steps, from->step, "step_us_hi") / US_PER_MS};
    return !pool->failed;
}

int clsa_figure_ops(struct clsa_study *study, const struct clsa_setting *s, int64_t batch,
                    int64_t context, const char *prefix, struct clsa_canvas *canvas,
                    struct clsa_legend *legend, struct clsa_err *err)
{
    struct clsa_pool *pool = &study->pool;
    struct clsa_legend own;
    struct clsa_legend *names = legend ? legend : &own;
    struct ops_bar *from = clsa_pool_alloc(pool, s->n_groups, sizeof *from);
    struct clsa_bar *bars = clsa_pool_alloc(pool, s->n_groups, sizeof *bars);
    size_t n = 0, n_list = 0, most = 0;
    bool with_ops = true;
    int status = from && bars ? CLSA_OK : no_memory(err);
    names->n = 0;
    for (size_t g = 0; g < s->n_groups && !status; g++) {
        const size_t r = clsa_study_step(study, s, batch, context, s->groups[g]);
        if (r == CLSA_NO_ROW)
            continue;
        from[n] = (struct ops_bar){.group = s->groups[g], .step = r};
        status = load_ops(study, r, &from[n].ops, err);
        if (!status) {
            with_ops = with_ops && from[n].ops.n > 0;
            most += from[n++].ops.n;
        }
    }
    struct op_time *list = clsa_pool_alloc(pool, most + 1, sizeof *list);
    if (!status && !list)
        status = no_memory(err);
    if (status || n == 0)
        goto fail;
    if (with_ops) {
        for (size_t b = 0; b < n; b++)
            for (size_t i = 0; i < from[b].ops.n; i++)
                list[find_op(list, &n_list, clsa_rows_text(&from[b].ops, i, "op"),
                             clsa_rows_text(&from[b].ops, i, "part"))].total_us +=
                    clsa_rows_f64(&from[b].ops, i, "time_us");
        make_legend(list, n_list, names);
    } else {
        for (size_t p = 0; p < PARTS; p++) {
            names->items[p].name = parts[p].name;
            names->items[p].paint = parts[p].paint;
        }
        names->n = PARTS;
    }
    for (size_t b = 0; b < n && !status; b++)
        if (!(with_ops ? fill_bar(study, &from[b], list, n_list, names, &bars[b])
                       : part_bar(study, &from[b], &bars[b])))
            status = no_memory(err);
    /* Names point into rows that end here. */
    for (size_t i = 0; i < names->n; i++)
        names->items[i].name = clsa_pool_printf(pool, "%s", names->items[i].name);
    const struct clsa_bar_chart chart = {
        .id = clsa_pool_printf(pool, "%s-ops", prefix),
        .title = clsa_pool_printf(pool, "Time by op, batch %lld, context %s", (long long)batch,
                                  clsa_text_tokens(pool, context)),
        .unit = " ms", .bars = bars, .n_bars = n};
    if (!status)
        status = clsa_chart_bars(canvas, &chart, err);
fail:
    for (size_t b = 0; b < n; b++)
        clsa_rows_destroy(&from[b].ops);
    return status;
}

int clsa_figure_quality(struct clsa_study *study, size_t begin, size_t end, const char *prefix,
                        struct clsa_canvas *canvas, struct clsa_err *err)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *q = &study->quality;
    const size_t n = end - begin;
    int64_t *groups = clsa_pool_alloc(pool, n, sizeof *groups);
    int64_t *top_ks = clsa_pool_alloc(pool, n, sizeof *top_ks);
    const char **names = clsa_pool_alloc(pool, n, sizeof *names);
    struct clsa_series *series = clsa_pool_alloc(pool, n, sizeof *series);
    size_t n_groups = 0, n_k = 0;
    double dense = NAN;
    if (!groups || !top_ks || !names || !series)
        return no_memory(err);
    for (size_t r = begin; r < end; r++) { /* rows ascend in top-k, then group */
        const int64_t group = clsa_rows_i64(q, r, "group"), k = clsa_rows_i64(q, r, "top_k");
        if (group == 0) {
            dense = clsa_rows_f64(q, r, "hop2_percent");
            continue;
        }
        size_t at = n_groups;
        while (at > 0 && groups[at - 1] >= group)
            at--;
        if (at == n_groups || groups[at] != group) {
            memmove(groups + at + 1, groups + at, (n_groups - at) * sizeof *groups);
            groups[at] = group;
            n_groups++;
        }
        if (n_k == 0 || top_ks[n_k - 1] != k)
            top_ks[n_k++] = k;
    }
    size_t n_series = 0;
    for (size_t k = 0; k < n_k; k++) {
        double *y, *lo, *hi;
        size_t *place;
        const char **tips;
        struct clsa_series *line = &series[n_series];
        if (!make_series(pool, n_groups, line, &y, &lo, &hi, &place, &tips))
            return no_memory(err);
        line->lo = line->hi = NULL;
        line->name = clsa_pool_printf(pool, "k=%lld", (long long)top_ks[k]);
        line->paint = clsa_ramp(k, n_k);
        for (size_t r = begin; r < end; r++) {
            const int64_t group = clsa_rows_i64(q, r, "group");
            const double v = clsa_rows_f64(q, r, "hop2_percent");
            if (group == 0 || clsa_rows_i64(q, r, "top_k") != top_ks[k] || !isfinite(v) ||
                line->n == n_groups)
                continue;
            while (groups[place[line->n]] != group)
                place[line->n]++;
            y[line->n] = v;
            tips[line->n++] = clsa_pool_printf(
                pool, "g=%lld, top-k %lld: %lld of %lld two-hop answers right", (long long)group,
                (long long)top_ks[k], (long long)clsa_rows_i64(q, r, "hop2_right"),
                (long long)clsa_rows_i64(q, r, "hop2_asked"));
        }
        n_series += line->n > 0;
    }
    if (n_series == 0)
        return CLSA_OK;
    for (size_t g = 0; g < n_groups; g++)
        names[g] = clsa_pool_printf(pool, "%lld", (long long)groups[g]);
    const struct clsa_line_chart chart = {
        .id = clsa_pool_printf(pool, "%s-recall", prefix),
        .title = clsa_pool_printf(pool, "Two-hop answers right, %lld tokens, a line a top-k",
                                  (long long)clsa_rows_i64(q, begin, "tokens")),
        .x_label = "layers that share one index (group size)", .y_unit = " %",
        .categories = names, .n_categories = n_groups, .series = series, .n_series = n_series,
        .fixed_top = true, .top = 100, .reference = dense, .reference_label = "dense"};
    return clsa_chart_lines(canvas, &chart, err);
}

int clsa_figure_pairs(struct clsa_study *study, const char *prefix, struct clsa_canvas *canvas,
                      struct clsa_err *err)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *rows = &study->pairs;
    if (rows->n == 0)
        return CLSA_OK;
    struct clsa_scatter_point *points = clsa_pool_alloc(pool, rows->n, sizeof *points);
    if (!points)
        return no_memory(err);
    for (size_t r = 0; r < rows->n; r++) {
        const char *op = clsa_rows_text(rows, r, "op");
        const double x = clsa_rows_f64(rows, r, "measured_us");
        const double y = clsa_rows_f64(rows, r, "predicted_us");
        points[r] = (struct clsa_scatter_point){
            .x = x, .y = y, .lo = clsa_rows_f64(rows, r, "predicted_us_lo"),
            .hi = clsa_rows_f64(rows, r, "predicted_us_hi"),
            .paint = strcmp(op, "(step)") == 0 ? CLSA_PAINT_INDEX : CLSA_PAINT_ATTENTION + 1,
            .tip = clsa_pool_printf(
                pool, "%s on %s, %s, batch %lld, context %s: %s predicted, %s measured (%+.1f %%)",
                op, clsa_rows_text(rows, r, "machine"),
                clsa_text_group(pool, clsa_rows_i64(rows, r, "group")),
                (long long)clsa_rows_i64(rows, r, "batch"),
                clsa_text_tokens(pool, clsa_rows_i64(rows, r, "context")),
                clsa_text_time(pool, y), clsa_text_time(pool, x),
                clsa_rows_f64(rows, r, "error_percent"))};
    }
    const struct clsa_scatter_chart chart = {
        .id = clsa_pool_printf(pool, "%s-pairs", prefix),
        .title = "Predicted against measured time",
        .x_label = "measured (µs)", .y_label = "predicted (µs)", .points = points,
        .n_points = rows->n, .band = 1.2};
    return clsa_chart_scatter(canvas, &chart, err);
}
