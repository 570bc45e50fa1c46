/* Holds the engine against golden values computed in float64, with a bound that follows from the
 * arithmetic.
 *
 * Golden file (safetensors): `tokens` [B,S] int32; `dense.logits` and `g{g}.k{k}.logits` [B,L,V],
 * the last L positions; `g{g}.k{k}.selected{j}` [B,Q,k] int32, what group j selected for the last Q
 * queries, ascending; `g{g}.score0` [B,S], group 0's scores for the last query; `shared_hidden`
 * [B,P,D] and `shared_k`, `shared_v` [B,H,P,d], the last P positions. Any other tensor is an error:
 * nothing in the file goes unchecked.
 *
 * The bound. u = 2^-24. The engine's value is e = f(x) + sum over ops of J_op delta_op, to first
 * order, where delta_op are the rounding errors that op makes and J_op carries them to the value.
 *
 * 1. Local errors. A rounding of v errs by at most u|v|, with variance at most (u v)^2 / 3.
 *    Roundings are taken as independent with mean zero (Higham and Mary, "A new approach to
 *    probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), 2019), which gives each
 *    op's output a standard deviation sigma_op, in any order of summation:
 *      product     s = sum of k terms t_j = x_j w_j. If terms come in an order that knows nothing
 *                  of their values, the partial sum of j of them has mean square at most
 *                  (j/k)^2 s^2 + (j/k) |t|^2, so all k additions and products together have
 *                  S(s, |t|^2, k) = u^2/3 (k (s^2/3 + |t|^2/2) + |t|^2)
 *      norm        a factor common to the row, half of what the sum of n squares errs plus mean,
 *                  root and reciprocal: u^2/3 (n/12 + 3); then two products a value: 2 u^2/3 y^2
 *      rope        four products and sums of rounded cosines: u^2 (a^2 + b^2), a and b the pair
 *      silu        exponential of 4 u (kernels.h), division, two products: (16 + 4) u^2/3 y^2
 *      add         u^2/3 y^2
 *      attention   score s_i errs by S, u s_i in scaling, u (s_i - max) in subtracting the
 *                  largest, and its exponential by 4 u more: variance v_i. The output errs by
 *                  sum p_i^2 (v_ij - out_j)^2 v_i for its weights p_i, S(out, sum p_i^2 v_ij^2, n)
 *                  for summing values and out^2 (S(1, sum p_i^2, n) + 2 u^2/3) for summing
 *                  weights, joining and division
 *      index score as a product
 *    The rung avx512-bf16 also rounds what products read, by 2^-9: 2^-18/3 |t|^2 more.
 * 2. Propagation. sum J_op delta_op has variance sum J_op^2 sigma_op^2. It is measured, not bounded
 *    by norms: the engine runs again with +-sigma_op 2^8 added to every output of every op, signs
 *    drawn at random, selections held; the differences over 2^8, squared and averaged over several
 *    such runs, are an unbiased estimate (Hutchinson's). 2^8 keeps first order (relative changes
 *    stay below 2^-12) and puts the engine's own roundings below the notice of the estimate
 *    (avx512-bf16: a factor of 1, its errors are that large by themselves).
 * 3. Bound. |error| <= lambda sigma + 2 u |golden|, the second for rounding the golden value and
 *    ours to float32. sigma is the largest of its row (a row of logits, a head of K, the scores of
 *    a query), because few runs leave single estimates uncertain. A sum of N independent bounded
 *    roundings exceeds lambda sigma with probability at most 2 exp(-lambda^2/2) (Hoeffding);
 *    lambda = sqrt(2 ln(2 N / p)) for all N values of the file together and p = 10^-6.
 *
 * Selections are compared as sets. Positions a (ours) and b (golden) may be exchanged only where
 * our scores of them differ by no more than their two bounds. Where the k-th and (k+1)-th scores of
 * a query are that close, golden may have selected otherwise, and all that follows may differ:
 * logits and later groups' selections of such a query that do not hold are counted as skipped
 * instead. */
#ifndef CLSA_ENGINE_VERIFY_H
#define CLSA_ENGINE_VERIFY_H

#include "sim/engine/engine.h"

struct clsa_verify_row {
    char name[64];      /* tensor of the golden file */
    uint64_t values;    /* compared */
    uint64_t skipped;   /* differ, behind a selection that the arithmetic cannot decide */
    double max_error;   /* largest |ours - golden|; positions exchanged for selections */
    double bound;       /* where error / bound is largest; score gap allowed for selections */
    double ratio;       /* that largest ratio: holds while <= 1 */
    bool holds;
};

struct clsa_verify_report {
    struct clsa_verify_row *rows; /* in the order of the file's names */
    size_t n_rows;
    double lambda;
    bool holds; /* all rows do */
};

struct clsa_verify_options {
    const struct clsa_kernels *kernels; /* NULL: best */
    bool blas;                          /* as in clsa_engine_options */
    uint32_t probes;                    /* runs of step 2; 0: 8 */
    uint64_t seed;                      /* of their signs */
};

/* Fills *report; release with clsa_verify_report_destroy. Returns 0 whether or not the values hold
 * (report->holds says), CLSA_EFORMAT or CLSA_ENOTFOUND for a golden file that does not fit the
 * model or the list above, or what the engine returns. */
int clsa_verify(struct clsa_model *model, const char *golden,
                const struct clsa_verify_options *options, struct clsa_verify_report *report,
                struct clsa_err *err);
void clsa_verify_report_destroy(struct clsa_verify_report *report);

#endif
