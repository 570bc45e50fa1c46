/* A sheet: the CSV form that machines and implementations share, with inheritance.
 *
 * Columns are [op,]parameter,value,unit,source. A row whose parameter is `base` names the sheet
 * that this one starts from; its rows come first in the result, so that later rows win. */
#ifndef CLSA_HWMODELS_SHEET_H
#define CLSA_HWMODELS_SHEET_H

#include <stdbool.h>
#include <stddef.h>

#include "sim/base/status.h"
#include "sim/base/units.h"

#define CLSA_SHEET_DEPTH 8 /* files in a chain of bases */

struct clsa_sheet_row {
    const char *op; /* "" in sheets without the column */
    const char *parameter, *value, *unit, *source;
    const char *file; /* where it was read, "--set" for overrides */
    size_t line;
};

struct clsa_sheet {
    struct clsa_sheet_row *rows; /* without the `base` rows; base sheets first, overrides last */
    size_t n_rows;
    char **strings; /* backing store */
    size_t n_strings;
};

/* Reads a sheet by name or path from `room` ("hwmodels/machines"), with its bases and overrides of
 * the form "[op.]parameter=VALUE[ ]UNIT". A parameter twice in one file is an error, as are an
 * empty source, a base that leads back to itself and a chain deeper than CLSA_SHEET_DEPTH.
 * Returns 0, CLSA_ENOTFOUND, CLSA_EFORMAT, CLSA_EUSAGE (override), CLSA_EIO or CLSA_ENOMEM. */
int clsa_sheet_read(const char *room, const char *name, bool with_op, const char *const *sets,
                    size_t n_sets, struct clsa_sheet *out, struct clsa_err *err);
/* Takes NULL and zeroed structs. */
void clsa_sheet_destroy(struct clsa_sheet *sheet);

/* The number of a row in base units, between least and most.
 * Returns 0, CLSA_EFORMAT or CLSA_ERANGE with "file:line: ..." in err. */
int clsa_sheet_number(const struct clsa_sheet_row *row, enum clsa_dimension dimension, double least,
                      double most, double *out, struct clsa_err *err);
/* "file:line: parameter 'x': message" into err; returns status. */
int clsa_sheet_fail(const struct clsa_sheet_row *row, int status, struct clsa_err *err,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "dir/name.csv" -> "name" into buf, cut to fit. */
void clsa_sheet_stem(const char *path, char *buf, size_t buf_bytes);

#endif
