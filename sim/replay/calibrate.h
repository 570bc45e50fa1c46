/* Fitting the named constants of an implementation to measured tables, and the widths of its
 * intervals.
 *
 * A constant is a row of the implementation whose source starts with "fitted"; a fit changes only
 * such rows (or those named). Each is scaled by a positive factor within the bounds of its
 * parameter; the mean absolute error of the fitting rows, every table counting the same, is
 * minimised by the simplex method of Nelder and Mead (1965) with restarts, which needs no
 * derivatives of the waves and steps in the model.
 *
 * The widths of an op's interval are such that of the fitting rows a tenth lies below it and a
 * tenth above, by one rule for every op: residuals in units of the interval's half are sorted, the
 * i-th of n standing for the part i / (n + 1) of what is to come (the prediction interval of order
 * statistics, without interpolation, so that few rows give wide intervals), and the widths are scaled until the tenths lie at the ends. Where the fit is
 * cross-validated the residuals are those of rows left out. On another machine than the one that
 * the implementation was measured on the widths stay and the widening for its distance is fitted.
 */
#ifndef CLSA_REPLAY_CALIBRATE_H
#define CLSA_REPLAY_CALIBRATE_H

#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/replay/validate_table.h"

#define CLSA_CALIBRATE_CONSTANTS 32
#define CLSA_CALIBRATE_TABLES 8

#define CLSA_FRONTIER_SEQS 16
#define CLSA_FRONTIER_KEYS 16384

struct clsa_calibrate_request {
    unsigned n_tables;
    enum clsa_table tables[CLSA_CALIBRATE_TABLES];
    const struct clsa_csv *csvs[CLSA_CALIBRATE_TABLES];
    const char *groups; /* comma separated groups of rows to look at; NULL: all */
    const struct clsa_machine *machines[CLSA_CALIBRATE_TABLES]; /* what each table was measured on */
    double fit_percent; /* part of the rows to fit on; 100: all */
    bool whole[CLSA_CALIBRATE_TABLES]; /* fit on all rows of a table that nobody is judged by */
    bool frontier; /* fit on what lies within CLSA_FRONTIER_SEQS and _KEYS, judge all beyond */
    uint64_t seed;
    unsigned folds;     /* for the cross-validated error; 0 or 1: none */
    unsigned most_evaluations; /* a simplex run; 0: 400 per constant */
    unsigned n_constants;      /* 0: every row whose source starts with "fitted" and whose op the
                                * tables have */
    const char *constants[CLSA_CALIBRATE_CONSTANTS]; /* "op.parameter" */
    bool keep_constants;       /* only intervals are fitted */
    unsigned n_intervals;      /* ops that get one common interval; "step": the width of
                                * steps of several ops as a factor on what their ops' add up to */
    const char *intervals[CLSA_CALIBRATE_CONSTANTS];
};

/* Constants, and four rows of every interval. */
#define CLSA_CALIBRATE_RESULTS (5 * CLSA_CALIBRATE_CONSTANTS)

struct clsa_calibrate_result {
    unsigned n_constants;
    const char *names[CLSA_CALIBRATE_RESULTS]; /* owned by the result */
    double before[CLSA_CALIBRATE_RESULTS], after[CLSA_CALIBRATE_RESULTS]; /* base units */
    double error_before, error_after; /* mean absolute error of the fitting rows, % */
    double error_held_out;            /* of the rows not fitted on, %; 0 when there are none */
    double error_cross_validated;     /* mean over folds of the rows left out, %; 0: not asked */
    double coverage_fitted;           /* part of the fitting rows inside their intervals */
    double coverage_held_out;
    size_t rows_fitted, rows_held_out;
    char *text; /* backing store */
};

/* Fits. `impl` ends with the fitted values in place. Release *out with clsa_calibrate_destroy.
 * Returns 0, CLSA_EUSAGE (no constants, no rows), CLSA_ENOTFOUND (a constant), CLSA_ENOMEM, or what
 * making a case returns. */
int clsa_calibrate(const struct clsa_calibrate_request *request, struct clsa_implementation *impl,
                   struct clsa_calibrate_result *out, struct clsa_err *err);
void clsa_calibrate_destroy(struct clsa_calibrate_result *result);

/* Minimises f over n variables from `start` (changed to the best point found) with steps of `step`
 * in each, until the simplex is within 1e-4 of its best or `most` evaluations. Returns the least f.
 * Deterministic. n at most CLSA_CALIBRATE_CONSTANTS. */
double clsa_simplex(double (*f)(void *user, const double *x), void *user, unsigned n, double *start,
                    double step, unsigned most);

#endif
