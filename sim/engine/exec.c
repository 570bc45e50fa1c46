#include "sim/engine/exec.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/parallel.h"
#include "sim/base/alloc.h"
#include "sim/engine/blas.h"
#include "sim/model/plan.h"

/* Rows of X from which options.blas sends a product to the BLAS: below, W streams from memory once
 * and its conversion to float32 would cost more than it saves. */
#define BLAS_ROWS 32u
/* Queries of one sequence from which their index scores are one matrix product. */
#define SCORE_ROWS 8u
/* Rows of one unit of elementwise work. */
#define ROW_SLICE 64u

enum clsa_kernel_dtype clsa_engine_dtype(unsigned dtype)
{
    switch (dtype) {
    case CLSA_BF16:
        return CLSA_KERNEL_BF16;
    case CLSA_F16:
        return CLSA_KERNEL_F16;
    default:
        assert(dtype == CLSA_F32);
        return CLSA_KERNEL_F32;
    }
}

int clsa_exec_grow(char **block, uint64_t *have, uint64_t bytes)
{
    char *more;

    if (bytes <= *have)
        return CLSA_OK;
    more = clsa_aligned(64, bytes, 1);
    if (!more)
        return CLSA_ENOMEM;
    if (*have)
        memcpy(more, *block, *have);
    free(*block);
    *block = more;
    *have = bytes;
    return CLSA_OK;
}

/* ---- operands ---- */

static char *at(const struct clsa_exec *x, const struct clsa_operand *o)
{
    return (char *)x->tensors[o->tensor] + o->offset;
}

/* A float32 activation operand and its leading dimension. */
struct matrix {
    float *data;
    ptrdiff_t ld;
};

static struct matrix matrix(const struct clsa_exec *x, const struct clsa_operand *o)
{
    return (struct matrix){(float *)(void *)at(x, o), (ptrdiff_t)(o->row_stride / sizeof(float))};
}

static struct clsa_rows rows(const struct clsa_exec *x, const struct clsa_operand *o,
                             unsigned dtype, uint32_t seq)
{
    return (struct clsa_rows){at(x, o) + seq * o->seq_stride, clsa_engine_dtype(dtype),
                              (ptrdiff_t)o->row_stride, (ptrdiff_t)o->head_stride};
}

static const struct clsa_engine_hooks *hooks(const struct clsa_exec *x)
{
    static const struct clsa_engine_hooks none;
    return x->e->options.hooks ? x->e->options.hooks : &none;
}

static int no_memory(struct clsa_exec *x)
{
    return clsa_fail(x->err, CLSA_ENOMEM, "%s: out of memory in a step", x->e->g->name);
}

/* ---- rows: embed, norms, rope, silu, add ---- */

struct row_work {
    const struct clsa_exec *x;
    const struct clsa_op *op;
    struct matrix in, in2, out;
    const void *w[2];
};

static void embed_rows(void *context, size_t first, size_t count)
{
    const struct row_work *r = context;
    const struct clsa_op *op = r->op;
    const struct clsa_step *step = r->x->step;
    float *out = r->out.data + (ptrdiff_t)first * r->out.ld;

    if (op->role == CLSA_ROLE_NONE) {
        const struct clsa_rows table = rows(r->x, &op->operands[1], op->weight_dtype, 0);
        const int32_t *ids = (const int32_t *)(const void *)at(r->x, &op->operands[0]);
        r->x->e->kernels->embed(out, r->out.ld, &table, ids + first, count, op->n);
        return;
    }
    /* The queries' rows of the token stream. */
    for (size_t q = first; q < first + count; q++) {
        const struct clsa_query *query = &step->queries[q];
        const uint64_t row = query->seq * step->new_tokens + query->keys - 1 -
                             step->past[query->seq];
        memcpy(r->out.data + (ptrdiff_t)q * r->out.ld, r->in.data + (ptrdiff_t)row * r->in.ld,
               op->n * sizeof(float));
    }
}

static void norm_rows(void *context, size_t first, size_t count)
{
    const struct row_work *r = context;

    r->x->e->kernels->rmsnorm(r->out.data + (ptrdiff_t)first * r->out.ld, r->out.ld,
                              r->in.data + (ptrdiff_t)first * r->in.ld, r->in.ld, r->w[0],
                              clsa_engine_dtype(r->op->weight_dtype), count, r->op->n,
                              (float)r->x->e->g->norm_eps);
}

/* Head norm: `planes` parts of a row, in each the query heads first (weight 0), then the key heads
 * (weight 1). */
static void head_norm_rows(void *context, size_t first, size_t count)
{
    const struct row_work *r = context;
    const struct clsa_op *op = r->op;
    const struct clsa_operand *in = &op->operands[0];
    const ptrdiff_t plane = (ptrdiff_t)(in->head_stride / sizeof(float));
    const size_t d = op->head_dim, planes = op->kv_heads, heads = op->heads / planes;
    const size_t q_heads = r->w[0] ? (r->w[1] ? r->x->e->g->heads : heads) : 0;
    const enum clsa_kernel_dtype w = clsa_engine_dtype(op->weight_dtype);
    const float eps = (float)r->x->e->g->norm_eps;

    for (size_t p = 0; p < planes; p++) {
        float *y = r->in.data + (ptrdiff_t)first * r->in.ld + (ptrdiff_t)p * plane;
        if (q_heads)
            r->x->e->kernels->head_norm(y, r->in.ld, y, r->in.ld, r->w[0], w, count, q_heads, d,
                                        eps);
        y += q_heads * d;
        if (heads > q_heads)
            r->x->e->kernels->head_norm(y, r->in.ld, y, r->in.ld, r->w[1], w, count,
                                        heads - q_heads, d, eps);
    }
}

static void rope_rows(void *context, size_t first, size_t count)
{
    const struct row_work *r = context;
    const size_t d = r->op->head_dim, half = d / 2;
    /* All cosines lie before all sines, as the kernel wants them. */
    const float *cosines = r->in2.data + first * half, *sines = cosines + r->op->m * half;

    r->x->e->kernels->rope(r->in.data + (ptrdiff_t)first * r->in.ld, r->in.ld, (ptrdiff_t)d,
                           cosines, sines, count, r->op->heads, d);
}

static void silu_rows(void *context, size_t first, size_t count)
{
    const struct row_work *r = context;
    const float *gate = r->in.data + (ptrdiff_t)first * r->in.ld;

    r->x->e->kernels->silu_mul(r->out.data + (ptrdiff_t)first * r->out.ld, r->out.ld, gate,
                               r->in.ld, gate + r->op->n, r->in.ld, count, r->op->n);
}

static void add_rows(void *context, size_t first, size_t count)
{
    const struct row_work *r = context;
    const ptrdiff_t from = (ptrdiff_t)first * r->in.ld;

    r->x->e->kernels->add(r->out.data + from, r->in.data + from, r->in2.data + from,
                          count * r->op->n);
}

static int by_rows(struct clsa_exec *x, const struct clsa_op *op)
{
    const struct clsa_operand *o = op->operands;
    struct row_work r = {.x = x, .op = op};
    void (*body)(void *, size_t, size_t) = NULL;

    r.in = matrix(x, &o[0]);
    r.out = matrix(x, &o[op->n_operands - 1]);
    switch (op->kind) {
    case CLSA_OP_EMBED:
        body = embed_rows;
        break;
    case CLSA_OP_NORM:
        body = norm_rows;
        r.w[0] = at(x, &o[1]);
        break;
    case CLSA_OP_HEAD_NORM:
        body = head_norm_rows;
        /* Self layers norm queries and keys, cross layers queries; the shared K has keys alone. */
        if (op->n_operands == 4) {
            r.w[0] = at(x, &o[1]);
            r.w[1] = at(x, &o[2]);
        } else {
            r.w[op->over_queries ? 0 : 1] = at(x, &o[1]);
        }
        break;
    case CLSA_OP_ROPE:
        body = rope_rows;
        r.in2 = matrix(x, &o[1]);
        break;
    case CLSA_OP_SILU_MUL:
        body = silu_rows;
        break;
    default:
        assert(op->kind == CLSA_OP_ADD);
        body = add_rows;
        r.in2 = matrix(x, &o[1]);
        break;
    }
    clsa_par_rows(op->m, ROW_SLICE, body, &r);
    return CLSA_OK;
}

/* ---- products ---- */

static int product(struct clsa_exec *x, struct matrix y, struct matrix in,
                   const struct clsa_rows *w, size_t m, size_t n, size_t k)
{
    if (x->e->options.blas && m >= BLAS_ROWS)
        return clsa_blas_gemm(x->e->kernels, y.data, y.ld, in.data, in.ld, w, m, n, k)
                   ? no_memory(x)
                   : CLSA_OK;
    clsa_par_gemm(x->e->kernels, y.data, y.ld, in.data, in.ld, w, m, n, k);
    return CLSA_OK;
}

static int gemm(struct clsa_exec *x, const struct clsa_op *op)
{
    const struct clsa_rows w = rows(x, &op->operands[1], op->weight_dtype, 0);
    return product(x, matrix(x, &op->operands[2]), matrix(x, &op->operands[0]), &w, op->m, op->n,
                   op->k);
}

/* ---- caches ---- */

static void store(const struct clsa_exec *x, char *to, ptrdiff_t stride, unsigned dtype,
                  const float *from, ptrdiff_t ld, size_t count, size_t n)
{
    if (dtype == CLSA_F32)
        for (size_t r = 0; r < count; r++)
            memcpy(to + (ptrdiff_t)r * stride, from + (ptrdiff_t)r * ld, n * sizeof *from);
    else
        x->e->kernels->from_f32(to, stride, clsa_engine_dtype(dtype), from, ld, count, n);
}

/* Rows that a chunk's window attention sees: this tail of the ring, then the chunk. */
static uint64_t tail_rows(const struct clsa_exec *x, uint32_t seq)
{
    const uint64_t past = x->step->past[seq], most = x->e->g->window - 1;
    return past < most ? past : most;
}

static bool through_recent(const struct clsa_exec *x, const struct clsa_operand *cache)
{
    return cache->ring_rows && x->step->new_tokens > 1;
}

static uint64_t recent_stride(const struct clsa_exec *x, const struct clsa_operand *cache)
{
    return (x->e->g->window - 1 + x->step->new_tokens) * cache->row_stride;
}

static int keep_recent(struct clsa_exec *x, const struct clsa_op *op, const char *ring,
                       const struct matrix *in)
{
    const struct clsa_operand *o = &op->operands[1];
    const struct clsa_step *step = x->step;
    const uint64_t bytes = recent_stride(x, o);

    if (clsa_exec_grow(&x->e->recent, &x->e->recent_bytes, step->n_seqs * bytes))
        return no_memory(x);
    for (uint32_t s = 0; s < step->n_seqs; s++) {
        char *to = x->e->recent + s * bytes;
        const uint64_t tail = tail_rows(x, s);
        for (uint64_t r = step->past[s] - tail; r < step->past[s]; r++, to += o->row_stride)
            memcpy(to, ring + s * o->seq_stride + r % o->ring_rows * o->row_stride, o->row_bytes);
        store(x, to, (ptrdiff_t)o->row_stride, op->weight_dtype,
              in->data + (ptrdiff_t)(s * step->new_tokens) * in->ld, in->ld, step->new_tokens,
              op->head_dim);
    }
    return CLSA_OK;
}

static int append(struct clsa_exec *x, const struct clsa_op *op)
{
    const struct clsa_operand *o = &op->operands[1];
    const struct clsa_step *step = x->step;
    const struct matrix in = matrix(x, &op->operands[0]);
    char *base = at(x, o);

    if (through_recent(x, o)) {
        const int status = keep_recent(x, op, base, &in);
        if (status)
            return status;
    }
    for (uint32_t p = 0; p < op->kv_heads; p++)
        for (uint32_t s = 0; s < step->n_seqs; s++) {
            char *seq = base + p * o->head_stride + s * o->seq_stride;
            const uint64_t ring = o->ring_rows, end = step->past[s] + step->new_tokens;
            uint64_t r = step->past[s];
            if (ring && end - r > ring)
                r = end - ring;
            while (r < end) {
                const uint64_t slot = ring ? r % ring : r;
                uint64_t run = end - r;
                if (ring && run > ring - slot)
                    run = ring - slot;
                const uint64_t row = s * step->new_tokens + r - step->past[s];
                store(x, seq + slot * o->row_stride, (ptrdiff_t)o->row_stride, op->weight_dtype,
                      in.data + (ptrdiff_t)row * in.ld + (ptrdiff_t)p * op->head_dim, in.ld, run,
                      op->head_dim);
                r += run;
            }
        }
    return CLSA_OK;
}

/* ---- attention ---- */

struct clsa_attn clsa_exec_attn(const struct clsa_exec *x, const struct clsa_op *op, uint32_t seq,
                                uint64_t *rows_held)
{
    const struct clsa_operand *k = &op->operands[1], *v = &op->operands[2];
    const uint64_t all = x->step->past[seq] + x->step->new_tokens;
    struct clsa_attn a = {.q_heads = op->heads,
                          .kv_heads = op->kv_heads,
                          .d = op->head_dim,
                          .dv = op->value_dim,
                          .scale = (float)(1.0 / sqrt(op->head_dim)),
                          .k = rows(x, k, op->weight_dtype, seq),
                          .v = rows(x, v, op->weight_dtype, seq)};

    *rows_held = k->ring_rows && k->ring_rows < all ? k->ring_rows : all;
    if (through_recent(x, k)) {
        const char *recent = x->e->recent + seq * recent_stride(x, k);
        a.k.base = recent;
        a.v.base = recent + (v->offset - k->offset);
        *rows_held = tail_rows(x, seq) + x->step->new_tokens;
    }
    return a;
}

static void window_chunk(struct clsa_exec *x, const struct clsa_op *op, uint32_t seq)
{
    const struct clsa_step *step = x->step;
    const struct matrix q = matrix(x, &op->operands[0]);
    const struct matrix out = matrix(x, &op->operands[op->n_operands - 1]);
    const ptrdiff_t row = (ptrdiff_t)(seq * step->new_tokens);
    uint64_t held;
    const struct clsa_attn a = clsa_exec_attn(x, op, seq, &held);

    clsa_par_attn_prefill(x->e->kernels, &a, out.data + row * out.ld, out.ld, q.data + row * q.ld,
                          q.ld, held - step->new_tokens, step->new_tokens, op->window);
}

/* Queries r .. r + n - 1 are of one sequence, and with `consecutive` at consecutive positions. */
static uint32_t run_length(const struct clsa_step *step, uint32_t r, bool consecutive)
{
    const struct clsa_query *q = step->queries;
    uint32_t n = 1;

    while (r + n < step->n_queries && q[r + n].seq == q[r].seq &&
           (!consecutive || q[r + n].keys == q[r].keys + n))
        n++;
    return n;
}

/* One query a job: decode, and queries that stand alone. */
static int alone(struct clsa_exec *x, const struct clsa_op *op)
{
    const struct matrix q = matrix(x, &op->operands[0]);
    const struct matrix out = matrix(x, &op->operands[op->n_operands - 1]);
    const bool sparse = op->kind == CLSA_OP_ATTN_SPARSE;
    struct clsa_par_attn_job *jobs = clsa_malloc(op->m, sizeof *jobs);
    struct clsa_attn *attn = clsa_malloc(op->m, sizeof *attn);
    int status = jobs && attn ? CLSA_OK : no_memory(x);
    uint64_t held;

    for (size_t r = 0; status == CLSA_OK && r < op->m; r++) {
        const uint32_t seq = op->over_queries ? x->step->queries[r].seq : (uint32_t)r;
        attn[r] = clsa_exec_attn(x, op, seq, &held);
        jobs[r] = (struct clsa_par_attn_job){.attn = &attn[r], .q = q.data + (ptrdiff_t)r * q.ld,
                                             .out = out.data + (ptrdiff_t)r * out.ld};
        /* A ring that is full holds the window and nothing else, in some order. */
        jobs[r].count = clsa_op_keys(x->step, op, r);
        if (sparse) {
            jobs[r].index = (const int32_t *)(const void *)(at(x, &op->operands[3]) +
                                                            r * op->operands[3].row_stride);
            jobs[r].count = (size_t)x->e->counts[r];
        } else if (op->window && !op->operands[1].ring_rows) {
            jobs[r].first = x->step->past[seq] + 1 - jobs[r].count;
        }
    }
    if (status == CLSA_OK && sparse && hooks(x)->attn_sparse)
        status = hooks(x)->attn_sparse(hooks(x)->user, jobs, op->m, x->err);
    else if (status == CLSA_OK && clsa_par_attn(x->e->kernels, jobs, op->m))
        status = no_memory(x);
    free(jobs);
    free(attn);
    return status;
}

static int attention(struct clsa_exec *x, const struct clsa_op *op)
{
    const struct clsa_step *step = x->step;
    const struct matrix q = matrix(x, &op->operands[0]);
    const struct matrix out = matrix(x, &op->operands[op->n_operands - 1]);
    const bool sparse = op->kind == CLSA_OP_ATTN_SPARSE;

    if (!op->over_queries && step->new_tokens > 1) {
        for (uint32_t s = 0; s < step->n_seqs; s++)
            window_chunk(x, op, s);
        return CLSA_OK;
    }
    if (!op->over_queries || step->phase == CLSA_DECODE || step->n_queries <= step->n_seqs ||
        (sparse && hooks(x)->attn_sparse))
        return alone(x, op);
    for (uint32_t r = 0, n; r < step->n_queries; r += n) {
        const struct clsa_query *query = &step->queries[r];
        uint64_t held;
        const struct clsa_attn a = clsa_exec_attn(x, op, query->seq, &held);
        n = run_length(step, r, !sparse);
        if (sparse) {
            const struct clsa_operand *s = &op->operands[3];
            clsa_par_attn_sparse_prefill(
                x->e->kernels, &a, out.data + (ptrdiff_t)r * out.ld, out.ld,
                q.data + (ptrdiff_t)r * q.ld, q.ld, n,
                (const int32_t *)(const void *)(at(x, s) + r * s->row_stride),
                (ptrdiff_t)(s->row_stride / sizeof(int32_t)), x->e->counts + r);
        } else {
            clsa_par_attn_prefill(x->e->kernels, &a, out.data + (ptrdiff_t)r * out.ld, out.ld,
                                  q.data + (ptrdiff_t)r * q.ld, q.ld, query->keys - 1, n, 0);
        }
    }
    return CLSA_OK;
}

/* ---- index ---- */

struct scaling {
    struct matrix m;
    size_t n;
    float factor;
};

static void scale_rows(void *context, size_t first, size_t count)
{
    const struct scaling *s = context;
    for (size_t r = first; r < first + count; r++)
        for (size_t i = 0; i < s->n; i++)
            s->m.data[(ptrdiff_t)r * s->m.ld + (ptrdiff_t)i] *= s->factor;
}

/* Queries of one sequence: scores = iq keys^T, scaled. Beyond a query's keys they mean nothing. */
static int score_run(struct clsa_exec *x, const struct clsa_op *op, uint32_t r, uint32_t n,
                     float scale)
{
    const struct matrix in = matrix(x, &op->operands[0]), out = matrix(x, &op->operands[2]);
    const struct clsa_rows keys =
        rows(x, &op->operands[1], op->weight_dtype, x->step->queries[r].seq);
    struct scaling s = {{out.data + (ptrdiff_t)r * out.ld, out.ld}, 0, scale};
    int status;

    for (uint32_t i = r; i < r + n; i++)
        if (x->step->queries[i].keys > s.n)
            s.n = x->step->queries[i].keys;
    status = product(x, s.m, (struct matrix){in.data + (ptrdiff_t)r * in.ld, in.ld}, &keys, n, s.n,
                     op->k);
    if (status == CLSA_OK)
        clsa_par_rows(n, 4, scale_rows, &s);
    return status;
}

static int index_score(struct clsa_exec *x, const struct clsa_op *op)
{
    const struct clsa_step *step = x->step;
    const struct clsa_operand *last = &op->operands[op->n_operands - 1];
    const struct matrix q = matrix(x, &op->operands[0]), out = matrix(x, last);
    const struct matrix w = matrix(x, &op->operands[2]);
    const float scale = (float)(1.0 / sqrt(op->head_dim));
    struct clsa_par_index_job *jobs = clsa_malloc(op->m, sizeof *jobs);
    size_t n_jobs = 0;
    int status = jobs ? CLSA_OK : no_memory(x);

    for (uint32_t r = 0, n; status == CLSA_OK && r < op->m; r += n) {
        n = run_length(step, r, false);
        if (op->heads == 1 && n >= SCORE_ROWS && !hooks(x)->index_score) {
            status = score_run(x, op, r, n, scale);
            continue;
        }
        for (uint32_t i = r; i < r + n; i++)
            jobs[n_jobs++] = (struct clsa_par_index_job){
                .out = out.data + (ptrdiff_t)i * out.ld,
                .q = q.data + (ptrdiff_t)i * q.ld,
                .w = op->heads > 1 ? w.data + (ptrdiff_t)i * w.ld : NULL,
                .keys = rows(x, &op->operands[1], op->weight_dtype, step->queries[i].seq),
                .count = step->queries[i].keys,
                .heads = op->heads,
                .d = op->head_dim,
                .scale = scale};
    }
    if (status == CLSA_OK && hooks(x)->index_score)
        status = hooks(x)->index_score(hooks(x)->user, jobs, n_jobs, x->err);
    else if (status == CLSA_OK && n_jobs)
        clsa_par_index_score(x->e->kernels, jobs, n_jobs);
    free(jobs);
    return status;
}

static int topk(struct clsa_exec *x, const struct clsa_op *op)
{
    const struct clsa_step *step = x->step;
    const struct clsa_observer *o = x->e->options.observer;
    const struct clsa_operand *scores = &op->operands[0], *chosen = &op->operands[1];
    struct clsa_par_topk_job *jobs = clsa_malloc(op->m, sizeof *jobs);
    int status = CLSA_OK;

    if (!jobs)
        return no_memory(x);
    for (size_t r = 0; r < op->m; r++)
        jobs[r] = (struct clsa_par_topk_job){
            .out = (int32_t *)(void *)(at(x, chosen) + r * chosen->row_stride),
            .score = (const float *)(const void *)(at(x, scores) + r * scores->row_stride),
            .n = step->queries[r].keys,
            .k = op->topk};
    if (hooks(x)->topk)
        status = hooks(x)->topk(hooks(x)->user, jobs, op->m, x->err);
    else if (clsa_par_topk(x->e->kernels, jobs, op->m))
        status = no_memory(x);
    for (uint32_t r = 0; status == CLSA_OK && r < op->m; r++) {
        const struct clsa_index_set set = {r, (uint32_t)op->set, (uint32_t)jobs[r].count,
                                           (const uint32_t *)jobs[r].out};
        x->e->counts[r] = (int32_t)jobs[r].count;
        if (o && o->selection)
            status = o->selection(o->user, step, &set, jobs[r].score);
    }
    free(jobs);
    return status;
}

int clsa_exec_op(struct clsa_exec *x, size_t i)
{
    const struct clsa_op *op = &x->step->ops[i];

    switch (op->kind) {
    case CLSA_OP_EMBED:
    case CLSA_OP_NORM:
    case CLSA_OP_HEAD_NORM:
    case CLSA_OP_ROPE:
    case CLSA_OP_SILU_MUL:
    case CLSA_OP_ADD:
        return by_rows(x, op);
    case CLSA_OP_GEMM:
        return gemm(x, op);
    case CLSA_OP_KV_APPEND:
        return append(x, op);
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        return attention(x, op);
    case CLSA_OP_INDEX_SCORE:
        return index_score(x, op);
    case CLSA_OP_TOPK:
        return topk(x, op);
    default:
        return clsa_fail(x->err, CLSA_EUNSUPPORTED, "the engine does not run ops of kind %s",
                         clsa_op_kind_text(op->kind));
    }
}
