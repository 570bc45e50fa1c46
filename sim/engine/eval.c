#include "sim/engine/eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/parallel.h"
#include "sim/base/alloc.h"
#include "sim/engine/exec.h"
#include "sim/engine/sample.h"
#include "sim/model/safetensors.h"

/* A text ends in QUESTIONS questions of QUESTION_BYTES, "\n?kkkk=vvvv\n". */
enum { QUESTIONS = 8, QUESTION_BYTES = 12, ANSWER_AT = 7, ANSWER_BYTES = 4 };
#define ANSWERS (QUESTIONS * ANSWER_BYTES)
#define TEXT_STRIDE 8u
#define SIZES_MAX 32u

struct size {
    uint64_t tokens;
    const struct clsa_safetensor *tasks, *two_hop, *texts;
};

struct eval {
    struct clsa_model *model;
    const struct clsa_geometry *g;
    const struct clsa_eval_options *options;
    struct clsa_err *err;
    struct clsa_safetensors file;
    struct size sizes[SIZES_MAX];
    uint32_t n_sizes;

    /* The size in progress. */
    struct clsa_engine *engine;
    struct clsa_eval_row *rows; /* one a policy */
    size_t n_rows;
    bool tasks;                 /* answers are being asked for, not text */
    int32_t *ids;
    struct clsa_query *queries;
    float *logits;
    double mass[QUESTIONS];   /* sums over layers and heads, of the run in progress */
    uint64_t mass_terms;      /* a question */
    int32_t *before[QUESTIONS]; /* selection of the group before */
    uint32_t before_n[QUESTIONS];
    double overlap;
    uint64_t overlap_terms;
    double *mass_sum, *overlap_sum; /* a policy */
    uint64_t *mass_n, *overlap_n;
    double *bits;
};

/* ---- the file ---- */

static struct size *size_of(struct eval *v, uint64_t tokens)
{
    uint32_t i = 0;

    while (i < v->n_sizes && v->sizes[i].tokens != tokens)
        i++;
    if (i == SIZES_MAX)
        return NULL;
    if (i == v->n_sizes)
        v->sizes[v->n_sizes++].tokens = tokens;
    return &v->sizes[i];
}

static int by_tokens(const void *a, const void *b)
{
    const struct size *x = a, *y = b;
    return x->tokens < y->tokens ? -1 : x->tokens > y->tokens;
}

static int read_file(struct eval *v)
{
    for (size_t i = 0; i < v->file.count; i++) {
        const struct clsa_safetensor *t = &v->file.tensors[i], *same;
        uint64_t tokens;
        struct size *s;
        char what[16];
        int end = 0, status;
        if (sscanf(t->name, "s%" SCNu64 ".%15[a-z_]%n", &tokens, what, &end) != 2 || t->name[end] ||
            tokens < QUESTIONS * QUESTION_BYTES || tokens > INT32_MAX)
            return clsa_fail(v->err, CLSA_EFORMAT, "%s: tensor '%s' is no task", v->file.path,
                             t->name);
        s = size_of(v, tokens);
        if (!s)
            return clsa_fail(v->err, CLSA_ELIMIT, "%s: more than %u sizes", v->file.path,
                             SIZES_MAX);
        status = clsa_safetensors_need(&v->file, t->name, CLSA_U8, 2,
                                       (const uint64_t[]){0, strcmp(what, "two_hop") == 0
                                                                 ? QUESTIONS
                                                                 : tokens},
                                       &same, v->err);
        if (status)
            return status;
        if (strcmp(what, "task_tokens") == 0)
            s->tasks = t;
        else if (strcmp(what, "text_tokens") == 0)
            s->texts = t;
        else if (strcmp(what, "two_hop") == 0)
            s->two_hop = t;
        else
            return clsa_fail(v->err, CLSA_EFORMAT, "%s: tensor '%s' is no task", v->file.path,
                             t->name);
    }
    for (uint32_t i = 0; i < v->n_sizes; i++) {
        const struct size *s = &v->sizes[i];
        if (!s->tasks != !s->two_hop || (s->tasks && s->tasks->shape[0] != s->two_hop->shape[0]))
            return clsa_fail(v->err, CLSA_EFORMAT,
                             "%s: s%" PRIu64 ".task_tokens and .two_hop do not belong together",
                             v->file.path, s->tokens);
    }
    qsort(v->sizes, v->n_sizes, sizeof *v->sizes, by_tokens);
    return v->n_sizes ? CLSA_OK
                      : clsa_fail(v->err, CLSA_EFORMAT, "%s: holds no tasks", v->file.path);
}

/* ---- what selections cover ---- */

/* The queries that predict an answer's first byte. */
static bool is_first_byte(uint32_t query)
{
    return query % ANSWER_BYTES == 0;
}

struct coverage {
    struct eval *v;
    const struct clsa_exec *x;
    const struct clsa_op *op;
    bool failed[QUESTIONS];
};

/* One question's mass over all heads of a layer. */
static void cover(void *context, size_t question)
{
    struct coverage *c = context;
    const struct clsa_kernels *kernels = c->x->e->kernels;
    const struct clsa_op *op = c->op;
    const uint32_t r = (uint32_t)question * ANSWER_BYTES;
    const struct clsa_query query = c->x->step->queries[r];
    const struct clsa_operand *in = &op->operands[0], *chosen = &op->operands[3];
    const float *q = (const float *)(const void *)((const char *)c->x->tensors[in->tensor] +
                                                   in->offset + r * in->row_stride);
    const int32_t *index = (const int32_t *)(const void *)((const char *)
                           c->x->tensors[chosen->tensor] + chosen->offset + r * chosen->row_stride);
    float *p = clsa_malloc(query.keys, sizeof *p);
    uint64_t held;
    const struct clsa_attn a = clsa_exec_attn(c->x, op, query.seq, &held);

    if (!p) {
        c->failed[question] = true;
        return;
    }
    for (size_t h = 0; h < a.q_heads; h++) {
        struct clsa_rows k = a.k;
        double mass = 0;
        k.base = (const char *)k.base +
                 (ptrdiff_t)(h / (a.q_heads / a.kv_heads)) * k.head_stride_bytes;
        kernels->index_score(p, q + h * a.d, &k, 0, query.keys, a.d, a.scale);
        kernels->softmax(p, (ptrdiff_t)query.keys, p, (ptrdiff_t)query.keys, 1, query.keys, 1);
        for (int32_t i = 0; i < c->x->e->counts[r]; i++)
            mass += p[index[i]];
        c->v->mass[question] += mass;
    }
    free(p);
}

static int op_done(void *user, const struct clsa_step *step, size_t i, uint64_t wall_ns)
{
    struct coverage c = {.v = user, .x = ((struct eval *)user)->engine->running,
                         .op = &step->ops[i]};

    (void)wall_ns;
    if (!c.v->tasks || c.op->kind != CLSA_OP_ATTN_SPARSE)
        return CLSA_OK;
    clsa_par_for(QUESTIONS, cover, &c);
    c.v->mass_terms += c.op->heads;
    for (size_t q = 0; q < QUESTIONS; q++)
        if (c.failed[q])
            return clsa_fail(c.v->err, CLSA_ENOMEM, "%s: out of memory", c.v->g->name);
    return CLSA_OK;
}

static int selection(void *user, const struct clsa_step *step, const struct clsa_index_set *set,
                     const float *scores)
{
    struct eval *v = user;
    const uint32_t q = set->query / ANSWER_BYTES;
    uint32_t same = 0, a = 0, b = 0;

    (void)step;
    (void)scores;
    if (!v->tasks || !is_first_byte(set->query))
        return CLSA_OK;
    while (set->set && a < set->count && b < v->before_n[q]) {
        const uint32_t x = set->positions[a], y = (uint32_t)v->before[q][b];
        same += x == y;
        a += x <= y;
        b += y <= x;
    }
    if (set->set && set->count) {
        v->overlap += (double)same / set->count;
        v->overlap_terms++;
    }
    v->before_n[q] = set->count;
    memcpy(v->before[q], set->positions, set->count * sizeof *set->positions);
    return CLSA_OK;
}

/* ---- runs ---- */

/* Asks the queries of a text under every policy; `text` is its row in the tensor. */
static int ask(struct eval *v, const struct clsa_safetensor *t, uint64_t text, uint32_t n_queries,
               void (*answer)(struct eval *v, size_t policy, uint64_t text, uint32_t n_queries))
{
    const uint64_t tokens = t->shape[1];
    int status;

    for (uint64_t i = 0; i < tokens; i++)
        v->ids[i] = t->data[text * tokens + i];
    clsa_engine_reset(v->engine);
    for (size_t p = 0; p < v->n_rows; p++) {
        const struct clsa_eval_row *row = &v->rows[p];
        memset(v->mass, 0, sizeof v->mass);
        v->mass_terms = v->overlap_terms = 0;
        v->overlap = 0;
        if (p == 0) {
            status = clsa_engine_set_policy(v->engine, row->group, row->top_k, v->err);
            if (status == CLSA_OK)
                status = clsa_engine_prefill(v->engine, 0, 1, v->ids, tokens, v->queries,
                                             n_queries, v->logits, v->err);
        } else {
            status = clsa_engine_requery(v->engine, row->group, row->top_k, v->queries, n_queries,
                                         v->logits, v->err);
        }
        if (status)
            return status;
        answer(v, p, text, n_queries);
    }
    return CLSA_OK;
}

static const struct size *current(const struct eval *v)
{
    return size_of((struct eval *)(uintptr_t)v, v->rows[0].tokens);
}

static void count_answers(struct eval *v, size_t policy, uint64_t text, uint32_t n_queries)
{
    struct clsa_eval_row *row = &v->rows[policy];
    const unsigned char *two_hop = current(v)->two_hop->data + text * QUESTIONS;

    (void)n_queries;
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        bool right = true;
        for (uint32_t i = 0; i < ANSWER_BYTES; i++) {
            const uint32_t at = q * ANSWER_BYTES + i;
            const size_t said =
                clsa_sample_greedy(v->logits + (size_t)at * v->g->vocab, v->g->vocab);
            right = right && said == (size_t)v->ids[v->queries[at].keys];
        }
        if (two_hop[q]) {
            row->hop2_asked++;
            row->hop2_right += right;
        } else {
            row->hop1_asked++;
            row->hop1_right += right;
        }
        v->mass_sum[policy] += v->mass[q];
        v->mass_n[policy] += v->mass_terms;
    }
    v->overlap_sum[policy] += v->overlap;
    v->overlap_n[policy] += v->overlap_terms;
}

static void count_bits(struct eval *v, size_t policy, uint64_t text, uint32_t n_queries)
{
    (void)text;
    for (uint32_t q = 0; q < n_queries; q++) {
        const float *logits = v->logits + (size_t)q * v->g->vocab;
        const double most = logits[clsa_sample_greedy(logits, v->g->vocab)];
        double sum = 0;
        for (uint32_t i = 0; i < v->g->vocab; i++)
            sum += exp(logits[i] - most);
        v->bits[policy] +=
            (log(sum) + most - logits[v->ids[v->queries[q].keys]]) * 1.4426950408889634; /* log2 e */
    }
    v->rows[policy].bits_positions += n_queries;
}

static int ask_tasks(struct eval *v, const struct size *s, uint64_t text)
{
    for (uint32_t q = 0; q < ANSWERS; q++)
        /* The byte at position p is predicted at p - 1, which sees p keys. */
        v->queries[q] = (struct clsa_query){
            0, s->tokens - (uint64_t)(QUESTIONS - q / ANSWER_BYTES) * QUESTION_BYTES + ANSWER_AT +
                   q % ANSWER_BYTES};
    v->tasks = true;
    return ask(v, s->tasks, text, ANSWERS, count_answers);
}

static int ask_text(struct eval *v, const struct size *s, uint64_t text, uint32_t stride)
{
    uint32_t n = 0;

    for (uint64_t keys = stride; keys < s->tokens; keys += stride)
        v->queries[n++] = (struct clsa_query){0, keys};
    v->tasks = false;
    return n ? ask(v, s->texts, text, n, count_bits) : CLSA_OK;
}

static void finish(struct eval *v, const struct size *s)
{
    for (size_t p = 0; p < v->n_rows; p++) {
        struct clsa_eval_row *row = &v->rows[p];
        (void)s;
        row->bits_per_byte = row->bits_positions ? v->bits[p] / (double)row->bits_positions : NAN;
        row->mass_covered = !row->group         ? 1
                            : v->mass_n[p]      ? v->mass_sum[p] / (double)v->mass_n[p]
                                                : NAN;
        row->overlap = v->overlap_n[p] ? v->overlap_sum[p] / (double)v->overlap_n[p] : NAN;
    }
}

static int run_size(struct eval *v, const struct size *s, uint64_t *done, uint64_t total)
{
    const struct clsa_observer observer = {.user = v, .op_done = op_done, .selection = selection};
    const uint32_t stride = v->options->text_stride ? v->options->text_stride : TEXT_STRIDE;
    const uint64_t asked = s->tokens / stride > ANSWERS ? s->tokens / stride : ANSWERS;
    const uint64_t texts = s->texts ? s->texts->shape[0] : 0;
    const uint64_t tasks = s->tasks ? s->tasks->shape[0] : 0;
    struct clsa_engine_options o;
    uint32_t most_k = 1;
    int status = CLSA_OK;

    for (size_t p = 0; p < v->n_rows; p++) {
        v->rows[p].tokens = s->tokens;
        most_k = v->rows[p].top_k > most_k ? v->rows[p].top_k : most_k;
    }
    v->ids = clsa_malloc(s->tokens, sizeof *v->ids);
    v->queries = clsa_malloc(asked, sizeof *v->queries);
    v->logits = clsa_malloc(asked * v->g->vocab, sizeof *v->logits);
    v->mass_sum = clsa_calloc(v->n_rows, sizeof *v->mass_sum);
    v->overlap_sum = clsa_calloc(v->n_rows, sizeof *v->overlap_sum);
    v->bits = clsa_calloc(v->n_rows, sizeof *v->bits);
    v->mass_n = clsa_calloc(v->n_rows, sizeof *v->mass_n);
    v->overlap_n = clsa_calloc(v->n_rows, sizeof *v->overlap_n);
    if (!v->ids || !v->queries || !v->logits || !v->mass_sum || !v->overlap_sum || !v->bits ||
        !v->mass_n || !v->overlap_n)
        status = clsa_fail(v->err, CLSA_ENOMEM, "%s: out of memory", v->file.path);
    for (size_t q = 0; q < QUESTIONS && status == CLSA_OK; q++) {
        v->before[q] = clsa_malloc(most_k, sizeof **v->before);
        if (!v->before[q])
            status = clsa_fail(v->err, CLSA_ENOMEM, "%s: out of memory", v->file.path);
    }
    clsa_engine_defaults(v->g, s->tokens, &o);
    o.kernels = v->options->kernels;
    o.hooks = v->options->hooks;
    o.chunk = s->tokens;
    o.group = v->rows[0].group;
    o.observer = &observer;
    if (status == CLSA_OK)
        status = clsa_engine_create(v->model, &o, &v->engine, v->err);
    for (uint64_t t = 0; status == CLSA_OK && t < tasks + texts; t++) {
        status = t < tasks ? ask_tasks(v, s, t) : ask_text(v, s, t - tasks, stride);
        ++*done;
        if (v->options->progress)
            v->options->progress(v->options->user, *done, total);
    }
    if (status == CLSA_OK)
        finish(v, s);
    clsa_engine_destroy(v->engine);
    v->engine = NULL;
    for (size_t q = 0; q < QUESTIONS; q++) {
        free(v->before[q]);
        v->before[q] = NULL;
    }
    free(v->ids);
    free(v->queries);
    free(v->logits);
    free(v->mass_sum);
    free(v->overlap_sum);
    free(v->bits);
    free(v->mass_n);
    free(v->overlap_n);
    return status;
}

/* The policies asked for, dense once. Returns their number; rows may be NULL to count. */
static size_t policies(const struct clsa_eval_options *o, struct clsa_eval_row *rows)
{
    size_t n = 0;
    bool dense = false;

    for (size_t i = 0; i < o->n_groups; i++)
        for (size_t j = 0; j < (o->groups[i] ? o->n_top_ks : !dense); j++, n++) {
            if (rows)
                rows[n] = (struct clsa_eval_row){.group = o->groups[i],
                                                 .top_k = o->groups[i] ? o->top_ks[j] : 0};
            dense = dense || !o->groups[i];
        }
    return n;
}

int clsa_eval(struct clsa_model *model, const char *tasks, const struct clsa_eval_options *options,
              struct clsa_eval_row **rows, size_t *n_rows, struct clsa_err *err)
{
    struct eval *v = clsa_calloc(1, sizeof *v);
    struct clsa_eval_row *all = NULL;
    uint64_t done = 0, total = 0;
    int status;

    if (!v)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", tasks);
    v->model = model;
    v->g = clsa_model_geometry(model);
    v->options = options;
    v->err = err;
    v->n_rows = policies(options, NULL);
    status = v->n_rows ? clsa_safetensors_open(tasks, &v->file, err)
                       : clsa_fail(err, CLSA_EUSAGE, "no group sizes or no top-k to evaluate");
    if (status == CLSA_OK)
        status = read_file(v);
    if (status == CLSA_OK && v->g->vocab < 256)
        status = clsa_fail(err, CLSA_EUNSUPPORTED, "%s: the tasks are bytes, the vocabulary has %"
                           PRIu32, tasks, v->g->vocab);
    if (status == CLSA_OK) {
        all = clsa_calloc(v->n_rows * v->n_sizes, sizeof *all);
        if (!all)
            status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", tasks);
    }
    for (uint32_t i = 0; status == CLSA_OK && i < v->n_sizes; i++) {
        const struct size *s = &v->sizes[i];
        total += (s->tasks ? s->tasks->shape[0] : 0) + (s->texts ? s->texts->shape[0] : 0);
    }
    for (uint32_t i = 0; status == CLSA_OK && i < v->n_sizes; i++) {
        v->rows = all + i * v->n_rows;
        policies(options, v->rows);
        status = run_size(v, &v->sizes[i], &done, total);
    }
    if (status == CLSA_OK) {
        *rows = all;
        *n_rows = v->n_rows * v->n_sizes;
    } else {
        free(all);
    }
    clsa_safetensors_close(&v->file);
    free(v);
    return status;
}
