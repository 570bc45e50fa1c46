#include "sim/engine/engine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/engine/exec.h"
#include "sim/model/plan.h"

#define CHUNK_TOKENS 512u
#define CACHE_ALIGN 64u

void clsa_engine_defaults(const struct clsa_geometry *g, uint64_t capacity,
                          struct clsa_engine_options *out)
{
    *out = (struct clsa_engine_options){.n_seqs = 1,
                                        .capacity = capacity,
                                        .chunk = CHUNK_TOKENS,
                                        .group = g->index_group,
                                        .top_k = g->index_topk,
                                        .per_layer_kv = g->per_layer_kv,
                                        .kv_dtype = CLSA_F32,
                                        .index_dtype = CLSA_F32};
}

/* ---- plans ---- */

static int plan(const struct clsa_engine *e, enum clsa_phase phase, uint32_t first_seq,
                uint32_t n_seqs, uint64_t new_tokens, const uint64_t *past,
                const struct clsa_query *queries, uint32_t n_queries, struct clsa_step *step,
                struct clsa_err *err)
{
    const struct clsa_plan_request r = {.phase = phase,
                                        .n_seqs = n_seqs,
                                        .new_tokens = new_tokens,
                                        .past = past,
                                        .capacity = e->options.capacity,
                                        .group = e->options.group,
                                        .top_k = e->options.top_k,
                                        .per_layer_kv = e->options.per_layer_kv,
                                        .kv_dtype = e->options.kv_dtype,
                                        .index_dtype = e->options.index_dtype,
                                        .activation_dtype = CLSA_F32,
                                        .queries = queries,
                                        .n_queries = n_queries,
                                        .cache_seqs = e->options.n_seqs,
                                        .first_seq = first_seq};
    return clsa_plan_build(e->g, &r, step, err);
}

static bool is_cache(const struct clsa_tensor *t)
{
    return t->kind == CLSA_TENSOR_KV || t->kind == CLSA_TENSOR_INDEX_KEYS;
}

/* Activations and tokens lie in one block, at the distances that their addresses have. */
static bool is_block(const struct clsa_tensor *t)
{
    return t->kind == CLSA_TENSOR_ACTIVATION || t->kind == CLSA_TENSOR_TOKENS;
}

static uint64_t block_bytes(const struct clsa_step *step, uint64_t *start)
{
    uint64_t from = UINT64_MAX, to = 0;

    for (uint32_t i = 0; i < step->n_tensors; i++) {
        const struct clsa_tensor *t = &step->tensors[i];
        if (!is_block(t))
            continue;
        from = t->address < from ? t->address : from;
        to = t->address + t->bytes > to ? t->address + t->bytes : to;
    }
    *start = from;
    return to - from;
}

static int too_large(const struct clsa_engine *e, uint64_t bytes, struct clsa_err *err)
{
    const uint64_t available = clsa_memory_available_bytes();

    if (bytes <= available)
        return CLSA_OK;
    return clsa_fail(err, CLSA_ELIMIT,
                     "%s: %" PRIu32 " sequence(s) of %" PRIu64 " tokens take %" PRIu64
                     " bytes of memory, %" PRIu64 " are available",
                     e->g->name, e->options.n_seqs, e->options.capacity, bytes, available);
}

/* What the run will need, said before the first allocation of any size. */
static int check_memory(const struct clsa_engine *e, struct clsa_err *err)
{
    const uint64_t chunk = e->options.chunk < e->options.capacity ? e->options.chunk
                                                                  : e->options.capacity;
    uint64_t *past = clsa_calloc(e->options.n_seqs, sizeof *past), bytes = 0, start;
    struct clsa_step step;
    int status;

    if (!past)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", e->g->name);
    for (uint32_t s = 0; s < e->options.n_seqs; s++)
        past[s] = e->options.capacity - chunk;
    status = plan(e, CLSA_PREFILL, 0, e->options.n_seqs, chunk, past, NULL, 0, &step, err);
    free(past);
    if (status)
        return status;
    for (uint32_t i = 0; i < step.n_tensors; i++)
        if (!is_block(&step.tensors[i]))
            bytes += step.tensors[i].bytes;
    bytes += block_bytes(&step, &start);
    clsa_plan_destroy(&step);
    return too_large(e, bytes, err);
}

/* Room for `bytes` in cache c, and in all window caches where it is one: they hold as many rows each. False when out of
 * memory. */
static bool cache_room(struct clsa_engine *e, uint32_t c, uint64_t bytes)
{
    const bool window = c < e->g->self_layers;
    const uint32_t first = window ? 0 : c, n = window ? e->g->self_layers : 1;
    const uint64_t each = (bytes + CACHE_ALIGN - 1) / CACHE_ALIGN * CACHE_ALIGN;
    free(e->caches[first].data);
    char *block = clsa_aligned(CACHE_ALIGN, n, each);
    for (uint32_t i = 0; i < n; i++) {
        e->caches[first + i].data = block ? block + i * each : NULL;
        e->caches[first + i].bytes = block ? bytes : 0;
    }
    return block != NULL;
}

/* Binds weights and caches of the policy in the options. */
static int bind(struct clsa_engine *e, struct clsa_err *err)
{
    uint64_t *past = clsa_calloc(e->options.n_seqs, sizeof *past);
    const void **weights;
    struct clsa_step step;
    uint32_t n = 0;
    int status;

    if (!past)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", e->g->name);
    status = plan(e, CLSA_DECODE, 0, e->options.n_seqs, 1, past, NULL, 0, &step, err);
    free(past);
    if (status)
        return status;
    weights = clsa_calloc(step.n_tensors, sizeof *weights);
    if (!weights)
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", e->g->name);
    if (status == CLSA_OK)
        status = clsa_model_bind(e->model, &step, weights, err);
    for (uint32_t i = 0; status == CLSA_OK && i < step.n_tensors; i++) {
        const struct clsa_tensor *t = &step.tensors[i];
        uint32_t c;
        if (!is_cache(t))
            continue;
        /* The window caches come first, then index keys (none when dense), then the K/V. */
        c = t->kind == CLSA_TENSOR_INDEX_KEYS ? e->g->self_layers
            : t->layer >= 0                   ? n++
                                              : e->g->self_layers + 1;
        if (e->caches[c].bytes < t->bytes && !cache_room(e, c, t->bytes))
            status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory for '%s'", e->g->name, t->name);
        weights[i] = e->caches[c].data;
    }
    if (status == CLSA_OK) {
        free(e->weights);
        e->weights = weights;
        e->n_bound = step.n_tensors;
        e->bound_group = e->options.group;
    } else {
        free(weights);
    }
    clsa_plan_destroy(&step);
    return status;
}

/* ---- steps ---- */

/* Finds the memory of every tensor of the step. The first tensors, weights and caches, are the same
 * in every plan of a policy. */
static int locate(struct clsa_engine *e, const struct clsa_step *step, void **tensors,
                  struct clsa_err *err)
{
    uint64_t start, bytes = block_bytes(step, &start);
    int status = bytes > e->block_bytes ? too_large(e, bytes - e->block_bytes, err) : CLSA_OK;
    char *counts = (char *)e->counts;

    if (status)
        return status;
    status = clsa_exec_grow(&counts, &e->counts_room, step->n_queries * sizeof *e->counts);
    e->counts = (int32_t *)(void *)counts;
    if (status || clsa_exec_grow(&e->block, &e->block_bytes, bytes))
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory in a step", e->g->name);
    for (uint32_t i = 0; i < step->n_tensors; i++) {
        const struct clsa_tensor *t = &step->tensors[i];
        if (is_block(t)) {
            tensors[i] = e->block + (t->address - start);
        } else {
            assert(i < e->n_bound && e->weights[i]);
            tensors[i] = (void *)(uintptr_t)e->weights[i];
        }
    }
    return CLSA_OK;
}

static void *tensor_named(const struct clsa_step *step, void *const *tensors, const char *name)
{
    for (uint32_t i = step->n_tensors; i-- > 0;)
        if (strcmp(step->tensors[i].name, name) == 0)
            return tensors[i];
    return NULL;
}

/* Token ids and the rotary tables: what a step reads and no op makes. */
static void fill_inputs(const struct clsa_engine *e, const struct clsa_step *step,
                        void *const *tensors, const int32_t *tokens)
{
    const uint64_t rows = step->n_seqs * step->new_tokens, half = e->g->head_dim / 2;
    int32_t *ids = tensor_named(step, tensors, "tokens");
    float *rope = tensor_named(step, tensors, "rope");
    int32_t *position = (int32_t *)tensor_named(step, tensors, "x"); /* free until the first op */

    memcpy(ids, tokens, rows * sizeof *ids);
    for (uint32_t s = 0; s < step->n_seqs; s++)
        for (uint64_t t = 0; t < step->new_tokens; t++)
            position[s * step->new_tokens + t] = (int32_t)(step->past[s] + t);
    clsa_rope_table(rope, rope + rows * half, position, rows, e->g->head_dim, e->g->rope_theta);
}

/* Runs the ops from `first` on. tokens NULL: the inputs are there already. */
static int run(struct clsa_engine *e, const struct clsa_step *step, size_t first,
               const int32_t *tokens, float *logits, struct clsa_err *err)
{
    const struct clsa_observer none = {0};
    const struct clsa_observer *o = e->options.observer ? e->options.observer : &none;
    const uint64_t begin = clsa_now_ns();
    struct clsa_exec x = {e, step, clsa_calloc(step->n_tensors, sizeof *x.tensors), err};
    int status;

    if (!x.tensors)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory in a step", e->g->name);
    status = locate(e, step, x.tensors, err);
    if (status == CLSA_OK && tokens)
        fill_inputs(e, step, x.tensors, tokens);
    e->running = &x;
    if (status == CLSA_OK && o->step_begin)
        status = o->step_begin(o->user, step);
    for (size_t i = first; status == CLSA_OK && i < step->n_ops; i++) {
        const uint64_t start = o->op_done ? clsa_now_ns() : 0;
        status = clsa_exec_op(&x, i);
        if (status == CLSA_OK && o->op_done)
            status = o->op_done(o->user, step, i, clsa_now_ns() - start);
    }
    if (status == CLSA_OK && o->step_end)
        status = o->step_end(o->user, step, clsa_now_ns() - begin);
    if (status == CLSA_OK && logits && step->n_queries)
        memcpy(logits, tensor_named(step, x.tensors, "logits"),
               (size_t)step->n_queries * e->g->vocab * sizeof *logits);
    e->running = NULL;
    free(x.tensors);
    return status;
}

static int check_tokens(const struct clsa_engine *e, uint32_t first_seq, uint32_t n_seqs,
                        const int32_t *tokens, uint64_t n, struct clsa_err *err)
{
    if (!n_seqs || first_seq > e->options.n_seqs || n_seqs > e->options.n_seqs - first_seq || !n)
        return clsa_fail(err, CLSA_EUSAGE, "%s: no such sequences, or no tokens", e->g->name);
    for (uint64_t i = 0; i < n_seqs * n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= e->g->vocab)
            return clsa_fail(err, CLSA_ERANGE,
                             "%s: token %" PRIu64 " is %" PRId32 ", the vocabulary has %" PRIu32,
                             e->g->name, i % n, tokens[i], e->g->vocab);
    for (uint32_t s = first_seq; s < first_seq + n_seqs; s++)
        if (n > e->options.capacity - e->past[s])
            return clsa_fail(err, CLSA_ERANGE,
                             "%s: %" PRIu64 " tokens after %" PRIu64 " exceed the capacity of %"
                             PRIu64, e->g->name, n, e->past[s], e->options.capacity);
    return CLSA_OK;
}

/* A chunk of a prefill: tokens from..from+count of each sequence, and the queries among them. */
struct chunk {
    uint32_t first_seq, n_seqs;
    const int32_t *tokens;
    uint64_t n, from, count;
    int32_t *ids;               /* [n_seqs, count] */
    struct clsa_query *queries; /* of this chunk */
    uint32_t *rows;             /* where their logits go */
    float *logits;              /* of this chunk */
};

static int run_chunk(struct clsa_engine *e, const struct chunk *c,
                     const struct clsa_query *queries, uint32_t n_queries, float *logits,
                     struct clsa_err *err)
{
    uint64_t *past = &e->past[c->first_seq];
    struct clsa_step step;
    uint32_t n = 0;
    int status;

    for (uint32_t q = 0; q < n_queries; q++)
        if (queries[q].keys > past[queries[q].seq] &&
            queries[q].keys <= past[queries[q].seq] + c->count) {
            c->queries[n] = queries[q];
            c->rows[n++] = q;
        }
    for (uint32_t s = 0; s < c->n_seqs; s++)
        memcpy(c->ids + s * c->count, c->tokens + s * c->n + c->from, c->count * sizeof *c->ids);
    status = plan(e, CLSA_PREFILL, c->first_seq, c->n_seqs, c->count, past, c->queries, n, &step,
                  err);
    if (status)
        return status;
    status = run(e, &step, 0, c->ids, logits ? c->logits : NULL, err);
    clsa_plan_destroy(&step);
    if (status)
        return status;
    for (uint32_t q = 0; logits && q < n; q++)
        memcpy(logits + (size_t)c->rows[q] * e->g->vocab, c->logits + (size_t)q * e->g->vocab,
               e->g->vocab * sizeof *logits);
    for (uint32_t s = 0; s < c->n_seqs; s++)
        past[s] += c->count;
    e->retracted = false;
    return CLSA_OK;
}

int clsa_engine_prefill(struct clsa_engine *e, uint32_t first_seq, uint32_t n_seqs,
                        const int32_t *tokens, uint64_t n, const struct clsa_query *queries,
                        uint32_t n_queries, float *logits, struct clsa_err *err)
{
    const uint64_t chunk = e->options.chunk < n ? e->options.chunk : n;
    struct chunk c = {.first_seq = first_seq, .n_seqs = n_seqs, .tokens = tokens, .n = n};
    struct clsa_query *last = NULL;
    bool whole = n <= chunk;
    int status = check_tokens(e, first_seq, n_seqs, tokens, n, err);

    e->whole = false;
    if (status)
        return status;
    if (!queries)
        n_queries = n_seqs;
    last = clsa_malloc(n_seqs, sizeof *last);
    c.ids = clsa_malloc(n_seqs * chunk, sizeof *c.ids);
    c.queries = clsa_malloc(n_queries, sizeof *c.queries);
    c.rows = clsa_malloc(n_queries, sizeof *c.rows);
    c.logits = clsa_malloc(logits ? (size_t)n_queries * e->g->vocab : 0, sizeof *c.logits);
    if (!last || !c.ids || !c.queries || !c.rows || !c.logits)
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", e->g->name);
    for (uint32_t s = 0; status == CLSA_OK && s < n_seqs; s++) {
        last[s] = (struct clsa_query){s, e->past[first_seq + s] + n};
        whole = whole && e->past[first_seq + s] == 0;
    }
    for (uint32_t q = 0; status == CLSA_OK && queries && q < n_queries; q++) {
        const uint64_t past = queries[q].seq < n_seqs ? e->past[first_seq + queries[q].seq] : 0;
        if (queries[q].seq >= n_seqs || queries[q].keys <= past || queries[q].keys > past + n)
            status = clsa_fail(err, CLSA_EUSAGE, "%s: query %" PRIu32 " is not a new token",
                               e->g->name, q);
    }
    for (; status == CLSA_OK && c.from < n; c.from += c.count) {
        c.count = n - c.from < chunk ? n - c.from : chunk;
        status = run_chunk(e, &c, queries ? queries : last, n_queries, logits, err);
    }
    if (status == CLSA_OK && whole) {
        e->whole = true;
        e->whole_first = first_seq;
        e->whole_seqs = n_seqs;
        e->whole_tokens = n;
    }
    free(last);
    free(c.ids);
    free(c.queries);
    free(c.rows);
    free(c.logits);
    return status;
}

int clsa_engine_decode(struct clsa_engine *e, uint32_t first_seq, uint32_t n_seqs,
                       const int32_t *tokens, float *logits, struct clsa_err *err)
{
    struct clsa_step step;
    int status = check_tokens(e, first_seq, n_seqs, tokens, 1, err);

    e->whole = false;
    if (status == CLSA_OK)
        status = plan(e, CLSA_DECODE, first_seq, n_seqs, 1, &e->past[first_seq], NULL, 0, &step,
                      err);
    if (status)
        return status;
    status = run(e, &step, 0, tokens, logits, err);
    clsa_plan_destroy(&step);
    if (status)
        return status;
    for (uint32_t s = first_seq; s < first_seq + n_seqs; s++)
        e->past[s]++;
    e->retracted = false;
    return CLSA_OK;
}

/* With `keys` also the ops that make index keys. */
static bool behind_self_decoder(const struct clsa_op *op, bool keys)
{
    return op->over_queries ||
           (keys && (op->role == CLSA_ROLE_IK || op->role == CLSA_ROLE_INDEX));
}

int clsa_engine_requery(struct clsa_engine *e, uint32_t group, uint32_t top_k,
                        const struct clsa_query *queries, uint32_t n_queries, float *logits,
                        struct clsa_err *err)
{
    const uint32_t group_was = e->options.group, top_k_was = e->options.top_k;
    struct clsa_step step;
    uint64_t *past = NULL;
    size_t first = 0;
    int status = CLSA_OK;

    if (!e->whole)
        return clsa_fail(err, CLSA_EUSAGE, "%s: no prefill in one chunk to ask again", e->g->name);
    if (n_queries > e->whole_seqs * e->whole_tokens)
        return clsa_fail(err, CLSA_EUSAGE, "%s: more queries than tokens", e->g->name);
    e->options.group = group;
    e->options.top_k = top_k ? top_k : e->g->index_topk;
    if (e->bound_group != group)
        status = bind(e, err);
    past = clsa_calloc(e->whole_seqs, sizeof *past);
    if (status == CLSA_OK && !past)
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", e->g->name);
    if (status == CLSA_OK)
        status = plan(e, CLSA_PREFILL, e->whole_first, e->whole_seqs, e->whole_tokens, past,
                      queries, n_queries, &step, err);
    free(past);
    if (status) {
        e->options.group = group_was;
        e->options.top_k = top_k_was;
        return status;
    }
    while (first < step.n_ops && !behind_self_decoder(&step.ops[first], group != group_was))
        first++;
    status = run(e, &step, first, NULL, logits, err);
    clsa_plan_destroy(&step);
    return status;
}

/* ---- life ---- */

int clsa_engine_create(struct clsa_model *model, const struct clsa_engine_options *options,
                       struct clsa_engine **out, struct clsa_err *err)
{
    struct clsa_engine *e = clsa_calloc(1, sizeof *e);
    int status;

    if (!e)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    e->model = model;
    e->g = clsa_model_geometry(model);
    e->options = *options;
    e->kernels = options->kernels ? options->kernels : clsa_kernels_best();
    if (!e->options.n_seqs)
        e->options.n_seqs = 1;
    if (!e->options.chunk)
        e->options.chunk = CHUNK_TOKENS;
    if (!e->options.top_k)
        e->options.top_k = e->g->index_topk;
    if (!e->options.capacity || e->options.capacity > INT32_MAX) {
        status = clsa_fail(err, CLSA_EUSAGE, "%s: a capacity of %" PRIu64 " tokens", e->g->name,
                           e->options.capacity);
        goto fail;
    }
    status = check_memory(e, err);
    if (status)
        goto fail;
    e->past = clsa_calloc(e->options.n_seqs, sizeof *e->past);
    e->n_caches = e->g->self_layers + 2;
    e->caches = clsa_calloc(e->n_caches, sizeof *e->caches);
    status = e->past && e->caches ? bind(e, err)
                                  : clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", e->g->name);
    if (status)
        goto fail;
    *out = e;
    return CLSA_OK;
fail:
    clsa_engine_destroy(e);
    return status;
}

void clsa_engine_destroy(struct clsa_engine *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; e->caches && i < e->n_caches; i++)
        if (i == 0 || i >= e->g->self_layers) /* the first window cache begins the block of all */
            free(e->caches[i].data);
    free(e->caches);
    free(e->past);
    free(e->weights);
    free(e->block);
    free(e->recent);
    free(e->counts);
    free(e);
}

void clsa_engine_reset(struct clsa_engine *e)
{
    memset(e->past, 0, e->options.n_seqs * sizeof *e->past);
    e->retracted = false;
    e->whole = false;
}

int clsa_engine_set_policy(struct clsa_engine *e, uint32_t group, uint32_t top_k,
                           struct clsa_err *err)
{
    const uint32_t group_was = e->options.group;
    int status;

    if (group != e->options.group)
        for (uint32_t s = 0; s < e->options.n_seqs; s++)
            if (e->past[s])
                return clsa_fail(err, CLSA_EUSAGE,
                                 "%s: the cache holds index keys of another group size",
                                 e->g->name);
    e->options.group = group;
    if (e->bound_group != group) {
        status = bind(e, err);
        if (status) {
            e->options.group = group_was;
            return status;
        }
    }
    e->options.top_k = top_k ? top_k : e->g->index_topk;
    e->whole = false;
    return CLSA_OK;
}

int clsa_engine_retract(struct clsa_engine *e, uint32_t first_seq, uint32_t n_seqs, struct clsa_err *err)
{
    bool some = !e->retracted && first_seq + (uint64_t)n_seqs <= e->options.n_seqs;
    for (uint32_t s = first_seq; some && s < first_seq + n_seqs; s++)
        some = e->past[s] > 0;
    if (!some)
        return clsa_fail(err, CLSA_EUSAGE, "%s: no step to take back", e->g->name);
    for (uint32_t s = first_seq; s < first_seq + n_seqs; s++)
        e->past[s]--;
    e->retracted = true;
    e->whole = false;
    return CLSA_OK;
}

uint64_t clsa_engine_length(const struct clsa_engine *e, uint32_t seq)
{
    assert(seq < e->options.n_seqs);
    return e->past[seq];
}

const void *clsa_engine_tensor(const struct clsa_engine *e, const struct clsa_step *step,
                               uint32_t tensor)
{
    assert(e->running && e->running->step == step && tensor < step->n_tensors);
    return e->running->tensors[tensor];
}

uint32_t clsa_engine_selected_count(const struct clsa_engine *e, uint32_t query)
{
    return (uint32_t)e->counts[query];
}

const struct clsa_kernels *clsa_engine_kernels(const struct clsa_engine *e)
{
    return e->kernels;
}

const struct clsa_geometry *clsa_engine_geometry(const struct clsa_engine *e)
{
    return e->g;
}
