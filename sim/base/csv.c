#include "sim/base/csv.h"

#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"

#define CSV_BYTES_MAX ((size_t)256 << 20)

/* State of one parse: cells are appended to `csv` as libcsv reports them. */
struct reading {
    struct clsa_csv *csv;
    struct clsa_err *err;
    int status;
    size_t line;      /* of the record being read */
    size_t cell;      /* cells seen in this record */
    size_t rows_max;
    size_t header_max;
    bool in_header;
};

static int no_memory(struct reading *r)
{
    return r->status = clsa_fail(r->err, CLSA_ENOMEM, "%s: out of memory", r->csv->path);
}

static bool grow_rows(struct reading *r)
{
    struct clsa_csv *csv = r->csv;
    if (csv->rows < r->rows_max)
        return true;
    const size_t more = r->rows_max ? 2 * r->rows_max : 64;
    size_t cells;
    if (!clsa_mul_size(more, csv->columns, &cells))
        return false;
    char **grown = clsa_realloc(csv->cells, cells, sizeof *grown);
    if (!grown)
        return false;
    csv->cells = grown;
    size_t *lines = clsa_realloc(csv->lines, more, sizeof *lines);
    if (!lines)
        return false;
    csv->lines = lines;
    r->rows_max = more;
    return true;
}

static void on_cell(void *text, size_t bytes, void *user)
{
    struct reading *r = user;
    struct clsa_csv *csv = r->csv;
    if (r->status)
        return;
    char *copy = clsa_malloc(bytes + 1, 1);
    if (!copy) {
        no_memory(r);
        return;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    if (memchr(copy, '\0', bytes)) {
        free(copy);
        r->status = clsa_fail(r->err, CLSA_EFORMAT, "%s:%zu: NUL byte", csv->path, r->line);
        return;
    }
    if (r->in_header) {
        char **grown = clsa_realloc(csv->header, csv->columns + 1, sizeof *grown);
        if (!grown) {
            free(copy);
            no_memory(r);
            return;
        }
        csv->header = grown;
        csv->header[csv->columns++] = copy;
        return;
    }
    if (r->cell >= csv->columns) {
        free(copy);
        r->status = clsa_fail(r->err, CLSA_EFORMAT, "%s:%zu: more cells than the header has (%zu)",
                              csv->path, r->line, csv->columns);
        return;
    }
    if (r->cell == 0) {
        if (!grow_rows(r)) {
            free(copy);
            no_memory(r);
            return;
        }
        memset(csv->cells + csv->rows * csv->columns, 0, csv->columns * sizeof *csv->cells);
        csv->lines[csv->rows] = r->line;
        csv->rows++;
    }
    csv->cells[(csv->rows - 1) * csv->columns + r->cell++] = copy;
}

static void on_record(int terminator, void *user)
{
    (void)terminator;
    struct reading *r = user;
    if (r->status)
        return;
    if (r->csv->columns)
        r->in_header = false;
    r->cell = 0;
}

/* One logical record a time: comment lines are left out and line numbers counted here, because libcsv
 * knows neither. A record ends at a newline outside quotes. */
static int feed(struct reading *r, struct csv_parser *parser, const char *text, size_t bytes)
{
    size_t line = 1, at = 0;
    while (at < bytes && r->status == CLSA_OK) {
        size_t end = at, newlines = 0;
        const bool comment = text[at] == '#';
        bool quoted = false, blank = true;
        while (end < bytes && (quoted || text[end] != '\n')) {
            quoted ^= text[end] == '"' && !comment;
            blank &= text[end] == ' ' || text[end] == '\t' || text[end] == '\r';
            newlines += text[end] == '\n';
            end++;
        }
        if (quoted)
            return clsa_fail(r->err, CLSA_EFORMAT, "%s:%zu: a quote is not closed", r->csv->path,
                             line);
        end += end < bytes;
        r->line = line;
        if (!comment && !blank &&
            csv_parse(parser, text + at, end - at, on_cell, on_record, r) != end - at &&
            r->status == CLSA_OK)
            return clsa_fail(r->err, csv_error(parser) == CSV_ENOMEM ? CLSA_ENOMEM : CLSA_EFORMAT,
                             "%s:%zu: %s", r->csv->path, line, csv_strerror(csv_error(parser)));
        line += newlines + 1;
        at = end;
    }
    if (r->status == CLSA_OK)
        csv_fini(parser, on_cell, on_record, r);
    return r->status;
}

int clsa_csv_parse(const char *name, const char *text, size_t bytes, struct clsa_csv *csv,
                   struct clsa_err *err)
{
    struct clsa_csv c = {.path = clsa_strdup(name)};
    struct reading r = {.csv = &c, .err = err, .in_header = true};
    struct csv_parser parser;
    int status;
    if (!c.path || csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        free(c.path);
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
    }
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3, bytes -= 3;
    status = feed(&r, &parser, text, bytes);
    csv_free(&parser);
    if (status == CLSA_OK && c.columns == 0)
        status = clsa_fail(err, CLSA_EFORMAT, "%s:1: no header row", name);
    if (status) {
        clsa_csv_destroy(&c);
        return status;
    }
    *csv = c;
    return CLSA_OK;
}

int clsa_csv_read(const char *path, struct clsa_csv *csv, struct clsa_err *err)
{
    char *text;
    size_t bytes;
    int status = clsa_file_read(path, CSV_BYTES_MAX, &text, &bytes, err);
    if (status)
        return status;
    status = clsa_csv_parse(path, text, bytes, csv, err);
    free(text);
    return status;
}

void clsa_csv_destroy(struct clsa_csv *csv)
{
    if (!csv)
        return;
    for (size_t i = 0; csv->cells && i < csv->rows * csv->columns; i++)
        free(csv->cells[i]);
    for (size_t i = 0; i < csv->columns; i++)
        free(csv->header[i]);
    free(csv->header);
    free(csv->cells);
    free(csv->lines);
    free(csv->path);
    *csv = (struct clsa_csv){0};
}

int clsa_csv_column(const struct clsa_csv *csv, const char *name)
{
    for (size_t i = 0; i < csv->columns; i++)
        if (strcmp(csv->header[i], name) == 0)
            return (int)i;
    return -1;
}

int clsa_csv_need(const struct clsa_csv *csv, const char *name, int *column, struct clsa_err *err)
{
    const int c = clsa_csv_column(csv, name);
    if (c < 0)
        return clsa_fail(err, CLSA_EFORMAT, "%s:1: no column '%s'", csv->path, name);
    *column = c;
    return CLSA_OK;
}

const char *clsa_csv_cell(const struct clsa_csv *csv, size_t row, int column)
{
    const char *cell = csv->cells[row * csv->columns + (size_t)column];
    return cell ? cell : "";
}

static int bad_number(const struct clsa_csv *csv, size_t row, int column, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: column '%s': '%s' is not such a number", csv->path,
                     csv->lines[row], csv->header[column], clsa_csv_cell(csv, row, column));
}

int clsa_csv_f64(const struct clsa_csv *csv, size_t row, int column, double *out,
                 struct clsa_err *err)
{
    const char *cell = clsa_csv_cell(csv, row, column);
    char *end;
    errno = 0;
    const double value = strtod(cell, &end);
    if (end == cell || *end || !isfinite(value))
        return bad_number(csv, row, column, err);
    *out = value;
    return CLSA_OK;
}

int clsa_csv_u64(const struct clsa_csv *csv, size_t row, int column, uint64_t *out,
                 struct clsa_err *err)
{
    const char *cell = clsa_csv_cell(csv, row, column);
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(cell, &end, 10);
    if (*cell < '0' || *cell > '9' || *end || errno == ERANGE)
        return bad_number(csv, row, column, err);
    *out = value;
    return CLSA_OK;
}

void clsa_csv_put(FILE *out, int first, const char *cell)
{
    if (!first)
        putc(',', out);
    if (!strpbrk(cell, ",\"\r\n") && *cell != '#') {
        fputs(cell, out);
        return;
    }
    putc('"', out);
    for (; *cell; cell++) {
        if (*cell == '"')
            putc('"', out);
        putc(*cell, out);
    }
    putc('"', out);
}
