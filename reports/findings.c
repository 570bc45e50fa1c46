/* The answers in words. Each sentence is read off the rows it speaks of; nothing is rounded up. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/study.h"

static void say(struct clsa_study *study, const char *subject, const char *text)
{
    study->findings[study->n_findings++] = (struct clsa_finding){subject, text};
}

static const char *range_text(struct clsa_pool *pool, const char *what, const int64_t *list,
                              size_t n)
{
    if (n == 1)
        return clsa_pool_printf(pool, "%s %s", what, clsa_text_tokens(pool, list[0]));
    return clsa_pool_printf(pool, "%s %s to %s", what, clsa_text_tokens(pool, list[0]),
                            clsa_text_tokens(pool, list[n - 1]));
}

/* "1.27 times" or "1.00 to 10.9 times". */
static const char *times_text(struct clsa_pool *pool, double lo, double hi)
{
    char a[32], b[32];
    snprintf(a, sizeof a, "%.*f", lo < 9.995 ? 2 : 1, lo);
    snprintf(b, sizeof b, "%.*f", hi < 9.995 ? 2 : 1, hi);
    return strcmp(a, b) == 0 ? clsa_pool_printf(pool, "%s times", a)
                             : clsa_pool_printf(pool, "%s to %s times", a, b);
}

/* What all best rows of one setting say together. */
struct tally {
    size_t points, near_points, dense_wins;
    int64_t least, most, near;
    double dense_lo, dense_hi, one_lo, one_hi, gain;
    size_t top; /* row of best with the largest gain */
};

static void count_point(const struct clsa_study *study, size_t r, struct tally *t)
{
    const struct clsa_rows *best = &study->best;
    const int64_t group = clsa_rows_i64(best, r, "best_group");
    const int64_t near = clsa_rows_i64(best, r, "near_group");
    const double dense = clsa_rows_f64(best, r, "speedup_vs_dense");
    const double one = clsa_rows_f64(best, r, "speedup_vs_group1");
    t->points++;
    t->least = t->points == 1 || group < t->least ? group : t->least;
    t->most = group > t->most ? group : t->most;
    t->near = near > t->near ? near : t->near;
    t->dense_wins += dense < 1;
    t->dense_lo = fmin(t->dense_lo, dense);
    t->dense_hi = fmax(t->dense_hi, dense);
    t->one_lo = fmin(t->one_lo, one);
    t->one_hi = fmax(t->one_hi, one);
    const double gain = isfinite(dense) ? dense : one;
    if (gain > t->gain) {
        t->gain = gain;
        t->top = r;
    }
}

static void say_setting(struct clsa_study *study, const struct clsa_setting *s)
{
    struct clsa_pool *pool = &study->pool;
    struct tally t = {.dense_lo = INFINITY, .dense_hi = 0, .one_lo = INFINITY, .one_hi = 0,
                      .top = CLSA_NO_ROW};
    for (size_t b = 0; b < s->n_batches; b++)
        for (size_t c = 0; c < s->n_contexts; c++) {
            const size_t r = clsa_study_best(study, s, s->batches[b], s->contexts[c]);
            if (r != CLSA_NO_ROW)
                count_point(study, r, &t);
        }
    if (t.points == 0 || s->n_groups < 2 || t.top == CLSA_NO_ROW)
        return;
    const char *where = clsa_pool_printf(pool, "%s, %s",
                                         range_text(pool, "batch", s->batches, s->n_batches),
                                         range_text(pool, "context", s->contexts, s->n_contexts));
    const char *text =
        t.least != t.most
            ? clsa_pool_printf(pool, "The fastest group is between %lld and %lld layers, "
                                     "depending on "
                               "the point (%s).", (long long)t.least, (long long)t.most, where)
            : clsa_pool_printf(pool, "A group of %lld is fastest%s (%s).", (long long)t.most,
                               t.points > 1 ? " at every point asked" : "", where);
    if (t.dense_hi > 0)
        text = clsa_pool_printf(pool, "%s A step is then %s as fast as with dense attention", text,
                                times_text(pool, t.dense_lo, t.dense_hi));
    if (t.one_hi > 0)
        text = clsa_pool_printf(pool, t.dense_hi > 0 ? "%s and %s as fast as with an index a layer"
                                                     : "%s A step is then %s as fast as with an "
                                                       "index a layer",
                                text, times_text(pool, t.one_lo, t.one_hi));
    if (t.dense_hi > 0 || t.one_hi > 0)
        text = clsa_pool_printf(pool, "%s.", text);
    if (t.points > 1 && t.dense_hi > 1) {
        const int64_t batch = clsa_rows_i64(&study->best, t.top, "batch");
        const int64_t context = clsa_rows_i64(&study->best, t.top, "context");
        const size_t dense = clsa_study_step(study, s, batch, context, 0);
        if (dense != CLSA_NO_ROW)
            text = clsa_pool_printf(
                pool, "%s The most is gained at batch %lld, context %s: %s instead of %s.", text,
                (long long)batch, clsa_text_tokens(pool, context),
                clsa_text_time(pool, clsa_rows_f64(&study->best, t.top, "step_us")),
                clsa_text_time(pool, clsa_rows_f64(&study->steps, dense, "step_us")));
    }
    if (t.near < t.least)
        text = clsa_pool_printf(pool, "%s A group of %lld is within 5 %% of the fastest "
                                "everywhere.", text, (long long)t.near);
    if (t.dense_wins > 0)
        text = clsa_pool_printf(pool, "%s Dense attention is faster than every group at %zu of %zu "
                                "points.", text, t.dense_wins, t.points);
    say(study, s->title, text);
}

size_t clsa_study_quality_end(const struct clsa_study *study, size_t from)
{
    const struct clsa_rows *q = &study->quality;
    size_t to = from + 1;
    while (to < q->n && clsa_rows_i64(q, to, "tokens") == clsa_rows_i64(q, from, "tokens") &&
           strcmp(clsa_rows_text(q, to, "model"), clsa_rows_text(q, from, "model")) == 0 &&
           strcmp(clsa_rows_text(q, to, "kernels"), clsa_rows_text(q, from, "kernels")) == 0)
        to++;
    return to;
}

/* The widest group at the largest and at the smallest top-k, beside dense. */
static void say_quality(struct clsa_study *study, size_t from, size_t to)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *q = &study->quality;
    size_t dense = CLSA_NO_ROW, most = CLSA_NO_ROW, least = CLSA_NO_ROW;
    for (size_t r = from; r < to; r++) {
        if (clsa_rows_i64(q, r, "hop2_asked") <= 0)
            continue;
        if (clsa_rows_i64(q, r, "group") == 0)
            dense = r;
        else if (least == CLSA_NO_ROW ||
                 clsa_rows_i64(q, r, "top_k") == clsa_rows_i64(q, least, "top_k"))
            least = r; /* rows ascend in top-k, then group: the last of the first top-k */
        if (clsa_rows_i64(q, r, "group") > 0)
            most = r;
    }
    if (most == CLSA_NO_ROW)
        return;
    const char *text = clsa_pool_printf(
        pool, "One index for %lld layers answers %lld of %lld two-hop questions at top-k %lld",
        (long long)clsa_rows_i64(q, most, "group"),
        (long long)clsa_rows_i64(q, most, "hop2_right"),
        (long long)clsa_rows_i64(q, most, "hop2_asked"),
        (long long)clsa_rows_i64(q, most, "top_k"));
    if (clsa_rows_i64(q, least, "top_k") != clsa_rows_i64(q, most, "top_k") &&
        clsa_rows_i64(q, least, "group") == clsa_rows_i64(q, most, "group"))
        text = clsa_pool_printf(pool, "%s and %lld at top-k %lld", text,
                                (long long)clsa_rows_i64(q, least, "hop2_right"),
                                (long long)clsa_rows_i64(q, least, "top_k"));
    if (dense != CLSA_NO_ROW)
        text = clsa_pool_printf(pool, "%s; dense attention answers %lld", text,
                                (long long)clsa_rows_i64(q, dense, "hop2_right"));
    say(study,
        clsa_pool_printf(pool, "%s on texts of %lld tokens", clsa_rows_text(q, from, "model"),
                         (long long)clsa_rows_i64(q, from, "tokens")),
        clsa_pool_printf(pool, "%s.", text));
}

static void say_errors(struct clsa_study *study)
{
    struct clsa_pool *pool = &study->pool;
    const struct clsa_rows *e = &study->errors;
    for (size_t r = 0; r < e->n; r++)
        if (strcmp(clsa_rows_text(e, r, "op"), "(step)") == 0)
            say(study,
                clsa_pool_printf(pool, "Measured on %s", clsa_rows_text(e, r, "machine")),
                clsa_pool_printf(pool, "Predicted steps are off by %.1f %% on average and %.1f %% "
                                       "at "
                                 "most (%lld point%s).", clsa_rows_f64(e, r, "mean_error_percent"),
                                 clsa_rows_f64(e, r, "max_error_percent"),
                                 (long long)clsa_rows_i64(e, r, "points"),
                                 clsa_rows_i64(e, r, "points") == 1 ? "" : "s"));
}

int clsa_study_find(struct clsa_study *study, struct clsa_err *err)
{
    const size_t most = study->n_settings + study->quality.n + study->errors.n + 1;
    study->findings = clsa_pool_alloc(&study->pool, most, sizeof *study->findings);
    if (study->findings) {
        for (size_t i = 0; i < study->n_settings; i++)
            say_setting(study, &study->settings[i]);
        for (size_t from = 0, to; from < study->quality.n; from = to) {
            to = clsa_study_quality_end(study, from);
            say_quality(study, from, to);
        }
        say_errors(study);
    }
    return study->pool.failed ? clsa_fail(err, CLSA_ENOMEM, "out of memory") : CLSA_OK;
}
