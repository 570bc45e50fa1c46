/* Attention over blocks of keys, the softmax online: a running maximum, sum and unnormalised output
 * a query row. With many query rows a block's K and V rows are widened to float32 once, in a
 * scratch that stays in L1, and meet all of them. With few (decode of grouped queries: "direct")
 * rows are used where they lie, widened in registers. While one block is worked on, the
 * rows of the next are prefetched: gathers are bound by how many lines are in flight, not by
 * arithmetic. */
#include "kernels/x86/attention.h"

#include <math.h>

enum {
    BLOCK_FLOATS = 8192, /* K block and V block: 32 KiB each */
    ROWS = 96,           /* query rows named at a time */
    ROW_FLOATS = 12288,  /* of a prefill, kept close together: q and outputs are 48 KiB each */
    SCORE_ROWS = 24,     /* query rows whose scores are held at a time */
#if defined(__AVX512F__)
    VALUE_ROWS = 6,
#else
    VALUE_ROWS = 3,
#endif
    VALUE_VECTORS = 4
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t padded(size_t n)
{
    return (n + VF_N - 1) / VF_N * VF_N;
}

/* Keys a block holds, from the row sizes alone. */
static size_t block_keys(const struct clsa_attn *a)
{
    size_t wide = padded(a->d > a->dv ? a->d : a->dv);
    size_t keys = wide ? BLOCK_FLOATS / wide : BLOCK_KEYS;

    return keys >= BLOCK_KEYS ? BLOCK_KEYS : keys / 4 * 4;
}

/* Query rows at work on one K/V head: pointers to q, to the unnormalised output, to the running
 * maximum and sum, and the keys [low, high) that each attends, as ordinals of the run. */
struct query_rows {
    size_t count;
    const float *q[ROWS];
    float *acc[ROWS];
    float *max[ROWS], *sum[ROWS];
    size_t low[ROWS], high[ROWS];
};

struct key_block {
    _Alignas(64) float k[BLOCK_FLOATS];
    _Alignas(64) float v[BLOCK_FLOATS];
    size_t d, dv; /* pitches */
    const float *values;
    size_t value_pitch;
};

static struct key_run run_of(const struct clsa_attn *a, const int32_t *index, size_t first,
                             size_t end)
{
    struct key_run r = {a, index, first, end, 0, 0, 0};

    r.same = a->k.base == a->v.base && a->k.dtype == a->v.dtype && a->dv <= a->d &&
             a->k.row_stride_bytes == a->v.row_stride_bytes &&
             (a->kv_heads == 1 || a->k.head_stride_bytes == a->v.head_stride_bytes);
    r.k_bytes = clsa_kernel_row_bytes(a->k.dtype, a->d);
    r.v_bytes = clsa_kernel_row_bytes(a->v.dtype, a->dv);
    return r;
}

CLSA_INLINE void prefetch_row(const char *row, size_t bytes)
{
    size_t at;

    for (at = 0; at < bytes; at += LINE)
        _mm_prefetch(row + at, _MM_HINT_T1);
    _mm_prefetch(row + bytes - 1, _MM_HINT_T1);
}

/* Ordinals asked for ahead of their use, a few at a time between pieces of arithmetic. */
struct ahead {
    const struct key_run *run;
    size_t head, next, end;
};

static void fetch(struct ahead *f, size_t keys)
{
    const struct clsa_attn *a = f->run->a;

    for (; keys > 0 && f->next < f->end; keys--, f->next++) {
        prefetch_row(row_at(&a->k, f->run, f->next, f->head), f->run->k_bytes);
        if (!f->run->same && f->run->v_bytes > 0)
            prefetch_row(row_at(&a->v, f->run, f->next, f->head), f->run->v_bytes);
    }
}

/* Widens ordinals begin+skip .. begin+keys-1. */
static void load_block(struct key_block *b, const struct key_run *r, size_t head, size_t begin,
                       size_t skip, size_t keys)
{
    const struct clsa_attn *a = r->a;
    size_t i;

    b->d = padded(a->d);
    b->dv = padded(a->dv);
    memset(b->k, 0, skip * b->d * sizeof *b->k);
    for (i = skip; i < keys; i++)
        clsa_x_row_to_f32(b->k + i * b->d, row_at(&a->k, r, begin + i, head), a->k.dtype, a->d,
                          b->d);
    if (r->same) {
        b->values = b->k;
        b->value_pitch = b->d;
        return;
    }
    for (i = skip; i < keys; i++) /* values outside a row's range are never looked at */
        clsa_x_row_to_f32(b->v + i * b->dv, row_at(&a->v, r, begin + i, head), a->v.dtype, a->dv,
                          b->dv);
    b->values = b->v;
    b->value_pitch = b->dv;
}

/* acc[r] += sum over keys of p[r][t] * v[t], t ascending: one chain an element, so that how rows
 * are grouped does not show. `rows` and `vectors` are compile-time constants. */
CLSA_INLINE void value_tile(float *const *acc, const float *p, const float *v, size_t pitch,
                            size_t begin, size_t end, size_t at, size_t tail, const int rows,
                            const int vectors)
{
    vf sum[VALUE_ROWS][VALUE_VECTORS];
    size_t t;
    int r, c;

    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        CLSA_UNROLL
        for (c = 0; c < vectors; c++)
            sum[r][c] = tail > 0 ? vf_load_n(acc[r] + at, tail) : vf_load(acc[r] + at + c * VF_N);
    }
    for (t = begin; t < end; t++) {
        vf value[VALUE_VECTORS];

        CLSA_UNROLL
        for (c = 0; c < vectors; c++)
            value[c] = vf_load(v + t * pitch + at + c * VF_N);
        CLSA_UNROLL
        for (r = 0; r < rows; r++) {
            vf weight = vf_set1(p[(size_t)r * BLOCK_KEYS + t]);

            CLSA_UNROLL
            for (c = 0; c < vectors; c++)
                sum[r][c] = vf_fma(weight, value[c], sum[r][c]);
        }
    }
    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        CLSA_UNROLL
        for (c = 0; c < vectors; c++) {
            if (tail > 0)
                vf_store_n(acc[r] + at, sum[r][c], tail);
            else
                vf_store(acc[r] + at + c * VF_N, sum[r][c]);
        }
    }
}

CLSA_INLINE void value_strip(float *const *acc, const float *p, const float *v, size_t pitch,
                             size_t begin, size_t end, size_t dv, const int rows)
{
    size_t at = 0;

    for (; at + VALUE_VECTORS * VF_N <= dv; at += VALUE_VECTORS * VF_N)
        value_tile(acc, p, v, pitch, begin, end, at, 0, rows, VALUE_VECTORS);
    for (; at + VF_N <= dv; at += VF_N)
        value_tile(acc, p, v, pitch, begin, end, at, 0, rows, 1);
    if (at < dv)
        value_tile(acc, p, v, pitch, begin, end, at, dv - at, rows, 1);
}

static void values(float *const *acc, const float *p, const struct key_block *b, size_t begin,
                   size_t end, size_t dv, size_t rows)
{
    switch (rows) {
    case 1:
        value_strip(acc, p, b->values, b->value_pitch, begin, end, dv, 1);
        break;
    case 2:
        value_strip(acc, p, b->values, b->value_pitch, begin, end, dv, 2);
        break;
    case 3:
        value_strip(acc, p, b->values, b->value_pitch, begin, end, dv, 3);
        break;
#if defined(__AVX512F__)
    case 4:
        value_strip(acc, p, b->values, b->value_pitch, begin, end, dv, 4);
        break;
    case 5:
        value_strip(acc, p, b->values, b->value_pitch, begin, end, dv, 5);
        break;
    case 6:
        value_strip(acc, p, b->values, b->value_pitch, begin, end, dv, 6);
        break;
#endif
    default:
        break;
    }
}

void clsa_x_weigh(float *s, size_t keys, size_t begin, size_t end, float scale, float *max,
                  float *sum, float *acc, size_t dv)
{
    vf factor = vf_set1(scale), top = vf_set1(*max), total = vf_zero(), shift;
    size_t t, whole = (keys + VF_N - 1) / VF_N * VF_N;
    float now, down;

    for (t = 0; t < whole; t += VF_N) {
        vf v = vf_mul(vf_load(s + t), factor);

        if (t < begin || t + VF_N > end)
            v = vf_between(v, begin > t ? begin - t : 0, end > t ? end - t : 0, -INFINITY);
        vf_store(s + t, v);
        top = vf_max(v, top);
    }
    now = vf_max_lane(top);
    if (now == -INFINITY) /* nothing above -Inf so far: weights 0, unless a NaN hides among them */
        for (t = begin; t < end; t++)
            if (s[t] != s[t])
                now = s[t];
    if (now == -INFINITY) {
        memset(s, 0, whole * sizeof *s);
        return;
    }
    shift = vf_set1(now);
    for (t = 0; t < whole; t += VF_N) { /* exp(-Inf) is exactly 0 */
        vf e = vf_exp(vf_sub(vf_load(s + t), shift));

        total = vf_add(total, e);
        vf_store(s + t, e);
    }
    if (now != *max) {
        down = *max == -INFINITY ? 0 : expf(*max - now);
        *sum *= down;
        for (t = 0; t + VF_N <= dv; t += VF_N)
            vf_store(acc + t, vf_mul(vf_load(acc + t), vf_set1(down)));
        for (; t < dv; t++)
            acc[t] *= down;
        *max = now;
    }
    *sum += vf_sum(total);
}

/* All query rows against one block that holds ordinals [begin, begin + keys). */
static void attend(const struct query_rows *rows, const struct clsa_attn *a,
                   const struct key_block *b, size_t begin, size_t keys, struct ahead *next)
{
    _Alignas(64) float score[SCORE_ROWS * BLOCK_KEYS];
    size_t r, i, part, parts = (rows->count + SCORE_ROWS - 1) / SCORE_ROWS;
    size_t share = (BLOCK_KEYS + parts - 1) / parts / 4 + 1;

    for (part = 0, r = 0; r < rows->count; part++, r += SCORE_ROWS) {
        size_t count = least(SCORE_ROWS, rows->count - r), width;
        size_t from[SCORE_ROWS], to[SCORE_ROWS];

        fetch(next, share);
        clsa_x_dots(score, BLOCK_KEYS, rows->q + r, b->k, (ptrdiff_t)b->d, count, keys, a->d);
        fetch(next, share);
        for (i = 0; i < count; i++) {
            size_t low = rows->low[r + i], high = rows->high[r + i];

            from[i] = low > begin ? least(low - begin, keys) : 0;
            to[i] = high > begin ? least(high - begin, keys) : 0;
            if (from[i] < to[i])
                clsa_x_weigh(score + i * BLOCK_KEYS, keys, from[i], to[i], a->scale,
                             rows->max[r + i], rows->sum[r + i], rows->acc[r + i], a->dv);
        }
        fetch(next, share);
        for (i = 0; i < count; i += width) { /* rows of one range together */
            for (width = 1; i + width < count && width < VALUE_ROWS; width++)
                if (from[i + width] != from[i] || to[i + width] != to[i])
                    break;
            if (from[i] < to[i])
                values(rows->acc + r + i, score + i * BLOCK_KEYS, b, from[i], to[i], a->dv, width);
            fetch(next, share / 4 + 1);
        }
    }
}

/* One query token, every head. Heads inside, blocks outside: a token's K and V rows of all heads
 * lie together and are fetched together. */
static void part(const struct clsa_attn *a, const float *q, const int32_t *index, size_t first,
                 size_t count, const struct clsa_attn_part *out)
{
    struct key_run run = run_of(a, index, first, count);
    struct key_block block;
    struct query_rows rows;
    size_t group = a->q_heads / a->kv_heads, step = block_keys(a);
    size_t begin, head, g, i;

    for (i = 0; i < a->q_heads; i++) {
        out->max[i] = -INFINITY;
        out->sum[i] = 0;
    }
    memset(out->acc, 0, a->q_heads * a->dv * sizeof *out->acc);
    if (clsa_x_is_direct(a)) {
        clsa_x_part_direct(a, q, &run, out);
        return;
    }
    for (begin = 0; begin < count; begin += step) {
        size_t keys = least(step, count - begin);

        for (head = 0; head < a->kv_heads; head++) {
            struct ahead next = {&run, head, begin + keys,
                                 least(count + a->next, begin + keys + step)};

            load_block(&block, &run, head, begin, 0, keys);
            for (g = 0; g < group; g += rows.count) {
                rows.count = least(ROWS, group - g);
                for (i = 0; i < rows.count; i++) {
                    size_t h = head * group + g + i;

                    rows.q[i] = q + h * a->d;
                    rows.acc[i] = out->acc + h * a->dv;
                    rows.max[i] = out->max + h;
                    rows.sum[i] = out->sum + h;
                    rows.low[i] = 0;
                    rows.high[i] = count;
                }
                attend(&rows, a, &block, begin, keys, &next);
            }
            fetch(&next, step);
        }
    }
}

void clsa_x_attn_dense(const struct clsa_attn *a, const float *q, size_t first, size_t count,
                       const struct clsa_attn_part *out)
{
    part(a, q, NULL, first, count, out);
}

void clsa_x_attn_sparse(const struct clsa_attn *a, const float *q, const int32_t *index,
                        size_t count, const struct clsa_attn_part *out)
{
    part(a, q, index, 0, count, out);
}

void clsa_x_attn_combine(float *out, const struct clsa_attn_part *parts, size_t parts_count,
                         size_t q_heads, size_t dv)
{
    size_t h, p, j;

    for (h = 0; h < q_heads; h++) {
        float max = -INFINITY, sum = 0, *row = out + h * dv;

        for (p = 0; p < parts_count; p++)
            if (parts[p].max[h] > max || parts[p].max[h] != parts[p].max[h])
                max = parts[p].max[h];
        for (j = 0; j < dv; j++)
            row[j] = 0;
        if (max == -INFINITY)
            continue;
        for (p = 0; p < parts_count; p++) {
            float weight = expf(parts[p].max[h] - max);
            const float *acc = parts[p].acc + h * dv;

            sum += weight * parts[p].sum[h];
            for (j = 0; j + VF_N <= dv; j += VF_N)
                vf_store(row + j, vf_fma(vf_set1(weight), vf_load(acc + j), vf_load(row + j)));
            if (j < dv)
                vf_store_n(
                    row + j,
                    vf_fma(vf_set1(weight), vf_load_n(acc + j, dv - j), vf_load_n(row + j, dv - j)),
                    dv - j);
        }
        for (j = 0; j < dv; j++)
            row[j] /= sum;
    }
}

/* Query rows of a prefill, q and unnormalised output side by side: in a model's own layout rows lie
 * powers of two apart and push each other out of the caches. */
struct prefill {
    struct query_rows rows;
    float *out[ROWS];
    float max[ROWS], sum[ROWS];
    _Alignas(64) float q[ROW_FLOATS];
    _Alignas(64) float acc[ROW_FLOATS];
};

static size_t prefill_room(const struct clsa_attn *a)
{
    size_t wide = padded(a->d > a->dv ? a->d : a->dv);

    return least(ROWS, ROW_FLOATS / (wide ? wide : VF_N));
}

static void prefill_row(struct prefill *p, const struct clsa_attn *a, const float *q, float *out,
                        size_t low, size_t high)
{
    size_t i = p->rows.count++;

    p->rows.q[i] = p->q + i * padded(a->d);
    p->rows.acc[i] = p->acc + i * padded(a->dv);
    p->rows.max[i] = p->max + i;
    p->rows.sum[i] = p->sum + i;
    p->rows.low[i] = low;
    p->rows.high[i] = high;
    p->out[i] = out;
    p->max[i] = -INFINITY;
    p->sum[i] = 0;
    memcpy(p->q + i * padded(a->d), q, a->d * sizeof *q);
}

/* Blocks begin at multiples of the block size whatever the queries, so that a query's result does
 * not depend on its neighbours. */
static void prefill_rows(struct prefill *p, const struct clsa_attn *a, size_t head,
                         const int32_t *index)
{
    struct query_rows *rows = &p->rows;
    struct key_block block;
    size_t low = rows->low[0], high = rows->high[0], step = block_keys(a), begin, r, j;
    struct key_run run;

    for (r = 0; r < rows->count; r++) {
        low = rows->low[r] < low ? rows->low[r] : low;
        high = rows->high[r] > high ? rows->high[r] : high;
    }
    run = run_of(a, index, 0, high);
    memset(p->acc, 0, rows->count * padded(a->dv) * sizeof *p->acc);
    for (begin = low / step * step; begin < high; begin += step) {
        size_t skip = low > begin ? low - begin : 0, keys = least(step, high - begin);
        struct ahead next = {&run, head, begin + keys, least(high, begin + keys + step)};

        load_block(&block, &run, head, begin, skip, keys);
        attend(rows, a, &block, begin, keys, &next);
    }
    for (r = 0; r < rows->count; r++) {
        vf sum = vf_set1(p->max[r] == -INFINITY ? 1 : p->sum[r]); /* no key: zeros */

        for (j = 0; j + VF_N <= a->dv; j += VF_N)
            vf_store(p->out[r] + j, vf_div(vf_load(rows->acc[r] + j), sum));
        if (j < a->dv)
            vf_store_n(p->out[r] + j, vf_div(vf_load(rows->acc[r] + j), sum), a->dv - j);
    }
    rows->count = 0;
}

void clsa_x_attn_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo, const float *q,
                         ptrdiff_t ldq, size_t first, size_t nq, size_t window)
{
    size_t group = a->q_heads / a->kv_heads, room = prefill_room(a), head, i;
    struct prefill p;

    for (p.rows.count = 0, head = 0; head < a->kv_heads; head++)
        for (i = 0; i < nq * group; i++) {
            size_t query = i / group, end = first + query + 1, h = head * group + i % group;

            prefill_row(&p, a, q + (ptrdiff_t)query * ldq + (ptrdiff_t)(h * a->d),
                        out + (ptrdiff_t)query * ldo + (ptrdiff_t)(h * a->dv),
                        window > 0 && end > window ? end - window : 0, end);
            if (p.rows.count == room || i + 1 == nq * group)
                prefill_rows(&p, a, head, NULL);
        }
}

void clsa_x_attn_sparse_prefill(const struct clsa_attn *a, float *out, ptrdiff_t ldo,
                                const float *q, ptrdiff_t ldq, size_t nq, const int32_t *index,
                                ptrdiff_t ld_index, const int32_t *count)
{
    size_t group = a->q_heads / a->kv_heads, room = prefill_room(a), head, i, query;
    struct prefill p;

    for (p.rows.count = 0, query = 0; query < nq; query++)
        for (head = 0; head < a->kv_heads; head++)
            for (i = 0; i < group; i++) {
                size_t h = head * group + i;

                prefill_row(&p, a, q + (ptrdiff_t)query * ldq + (ptrdiff_t)(h * a->d),
                            out + (ptrdiff_t)query * ldo + (ptrdiff_t)(h * a->dv), 0,
                            (size_t)count[query]);
                if (p.rows.count == room || i + 1 == group)
                    prefill_rows(&p, a, head, index + (ptrdiff_t)query * ld_index);
            }
}
