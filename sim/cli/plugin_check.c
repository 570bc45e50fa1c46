/* `check --plugin`: random shapes, then the tensors of a real run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/check_plugin.h"
#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/log.h"
#include "sim/cli/plugin.h"
#include "sim/cli/runner.h"

enum { TOKENS = 448, QUERY_EVERY = 32, DECODE_STEPS = 3, TOP_K = 64, BENCH_RUNS = 9 };

/* An engine's run, its jobs given to a check on the way. */
struct capture {
    struct clsa_plugin_check *check;
    uint32_t kind; /* of the kernel under check */
    const struct clsa_kernels *kernels;
};

static int capture_index(void *user, const struct clsa_par_index_job *jobs, size_t n,
                         struct clsa_err *err)
{
    const struct capture *c = user;
    (void)err;
    if (n && c->kind == (jobs->w ? CLSA_PLUGIN_INDEX_SCORE_HEADS : CLSA_PLUGIN_INDEX_SCORE))
        clsa_plugin_check_index(c->check, "captured", jobs, n);
    clsa_par_index_score(c->kernels, jobs, n);
    return CLSA_OK;
}

static int capture_topk(void *user, struct clsa_par_topk_job *jobs, size_t n, struct clsa_err *err)
{
    const struct capture *c = user;
    if (c->kind == CLSA_PLUGIN_TOPK)
        clsa_plugin_check_topk(c->check, "captured", jobs, n);
    return clsa_par_topk(c->kernels, jobs, n) ? clsa_fail(err, CLSA_ENOMEM, "out of memory")
                                              : CLSA_OK;
}

static int capture_attn(void *user, const struct clsa_par_attn_job *jobs, size_t n,
                        struct clsa_err *err)
{
    const struct capture *c = user;
    if (c->kind == CLSA_PLUGIN_ATTN_SPARSE)
        clsa_plugin_check_attn(c->check, "captured", jobs, n);
    return clsa_par_attn(c->kernels, jobs, n) ? clsa_fail(err, CLSA_ENOMEM, "out of memory")
                                              : CLSA_OK;
}

/* The embedded model reads a text and decodes a few steps: queries all along the text, one sequence and
 * two, caches of one dtype. */
static int play(const struct capture *capture, struct clsa_model *model, unsigned dtype,
                const struct clsa_prompt *prompt, struct clsa_err *err)
{
    const struct clsa_engine_hooks hooks = {.user = (void *)(uintptr_t)capture,
                                            .index_score = capture_index,
                                            .topk = capture_topk,
                                            .attn_sparse = capture_attn};
    const struct clsa_geometry *g = clsa_model_geometry(model);
    struct clsa_query queries[2 * (TOKENS / QUERY_EVERY)];
    struct clsa_engine_options o;
    struct clsa_engine *engine = NULL;
    int32_t next[2] = {'a', 'b'};
    uint32_t n = 0;
    int status;
    for (uint32_t s = 0; s < prompt->batch; s++)
        for (uint64_t keys = QUERY_EVERY; keys <= prompt->n; keys += QUERY_EVERY)
            queries[n++] = (struct clsa_query){s, keys};
    clsa_engine_defaults(g, prompt->n + DECODE_STEPS, &o);
    o.n_seqs = prompt->batch;
    o.kernels = capture->kernels;
    o.hooks = &hooks;
    o.group = g->index_group ? g->index_group : 1;
    o.top_k = TOP_K;
    o.kv_dtype = o.index_dtype = dtype;
    status = clsa_engine_create(model, &o, &engine, err);
    if (status == CLSA_OK)
        status = clsa_engine_prefill(engine, 0, prompt->batch, prompt->tokens, prompt->n, queries, n,
                                     NULL, err);
    for (uint32_t i = 0; status == CLSA_OK && i < DECODE_STEPS; i++)
        status = clsa_engine_decode(engine, 0, prompt->batch, next, NULL, err);
    clsa_engine_destroy(engine);
    return status;
}

static int captured(const struct capture *capture, struct clsa_err *err)
{
    struct clsa_model *model = NULL;
    struct clsa_prompt prompt = {0};
    char *tasks = clsa_data_find("models", "tasks", ".safetensors", err);
    int status = tasks ? clsa_prompt_tensor(tasks, "s1024.text_tokens", TOKENS, 2, &prompt, err)
                       : CLSA_ENOTFOUND;
    if (status == CLSA_OK)
        status = clsa_model_open("clsa-byte-5m", &model, err);
    if (status == CLSA_OK)
        status = play(capture, model, CLSA_F32, &prompt, err);
    if (status == CLSA_OK)
        status = play(capture, model, CLSA_BF16, &prompt, err);
    clsa_model_destroy(model);
    clsa_prompt_destroy(&prompt);
    free(tasks);
    return status;
}

/* ---- output ---- */

struct table {
    struct clsa_printer *printer;
    struct clsa_store *store;
    struct clsa_err *err;
    int status;
    bool bench;
    size_t failures;
};

static void add_verdict(struct table *t, const struct clsa_plugin_verdict *v, const char *inputs)
{
    const struct clsa_check_result *r = &v->result;
    const struct clsa_value row[] = {
        clsa_text(r->kernel),    clsa_text(r->rung),      clsa_text(inputs),          clsa_whole(r->cases),
        clsa_whole(v->skipped),  clsa_whole(r->values),   clsa_whole(r->failures),    clsa_real(r->worst, 3),
        clsa_real(v->recall, 4), clsa_real(v->recall_least, 4), clsa_text(r->message)};
    const struct clsa_kernel_check_row stored = {.kernel = r->kernel,
                                                 .rung = r->rung,
                                                 .shape = inputs,
                                                 .message = r->message,
                                                 .cases = r->cases,
                                                 .failures = r->failures,
                                                 .worst_error = r->worst,
                                                 .time_ps = CLSA_NULL,
                                                 .bytes = CLSA_NULL,
                                                 .flops = CLSA_NULL};
    t->failures += r->failures;
    if (t->bench && r->failures)
        clsa_error("%s of %s on %s inputs: %s", r->kernel, r->rung, inputs, r->message);
    if (t->status == CLSA_OK && !t->bench)
        t->status = clsa_printer_row(t->printer, row, t->err);
    if (t->status == CLSA_OK)
        t->status = clsa_store_add_kernel_check(t->store, &stored, t->err);
}

static void add_timing(void *user, const struct clsa_check_timing *c)
{
    struct table *t = user;
    const struct clsa_value row[] = {clsa_text(c->kernel),        clsa_text(c->rung),
                                     clsa_text(c->shape),         clsa_real(c->ns / 1e3, 2),
                                     clsa_real(c->gbps, 2),       clsa_real(c->gflops, 2)};
    const struct clsa_kernel_check_row stored = {.kernel = c->kernel,
                                                 .rung = c->rung,
                                                 .shape = c->shape,
                                                 .message = "",
                                                 .worst_error = NAN,
                                                 .time_ps = (int64_t)(c->ns * 1e3),
                                                 .bytes = (int64_t)c->bytes,
                                                 .flops = (int64_t)c->flops};
    if (t->status == CLSA_OK)
        t->status = clsa_printer_row(t->printer, row, t->err);
    if (t->status == CLSA_OK)
        t->status = clsa_store_add_kernel_check(t->store, &stored, t->err);
}

/* One kernel: random, captured, timed. */
static int check_one(struct table *t, struct clsa_plugin_host *host, size_t kernel, uint64_t seed,
                     bool quick, struct clsa_err *err)
{
    const struct clsa_plugin_offer *offer = clsa_plugin_host_offer(host, kernel);
    struct capture capture = {.kind = offer->kind, .kernels = clsa_kernels_best()};
    const size_t before = t->failures;
    struct clsa_plugin_verdict v;
    int status = CLSA_OK;
    if (clsa_plugin_check_begin(host, kernel, seed, &capture.check))
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    clsa_plugin_check_random(capture.check, quick);
    clsa_plugin_check_end(capture.check, &v);
    add_verdict(t, &v, "random");
    if (clsa_plugin_check_begin(host, kernel, seed, &capture.check))
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    status = captured(&capture, err);
    clsa_plugin_check_end(capture.check, &v);
    /* the embedded model has one index head: it feeds no weighted scores */
    if (status == CLSA_OK && (v.result.cases || v.result.failures))
        add_verdict(t, &v, "captured");
    if (status == CLSA_OK && t->bench && t->failures == before) {
        const struct clsa_check_sink sink = {.ctx = t, .timing = add_timing};
        if (clsa_plugin_check_time(host, kernel, BENCH_RUNS, &sink)) {
            t->failures++;
            clsa_error("%s: %s", offer->name, clsa_plugin_host_fault(host)[0]
                                                  ? clsa_plugin_host_fault(host)
                                                  : "out of memory");
        }
    }
    return status ? status : t->status;
}

int clsa_cli_plugin_check(const struct clsa_args *args, uint64_t seed, enum clsa_format format,
                          struct clsa_store *store, struct clsa_err *err)
{
    static const char *const verified[] = {"kernel",         "rung",     "inputs",
                                           "cases",          "skipped",  "values",
                                           "failures",       "worst_of_bound",
                                           "recall",         "recall_least", "message"};
    static const char *const timed[] = {"kernel", "rung", "shape", "time_us", "gbps", "gflops"};
    const char *only = clsa_arg(args, "kernel", NULL);
    struct table t = {.store = store, .err = err, .bench = clsa_arg_given(args, "bench")};
    struct clsa_cli_plugin plugin = {0};
    bool found = false;
    int status = clsa_cli_plugin_open(args, &plugin, err);
    if (status)
        return status;
    status = clsa_printer_open(stdout, format, t.bench ? timed : verified,
                               t.bench ? sizeof timed / sizeof *timed
                                       : sizeof verified / sizeof *verified,
                               &t.printer, err);
    for (size_t i = 0; status == CLSA_OK && i < clsa_plugin_host_count(plugin.host); i++)
        if (!only || strcmp(only, clsa_plugin_host_offer(plugin.host, i)->name) == 0) {
            found = true;
            status = check_one(&t, plugin.host, i, seed, clsa_arg_given(args, "quick"), err);
        }
    const int closed = clsa_printer_close(t.printer, status ? NULL : err);
    if (status == CLSA_OK)
        status = closed;
    if (status == CLSA_OK && !found)
        status = clsa_fail(err, CLSA_EUSAGE, "check: %s offers no kernel '%s'", plugin.path, only);
    clsa_cli_plugin_close(&plugin);
    return status ? status : t.failures > 0;
}
