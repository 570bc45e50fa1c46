/* CSV tables with a header row, held whole (libcsv underneath). Lines starting with '#' before the
 * header or between rows are comments and skipped; every cell remembers its line. */
#ifndef CLSA_BASE_CSV_H
#define CLSA_BASE_CSV_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/base/status.h"

struct clsa_csv {
    char *path; /* for messages */
    size_t columns;
    char **header; /* columns names */
    size_t rows;
    char **cells;  /* rows * columns, row major; never NULL, "" where a row is short */
    size_t *lines; /* rows line numbers, 1-based */
    char *text;    /* backing store */
};

/* Reads a table of at most 256 MiB. A row with more cells than the header is CLSA_EFORMAT with file
 * and line, as are NUL bytes, unbalanced quotes and a missing header. Destroy with clsa_csv_destroy. */
int clsa_csv_read(const char *path, struct clsa_csv *csv, struct clsa_err *err);
/* The same from memory; `name` stands for the path in messages. */
int clsa_csv_parse(const char *name, const char *text, size_t bytes, struct clsa_csv *csv,
                   struct clsa_err *err);
/* Takes NULL and zeroed structs. */
void clsa_csv_destroy(struct clsa_csv *csv);

/* Column index by name, or -1. */
int clsa_csv_column(const struct clsa_csv *csv, const char *name);
/* As above; a missing column is CLSA_EFORMAT "path:1: no column 'name'". */
int clsa_csv_need(const struct clsa_csv *csv, const char *name, int *column, struct clsa_err *err);
const char *clsa_csv_cell(const struct clsa_csv *csv, size_t row, int column);
/* Numbers out of cells, errors name file, line and column. */
int clsa_csv_f64(const struct clsa_csv *csv, size_t row, int column, double *out,
                 struct clsa_err *err);
int clsa_csv_u64(const struct clsa_csv *csv, size_t row, int column, uint64_t *out,
                 struct clsa_err *err);

/* Writes one cell, quoted where needed, preceded by a comma unless first != 0. */
void clsa_csv_put(FILE *out, int first, const char *cell);

#endif
