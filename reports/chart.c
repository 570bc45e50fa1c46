#include "reports/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"

#define TICKS_MAX 16
#define BAND_POINTS 64

enum clsa_paint clsa_ramp(size_t i, size_t n)
{
    const size_t step = n > 1 ? (i * 7 + (n - 1) / 2) / (n - 1) : 5;
    return (enum clsa_paint)(CLSA_PAINT_RAMP + (step < 7 ? step : 7));
}

/* An axis: data to points. */
struct scale {
    double lo, hi, from, to;
    bool log;
};

static double place(const struct scale *s, double v)
{
    const double a = s->log ? log(s->lo) : s->lo, b = s->log ? log(s->hi) : s->hi;
    const double u = ((s->log ? log(v) : v) - a) / (b - a);
    return s->from + fmin(fmax(u, 0), 1) * (s->to - s->from);
}

static bool usable(double v, bool log_axis)
{
    return isfinite(v) && (!log_axis || v > 0);
}

/* A step of 1, 2 or 5 times a power of ten that gives at most `want` steps. */
static double nice_step(double range, double want)
{
    const double raw = range / want, power = pow(10, floor(log10(raw))), m = raw / power;
    return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

/* Ticks of an axis from its lowest to its highest value; widens the scale to whole ticks where
 * it is linear. On a log axis: 1, 2, 5 a decade, thinned to powers of ten over long ranges, even
 * steps over short ones. */
static size_t make_ticks(struct scale *s, double ticks[TICKS_MAX])
{
    size_t n = 0;
    if (!s->log) {
        const double step = nice_step(s->hi - s->lo, 5);
        s->lo = floor(s->lo / step + 1e-9) * step;
        s->hi = ceil(s->hi / step - 1e-9) * step;
        for (double v = s->lo; v <= s->hi + step / 2 && n < TICKS_MAX; v += step)
            ticks[n++] = v;
        return n;
    }
    const double decades = log10(s->hi / s->lo);
    if (decades < 0.7) { /* too short for powers: even steps */
        const double step = nice_step(s->hi - s->lo, 5);
        for (double v = ceil(s->lo / step) * step; v <= s->hi && n < TICKS_MAX; v += step)
            ticks[n++] = v;
        return n;
    }
    static const double all[] = {1, 2, 5};
    const double stride = ceil(decades / (TICKS_MAX - 2));
    for (double e = floor(log10(s->lo)); e <= log10(s->hi) && n < TICKS_MAX; e += stride)
        for (size_t i = 0; i < (decades > 3 ? 1 : 3) && n < TICKS_MAX; i++) {
            const double v = all[i] * pow(10, e);
            if (v >= s->lo * (1 - 1e-9) && v <= s->hi * (1 + 1e-9))
                ticks[n++] = v;
        }
    return n;
}

static const char *tick_text(double v, const char *unit, char *buf, size_t bytes)
{
    snprintf(buf, bytes, "%.6g%s", fabs(v) < 1e-12 ? 0 : v, unit);
    return buf;
}

static void segment(struct clsa_canvas *c, double x0, double y0, double x1, double y1,
                    enum clsa_paint paint)
{
    const double x[2] = {x0, x1}, y[2] = {y0, y1};
    c->ops->line(c, x, y, 2, paint);
}

/* Names at line ends are pushed apart to this distance. */
#define NAME_GAP 14.0

struct line_end {
    double y;
    size_t series;
};

static int by_y(const void *a, const void *b)
{
    const struct line_end *p = a, *q = b;
    if (p->y != q->y)
        return p->y < q->y ? -1 : 1;
    return p->series < q->series ? -1 : p->series > q->series;
}

static void place_names(struct clsa_canvas *c, const struct clsa_line_chart *chart,
                        struct line_end *ends, size_t n, double x, double top, double bottom)
{
    qsort(ends, n, sizeof *ends, by_y);
    for (size_t i = 1; i < n; i++)
        if (ends[i].y < ends[i - 1].y + NAME_GAP)
            ends[i].y = ends[i - 1].y + NAME_GAP;
    if (n > 0 && ends[n - 1].y > bottom)
        ends[n - 1].y = bottom;
    for (size_t i = n; i-- > 1;)
        if (ends[i - 1].y > ends[i].y - NAME_GAP)
            ends[i - 1].y = fmax(ends[i].y - NAME_GAP, top);
    for (size_t i = 0; i < n; i++)
        c->ops->text(c, x, ends[i].y + 4, CLSA_ANCHOR_START, CLSA_PAINT_TEXT,
                     chart->series[ends[i].series].name);
}

static struct scale y_scale(const struct clsa_line_chart *chart)
{
    struct scale s = {.lo = INFINITY, .hi = -INFINITY, .log = chart->log_y};
    for (size_t k = 0; k < chart->n_series; k++) {
        const struct clsa_series *line = &chart->series[k];
        for (size_t i = 0; i < line->n; i++) {
            const double values[3] = {line->y[i], line->lo ? line->lo[i] : NAN,
                                      line->hi ? line->hi[i] : NAN};
            for (int j = 0; j < 3; j++)
                if (usable(values[j], s.log)) {
                    s.lo = fmin(s.lo, values[j]);
                    s.hi = fmax(s.hi, values[j]);
                }
        }
    }
    if (usable(chart->reference, s.log)) {
        s.lo = fmin(s.lo, chart->reference);
        s.hi = fmax(s.hi, chart->reference);
    }
    if (!isfinite(s.lo)) {
        s.lo = s.log ? 1 : 0;
        s.hi = s.log ? 10 : 1;
    }
    if (!s.log)
        s.lo = fmin(s.lo, 0);
    if (chart->fixed_top)
        s.hi = chart->top;
    if (s.log) {
        s.lo /= 1.15;
        s.hi *= 1.15;
    }
    if (s.hi <= s.lo)
        s.hi = s.lo + 1;
    return s;
}

/* Whether the reference is farther from the lines at their ends than at their beginnings: its name
 * goes where there is room. */
static bool clear_at_end(const struct clsa_line_chart *chart, const struct scale *y)
{
    const double at = place(y, chart->reference);
    double begin = INFINITY, end = INFINITY;
    for (size_t k = 0; k < chart->n_series; k++) {
        const struct clsa_series *line = &chart->series[k];
        if (line->n == 0 || !usable(line->y[0], y->log) || !usable(line->y[line->n - 1], y->log))
            continue;
        begin = fmin(begin, fabs(place(y, line->y[0]) - at));
        end = fmin(end, fabs(place(y, line->y[line->n - 1]) - at));
    }
    return end >= begin;
}

int clsa_chart_lines(struct clsa_canvas *c, const struct clsa_line_chart *chart,
                     struct clsa_err *err)
{
    const double width = 520, height = 300, left = 58, top = 18, bottom = height - 46;
    size_t longest = 0, most = 1;
    for (size_t k = 0; k < chart->n_series; k++) {
        const size_t n = strlen(chart->series[k].name);
        longest = n > longest ? n : longest;
        most = chart->series[k].n > most ? chart->series[k].n : most;
    }
    const double right = width - 18 - 7.6 * (double)(longest < 16 ? longest : 16);
    struct line_end *ends = clsa_calloc(chart->n_series, sizeof *ends);
    double *xy = clsa_calloc(most * 4, sizeof *xy);
    if (!ends || !xy) {
        free(ends);
        free(xy);
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    }
    double *px = xy, *py = xy + most, *plo = xy + 2 * most, *phi = xy + 3 * most;
    char buf[64];
    double ticks[TICKS_MAX];
    struct scale y = y_scale(chart);
    y.from = bottom;
    y.to = top;
    const size_t n_ticks = make_ticks(&y, ticks);

    c->ops->begin(c, chart->id, chart->title, chart->title, width, height);
    for (size_t i = 0; i < n_ticks; i++) {
        const double at = place(&y, ticks[i]);
        segment(c, left, at, right, at, CLSA_PAINT_GRID);
        c->ops->text(c, left - 8, at + 4, CLSA_ANCHOR_END, CLSA_PAINT_LABEL,
                     tick_text(ticks[i], chart->y_unit, buf, sizeof buf));
    }
    const double pad = 18;
    const double gap =
        chart->n_categories > 1 ? (right - left - 2 * pad) / (double)(chart->n_categories - 1) : 0;
    const double first = chart->n_categories > 1 ? left + pad : (left + right) / 2;
    for (size_t i = 0; i < chart->n_categories; i++)
        c->ops->text(c, first + gap * (double)i, bottom + 18, CLSA_ANCHOR_MIDDLE,
                     CLSA_PAINT_LABEL, chart->categories[i]);
    segment(c, left, bottom, right, bottom, CLSA_PAINT_AXIS);
    c->ops->text(c, (left + right) / 2, bottom + 36, CLSA_ANCHOR_MIDDLE, CLSA_PAINT_LABEL,
                 chart->x_label);
    if (usable(chart->reference, y.log)) {
        const double at = place(&y, chart->reference);
        segment(c, left, at, right, at, CLSA_PAINT_REFERENCE);
        if (clear_at_end(chart, &y))
            c->ops->text(c, right - 4, at + 15, CLSA_ANCHOR_END, CLSA_PAINT_LABEL,
                         chart->reference_label);
        else
            c->ops->text(c, left + 4, at + 15, CLSA_ANCHOR_START, CLSA_PAINT_LABEL,
                         chart->reference_label);
    }
    for (int pass = 0; pass < 3; pass++) /* bands below lines below dots */
        for (size_t k = 0; k < chart->n_series; k++) {
            const struct clsa_series *line = &chart->series[k];
            size_t n = 0, m = 0;
            for (size_t i = 0; i < line->n; i++) {
                const double at = first + gap * (double)line->place[i];
                if (pass == 0 && line->lo && usable(line->lo[i], y.log) &&
                    usable(line->hi[i], y.log)) {
                    px[m] = at;
                    plo[m] = place(&y, line->lo[i]);
                    phi[m++] = place(&y, line->hi[i]);
                }
                if (pass > 0 && usable(line->y[i], y.log)) {
                    px[n] = at;
                    py[n++] = place(&y, line->y[i]);
                    if (pass == 2)
                        c->ops->dot(c, at, py[n - 1], line->paint,
                                    line->tips ? line->tips[i] : NULL);
                }
            }
            if (m > 1)
                c->ops->band(c, px, plo, phi, m, line->paint);
            if (pass == 1 && n > 1)
                c->ops->line(c, px, py, n, line->paint);
            if (pass == 1)
                ends[k] = (struct line_end){n ? py[n - 1] : bottom, k};
        }
    place_names(c, chart, ends, chart->n_series, right + 8, top, bottom);
    free(ends);
    free(xy);
    return c->ops->end(c, err);
}

int clsa_chart_bars(struct clsa_canvas *c, const struct clsa_bar_chart *chart,
                    struct clsa_err *err)
{
    const double width = 1060, row = 32, left = 92, right = width - 190, top = 6;
    const double bottom = top + row * (double)chart->n_bars;
    struct scale x = {.lo = 0, .hi = 0, .from = left, .to = right};
    double ticks[TICKS_MAX];
    char buf[64];
    for (size_t i = 0; i < chart->n_bars; i++) {
        double sum = 0;
        for (size_t j = 0; j < chart->bars[i].n_segments; j++)
            sum += chart->bars[i].segments[j].value;
        x.hi = fmax(x.hi, fmax(sum, isfinite(chart->bars[i].hi) ? chart->bars[i].hi : 0));
    }
    if (x.hi <= 0)
        x.hi = 1;
    const size_t n_ticks = make_ticks(&x, ticks);
    c->ops->begin(c, chart->id, chart->title, chart->title, width, bottom + 28);
    for (size_t i = 0; i < n_ticks; i++) {
        const double at = place(&x, ticks[i]);
        segment(c, at, top, at, bottom, CLSA_PAINT_GRID);
        c->ops->text(c, at, bottom + 18, CLSA_ANCHOR_MIDDLE, CLSA_PAINT_LABEL,
                     tick_text(ticks[i], chart->unit, buf, sizeof buf));
    }
    for (size_t i = 0; i < chart->n_bars; i++) {
        const struct clsa_bar *bar = &chart->bars[i];
        const double y = top + row * (double)i, mid = y + row / 2;
        double sum = 0, end = left;
        c->ops->text(c, left - 10, mid + 4, CLSA_ANCHOR_END, CLSA_PAINT_TEXT, bar->label);
        for (size_t j = 0; j < bar->n_segments; j++) {
            const double from = place(&x, sum);
            sum += bar->segments[j].value;
            const double to = place(&x, sum);
            c->ops->rect(c, from, y + 5, to - from, row - 10, bar->segments[j].paint,
                         bar->segments[j].tip);
            end = to;
        }
        if (isfinite(bar->lo) && isfinite(bar->hi)) {
            const double a = place(&x, bar->lo), b = place(&x, bar->hi);
            segment(c, a, mid, b, mid, CLSA_PAINT_AXIS);
            segment(c, a, mid - 5, a, mid + 5, CLSA_PAINT_AXIS);
            segment(c, b, mid - 5, b, mid + 5, CLSA_PAINT_AXIS);
            end = fmax(end, b);
        }
        if (bar->note)
            c->ops->text(c, end + 10, mid + 4, CLSA_ANCHOR_START, CLSA_PAINT_TEXT, bar->note);
    }
    return c->ops->end(c, err);
}

int clsa_chart_scatter(struct clsa_canvas *c, const struct clsa_scatter_chart *chart,
                       struct clsa_err *err)
{
    const double width = 520, height = 420, left = 64, top = 14, bottom = height - 48;
    const double right = width - 14;
    struct scale x = {.lo = INFINITY, .hi = 0, .from = left, .to = right, .log = true};
    double ticks[TICKS_MAX];
    char buf[64];
    for (size_t i = 0; i < chart->n_points; i++) {
        const struct clsa_scatter_point *p = &chart->points[i];
        if (!usable(p->x, true) || !usable(p->y, true))
            continue;
        x.lo = fmin(x.lo, fmin(p->x, p->y));
        x.hi = fmax(x.hi, fmax(p->x, p->y));
    }
    if (!isfinite(x.lo)) {
        x.lo = 1;
        x.hi = 10;
    }
    x.lo /= 1.4;
    x.hi *= 1.4;
    struct scale y = x;
    y.from = bottom;
    y.to = top;
    const size_t n_ticks = make_ticks(&x, ticks);
    c->ops->begin(c, chart->id, chart->title, chart->title, width, height);
    for (size_t i = 0; i < n_ticks; i++) {
        const double tx = place(&x, ticks[i]), ty = place(&y, ticks[i]);
        tick_text(ticks[i], "", buf, sizeof buf);
        segment(c, tx, top, tx, bottom, CLSA_PAINT_GRID);
        segment(c, left, ty, right, ty, CLSA_PAINT_GRID);
        c->ops->text(c, tx, bottom + 18, CLSA_ANCHOR_MIDDLE, CLSA_PAINT_LABEL, buf);
        c->ops->text(c, left - 8, ty + 4, CLSA_ANCHOR_END, CLSA_PAINT_LABEL, buf);
    }
    double px[BAND_POINTS], lo[BAND_POINTS], hi[BAND_POINTS]; /* many: its corners are cut off */
    for (size_t i = 0; i < BAND_POINTS; i++) {
        px[i] = left + (right - left) * (double)i / (BAND_POINTS - 1);
        const double v = x.lo * pow(x.hi / x.lo, (double)i / (BAND_POINTS - 1));
        lo[i] = place(&y, v / chart->band);
        hi[i] = place(&y, v * chart->band);
    }
    c->ops->band(c, px, lo, hi, BAND_POINTS, CLSA_PAINT_RAMP + 2);
    segment(c, left, bottom, right, top, CLSA_PAINT_REFERENCE);
    segment(c, left, bottom, right, bottom, CLSA_PAINT_AXIS);
    segment(c, left, top, left, bottom, CLSA_PAINT_AXIS);
    for (size_t i = 0; i < chart->n_points; i++) {
        const struct clsa_scatter_point *p = &chart->points[i];
        if (!usable(p->x, true) || !usable(p->y, true))
            continue;
        const double at = place(&x, p->x);
        if (usable(p->lo, true) && usable(p->hi, true))
            segment(c, at, place(&y, p->lo), at, place(&y, p->hi), CLSA_PAINT_AXIS);
        c->ops->dot(c, at, place(&y, p->y), p->paint, p->tip);
    }
    c->ops->text(c, (left + right) / 2, bottom + 38, CLSA_ANCHOR_MIDDLE, CLSA_PAINT_LABEL,
                 chart->x_label);
    c->ops->text(c, left + 8, top + 14, CLSA_ANCHOR_START, CLSA_PAINT_LABEL, chart->y_label);
    return c->ops->end(c, err);
}
