/* What charts draw on: one vtable, two back ends (SVG, text), so that a chart is written once.
 *
 * Coordinates are points from the top left. Paints name roles, not colours: the page's style
 * sheet and the text back end decide how a role looks. Drawing cannot fail; end() reports what
 * went wrong. */
#ifndef CLSA_REPORTS_CANVAS_H
#define CLSA_REPORTS_CANVAS_H

#include <stddef.h>
#include <stdio.h>

#include "sim/base/status.h"

/* Ramp paints order a series (contexts, group sizes) from light to dark. Attention, index and other
 * are the parts of a step, four shades each. */
enum clsa_paint {
    CLSA_PAINT_GRID,
    CLSA_PAINT_AXIS,
    CLSA_PAINT_REFERENCE,
    CLSA_PAINT_LABEL,
    CLSA_PAINT_TEXT,
    CLSA_PAINT_STRONG,
    CLSA_PAINT_RAMP,
    CLSA_PAINT_ATTENTION = CLSA_PAINT_RAMP + 8,
    CLSA_PAINT_INDEX = CLSA_PAINT_ATTENTION + 4,
    CLSA_PAINT_OTHER = CLSA_PAINT_INDEX + 4,
    CLSA_PAINTS = CLSA_PAINT_OTHER + 4
};

enum clsa_anchor { CLSA_ANCHOR_START, CLSA_ANCHOR_MIDDLE, CLSA_ANCHOR_END };

struct clsa_canvas;

/* `tip` is what a reader sees when pointing at a mark; may be NULL. Text y is the baseline. */
struct clsa_canvas_ops {
    void (*begin)(struct clsa_canvas *c, const char *id, const char *title, const char *description,
                  double width, double height);
    void (*line)(struct clsa_canvas *c, const double *x, const double *y, size_t n,
                 enum clsa_paint paint);
    void (*band)(struct clsa_canvas *c, const double *x, const double *lo, const double *hi,
                 size_t n, enum clsa_paint paint);
    void (*rect)(struct clsa_canvas *c, double x, double y, double w, double h,
                 enum clsa_paint paint, const char *tip);
    void (*dot)(struct clsa_canvas *c, double x, double y, enum clsa_paint paint, const char *tip);
    void (*text)(struct clsa_canvas *c, double x, double y, enum clsa_anchor anchor,
                 enum clsa_paint paint, const char *text);
    /* Ends a drawing; another may begin. 0, CLSA_ENOMEM or CLSA_EIO. */
    int (*end)(struct clsa_canvas *c, struct clsa_err *err);
    void (*destroy)(struct clsa_canvas *c);
};

struct clsa_canvas {
    const struct clsa_canvas_ops *ops;
    FILE *stream;
};

/* Inline SVG without colours of its own. NULL when out of memory. */
struct clsa_canvas *clsa_canvas_svg(FILE *stream);
/* Text `columns` wide: lines in braille dots, bars in block characters. NULL when out of memory. */
struct clsa_canvas *clsa_canvas_text(FILE *stream, unsigned columns);
void clsa_canvas_destroy(struct clsa_canvas *canvas); /* takes NULL */

/* Writes text with the characters that HTML and XML reserve escaped; bytes that are no UTF-8 and
 * control characters become U+FFFD. */
void clsa_put_escaped(FILE *stream, const char *text);

#endif
