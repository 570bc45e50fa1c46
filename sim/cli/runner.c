#include "sim/cli/runner.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/engine/sample.h"

#define STEPS_KEPT 256u /* steps whose op times are kept: the last ones */
/* A request's decode steps come in so many turns, but for turns that would be shorter than so many steps: what others on a
 * host do changes within seconds. */
#define TURNS 4u
#define TURN_LEAST 8u
/* Before a turn its first step is made at least so often. */
#define SETTLE_STEPS 2u

/* Keeps the time of every op of a decode step, for the last STEPS_KEPT steps. */
struct clock {
    const struct clsa_observer *listener;
    bool settling;       /* nothing counts */
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
    c->decoding = step->phase == CLSA_DECODE && !c->settling;
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
    return !c->settling && c->listener && c->listener->step_begin
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
    return !c->settling && c->listener && c->listener->op_done
               ? c->listener->op_done(c->listener->user, step, i, wall_ns)
               : CLSA_OK;
}

static int on_selection(void *user, const struct clsa_step *step, const struct clsa_index_set *set,
                        const float *scores)
{
    struct clock *c = user;
    return !c->settling && c->listener && c->listener->selection
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
    return !c->settling && c->listener && c->listener->step_end
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

/* A request under way. */
struct player {
    const struct clsa_generation_request *request;
    struct clsa_engine *engine;
    struct clock clock;
    struct clsa_observer observer;
    struct clsa_rng rng;
    float *logits; /* [batch, vocab] */
    int32_t *next; /* [batch] */
    struct clsa_generation made;
};

static size_t vocab_of(const struct player *p)
{
    return clsa_model_geometry(p->request->model)->vocab;
}

/* An engine with the prompt in its caches. */
static int begin(struct player *p, const struct clsa_generation_request *request, struct clsa_err *err)
{
    const uint32_t batch = request->prompt->batch, steps = request->steps;
    p->request = request;
    p->clock.listener = request->listener;
    p->clock.kept = steps < STEPS_KEPT ? steps : STEPS_KEPT;
    p->clock.whole = clsa_malloc(p->clock.kept, sizeof *p->clock.whole);
    p->logits = clsa_calloc(batch, vocab_of(p) * sizeof *p->logits);
    p->next = clsa_malloc(batch, sizeof *p->next);
    p->made.tokens = clsa_malloc((size_t)batch * steps, sizeof *p->made.tokens);
    if (!p->clock.whole || !p->logits || !p->next || !p->made.tokens)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    p->observer = (struct clsa_observer){.user = &p->clock,
                                         .step_begin = on_step_begin,
                                         .op_done = on_op_done,
                                         .selection = on_selection,
                                         .step_end = on_step_end};
    struct clsa_engine_options options = request->engine;
    options.n_seqs = batch;
    options.capacity = request->prompt->n + steps;
    options.observer = &p->observer;
    clsa_rng_seed(&p->rng, request->seed);
    int status = clsa_engine_create(request->model, &options, &p->engine, err);
    if (status)
        return status;
    return request->fill ? clsa_engine_fill(p->engine, request->prompt->n, request->seed, err)
                         : clsa_engine_prefill(p->engine, 0, batch, request->prompt->tokens,
                                               request->prompt->n, NULL, batch, p->logits, err);
}

/* The next token of every sequence. */
static int sample(struct player *p, struct clsa_err *err)
{
    const struct clsa_generation_request *r = p->request;
    for (uint32_t b = 0; b < r->prompt->batch; b++) {
        size_t token = 0;
        if (clsa_sample(p->logits + b * vocab_of(p), vocab_of(p), r->temperature, r->top_p, &p->rng, &token))
            return clsa_fail(err, CLSA_ENOMEM, "out of memory");
        p->next[b] = (int32_t)token;
    }
    return CLSA_OK;
}

/* One more decode step. */
static int step(struct player *p, struct clsa_err *err)
{
    const uint32_t batch = p->request->prompt->batch;
    const int status = sample(p, err);
    if (status)
        return status;
    for (uint32_t b = 0; b < batch; b++)
        p->made.tokens[(size_t)b * p->request->steps + p->made.steps] = p->next[b];
    p->made.steps++;
    return clsa_engine_decode(p->engine, 0, batch, p->next, p->logits, err);
}

/* Makes the next step until caches hold what it reads, and takes it back each time. */
static int settle(struct player *p, struct clsa_err *err)
{
    const uint32_t batch = p->request->prompt->batch;
    const uint64_t begin = clsa_now_ns();
    const struct clsa_rng rng = p->rng;
    int status = sample(p, err);
    p->rng = rng;
    p->clock.settling = true;
    for (uint32_t i = 0; status == CLSA_OK && (i < SETTLE_STEPS || clsa_now_ns() - begin < CLSA_SETTLE_NS); i++) {
        status = clsa_engine_decode(p->engine, 0, batch, p->next, NULL, err);
        if (status == CLSA_OK)
            status = clsa_engine_retract(p->engine, 0, batch, err);
    }
    p->clock.settling = false;
    return status;
}

static void end(struct player *p)
{
    clsa_engine_destroy(p->engine);
    free(p->clock.names);
    free(p->clock.samples);
    free(p->clock.whole);
    free(p->logits);
    free(p->next);
    clsa_generation_destroy(&p->made);
}

/* Every request's steps: some of each in turn, and looks at the host between them. */
static int play(struct player *players, size_t n, struct clsa_prober *prober, struct clsa_err *err)
{
    const bool turns = n > 1 || prober;
    int status = prober ? clsa_prober_look(prober, err) : CLSA_OK;
    for (bool more = true; status == CLSA_OK && more;) {
        more = false;
        for (size_t i = 0; status == CLSA_OK && i < n; i++) {
            struct player *p = &players[i];
            const uint32_t steps = p->request->steps, left = steps - p->made.steps;
            const uint32_t share = (steps + TURNS - 1) / TURNS, most = share > TURN_LEAST ? share : TURN_LEAST;
            const uint32_t turn = turns && left > most ? most : left;
            if (turns && turn)
                status = settle(p, err);
            for (uint32_t s = 0; status == CLSA_OK && s < turn; s++)
                status = step(p, err);
            if (status == CLSA_OK && prober)
                status = clsa_prober_look(prober, err);
            more |= left > turn;
        }
    }
    return status;
}

int clsa_generate(const struct clsa_generation_request *requests, size_t n, struct clsa_prober *prober,
                  struct clsa_generation *out, struct clsa_err *err)
{
    struct player *players = clsa_calloc(n, sizeof *players);
    int status = players ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    for (size_t i = 0; status == CLSA_OK && i < n; i++)
        status = begin(&players[i], &requests[i], err);
    if (status == CLSA_OK)
        status = play(players, n, prober, err);
    for (size_t i = 0; status == CLSA_OK && i < n; i++)
        status = summarise(&players[i].clock, &players[i].made, err);
    for (size_t i = 0; players && i < n; i++) {
        if (status == CLSA_OK) {
            out[i] = players[i].made;
            players[i].made = (struct clsa_generation){0};
        }
        end(&players[i]);
    }
    free(players);
    return status;
}

void clsa_generation_destroy(struct clsa_generation *generation)
{
    free(generation->ops);
    free(generation->tokens);
    *generation = (struct clsa_generation){0};
}
