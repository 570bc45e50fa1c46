/* Charts on a canvas. They know numbers and names, not the store. */
#ifndef CLSA_REPORTS_CHART_H
#define CLSA_REPORTS_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "reports/canvas.h"

/* A line: place[i] is the category its i-th point stands over; lo and hi (NULL: no band) bound it.
 * Tips may be NULL. All arrays have n entries. */
struct clsa_series {
    const char *name;
    enum clsa_paint paint;
    size_t n;
    const size_t *place;
    const double *y, *lo, *hi;
    const char *const *tips;
};

struct clsa_line_chart {
    const char *id, *title, *x_label, *y_unit; /* unit after each y label: "x", " ms", " %" */
    const char *const *categories;
    size_t n_categories;
    const struct clsa_series *series;
    size_t n_series;
    bool log_y;
    bool fixed_top;         /* y ends at `top` instead of above the data */
    double top;
    double reference;       /* a dashed line, NaN: none */
    const char *reference_label;
};

/* Points that are not finite, or not positive on a log axis, are left out. Names stand at the
 * line ends. Returns 0, CLSA_ENOMEM or CLSA_EIO. */
int clsa_chart_lines(struct clsa_canvas *canvas, const struct clsa_line_chart *chart,
                     struct clsa_err *err);

struct clsa_segment {
    double value;
    enum clsa_paint paint;
    const char *tip;
};

/* A stacked bar with its interval (NaN: none) and a note at its end. */
struct clsa_bar {
    const char *label, *note;
    const struct clsa_segment *segments;
    size_t n_segments;
    double lo, hi;
};

struct clsa_bar_chart {
    const char *id, *title, *unit;
    const struct clsa_bar *bars;
    size_t n_bars;
};

int clsa_chart_bars(struct clsa_canvas *canvas, const struct clsa_bar_chart *chart,
                    struct clsa_err *err);

/* x measured, y predicted, same unit, both log. */
struct clsa_scatter_point {
    double x, y, lo, hi; /* interval of y, NaN: none */
    enum clsa_paint paint;
    const char *tip;
};

struct clsa_scatter_chart {
    const char *id, *title, *x_label, *y_label;
    const struct clsa_scatter_point *points;
    size_t n_points;
    double band; /* factor around y = x that is shaded: 1.2 is within 20 % */
};

int clsa_chart_scatter(struct clsa_canvas *canvas, const struct clsa_scatter_chart *chart,
                       struct clsa_err *err);

/* The ramp paint of the i-th of n ordered series. */
enum clsa_paint clsa_ramp(size_t i, size_t n);

#endif
