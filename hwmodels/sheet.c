#include "hwmodels/sheet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/csv.h"
#include "sim/base/file.h"

void clsa_sheet_destroy(struct clsa_sheet *sheet)
{
    if (!sheet)
        return;
    for (size_t i = 0; i < sheet->n_strings; i++)
        free(sheet->strings[i]);
    free(sheet->strings);
    free(sheet->rows);
    memset(sheet, 0, sizeof *sheet);
}

/* Keeps a copy of text in the sheet; NULL when out of memory. */
static const char *keep(struct clsa_sheet *sheet, const char *text)
{
    if ((sheet->n_strings & (sheet->n_strings + 1)) == 0) {
        char **grown = clsa_realloc(sheet->strings, 2 * sheet->n_strings + 2, sizeof *grown);
        if (!grown)
            return NULL;
        sheet->strings = grown;
    }
    char *copy = clsa_strdup(text);
    if (copy)
        sheet->strings[sheet->n_strings++] = copy;
    return copy;
}

static int append(struct clsa_sheet *sheet, const struct clsa_sheet_row *row)
{
    if ((sheet->n_rows & (sheet->n_rows + 1)) == 0) {
        struct clsa_sheet_row *grown =
            clsa_realloc(sheet->rows, 2 * sheet->n_rows + 2, sizeof *grown);
        if (!grown)
            return CLSA_ENOMEM;
        sheet->rows = grown;
    }
    struct clsa_sheet_row *to = &sheet->rows[sheet->n_rows];
    *to = *row;
    to->op = keep(sheet, row->op);
    to->parameter = keep(sheet, row->parameter);
    to->value = keep(sheet, row->value);
    to->unit = keep(sheet, row->unit);
    to->source = keep(sheet, row->source);
    to->file = keep(sheet, row->file);
    if (!to->op || !to->parameter || !to->value || !to->unit || !to->source || !to->file)
        return CLSA_ENOMEM;
    sheet->n_rows++;
    return 0;
}

void clsa_sheet_stem(const char *path, char *buf, size_t buf_bytes)
{
    const char *slash = strrchr(path, '/');
    snprintf(buf, buf_bytes, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(buf, '.');
    if (dot && strcmp(dot, ".csv") == 0)
        *dot = '\0';
}

int clsa_sheet_fail(const struct clsa_sheet_row *row, int status, struct clsa_err *err,
                    const char *format, ...)
{
    char text[CLSA_ERR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (row->line == 0)
        return clsa_fail(err, CLSA_EUSAGE, "%s %s: %s", row->file, row->parameter, text);
    return clsa_fail(err, status, "%s:%zu: parameter '%s': %s", row->file, row->line,
                     row->parameter, text);
}

int clsa_sheet_number(const struct clsa_sheet_row *row, enum clsa_dimension dimension, double least,
                      double most, double *out, struct clsa_err *err)
{
    char text[160];
    const int length = snprintf(text, sizeof text, "%s %s", row->value, row->unit);
    double value;
    int status = length < 0 || (size_t)length >= sizeof text
                     ? CLSA_EFORMAT
                     : clsa_quantity_parse(text, dimension, &value);
    if (status == CLSA_EMISMATCH)
        return clsa_sheet_fail(row, CLSA_EFORMAT, err, "'%s' is no unit of %s", row->unit,
                               clsa_dimension_name(dimension));
    if (status == CLSA_ERANGE)
        return clsa_sheet_fail(row, status, err, "%s %s is no whole number", row->value, row->unit);
    if (status)
        return clsa_sheet_fail(row, CLSA_EFORMAT, err, "'%s %s' is no number with a known unit",
                               row->value, row->unit);
    if (value < least || value > most)
        return clsa_sheet_fail(row, CLSA_ERANGE, err,
                               "%s %s is impossible (%g to %g in base units)", row->value,
                               row->unit, least, most);
    *out = value;
    return 0;
}

struct chain {
    const char *room;
    bool with_op;
    const char *paths[CLSA_SHEET_DEPTH];
    size_t depth;
};

static int read_one(struct chain *chain, const char *name, const struct clsa_sheet_row *from,
                    struct clsa_sheet *sheet, struct clsa_err *err);

static int read_rows(struct chain *chain, const struct clsa_csv *csv, struct clsa_sheet *sheet,
                     struct clsa_err *err)
{
    static const char *const names[] = {"op", "parameter", "value", "unit", "source"};
    int column[5] = {-1, -1, -1, -1, -1};
    for (size_t c = chain->with_op ? 0 : 1; c < 5; c++) {
        const int status = clsa_csv_need(csv, names[c], &column[c], err);
        if (status)
            return status;
    }
    if (csv->columns != (chain->with_op ? 5u : 4u))
        return clsa_fail(err, CLSA_EFORMAT, "%s:1: a column too many; expected %s", csv->path,
                         chain->with_op ? "op,parameter,value,unit,source"
                                        : "parameter,value,unit,source");
    struct clsa_sheet_row row = {.file = csv->path};
    /* The base comes first whatever its place in the file. */
    bool based = false;
    for (size_t r = 0; r < csv->rows; r++) {
        row.op = chain->with_op ? clsa_csv_cell(csv, r, column[0]) : "";
        row.parameter = clsa_csv_cell(csv, r, column[1]);
        row.line = csv->lines[r];
        if (strcmp(row.parameter, "base") != 0)
            continue;
        if (based)
            return clsa_sheet_fail(&row, CLSA_EFORMAT, err, "given twice");
        based = true;
        const int status = read_one(chain, clsa_csv_cell(csv, r, column[2]), &row, sheet, err);
        if (status)
            return status;
    }
    const size_t own = sheet->n_rows;
    for (size_t r = 0; r < csv->rows; r++) {
        row.op = chain->with_op ? clsa_csv_cell(csv, r, column[0]) : "";
        row.parameter = clsa_csv_cell(csv, r, column[1]);
        row.value = clsa_csv_cell(csv, r, column[2]);
        row.unit = clsa_csv_cell(csv, r, column[3]);
        row.source = clsa_csv_cell(csv, r, column[4]);
        row.line = csv->lines[r];
        if (strcmp(row.parameter, "base") == 0)
            continue;
        if (!*row.source)
            return clsa_sheet_fail(&row, CLSA_EFORMAT, err, "without a source");
        for (size_t i = own; i < sheet->n_rows; i++)
            if (strcmp(sheet->rows[i].parameter, row.parameter) == 0 &&
                strcmp(sheet->rows[i].op, row.op) == 0)
                return clsa_sheet_fail(&row, CLSA_EFORMAT, err, "given twice, first in line %zu",
                                       sheet->rows[i].line);
        if (append(sheet, &row))
            return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", csv->path);
    }
    return 0;
}

static int read_one(struct chain *chain, const char *name, const struct clsa_sheet_row *from,
                    struct clsa_sheet *sheet, struct clsa_err *err)
{
    struct clsa_csv csv = {0};
    char *path = clsa_data_find(chain->room, name, ".csv", err);
    int status = CLSA_ENOTFOUND;
    if (!path)
        goto fail;
    for (size_t i = 0; i < chain->depth; i++)
        if (strcmp(chain->paths[i], path) == 0) {
            status = clsa_fail(err, CLSA_EFORMAT, "base '%s' leads back to itself", name);
            goto fail;
        }
    if (chain->depth == CLSA_SHEET_DEPTH) {
        status = clsa_fail(err, CLSA_EFORMAT, "more than %d bases in a chain", CLSA_SHEET_DEPTH);
        goto fail;
    }
    status = clsa_csv_read(path, &csv, err);
    if (status) {
        from = NULL; /* the message names its own place */
        goto fail;
    }
    chain->paths[chain->depth++] = path;
    status = read_rows(chain, &csv, sheet, err);
    chain->depth--;
    if (status)
        from = NULL;
fail:
    if (status && from) {
        char where[512];
        snprintf(where, sizeof where, "%s:%zu", from->file, from->line);
        clsa_fail_prefix(err, status, where);
    }
    clsa_csv_destroy(&csv);
    free(path);
    return status;
}

static int read_set(const char *set, bool with_op, struct clsa_sheet *sheet, struct clsa_err *err)
{
    char text[256];
    if (strlen(set) >= sizeof text)
        return clsa_fail(err, CLSA_EUSAGE, "--set: longer than %zu bytes", sizeof text - 1);
    strcpy(text, set);
    char *value = strchr(text, '=');
    char *parameter = text;
    if (with_op) {
        parameter = strchr(text, '.');
        if (parameter && value && parameter < value)
            *parameter++ = '\0';
        else
            parameter = NULL;
    }
    if (!value || !parameter)
        return clsa_fail(err, CLSA_EUSAGE, "--set %s: expected %sname=value", set,
                         with_op ? "op." : "");
    *value++ = '\0';
    /* The unit starts where the number ends; a word has none. */
    char *unit = value + strspn(value, "+-.0123456789eE");
    char held[64];
    if (unit == value || strlen(unit) >= sizeof held) {
        strcpy(held, "-");
    } else {
        strcpy(held, unit + strspn(unit, " "));
        *unit = '\0';
    }
    const struct clsa_sheet_row row = {with_op ? text : "", parameter, value, held,
                                       "--set",             "--set",   0};
    return append(sheet, &row) ? clsa_fail(err, CLSA_ENOMEM, "--set: out of memory") : 0;
}

int clsa_sheet_read(const char *room, const char *name, bool with_op, const char *const *sets,
                    size_t n_sets, struct clsa_sheet *out, struct clsa_err *err)
{
    struct clsa_sheet sheet = {0};
    struct chain chain = {.room = room, .with_op = with_op};
    int status = read_one(&chain, name, NULL, &sheet, err);
    for (size_t i = 0; !status && i < n_sets; i++)
        status = read_set(sets[i], with_op, &sheet, err);
    if (status) {
        clsa_sheet_destroy(&sheet);
        return status;
    }
    *out = sheet;
    return 0;
}
