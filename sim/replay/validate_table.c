#include "sim/replay/validate_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/rng.h"
#include "sim/replay/closed.h"

static const struct {
    const char *name, *implementation;
} tables[] = {
#define X(id, name, impl) {name, impl},
    CLSA_TABLE_LIST(X)
#undef X
};

int clsa_table_find(const char *name)
{
    for (int t = 0; t < CLSA_TABLES; t++)
        if (strcmp(tables[t].name, name) == 0)
            return t;
    return -1;
}

const char *clsa_table_name(enum clsa_table table)
{
    return tables[table].name;
}

const char *clsa_table_implementation(enum clsa_table table)
{
    return tables[table].implementation;
}

bool clsa_table_fits(size_t row, double fit_percent, uint64_t seed)
{
    struct clsa_rng rng;
    clsa_rng_seed(&rng, seed * 0x9e3779b97f4a7c15u + row);
    return clsa_rng_unit(&rng) * 100 < fit_percent;
}

double clsa_roofline_seconds(const struct clsa_step *step, const struct clsa_machine *machine)
{
    double bytes = 0, busy = 0;
    for (size_t i = 0; i < step->n_ops; i++) {
        const struct clsa_op *op = &step->ops[i];
        for (uint32_t o = 0; o < op->n_operands; o++) {
            const struct clsa_operand *x = &op->operands[o];
            const double heads = x->head_stride && op->kv_heads ? op->kv_heads : 1;
            bytes += (double)clsa_operand_rows(step, op, x) * (double)x->row_bytes * heads;
        }
        double peak = machine->kind == CLSA_MACHINE_GPU ? machine->tensor_bf16
                                                        : machine->vector_fp32;
        if (op->weight_dtype == CLSA_FP8 && machine->tensor_fp8 > 0)
            peak = machine->tensor_fp8;
        busy += (double)op->flops / peak;
    }
    return fmax(busy, bytes / machine->dram_bandwidth);
}

int clsa_table_predict_case(const struct clsa_table_case *c, const struct clsa_machine *machine,
                            const struct clsa_implementation *impl, struct clsa_table_row *out,
                            struct clsa_err *err)
{
    struct clsa_closed_request request = {
        .step = &c->step, .machine = machine, .impl = impl, .variants = c->variants, .no_host = c->no_host,
        .threads = c->threads};
    struct clsa_machine found = *machine; /* borrows rows and strings */
    struct clsa_prediction p;
    if (c->found.flops > 0) {
        request.machine = &found;
        struct clsa_cpu_share shares[CLSA_CPU_SHARES];
        clsa_cpu_shares(machine, c->threads, &c->found, shares);
        for (int i = 0; i < CLSA_CPU_SHARES; i++)
            clsa_machine_put(&found, shares[i].parameter, shares[i].value);
    }
    const int status = clsa_closed_predict(&request, &p, err);
    if (status)
        return status;
    out->measured_us = c->measured_us;
    out->predicted_us = (double)p.step_ps * 1e-6;
    out->lo_us = (double)p.step_ps_lo * 1e-6;
    out->hi_us = (double)p.step_ps_hi * 1e-6;
    out->roofline_us = clsa_roofline_seconds(&c->step, machine) * 1e6;
    out->target = c->target;
    memcpy(out->group, c->group, sizeof out->group);
    if (c->only >= 0) {
        double us = 0, lo = 0, hi = 0, roofline = 0, calls = 0;
        for (size_t i = 0; i < p.n_ops; i++) {
            const struct clsa_op *op = &c->step.ops[i];
            if ((int)((unsigned)op->kind << 8 | op->role) != c->only)
                continue;
            const double gaps =
                c->no_launch_gap ? p.ops[i].launches * machine->launch_graph_node * 1e6 : 0;
            struct clsa_step one = c->step;
            one.ops = op;
            one.n_ops = 1;
            us += (double)p.ops[i].ps * 1e-6 - gaps;
            lo += (double)p.ops[i].ps_lo * 1e-6 - gaps;
            hi += (double)p.ops[i].ps_hi * 1e-6 - gaps;
            roofline += clsa_roofline_seconds(&one, machine) * 1e6;
            calls++;
        }
        const double of = c->all_calls ? 1 : fmax(1, calls);
        out->predicted_us = us / of;
        out->lo_us = lo / of;
        out->hi_us = hi / of;
        out->roofline_us = roofline / of;
    }
    clsa_prediction_destroy(&p);
    return 0;
}

int clsa_table_predict(enum clsa_table table, const struct clsa_csv *csv,
                       const struct clsa_machine *machine, const struct clsa_implementation *impl,
                       double fit_percent, uint64_t seed, struct clsa_table_row **rows,
                       struct clsa_err *err)
{
    struct clsa_table_row *out = clsa_calloc(csv->rows + 1, sizeof *out);
    if (!out)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", csv->path);
    for (size_t r = 0; r < csv->rows; r++) {
        struct clsa_table_case c;
        int status = clsa_table_case(table, csv, r, &c, err);
        if (!status) {
            status = clsa_table_predict_case(&c, machine, impl, &out[r], err);
            clsa_table_case_destroy(&c);
        }
        if (status) {
            free(out);
            return status;
        }
        out[r].fitted = clsa_table_fits(r, fit_percent, seed);
    }
    *rows = out;
    return 0;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Value at part q of sorted values, between neighbours linearly. */
static double quantile(const double *sorted, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

struct ranked {
    double value, rank;
    size_t place;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* Ranks with ties at their mean, written to ranks[] in the order of values[]. */
static int rank(const double *values, size_t n, double *ranks)
{
    struct ranked *r = clsa_calloc(n, sizeof *r);
    if (!r)
        return CLSA_ENOMEM;
    for (size_t i = 0; i < n; i++)
        r[i] = (struct ranked){values[i], 0, i};
    qsort(r, n, sizeof *r, compare_ranked);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && r[j].value <= r[i].value; j++)
            continue;
        for (size_t t = i; t < j; t++)
            ranks[r[t].place] = (double)(i + j - 1) / 2;
    }
    free(r);
    return 0;
}

static double correlation(const double *x, const double *y, size_t n)
{
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

static bool counts(const struct clsa_table_row *r, int fitted, const char *group)
{
    return r->target && (fitted < 0 || r->fitted == (fitted != 0)) &&
           (!group || strcmp(group, r->group) == 0);
}

bool clsa_table_interval(const struct clsa_table_row *rows, size_t n, int fitted, const char *group,
                         double *low, double *high, double *least, double *most)
{
    double *ratio = clsa_calloc(n + 1, sizeof *ratio);
    double from = INFINITY, to = 0;
    size_t count = 0;
    for (size_t i = 0; ratio && i < n; i++) {
        if (!counts(&rows[i], fitted, group))
            continue;
        ratio[count++] = rows[i].measured_us / rows[i].predicted_us - 1;
        from = fmin(from, rows[i].measured_us);
        to = fmax(to, rows[i].measured_us);
    }
    if (count >= 2) {
        qsort(ratio, count, sizeof *ratio, compare_doubles);
        *low = quantile(ratio, count, 0.1);
        *high = quantile(ratio, count, 0.9);
        *least = from;
        *most = to;
    }
    free(ratio);
    return count >= 2;
}

int clsa_table_measure(const struct clsa_table_row *rows, size_t n, int fitted, const char *group,
                       struct clsa_table_stats *out)
{
    struct clsa_table_stats s = {0};
    /* errors, measured, predicted, and the ranks of the last two */
    double *work = clsa_calloc(5 * (n + 1), sizeof *work);
    if (!work)
        return CLSA_ENOMEM;
    double *error = work, *measured = work + n, *predicted = work + 2 * n;
    for (size_t i = 0; i < n; i++) {
        const struct clsa_table_row *r = &rows[i];
        if (!counts(r, fitted, group))
            continue;
        const double signed_error = 100 * (r->predicted_us / r->measured_us - 1);
        error[s.rows] = fabs(signed_error);
        measured[s.rows] = r->measured_us;
        predicted[s.rows] = r->predicted_us;
        s.mean += fabs(signed_error);
        s.bias += signed_error;
        s.coverage += r->measured_us >= r->lo_us && r->measured_us <= r->hi_us;
        s.roofline_mean += 100 * fabs(r->roofline_us / r->measured_us - 1);
        s.rows++;
    }
    int status = 0;
    if (s.rows) {
        const double count = (double)s.rows;
        s.mean /= count;
        s.bias /= count;
        s.coverage /= count;
        s.roofline_mean /= count;
        qsort(error, s.rows, sizeof *error, compare_doubles);
        s.median = quantile(error, s.rows, 0.5);
        s.p90 = quantile(error, s.rows, 0.9);
        s.max = error[s.rows - 1];
        double *rm = work + 3 * n, *rp = work + 4 * n;
        status = rank(measured, s.rows, rm);
        if (!status)
            status = rank(predicted, s.rows, rp);
        s.rank = correlation(rm, rp, s.rows);
    }
    free(work);
    if (!status)
        *out = s;
    return status;
}
