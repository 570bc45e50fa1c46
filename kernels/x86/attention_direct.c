/* Decode attention on rows where they lie, with no scratch between: bfloat16 is widened in registers,
 * in the order of pairs, float32 and float16 are taken in the order of memory. Good for few query
 * heads a K/V head, where a copy of the rows would cost as much as the products. */
#include "kernels/x86/attention.h"

enum {
    DIRECT_GROUP = 12,
    DIRECT_FLOATS = 8192, /* q of all heads, for bfloat16 in the order of pairs */
#if defined(__AVX512F__)
    DIRECT_VALUE_ROWS = 5,
#else
    DIRECT_VALUE_ROWS = 2,
#endif
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

int clsa_x_is_direct(const struct clsa_attn *a)
{
    return a->k.dtype != CLSA_KERNEL_MLA_FP8 && a->v.dtype == a->k.dtype && a->d % PAIR == 0 &&
           a->dv % PAIR == 0 && a->d <= CLSA_X_RUN && a->q_heads <= DIRECT_GROUP * a->kv_heads &&
           a->q_heads * a->d <= DIRECT_FLOATS;
}

/* Of value types here and below: `dtype` is a compile-time constant. */
CLSA_INLINE size_t value_bytes(const enum clsa_kernel_dtype dtype)
{
    return dtype == CLSA_KERNEL_F32 ? 4 : 2;
}

/* Values at .. at+PAIR-1 of a row: for bfloat16 in the order of pairs. */
CLSA_INLINE void load_two(const char *row, size_t at, const enum clsa_kernel_dtype dtype, vf *a,
                          vf *b)
{
    if (dtype == CLSA_KERNEL_BF16) {
        vf_load_pair(row + 2 * at, a, b);
    } else {
        *a = vf_load_as(row, dtype, at);
        *b = vf_load_as(row, dtype, at + VF_N);
    }
}

/* Lines of the next block's rows, asked for into L2 in the order of memory, a few at a time while this block is
 * worked on. Where rows follow each other, and the heads in a row, it is whole rows, K and V in one where V lies
 * behind K: pieces of a head each, a row apart, come from memory at half the rate. Of rows at random places it is a
 * head's pieces, so that the page walks of several rows wait together. */
struct rows_ahead {
    const char *const *row;
    size_t rows, bytes, at; /* left; of a row; asked for of this row */
};

CLSA_INLINE struct rows_ahead rows_begin(const char *const *row, size_t rows, size_t bytes)
{
    return (struct rows_ahead){row, rows, bytes, 0};
}

/* Lines at each of so many times. */
CLSA_INLINE size_t rows_share(const struct rows_ahead *f, size_t part_bytes, size_t times)
{
    return times ? (f->rows * ((part_bytes + LINE - 1) / LINE) + times - 1) / times : 0;
}

CLSA_INLINE void rows_fetch(struct rows_ahead *f, size_t lines)
{
    for (; lines > 0 && f->rows > 0; lines--) {
        _mm_prefetch(*f->row + f->at, _MM_HINT_T1);
        f->at += LINE;
        if (f->at >= f->bytes) {
            f->at = 0;
            f->row++;
            f->rows--;
        }
    }
}

/* value_tile on rows where they lie, values at .. at+vectors*VF_N-1 of each; acc in the order that
 * they load. `rows` and `vectors` (2 or 4) are compile-time constants. */
CLSA_INLINE void direct_tile(float *const *acc, const float *p, const char *const *v, size_t keys,
                             size_t at, const int rows, const int vectors, struct rows_ahead *ahead,
                             size_t lines, const enum clsa_kernel_dtype dtype)
{
    vf sum[DIRECT_VALUE_ROWS][4];
    size_t t;
    int r, c;

    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        CLSA_UNROLL
        for (c = 0; c < vectors; c++)
            sum[r][c] = vf_load(acc[r] + at + (size_t)c * VF_N);
    }
    for (t = 0; t < keys; t++) {
        vf value[4];

        CLSA_UNROLL
        for (c = 0; c < vectors; c += 2)
            load_two(v[t], at + (size_t)c * VF_N, dtype, &value[c], &value[c + 1]);
        if (ahead != NULL)
            rows_fetch(ahead, lines);
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
        for (c = 0; c < vectors; c++)
            vf_store(acc[r] + at + (size_t)c * VF_N, sum[r][c]);
    }
}

CLSA_INLINE void direct_values(float *const *acc, const float *p, const char *const *v, size_t keys,
                               size_t dv, const int rows, struct rows_ahead *ahead,
                               size_t lines, const enum clsa_kernel_dtype dtype)
{
    size_t at = 0;

    for (; at + 2 * PAIR <= dv; at += 2 * PAIR)
        direct_tile(acc, p, v, keys, at, rows, 4, ahead, lines, dtype);
    if (at < dv)
        direct_tile(acc, p, v, keys, at, rows, 2, ahead, lines, dtype);
}

CLSA_INLINE void direct_values_rows(float *const *acc, const float *p, const char *const *v,
                                    size_t keys, size_t dv, size_t rows, struct rows_ahead *ahead,
                                    size_t lines, const enum clsa_kernel_dtype dtype)
{
    switch (rows) {
    case 1:
        direct_values(acc, p, v, keys, dv, 1, ahead, lines, dtype);
        break;
#if defined(__AVX512F__)
    case 3:
        direct_values(acc, p, v, keys, dv, 3, ahead, lines, dtype);
        break;
    case 4:
        direct_values(acc, p, v, keys, dv, 4, ahead, lines, dtype);
        break;
    case 5:
        direct_values(acc, p, v, keys, dv, 5, ahead, lines, dtype);
        break;
#endif
    default:
        direct_values(acc, p, v, keys, dv, 2, ahead, lines, dtype);
        break;
    }
}

/* dots[r] = q[r] . k[0..3] in the order of memory; `rows` is a compile-time constant. */
CLSA_INLINE void plain_dots(__m128 *dots, const float *const *q, const char *const *k, size_t d,
                            const int rows, const enum clsa_kernel_dtype dtype)
{
    vf acc[PAIR_ROWS][TILE_COLS];
    size_t l;
    int r, c;

    CLSA_UNROLL
    for (r = 0; r < rows; r++) {
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++)
            acc[r][c] = vf_zero();
    }
    for (l = 0; l < d; l += VF_N) {
        CLSA_UNROLL
        for (c = 0; c < TILE_COLS; c++) {
            vf key = vf_load_as(k[c], dtype, l);

            CLSA_UNROLL
            for (r = 0; r < rows; r++)
                acc[r][c] = vf_fma(vf_load(q[r] + l), key, acc[r][c]);
        }
    }
    CLSA_UNROLL
    for (r = 0; r < rows; r++)
        dots[r] = vf_sum4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
}

CLSA_INLINE void direct_dots(__m128 *dots, const float *const *q, const char *const *k, size_t d,
                             size_t rows, const enum clsa_kernel_dtype dtype)
{
    if (dtype == CLSA_KERNEL_BF16) {
        pair_rows(dots, q, k, d, rows, PAIR_CACHED, 0);
        return;
    }
    switch (rows) {
    case 1:
        plain_dots(dots, q, k, d, 1, dtype);
        break;
#if defined(__AVX512F__)
    case 3:
        plain_dots(dots, q, k, d, 3, dtype);
        break;
    case 4:
        plain_dots(dots, q, k, d, 4, dtype);
        break;
    case 5:
        plain_dots(dots, q, k, d, 5, dtype);
        break;
#endif
    default:
        plain_dots(dots, q, k, d, 2, dtype);
        break;
    }
}

/* acc back from the order of pairs, in place. */
static void unsplit(float *acc, size_t n)
{
    size_t i;

    for (i = 0; i < n; i += PAIR) {
        vf a, b;

        vf_join(vf_load(acc + i), vf_load(acc + i + VF_N), &a, &b);
        vf_store(acc + i, a);
        vf_store(acc + i + VF_N, b);
    }
}

/* Rows of a block's keys for one head; places beyond the last repeat it, so that tiles of four and
 * prefetches have somewhere to look. */
struct row_list {
    const char *k[BLOCK_KEYS], *v[BLOCK_KEYS];
    size_t count;
};

static void list_rows(struct row_list *l, const struct key_run *run, size_t head, size_t begin,
                      size_t keys)
{
    size_t i;

    l->count = keys;
    for (i = 0; i < keys; i++) {
        l->k[i] = row_at(&run->a->k, run, begin + i, head);
        l->v[i] = row_at(&run->a->v, run, begin + i, head);
    }
    for (; keys > 0 && i < BLOCK_KEYS; i++) {
        l->k[i] = l->k[keys - 1];
        l->v[i] = l->v[keys - 1];
    }
}

/* What is fetched ahead while a head is worked on: lines at each tile of keys, and at each step over values. */
struct fetches {
    struct rows_ahead *with_keys, *with_values;
    size_t key_lines, value_lines;
};

/* One K/V head against one block; q[i], acc, max and sum are those of its `group` query heads. */
CLSA_INLINE void direct_head(const struct clsa_attn *a, const struct row_list *rows,
                             const struct fetches *f, const float *const *q, float *const *acc,
                             float *max, float *sum, size_t group,
                             const enum clsa_kernel_dtype dtype)
{
    _Alignas(64) float score[DIRECT_GROUP * BLOCK_KEYS];
    size_t g, i, t, strip;
    __m128 dots[PAIR_ROWS];

    for (g = 0; g < group; g += strip) {
        strip = least(PAIR_ROWS, group - g);
        for (t = 0; t < rows->count; t += TILE_COLS) {
            direct_dots(dots, q + g, rows->k + t, a->d, strip, dtype);
            for (i = 0; i < strip; i++)
                _mm_store_ps(score + (g + i) * BLOCK_KEYS + t, dots[i]);
            if (g == 0)
                rows_fetch(f->with_keys, f->key_lines);
        }
    }
    for (i = 0; i < group; i++)
        clsa_x_weigh(score + i * BLOCK_KEYS, rows->count, 0, rows->count, a->scale, max + i,
                     sum + i, acc[i], a->dv);
    for (g = 0; g < group; g += strip) {
        strip = least(DIRECT_VALUE_ROWS, group - g);
        direct_values_rows(acc + g, score + g * BLOCK_KEYS, rows->v, rows->count, a->dv, strip,
                           g == 0 && f->with_values->rows > 0 ? f->with_values : NULL,
                           f->value_lines, dtype);
    }
}

/* Bytes of a row of `n` values a head that lie together: of all heads where they follow each other. */
CLSA_INLINE size_t together(const struct clsa_rows *rows, size_t n, size_t heads,
                            const enum clsa_kernel_dtype dtype)
{
    size_t bytes = n * value_bytes(dtype);

    return rows->head_stride_bytes == (ptrdiff_t)bytes ? heads * bytes : bytes;
}

/* Times that the values of a head's rows are stepped over for one strip of query heads. */
CLSA_INLINE size_t value_steps(size_t keys, size_t dv)
{
    return keys * (dv / (2 * PAIR) + (dv % (2 * PAIR) > 0));
}

CLSA_INLINE void part_direct(const struct clsa_attn *a, const float *q, const struct key_run *run,
                             const struct clsa_attn_part *out, const enum clsa_kernel_dtype dtype)
{
    _Alignas(64) float split[DIRECT_FLOATS];
    struct row_list now, next;
    struct rows_ahead k = {NULL, 0, 0, 0}, v = {NULL, 0, 0, 0};
    const float *rows[DIRECT_GROUP];
    float *acc[DIRECT_GROUP];
    size_t group = a->q_heads / a->kv_heads, count = run->end, known = count + a->next;
    size_t k_head = a->d * value_bytes(dtype), v_head = a->dv * value_bytes(dtype);
    size_t k_row = together(&a->k, a->d, a->kv_heads, dtype);
    size_t v_row = together(&a->v, a->dv, a->kv_heads, dtype);
    int whole = run->index == NULL && (a->kv_heads == 1 || (k_row > k_head && v_row > v_head));
    int joined = whole && (const char *)a->v.base == (const char *)a->k.base + k_row &&
                 a->v.row_stride_bytes == a->k.row_stride_bytes;
    size_t passes = whole ? a->kv_heads : 1, k_bytes = whole ? k_row : k_head;
    size_t v_bytes = whole ? v_row : v_head, begin, head, h, i;
    struct fetches fetches = {&k, joined ? &k : &v, 0, 0};

    for (h = 0; dtype == CLSA_KERNEL_BF16 && h < a->q_heads; h++)
        split_row(split + h * a->d, q + h * a->d, a->d);
    if (dtype == CLSA_KERNEL_BF16)
        q = split;
    for (begin = 0; begin < count; begin += BLOCK_KEYS) {
        size_t keys = least(BLOCK_KEYS, count - begin), ahead = begin + keys;

        for (head = 0; head < a->kv_heads; head++) {
            list_rows(&now, run, head, begin, keys);
            if (begin == 0 && run->index != NULL) { /* nobody asked for these, or has them already */
                k = rows_begin(now.k, keys, k_bytes);
                v = rows_begin(now.v, keys, v_bytes);
                rows_fetch(&k, SIZE_MAX);
                rows_fetch(&v, SIZE_MAX);
            }
            if (head == 0 || !whole) {
                list_rows(&next, run, head, ahead, least(BLOCK_KEYS, known - ahead));
                k = rows_begin(next.k, next.count, joined ? k_bytes + v_bytes : k_bytes);
                v = rows_begin(next.v, next.count, v_bytes);
                fetches.key_lines =
                    rows_share(&k, k_bytes, passes * ((keys + TILE_COLS - 1) / TILE_COLS));
                fetches.value_lines = rows_share(&v, v_bytes, passes * value_steps(keys, a->dv));
            }
            for (i = 0; i < group; i++) {
                rows[i] = q + (head * group + i) * a->d;
                acc[i] = out->acc + (head * group + i) * a->dv;
            }
            direct_head(a, &now, &fetches, rows, acc, out->max + head * group,
                        out->sum + head * group, group, dtype);
        }
    }
    if (dtype == CLSA_KERNEL_BF16)
        unsplit(out->acc, a->q_heads * a->dv);
}

static void part_bf16(const struct clsa_attn *a, const float *q, const struct key_run *run,
                      const struct clsa_attn_part *out)
{
    part_direct(a, q, run, out, CLSA_KERNEL_BF16);
}

static void part_f16(const struct clsa_attn *a, const float *q, const struct key_run *run,
                     const struct clsa_attn_part *out)
{
    part_direct(a, q, run, out, CLSA_KERNEL_F16);
}

static void part_f32(const struct clsa_attn *a, const float *q, const struct key_run *run,
                     const struct clsa_attn_part *out)
{
    part_direct(a, q, run, out, CLSA_KERNEL_F32);
}

void clsa_x_part_direct(const struct clsa_attn *a, const float *q, const struct key_run *run,
                        const struct clsa_attn_part *out)
{
    if (a->k.dtype == CLSA_KERNEL_BF16)
        part_bf16(a, q, run, out);
    else if (a->k.dtype == CLSA_KERNEL_F16)
        part_f16(a, q, run, out);
    else
        part_f32(a, q, run, out);
}
