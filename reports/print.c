#include "reports/print.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/csv.h"
#include "sim/base/json.h"

struct clsa_printer {
    FILE *stream;
    enum clsa_format format;
    size_t columns, rows, room;
    char **header;
    bool *left;   /* text tables: a column that has held text */
    char **cells; /* text tables: rows * columns */
};

int clsa_format_find(const char *text)
{
    static const char *const names[] = {"table", "csv", "json"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

/* The shortest decimal that reads back as the same double. */
static void print_shortest(char *buf, size_t bytes, double value)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, bytes, "%.*g", digits, value);
        if (strtod(buf, NULL) == value)
            return;
    }
}

static void format_number(char *buf, size_t bytes, const struct clsa_value *v)
{
    if (v->type == CLSA_CELL_INTEGER)
        snprintf(buf, bytes, "%" PRId64, v->integer);
    else if (v->decimals >= 0 && fabs(v->real) < 1e15)
        snprintf(buf, bytes, "%.*f", v->decimals, v->real);
    else
        print_shortest(buf, bytes, v->real);
}

static bool is_null(const struct clsa_value *v)
{
    return v->type == CLSA_CELL_NULL || (v->type == CLSA_CELL_REAL && !isfinite(v->real)) ||
           (v->type == CLSA_CELL_TEXT && !v->text);
}

int clsa_printer_open(FILE *stream, enum clsa_format format, const char *const *columns,
                      size_t n_columns, struct clsa_printer **out, struct clsa_err *err)
{
    struct clsa_printer *p = clsa_calloc(1, sizeof *p);
    if (!p || !(p->header = clsa_calloc(n_columns, sizeof *p->header)) ||
        !(p->left = clsa_calloc(n_columns, sizeof *p->left)))
        goto fail;
    p->stream = stream;
    p->format = format;
    for (; p->columns < n_columns; p->columns++)
        if (!(p->header[p->columns] = clsa_strdup(columns[p->columns])))
            goto fail;
    if (format == CLSA_FORMAT_CSV) {
        for (size_t i = 0; i < n_columns; i++)
            clsa_csv_put(stream, i == 0, columns[i]);
        fputc('\n', stream);
    } else if (format == CLSA_FORMAT_JSON) {
        fputc('[', stream);
    }
    *out = p;
    return CLSA_OK;
fail:
    clsa_printer_close(p, NULL);
    return clsa_fail(err, CLSA_ENOMEM, "out of memory");
}

static int hold_row(struct clsa_printer *p, const struct clsa_value *values, struct clsa_err *err)
{
    if (p->rows == p->room) {
        const size_t room = p->room ? p->room * 2 : 64;
        size_t cells;
        char **more = clsa_mul_size(room, p->columns, &cells)
                          ? clsa_realloc(p->cells, cells, sizeof *more)
                          : NULL;
        if (!more)
            return clsa_fail(err, CLSA_ENOMEM, "out of memory");
        p->cells = more;
        p->room = room;
    }
    char **row = p->cells + p->rows * p->columns;
    size_t i;
    for (i = 0; i < p->columns; i++) {
        char number[400];
        const char *text = number;
        if (is_null(&values[i])) {
            text = "-";
        } else if (values[i].type == CLSA_CELL_TEXT) {
            text = values[i].text;
            p->left[i] = true;
        } else if (values[i].type == CLSA_CELL_REAL && values[i].decimals < 0) {
            snprintf(number, sizeof number, "%.6g", values[i].real);
        } else {
            format_number(number, sizeof number, &values[i]);
        }
        if (!(row[i] = clsa_strdup(text)))
            break;
        for (unsigned char *c = (unsigned char *)row[i]; *c; c++)
            if (*c < 0x20 || *c == 0x7f) /* what a store holds must not drive a terminal */
                *c = ' ';
    }
    if (i < p->columns) {
        while (i-- > 0)
            free(row[i]);
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    }
    p->rows++;
    return CLSA_OK;
}

int clsa_printer_row(struct clsa_printer *p, const struct clsa_value *values, struct clsa_err *err)
{
    if (p->format == CLSA_FORMAT_TABLE)
        return hold_row(p, values, err);
    const bool json = p->format == CLSA_FORMAT_JSON;
    if (json)
        fputs(p->rows ? ",\n {" : "\n {", p->stream);
    for (size_t i = 0; i < p->columns; i++) {
        const struct clsa_value *v = &values[i];
        char number[400] = "";
        if (!is_null(v) && v->type != CLSA_CELL_TEXT)
            format_number(number, sizeof number, v);
        if (!json) {
            clsa_csv_put(p->stream, i == 0, is_null(v)                   ? ""
                                            : v->type == CLSA_CELL_TEXT ? v->text
                                                                        : number);
            continue;
        }
        if (i)
            fputs(", ", p->stream);
        clsa_json_put_string(p->stream, p->header[i]);
        fputs(": ", p->stream);
        if (is_null(v))
            fputs("null", p->stream);
        else if (v->type == CLSA_CELL_TEXT)
            clsa_json_put_string(p->stream, v->text);
        else
            fputs(number, p->stream);
    }
    fputs(json ? "}" : "\n", p->stream);
    p->rows++;
    return CLSA_OK;
}

/* Columns that a UTF-8 text takes, one a code point. */
static int text_width(const char *text)
{
    int n = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        n += (*c & 0xc0) != 0x80;
    return n;
}

static void put_cell(FILE *f, const char *text, int width, bool left, bool last)
{
    const int pad = width - text_width(text);
    if (left)
        fprintf(f, "%s%*s", text, last ? 0 : pad, "");
    else
        fprintf(f, "%*s%s", pad, "", text);
    if (!last)
        fputs("  ", f);
}

static int print_table(const struct clsa_printer *p, struct clsa_err *err)
{
    int *width = clsa_calloc(p->columns, sizeof *width);
    if (!width)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    for (size_t i = 0; i < p->columns; i++) {
        width[i] = text_width(p->header[i]);
        for (size_t r = 0; r < p->rows; r++) {
            const int w = text_width(p->cells[r * p->columns + i]);
            width[i] = w > width[i] ? w : width[i];
        }
    }
    for (size_t r = 0; r <= p->rows; r++) {
        char **row = r == 0 ? p->header : p->cells + (r - 1) * p->columns;
        for (size_t i = 0; i < p->columns; i++)
            put_cell(p->stream, row[i], width[i], p->left[i], i + 1 == p->columns);
        fputc('\n', p->stream);
    }
    free(width);
    return CLSA_OK;
}

int clsa_printer_close(struct clsa_printer *p, struct clsa_err *err)
{
    int status = CLSA_OK;
    if (!p)
        return CLSA_OK;
    if (p->stream) {
        if (p->format == CLSA_FORMAT_TABLE)
            status = print_table(p, err);
        else if (p->format == CLSA_FORMAT_JSON)
            fputs(p->rows ? "\n]\n" : "]\n", p->stream);
        errno = 0;
        if (!status && (fflush(p->stream) != 0 || ferror(p->stream)))
            status = clsa_fail(err, CLSA_EIO, "output: %s",
                               errno ? strerror(errno) : "write failed");
    }
    if (p->cells)
        for (size_t i = 0; i < p->rows * p->columns; i++)
            free(p->cells[i]);
    for (size_t i = 0; i < p->columns; i++)
        free(p->header[i]);
    free(p->cells);
    free(p->header);
    free(p->left);
    free(p);
    return status;
}

/* Digits after the point that a text table gives a column; -1: six significant ones. */
static int decimals_of(const char *name)
{
    static const struct {
        const char *part;
        int decimals;
    } rules[] = {{"speedup", 3}, {"percent", 1}, {"_us", 2}, {"_ms", 3}, {"bits_per_byte", 4},
                 {"mass_covered", 3}, {"overlap", 3}, {"correlation", 3}, {"worst_error", 3}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strstr(name, rules[i].part))
            return rules[i].decimals;
    return -1;
}

int clsa_print_cursor(FILE *stream, enum clsa_format format, struct clsa_cursor *cursor,
                      struct clsa_err *err)
{
    struct clsa_printer *printer = NULL;
    const size_t n = (size_t)clsa_cursor_columns(cursor);
    const char **names = clsa_calloc(n, sizeof *names);
    struct clsa_value *row = clsa_calloc(n, sizeof *row);
    int status = names && row ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    int more = 0;
    for (size_t i = 0; i < n && !status; i++)
        names[i] = clsa_cursor_name(cursor, (int)i);
    if (!status)
        status = clsa_printer_open(stream, format, names, n, &printer, err);
    while (!status && (more = clsa_cursor_next(cursor, err)) == 1) {
        for (size_t i = 0; i < n; i++) {
            const int c = (int)i;
            row[i] = (struct clsa_value){.type = clsa_cursor_type(cursor, c), .decimals = -1};
            if (row[i].type == CLSA_CELL_INTEGER)
                row[i].integer = clsa_cursor_i64(cursor, c);
            else if (row[i].type == CLSA_CELL_REAL)
                row[i].real = clsa_cursor_f64(cursor, c);
            else
                row[i].text = clsa_cursor_text(cursor, c);
            if (format == CLSA_FORMAT_TABLE)
                row[i].decimals = decimals_of(clsa_cursor_name(cursor, c));
        }
        status = clsa_printer_row(printer, row, err);
    }
    if (!status && more < 0)
        status = more;
    clsa_cursor_destroy(cursor);
    free(names);
    free(row);
    if (status) {
        if (printer)
            printer->stream = NULL; /* no table of half the rows */
        clsa_printer_close(printer, NULL);
        return status;
    }
    return clsa_printer_close(printer, err);
}
