#include "sim/replay/calibrate.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/replay/closed.h"
#include "sim/replay/interval.h"

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
    unsigned fold, table;
    double left_out; /* prediction by constants fitted without this row; 0: none */
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

/* Whether a row of `use` counts: those of `fold` only, or (fold < 0) all but fit->fold. */
static bool counts(const struct fit *fit, const struct item *item, enum use use, int fold)
{
    return item->use == use &&
           (fold >= 0 ? (int)item->fold == fold : (int)item->fold != fit->fold);
}

/* Mean absolute error, %, of the rows that count: the mean of their tables' means. */
static double mean_error(struct fit *fit, enum use use, int fold)
{
    double sum[CLSA_CALIBRATE_TABLES] = {0}, count[CLSA_CALIBRATE_TABLES] = {0};
    for (size_t i = 0; i < fit->n && !fit->status; i++) {
        struct item *item = &fit->items[i];
        if (!counts(fit, item, use, fold))
            continue;
        struct clsa_table_row row;
        fit->status = clsa_table_predict_case(&item->c, fit->request->machines[item->table], fit->impl, &row,
                                              fit->err);
        if (fit->status)
            break;
        sum[item->table] += fabs(100 * (row.predicted_us / row.measured_us - 1));
        count[item->table]++;
        if (fold >= 0)
            item->left_out = row.predicted_us;
    }
    double all = 0, tables = 0;
    for (unsigned t = 0; t < CLSA_CALIBRATE_TABLES; t++) {
        all += count[t] > 0 ? sum[t] / count[t] : 0;
        tables += count[t] > 0;
    }
    return tables > 0 ? all / tables : 0;
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
            item->table = t;
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

/* *rest: room in the result's text for the rows of intervals. */
static int choose(const struct clsa_calibrate_request *r, const struct fit *fit,
                  struct clsa_calibrate_result *out, char **rest, struct clsa_err *err)
{
    size_t bytes = 1;
    const struct clsa_implementation *impl = fit->impl;
    for (size_t i = 0; i < impl->n_rows; i++)
        bytes += strlen(impl->rows[i].op) + strlen(impl->rows[i].parameter) + 2;
    for (unsigned i = 0; i < r->n_constants; i++)
        bytes += strlen(r->constants[i]) + 1;
    for (unsigned i = 0; i < r->n_intervals; i++)
        bytes += 4 * (strlen(r->intervals[i]) + sizeof ".interval_machine");
    out->text = clsa_malloc(bytes + sizeof "*.interval_step", 1);
    if (!out->text)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    char *at = out->text;
    for (unsigned i = 0; i < r->n_constants; i++) {
        out->names[out->n_constants++] = strcpy(at, r->constants[i]);
        at += strlen(at) + 1;
    }
    for (size_t i = 0; i < impl->n_rows && !r->n_constants && !r->keep_constants; i++) {
        const struct clsa_impl_row *row = &impl->rows[i];
        if (strncmp(row->source, "fitted", 6) != 0 || !speaks_of(fit, row->op) ||
            strncmp(row->parameter, "interval_", 9) == 0 ||
            strncmp(row->parameter, "measured_", 9) == 0)
            continue;
        if (out->n_constants == N)
            return clsa_fail(err, CLSA_ELIMIT, "more than %d constants to fit", N);
        strcpy(at, row->op);
        strcat(at, ".");
        strcat(at, row->parameter);
        out->names[out->n_constants++] = at;
        at += strlen(at) + 1;
    }
    *rest = at;
    for (unsigned i = 0; i < out->n_constants; i++) {
        const int status = clsa_impl_assigned(impl, out->names[i], &out->before[i], err);
        if (status)
            return status;
    }
    return out->n_constants || r->keep_constants
               ? 0
               : clsa_fail(err, CLSA_EUSAGE, "implementation %s has no constants that these rows "
                                             "could fit (rows whose source starts with 'fitted')",
                           impl->name);
}

/* A residual in half widths of its interval: -1 lies on the lower end, 1 on the upper. */
struct residual {
    double value, weight;
};

static int compare_residuals(const void *a, const void *b)
{
    const double x = ((const struct residual *)a)->value, y = ((const struct residual *)b)->value;
    return (x > y) - (x < y);
}

/* Residuals of the rows of a use, sorted; weights make every table count the same. Rows that a fold
 * left out are held against what that fold predicted. Returns how many. */
static size_t residuals(struct fit *fit, enum use use, struct residual *out)
{
    size_t n = 0, rows[CLSA_CALIBRATE_TABLES] = {0};
    for (size_t i = 0; i < fit->n; i++)
        rows[fit->items[i].table] += fit->items[i].use == use;
    for (size_t i = 0; i < fit->n && !fit->status; i++) {
        const struct item *item = &fit->items[i];
        struct clsa_table_row row;
        if (item->use != use)
            continue;
        fit->status = clsa_table_predict_case(&item->c, fit->request->machines[item->table], fit->impl, &row,
                                              fit->err);
        if (fit->status)
            break;
        double measured = row.measured_us;
        if (use == FIT && item->left_out > 0)
            measured *= row.predicted_us / item->left_out;
        const double off = measured - row.predicted_us;
        const double half = off < 0 ? row.predicted_us - row.lo_us : row.hi_us - row.predicted_us;
        out[n++] = (struct residual){off / fmax(half, 1e-9 * row.predicted_us),
                                     1.0 / (double)rows[item->table]};
    }
    qsort(out, n, sizeof *out, compare_residuals);
    return n;
}

/* The first residual below which at least the part q of what is to come lies: the i-th of n stands for
 * i / (n + 1); the last one where n is too small to say. */
static double upper(const struct residual *r, size_t n, double q)
{
    double whole = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        whole += r[i].weight * ((double)n + 1) / (double)n;
    for (size_t i = 0; i < n; i++) {
        sum += r[i].weight / whole;
        if (sum >= q)
            return r[i].value;
    }
    return r[n - 1].value;
}

/* The same from the other end: the last residual above which at least 1 - q lies. */
static double lower(const struct residual *r, size_t n, double q)
{
    double whole = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        whole += r[i].weight * ((double)n + 1) / (double)n;
    for (size_t i = n; i-- > 0;) {
        sum += r[i].weight / whole;
        if (sum >= 1 - q)
            return r[i].value;
    }
    return r[0].value;
}

static double coverage(const struct residual *r, size_t n)
{
    double inside = 0, whole = 0;
    for (size_t i = 0; i < n; i++) {
        inside += fabs(r[i].value) <= 1 ? r[i].weight : 0;
        whole += r[i].weight;
    }
    return whole > 0 ? inside / whole : 0;
}

/* Rows of the intervals asked for that go to the result: `op.parameter` in its text. */
struct rows {
    struct clsa_calibrate_result *out;
    char *text;
    unsigned first;
};

static void add_row(struct rows *rows, const char *op, const char *parameter)
{
    rows->out->names[rows->out->n_constants++] = rows->text;
    rows->text += sprintf(rows->text, "%s.%s", op, parameter) + 1;
}

static void set_rows(struct fit *fit, const struct rows *rows, const char *parameter, double value)
{
    for (unsigned i = rows->first; i < rows->out->n_constants && !fit->status; i++)
        if (strcmp(strrchr(rows->out->names[i], '.') + 1, parameter) == 0)
            fit->status = clsa_impl_assign(fit->impl, rows->out->names[i], value, fit->err);
}

#define TENTH 0.1
#define ROUNDS 60
#define NARROWEST 1e-3 /* half an interval, as a part of the time */

/* The times that the fitting rows have. False where rows are of several ops together: they say
 * nothing of the times of one. */
static bool range_measured(const struct fit *fit, double *least, double *most)
{
    bool alone = true;
    *least = INFINITY;
    *most = 0;
    for (size_t i = 0; i < fit->n; i++) {
        const struct item *item = &fit->items[i];
        if (item->use != FIT)
            continue;
        alone &= item->c.step.n_ops == 1 || item->c.only >= 0;
        *least = fmin(*least, item->c.measured_us * 1e-6);
        *most = fmax(*most, item->c.measured_us * 1e-6);
    }
    return alone;
}

/* Scales both halves until a tenth of the rows lies beyond either. */
static void fit_widths(struct fit *fit, const struct rows *rows, struct residual *r)
{
    double low = log1p(-0.1), high = log1p(0.1), least, most;
    range_measured(fit, &least, &most);
    set_rows(fit, rows, "measured_least", least);
    set_rows(fit, rows, "measured_most", most);
    for (int round = 0; round < ROUNDS && !fit->status; round++) {
        set_rows(fit, rows, "interval_low", expm1(low));
        set_rows(fit, rows, "interval_high", expm1(high));
        const size_t n = residuals(fit, FIT, r);
        if (fit->status || !n)
            return;
        const double below = fmax(0.1, -lower(r, n, TENTH));
        const double above = fmax(0.1, upper(r, n, 1 - TENTH));
        low = fmin(low * below, log1p(-NARROWEST));
        high = fmax(high * above, log1p(NARROWEST));
        if (fabs(below - 1) + fabs(above - 1) < 1e-4)
            break;
    }
}

/* Between least and most, the value at which eight tenths of the rows are inside. */
static void fit_cover(struct fit *fit, const struct rows *rows, const char *parameter, double least,
                      double most, struct residual *r)
{
    for (int round = 0; round < ROUNDS && most - least > 1e-4 && !fit->status; round++) {
        const double middle = (least + most) / 2;
        set_rows(fit, rows, parameter, middle);
        const size_t n = residuals(fit, FIT, r);
        for (size_t i = 0; i < n; i++)
            r[i].value = fabs(r[i].value);
        qsort(r, n, sizeof *r, compare_residuals);
        if (n && upper(r, n, 1 - 2 * TENTH) > 1)
            least = middle;
        else
            most = middle;
    }
    set_rows(fit, rows, parameter, most);
}

/* Machines this near to the one measured are that one. */
#define SAME_MACHINE 1e-3

static int fit_intervals(struct fit *fit, struct clsa_calibrate_result *out, char *text)
{
    const struct clsa_calibrate_request *q = fit->request;
    struct rows rows = {.out = out, .text = text, .first = out->n_constants};
    struct residual *r = clsa_calloc(fit->n + 1, sizeof *r);
    const struct clsa_op *op = NULL;
    bool step = false;
    if (!r)
        return clsa_fail(fit->err, CLSA_ENOMEM, "out of memory");
    for (size_t i = 0; i < fit->n && !op; i++)
        op = fit->items[i].use == FIT ? fit->items[i].c.step.ops : NULL;
    double least, most;
    const bool alone = range_measured(fit, &least, &most);
    const bool same = op && clsa_interval_distance(q->machines[0], fit->impl, op) < SAME_MACHINE;
    for (unsigned i = 0; i < q->n_intervals; i++) {
        if (strcmp(q->intervals[i], "step") == 0) {
            step = true;
        } else if (!same) {
            add_row(&rows, q->intervals[i], "interval_machine");
        } else {
            static const char *const names[] = {"interval_low", "interval_high", "measured_least",
                                                "measured_most"};
            for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
                char name[128];
                double value;
                snprintf(name, sizeof name, "%s.%s", q->intervals[i], names[n]);
                /* The range measured may go unsaid. */
                if (n < 2 || (alone && clsa_impl_assigned(fit->impl, name, &value, NULL) == 0))
                    add_row(&rows, q->intervals[i], names[n]);
            }
        }
    }
    if (step)
        add_row(&rows, "*", "interval_step");
    for (unsigned i = rows.first; i < out->n_constants && !fit->status; i++)
        fit->status = clsa_impl_assigned(fit->impl, out->names[i], &out->before[i], fit->err);
    if (!fit->status && q->n_intervals > step) {
        if (same)
            fit_widths(fit, &rows, r);
        else
            fit_cover(fit, &rows, "interval_machine", 0, 2, r);
    }
    if (!fit->status && step)
        fit_cover(fit, &rows, "interval_step", 0, 4, r);
    for (unsigned i = rows.first; i < out->n_constants && !fit->status; i++)
        fit->status = clsa_impl_assigned(fit->impl, out->names[i], &out->after[i], fit->err);
    out->coverage_fitted = coverage(r, residuals(fit, FIT, r));
    out->coverage_held_out = coverage(r, residuals(fit, HELD_OUT, r));
    free(r);
    return fit->status;
}

int clsa_calibrate(const struct clsa_calibrate_request *request, struct clsa_implementation *impl,
                   struct clsa_calibrate_result *out, struct clsa_err *err)
{
    struct clsa_calibrate_result result = {0};
    struct fit fit = {.request = request, .impl = impl, .fold = -1, .err = err};
    double x[N];
    char *text = NULL;
    int status = gather(request, &fit, err);
    if (!status)
        status = choose(request, &fit, &result, &text, err);
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
    for (unsigned k = 0; request->folds > 1 && fit.n_constants && k < request->folds && !fit.status; k++) {
        fit.fold = (int)k;
        run(&fit, x);
        result.error_cross_validated += mean_error(&fit, FIT, (int)k) / request->folds;
    }
    fit.fold = -1;
    if (!fit.status)
        result.error_after = fit.n_constants ? run(&fit, x) : result.error_before;
    if (!fit.status)
        result.error_held_out = mean_error(&fit, HELD_OUT, -1);
    status = fit.status;
    for (unsigned i = 0; !status && i < result.n_constants; i++)
        status = clsa_impl_assigned(impl, result.names[i], &result.after[i], err);
    if (!status)
        status = fit_intervals(&fit, &result, text);
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
