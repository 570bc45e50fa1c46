#include "hwmodels/machine.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/sheet.h"
#include "sim/base/alloc.h"

static const struct {
    const char *name;
    enum clsa_dimension dimension;
    unsigned need;
    double fallback, least, most;
    const char *doc;
    size_t offset;
} table[] = {
#define X(field, name, dim, need, def, lo, hi, doc)                                                \
    {name, CLSA_DIM_##dim, need, def, lo, hi, doc, offsetof(struct clsa_machine, field)},
    CLSA_MACHINE_TABLE(X)
#undef X
#define X(field, name, dim, doc)                                                                   \
    {name, CLSA_DIM_##dim, CLSA_MAY_CPU, 0, 1e-12, 1e15, doc, offsetof(struct clsa_machine, field)},
    CLSA_MACHINE_CURVES(X)
#undef X
};

const char *clsa_machine_parameter_name(enum clsa_machine_parameter p)
{
    return table[p].name;
}

const char *clsa_machine_parameter_doc(enum clsa_machine_parameter p)
{
    return table[p].doc;
}

enum clsa_dimension clsa_machine_parameter_dimension(enum clsa_machine_parameter p)
{
    return table[p].dimension;
}

unsigned clsa_machine_parameter_need(enum clsa_machine_parameter p)
{
    return table[p].need;
}

int clsa_machine_parameter_find(const char *name)
{
    for (int p = 0; p < CLSA_MACHINE_PARAMETERS; p++)
        if (strcmp(table[p].name, name) == 0)
            return p;
    return -1;
}

double clsa_machine_value(const struct clsa_machine *machine, enum clsa_machine_parameter p)
{
    double value;
    assert(p < CLSA_MACHINE_NUMBERS);
    memcpy(&value, (const char *)machine + table[p].offset, sizeof value);
    return value;
}

void clsa_machine_put(struct clsa_machine *machine, enum clsa_machine_parameter p, double value)
{
    assert(p < CLSA_MACHINE_NUMBERS);
    memcpy((char *)machine + table[p].offset, &value, sizeof value);
}

int clsa_machine_found(struct clsa_machine *machine, enum clsa_machine_parameter p, double value,
                       const char *source)
{
    struct clsa_machine *m = machine;
    char text[32];
    clsa_machine_put(m, p, value);
    snprintf(text, sizeof text, "%.4g", value);
    char **strings = clsa_realloc(m->strings, m->n_strings + 1, sizeof *strings);
    if (!strings)
        return CLSA_ENOMEM;
    m->strings = strings;
    char *copy = clsa_strdup(text);
    if (!copy)
        return CLSA_ENOMEM;
    m->strings[m->n_strings++] = copy;
    size_t i = 0;
    while (i < m->n_rows && m->rows[i].parameter != p)
        i++;
    m->n_rows = i == m->n_rows ? i + 1 : m->n_rows;
    m->rows[i] = (struct clsa_machine_row){p, value, copy, "-", source, "found", 0};
    return 0;
}

void clsa_machine_defaults(struct clsa_machine *machine)
{
    for (int p = 0; p < CLSA_MACHINE_NUMBERS; p++)
        clsa_machine_put(machine, (enum clsa_machine_parameter)p, table[p].fallback);
}

/* Between ascending points by logarithms of both. */
static double between(const double *at, const double *value, unsigned n, double x)
{
    unsigned i = 0;
    while (i < n && at[i] < x)
        i++;
    if (i == 0 || i == n)
        return value[i ? i - 1 : 0];
    const double part = log(x / at[i - 1]) / log(at[i] / at[i - 1]);
    return value[i - 1] * pow(value[i] / value[i - 1], part);
}

#define LINE_BYTES 64.0

double clsa_curve_at(const struct clsa_curve *curve, double bytes, double row_bytes, double foreign)
{
    double at[CLSA_CURVE_POINTS], value[CLSA_CURVE_POINTS];
    unsigned groups = 0;
    for (unsigned i = 0, n; i < curve->n; i += n) {
        for (n = 1; i + n < curve->n && curve->bytes[i + n] <= curve->bytes[i]; n++)
            ;
        value[groups] = n > 1 ? between(curve->row + i, curve->value + i, n, row_bytes) : curve->value[i];
        const double of_byte = curve->latency ? value[groups] / LINE_BYTES : 1 / value[groups];
        at[groups] = curve->bytes[i] * (1 + foreign * of_byte);
        groups++;
    }
    return between(at, value, groups, bytes);
}

/* The next number of a point, which ends at `end`; *rest is what follows it. */
static int point_size(char *point, char end, char **rest, double *out)
{
    uint64_t bytes;
    *rest = strchr(point, end);
    if (!*rest)
        return CLSA_EFORMAT;
    *(*rest)++ = '\0';
    if (clsa_size_parse(point, &bytes) || !bytes)
        return CLSA_EFORMAT;
    *out = (double)bytes;
    return 0;
}

/* "256KiB:174.4 4MiB:98.3" or "4MiB/64:48.2" with values in the row's unit. */
static int read_curve(const struct clsa_sheet_row *row, enum clsa_machine_parameter p,
                      struct clsa_machine *m, struct clsa_err *err)
{
    struct clsa_curve curve = {.latency = table[p].dimension == CLSA_DIM_SECONDS};
    for (const char *at = row->value + strspn(row->value, " "); *at; at += strspn(at, " ")) {
        char point[64], *value = point;
        const size_t length = strcspn(at, " ");
        double bytes, of_row = 0;
        if (length >= sizeof point)
            return clsa_sheet_fail(row, CLSA_EFORMAT, err, "a point of %zu characters", length);
        memcpy(point, at, length);
        point[length] = '\0';
        at += length;
        if ((strchr(point, '/') && (point_size(value, '/', &value, &bytes) ||
                                    point_size(value, ':', &value, &of_row))) ||
            (value == point && point_size(value, ':', &value, &bytes)))
            return clsa_sheet_fail(row, CLSA_EFORMAT, err, "'%s' is no point like 4MiB:98.3 or 4MiB/64:48.2",
                                   point);
        if (curve.n == CLSA_CURVE_POINTS)
            return clsa_sheet_fail(row, CLSA_ELIMIT, err, "more than %d points", CLSA_CURVE_POINTS);
        const unsigned last = curve.n ? curve.n - 1 : 0;
        if (curve.n && ((curve.row[last] > 0) != (of_row > 0) || bytes < curve.bytes[last] ||
                        (bytes <= curve.bytes[last] && of_row <= curve.row[last])))
            return clsa_sheet_fail(row, CLSA_EFORMAT, err, "points do not ascend at %s", point);
        struct clsa_sheet_row one = *row;
        one.value = value;
        const int status = clsa_sheet_number(&one, table[p].dimension, table[p].least, table[p].most,
                                             &curve.value[curve.n], err);
        if (status)
            return status;
        curve.row[curve.n] = of_row;
        curve.bytes[curve.n++] = bytes;
    }
    if (!curve.n)
        return clsa_sheet_fail(row, CLSA_EFORMAT, err, "a curve without points");
    memcpy((char *)m + table[p].offset, &curve, sizeof curve);
    return 0;
}

void clsa_machine_destroy(struct clsa_machine *machine)
{
    if (!machine)
        return;
    struct clsa_sheet sheet = {.strings = machine->strings, .n_strings = machine->n_strings};
    clsa_sheet_destroy(&sheet);
    free(machine->rows);
    memset(machine, 0, sizeof *machine);
}

/* What no single parameter can show: sizes that must divide or order. */
static int check_together(const struct clsa_machine *m, const char *path, struct clsa_err *err)
{
    const double sector = m->l2_sector > 0 ? m->l2_sector : m->l2_line;
    const char *wrong = NULL;
    if (fmod(m->l2_line, sector) != 0)
        wrong = "l2.line is no multiple of l2.sector";
    else if (fmod(m->l2_size, m->l2_line) != 0 || m->l2_size < m->l2_line * m->l2_ways)
        wrong = "l2.size does not hold whole lines in all its ways";
    else if (fmod(m->dram_row, m->dram_burst) != 0)
        wrong = "dram.row is no multiple of dram.burst";
    else if (m->dram_size <= m->l2_size)
        wrong = "dram.size is not above l2.size";
    else if (fabs(log2(m->tlb_page) - round(log2(m->tlb_page))) > 1e-9)
        wrong = "tlb.page is no power of two";
    else if (m->dram_mixed > m->dram_stream)
        wrong = "dram.mixed is above dram.stream";
    else if (m->kind == CLSA_MACHINE_GPU && m->sm_smem > m->l1_size)
        wrong = "sm.smem is above l1.size (they share one array)";
    return wrong ? clsa_fail(err, CLSA_ERANGE, "%s: %s", path, wrong) : 0;
}

/* Numbers that curves stand in place of. */
static bool curves_cover(enum clsa_machine_parameter p)
{
    static const char *const rooms[] = {"l1.", "l2.", "l3.", "dram.", "tlb.", "core."};
    for (size_t i = 0; p < CLSA_MACHINE_NUMBERS && i < sizeof rooms / sizeof *rooms; i++)
        if (strncmp(table[p].name, rooms[i], strlen(rooms[i])) == 0)
            return true;
    return false;
}

/* Kind, title and implementation rows; other rows fill `last`, the winning row of each parameter. */
static int sort_rows(const struct clsa_sheet *sheet, struct clsa_machine *m,
                     const struct clsa_sheet_row **last, struct clsa_err *err)
{
    for (size_t i = 0; i < sheet->n_rows; i++) {
        const struct clsa_sheet_row *row = &sheet->rows[i];
        if (strcmp(row->parameter, "title") == 0) {
            snprintf(m->title, sizeof m->title, "%s", row->value);
            continue;
        }
        if (strcmp(row->parameter, "implementation") == 0) {
            if (strlen(row->value) >= sizeof m->implementation)
                return clsa_sheet_fail(row, CLSA_ERANGE, err, "longer than any implementation's name");
            snprintf(m->implementation, sizeof m->implementation, "%s", row->value);
            continue;
        }
        if (strcmp(row->parameter, "kind") == 0) {
            const enum clsa_machine_kind kind = strcmp(row->value, "gpu") == 0   ? CLSA_MACHINE_GPU
                                                : strcmp(row->value, "cpu") == 0 ? CLSA_MACHINE_CPU
                                                                                 : 0;
            if (!kind)
                return clsa_sheet_fail(row, CLSA_EFORMAT, err, "'%s' is neither gpu nor cpu",
                                       row->value);
            if (m->kind && m->kind != kind)
                return clsa_sheet_fail(row, CLSA_EFORMAT, err, "not the kind of its base");
            m->kind = kind;
            continue;
        }
        const int p = clsa_machine_parameter_find(row->parameter);
        if (p < 0)
            return clsa_sheet_fail(row, CLSA_EFORMAT, err, "no machine has such a parameter");
        /* What was measured speaks of the machine as its own file has it. */
        for (int c = CLSA_MACHINE_NUMBERS; curves_cover((enum clsa_machine_parameter)p) &&
                                           c < CLSA_MACHINE_PARAMETERS; c++)
            if (last[c] && strcmp(last[c]->file, row->file))
                last[c] = NULL;
        last[p] = row;
    }
    return 0;
}

const char *clsa_machine_implementation(const struct clsa_machine *machine)
{
    if (*machine->implementation)
        return machine->implementation;
    return machine->kind == CLSA_MACHINE_CPU ? "native" : "tuned";
}

int clsa_machine_read(const char *name, const char *const *sets, size_t n_sets,
                      struct clsa_machine *out, struct clsa_err *err)
{
    struct clsa_sheet sheet = {0};
    struct clsa_machine m = {0};
    const struct clsa_sheet_row *last[CLSA_MACHINE_PARAMETERS] = {0};
    int status = clsa_sheet_read("hwmodels/machines", name, false, sets, n_sets, &sheet, err);
    if (status)
        return status;
    clsa_sheet_stem(name, m.name, sizeof m.name);
    status = sort_rows(&sheet, &m, last, err);
    if (status)
        goto fail;
    if (!m.kind) {
        status = clsa_fail(err, CLSA_EFORMAT, "%s: no row 'kind' (gpu or cpu)", name);
        goto fail;
    }
    m.rows = clsa_calloc(CLSA_MACHINE_PARAMETERS, sizeof *m.rows);
    if (!m.rows) {
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
        goto fail;
    }
    const bool gpu = m.kind == CLSA_MACHINE_GPU;
    for (int p = 0; p < CLSA_MACHINE_PARAMETERS; p++) {
        const struct clsa_sheet_row *row = last[p];
        const unsigned need = table[p].need;
        double value = table[p].fallback;
        if (row && !(need & (gpu ? CLSA_NEED_GPU | CLSA_MAY_GPU : CLSA_NEED_CPU | CLSA_MAY_CPU))) {
            status = clsa_sheet_fail(row, CLSA_EFORMAT, err, "a %s has no such parameter",
                                     gpu ? "gpu" : "cpu");
            goto fail;
        }
        if (!row && need & (gpu ? CLSA_NEED_GPU : CLSA_NEED_CPU)) {
            status = clsa_fail(err, CLSA_EFORMAT, "%s: parameter '%s' is missing (%s)", name,
                               table[p].name, table[p].doc);
            goto fail;
        }
        if (row) {
            status = p < CLSA_MACHINE_NUMBERS
                         ? clsa_sheet_number(row, table[p].dimension, table[p].least, table[p].most,
                                             &value, err)
                         : read_curve(row, (enum clsa_machine_parameter)p, &m, err);
            if (status)
                goto fail;
            m.rows[m.n_rows++] = (struct clsa_machine_row){
                (enum clsa_machine_parameter)p, value,     row->value, row->unit,
                row->source,                    row->file, row->line};
        }
        if (p < CLSA_MACHINE_NUMBERS)
            clsa_machine_put(&m, (enum clsa_machine_parameter)p, value);
    }
    if (m.l1_line <= 0)
        m.l1_line = m.l2_line;
    if (m.l2_sector <= 0)
        m.l2_sector = m.l2_line;
    if (m.l2_far_latency <= 0)
        m.l2_far_latency = m.l2_latency;
    if (m.core_clock_one <= 0)
        m.core_clock_one = m.core_clock;
    if (m.l3_cores <= 0)
        m.l3_cores = m.core_count;
    status = check_together(&m, name, err);
    if (status)
        goto fail;
    m.strings = sheet.strings;
    m.n_strings = sheet.n_strings;
    free(sheet.rows);
    *out = m;
    return 0;
fail:
    clsa_sheet_destroy(&sheet);
    clsa_machine_destroy(&m);
    return status;
}
