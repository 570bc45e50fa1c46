#include "kernels/check_plugin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check_run.h"
#include "kernels/rungs.h"

struct clsa_plugin_check {
    struct clsa_plugin_host *host;
    size_t kernel;
    struct clsa_plugin_offer offer;
    struct check_run r;
    struct clsa_check_result result;
    struct clsa_kernels table; /* of calls that go to the plugin, for the shapes of check.h */
    size_t skipped, not_run;
    double recall, recall_least;
    size_t recall_rows;
};

static struct clsa_plugin_check *current; /* whose table is being called */

/* After a call: whether its outputs are the plugin's, to be judged. A case that was skipped, or comes
 * after a fault, is answered by the reference. */
static int answered(struct clsa_plugin_check *c, int rc)
{
    if (rc == 0)
        return 1;
    if (rc == CLSA_PLUGIN_UNSUPPORTED)
        c->skipped++;
    else
        check_fail(&c->r, "%s", clsa_plugin_host_fault(c->host));
    return 0;
}

/* A case that no call is made for: after a fault, or of no size, which plugins are never asked. */
static int idle(struct clsa_plugin_check *c, int no_size)
{
    const int yes = no_size || clsa_plugin_host_fault(c->host)[0] != '\0';

    c->not_run += yes;
    return yes;
}

/* ---- the table for the shapes of check.h ---- */

static void index_score(float *out, const float *q, const struct clsa_rows *keys, size_t first,
                        size_t count, size_t d, float scale)
{
    struct clsa_plugin_check *c = current;
    const struct clsa_par_index_job job = {out, q, NULL, *keys, first, count, 1, d, scale};

    if (idle(c, count == 0 || d == 0) ||
        !answered(c, clsa_plugin_index_score(c->host, c->kernel, &job, 1)))
        clsa_kernels_ref.index_score(out, q, keys, first, count, d, scale);
}

static void index_score_heads(float *out, const float *q, const float *w,
                              const struct clsa_rows *keys, size_t first, size_t count,
                              size_t heads, size_t d, float scale)
{
    struct clsa_plugin_check *c = current;
    const struct clsa_par_index_job job = {out, q, w, *keys, first, count, heads, d, scale};

    if (idle(c, count == 0 || d == 0 || heads == 0) ||
        !answered(c, clsa_plugin_index_score(c->host, c->kernel, &job, 1)))
        clsa_kernels_ref.index_score_heads(out, q, w, keys, first, count, heads, d, scale);
}

/* NaN above everything, as in kernels.h. */
static int ranks_below(float a, float b)
{
    return isnan(b) ? !isnan(a) : a < b;
}

/* The share of `taken` that is as good as the worst of the exact selection. */
static void count_recall(struct clsa_plugin_check *c, const float *score, const int32_t *taken,
                         const int32_t *exact, size_t n)
{
    size_t i, right = 0;
    float least;

    if (n == 0)
        return;
    least = score[exact[0]];
    for (i = 1; i < n; i++)
        if (ranks_below(score[exact[i]], least))
            least = score[exact[i]];
    for (i = 0; i < n; i++)
        right += !ranks_below(score[taken[i]], least);
    c->recall += (double)right / (double)n;
    c->recall_rows++;
    if ((double)right / (double)n < c->recall_least)
        c->recall_least = (double)right / (double)n;
}

static size_t topk(int32_t *out, const float *score, size_t n, size_t k, void *scratch)
{
    struct clsa_plugin_check *c = current;
    struct clsa_par_topk_job job = {.out = out, .score = score, .n = n, .k = k};
    const size_t want = k < n ? k : n;
    int32_t *taken;

    if (idle(c, want == 0) ||
        !answered(c, clsa_plugin_topk(c->host, c->kernel, &job, 1)))
        return clsa_kernels_ref.topk(out, score, n, k, scratch);
    if ((c->offer.flags & (CLSA_PLUGIN_APPROXIMATE | CLSA_PLUGIN_ANY_TIES)) == 0)
        return job.count;
    /* Judged here; the harness, which wants the exact set, is given that. */
    taken = malloc(want * sizeof *taken);
    if (taken == NULL) {
        c->r.out_of_memory = 1;
        return job.count;
    }
    memcpy(taken, out, want * sizeof *taken);
    clsa_kernels_ref.topk(out, score, n, k, scratch);
    if (c->offer.flags & CLSA_PLUGIN_APPROXIMATE)
        count_recall(c, score, taken, out, want);
    else
        check_topk_judge(&c->r, score, n, k, taken, job.count, 1);
    free(taken);
    return want;
}

static void attn_sparse_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo,
                                const float *q, ptrdiff_t ldq, size_t nq, const int32_t *index,
                                ptrdiff_t ld_index, const int32_t *count)
{
    struct clsa_plugin_check *c = current;
    struct clsa_par_attn_job *jobs = malloc((nq + 1) * sizeof *jobs);
    size_t i;

    if (jobs == NULL) {
        c->r.out_of_memory = 1;
        return;
    }
    for (i = 0; i < nq; i++)
        jobs[i] = (struct clsa_par_attn_job){.attn = a,
                                             .q = q + (ptrdiff_t)i * ldq,
                                             .out = out + (ptrdiff_t)i * ldo,
                                             .index = index + (ptrdiff_t)i * ld_index,
                                             .count = (size_t)count[i]};
    if (idle(c, nq == 0) ||
        !answered(c, clsa_plugin_attn_sparse(c->host, c->kernel, jobs, nq)))
        clsa_kernels_ref.attn_sparse_prefill(a, out, ldo, q, ldq, nq, index, ld_index, count);
    free(jobs);
}

/* ---- jobs ---- */

static float *poisoned(struct clsa_plugin_check *c, size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);

    if (x == NULL)
        c->r.out_of_memory = 1;
    else
        memset(x, 0xff, n * sizeof *x);
    return x;
}

void clsa_plugin_check_index(struct clsa_plugin_check *c, const char *what,
                             const struct clsa_par_index_job *jobs, size_t n)
{
    struct clsa_par_index_job *mine = malloc((n + 1) * sizeof *mine);
    size_t i, values = 0;
    float *out = NULL, *at;

    for (i = 0; i < n; i++)
        values += jobs[i].count;
    if (clsa_plugin_host_fault(c->host)[0] == '\0' && mine != NULL && n > 0)
        out = poisoned(c, values);
    if (out != NULL) {
        check_begin(&c->r, "%s queries=%zu keys=%zu heads=%zu d=%zu %s", what, n, jobs[n - 1].count,
                    jobs->heads, jobs->d, clsa_kernel_dtype_name(jobs->keys.dtype));
        for (i = 0, at = out; i < n; at += jobs[i++].count) {
            mine[i] = jobs[i];
            mine[i].out = at;
        }
        if (answered(c, clsa_plugin_index_score(c->host, c->kernel, mine, n)))
            for (i = 0; i < n; i++) {
                const struct clsa_par_index_job *j = &mine[i];

                if (j->w != NULL)
                    check_index_heads_judge(&c->r, j->out, j->q, j->w, &j->keys, j->first, j->count,
                                            j->heads, j->d, j->scale, i);
                else
                    check_index_judge(&c->r, j->out, j->q, &j->keys, j->first, j->count, j->d,
                                      j->scale, i);
            }
        check_end(&c->r);
    }
    free(out);
    free(mine);
}

void clsa_plugin_check_topk(struct clsa_plugin_check *c, const char *what,
                            const struct clsa_par_topk_job *jobs, size_t n)
{
    struct clsa_par_topk_job *mine = malloc((n + 1) * sizeof *mine);
    size_t i, most = 0, room = 1;
    int32_t *out = NULL, *exact;
    void *scratch;

    for (i = 0; i < n; i++) {
        most = jobs[i].k > most ? jobs[i].k : most;
        room = jobs[i].n > room ? jobs[i].n : room;
    }
    scratch = aligned_alloc(64, (clsa_topk_scratch_bytes(room, most) + 127) / 64 * 64);
    out = malloc(((n + 1) * most + 1) * sizeof *out);
    if (mine == NULL || out == NULL || scratch == NULL)
        c->r.out_of_memory = 1;
    else if (clsa_plugin_host_fault(c->host)[0] == '\0' && n > 0) {
        check_begin(&c->r, "%s rows=%zu n=%zu k=%zu", what, n, jobs[n - 1].n, jobs->k);
        for (i = 0; i < n; i++) {
            mine[i] = jobs[i];
            mine[i].out = out + i * most;
        }
        exact = out + n * most;
        if (answered(c, clsa_plugin_topk(c->host, c->kernel, mine, n)))
            for (i = 0; i < n; i++) {
                const struct clsa_par_topk_job *j = &mine[i];

                if ((c->offer.flags & CLSA_PLUGIN_APPROXIMATE) == 0) {
                    check_topk_judge(&c->r, j->score, j->n, j->k, j->out, j->count,
                                     (c->offer.flags & CLSA_PLUGIN_ANY_TIES) != 0);
                    continue;
                }
                c->result.values += j->count;
                count_recall(c, j->score, j->out, exact,
                             clsa_kernels_ref.topk(exact, j->score, j->n, j->k, scratch));
            }
        check_end(&c->r);
    }
    free(scratch);
    free(out);
    free(mine);
}

void clsa_plugin_check_attn(struct clsa_plugin_check *c, const char *what,
                            const struct clsa_par_attn_job *jobs, size_t n)
{
    struct clsa_par_attn_job *mine = malloc((n + 1) * sizeof *mine);
    float *out = NULL;
    size_t i, values;

    if (clsa_plugin_host_fault(c->host)[0] == '\0' && mine != NULL && n > 0) {
        values = jobs->attn->q_heads * jobs->attn->dv;
        out = poisoned(c, n * values);
    }
    if (out != NULL) {
        check_begin(&c->r, "%s queries=%zu heads=%zu/%zu d=%zu keys=%zu %s", what, n,
                    jobs->attn->q_heads, jobs->attn->kv_heads, jobs->attn->d, jobs[n - 1].count,
                    clsa_kernel_dtype_name(jobs->attn->k.dtype));
        for (i = 0; i < n; i++) {
            mine[i] = jobs[i];
            mine[i].out = out + i * values;
        }
        if (answered(c, clsa_plugin_attn_sparse(c->host, c->kernel, mine, n)))
            for (i = 0; i < n; i++)
                check_attn_judge(&c->r, mine[i].attn, mine[i].q, mine[i].out, mine[i].index, 0,
                                 mine[i].count, 1, i);
        check_end(&c->r);
    }
    free(out);
    free(mine);
}

/* ---- batches at random ---- */

static void index_batch(struct clsa_plugin_check *c, size_t queries, size_t keys, size_t heads,
                        size_t d, enum clsa_kernel_dtype dtype)
{
    struct check_run *r = &c->r;
    struct clsa_par_index_job jobs[16];
    struct clsa_rows rows = check_rows(r, dtype, keys + 3, 1, d, 1);
    ptrdiff_t ldq, ldw;
    float *q = check_input_floats(r, queries, heads * d, &ldq);
    float *w = check_input_floats(r, queries, heads, &ldw);
    const int many = c->offer.kind == CLSA_PLUGIN_INDEX_SCORE_HEADS;
    size_t i;

    if (!check_ready(r))
        return;
    /* a NaN key stays with its score */
    check_set(&rows, check_below(r, keys), 0, check_below(r, d), NAN);
    for (i = 0; i < queries; i++)
        jobs[i] = (struct clsa_par_index_job){.q = q + (ptrdiff_t)i * ldq,
                                              .w = many ? w + (ptrdiff_t)i * ldw : NULL,
                                              .keys = rows,
                                              .first = 2,
                                              .count = keys - check_below(r, keys),
                                              .heads = heads,
                                              .d = d,
                                              .scale = 0.125f};
    clsa_plugin_check_index(c, "batch", jobs, queries);
}

static void topk_batch(struct clsa_plugin_check *c, size_t rows, size_t n, size_t k)
{
    struct check_run *r = &c->r;
    struct clsa_par_topk_job jobs[16];
    ptrdiff_t ld;
    float *score = check_input_floats(r, rows, n, &ld);
    size_t i, j;

    if (!check_ready(r))
        return;
    for (i = 0; i < rows; i++) {
        float *row = score + (ptrdiff_t)i * ld;

        for (j = 0; j < n; j++) /* rows of few values among rows of many: ties at the threshold */
            row[j] = i % 3 == 1 ? (float)check_below(r, 4) : i % 3 == 2 ? row[j] + 2 : row[j];
        jobs[i] = (struct clsa_par_topk_job){
            .score = row, .n = n - (i % 2 ? check_below(r, n) : 0), .k = k};
    }
    clsa_plugin_check_topk(c, "batch", jobs, rows);
}

static void batches(struct clsa_plugin_check *c, int quick)
{
    static const enum clsa_kernel_dtype dtypes[] = {CLSA_KERNEL_F32, CLSA_KERNEL_BF16,
                                                    CLSA_KERNEL_F16};
    const int heads = c->offer.kind == CLSA_PLUGIN_INDEX_SCORE_HEADS;
    size_t i;

    for (i = 0; i < (quick ? 9u : 24u) && check_ready(&c->r) &&
                clsa_plugin_host_fault(c->host)[0] == '\0';
         i++) {
        const size_t n = 1 + check_below(&c->r, i % 4 == 3 ? 9000 : 400);

        if (c->offer.kind == CLSA_PLUGIN_TOPK)
            topk_batch(c, 1 + check_below(&c->r, 16), n, 1 + check_below(&c->r, n + 10));
        else
            index_batch(c, 1 + check_below(&c->r, 16), n, heads ? 1 + check_below(&c->r, 9) : 1,
                        i % 2 ? 128 : 1 + check_below(&c->r, 130), dtypes[i % 3]);
        /* clsa_plugin_check_* ended the case, and with it the inputs */
    }
}

/* ---- one check ---- */

int clsa_plugin_check_begin(struct clsa_plugin_host *host, size_t kernel, uint64_t seed,
                            struct clsa_plugin_check **out)
{
    struct clsa_plugin_check *c = calloc(1, sizeof *c);

    if (c == NULL)
        return -1;
    c->host = host;
    c->kernel = kernel;
    c->offer = *clsa_plugin_host_offer(host, kernel);
    c->table = clsa_kernels_ref;
    c->table.name = clsa_plugin_host_name(host);
    if (c->offer.flags & CLSA_PLUGIN_BF16_QUERIES) /* its bound, see check_dot_bound */
        c->table.rung = CLSA_RUNG_AVX512_BF16;
    c->table.index_score = index_score;
    c->table.index_score_heads = index_score_heads;
    c->table.topk = topk;
    c->table.attn_sparse_prefill = attn_sparse_prefill;
    c->result.kernel = clsa_plugin_host_offer(host, kernel)->name;
    c->result.rung = c->table.name;
    c->result.seed = seed;
    c->r.k = &c->table;
    c->r.result = &c->result;
    c->r.rng = seed;
    c->recall_least = 1;
    if (clsa_plugin_host_fault(host)[0] != '\0' && clsa_plugin_host_restart(host) != 0) {
        check_begin(&c->r, "start");
        check_fail(&c->r, "%s", clsa_plugin_host_fault(host));
        check_end(&c->r);
    }
    clsa_plugin_host_vary(host, 1);
    *out = c;
    return 0;
}

void clsa_plugin_check_random(struct clsa_plugin_check *c, int quick)
{
    c->r.quick = quick;
    current = c;
    switch (c->offer.kind) {
    case CLSA_PLUGIN_INDEX_SCORE:
        check_index_score(&c->r);
        batches(c, quick);
        break;
    case CLSA_PLUGIN_INDEX_SCORE_HEADS:
        check_index_score_heads(&c->r);
        batches(c, quick);
        break;
    case CLSA_PLUGIN_TOPK:
        check_topk(&c->r);
        batches(c, quick);
        break;
    default:
        check_attn_sparse_prefill(&c->r);
        break;
    }
    current = NULL;
}

void clsa_plugin_check_end(struct clsa_plugin_check *c, struct clsa_plugin_verdict *verdict)
{
    const size_t uncounted = c->skipped + c->not_run;

    c->result.cases -= uncounted < c->result.cases ? uncounted : c->result.cases;
    if (c->r.out_of_memory) {
        check_begin(&c->r, "check");
        check_fail(&c->r, "out of memory");
        check_end(&c->r);
    } else if (c->skipped > 0 && c->result.cases == 0 && c->result.failures == 0) {
        check_begin(&c->r, "all %zu cases", c->skipped);
        check_fail(&c->r, "said to be unsupported: nothing was checked");
        check_end(&c->r);
    }
    clsa_plugin_host_vary(c->host, 0);
    verdict->result = c->result;
    verdict->skipped = c->skipped;
    verdict->recall = c->recall_rows > 0 ? c->recall / (double)c->recall_rows : NAN;
    verdict->recall_least = c->recall_rows > 0 ? c->recall_least : NAN;
    free(c);
}
