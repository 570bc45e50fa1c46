#include "sim/cli/runner.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/engine/sample.h"

#define STEPS_KEPT 256u /* steps whose op times are kept: the last ones */

/* Keeps the time of every op of a decode step, for the last STEPS_KEPT steps. */
struct clock {
    const struct clsa_observer *listener;
    bool decoding;
    size_t n_ops;        /* of a decode step */
    char (*names)[32];   /* [n_ops] */
    uint64_t *samples;   /* [kept][n_ops + 1]: ops, then what the step took beside them */
    uint64_t *whole;     /* [kept] */
    uint64_t spent;      /* by the ops of the step in progress */
    uint32_t steps, kept;
};

static int on_step_begin(void *user, const struct clsa_step *step)
{
    struct clock *c = user;
    c->decoding = step->phase == CLSA_DECODE && c->kept > 0;
    c->spent = 0;
    if (c->decoding && !c->names) {
        c->n_ops = step->n_ops;
        c->names = clsa_malloc(c->n_ops, sizeof *c->names);
        c->samples = clsa_malloc(c->n_ops + 1, c->kept * sizeof *c->samples);
        if (!c->names || !c->samples)
            return CLSA_ENOMEM;
        for (size_t i = 0; i < c->n_ops; i++)
            clsa_op_name(&step->ops[i], c->names[i], sizeof c->names[i]);
    }
    return c->listener && c->listener->step_begin
               ? c->listener->step_begin(c->listener->user, step)
               : CLSA_OK;
}

static int on_op_done(void *user, const struct clsa_step *step, size_t i, uint64_t wall_ns)
{
    struct clock *c = user;
    if (c->decoding && i < c->n_ops) {
        c->samples[c->steps % c->kept * (c->n_ops + 1) + i] = wall_ns;
        c->spent += wall_ns;
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
    if (c->decoding) {
        const uint32_t at = c->steps++ % c->kept;
        c->samples[at * (c->n_ops + 1) + c->n_ops] = wall_ns > c->spent ? wall_ns - c->spent : 0;
        c->whole[at] = wall_ns;
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

static uint64_t median(const uint64_t *sorted, size_t n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* What n > 0 samples say; sorts them. Others on the host only ever make an op slower: its time is the
 * median of the faster half. */
static struct clsa_op_time summary(uint64_t *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return (struct clsa_op_time){
        .time_ns = median(values, (n + 1) / 2), .low_ns = values[0], .high_ns = median(values, n)};
}

static int summarise(struct clock *c, struct clsa_generation *out, struct clsa_err *err)
{
    const size_t n = c->steps < c->kept ? c->steps : c->kept;
    out->steps = c->steps;
    if (c->steps == 0)
        return CLSA_OK;
    uint64_t *column = clsa_malloc(n, sizeof *column);
    out->ops = clsa_calloc(c->n_ops, sizeof *out->ops);
    if (!column || !out->ops) {
        free(column);
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i <= c->n_ops; i++) {
        for (size_t s = 0; s < n; s++)
            column[s] = c->samples[s * (c->n_ops + 1) + i];
        const struct clsa_op_time one = summary(column, n);
        out->step_ns += one.time_ns;
        if (i == c->n_ops)
            break;
        size_t at = 0;
        while (at < out->n_ops && strcmp(out->ops[at].name, c->names[i]))
            at++;
        if (at == out->n_ops)
            memcpy(out->ops[out->n_ops++].name, c->names[i], sizeof c->names[i]);
        struct clsa_op_time *op = &out->ops[at];
        op->count++;
        op->time_ns += one.time_ns;
        op->low_ns += one.low_ns;
        op->high_ns += one.high_ns;
    }
    const struct clsa_op_time whole = summary(c->whole, n);
    out->step_low_ns = out->step_ns < whole.low_ns ? out->step_ns : whole.low_ns;
    out->step_high_ns = whole.high_ns;
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
        c->kept = request->steps < STEPS_KEPT ? request->steps : STEPS_KEPT;
        c->whole = clsa_malloc(c->kept, sizeof *c->whole);
    }
    if (!c || !c->whole || !logits || !next || !g.tokens) {
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
        free(c->names);
        free(c->samples);
        free(c->whole);
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
