#include "reports/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/query.h"
#include "sim/base/alloc.h"

static int read_cell(struct clsa_cursor *cursor, int c, struct clsa_datum *d)
{
    *d = (struct clsa_datum){.type = clsa_cursor_type(cursor, c), .real = NAN,
                             .integer = CLSA_NULL};
    if (d->type == CLSA_CELL_INTEGER || d->type == CLSA_CELL_REAL) {
        d->real = clsa_cursor_f64(cursor, c);
        d->integer = clsa_cursor_i64(cursor, c);
    } else if (d->type == CLSA_CELL_TEXT) {
        d->text = clsa_strdup(clsa_cursor_text(cursor, c));
        return d->text ? CLSA_OK : CLSA_ENOMEM;
    }
    return CLSA_OK;
}

int clsa_rows_load(struct clsa_reader *reader, const char *query, int64_t prediction,
                   struct clsa_rows *out, struct clsa_err *err)
{
    const struct clsa_named_query *named = clsa_named_query_find(query);
    assert(named);
    struct clsa_rows rows = {0};
    struct clsa_cursor *cursor = NULL;
    size_t room = 0;
    int more = 0;
    int status = clsa_cursor_open(reader, named->sql, &cursor, err);
    if (!status && prediction >= 0)
        status = clsa_cursor_bind_i64(cursor, ":prediction", prediction, err);
    if (status)
        goto fail;
    const size_t columns = (size_t)clsa_cursor_columns(cursor);
    rows.names = clsa_calloc(columns, sizeof *rows.names);
    if (!rows.names)
        goto no_memory;
    for (; rows.columns < columns; rows.columns++)
        if (!(rows.names[rows.columns] = clsa_strdup(clsa_cursor_name(cursor, (int)rows.columns))))
            goto no_memory;
    while ((more = clsa_cursor_next(cursor, err)) == 1) {
        if (rows.n == room) {
            size_t cells;
            room = room ? room * 2 : 64;
            struct clsa_datum *grown = clsa_mul_size(room, columns, &cells)
                                           ? clsa_realloc(rows.cells, cells, sizeof *grown)
                                           : NULL;
            if (!grown)
                goto no_memory;
            rows.cells = grown;
        }
        struct clsa_datum *row = rows.cells + rows.n * columns;
        memset(row, 0, columns * sizeof *row);
        rows.n++;
        for (size_t c = 0; c < columns; c++)
            if (read_cell(cursor, (int)c, &row[c]))
                goto no_memory;
    }
    status = more;
    if (status)
        goto fail;
    clsa_cursor_destroy(cursor);
    *out = rows;
    return CLSA_OK;
no_memory:
    status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
fail:
    clsa_cursor_destroy(cursor);
    clsa_rows_destroy(&rows);
    return status;
}

void clsa_rows_destroy(struct clsa_rows *rows)
{
    if (!rows)
        return;
    for (size_t i = 0; i < rows->n * rows->columns; i++)
        free(rows->cells[i].text);
    for (size_t i = 0; i < rows->columns; i++)
        free(rows->names[i]);
    free(rows->names);
    free(rows->cells);
    *rows = (struct clsa_rows){0};
}

static const struct clsa_datum *datum(const struct clsa_rows *rows, size_t row, const char *column)
{
    assert(row < rows->n);
    size_t c = 0;
    while (c < rows->columns && strcmp(rows->names[c], column) != 0)
        c++;
    assert(c < rows->columns);
    return &rows->cells[row * rows->columns + c];
}

const char *clsa_rows_text(const struct clsa_rows *rows, size_t row, const char *column)
{
    const struct clsa_datum *d = datum(rows, row, column);
    return d->text ? d->text : "";
}

double clsa_rows_f64(const struct clsa_rows *rows, size_t row, const char *column)
{
    return datum(rows, row, column)->real;
}

int64_t clsa_rows_i64(const struct clsa_rows *rows, size_t row, const char *column)
{
    return datum(rows, row, column)->integer;
}

static void *keep(struct clsa_pool *pool, void *item)
{
    if (item && !clsa_grow(&pool->items, &pool->room, pool->n + 1, sizeof *pool->items)) {
        free(item);
        item = NULL;
    }
    if (item)
        pool->items[pool->n++] = item;
    else
        pool->failed = true;
    return item;
}

void *clsa_pool_alloc(struct clsa_pool *pool, size_t count, size_t size)
{
    return keep(pool, clsa_calloc(count, size));
}

const char *clsa_pool_printf(struct clsa_pool *pool, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = keep(pool, n < 0 ? NULL : clsa_malloc((size_t)n + 1, 1));
    if (!text)
        return "";
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

void clsa_pool_destroy(struct clsa_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++)
        free(pool->items[i]);
    free(pool->items);
    *pool = (struct clsa_pool){0};
}

const char *clsa_text_tokens(struct clsa_pool *pool, int64_t tokens)
{
    const int64_t kib = 1024, mib = kib * kib;
    if (tokens >= mib && tokens % mib == 0)
        return clsa_pool_printf(pool, "%" PRId64 "M", tokens / mib);
    if (tokens >= kib && tokens % kib == 0)
        return clsa_pool_printf(pool, "%" PRId64 "K", tokens / kib);
    return clsa_pool_printf(pool, "%" PRId64, tokens);
}

const char *clsa_text_time(struct clsa_pool *pool, double us)
{
    if (!isfinite(us))
        return "-";
    if (us == 0)
        return "0";
    static const struct {
        double least, scale;
        const char *unit;
    } units[] = {{999.5e3, 1e-6, "s"}, {999.5, 1e-3, "ms"}, {0.9995, 1, "µs"}, {0, 1e3, "ns"}};
    size_t i = 0;
    while (i + 1 < sizeof units / sizeof *units && us < units[i].least)
        i++;
    const double v = us * units[i].scale;
    return clsa_pool_printf(pool, "%.*f %s", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, units[i].unit);
}

const char *clsa_text_group(struct clsa_pool *pool, int64_t group)
{
    return group == 0 ? "dense" : clsa_pool_printf(pool, "g=%" PRId64, group);
}
