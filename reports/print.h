/* Tables in the three formats of every command: aligned text, CSV, JSON. */
#ifndef CLSA_REPORTS_PRINT_H
#define CLSA_REPORTS_PRINT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/base/status.h"
#include "sim/store/store.h"

enum clsa_format { CLSA_FORMAT_TABLE, CLSA_FORMAT_CSV, CLSA_FORMAT_JSON };

/* "table", "csv", "json"; -1 for any other text. */
int clsa_format_find(const char *text);

/* One value of a row. Text is borrowed. Reals are printed with `decimals` digits after the point
 * (below 0: six significant digits in text tables, elsewhere as short as reads back as the same
 * number); NaN prints as no value. */
struct clsa_value {
    enum clsa_cell type;
    int decimals;
    int64_t integer;
    double real;
    const char *text;
};

static inline struct clsa_value clsa_text(const char *text)
{
    return (struct clsa_value){.type = CLSA_CELL_TEXT, .text = text};
}

static inline struct clsa_value clsa_whole(uint64_t n)
{
    return (struct clsa_value){.type = CLSA_CELL_INTEGER, .integer = (int64_t)n};
}

static inline struct clsa_value clsa_real(double value, int decimals)
{
    return (struct clsa_value){.type = CLSA_CELL_REAL, .decimals = decimals, .real = value};
}

/* A table under way. Text tables are held back until the end, to know their widths; CSV and JSON
 * (an array of objects) go out row by row. */
struct clsa_printer;

/* Column names are copied. Returns 0 or CLSA_ENOMEM. */
int clsa_printer_open(FILE *stream, enum clsa_format format, const char *const *columns,
                      size_t n_columns, struct clsa_printer **out, struct clsa_err *err);
/* `values` has one value a column. Returns 0 or CLSA_ENOMEM. */
int clsa_printer_row(struct clsa_printer *printer, const struct clsa_value *values,
                     struct clsa_err *err);
/* Ends the table and frees the printer, also on failure. Returns 0 or CLSA_EIO when the stream
 * failed. Takes NULL. */
int clsa_printer_close(struct clsa_printer *printer, struct clsa_err *err);

/* Prints all rows of a cursor and destroys it. Columns named ..._us, ..._ms, ..._percent,
 * speedup..., print with fixed decimals in text tables; CSV and JSON hold full precision. */
int clsa_print_cursor(FILE *stream, enum clsa_format format, struct clsa_cursor *cursor,
                      struct clsa_err *err);

#endif
