/* Decode attention on bfloat16 rows where they lie: widened in registers, in the order of pairs,
 * with no scratch between. Good for few query heads a K/V head, where widening to memory would cost
 * as much as the products. */
#include "kernels/x86/attention.h"

enum {
    DIRECT_GROUP = 12,
    DIRECT_FLOATS = 8192, /* q of all heads in the order of pairs */
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
    return a->k.dtype == CLSA_KERNEL_BF16 && a->v.dtype == CLSA_KERNEL_BF16 && a->d % PAIR == 0 &&
           a->dv % PAIR == 0 && a->d <= CLSA_X_RUN && a->q_heads <= DIRECT_GROUP * a->kv_heads &&
           a->q_heads * a->d <= DIRECT_FLOATS;
}

/* value_tile on rows where they lie: 2 pairs of vectors of each V row, acc in the order of pairs.
 */
CLSA_INLINE void direct_values(float *const *acc, const float *p, const char *const *v, size_t keys,
                               size_t dv, const int rows, const char *const *next)
{
    size_t at, t;
    int r, c;

    for (at = 0; at < dv; at += 2 * PAIR) {
        const int wide = dv - at >= 2 * PAIR;
        vf sum[DIRECT_VALUE_ROWS][4];

        CLSA_UNROLL
        for (r = 0; r < rows; r++) {
            CLSA_UNROLL
            for (c = 0; c < 4; c++)
                sum[r][c] = c < 2 || wide ? vf_load(acc[r] + at + (size_t)c * VF_N) : vf_zero();
        }
        for (t = 0; t < keys; t++) {
            vf value[4];

            vf_load_pair(v[t] + 2 * at, &value[0], &value[1]);
            if (wide) {
                vf_load_pair(v[t] + 2 * (at + PAIR), &value[2], &value[3]);
            } else {
                value[2] = value[3] = vf_zero();
            }
            if (next != NULL) {
                _mm_prefetch(next[t] + 2 * at, _MM_HINT_T1);
                if (4 * PAIR > LINE)
                    _mm_prefetch(next[t] + 2 * at + LINE, _MM_HINT_T1);
            }
            CLSA_UNROLL
            for (r = 0; r < rows; r++) {
                vf weight = vf_set1(p[(size_t)r * BLOCK_KEYS + t]);

                CLSA_UNROLL
                for (c = 0; c < 4; c++)
                    sum[r][c] = vf_fma(weight, value[c], sum[r][c]);
            }
        }
        CLSA_UNROLL
        for (r = 0; r < rows; r++) {
            CLSA_UNROLL
            for (c = 0; c < 4; c++)
                if (c < 2 || wide)
                    vf_store(acc[r] + at + (size_t)c * VF_N, sum[r][c]);
        }
    }
}

static void direct_values_rows(float *const *acc, const float *p, const char *const *v, size_t keys,
                               size_t dv, size_t rows, const char *const *next)
{
    switch (rows) {
    case 1:
        direct_values(acc, p, v, keys, dv, 1, next);
        break;
#if defined(__AVX512F__)
    case 3:
        direct_values(acc, p, v, keys, dv, 3, next);
        break;
    case 4:
        direct_values(acc, p, v, keys, dv, 4, next);
        break;
    case 5:
        direct_values(acc, p, v, keys, dv, 5, next);
        break;
#endif
    default:
        direct_values(acc, p, v, keys, dv, 2, next);
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

/* One K/V head against one block; q[i], acc, max and sum are those of its `group` query heads. */
static void direct_head(const struct clsa_attn *a, const struct row_list *rows,
                        const struct row_list *next, const float *const *q, float *const *acc,
                        float *max, float *sum, size_t group)
{
    _Alignas(64) float score[DIRECT_GROUP * BLOCK_KEYS];
    size_t g, i, t, strip, at;
    __m128 dots[PAIR_ROWS];

    for (g = 0; g < group; g += strip) {
        strip = least(PAIR_ROWS, group - g);
        for (t = 0; t < rows->count; t += TILE_COLS) {
            pair_rows(dots, q + g, rows->k + t, a->d, strip, 0, 0);
            for (i = 0; i < strip; i++)
                _mm_store_ps(score + (g + i) * BLOCK_KEYS + t, dots[i]);
            for (i = 0; g == 0 && next->count > 0 && i < TILE_COLS; i++)
                for (at = 0; at < 2 * a->d; at += LINE)
                    _mm_prefetch(next->k[t + i] + at, _MM_HINT_T1);
        }
    }
    for (i = 0; i < group; i++)
        clsa_x_weigh(score + i * BLOCK_KEYS, rows->count, 0, rows->count, a->scale, max + i,
                     sum + i, acc[i], a->dv);
    for (g = 0; g < group; g += strip) {
        strip = least(DIRECT_VALUE_ROWS, group - g);
        direct_values_rows(acc + g, score + g * BLOCK_KEYS, rows->v, rows->count, a->dv, strip,
                           g == 0 && next->count > 0 ? next->v : NULL);
    }
}

void clsa_x_part_direct(const struct clsa_attn *a, const float *q, const struct key_run *run,
                        const struct clsa_attn_part *out)
{
    _Alignas(64) float split[DIRECT_FLOATS];
    struct row_list now, next;
    const float *rows[DIRECT_GROUP];
    float *acc[DIRECT_GROUP];
    size_t group = a->q_heads / a->kv_heads, count = run->end, begin, head, h, i;

    for (h = 0; h < a->q_heads; h++)
        split_row(split + h * a->d, q + h * a->d, a->d);
    for (begin = 0; begin < count; begin += BLOCK_KEYS) {
        for (head = 0; head < a->kv_heads; head++) {
            size_t keys = least(BLOCK_KEYS, count - begin), ahead = begin + BLOCK_KEYS;

            list_rows(&now, run, head, begin, keys);
            list_rows(&next, run, head, ahead,
                      ahead < count ? least(BLOCK_KEYS, count - ahead) : 0);
            for (i = 0; i < group; i++) {
                rows[i] = split + (head * group + i) * a->d;
                acc[i] = out->acc + (head * group + i) * a->dv;
            }
            direct_head(a, &now, &next, rows, acc, out->max + head * group, out->sum + head * group,
                        group);
        }
    }
    unsplit(out->acc, a->q_heads * a->dv);
}
