#include "sim/engine/eval.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
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
#define LOG2_E 1.4426950408889634
/* Each reader's engine holds a text's activations. */
#define READERS_MAX 16

struct size {
    uint64_t tokens;
    const struct clsa_safetensor *tasks, *two_hop, *texts;
};

/* What one text says about one policy. Texts are added up in order, so that sums do not depend on
 * who read which. */
struct tally {
    uint32_t hop1_right, hop1_asked, hop2_right, hop2_asked;
    double bits, mass, overlap;
    uint64_t bits_n, mass_n, overlap_n;
};

struct eval {
    struct clsa_model *model;
    const struct clsa_geometry *g;
    const struct clsa_eval_options *options;
    struct clsa_err *err;
    struct clsa_safetensors file;
    struct size sizes[SIZES_MAX];
    uint32_t n_sizes;
    struct clsa_eval_row *rows; /* of the size in progress, one a policy */
    size_t n_rows;
    uint64_t done, total;       /* texts */
};

/* One reader of texts: readers work side by side, each on whole texts with an engine of its own, so
 * that threads need not meet at every op. */
struct reader {
    const struct eval *v;
    const struct size *size;
    struct clsa_observer observer;
    struct clsa_engine *engine;
    struct clsa_err err;
    int32_t *ids;
    struct clsa_query *queries;
    float *logits;

    /* The run in progress. */
    bool tasks;                 /* answers are being asked for, not text */
    struct tally *tally;
    double mass[QUESTIONS];     /* sums over layers and heads */
    uint64_t mass_terms;        /* of each of them */
    int32_t *before[QUESTIONS]; /* selection of the group before */
    uint32_t before_n[QUESTIONS];
    int failed;
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
    struct reader *reader;
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
        c->reader->mass[question] += mass;
    }
    free(p);
}

static int op_done(void *user, const struct clsa_step *step, size_t i, uint64_t wall_ns)
{
    struct reader *r = user;
    struct coverage c = {.reader = r, .x = r->engine->running, .op = &step->ops[i]};

    (void)wall_ns;
    if (!r->tasks || c.op->kind != CLSA_OP_ATTN_SPARSE)
        return CLSA_OK;
    clsa_par_for(QUESTIONS, cover, &c);
    r->mass_terms += c.op->heads;
    for (size_t q = 0; q < QUESTIONS; q++)
        if (c.failed[q])
            return clsa_fail(&r->err, CLSA_ENOMEM, "%s: out of memory", r->v->g->name);
    return CLSA_OK;
}

static int selection(void *user, const struct clsa_step *step, const struct clsa_index_set *set,
                     const float *scores)
{
    struct reader *r = user;
    const uint32_t q = set->query / ANSWER_BYTES;
    uint32_t same = 0, a = 0, b = 0;

    (void)step;
    (void)scores;
    if (!r->tasks || !is_first_byte(set->query))
        return CLSA_OK;
    while (set->set && a < set->count && b < r->before_n[q]) {
        const uint32_t x = set->positions[a], y = (uint32_t)r->before[q][b];
        same += x == y;
        a += x <= y;
        b += y <= x;
    }
    if (set->set && set->count) {
        r->tally->overlap += (double)same / set->count;
        r->tally->overlap_n++;
    }
    r->before_n[q] = set->count;
    memcpy(r->before[q], set->positions, set->count * sizeof *set->positions);
    return CLSA_OK;
}

/* ---- reading a text ---- */

static void count_answers(struct reader *r, uint64_t text)
{
    const unsigned char *two_hop = r->size->two_hop->data + text * QUESTIONS;
    const size_t vocab = r->v->g->vocab;

    for (uint32_t q = 0; q < QUESTIONS; q++) {
        bool right = true;
        for (uint32_t at = q * ANSWER_BYTES; at < (q + 1) * ANSWER_BYTES; at++)
            right = right && clsa_sample_greedy(r->logits + at * vocab, vocab) ==
                                 (size_t)r->ids[r->queries[at].keys];
        if (two_hop[q]) {
            r->tally->hop2_asked++;
            r->tally->hop2_right += right;
        } else {
            r->tally->hop1_asked++;
            r->tally->hop1_right += right;
        }
        r->tally->mass += r->mass[q];
        r->tally->mass_n += r->mass_terms;
    }
}

static void count_bits(struct reader *r, uint32_t n_queries)
{
    const uint32_t vocab = r->v->g->vocab;

    for (uint32_t q = 0; q < n_queries; q++) {
        const float *logits = r->logits + (size_t)q * vocab;
        const double most = logits[clsa_sample_greedy(logits, vocab)];
        double sum = 0;
        for (uint32_t i = 0; i < vocab; i++)
            sum += exp(logits[i] - most);
        r->tally->bits +=
            (log(sum) + most - logits[r->ids[r->queries[q].keys]]) * LOG2_E;
    }
    r->tally->bits_n += n_queries;
}

static uint32_t stride_of(const struct eval *v)
{
    return v->options->text_stride ? v->options->text_stride : TEXT_STRIDE;
}

/* Where a text is asked: at its answers, or at every stride-th position. Returns how many. */
static uint32_t place_queries(struct reader *r)
{
    const uint64_t tokens = r->size->tokens;
    const uint32_t stride = stride_of(r->v);
    uint32_t n = 0;

    if (r->tasks)
        for (; n < ANSWERS; n++)
            /* The byte at position p is predicted at p - 1, which sees p keys. */
            r->queries[n] = (struct clsa_query){
                0, tokens - (uint64_t)(QUESTIONS - n / ANSWER_BYTES) * QUESTION_BYTES + ANSWER_AT +
                       n % ANSWER_BYTES};
    else
        for (uint64_t keys = stride; keys < tokens; keys += stride)
            r->queries[n++] = (struct clsa_query){0, keys};
    return n;
}

/* Reads a text once and asks about it under every policy; tallies: one a policy. */
static int read_text(struct reader *r, const struct clsa_safetensor *t, uint64_t text,
                     struct tally *tallies)
{
    const uint64_t tokens = r->size->tokens;
    uint32_t n;

    for (uint64_t i = 0; i < tokens; i++)
        r->ids[i] = t->data[text * tokens + i];
    r->tasks = t == r->size->tasks;
    n = place_queries(r);
    clsa_engine_reset(r->engine);
    for (size_t p = 0; n && p < r->v->n_rows; p++) {
        const struct clsa_eval_row *row = &r->v->rows[p];
        int status;
        r->tally = &tallies[p];
        memset(r->mass, 0, sizeof r->mass);
        r->mass_terms = 0;
        if (p == 0) {
            status = clsa_engine_set_policy(r->engine, row->group, row->top_k, &r->err);
            if (status == CLSA_OK)
                status = clsa_engine_prefill(r->engine, 0, 1, r->ids, tokens, r->queries, n,
                                             r->logits, &r->err);
        } else {
            status = clsa_engine_requery(r->engine, row->group, row->top_k, r->queries, n,
                                         r->logits, &r->err);
        }
        if (status)
            return status;
        if (r->tasks)
            count_answers(r, text);
        else
            count_bits(r, n);
    }
    return CLSA_OK;
}

static void reader_destroy(struct reader *r)
{
    clsa_engine_destroy(r->engine);
    for (size_t q = 0; q < QUESTIONS; q++)
        free(r->before[q]);
    free(r->ids);
    free(r->queries);
    free(r->logits);
}

static int reader_create(const struct eval *v, const struct size *s, struct reader *r)
{
    const uint64_t asked = s->tokens / stride_of(v) > ANSWERS ? s->tokens / stride_of(v) : ANSWERS;
    struct clsa_engine_options o;
    uint32_t most_k = 1;
    bool ok;
    int status;

    r->v = v;
    r->size = s;
    r->observer = (struct clsa_observer){.user = r, .op_done = op_done, .selection = selection};
    for (size_t p = 0; p < v->n_rows; p++)
        most_k = v->rows[p].top_k > most_k ? v->rows[p].top_k : most_k;
    r->ids = clsa_malloc(s->tokens, sizeof *r->ids);
    r->queries = clsa_malloc(asked, sizeof *r->queries);
    r->logits = clsa_malloc(asked * v->g->vocab, sizeof *r->logits);
    ok = r->ids && r->queries && r->logits;
    for (size_t q = 0; q < QUESTIONS; q++) {
        r->before[q] = clsa_malloc(most_k, sizeof **r->before);
        ok = ok && r->before[q];
    }
    if (!ok)
        return clsa_fail(&r->err, CLSA_ENOMEM, "%s: out of memory", v->file.path);
    clsa_engine_defaults(v->g, s->tokens, &o);
    o.kernels = v->options->kernels;
    o.hooks = v->options->hooks;
    o.chunk = s->tokens;
    o.group = v->rows[0].group;
    o.observer = &r->observer;
    status = clsa_engine_create(v->model, &o, &r->engine, &r->err);
    /* Weights are bound by one thread, so all of them are now. */
    for (size_t p = 0; status == CLSA_OK && p < v->n_rows; p++)
        status = clsa_engine_set_policy(r->engine, v->rows[p].group, v->rows[p].top_k, &r->err);
    return status;
}

/* ---- all texts of a size ---- */

static void add_up(struct eval *v, const struct tally *tallies, uint64_t texts)
{
    for (size_t p = 0; p < v->n_rows; p++) {
        struct clsa_eval_row *row = &v->rows[p];
        struct tally sum = {0};
        for (uint64_t t = 0; t < texts; t++) {
            const struct tally *one = &tallies[t * v->n_rows + p];
            row->hop1_right += one->hop1_right;
            row->hop1_asked += one->hop1_asked;
            row->hop2_right += one->hop2_right;
            row->hop2_asked += one->hop2_asked;
            sum.bits += one->bits;
            sum.bits_n += one->bits_n;
            sum.mass += one->mass;
            sum.mass_n += one->mass_n;
            sum.overlap += one->overlap;
            sum.overlap_n += one->overlap_n;
        }
        row->bits_positions = sum.bits_n;
        row->bits_per_byte = sum.bits_n ? sum.bits / (double)sum.bits_n : NAN;
        row->mass_covered = !row->group  ? 1
                            : sum.mass_n ? sum.mass / (double)sum.mass_n
                                         : NAN;
        row->overlap = sum.overlap_n ? sum.overlap / (double)sum.overlap_n : NAN;
    }
}

static void one_more(struct eval *v)
{
    v->done++;
    if (v->options->progress)
        v->options->progress(v->options->user, v->done, v->total);
}

/* Readers side by side. Returns the status of the first text, in order, that failed. */
static int read_all(struct eval *v, const struct size *s, struct reader *readers,
                    __attribute__((unused)) int n_readers, /* without OpenMP */
                    struct tally *tallies, uint64_t tasks, uint64_t texts)
{
    uint64_t failed = UINT64_MAX;
    int status = CLSA_OK;

#pragma omp parallel for num_threads(n_readers) schedule(dynamic, 1)
    for (uint64_t t = 0; t < tasks + texts; t++) {
        struct reader *r = &readers[omp_get_thread_num()];
        const int result =
            r->failed ? r->failed
                      : read_text(r, t < tasks ? s->tasks : s->texts, t < tasks ? t : t - tasks,
                                  tallies + t * v->n_rows);
#pragma omp critical(clsa_eval)
        {
            if (result && !r->failed && t < failed) {
                failed = t;
                status = result;
                if (v->err)
                    *v->err = r->err;
            }
            r->failed = result;
            one_more(v);
        }
    }
    return status;
}

static int run_size(struct eval *v, const struct size *s)
{
    const uint64_t texts = s->texts ? s->texts->shape[0] : 0;
    const uint64_t tasks = s->tasks ? s->tasks->shape[0] : 0, all = tasks + texts;
    int wanted = v->options->hooks ? 1 : omp_get_max_threads(), n = 0, status = CLSA_OK;
    struct tally *tallies = clsa_calloc(all * v->n_rows, sizeof *tallies);
    struct reader *readers;

    wanted = wanted < READERS_MAX ? wanted : READERS_MAX;
    wanted = (uint64_t)wanted < all ? wanted : (int)all;
    readers = clsa_calloc((size_t)wanted + 1, sizeof *readers);
    if (!tallies || !readers)
        status = clsa_fail(v->err, CLSA_ENOMEM, "%s: out of memory", v->file.path);
    for (size_t p = 0; p < v->n_rows; p++)
        v->rows[p].tokens = s->tokens;
    for (; status == CLSA_OK && n < wanted; n++) {
        status = reader_create(v, s, &readers[n]);
        if (status && v->err)
            *v->err = readers[n].err;
    }
    if (status == CLSA_OK && all)
        status = read_all(v, s, readers, n, tallies, tasks, texts);
    if (status == CLSA_OK)
        add_up(v, tallies, all);
    for (int i = 0; i < n; i++)
        reader_destroy(&readers[i]);
    free(readers);
    free(tallies);
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
        v->total += (s->tasks ? s->tasks->shape[0] : 0) + (s->texts ? s->texts->shape[0] : 0);
    }
    for (uint32_t i = 0; status == CLSA_OK && i < v->n_sizes; i++) {
        v->rows = all + i * v->n_rows;
        policies(options, v->rows);
        status = run_size(v, &v->sizes[i]);
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
