#include "sim/engine/noise.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/parallel.h"
#include "sim/base/alloc.h"
#include "sim/base/rng.h"

#define UNIT 0x1p-24
#define BF16_UNIT 0x1p-9
/* The variance of one rounding of a value of 1 is at most this. */
#define VARIANCE (UNIT * UNIT / 3)

struct block {
    float *data;
    size_t ld, rows, columns;
};

/* An op being disturbed, row by row. */
struct work {
    const struct clsa_exec *x;
    const struct clsa_op *op;
    struct block in, out;
    double scale;
    uint64_t seed;
    float *squares;       /* |t|^2 of products [rows, columns] */
    double rounded;       /* variance from rounding the inputs of a product, over |t|^2 */
    atomic_int failed;
};

struct signs {
    struct clsa_rng rng;
    uint64_t bits;
    unsigned left;
    double scale;
};

static struct signs signs_of_row(const struct work *w, size_t row)
{
    struct signs s = {.scale = w->scale};
    clsa_rng_seed(&s.rng, w->seed + row * UINT64_C(0x9e3779b97f4a7c15));
    return s;
}

/* value +- sigma * scale */
static void disturb(struct signs *s, float *value, double sigma)
{
    if (!s->left) {
        s->bits = clsa_rng_u64(&s->rng);
        s->left = 64;
    }
    *value += (float)(s->bits & 1 ? s->scale * sigma : -s->scale * sigma);
    s->bits >>= 1;
    s->left--;
}

static struct block block_of(const struct clsa_exec *x, const struct clsa_op *op, uint32_t i)
{
    const struct clsa_operand *o = &op->operands[i];
    return (struct block){(float *)(void *)((char *)x->tensors[o->tensor] + o->offset),
                          o->row_stride / sizeof(float), op->m, o->row_bytes / sizeof(float)};
}

/* Variance of a sum of k terms with value s and sum of squares t2, in any order. */
static double sum_variance(double s, double t2, double k)
{
    return VARIANCE * (k * (s * s / 3 + t2 / 2) + t2);
}

/* ---- elementwise ops ---- */

static void silu_or_add(void *context, size_t first, size_t count)
{
    const struct work *w = context;
    const double sigma = sqrt((w->op->kind == CLSA_OP_ADD ? 1 : 20) * VARIANCE);

    for (size_t r = first; r < first + count; r++) {
        struct signs s = signs_of_row(w, r);
        float *y = w->out.data + r * w->out.ld;
        for (size_t i = 0; i < w->out.columns; i++)
            disturb(&s, &y[i], sigma * fabs((double)y[i]));
    }
}

static void norm_run(struct signs *s, float *y, size_t n)
{
    const double common = sqrt(VARIANCE * ((double)n / 12 + 3)), own = sqrt(2 * VARIANCE);
    float factor = 0;

    disturb(s, &factor, common);
    for (size_t i = 0; i < n; i++) {
        disturb(s, &y[i], own * fabs((double)y[i]));
        y[i] += y[i] * factor;
    }
}

static void norms(void *context, size_t first, size_t count)
{
    const struct work *w = context;
    const bool heads = w->op->kind == CLSA_OP_HEAD_NORM;
    const size_t n = heads ? w->op->head_dim : w->op->n, planes = heads ? w->op->kv_heads : 1;
    const size_t plane = w->op->operands[0].head_stride / sizeof(float);

    for (size_t r = first; r < first + count; r++) {
        struct signs s = signs_of_row(w, r);
        for (size_t p = 0; p < planes; p++)
            for (size_t h = 0; h + n <= w->out.columns; h += n)
                norm_run(&s, w->out.data + r * w->out.ld + p * plane + h, n);
    }
}

static void rope(void *context, size_t first, size_t count)
{
    const struct work *w = context;
    const size_t d = w->op->head_dim;

    for (size_t r = first; r < first + count; r++) {
        struct signs s = signs_of_row(w, r);
        for (size_t h = 0; h + d <= w->out.columns; h += d)
            for (size_t i = 0; i < d / 2; i++) {
                float *a = w->out.data + r * w->out.ld + h + i, *b = a + d / 2;
                const double pair = UNIT * hypot((double)*a, (double)*b);
                disturb(&s, a, pair);
                disturb(&s, b, pair);
            }
    }
}

/* ---- products ---- */

static void product_rows(void *context, size_t first, size_t count)
{
    const struct work *w = context;

    for (size_t r = first; r < first + count; r++) {
        struct signs s = signs_of_row(w, r);
        float *y = w->out.data + r * w->out.ld;
        const float *t2 = w->squares + r * w->out.columns;
        for (size_t j = 0; j < w->out.columns; j++)
            disturb(&s, &y[j], sqrt(sum_variance(y[j], t2[j], (double)w->op->k) +
                                    w->rounded * t2[j]));
    }
}

/* |t|^2 of every output is itself a product: of the squares of X (times factor) and W. */
static int product(struct work *w, const struct clsa_rows *weights, size_t k, double factor)
{
    const size_t m = w->out.rows, n = w->out.columns;
    float *x2 = clsa_malloc(m * k, sizeof *x2), *w2 = clsa_malloc(n * k, sizeof *w2);
    const struct clsa_rows rows = {w2, CLSA_KERNEL_F32, (ptrdiff_t)(k * sizeof *w2), 0};

    w->squares = clsa_malloc(m * n, sizeof *w->squares);
    if (x2 && w2 && w->squares) {
        for (size_t r = 0; r < m; r++)
            for (size_t i = 0; i < k; i++) {
                const double value = w->in.data[r * w->in.ld + i] * factor;
                x2[r * k + i] = (float)(value * value);
            }
        w->x->e->kernels->to_f32(w2, (ptrdiff_t)k, weights, n, k);
        for (size_t i = 0; i < n * k; i++)
            w2[i] *= w2[i];
        clsa_par_gemm(w->x->e->kernels, w->squares, (ptrdiff_t)n, x2, (ptrdiff_t)k, &rows, m, n, k);
        clsa_par_rows(m, 64, product_rows, w);
    } else {
        atomic_store(&w->failed, 1);
    }
    free(x2);
    free(w2);
    free(w->squares);
    return atomic_load(&w->failed) ? CLSA_ENOMEM : CLSA_OK;
}

/* Scores of all queries of a sequence at once: the keys are the weights. */
static int scores(struct work *w)
{
    const struct clsa_step *step = w->x->step;
    const struct clsa_operand *o = &w->op->operands[1];
    const struct block in = w->in, out = w->out;
    int status = CLSA_OK;

    for (uint32_t r = 0, n; status == CLSA_OK && r < step->n_queries; r += n) {
        const uint32_t seq = step->queries[r].seq;
        const struct clsa_rows keys = {(const char *)w->x->tensors[o->tensor] + o->offset +
                                           seq * o->seq_stride,
                                       clsa_engine_dtype(w->op->weight_dtype),
                                       (ptrdiff_t)o->row_stride, 0};
        for (n = 1; r + n < step->n_queries && step->queries[r + n].seq == seq &&
                    step->queries[r + n].keys == step->queries[r].keys; n++)
            ;
        w->in.data = in.data + r * in.ld;
        w->out.data = out.data + r * out.ld;
        w->in.rows = w->out.rows = n;
        w->out.columns = step->queries[r].keys;
        w->seed += r;
        status = product(w, &keys, w->op->k, 1 / sqrt(w->op->head_dim));
    }
    return status;
}

/* ---- attention ---- */

/* The keys that row r of an attention op reads, as rows of the cache. */
struct keys {
    struct clsa_attn a;
    size_t n, first;
    const int32_t *index; /* NULL: first .. first + n - 1 */
};

static struct keys keys_of(const struct work *w, size_t r)
{
    const struct clsa_step *step = w->x->step;
    const struct clsa_op *op = w->op;
    const uint32_t seq = op->over_queries ? step->queries[r].seq : (uint32_t)(r / step->new_tokens);
    struct keys k = {.n = clsa_op_keys(step, op, r)};
    uint64_t held;

    k.a = clsa_exec_attn(w->x, op, seq, &held);
    if (op->kind == CLSA_OP_ATTN_SPARSE) {
        const struct clsa_operand *o = &op->operands[3];
        k.index = (const int32_t *)(const void *)((const char *)w->x->tensors[o->tensor] +
                                                  o->offset + r * o->row_stride);
        k.n = (size_t)w->x->e->counts[r];
    } else if (op->window && (step->new_tokens > 1 || !op->operands[1].ring_rows)) {
        /* The last row held is the chunk's last token. */
        k.first = held - step->new_tokens + r % step->new_tokens + 1 - k.n;
    }
    return k;
}

/* Row `i` of the keys read, as float32: where it lies, or converted into buf. */
static const float *row_of(const struct work *w, const struct keys *k, const struct clsa_rows *rows,
                           size_t head, size_t i, size_t n, float *buf)
{
    const size_t at = k->index ? (size_t)k->index[i] : k->first + i;
    struct clsa_rows one = *rows;

    one.base = (const char *)rows->base + (ptrdiff_t)head * rows->head_stride_bytes +
               (ptrdiff_t)at * rows->row_stride_bytes;
    if (one.dtype == CLSA_KERNEL_F32)
        return one.base;
    w->x->e->kernels->to_f32(buf, (ptrdiff_t)n, &one, 1, n);
    return buf;
}

/* Sums of t_j = x_j y_j and of their squares. */
static void dot(const float *x, const float *y, size_t n, float *sum, float *squares)
{
    float a = 0, b = 0;

#pragma omp simd reduction(+ : a, b)
    for (size_t j = 0; j < n; j++) {
        const float t = x[j] * y[j];
        a += t;
        b += t * t;
    }
    *sum = a;
    *squares = b;
}

/* moved += p^2 v (y - out)^2, squares += p^2 y^2, value by value */
static void weigh(float *restrict moved, float *restrict squares, const float *restrict y,
                  const float *restrict out, size_t n, float p2, float p2v)
{
#pragma omp simd
    for (size_t j = 0; j < n; j++) {
        const float away = y[j] - out[j];
        moved[j] += p2v * away * away;
        squares[j] += p2 * y[j] * y[j];
    }
}

/* One head's errors: scores first, then weights, then sums. buf: 2 n + 2 d + 3 dv floats. */
static void head_noise(const struct work *w, const struct keys *k, size_t r, size_t h, float *buf,
                       struct signs *s)
{
    const size_t d = k->a.d, dv = k->a.dv, n = k->n, g = h / (k->a.q_heads / k->a.kv_heads);
    float *score = buf, *variance = buf + n, *q = buf + 2 * n, *row = q + d, *moved = row + d;
    float *squares = moved + dv, *out = w->out.data + r * w->out.ld + h * dv;
    float max = -INFINITY, scale;
    double sum = 0, p2 = 0;

    for (size_t j = 0; j < d; j++)
        q[j] = w->in.data[r * w->in.ld + h * d + j] * k->a.scale;
    for (size_t i = 0; i < n; i++) {
        float t2;
        dot(q, row_of(w, k, &k->a.k, g, i, d, row), d, &score[i], &t2);
        /* S(s, t2, d) and the rest, in units of VARIANCE */
        variance[i] = (float)d * (score[i] * score[i] / 3 + t2 / 2) + t2 + score[i] * score[i] + 16;
        max = score[i] > max ? score[i] : max;
    }
    for (size_t i = 0; i < n; i++) {
        variance[i] += (score[i] - max) * (score[i] - max);
        score[i] = expf(score[i] - max);
        sum += score[i];
    }
    scale = (float)(1 / sum);
    for (size_t j = 0; j < dv; j++)
        moved[j] = squares[j] = 0;
    for (size_t i = 0; i < n; i++) {
        const float p = score[i] * scale;
        if (p < 1e-9f) /* its square is lost in float32 */
            continue;
        p2 += p * p;
        weigh(moved, squares, row_of(w, k, &k->a.v, g, i, dv, squares + dv), out, dv, p * p,
              p * p * variance[i]);
    }
    for (size_t j = 0; j < dv; j++)
        disturb(s, &out[j],
                sqrt(VARIANCE * moved[j] + sum_variance(out[j], squares[j], (double)n) +
                     (double)out[j] * out[j] * (sum_variance(1, p2, (double)n) + 2 * VARIANCE)));
}

static void attention(void *context, size_t first, size_t count)
{
    struct work *w = context;

    for (size_t r = first; r < first + count; r++) {
        const struct keys k = keys_of(w, r);
        struct signs s = signs_of_row(w, r);
        float *buf = clsa_malloc(2 * (k.n + k.a.d) + 3 * k.a.dv, sizeof *buf);
        if (!buf) {
            atomic_store(&w->failed, 1);
            return;
        }
        for (size_t h = 0; h < k.a.q_heads; h++)
            head_noise(w, &k, r, h, buf, &s);
        free(buf);
    }
}

int clsa_noise_add(const struct clsa_exec *x, size_t i, enum clsa_rung rung, double scale,
                   uint64_t seed)
{
    const struct clsa_op *op = &x->step->ops[i];
    struct work w = {.x = x, .op = op, .scale = scale, .seed = (seed * 4096 + i) << 24};
    void (*rows)(void *, size_t, size_t) = NULL;

    if (rung == CLSA_RUNG_AVX512_BF16)
        w.rounded = BF16_UNIT * BF16_UNIT / 3;
    w.in = block_of(x, op, 0);
    w.out = block_of(x, op, op->n_operands - 1);
    switch (op->kind) {
    case CLSA_OP_NORM:
    case CLSA_OP_HEAD_NORM:
        rows = norms;
        break;
    case CLSA_OP_ROPE:
        rows = rope;
        break;
    case CLSA_OP_SILU_MUL:
    case CLSA_OP_ADD:
        rows = silu_or_add;
        break;
    case CLSA_OP_GEMM: {
        const struct clsa_operand *o = &op->operands[1];
        const struct clsa_rows weights = {(const char *)x->tensors[o->tensor] + o->offset,
                                          clsa_engine_dtype(op->weight_dtype),
                                          (ptrdiff_t)o->row_stride, 0};
        return product(&w, &weights, op->k, 1);
    }
    case CLSA_OP_INDEX_SCORE:
        return scores(&w);
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        rows = attention;
        break;
    default: /* copies and selections are exact */
        return CLSA_OK;
    }
    clsa_par_rows(op->m, 16, rows, &w);
    return atomic_load(&w.failed) ? CLSA_ENOMEM : CLSA_OK;
}
