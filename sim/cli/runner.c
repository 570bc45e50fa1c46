#include "sim/cli/runner.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/engine/sample.h"

#define NAMES_MAX 64

/* Adds up op times of the step in progress by name, and keeps them for each decode step. */
struct clock {
    const struct clsa_observer *listener;
    bool decoding;
    size_t n_names;
    char names[NAMES_MAX][32];
    uint32_t counts[NAMES_MAX];
    uint64_t now[NAMES_MAX];
    uint64_t *samples; /* [steps][NAMES_MAX] */
    uint64_t *step_ns;
    uint32_t steps, room;
};

static int on_step_begin(void *user, const struct clsa_step *step)
{
    struct clock *c = user;
    c->decoding = step->phase == CLSA_DECODE;
    memset(c->now, 0, sizeof c->now);
    if (c->steps == 0)
        memset(c->counts, 0, sizeof c->counts);
    return c->listener && c->listener->step_begin
               ? c->listener->step_begin(c->listener->user, step)
               : CLSA_OK;
}

static int on_op_done(void *user, const struct clsa_step *step, size_t i, uint64_t wall_ns)
{
    struct clock *c = user;
    char name[32];
    size_t at = 0;
    if (c->decoding) {
        clsa_op_name(&step->ops[i], name, sizeof name);
        while (at < c->n_names && strcmp(c->names[at], name))
            at++;
        if (at == c->n_names && at < NAMES_MAX)
            memcpy(c->names[c->n_names++], name, sizeof name);
        if (at < NAMES_MAX) {
            c->now[at] += wall_ns;
            c->counts[at] += c->steps == 0;
        }
    }
    return c->listener && c->listener->op_done
               ? c->listener->op_done(c->listener->user, step, i, wall_ns)
               : CLSA_OK;
}

static int on_selection(void *user, const struct clsa_step *step, const struct clsa_index_set *set,
                        const float *scores)
{
    struct clock *c = user;
    return c->listener && c->listener->selection
               ? c->listener->selection(c->listener->user, step, set, scores)
               : CLSA_OK;
}

static int on_step_end(void *user, const struct clsa_step *step, uint64_t wall_ns)
{
    struct clock *c = user;
    if (c->decoding && c->steps < c->room) {
        memcpy(c->samples + (size_t)c->steps * NAMES_MAX, c->now, sizeof c->now);
        c->step_ns[c->steps++] = wall_ns;
    }
    return c->listener && c->listener->step_end
               ? c->listener->step_end(c->listener->user, step, wall_ns)
               : CLSA_OK;
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Median and quartiles of n > 0 values; sorts them. */
static void middle(uint64_t *values, size_t n, uint64_t *median, uint64_t *low, uint64_t *high)
{
    qsort(values, n, sizeof *values, ascending);
    *median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    *low = values[n / 4];
    *high = values[n - 1 - n / 4];
}

static int summarise(struct clock *c, struct clsa_generation *out, struct clsa_err *err)
{
    out->steps = c->steps;
    if (c->steps == 0)
        return CLSA_OK;
    uint64_t *column = clsa_malloc(c->steps, sizeof *column);
    out->ops = clsa_calloc(c->n_names, sizeof *out->ops);
    if (!column || !out->ops) {
        free(column);
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < c->n_names; i++) {
        struct clsa_op_time *op = &out->ops[i];
        for (uint32_t s = 0; s < c->steps; s++)
            column[s] = c->samples[(size_t)s * NAMES_MAX + i];
        middle(column, c->steps, &op->median_ns, &op->low_ns, &op->high_ns);
        memcpy(op->name, c->names[i], sizeof op->name);
        op->count = c->counts[i];
    }
    out->n_ops = c->n_names;
    middle(c->step_ns, c->steps, &out->step_ns, &out->step_low_ns, &out->step_high_ns);
    free(column);
    return CLSA_OK;
}

/* Prefill and decode with an engine that exists. */
static int play(const struct clsa_generation_request *request, struct clsa_engine *engine,
                float *logits, int32_t *next, struct clsa_generation *out, struct clsa_err *err)
{
    const uint32_t batch = request->prompt->batch;
    const size_t vocab = clsa_engine_geometry(engine)->vocab;
    struct clsa_rng rng;
    clsa_rng_seed(&rng, request->seed);
    const uint64_t start = clsa_now_ns();
    int status = CLSA_OK;
    if (request->fill) {
        memset(logits, 0, batch * vocab * sizeof *logits);
        status = clsa_engine_fill(engine, request->prompt->n, request->seed, err);
    } else {
        status = clsa_engine_prefill(engine, 0, batch, request->prompt->tokens, request->prompt->n,
                                     NULL, batch, logits, err);
    }
    out->prefill_ns = clsa_now_ns() - start;
    for (uint32_t s = 0; status == CLSA_OK && s < request->steps; s++) {
        for (uint32_t b = 0; status == CLSA_OK && b < batch; b++) {
            size_t token = 0;
            if (clsa_sample(logits + b * vocab, vocab, request->temperature, request->top_p, &rng,
                            &token))
                status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
            next[b] = (int32_t)token;
            out->tokens[(size_t)b * request->steps + s] = next[b];
        }
        if (status == CLSA_OK)
            status = clsa_engine_decode(engine, 0, batch, next, logits, err);
    }
    return status;
}

int clsa_generate(const struct clsa_generation_request *request, struct clsa_generation *out,
                  struct clsa_err *err)
{
    const uint32_t batch = request->prompt->batch;
    struct clsa_generation g = {0};
    struct clsa_engine *engine = NULL;
    struct clock *c = clsa_calloc(1, sizeof *c);
    float *logits =
        clsa_malloc((size_t)batch * clsa_model_geometry(request->model)->vocab, sizeof *logits);
    int32_t *next = clsa_malloc(batch, sizeof *next);
    g.tokens = clsa_malloc((size_t)batch * request->steps, sizeof *g.tokens);
    int status = CLSA_OK;
    if (c) {
        c->listener = request->listener;
        c->room = request->steps;
        c->samples = clsa_malloc((size_t)request->steps * NAMES_MAX, sizeof *c->samples);
        c->step_ns = clsa_malloc(request->steps, sizeof *c->step_ns);
    }
    if (!c || !c->samples || !c->step_ns || !logits || !next || !g.tokens) {
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
        goto done;
    }
    const struct clsa_observer observer = {.user = c,
                                           .step_begin = on_step_begin,
                                           .op_done = on_op_done,
                                           .selection = on_selection,
                                           .step_end = on_step_end};
    struct clsa_engine_options options = request->engine;
    options.n_seqs = batch;
    options.capacity = request->prompt->n + request->steps;
    options.observer = &observer;
    status = clsa_engine_create(request->model, &options, &engine, err);
    if (status == CLSA_OK)
        status = play(request, engine, logits, next, &g, err);
    if (status == CLSA_OK)
        status = summarise(c, &g, err);
done:
    clsa_engine_destroy(engine);
    if (c) {
        free(c->samples);
        free(c->step_ns);
    }
    free(c);
    free(logits);
    free(next);
    if (status) {
        clsa_generation_destroy(&g);
        return status;
    }
    *out = g;
    return CLSA_OK;
}

void clsa_generation_destroy(struct clsa_generation *generation)
{
    free(generation->ops);
    free(generation->tokens);
    *generation = (struct clsa_generation){0};
}
