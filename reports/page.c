#include "reports/page.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "sim/base/units.h"

void clsa_page_section(struct clsa_page *page, const char *id, const char *title)
{
    assert(page->n_sections < CLSA_PAGE_SECTIONS);
    page->sections[page->n_sections].id = id;
    page->sections[page->n_sections++].title = title;
    fprintf(page->f, "<h2 id=\"%s\">%s</h2>\n", id, title);
}

void clsa_page_begin(FILE *f, const struct clsa_page *page)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<title>What sharing an index gains</title>\n<style>\n", f);
    fputs(clsa_page_css, f);
    fputs("</style>\n</head>\n<body>\n<h1>What sharing an index gains</h1>\n"
          "<p class=\"sub\">Sparse attention picks top-k positions with an index; layers of a "
          "group "
          "share one pick. How large should a group be?</p>\n<nav>", f);
    for (size_t i = 0; i < page->n_sections; i++)
        fprintf(f, "<a href=\"#%s\">%s</a>", page->sections[i].id, page->sections[i].title);
    fputs("</nav>\n", f);
}

void clsa_page_end(struct clsa_page *page)
{
    FILE *f = page->f;
    clsa_page_section(page, "read", "How to read this page");
    fputs("<dl>\n"
          "<dt>Group size</dt><dd>The number of layers that attend to the positions one index "
          "selected. Group 1 is one index a layer; “dense” attends to every position and has "
          "none.</dd>\n"
          "<dt>Top-k</dt><dd>How many positions are selected for each query.</dd>\n"
          "<dt>Batch, context</dt><dd>Sequences in a step, and the tokens each query sees, its own "
          "included.</dd>\n"
          "<dt>Speed-up</dt><dd>Time of a dense step (or of a step at group 1) over the time of "
          "this "
          "step, with the same model, machine, software, batch and context.</dd>\n"
          "<dt>Interval</dt><dd>“80 %” bounds: measured times are expected to lie between them "
          "four "
          "times in five. They come from how far predictions were off on measured machines, and "
          "are wider far from what was measured.</dd>\n"
          "<dt>Attention, index, other</dt><dd>Attention over the cache; scoring, top-k and the "
          "index's own projections; all other ops. Gaps between kernels count with the kernel that "
          "follows.</dd>\n"
          "<dt>Closed form, replay</dt><dd>Two predictors with one result: the first prices each "
          "op "
          "from its sizes, the second walks a trace of the step through caches, TLB and memory."
          "</dd>\n"
          "<dt>Near group</dt><dd>The smallest group within 5 % of the fastest. A smaller group "
          "selects for fewer layers at once, so it is the safer choice where time is nearly "
          "equal.</dd>\n"
          "<dt>Where a point was asked for more than once</dt><dd>the latest run counts; older "
          "ones "
          "stay in the store.</dd>\n"
          "</dl>\n</body>\n</html>\n", f);
}

static void put_cell(FILE *f, struct clsa_pool *pool, const struct clsa_rows *rows, size_t r,
                     const struct clsa_column *c)
{
    char buf[64];
    const double v = clsa_rows_f64(rows, r, c->name);
    const bool text = c->as == CLSA_AS_TEXT;
    fprintf(f, "<td class=\"%s\">", text ? "t" : "n");
    if (text)
        clsa_put_escaped(f, clsa_rows_text(rows, r, c->name));
    else if (isfinite(v))
        switch (c->as) {
        case CLSA_AS_TEXT:
            break;
        case CLSA_AS_COUNT:
            fprintf(f, "%.0f", v);
            break;
        case CLSA_AS_TOKENS:
            fputs(clsa_text_tokens(pool, (int64_t)v), f);
            break;
        case CLSA_AS_GROUP:
            fputs(v == 0 ? "dense" : clsa_pool_printf(pool, "%.0f", v), f);
            break;
        case CLSA_AS_TIME:
            fputs(clsa_text_time(pool, v), f);
            break;
        case CLSA_AS_BYTES:
            fputs(clsa_bytes_print((uint64_t)v, buf, sizeof buf), f);
            break;
        case CLSA_AS_FACTOR:
            fprintf(f, "%.2f×", v);
            break;
        case CLSA_AS_TENTH:
            fprintf(f, "%.1f", v);
            break;
        case CLSA_AS_SIGNED:
            fprintf(f, "%+.1f", v);
            break;
        case CLSA_AS_FOUR:
            fprintf(f, "%.4f", v);
            break;
        case CLSA_AS_FOUR_SIGNED:
            fprintf(f, "%+.4f", v);
            break;
        }
    fputs("</td>", f);
}

void clsa_page_rows(FILE *f, struct clsa_pool *pool, const struct clsa_rows *rows,
                    const size_t *list, size_t n, const struct clsa_column *columns,
                    size_t n_columns)
{
    fputs("<div class=\"scroll\"><table>\n<tr>", f);
    for (size_t c = 0; c < n_columns; c++)
        fprintf(f, "<th%s>%s</th>", columns[c].as == CLSA_AS_TEXT ? " class=\"t\"" : "",
                columns[c].title);
    fputs("</tr>\n", f);
    for (size_t i = 0; i < n; i++) {
        fputs("<tr>", f);
        for (size_t c = 0; c < n_columns; c++)
            put_cell(f, pool, rows, list ? list[i] : i, &columns[c]);
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n", f);
}

void clsa_page_legend(FILE *f, const struct clsa_legend *legend)
{
    static const char letters[] = "aio";
    fputs("<div class=\"legend notes\">", f);
    for (size_t i = 0; i < legend->n; i++) {
        const int shade = (int)legend->items[i].paint - CLSA_PAINT_ATTENTION;
        fprintf(f, "<span><i class=\"%c%d\"></i>", letters[shade / 4], shade % 4);
        clsa_put_escaped(f, legend->items[i].name);
        fputs("</span>", f);
    }
    fputs("</div>\n", f);
}

static void put_parameters(FILE *f, const struct clsa_rows *p, const char *kind, const char *name)
{
    const bool machine = strcmp(kind, "machine") == 0;
    fprintf(f, "<div class=\"scroll\"><table>\n<tr>%s<th class=\"t\">parameter</th><th>value</th>"
            "<th class=\"t\">unit</th><th class=\"t\">source</th><th class=\"t\">read from</th>"
            "</tr>\n", machine ? "" : "<th class=\"t\">op</th>");
    for (size_t r = 0; r < p->n; r++) {
        if (strcmp(clsa_rows_text(p, r, "kind"), kind) != 0 ||
            strcmp(clsa_rows_text(p, r, "name"), name) != 0)
            continue;
        static const char *const columns[] = {"op",   "parameter", "value",
                                              "unit", "source",    "origin"};
        const bool set = strncmp(clsa_rows_text(p, r, "origin"), "--set", 5) == 0;
        fputs(set ? "<tr class=\"set\">" : "<tr>", f);
        for (size_t c = machine; c < sizeof columns / sizeof *columns; c++) {
            fprintf(f, "<td class=\"%s\">", c == 2 ? "n" : "t");
            clsa_put_escaped(f, clsa_rows_text(p, r, columns[c]));
            fputs("</td>", f);
        }
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n", f);
}

int clsa_page_setups(struct clsa_page *page, struct clsa_reader *reader, struct clsa_err *err)
{
    FILE *f = page->f;
    struct clsa_rows setups = {0}, parameters = {0};
    int status = clsa_rows_load(reader, "setups", -1, &setups, err);
    if (!status)
        status = clsa_rows_load(reader, "sources", -1, &parameters, err);
    if (!status && setups.n > 0) {
        clsa_page_section(page, "setups", "Machines and software, with sources");
        fputs("<p>Every value a prediction used, with its unit and where it comes from. Rows set "
              "on "
              "the command line are tinted.</p>\n", f);
        for (size_t i = 0; i < setups.n; i++) {
            const char *kind = clsa_rows_text(&setups, i, "kind");
            const char *name = clsa_rows_text(&setups, i, "name");
            const char *base = clsa_rows_text(&setups, i, "base");
            fprintf(f, "<details><summary>%s <b>", kind);
            clsa_put_escaped(f, name);
            fputs("</b>", f);
            if (*base) {
                fputs(", from ", f);
                clsa_put_escaped(f, base);
            }
            fputs("</summary>\n", f);
            put_parameters(f, &parameters, kind, name);
            fputs("</details>\n", f);
        }
    }
    clsa_rows_destroy(&setups);
    clsa_rows_destroy(&parameters);
    return status;
}
