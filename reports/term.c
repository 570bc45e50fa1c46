/* The canvas that writes text. A character cell is CELL_W x CELL_H points; lines are braille
 * dots, two by four a cell; words win over bars, bars over lines. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reports/canvas.h"
#include "sim/base/alloc.h"

#define CELL_H 16.0
#define ROWS_MAX 400

struct term {
    struct clsa_canvas canvas;
    unsigned columns;
    double cell_w;       /* chosen so that the drawing fits the columns */
    unsigned rows;
    uint32_t *glyphs;    /* code point, or 0x2800 + dots, or 0 */
    char title[160];
};

static struct term *term_of(struct clsa_canvas *c)
{
    return (struct term *)c;
}

static void term_begin(struct clsa_canvas *c, const char *id, const char *title,
                       const char *description, double width, double height)
{
    (void)id;
    (void)description;
    struct term *t = term_of(c);
    t->cell_w = width / t->columns;
    t->rows = (unsigned)fmin(ceil(height / CELL_H), ROWS_MAX);
    free(t->glyphs);
    t->glyphs = clsa_calloc((size_t)t->rows * t->columns, sizeof *t->glyphs);
    snprintf(t->title, sizeof t->title, "%s", title);
}

static uint32_t *cell(struct term *t, long column, long row)
{
    if (!t->glyphs || column < 0 || row < 0 || column >= (long)t->columns || row >= (long)t->rows)
        return NULL;
    return &t->glyphs[(size_t)row * t->columns + (size_t)column];
}

/* Unicode braille: dots of the left column are bits 0 1 2 6 from top to bottom, of the right 3 4
 * 5 7. */
static void put_dot(struct term *t, double x, double y)
{
    static const uint8_t bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    const long dx = (long)floor(x / t->cell_w * 2), dy = (long)floor(y / CELL_H * 4);
    uint32_t *g = dx < 0 || dy < 0 ? NULL : cell(t, dx / 2, dy / 4);
    if (g && (*g == 0 || (*g & 0xff00) == 0x2800))
        *g = 0x2800 | (*g & 0xff) | bits[dy % 4][dx % 2];
}

static void term_line(struct clsa_canvas *c, const double *x, const double *y, size_t n,
                      enum clsa_paint paint)
{
    struct term *t = term_of(c);
    if (paint == CLSA_PAINT_GRID)
        return;
    for (size_t i = 0; i + 1 < n; i++) {
        const double dx = (x[i + 1] - x[i]) / t->cell_w * 2, dy = (y[i + 1] - y[i]) / CELL_H * 4;
        const long steps = (long)fmin(fmax(fabs(dx), fabs(dy)) + 1, 4096);
        const long stride = paint == CLSA_PAINT_REFERENCE ? 4 : 1; /* dotted */
        for (long s = 0; s <= steps; s += stride)
            put_dot(t, x[i] + (x[i + 1] - x[i]) * (double)s / (double)steps,
                    y[i] + (y[i + 1] - y[i]) * (double)s / (double)steps);
    }
}

/* Text has no transparency: a band would hide its line. */
static void term_band(struct clsa_canvas *c, const double *x, const double *lo, const double *hi,
                      size_t n, enum clsa_paint paint)
{
    (void)c;
    (void)x;
    (void)lo;
    (void)hi;
    (void)n;
    (void)paint;
}

static void term_rect(struct clsa_canvas *c, double x, double y, double w, double h,
                      enum clsa_paint paint, const char *tip)
{
    (void)tip;
    struct term *t = term_of(c);
    const uint32_t block = paint >= CLSA_PAINT_OTHER       ? 0x2591
                           : paint >= CLSA_PAINT_INDEX     ? 0x2593
                           : paint >= CLSA_PAINT_ATTENTION ? 0x2588
                                                           : 0x2592;
    const long row = (long)floor((y + h / 2) / CELL_H);
    const long first = lround(x / t->cell_w), last = lround((x + w) / t->cell_w);
    for (long i = first; i < last; i++) {
        uint32_t *g = cell(t, i, row);
        if (g)
            *g = block;
    }
}

static void term_dot(struct clsa_canvas *c, double x, double y, enum clsa_paint paint,
                     const char *tip)
{
    (void)paint;
    (void)tip;
    struct term *t = term_of(c);
    uint32_t *g = cell(t, (long)floor(x / t->cell_w), (long)floor(y / CELL_H));
    if (g)
        *g = 0x25cf;
}

static void term_text(struct clsa_canvas *c, double x, double y, enum clsa_anchor anchor,
                      enum clsa_paint paint, const char *text)
{
    (void)paint;
    struct term *t = term_of(c);
    uint32_t points[256];
    long n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p && n < 256;) {
        const int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
        uint32_t u = more == 3 ? *p & 7u : more == 2 ? *p & 15u : more == 1 ? *p & 31u : *p;
        p++;
        for (int i = 0; i < more && (*p & 0xc0) == 0x80; i++)
            u = u << 6 | (*p++ & 63u);
        points[n++] = u < 0x20 || u == 0x7f ? '?' : u;
    }
    long at = lround(x / t->cell_w);
    at -= anchor == CLSA_ANCHOR_MIDDLE ? n / 2 : anchor == CLSA_ANCHOR_END ? n : 0;
    if (at + n > (long)t->columns && anchor != CLSA_ANCHOR_END)
        at = (long)t->columns - n > 0 ? (long)t->columns - n : 0;
    for (long i = 0; i < n; i++) {
        uint32_t *g = cell(t, at + i, (long)floor((y - 4) / CELL_H));
        if (g)
            *g = points[i];
    }
}

static void put_utf8(FILE *f, uint32_t u)
{
    if (u < 0x80) {
        fputc((int)u, f);
    } else if (u < 0x800) {
        fprintf(f, "%c%c", (int)(0xc0 | u >> 6), (int)(0x80 | (u & 63)));
    } else if (u < 0x10000) {
        fprintf(f, "%c%c%c", (int)(0xe0 | u >> 12), (int)(0x80 | (u >> 6 & 63)),
                (int)(0x80 | (u & 63)));
    } else {
        fprintf(f, "%c%c%c%c", (int)(0xf0 | u >> 18), (int)(0x80 | (u >> 12 & 63)),
                (int)(0x80 | (u >> 6 & 63)), (int)(0x80 | (u & 63)));
    }
}

static int term_end(struct clsa_canvas *c, struct clsa_err *err)
{
    struct term *t = term_of(c);
    if (!t->glyphs)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    fprintf(c->stream, "%s\n", t->title);
    for (unsigned r = 0; r < t->rows; r++) {
        const uint32_t *row = t->glyphs + (size_t)r * t->columns;
        unsigned n = t->columns;
        while (n > 0 && row[n - 1] == 0)
            n--;
        for (unsigned i = 0; i < n; i++)
            put_utf8(c->stream, row[i] ? row[i] : ' ');
        fputc('\n', c->stream);
    }
    free(t->glyphs);
    t->glyphs = NULL;
    return ferror(c->stream) ? clsa_fail(err, CLSA_EIO, "output: write failed") : CLSA_OK;
}

static void term_destroy(struct clsa_canvas *c)
{
    free(term_of(c)->glyphs);
    free(c);
}

struct clsa_canvas *clsa_canvas_text(FILE *stream, unsigned columns)
{
    static const struct clsa_canvas_ops ops = {term_begin, term_line, term_band, term_rect,
                                               term_dot,   term_text, term_end,  term_destroy};
    struct term *t = clsa_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->canvas = (struct clsa_canvas){&ops, stream};
    t->columns = columns < 60 ? 60 : columns > 240 ? 240 : columns;
    return &t->canvas;
}
