#include "sim/replay/calibrate.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/replay/closed.h"

#define N CLSA_CALIBRATE_CONSTANTS

double clsa_simplex(double (*f)(void *user, const double *x), void *user, unsigned n, double *start,
                    double step, unsigned most)
{
    assert(n >= 1 && n <= N);
    double x[N + 1][N], y[N + 1], center[N], trial[N], other[N];
    unsigned spent = 0;
    for (unsigned i = 0; i <= n; i++) {
        memcpy(x[i], start, n * sizeof *start);
        if (i)
            x[i][i - 1] += step;
        y[i] = f(user, x[i]);
        spent++;
    }
    for (;;) {
        unsigned best = 0, worst = 0, second = 0;
        for (unsigned i = 1; i <= n; i++) {
            if (y[i] < y[best])
                best = i;
            if (y[i] > y[worst])
                worst = i;
        }
        for (unsigned i = 0; i <= n; i++)
            if (i != worst && (second == worst || y[i] > y[second]))
                second = i;
        double spread = 0;
        for (unsigned i = 0; i <= n; i++)
            for (unsigned d = 0; d < n; d++)
                spread = fmax(spread, fabs(x[i][d] - x[best][d]));
        if (spread < 1e-4 || spent >= most) {
            memcpy(start, x[best], n * sizeof *start);
            return y[best];
        }
        for (unsigned d = 0; d < n; d++) {
            center[d] = 0;
            for (unsigned i = 0; i <= n; i++)
                center[d] += i == worst ? 0 : x[i][d] / n;
            trial[d] = 2 * center[d] - x[worst][d];
        }
        double yt = f(user, trial);
        spent++;
        if (yt < y[best]) {
            for (unsigned d = 0; d < n; d++)
                other[d] = 3 * center[d] - 2 * x[worst][d];
            const double yo = f(user, other);
            spent++;
            if (yo < yt) {
                yt = yo;
                memcpy(trial, other, sizeof trial);
            }
        } else if (yt >= y[second]) {
            const double toward = yt < y[worst] ? 1.5 : 0.5;
            for (unsigned d = 0; d < n; d++)
                other[d] = toward * center[d] + (1 - toward) * x[worst][d];
            const double yo = f(user, other);
            spent++;
            if (yo < fmin(yt, y[worst])) {
                yt = yo;
                memcpy(trial, other, sizeof trial);
            } else {
                for (unsigned i = 0; i <= n; i++) {
                    if (i == best)
                        continue;
                    for (unsigned d = 0; d < n; d++)
                        x[i][d] = (x[i][d] + x[best][d]) / 2;
                    y[i] = f(user, x[i]);
                    spent++;
                }
                continue;
            }
        }
        memcpy(x[worst], trial, sizeof trial);
        y[worst] = yt;
    }
}

enum use { UNUSED, FIT, HELD_OUT };

struct item {
    struct clsa_table_case c;
    enum use use;
    unsigned fold;
};

struct fit {
    const struct clsa_calibrate_request *request;
    struct clsa_implementation *impl;
    struct item *items;
    size_t n;
    unsigned n_constants;
    const char *const *names;
    const double *start;
    int fold; /* rows of this fold are left out; -1: none */
    int status;
    struct clsa_err *err;
};

/* Mean absolute error, %, of the rows of a use: those of `fold` only, or (fold < 0) of all but
 * fit->fold. */
static double mean_error(struct fit *fit, enum use use, int fold)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < fit->n && !fit->status; i++) {
        const struct item *item = &fit->items[i];
        if (item->use != use)
            continue;
        if (fold >= 0 ? (int)item->fold != fold : (int)item->fold == fit->fold)
            continue;
        struct clsa_table_row row;
        fit->status = clsa_table_predict_case(&item->c, fit->request->machine, fit->impl, &row,
                                              fit->err);
        sum += fit->status ? 0 : fabs(100 * (row.predicted_us / row.measured_us - 1));
        count++;
    }
    return count > 0 ? sum / count : 0;
}

static void place(struct fit *fit, const double *x)
{
    for (unsigned i = 0; i < fit->n_constants && !fit->status; i++)
        fit->status =
            clsa_impl_assign(fit->impl, fit->names[i], fit->start[i] * exp(x[i]), fit->err);
}

static double objective(void *user, const double *x)
{
    struct fit *fit = user;
    double outside = 0;
    /* A factor of 20 either way is further than any start is wrong. */
    for (unsigned i = 0; i < fit->n_constants; i++) {
        double least, most;
        const double value = fit->start[i] * exp(x[i]);
        clsa_impl_bounds(fit->names[i], &least, &most);
        outside += fmax(0, fabs(x[i]) - 3) + fmax(0, value / most - 1) + fmax(0, least / value - 1);
    }
    place(fit, x);
    return mean_error(fit, FIT, -1) + 100 * outside;
}

static double run(struct fit *fit, double *x)
{
    const unsigned most = fit->request->most_evaluations ? fit->request->most_evaluations
                                                         : 400 * fit->n_constants;
    memset(x, 0, fit->n_constants * sizeof *x);
    double error = clsa_simplex(objective, fit, fit->n_constants, x, 0.3, most);
    for (unsigned again = 0; again < 2 && !fit->status; again++)
        error = clsa_simplex(objective, fit, fit->n_constants, x, again ? 0.05 : -0.2, most);
    place(fit, x);
    return error;
}

static bool in_list(const char *list, const char *word)
{
    const size_t length = strlen(word);
    while (list && *list) {
        const size_t span = strcspn(list, ",");
        if (span == length && strncmp(list, word, span) == 0)
            return true;
        list += span + (list[span] == ',');
    }
    return false;
}

static int gather(const struct clsa_calibrate_request *r, struct fit *fit, struct clsa_err *err)
{
    size_t total = 1;
    for (unsigned t = 0; t < r->n_tables; t++)
        total += r->csvs[t]->rows;
    fit->items = clsa_calloc(total, sizeof *fit->items);
    if (!fit->items)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    for (unsigned t = 0; t < r->n_tables; t++)
        for (size_t row = 0; row < r->csvs[t]->rows; row++) {
            struct item *item = &fit->items[fit->n];
            const int status = clsa_table_case(r->tables[t], r->csvs[t], row, &item->c, err);
            if (status)
                return status;
            fit->n++;
            const bool use = item->c.target && (!r->groups || in_list(r->groups, item->c.group));
            const bool fits = r->whole[t] || clsa_table_fits(row, r->fit_percent, r->seed);
            const struct clsa_step *step = &item->c.step;
            const bool beyond = step->n_seqs > CLSA_FRONTIER_SEQS ||
                                step->past[0] + step->new_tokens > CLSA_FRONTIER_KEYS;
            if (!use)
                item->use = UNUSED;
            else if (r->frontier)
                item->use = beyond ? HELD_OUT : fits ? FIT : UNUSED;
            else
                item->use = fits ? FIT : HELD_OUT;
            item->fold = r->folds > 1 ? (unsigned)(fit->n % r->folds) : 0;
        }
    return 0;
}

/* Whether some op of the cases is one that a row's op column speaks of. */
static bool speaks_of(const struct fit *fit, const char *op)
{
    const size_t span = strlen(op);
    for (size_t i = 0; i < fit->n; i++) {
        const struct clsa_step *step = &fit->items[i].c.step;
        for (size_t o = 0; o < step->n_ops && fit->items[i].use != UNUSED; o++) {
            const int only = fit->items[i].c.only;
            if (only >= 0 && only != (int)((unsigned)step->ops[o].kind << 8 | step->ops[o].role))
                continue;
            char name[64];
            const char *kind = clsa_op_kind_text(step->ops[o].kind);
            if (strcmp(op, kind) == 0 ||
                strcmp(op, clsa_op_name(&step->ops[o], name, sizeof name)) == 0 ||
                (span && op[span - 1] == '*' && strncmp(op, kind, span - 1) == 0))
                return true;
        }
    }
    return false;
}

static int choose(const struct clsa_calibrate_request *r, const struct fit *fit,
                  struct clsa_calibrate_result *out, struct clsa_err *err)
{
    size_t bytes = 1;
    const struct clsa_implementation *impl = fit->impl;
    for (size_t i = 0; i < impl->n_rows; i++)
        bytes += strlen(impl->rows[i].op) + strlen(impl->rows[i].parameter) + 2;
    for (unsigned i = 0; i < r->n_constants; i++)
        bytes += strlen(r->constants[i]) + 1;
    out->text = clsa_malloc(bytes, 1);
    if (!out->text)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    char *at = out->text;
    for (unsigned i = 0; i < r->n_constants; i++) {
        out->names[out->n_constants++] = strcpy(at, r->constants[i]);
        at += strlen(at) + 1;
    }
    for (size_t i = 0; i < impl->n_rows && !r->n_constants; i++) {
        const struct clsa_impl_row *row = &impl->rows[i];
        if (strncmp(row->source, "fitted", 6) != 0 || !speaks_of(fit, row->op))
            continue;
        if (out->n_constants == N)
            return clsa_fail(err, CLSA_ELIMIT, "more than %d constants to fit", N);
        strcpy(at, row->op);
        strcat(at, ".");
        strcat(at, row->parameter);
        out->names[out->n_constants++] = at;
        at += strlen(at) + 1;
    }
    for (unsigned i = 0; i < out->n_constants; i++) {
        const int status = clsa_impl_assigned(impl, out->names[i], &out->before[i], err);
        if (status)
            return status;
    }
    return out->n_constants
               ? 0
               : clsa_fail(err, CLSA_EUSAGE, "implementation %s has no constants that these rows "
                                             "could fit (rows whose source starts with 'fitted')",
                           impl->name);
}

int clsa_calibrate(const struct clsa_calibrate_request *request, struct clsa_implementation *impl,
                   struct clsa_calibrate_result *out, struct clsa_err *err)
{
    struct clsa_calibrate_result result = {0};
    struct fit fit = {.request = request, .impl = impl, .fold = -1, .err = err};
    double x[N];
    int status = gather(request, &fit, err);
    if (!status)
        status = choose(request, &fit, &result, err);
    if (status)
        goto fail;
    for (size_t i = 0; i < fit.n; i++) {
        result.rows_fitted += fit.items[i].use == FIT;
        result.rows_held_out += fit.items[i].use == HELD_OUT;
    }
    if (!result.rows_fitted) {
        status = clsa_fail(err, CLSA_EUSAGE, "no rows to fit on");
        goto fail;
    }
    fit.n_constants = result.n_constants;
    fit.names = result.names;
    fit.start = result.before;
    result.error_before = mean_error(&fit, FIT, -1);
    for (unsigned k = 0; request->folds > 1 && k < request->folds && !fit.status; k++) {
        fit.fold = (int)k;
        run(&fit, x);
        result.error_cross_validated += mean_error(&fit, FIT, (int)k) / request->folds;
    }
    fit.fold = -1;
    if (!fit.status)
        result.error_after = run(&fit, x);
    if (!fit.status)
        result.error_held_out = mean_error(&fit, HELD_OUT, -1);
    status = fit.status;
    for (unsigned i = 0; !status && i < result.n_constants; i++)
        status = clsa_impl_assigned(impl, result.names[i], &result.after[i], err);
fail:
    for (size_t i = 0; i < fit.n; i++)
        clsa_table_case_destroy(&fit.items[i].c);
    free(fit.items);
    if (status) {
        clsa_calibrate_destroy(&result);
        return status;
    }
    *out = result;
    return 0;
}

void clsa_calibrate_destroy(struct clsa_calibrate_result *result)
{
    if (!result)
        return;
    free(result->text);
    memset(result, 0, sizeof *result);
}
