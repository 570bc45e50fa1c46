#include "hwmodels/implementation.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/sheet.h"
#include "sim/base/alloc.h"
#include "sim/base/op.h"

static const struct {
    const char *name;
    enum clsa_dimension dimension;
    double fallback, least, most;
    const char *choices, *doc;
} table[] = {
#define X(id, name, dim, def, lo, hi, choices, doc)                                                \
    {name, CLSA_DIM_##dim, def, lo, hi, choices, doc},
    CLSA_IMPL_TABLE(X)
#undef X
};

const char *clsa_impl_parameter_name(enum clsa_impl_parameter p)
{
    return table[p].name;
}

const char *clsa_impl_parameter_doc(enum clsa_impl_parameter p)
{
    return table[p].doc;
}

int clsa_impl_parameter_find(const char *name)
{
    for (int p = 0; p < CLSA_IMPL_PARAMETERS; p++)
        if (strcmp(table[p].name, name) == 0)
            return p;
    return -1;
}

void clsa_impl_bounds(const char *name, double *least, double *most)
{
    const char *dot = strchr(name, '.');
    const int p = dot ? clsa_impl_parameter_find(dot + 1) : -1;
    if (p < 0)
        return;
    *least = table[p].least;
    *most = table[p].most;
}

void clsa_impl_destroy(struct clsa_implementation *impl)
{
    if (!impl)
        return;
    struct clsa_sheet sheet = {.strings = impl->strings, .n_strings = impl->n_strings};
    clsa_sheet_destroy(&sheet);
    free(impl->rows);
    free(impl->values);
    memset(impl, 0, sizeof *impl);
}

static size_t place(unsigned kind, unsigned role, enum clsa_impl_parameter p)
{
    return ((size_t)kind * CLSA_ROLES + role) * CLSA_IMPL_PARAMETERS + p;
}

double clsa_impl_value(const struct clsa_implementation *impl, unsigned kind, unsigned role,
                       enum clsa_impl_parameter p)
{
    assert(kind < CLSA_OP_KINDS && role < CLSA_ROLES);
    return impl->values[place(kind, role, p)];
}

double clsa_impl_get(const struct clsa_implementation *impl, const struct clsa_op *op,
                     enum clsa_impl_parameter p)
{
    unsigned role = op->role;
    if (op->kind == CLSA_OP_INDEX_SCORE && op->over_queries && role == CLSA_ROLE_NONE)
        role = CLSA_ROLE_KV;
    return clsa_impl_value(impl, op->kind, role, p);
}

void clsa_impl_put(struct clsa_implementation *impl, unsigned kind, enum clsa_impl_parameter p,
                   double value)
{
    for (unsigned role = 0; role < CLSA_ROLES; role++)
        impl->values[place(kind, role, p)] = value;
}

/* How specific a row's op column is. */
enum { LEVEL_ALL, LEVEL_START, LEVEL_KIND, LEVEL_ROLE, LEVELS };

/* The level of an op column and the kind and role it names; -1 when no op is called so. */
static int match_op(const char *op, unsigned *kind, unsigned *role)
{
    const size_t span = strlen(op);
    if (strcmp(op, "*") == 0)
        return LEVEL_ALL;
    for (unsigned k = 0; k < CLSA_OP_KINDS; k++) {
        const char *text = clsa_op_kind_text(k);
        const size_t length = strlen(text);
        if (op[span - (span > 0)] == '*' && strncmp(op, text, span - 1) == 0)
            return LEVEL_START;
        if (strncmp(op, text, length) != 0)
            continue;
        if (op[length] == '\0') {
            *kind = k;
            return LEVEL_KIND;
        }
        if (op[length] != '_')
            continue;
        for (unsigned r = 1; r < CLSA_ROLES; r++)
            if (strcmp(op + length + 1, clsa_role_text(r)) == 0) {
                *kind = k;
                *role = r;
                return LEVEL_ROLE;
            }
    }
    return -1;
}

static bool holds_for(int level, const char *op, unsigned kind, unsigned role, unsigned k,
                      unsigned r)
{
    switch (level) {
    case LEVEL_START:
        return strncmp(op, clsa_op_kind_text(k), strlen(op) - 1) == 0;
    case LEVEL_KIND:
        return k == kind;
    case LEVEL_ROLE:
        return k == kind && r == role;
    default:
        return true;
    }
}

static int choice(const struct clsa_sheet_row *row, const char *choices, double *out,
                  struct clsa_err *err)
{
    const size_t length = strlen(row->value);
    double place_in_list = 0;
    for (const char *word = choices; *word; place_in_list++) {
        const size_t span = strcspn(word, "|");
        if (span == length && strncmp(word, row->value, span) == 0) {
            *out = place_in_list;
            return 0;
        }
        word += span + (word[span] == '|');
    }
    return clsa_sheet_fail(row, CLSA_EFORMAT, err, "'%s' is none of %s", row->value, choices);
}

static int check_row(const struct clsa_sheet_row *row, double *value, struct clsa_err *err)
{
    unsigned kind, role;
    if (match_op(row->op, &kind, &role) < 0)
        return clsa_sheet_fail(row, CLSA_EFORMAT, err, "no op is called '%s'", row->op);
    const int parameter = clsa_impl_parameter_find(row->parameter);
    if (parameter < 0)
        return clsa_sheet_fail(row, CLSA_EFORMAT, err, "no implementation has such a parameter");
    if (table[parameter].choices)
        return choice(row, table[parameter].choices, value, err);
    return clsa_sheet_number(row, table[parameter].dimension, table[parameter].least,
                             table[parameter].most, value, err);
}

/* Lays rows over the values from the least to the most specific, each level in order of reading. */
static void resolve(struct clsa_implementation *impl)
{
    for (unsigned k = 0; k < CLSA_OP_KINDS; k++)
        for (unsigned r = 0; r < CLSA_ROLES; r++)
            for (int p = 0; p < CLSA_IMPL_PARAMETERS; p++)
                impl->values[place(k, r, (enum clsa_impl_parameter)p)] = table[p].fallback;
    for (int level = 0; level < LEVELS; level++)
        for (size_t i = 0; i < impl->n_rows; i++) {
            const struct clsa_impl_row *row = &impl->rows[i];
            unsigned kind = 0, role = 0;
            if (match_op(row->op, &kind, &role) != level)
                continue;
            const enum clsa_impl_parameter p =
                (enum clsa_impl_parameter)clsa_impl_parameter_find(row->parameter);
            for (unsigned k = 0; k < CLSA_OP_KINDS; k++)
                for (unsigned r = 0; r < CLSA_ROLES; r++)
                    if (holds_for(level, row->op, kind, role, k, r))
                        impl->values[place(k, r, p)] = row->value;
        }
}

static struct clsa_impl_row *find_row(const struct clsa_implementation *impl, const char *name)
{
    const char *dot = strchr(name, '.');
    for (size_t i = impl->n_rows; dot && i-- > 0;) {
        struct clsa_impl_row *row = &impl->rows[i];
        if (strlen(row->op) == (size_t)(dot - name) &&
            strncmp(row->op, name, (size_t)(dot - name)) == 0 &&
            strcmp(row->parameter, dot + 1) == 0)
            return row;
    }
    return NULL;
}

int clsa_impl_assign(struct clsa_implementation *impl, const char *name, double value,
                     struct clsa_err *err)
{
    struct clsa_impl_row *row = find_row(impl, name);
    if (!row)
        return clsa_fail(err, CLSA_ENOTFOUND, "implementation %s has no row '%s'", impl->name,
                         name);
    const enum clsa_impl_parameter p =
        (enum clsa_impl_parameter)clsa_impl_parameter_find(row->parameter);
    row->value = table[p].dimension == CLSA_DIM_WHOLE ? round(value) : value;
    resolve(impl);
    return 0;
}

int clsa_impl_assigned(const struct clsa_implementation *impl, const char *name, double *value,
                       struct clsa_err *err)
{
    const struct clsa_impl_row *row = find_row(impl, name);
    if (!row)
        return clsa_fail(err, CLSA_ENOTFOUND, "implementation %s has no row '%s'", impl->name,
                         name);
    *value = row->value;
    return 0;
}

int clsa_impl_read(const char *name, const char *const *sets, size_t n_sets,
                   struct clsa_implementation *out, struct clsa_err *err)
{
    struct clsa_sheet sheet = {0};
    struct clsa_implementation impl = {0};
    int status = clsa_sheet_read("hwmodels/implementations", name, true, sets, n_sets, &sheet, err);
    if (status)
        return status;
    clsa_sheet_stem(name, impl.name, sizeof impl.name);
    impl.values =
        clsa_calloc((size_t)CLSA_OP_KINDS * CLSA_ROLES * CLSA_IMPL_PARAMETERS, sizeof *impl.values);
    impl.rows = clsa_calloc(sheet.n_rows, sizeof *impl.rows);
    if (!impl.values || !impl.rows) {
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
        goto fail;
    }
    for (size_t i = 0; i < sheet.n_rows; i++) {
        const struct clsa_sheet_row *row = &sheet.rows[i];
        impl.rows[i] = (struct clsa_impl_row){row->op,     row->parameter, row->value, row->unit,
                                              row->source, row->file,      row->line,  0};
        status = check_row(row, &impl.rows[i].value, err);
        if (status)
            goto fail;
    }
    impl.n_rows = sheet.n_rows;
    resolve(&impl);
    impl.strings = sheet.strings;
    impl.n_strings = sheet.n_strings;
    free(sheet.rows);
    *out = impl;
    return 0;
fail:
    clsa_sheet_destroy(&sheet);
    clsa_impl_destroy(&impl);
    return status;
}
