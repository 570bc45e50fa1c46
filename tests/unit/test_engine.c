#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/rng.h"
#include "sim/engine/engine.h"
#include "sim/engine/eval.h"
#include "sim/engine/sample.h"
#include "sim/engine/verify.h"
#include "sim/model/safetensors.h"
#include "tests/unit/test.h"

enum { VOCAB = 256 };

static struct clsa_err err;
static struct clsa_model *model;
static const struct clsa_geometry *g;
static char path[256];

static const char *source(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", clsa_test_source(), name);
    return path;
}

static void setup(void)
{
    ck_assert_msg(clsa_model_open(source("models/clsa-byte-5m.json"), &model, &err) == 0, "%s",
                  err.text);
    g = clsa_model_geometry(model);
}

static void teardown(void)
{
    clsa_model_destroy(model);
}

static struct clsa_engine *engine(const struct clsa_engine_options *o)
{
    struct clsa_engine *e;
    ck_assert_msg(clsa_engine_create(model, o, &e, &err) == 0, "%s", err.text);
    return e;
}

static struct clsa_engine_options options(uint64_t capacity, uint32_t group, uint32_t top_k)
{
    struct clsa_engine_options o;
    clsa_engine_defaults(g, capacity, &o);
    o.group = group;
    o.top_k = top_k;
    return o;
}

/* Bytes that look a little like text. */
static void text(int32_t *tokens, size_t n, uint64_t seed)
{
    struct clsa_rng rng;
    clsa_rng_seed(&rng, seed);
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(32 + clsa_rng_below(&rng, 90));
}

static void prefill(struct clsa_engine *e, uint32_t seq, const int32_t *tokens, uint64_t n,
                    float *logits)
{
    ck_assert_msg(clsa_engine_prefill(e, seq, 1, tokens, n, NULL, 0, logits, &err) == 0, "%s",
                  err.text);
}

static double distance(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= most))
            most = fabs((double)a[i] - b[i]);
    return most;
}

/* Logits of two ways to compute the same, in float32: verify's bound for this model is some 6e-5 of
 * one; two of them may differ by twice that. */
#define CLOSE 2e-4

/* ---- ways that must agree ---- */

START_TEST(chunks_and_decode_agree_with_one_prefill)
{
    enum { N = 400 };
    static const uint64_t chunks[] = {400, 128, 100, 1, 7};
    int32_t tokens[N];
    float whole[VOCAB], parts[VOCAB], steps[VOCAB];
    struct clsa_engine_options o = options(N, 4, 32);
    struct clsa_engine *e;

    text(tokens, N, 1);
    o.chunk = N;
    e = engine(&o);
    prefill(e, 0, tokens, N, whole);
    clsa_engine_destroy(e);
    o.chunk = chunks[_i];
    e = engine(&o);
    prefill(e, 0, tokens, N, parts);
    ck_assert_uint_eq(clsa_engine_length(e, 0), N);
    ck_assert_double_lt(distance(whole, parts, VOCAB), CLOSE);
    clsa_engine_reset(e);
    prefill(e, 0, tokens, N - 20, NULL);
    for (int i = N - 20; i < N; i++)
        ck_assert_int_eq(clsa_engine_decode(e, 0, 1, &tokens[i], steps, &err), 0);
    ck_assert_double_lt(distance(whole, steps, VOCAB), CLOSE);
    clsa_engine_destroy(e);
}
END_TEST

/* Sequences of different lengths decode together as they do alone. */
START_TEST(a_batch_agrees_with_its_sequences)
{
    enum { BATCH = 3, STEPS = 5 };
    static const uint64_t lengths[BATCH] = {5, 333, 150};
    int32_t tokens[BATCH][340];
    float together[BATCH * VOCAB], alone[VOCAB];
    struct clsa_engine_options o = options(345, _i ? 2 : 0, 16);
    struct clsa_engine *e, *one = engine(&o);

    o.n_seqs = BATCH;
    e = engine(&o);
    for (uint32_t b = 0; b < BATCH; b++) {
        text(tokens[b], 340, b + 10);
        prefill(e, b, tokens[b], lengths[b], NULL);
    }
    for (int s = 0; s < STEPS; s++) {
        int32_t next[BATCH];
        for (int b = 0; b < BATCH; b++)
            next[b] = tokens[b][lengths[b] + (uint64_t)s];
        ck_assert_int_eq(clsa_engine_decode(e, 0, BATCH, next, together, &err), 0);
    }
    for (uint32_t b = 0; b < BATCH; b++) {
        clsa_engine_reset(one);
        prefill(one, 0, tokens[b], lengths[b] + STEPS, alone);
        ck_assert_double_lt(distance(together + b * VOCAB, alone, VOCAB), CLOSE);
    }
    clsa_engine_destroy(e);
    clsa_engine_destroy(one);
}
END_TEST

START_TEST(selecting_everything_is_dense)
{
    enum { N = 200 };
    int32_t tokens[N];
    float dense[VOCAB], all[VOCAB];
    struct clsa_engine_options o = options(N, 0, 0);
    struct clsa_engine *e = engine(&o);

    text(tokens, N, 3);
    prefill(e, 0, tokens, N, dense);
    for (uint32_t group = 1; group <= 8; group *= 2) {
        clsa_engine_reset(e);
        ck_assert_int_eq(clsa_engine_set_policy(e, group, N, &err), 0);
        prefill(e, 0, tokens, N, all);
        ck_assert_double_lt(distance(dense, all, VOCAB), CLOSE);
    }
    /* And leaving keys out is not. */
    clsa_engine_reset(e);
    ck_assert_int_eq(clsa_engine_set_policy(e, 8, 4, &err), 0);
    prefill(e, 0, tokens, N, all);
    ck_assert_double_gt(distance(dense, all, VOCAB), 10 * CLOSE);
    clsa_engine_destroy(e);
}
END_TEST

/* This checkpoint has one K/V: a layer of its own gets a copy, and the same bits come out. */
START_TEST(per_layer_kv_of_a_shared_checkpoint_changes_no_bit)
{
    enum { N = 300 };
    int32_t tokens[N];
    float shared[2 * VOCAB], own[2 * VOCAB];
    struct clsa_engine_options o = options(N + 1, _i ? 4 : 0, 32);
    struct clsa_engine *e = engine(&o);

    text(tokens, N, 4);
    prefill(e, 0, tokens, N, shared);
    ck_assert_int_eq(clsa_engine_decode(e, 0, 1, tokens, shared + VOCAB, &err), 0);
    clsa_engine_destroy(e);
    o.per_layer_kv = true;
    e = engine(&o);
    prefill(e, 0, tokens, N, own);
    ck_assert_int_eq(clsa_engine_decode(e, 0, 1, tokens, own + VOCAB, &err), 0);
    clsa_engine_destroy(e);
    ck_assert_mem_eq(shared, own, sizeof shared);
}
END_TEST

START_TEST(threads_change_no_bit)
{
    enum { N = 700 };
    int32_t tokens[N];
    float logits[3][2 * VOCAB];

    text(tokens, N, 5);
    for (int threads = 1; threads <= 3; threads++) {
        struct clsa_engine_options o = options(N + 1, 2, 64);
        struct clsa_engine *e;
        omp_set_num_threads(threads);
        e = engine(&o);
        prefill(e, 0, tokens, N, logits[threads - 1]);
        ck_assert_int_eq(clsa_engine_decode(e, 0, 1, tokens, logits[threads - 1] + VOCAB, &err),
                         0);
        clsa_engine_destroy(e);
    }
    ck_assert_mem_eq(logits[0], logits[1], sizeof logits[0]);
    ck_assert_mem_eq(logits[0], logits[2], sizeof logits[0]);
}
END_TEST

START_TEST(rungs_and_products_agree)
{
    enum { N = 150 };
    int32_t tokens[N];
    float expected[VOCAB], logits[VOCAB];
    struct clsa_engine_options o = options(N, 4, 32);
    struct clsa_engine *e;

    text(tokens, N, 6);
    o.kernels = clsa_kernels_get(CLSA_RUNG_REF);
    e = engine(&o);
    ck_assert_str_eq(clsa_engine_kernels(e)->name, "ref");
    prefill(e, 0, tokens, N, expected);
    clsa_engine_destroy(e);
    for (int rung = CLSA_RUNG_AVX2; rung <= CLSA_RUNG_AVX512; rung++)
        for (int blas = 0; blas < 2; blas++) {
            o.kernels = clsa_kernels_get((enum clsa_rung)rung);
            o.blas = blas;
            if (!o.kernels)
                continue;
            e = engine(&o);
            prefill(e, 0, tokens, N, logits);
            clsa_engine_destroy(e);
            ck_assert_double_lt(distance(expected, logits, VOCAB), CLOSE);
        }
}
END_TEST

/* Asking again gives what a prefill under that policy gives. */
START_TEST(requery_agrees_with_prefill)
{
    enum { N = 300 };
    const struct clsa_query queries[3] = {{0, 10}, {0, 200}, {0, N}};
    int32_t tokens[N];
    float again[3 * VOCAB], fresh[3 * VOCAB];
    struct clsa_engine_options o = options(N, 0, 0);
    struct clsa_engine *e, *other;

    text(tokens, N, 7);
    o.chunk = N;
    e = engine(&o);
    ck_assert_int_eq(clsa_engine_requery(e, 2, 16, queries, 3, again, &err), CLSA_EUSAGE);
    prefill(e, 0, tokens, N, NULL);
    for (uint32_t group = 8; group; group /= 2) {
        o.group = group;
        o.top_k = 16;
        other = engine(&o);
        ck_assert_int_eq(clsa_engine_prefill(other, 0, 1, tokens, N, queries, 3, fresh, &err), 0);
        clsa_engine_destroy(other);
        ck_assert_int_eq(clsa_engine_requery(e, group, 16, queries, 3, again, &err), 0);
        ck_assert_mem_eq(again, fresh, sizeof again);
    }
    clsa_engine_destroy(e);
}
END_TEST

START_TEST(a_narrow_cache_stays_near)
{
    enum { N = 300 };
    int32_t tokens[N];
    float wide[VOCAB], narrow[VOCAB];
    struct clsa_engine_options o = options(N, 0, 0);
    struct clsa_engine *e = engine(&o);

    text(tokens, N, 8);
    prefill(e, 0, tokens, N, wide);
    clsa_engine_destroy(e);
    o.kv_dtype = o.index_dtype = CLSA_BF16;
    e = engine(&o);
    prefill(e, 0, tokens, N, narrow);
    clsa_engine_destroy(e);
    ck_assert_double_gt(distance(wide, narrow, VOCAB), 0);
    ck_assert_double_lt(distance(wide, narrow, VOCAB), 2); /* 8 bits of logits near 20 */
}
END_TEST

/* ---- what an observer is told ---- */

struct heard {
    size_t ops, sets;
    int begun, ended;
    uint32_t top_k;
    bool fail;
};

static int heard_begin(void *user, const struct clsa_step *step)
{
    struct heard *h = user;
    (void)step;
    h->begun++;
    h->ops = h->sets = 0;
    return 0;
}

static int heard_op(void *user, const struct clsa_step *step, size_t i, uint64_t wall_ns)
{
    struct heard *h = user;
    (void)step;
    (void)wall_ns;
    ck_assert_uint_eq(i, h->ops);
    h->ops++;
    return h->fail && i == 10 ? -77 : 0;
}

static int heard_selection(void *user, const struct clsa_step *step,
                           const struct clsa_index_set *set, const float *scores)
{
    struct heard *h = user;
    const uint64_t keys = step->queries[set->query].keys;
    float worst = INFINITY;
    uint32_t next = 0;

    ck_assert_uint_eq(set->count, keys < h->top_k ? keys : h->top_k);
    for (uint32_t i = 0; i < set->count; i++) {
        ck_assert_uint_lt(set->positions[i], keys);
        if (i)
            ck_assert_uint_gt(set->positions[i], set->positions[i - 1]);
        worst = fminf(worst, scores[set->positions[i]]);
    }
    /* What was left out scores no better, and an equal score only at a higher position. */
    for (uint32_t k = 0; k < keys; k++)
        if (next < set->count && set->positions[next] == k)
            next++;
        else
            ck_assert(scores[k] < worst ||
                      (scores[k] == worst && k > set->positions[set->count - 1]) ||
                      scores[k] == worst);
    h->sets++;
    return 0;
}

static int heard_end(void *user, const struct clsa_step *step, uint64_t wall_ns)
{
    struct heard *h = user;
    (void)wall_ns;
    ck_assert_uint_eq(h->ops, step->n_ops);
    ck_assert_uint_eq(h->sets, (size_t)step->n_sets * step->n_queries);
    h->ended++;
    return 0;
}

START_TEST(observers_hear_every_op_in_order)
{
    enum { N = 100 };
    struct heard h = {.top_k = 16};
    const struct clsa_observer o = {&h, heard_begin, heard_op, heard_selection, heard_end};
    struct clsa_engine_options opt = options(N + 2, 2, 16);
    struct clsa_engine *e;
    int32_t tokens[N];

    text(tokens, N, 9);
    opt.observer = &o;
    opt.chunk = 40;
    e = engine(&opt);
    prefill(e, 0, tokens, N, NULL);
    ck_assert_int_eq(h.begun, 3);
    ck_assert_int_eq(h.ended, 3);
    ck_assert_int_eq(clsa_engine_decode(e, 0, 1, tokens, NULL, &err), 0);
    ck_assert_int_eq(h.ended, 4);
    h.fail = true;
    ck_assert_int_eq(clsa_engine_decode(e, 0, 1, tokens, NULL, &err), -77);
    ck_assert_uint_eq(clsa_engine_length(e, 0), N + 1);
    clsa_engine_destroy(e);
}
END_TEST

/* Another token than the next one, taken back, changes no bit of what follows; two do not come back. */
START_TEST(a_token_taken_back_leaves_no_trace)
{
    enum { N = 200 };
    int32_t tokens[N + 2], other = 65;
    float straight[2][VOCAB], again[VOCAB];
    struct clsa_engine_options o = options(N + 2, 4, 32);
    struct clsa_engine *e = engine(&o);

    text(tokens, N + 2, 11);
    ck_assert_int_eq(clsa_engine_retract(e, 0, 1, &err), CLSA_EUSAGE);
    prefill(e, 0, tokens, N, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(clsa_engine_decode(e, 0, 1, &tokens[N + i], straight[i], &err), 0);
    clsa_engine_reset(e);
    prefill(e, 0, tokens, N, NULL);
    for (int i = 0; i < 2; i++) {
        for (int times = 0; times < 3; times++) {
            ck_assert_int_eq(clsa_engine_decode(e, 0, 1, &other, NULL, &err), 0);
            ck_assert_int_eq(clsa_engine_retract(e, 0, 1, &err), 0);
            ck_assert_uint_eq(clsa_engine_length(e, 0), N + i);
            ck_assert_int_eq(clsa_engine_retract(e, 0, 1, &err), CLSA_EUSAGE);
        }
        ck_assert_int_eq(clsa_engine_decode(e, 0, 1, &tokens[N + i], again, &err), 0);
        ck_assert_mem_eq(again, straight[i], sizeof again);
    }
    ck_assert_int_eq(clsa_engine_retract(e, 0, 2, &err), CLSA_EUSAGE);
    clsa_engine_destroy(e);
}
END_TEST

/* ---- refusals ---- */

START_TEST(wrong_use_is_refused)
{
    struct clsa_engine_options o = options(50, 4, 16);
    struct clsa_engine *e = engine(&o);
    int32_t tokens[60] = {0};

    ck_assert_int_eq(clsa_engine_prefill(e, 0, 1, tokens, 51, NULL, 0, NULL, &err), CLSA_ERANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "capacity of 50"));
    tokens[3] = 256;
    ck_assert_int_eq(clsa_engine_prefill(e, 0, 1, tokens, 5, NULL, 0, NULL, &err), CLSA_ERANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "token 3 is 256"));
    tokens[3] = -1;
    ck_assert_int_eq(clsa_engine_decode(e, 0, 1, tokens + 3, NULL, &err), CLSA_ERANGE);
    tokens[3] = 1;
    ck_assert_int_eq(clsa_engine_prefill(e, 1, 1, tokens, 5, NULL, 0, NULL, &err), CLSA_EUSAGE);
    ck_assert_int_eq(clsa_engine_set_policy(e, 3, 16, &err), CLSA_EUSAGE);
    ck_assert_int_eq(clsa_engine_prefill(e, 0, 1, tokens, 5, NULL, 0, NULL, &err), 0);
    ck_assert_int_eq(clsa_engine_set_policy(e, 8, 16, &err), CLSA_EUSAGE);
    ck_assert_int_eq(clsa_engine_set_policy(e, 4, 8, &err), 0);
    ck_assert_uint_eq(clsa_engine_length(e, 0), 5);
    clsa_engine_destroy(e);
    o.capacity = 0;
    ck_assert_int_eq(clsa_engine_create(model, &o, &e, &err), CLSA_EUSAGE);
}
END_TEST

START_TEST(more_than_memory_is_said_before_it_is_taken)
{
    struct clsa_engine_options o = options(INT32_MAX, 1, 16);
    struct clsa_engine *e;

    ck_assert_int_eq(clsa_engine_create(model, &o, &e, &err), CLSA_ELIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "are available"));
}
END_TEST

START_TEST(allocation_failures_leave_a_usable_engine)
{
    enum { N = 40 };
    struct clsa_engine_options o = options(N, 2, 8);
    struct clsa_engine *e = engine(&o);
    int32_t tokens[N];
    float expected[VOCAB], logits[VOCAB];
    unsigned long n = 0;
    int status;

    text(tokens, N, 11);
    prefill(e, 0, tokens, N, expected);
    clsa_engine_destroy(e);
    omp_set_num_threads(1);
    do {
        clsa_alloc_fail_at(++n);
        e = NULL;
        status = clsa_engine_create(model, &o, &e, &err);
        if (status == 0)
            status = clsa_engine_prefill(e, 0, 1, tokens, N, NULL, 0, logits, &err);
        ck_assert(status == 0 || status == CLSA_ENOMEM);
        if (status && e) {
            clsa_alloc_fail_at(0);
            clsa_engine_reset(e);
            prefill(e, 0, tokens, N, logits);
            ck_assert_double_lt(distance(expected, logits, VOCAB), CLOSE);
        }
        clsa_engine_destroy(e);
    } while (status || clsa_alloc_fail_at(0));
    clsa_alloc_fail_at(0);
    ck_assert_uint_gt(n, 50);
}
END_TEST

/* ---- sampling ---- */

START_TEST(sampling_follows_the_distribution)
{
    const float logits[4] = {0, logf(2), logf(5), logf(2)};
    unsigned seen[4] = {0};
    struct clsa_rng rng, same;
    size_t token, again;

    ck_assert_uint_eq(clsa_sample_greedy(logits, 4), 2);
    ck_assert_uint_eq(clsa_sample_greedy((const float[]){1, 3, 3}, 3), 1);
    ck_assert_uint_eq(clsa_sample_greedy((const float[]){NAN, 1, NAN}, 3), 1);
    clsa_rng_seed(&rng, 5);
    clsa_rng_seed(&same, 5);
    for (int i = 0; i < 20000; i++) {
        ck_assert_int_eq(clsa_sample(logits, 4, 1, 1, &rng, &token), 0);
        ck_assert_int_eq(clsa_sample(logits, 4, 1, 1, &same, &again), 0);
        ck_assert_uint_eq(token, again);
        seen[token]++;
    }
    for (int i = 0; i < 4; i++) {
        const double p = exp((double)logits[i]) / 10; /* five standard deviations */
        ck_assert_double_lt(fabs(seen[i] - 20000 * p), 5 * sqrt(20000 * p * (1 - p)));
    }
    /* The most likely alone hold half; with the lower of two equals, 0.7. */
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(clsa_sample(logits, 4, 1, 0.5, &rng, &token), 0);
        ck_assert_uint_eq(token, 2);
        ck_assert_int_eq(clsa_sample(logits, 4, 1, 0.6, &rng, &token), 0);
        ck_assert(token == 2 || token == 1);
        ck_assert_int_eq(clsa_sample(logits, 4, 0, 1, &rng, &token), 0);
        ck_assert_uint_eq(token, 2);
    }
}
END_TEST

/* ---- golden values and tasks ---- */

static void verify(struct clsa_model *m, const struct clsa_kernels *kernels, uint32_t probes,
                   struct clsa_verify_report *r)
{
    const struct clsa_verify_options o = {.kernels = kernels, .probes = probes, .seed = 1};

    ck_assert_msg(clsa_verify(m, source("tests/golden/golden.safetensors"), &o, r, &err) == 0,
                  "%s", err.text);
}

START_TEST(golden_values_hold)
{
    struct clsa_verify_report r;

    verify(model, NULL, 3, &r);
    ck_assert_uint_eq(r.n_rows, 46); /* every tensor but the tokens */
    for (size_t i = 0; i < r.n_rows; i++) {
        ck_assert_msg(r.rows[i].holds, "%s: %g, bound %g", r.rows[i].name, r.rows[i].max_error,
                      r.rows[i].bound);
        ck_assert_uint_gt(r.rows[i].values, r.rows[i].skipped);
    }
    ck_assert(r.holds);
    clsa_verify_report_destroy(&r);
}
END_TEST

/* One weight in its last mantissa bit, in each kind of place. */
static const struct {
    const char *tensor;
    size_t element;
} flips[] = {{"k_norm", 13}, {"cross_layers.4.ffn.norm", 145}, {"self_layers.1.k.weight", 7737},
             {"self_layers.0.v.weight", 9952}};

static void write_file(const char *name, const void *data, size_t bytes)
{
    FILE *f = fopen(name, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, bytes, f), bytes);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_changed_weight_is_noticed)
{
    char dir[] = "/tmp/clsa-engine-XXXXXX", json[64], tensors[64], *data, *config;
    const struct clsa_safetensor *t;
    struct clsa_safetensors file;
    struct clsa_verify_report r;
    struct clsa_model *changed;
    size_t bytes, config_bytes;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(json, sizeof json, "%s/m.json", dir);
    snprintf(tensors, sizeof tensors, "%s/m.safetensors", dir);
    ck_assert_int_eq(clsa_file_read(source("models/clsa-byte-5m.json"), SIZE_MAX, &config,
                                    &config_bytes, &err), 0);
    write_file(json, config, config_bytes);
    ck_assert_int_eq(clsa_file_read(source("models/clsa-byte-5m.safetensors"), SIZE_MAX, &data,
                                    &bytes, &err), 0);
    ck_assert_int_eq(clsa_safetensors_open(path, &file, &err), 0);
    t = clsa_safetensors_find(&file, flips[_i].tensor);
    ck_assert_ptr_nonnull(t);
    data[(size_t)(t->data - file.map.data) + 2 * flips[_i].element] ^= 1; /* little endian */
    clsa_safetensors_close(&file);
    write_file(tensors, data, bytes);
    ck_assert_msg(clsa_model_open(json, &changed, &err) == 0, "%s", err.text);
    verify(changed, NULL, 2, &r);
    ck_assert(!r.holds);
    clsa_verify_report_destroy(&r);
    clsa_model_destroy(changed);
    free(data);
    free(config);
    unlink(json);
    unlink(tensors);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(golden_files_that_do_not_fit_are_refused)
{
    const struct clsa_verify_options o = {.seed = 1};
    struct clsa_verify_report r;

    ck_assert_int_eq(clsa_verify(model, source("models/tasks.safetensors"), &o, &r, &err),
                     CLSA_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "'tokens' is missing"));
    ck_assert_int_eq(clsa_verify(model, source("models/clsa-4b.json"), &o, &r, &err), CLSA_EFORMAT);
}
END_TEST

START_TEST(recall_is_what_the_checkpoint_was_trained_to)
{
    const uint32_t groups[] = {0, 4}, top_ks[] = {64};
    const struct clsa_eval_options o = {.groups = groups, .n_groups = 2, .top_ks = top_ks,
                                        .n_top_ks = 1, .text_stride = 128};
    struct clsa_eval_row *rows;
    size_t n;

    ck_assert_msg(clsa_eval(model, source("tests/golden/tasks_small.safetensors"), &o, &rows, &n,
                            &err) == 0, "%s", err.text);
    ck_assert_uint_eq(n, 2);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(rows[i].tokens, 1024);
        ck_assert_uint_eq(rows[i].hop1_asked + rows[i].hop2_asked, 8 * 8);
        ck_assert_uint_eq(rows[i].hop1_right, rows[i].hop1_asked); /* one hop survives everything */
        ck_assert_uint_gt(rows[i].hop2_right, rows[i].hop2_asked / 2);
        ck_assert_double_gt(rows[i].bits_per_byte, 0.3);
        ck_assert_double_lt(rows[i].bits_per_byte, 2);
    }
    ck_assert(rows[0].mass_covered == 1 && isnan(rows[0].overlap));
    ck_assert(rows[1].mass_covered > 0.3 && rows[1].mass_covered < 1);
    ck_assert(rows[1].overlap > 0.1 && rows[1].overlap < 1);
    free(rows);
    ck_assert_int_lt(clsa_eval(model, source("tests/golden/golden.safetensors"), &o, &rows, &n,
                               &err), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("engine");
    TCase *t = tcase_create("engine");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, chunks_and_decode_agree_with_one_prefill, 0, 5);
    tcase_add_loop_test(t, a_batch_agrees_with_its_sequences, 0, 2);
    tcase_add_test(t, selecting_everything_is_dense);
    tcase_add_loop_test(t, per_layer_kv_of_a_shared_checkpoint_changes_no_bit, 0, 2);
    tcase_add_test(t, threads_change_no_bit);
    tcase_add_test(t, rungs_and_products_agree);
    tcase_add_test(t, requery_agrees_with_prefill);
    tcase_add_test(t, a_narrow_cache_stays_near);
    tcase_add_test(t, observers_hear_every_op_in_order);
    tcase_add_test(t, a_token_taken_back_leaves_no_trace);
    tcase_add_test(t, wrong_use_is_refused);
    tcase_add_test(t, more_than_memory_is_said_before_it_is_taken);
    tcase_add_test(t, allocation_failures_leave_a_usable_engine);
    tcase_add_test(t, sampling_follows_the_distribution);
    tcase_add_test(t, golden_values_hold);
    tcase_add_loop_test(t, a_changed_weight_is_noticed, 0, sizeof flips / sizeof *flips);
    tcase_add_test(t, golden_files_that_do_not_fit_are_refused);
    tcase_add_test(t, recall_is_what_the_checkpoint_was_trained_to);
    tcase_set_timeout(t, 240);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
