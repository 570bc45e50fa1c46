/* A synthetic bfloat16 decoder of 0.47 B parameters (28 layers, d 1024, 16 query and 8 K/V heads of
 * 128, FFN 3072, vocabulary 32000), by calls of kernels.h and parallel.h alone:
 *   decode of one token against reading the same bytes as a stream, all threads;
 *   prefill of 512 tokens against a BLAS's sgemm of the same products on float32 weights.
 *   bench_model [RUNG] [THREADS] */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/parallel.h"
#include "kernels/probe.h"
#include "tests/bench/bench.h"

enum {
    LAYERS = 28,
    D = 1024,
    HEADS = 16,
    KV = 8,
    HEAD = 128,
    FFN = 3072,
    VOCABULARY = 32000,
    CONTEXT = 1024,
    PROMPT = 512,
    QKV = (HEADS + 2 * KV) * HEAD
};

struct layer {
    const uint16_t *qkv, *o, *gate_up, *down, *norm;
    uint16_t *cache; /* [CONTEXT][2][KV][HEAD] */
};

struct model {
    const struct clsa_kernels *k;
    struct layer layer[LAYERS];
    const uint16_t *embed, *head;
    const char *memory;
    size_t bytes;    /* of all weights but the embedding */
    size_t position; /* tokens in the cache before a step */
    float *x, *h, *qkv, *attended, *projected, *gate, *logits, *cos, *sin;
    int threads;
    volatile float sink;
};

static struct clsa_rows matrix(const uint16_t *w, size_t k)
{
    struct clsa_rows rows = {w, CLSA_KERNEL_BF16, (ptrdiff_t)(2 * k), 0};

    return rows;
}

struct span {
    struct model *m;
    const struct layer *l;
    float *a, *b;
};

static void norm_rows(void *opaque, size_t first, size_t count)
{
    const struct span *s = opaque;

    s->m->k->rmsnorm(s->b + first * D, D, s->a + first * D, D, s->l->norm, CLSA_KERNEL_BF16, count,
                     D, 1e-6f);
}

static void add_rows(void *opaque, size_t first, size_t count)
{
    const struct span *s = opaque;

    s->m->k->add(s->a + first * D, s->a + first * D, s->b + first * D, count * D);
}

static void silu_rows(void *opaque, size_t first, size_t count)
{
    const struct span *s = opaque;
    float *g = s->a + first * 2 * FFN;

    s->m->k->silu_mul(g, 2 * FFN, g, 2 * FFN, g + FFN, 2 * FFN, count, FFN);
}

static void heads_rows(void *opaque, size_t first, size_t count)
{
    const struct span *s = opaque;
    struct model *m = s->m;
    float *x = m->qkv + first * QKV;
    uint16_t *to = s->l->cache + (m->position + first) * 2 * KV * HEAD;

    m->k->head_norm(x, QKV, x, QKV, s->l->norm, CLSA_KERNEL_BF16, count, HEADS + KV, HEAD, 1e-6f);
    m->k->rope(x, QKV, HEAD, m->cos + (m->position + first) * HEAD / 2,
               m->sin + (m->position + first) * HEAD / 2, count, HEADS + KV, HEAD);
    m->k->from_f32(to, 4 * KV * HEAD, CLSA_KERNEL_BF16, x + HEADS * HEAD, QKV, count,
                   2 * KV * HEAD);
}

enum { SLICE = 16 };

static void step(struct model *m, size_t tokens)
{
    const struct clsa_kernels *k = m->k;
    size_t l;

    for (l = 0; l < LAYERS; l++) {
        const struct layer *at = &m->layer[l];
        struct span s = {m, at, m->x, m->h};
        struct clsa_rows w = matrix(at->qkv, D);
        struct clsa_attn a = {HEADS,
                              KV,
                              HEAD,
                              HEAD,
                              0.0884f,
                              {at->cache, CLSA_KERNEL_BF16, 4 * KV * HEAD, 2 * HEAD},
                              {at->cache + KV * HEAD, CLSA_KERNEL_BF16, 4 * KV * HEAD, 2 * HEAD}};

        clsa_par_rows(tokens, SLICE, norm_rows, &s);
        clsa_par_gemm(k, m->qkv, QKV, m->h, D, &w, tokens, QKV, D);
        clsa_par_rows(tokens, SLICE, heads_rows, &s);
        if (tokens == 1) {
            struct clsa_par_attn_job job = {&a, m->qkv, m->attended, NULL, 0, m->position + 1};

            if (clsa_par_attn(k, &job, 1) != 0)
                abort();
        } else {
            clsa_par_attn_prefill(k, &a, m->attended, HEADS * HEAD, m->qkv, QKV, m->position,
                                  tokens, 0);
        }
        w = matrix(at->o, HEADS * HEAD);
        clsa_par_gemm(k, m->h, D, m->attended, HEADS * HEAD, &w, tokens, D, HEADS * HEAD);
        clsa_par_rows(tokens, SLICE, add_rows, &s);
        clsa_par_rows(tokens, SLICE, norm_rows, &s);
        w = matrix(at->gate_up, D);
        clsa_par_gemm(k, m->gate, 2 * FFN, m->h, D, &w, tokens, 2 * FFN, D);
        s.a = m->gate;
        clsa_par_rows(tokens, SLICE, silu_rows, &s);
        w = matrix(at->down, FFN);
        clsa_par_gemm(k, m->h, D, m->gate, 2 * FFN, &w, tokens, D, FFN);
        s.a = m->x;
        clsa_par_rows(tokens, SLICE, add_rows, &s);
    }
    {
        struct clsa_rows w = matrix(m->head, D);

        clsa_par_gemm(k, m->logits, VOCABULARY, m->x + (tokens - 1) * D, D, &w, 1, VOCABULARY, D);
    }
}

static void run_decode(void *opaque)
{
    struct model *m = opaque;
    int32_t id = 17;
    struct clsa_rows table = matrix(m->embed, D);

    m->position = PROMPT;
    m->k->embed(m->x, D, &table, &id, 1, D);
    step(m, 1);
}

static void run_prefill(void *opaque)
{
    struct model *m = opaque;
    struct clsa_rows table = matrix(m->embed, D);
    int32_t ids[PROMPT];
    size_t i;

    for (i = 0; i < PROMPT; i++)
        ids[i] = (int32_t)(i * 37 % VOCABULARY);
    m->position = 0;
    m->k->embed(m->x, D, &table, ids, PROMPT, D);
    step(m, PROMPT);
}

static void run_read(void *opaque)
{
    struct model *m = opaque;
    size_t part = m->bytes / 64 / (size_t)m->threads * 64;

#pragma omp parallel for schedule(static, 1)
    for (int t = 0; t < m->threads; t++)
        m->sink = clsa_probe_read(m->k->rung, m->memory + (size_t)t * part, part);
}

/* The layers' products by sgemm, weights of one layer in float32 again and again: a kind case for
 * it. */
struct blas {
    float *w, *x, *y;
};

static void run_blas(void *opaque)
{
    struct blas *b = opaque;
    static const int shape[4][2] = {{QKV, D}, {D, HEADS * HEAD}, {2 * FFN, D}, {D, FFN}};
    int l, s;

    for (l = 0; l < LAYERS; l++)
        for (s = 0; s < 4; s++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, PROMPT, shape[s][0], shape[s][1],
                        1, b->x, shape[s][1], b->w, shape[s][1], 0, b->y, shape[s][0]);
}

static const uint16_t *take(char **at, size_t values)
{
    const uint16_t *p = (const uint16_t *)(void *)*at;

    *at += values * 2;
    return p;
}

int main(int argc, char **argv)
{
    static struct model m;
    struct blas b;
    double flops =
        2.0 * PROMPT * LAYERS * ((double)QKV * D + 3.0 * FFN * D + (double)D * HEADS * HEAD);
    size_t values = (size_t)LAYERS *
                        ((size_t)QKV * D + (size_t)D * HEADS * HEAD + 3 * (size_t)FFN * D + D) +
                    2 * (size_t)VOCABULARY * D,
           i, l;
    double step_bytes;
    struct bench_pair p;
    char *memory, *at;
    uint16_t *fill;
    int32_t position[CONTEXT];

    m.k = clsa_kernels_by_name(argc > 1 ? argv[1] : "best");
    m.threads = argc > 2 ? atoi(argv[2]) : omp_get_max_threads();
    if (m.k == NULL || m.threads < 1) {
        fprintf(stderr, "usage: bench_model [RUNG] [THREADS]\n");
        return 2;
    }
    omp_set_num_threads(m.threads);
    openblas_set_num_threads(m.threads);
    memory = bench_memory(values * 2);
    fill = (uint16_t *)(void *)memory;
    for (i = 0; i < values; i++) /* +- 2^-6 .. 2^-5 */
        fill[i] = (uint16_t)(0x3c80u | (unsigned)((i * 2654435761u) >> 8 & 0x807fu));
    at = memory;
    for (l = 0; l < LAYERS; l++) {
        m.layer[l].norm = take(&at, D);
        m.layer[l].qkv = take(&at, (size_t)QKV * D);
        m.layer[l].o = take(&at, (size_t)D * HEADS * HEAD);
        m.layer[l].gate_up = take(&at, 2 * (size_t)FFN * D);
        m.layer[l].down = take(&at, (size_t)D * FFN);
        m.layer[l].cache = bench_memory((size_t)CONTEXT * 4 * KV * HEAD);
    }
    m.head = take(&at, (size_t)VOCABULARY * D);
    m.memory = memory;
    m.bytes = (size_t)(at - memory);
    m.embed = take(&at, (size_t)VOCABULARY * D);
    m.x = bench_memory(PROMPT * D * 4);
    m.h = bench_memory(PROMPT * D * 4);
    m.qkv = bench_memory((size_t)PROMPT * QKV * 4);
    m.attended = bench_memory((size_t)PROMPT * HEADS * HEAD * 4);
    m.gate = bench_memory((size_t)PROMPT * 2 * FFN * 4);
    m.logits = bench_memory(VOCABULARY * 4);
    m.cos = bench_memory(CONTEXT * HEAD / 2 * 4);
    m.sin = bench_memory(CONTEXT * HEAD / 2 * 4);
    for (i = 0; i < CONTEXT; i++)
        position[i] = (int32_t)i;
    clsa_rope_table(m.cos, m.sin, position, CONTEXT, HEAD, 10000);
    b.w = bench_memory(2 * (size_t)FFN * D * 4);
    b.x = bench_memory((size_t)PROMPT * FFN * 4);
    b.y = bench_memory((size_t)PROMPT * 2 * FFN * 4);
    for (i = 0; i < 2 * (size_t)FFN * D; i++)
        b.w[i] = (float)(i % 97) * 0.01f - 0.5f;
    for (i = 0; i < (size_t)PROMPT * FFN; i++)
        b.x[i] = (float)(i % 89) * 0.01f - 0.4f;

    printf("rung %s, %d threads, %.0f MB of weights\n", m.k->name, m.threads,
           (double)m.bytes * 1e-6);
    run_prefill(&m);
    /* a step also reads the keys and values of the prompt */
    step_bytes = (double)m.bytes + (double)LAYERS * (PROMPT + 1) * 4 * KV * HEAD;
    p = bench_compare((struct bench_side){run_decode, &m}, (struct bench_side){run_read, &m}, 4);
    bench_report("decode / streaming read", p.ratio * step_bytes / (double)m.bytes, 0.8,
                 "%.1f of %.1f GB/s, %.1f tokens/s", step_bytes * 1e-9 / p.a_seconds,
                 (double)m.bytes * 1e-9 / p.b_seconds, 1 / p.a_seconds);
    p = bench_compare((struct bench_side){run_prefill, &m}, (struct bench_side){run_blas, &b}, 15);
    bench_report("prefill / sgemm", p.ratio, m.k->rung == CLSA_RUNG_AVX2 ? 0.75 : 1,
                 "%.1f of %.1f GFLOP/s, %.0f tokens/s", flops * 1e-9 / p.a_seconds,
                 flops * 1e-9 / p.b_seconds, PROMPT / p.a_seconds);
    return bench_status();
}
