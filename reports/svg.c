/* The canvas that writes SVG. Coordinates have one digit after the point, so that the same chart
 * gives the same bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "reports/canvas.h"
#include "sim/base/alloc.h"

static const char *const paint_class[CLSA_PAINTS] = {
    "grid", "axis", "ref", "label", "text", "strong", "r0", "r1", "r2", "r3", "r4", "r5", "r6",
    "r7",   "a0",   "a1",  "a2",    "a3",   "i0",     "i1", "i2", "i3", "o0", "o1", "o2", "o3"};

/* Length of the UTF-8 character at p, 0 when it is none (overlong forms, surrogates, beyond
 * U+10FFFF and control characters included). */
static int utf8_length(const unsigned char *p)
{
    if (*p < 0x80)
        return *p >= 0x20 && *p != 0x7f ? 1 : *p == '\n' || *p == '\t';
    const int n = *p >= 0xf0 && *p <= 0xf4 ? 4 : *p >= 0xe0 && *p < 0xf0 ? 3
                : *p >= 0xc2 && *p < 0xe0  ? 2 : 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f) || (*p == 0xc2 && p[1] < 0xa0))
        return 0;
    return n;
}

void clsa_put_escaped(FILE *f, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        const int n = utf8_length(p);
        if (n == 0)
            fputs("\xef\xbf\xbd", f);
        else if (*p == '&')
            fputs("&amp;", f);
        else if (*p == '<')
            fputs("&lt;", f);
        else if (*p == '>')
            fputs("&gt;", f);
        else if (*p == '"')
            fputs("&quot;", f);
        else
            fwrite(p, 1, (size_t)n, f);
        p += n ? n : 1;
    }
}

static void svg_begin(struct clsa_canvas *c, const char *id, const char *title,
                      const char *description, double width, double height)
{
    fprintf(c->stream, "<svg id=\"%s\" class=\"chart\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
            "aria-labelledby=\"%s-t\">\n<title id=\"%s-t\">", id, width, height, id, id);
    clsa_put_escaped(c->stream, title);
    fputs("</title>\n<desc>", c->stream);
    clsa_put_escaped(c->stream, description);
    fputs("</desc>\n", c->stream);
}

static void svg_line(struct clsa_canvas *c, const double *x, const double *y, size_t n,
                     enum clsa_paint paint)
{
    fprintf(c->stream, "<polyline class=\"line %s\" points=\"", paint_class[paint]);
    for (size_t i = 0; i < n; i++)
        fprintf(c->stream, "%s%.1f,%.1f", i ? " " : "", x[i], y[i]);
    fputs("\"/>\n", c->stream);
}

static void svg_band(struct clsa_canvas *c, const double *x, const double *lo, const double *hi,
                     size_t n, enum clsa_paint paint)
{
    fprintf(c->stream, "<polygon class=\"band %s\" points=\"", paint_class[paint]);
    for (size_t i = 0; i < n; i++)
        fprintf(c->stream, "%.1f,%.1f ", x[i], hi[i]);
    for (size_t i = n; i-- > 0;)
        fprintf(c->stream, "%.1f,%.1f%s", x[i], lo[i], i ? " " : "");
    fputs("\"/>\n", c->stream);
}

static void put_tip(FILE *f, const char *tip, const char *element)
{
    if (!tip) {
        fputs("/>\n", f);
        return;
    }
    fputs("><title>", f);
    clsa_put_escaped(f, tip);
    fprintf(f, "</title></%s>\n", element);
}

static void svg_rect(struct clsa_canvas *c, double x, double y, double w, double h,
                     enum clsa_paint paint, const char *tip)
{
    fprintf(c->stream, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"",
            paint_class[paint], x, y, w, h);
    put_tip(c->stream, tip, "rect");
}

static void svg_dot(struct clsa_canvas *c, double x, double y, enum clsa_paint paint,
                    const char *tip)
{
    fprintf(c->stream, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"",
            paint_class[paint], x, y);
    put_tip(c->stream, tip, "circle");
}

static void svg_text(struct clsa_canvas *c, double x, double y, enum clsa_anchor anchor,
                     enum clsa_paint paint, const char *text)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    fprintf(c->stream, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
            paint_class[paint], x, y, anchors[anchor]);
    clsa_put_escaped(c->stream, text);
    fputs("</text>\n", c->stream);
}

static int svg_end(struct clsa_canvas *c, struct clsa_err *err)
{
    fputs("</svg>\n", c->stream);
    return ferror(c->stream) ? clsa_fail(err, CLSA_EIO, "output: write failed") : CLSA_OK;
}

static void svg_destroy(struct clsa_canvas *c)
{
    free(c);
}

struct clsa_canvas *clsa_canvas_svg(FILE *stream)
{
    static const struct clsa_canvas_ops ops = {svg_begin, svg_line, svg_band, svg_rect, svg_dot,
                                               svg_text,  svg_end,  svg_destroy};
    struct clsa_canvas *c = clsa_calloc(1, sizeof *c);
    if (c)
        *c = (struct clsa_canvas){&ops, stream};
    return c;
}

void clsa_canvas_destroy(struct clsa_canvas *canvas)
{
    if (canvas)
        canvas->ops->destroy(canvas);
}
