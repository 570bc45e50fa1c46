#include "sim/engine/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/engine/noise.h"
#include "sim/model/safetensors.h"

#define PROBES 8u
/* Of the noise, over the errors it stands for: verify.h, step 2. */
#define NOISE_SCALE 256.0
#define FAILURE_PROBABILITY 1e-6
#define SETTINGS_MAX 64u

/* One policy of the file, and what running it gave. var: squared differences of the probes. */
struct setting {
    uint32_t group, top_k, sets;
    float *logits, *logits_var; /* [B*L, V] */
    float *scores, *scores_var; /* [sets, B*L, S] */
    int32_t *selected;          /* [sets, B*L, top_k] */
    uint32_t *counts;           /* [sets, B*L] */
    double *gap;                /* [sets, B*L]: worst score kept minus best score dropped */
    double *score_bound;        /* [sets, B*L] */
};

struct verify {
    struct clsa_model *model;
    const struct clsa_geometry *g;
    struct clsa_safetensors file;
    struct clsa_err *err;
    uint32_t batch, rows; /* B, and L: queries a sequence, the last positions */
    uint64_t tokens;      /* S */
    int32_t *ids;
    struct clsa_query *queries;
    struct setting settings[SETTINGS_MAX];
    uint32_t n_settings;
    float *hidden, *hidden_var; /* [B, S, D] */
    float *kv, *kv_var;         /* [B, S, 2, H, d] */

    struct clsa_engine *engine;
    struct setting *now;   /* being run */
    bool probing;
    uint64_t seed;         /* of the probe in progress */
    enum clsa_rung rung;   /* that is being verified */
    double scale;
    float *logits;         /* of the run in progress */

    uint32_t probes;
    double lambda;
};

/* ---- the file ---- */

static bool parse_name(const char *name, const char *tail, uint32_t *group, uint32_t *top_k)
{
    int end = 0;
    if (sscanf(name, "g%" SCNu32 ".k%" SCNu32 "%n", group, top_k, &end) != 2 || !end)
        return false;
    return strncmp(name + end, tail, strlen(tail)) == 0;
}

static struct setting *find_setting(struct verify *v, uint32_t group, uint32_t top_k)
{
    for (uint32_t i = 0; i < v->n_settings; i++)
        if (v->settings[i].group == group && (!top_k || v->settings[i].top_k == top_k))
            return &v->settings[i];
    return NULL;
}

static int wrong(struct verify *v, const struct clsa_safetensor *t, const char *what)
{
    return clsa_fail(v->err, CLSA_EFORMAT, "%s: tensor '%s' %s", v->file.path, t->name, what);
}

static int need(struct verify *v, const struct clsa_safetensor *t, unsigned dtype, unsigned rank,
                const uint64_t *shape)
{
    const struct clsa_safetensor *same;
    return clsa_safetensors_need(&v->file, t->name, dtype, rank, shape, &same, v->err);
}

static int add_setting(struct verify *v, const struct clsa_safetensor *t, uint32_t group,
                       uint32_t top_k)
{
    if (find_setting(v, group, top_k))
        return CLSA_OK;
    if (v->n_settings == SETTINGS_MAX)
        return wrong(v, t, "is one policy too many");
    if (group && (group > v->g->cross_layers || v->g->cross_layers % group))
        return wrong(v, t, "has a group that does not divide the cross layers");
    if (group && (!top_k || top_k > v->tokens))
        return wrong(v, t, "has a top-k that the text is too short for");
    v->settings[v->n_settings++] = (struct setting){
        .group = group, .top_k = top_k, .sets = group ? v->g->cross_layers / group : 0};
    return CLSA_OK;
}

/* Checks every tensor's name and shape, and learns the policies. */
static int read_file(struct verify *v)
{
    const struct clsa_geometry *g = v->g;
    const struct clsa_safetensor *tokens = clsa_safetensors_find(&v->file, "tokens");
    int status;

    if (!tokens)
        return clsa_fail(v->err, CLSA_ENOTFOUND, "%s: tensor 'tokens' is missing", v->file.path);
    status = need(v, tokens, CLSA_I32, 2, (const uint64_t[]){0, 0});
    if (status)
        return status;
    if (!tokens->elements || tokens->elements > INT32_MAX)
        return wrong(v, tokens, "holds no usable number of tokens");
    v->batch = (uint32_t)tokens->shape[0];
    v->tokens = tokens->shape[1];
    v->rows = 1;
    for (size_t i = 0; status == CLSA_OK && i < v->file.count; i++) {
        const struct clsa_safetensor *t = &v->file.tensors[i];
        uint32_t group = 0, top_k = 0, rows = 0;
        if (t == tokens)
            continue;
        if (strcmp(t->name, "dense.logits") == 0 ||
            (parse_name(t->name, ".logits", &group, &top_k) && group)) {
            status = need(v, t, CLSA_F32, 3, (const uint64_t[]){v->batch, 0, g->vocab});
            rows = t->rank == 3 ? (uint32_t)t->shape[1] : 0;
            if (status == CLSA_OK)
                status = add_setting(v, t, group, top_k);
        } else if (parse_name(t->name, ".selected", &group, &top_k) && group) {
            status = need(v, t, CLSA_I32, 3, (const uint64_t[]){v->batch, 0, top_k});
            rows = t->rank == 3 ? (uint32_t)t->shape[1] : 0;
            if (status == CLSA_OK)
                status = add_setting(v, t, group, top_k);
        } else if (sscanf(t->name, "g%" SCNu32 ".score%" SCNu32, &group, &top_k) == 2 && !top_k) {
            status = need(v, t, CLSA_F32, 2, (const uint64_t[]){v->batch, v->tokens});
        } else if (strcmp(t->name, "shared_hidden") == 0) {
            status = need(v, t, CLSA_F32, 3, (const uint64_t[]){v->batch, 0, g->hidden});
            rows = t->rank == 3 && t->shape[1] > v->tokens ? UINT32_MAX : 0;
        } else if (strcmp(t->name, "shared_k") == 0 || strcmp(t->name, "shared_v") == 0) {
            status = need(v, t, CLSA_F32, 4,
                          (const uint64_t[]){v->batch, g->kv_heads, 0, g->head_dim});
            rows = t->rank == 4 && t->shape[2] > v->tokens ? UINT32_MAX : 0;
        } else {
            return wrong(v, t, "is nothing that can be verified");
        }
        if (status == CLSA_OK && (!t->elements || rows > v->tokens))
            return wrong(v, t, "has no rows, or more than the text");
        v->rows = rows > v->rows ? rows : v->rows;
    }
    if (status == CLSA_OK && !v->n_settings)
        status = add_setting(v, tokens, 0, 0);
    return status;
}

static float golden_f32(const struct clsa_safetensor *t, uint64_t i)
{
    float value;
    memcpy(&value, t->data + i * sizeof value, sizeof value);
    return value;
}

static int32_t golden_i32(const struct clsa_safetensor *t, uint64_t i)
{
    int32_t value;
    memcpy(&value, t->data + i * sizeof value, sizeof value);
    return value;
}

/* ---- running ---- */

/* Keeps values of the first run, or adds up the squares by which a probe differs from them. */
static void keep(const struct verify *v, float *kept, float *var, const float *values, uint64_t n)
{
    if (!v->probing) {
        memcpy(kept, values, n * sizeof *kept);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        const float d = (float)(((double)values[i] - kept[i]) / v->scale);
        var[i] += d * d;
    }
}

static float *operand(const struct clsa_exec *x, const struct clsa_op *op, uint32_t i)
{
    const struct clsa_operand *o = &op->operands[i];
    return (float *)(void *)((char *)x->tensors[o->tensor] + o->offset);
}

static void keep_scores(struct verify *v, const struct clsa_exec *x, const struct clsa_op *op,
                        uint32_t set)
{
    const struct clsa_operand *o = &op->operands[op->n_operands - 1];
    const float *scores = operand(x, op, op->n_operands - 1);
    const uint64_t ld = o->row_stride / sizeof(float);

    for (uint64_t r = 0; r < op->m; r++) {
        const uint64_t to = (set * op->m + r) * v->tokens;
        keep(v, v->now->scores + to, v->now->scores_var + to, scores + r * ld,
             x->step->queries[r].keys);
    }
}

static void keep_selection(struct verify *v, const struct clsa_exec *x, const struct clsa_op *op)
{
    struct setting *s = v->now;
    const uint64_t ld = op->operands[0].row_stride / sizeof(float);
    int32_t *chosen = (int32_t *)(void *)operand(x, op, 1);
    const float *scores = operand(x, op, 0);

    for (uint64_t r = 0; r < op->m; r++) {
        const uint64_t at = (uint64_t)op->set * op->m + r, keys = x->step->queries[r].keys;
        int32_t *row = chosen + r * s->top_k, *kept = s->selected + at * s->top_k;
        double worst = INFINITY, best = -INFINITY;
        uint32_t next = 0;
        if (v->probing) {
            memcpy(row, kept, s->counts[at] * sizeof *row);
            continue;
        }
        s->counts[at] = clsa_engine_selected_count(v->engine, (uint32_t)r);
        memcpy(kept, row, s->counts[at] * sizeof *row);
        for (uint64_t k = 0; k < keys; k++) {
            const double score = scores[r * ld + k];
            if (next < s->counts[at] && (uint64_t)row[next] == k) {
                worst = score < worst ? score : worst;
                next++;
            } else {
                best = score > best ? score : best;
            }
        }
        s->gap[at] = worst - best;
    }
}

static int op_done(void *user, const struct clsa_step *step, size_t i, uint64_t wall_ns)
{
    struct verify *v = user;
    const struct clsa_exec *x = v->engine->running;
    const struct clsa_op *op = &step->ops[i];

    (void)wall_ns;
    if (v->probing && clsa_noise_add(x, i, v->rung, v->scale, v->seed))
        return clsa_fail(v->err, CLSA_ENOMEM, "%s: out of memory", v->g->name);
    if (op->kind == CLSA_OP_GEMM && op->role == CLSA_ROLE_KV)
        keep(v, v->hidden, v->hidden_var, operand(x, op, 0), op->m * v->g->hidden);
    else if (op->kind == CLSA_OP_KV_APPEND && op->role == CLSA_ROLE_KV)
        keep(v, v->kv, v->kv_var, operand(x, op, 0), op->m * op->n);
    else if (op->kind == CLSA_OP_INDEX_SCORE)
        keep_scores(v, x, op, (uint32_t)step->ops[i + 1].set);
    else if (op->kind == CLSA_OP_TOPK)
        keep_selection(v, x, op);
    return CLSA_OK;
}

/* All policies: texts pass the self-decoder once, queries each policy's cross-decoder. */
static int run_all(struct verify *v)
{
    const uint32_t n = v->batch * v->rows;
    int status = CLSA_OK;

    clsa_engine_reset(v->engine);
    for (uint32_t i = 0; status == CLSA_OK && i < v->n_settings; i++) {
        struct setting *s = v->now = &v->settings[i];
        if (i == 0) {
            status = clsa_engine_set_policy(v->engine, s->group, s->top_k, v->err);
            if (status == CLSA_OK)
                status = clsa_engine_prefill(v->engine, 0, v->batch, v->ids, v->tokens, v->queries,
                                             n, v->logits, v->err);
        } else {
            status = clsa_engine_requery(v->engine, s->group, s->top_k, v->queries, n, v->logits,
                                         v->err);
        }
        if (status == CLSA_OK)
            keep(v, s->logits, s->logits_var, v->logits, (uint64_t)n * v->g->vocab);
    }
    return status;
}

static int allocate(struct verify *v)
{
    const struct clsa_safetensor *tokens = clsa_safetensors_find(&v->file, "tokens");
    const uint64_t n = (uint64_t)v->batch * v->rows, all = tokens->elements;
    const uint64_t kv = 2 * (uint64_t)v->g->kv_heads * v->g->head_dim;
    bool ok;

    v->ids = clsa_malloc(all, sizeof *v->ids);
    v->queries = clsa_malloc(n, sizeof *v->queries);
    v->logits = clsa_malloc(n * v->g->vocab, sizeof *v->logits);
    v->hidden = clsa_calloc(all * v->g->hidden, sizeof *v->hidden);
    v->hidden_var = clsa_calloc(all * v->g->hidden, sizeof *v->hidden);
    v->kv = clsa_calloc(all * kv, sizeof *v->kv);
    v->kv_var = clsa_calloc(all * kv, sizeof *v->kv);
    ok = v->ids && v->queries && v->logits && v->hidden && v->hidden_var && v->kv && v->kv_var;
    for (uint32_t i = 0; ok && i < v->n_settings; i++) {
        struct setting *s = &v->settings[i];
        s->logits = clsa_calloc(n * v->g->vocab, sizeof *s->logits);
        s->logits_var = clsa_calloc(n * v->g->vocab, sizeof *s->logits);
        s->scores = clsa_calloc(s->sets * n * v->tokens, sizeof *s->scores);
        s->scores_var = clsa_calloc(s->sets * n * v->tokens, sizeof *s->scores);
        s->selected = clsa_calloc(s->sets * n * (s->top_k + 1), sizeof *s->selected);
        s->counts = clsa_calloc(s->sets * n, sizeof *s->counts);
        s->gap = clsa_calloc(s->sets * n, sizeof *s->gap);
        s->score_bound = clsa_calloc(s->sets * n, sizeof *s->score_bound);
        ok = s->logits && s->logits_var && s->scores && s->scores_var && s->selected && s->counts &&
             s->gap && s->score_bound;
    }
    if (!ok)
        return clsa_fail(v->err, CLSA_ENOMEM, "%s: out of memory", v->file.path);
    memcpy(v->ids, tokens->data, all * sizeof *v->ids);
    for (uint32_t b = 0; b < v->batch; b++)
        for (uint32_t r = 0; r < v->rows; r++)
            v->queries[b * v->rows + r] = (struct clsa_query){b, v->tokens - v->rows + r + 1};
    return CLSA_OK;
}

static int run(struct verify *v, const struct clsa_verify_options *o)
{
    const struct clsa_observer observer = {.user = v, .op_done = op_done};
    struct clsa_engine_options options;
    int status = allocate(v);

    if (status)
        return status;
    clsa_engine_defaults(v->g, v->tokens, &options);
    options.kernels = o->kernels;
    options.blas = o->blas;
    options.n_seqs = v->batch;
    options.chunk = v->tokens;
    options.per_layer_kv = false;
    options.group = v->settings[0].group;
    options.observer = &observer;
    status = clsa_engine_create(v->model, &options, &v->engine, v->err);
    if (status == CLSA_OK)
        status = run_all(v);
    /* Sensitivities do not depend on the rung, so the probes take the fastest. */
    if (status == CLSA_OK) {
        v->rung = v->engine->kernels->rung;
        v->scale = v->rung == CLSA_RUNG_AVX512_BF16 ? 1 : NOISE_SCALE;
        v->engine->kernels = clsa_kernels_best();
    }
    v->probing = true;
    for (uint32_t p = 0; status == CLSA_OK && p < v->probes; p++) {
        v->seed = o->seed * 65536 + p + 1;
        status = run_all(v);
    }
    clsa_engine_destroy(v->engine);
    v->engine = NULL;
    return status;
}

/* ---- comparing ---- */

static double row_sigma(const struct verify *v, const float *var, uint64_t n)
{
    float most = 0;
    for (uint64_t i = 0; i < n; i++)
        most = var[i] > most ? var[i] : most;
    return sqrt((double)most / v->probes);
}

/* One row of n values against golden values from `at`. */
static void compare(const struct verify *v, struct clsa_verify_row *row,
                    const struct clsa_safetensor *t, uint64_t at, const float *ours,
                    const float *var, uint64_t n)
{
    const double sigma = v->lambda * row_sigma(v, var, n);

    for (uint64_t i = 0; i < n; i++) {
        const double golden = (double)golden_f32(t, at + i), error = fabs(ours[i] - golden);
        const double bound = sigma + 0x1p-23 * fabs(golden), ratio = error / bound;
        row->values++;
        /* Written so that NaN is the largest of all. */
        if (!(error <= row->max_error))
            row->max_error = error;
        if (!(ratio <= row->ratio)) {
            row->ratio = ratio;
            row->bound = bound;
        }
    }
}

/* The first set whose selection for query q the arithmetic cannot decide, or their number. */
static uint32_t undecided(const struct verify *v, const struct setting *s, uint64_t q)
{
    const uint64_t n = (uint64_t)v->batch * v->rows;
    uint32_t j = 0;

    while (j < s->sets && s->gap[j * n + q] > 2 * s->score_bound[j * n + q])
        j++;
    return j;
}

static void compare_logits(const struct verify *v, struct clsa_verify_row *row,
                           const struct clsa_safetensor *t, const struct setting *s)
{
    const uint64_t rows = t->shape[1], vocab = v->g->vocab;

    for (uint32_t b = 0; b < v->batch; b++)
        for (uint64_t r = 0; r < rows; r++) {
            const uint64_t q = b * (uint64_t)v->rows + v->rows - rows + r;
            const struct clsa_verify_row before = *row;
            compare(v, row, t, (b * rows + r) * vocab, s->logits + q * vocab,
                    s->logits_var + q * vocab, vocab);
            if (!(row->ratio <= 1) && before.ratio <= 1 && undecided(v, s, q) < s->sets) {
                *row = before;
                row->skipped += vocab;
            }
        }
}

/* Largest score gap between a position that only we chose and one that only golden has, in units of
 * what the arithmetic allows. */
static int compare_selection(struct verify *v, struct clsa_verify_row *row,
                             const struct clsa_safetensor *t, const struct setting *s, uint32_t set)
{
    const uint64_t rows = t->shape[1], n = (uint64_t)v->batch * v->rows;

    for (uint64_t r = 0; r < v->batch * rows; r++) {
        const uint64_t q = r / rows * v->rows + v->rows - rows + r % rows, at = set * n + q;
        const float *scores = s->scores + at * v->tokens;
        const double allowed = 2 * s->score_bound[at];
        double ours_best = -INFINITY, theirs_worst = INFINITY, ratio;
        int64_t before = -1;
        uint32_t a = 0, exchanged = 0;
        for (uint32_t i = 0; i < s->top_k; i++) {
            const int64_t p = golden_i32(t, r * s->top_k + i);
            if (p <= before || (uint64_t)p >= v->queries[q].keys)
                return wrong(v, t, "holds positions that do not ascend or are not visible");
            before = p;
        }
        for (uint32_t i = 0; i < s->top_k || a < s->counts[at];) {
            const int64_t p = i < s->top_k ? golden_i32(t, r * s->top_k + i) : INT64_MAX;
            const int64_t o = a < s->counts[at] ? s->selected[at * s->top_k + a] : INT64_MAX;
            if (o < p) {
                ours_best = scores[o] > ours_best ? scores[o] : ours_best;
                exchanged++;
            } else if (p < o) {
                theirs_worst = scores[p] < theirs_worst ? scores[p] : theirs_worst;
            }
            i += p <= o;
            a += o <= p;
        }
        ratio = exchanged ? (ours_best - theirs_worst) / allowed : 0;
        if (!(ratio <= 1) && undecided(v, s, q) < set) {
            row->skipped += s->top_k;
            continue;
        }
        row->values += s->top_k;
        row->max_error += exchanged;
        if (!(ratio <= row->ratio)) {
            row->ratio = ratio;
            row->bound = allowed;
        }
    }
    return CLSA_OK;
}

static int compare_tensor(struct verify *v, const struct clsa_safetensor *t,
                          struct clsa_verify_row *row)
{
    const struct clsa_geometry *g = v->g;
    const uint64_t d = g->head_dim, line = 2 * (uint64_t)g->kv_heads * d;
    uint32_t group = 0, top_k = 0, set = 0;
    int status = CLSA_OK, end = 0;

    snprintf(row->name, sizeof row->name, "%s", t->name);
    if (strcmp(t->name, "shared_hidden") == 0) {
        const uint64_t rows = t->shape[1];
        for (uint64_t r = 0; r < v->batch * rows; r++) {
            const uint64_t from = (r / rows + 1) * v->tokens - rows + r % rows;
            compare(v, row, t, r * g->hidden, v->hidden + from * g->hidden,
                    v->hidden_var + from * g->hidden, g->hidden);
        }
    } else if (strncmp(t->name, "shared_", 7) == 0) {
        const uint64_t rows = t->shape[2], plane = t->name[7] == 'v' ? g->kv_heads * d : 0;
        for (uint64_t r = 0; r < v->batch * g->kv_heads * rows; r++) {
            const uint64_t b = r / (g->kv_heads * rows), h = r / rows % g->kv_heads;
            const uint64_t from =
                ((b + 1) * v->tokens - rows + r % rows) * line + plane + h * d;
            compare(v, row, t, r * d, v->kv + from, v->kv_var + from, d);
        }
    } else if (strcmp(t->name, "dense.logits") == 0) {
        compare_logits(v, row, t, find_setting(v, 0, 0));
    } else if (parse_name(t->name, ".logits", &group, &top_k)) {
        compare_logits(v, row, t, find_setting(v, group, top_k));
    } else if (sscanf(t->name, "g%" SCNu32 ".k%" SCNu32 ".selected%" SCNu32 "%n", &group, &top_k,
                      &set, &end) == 3) {
        const struct setting *s = find_setting(v, group, top_k);
        if (t->name[end] || set >= s->sets)
            return wrong(v, t, "names no group of layers");
        status = compare_selection(v, row, t, s, set);
    } else if (sscanf(t->name, "g%" SCNu32 ".score0", &group) == 1) {
        const struct setting *s = find_setting(v, group, 0);
        if (!s)
            return wrong(v, t, "has no logits or selections of its group beside it");
        for (uint32_t b = 0; b < v->batch; b++) {
            const uint64_t from = ((b + 1) * (uint64_t)v->rows - 1) * v->tokens;
            compare(v, row, t, b * v->tokens, s->scores + from, s->scores_var + from, v->tokens);
        }
    }
    row->holds = row->ratio <= 1;
    return status;
}

static void bound_scores(struct verify *v)
{
    const uint64_t n = (uint64_t)v->batch * v->rows;

    for (uint32_t i = 0; i < v->n_settings; i++) {
        struct setting *s = &v->settings[i];
        for (uint64_t at = 0; at < s->sets * n; at++) {
            const float *scores = s->scores + at * v->tokens;
            double most = 0;
            for (uint64_t k = 0; k < v->tokens; k++)
                most = fabsf(scores[k]) > most ? fabsf(scores[k]) : most;
            s->score_bound[at] =
                v->lambda * row_sigma(v, s->scores_var + at * v->tokens, v->tokens) +
                0x1p-23 * most;
        }
    }
}

static int compare_all(struct verify *v, struct clsa_verify_report *out)
{
    double values = 0;
    int status = CLSA_OK;

    out->rows = clsa_calloc(v->file.count, sizeof *out->rows);
    if (!out->rows)
        return clsa_fail(v->err, CLSA_ENOMEM, "%s: out of memory", v->file.path);
    for (size_t i = 0; i < v->file.count; i++)
        values += (double)v->file.tensors[i].elements;
    out->lambda = v->lambda = sqrt(2 * log(2 * values / FAILURE_PROBABILITY));
    bound_scores(v);
    out->holds = true;
    for (size_t i = 0; status == CLSA_OK && i < v->file.count; i++) {
        if (strcmp(v->file.tensors[i].name, "tokens") == 0)
            continue;
        status = compare_tensor(v, &v->file.tensors[i], &out->rows[out->n_rows]);
        out->holds = out->holds && out->rows[out->n_rows].holds;
        out->n_rows++;
    }
    return status;
}

int clsa_verify(struct clsa_model *model, const char *golden,
                const struct clsa_verify_options *options, struct clsa_verify_report *report,
                struct clsa_err *err)
{
    struct verify *v = clsa_calloc(1, sizeof *v);
    struct clsa_verify_report out = {0};
    int status;

    if (!v)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", golden);
    v->model = model;
    v->g = clsa_model_geometry(model);
    v->err = err;
    v->probes = options->probes ? options->probes : PROBES;
    status = clsa_safetensors_open(golden, &v->file, err);
    if (status == CLSA_OK)
        status = read_file(v);
    if (status == CLSA_OK)
        status = run(v, options);
    if (status == CLSA_OK)
        status = compare_all(v, &out);
    for (uint32_t i = 0; i < v->n_settings; i++) {
        struct setting *s = &v->settings[i];
        free(s->logits);
        free(s->logits_var);
        free(s->scores);
        free(s->scores_var);
        free(s->selected);
        free(s->counts);
        free(s->gap);
        free(s->score_bound);
    }
    free(v->ids);
    free(v->queries);
    free(v->logits);
    free(v->hidden);
    free(v->hidden_var);
    free(v->kv);
    free(v->kv_var);
    clsa_safetensors_close(&v->file);
    free(v);
    if (status)
        clsa_verify_report_destroy(&out);
    else
        *report = out;
    return status;
}

void clsa_verify_report_destroy(struct clsa_verify_report *report)
{
    if (!report)
        return;
    free(report->rows);
    memset(report, 0, sizeof *report);
}
