/* attention.h: what the two ways of attention.c and attention_direct.c share. Private to x86/. */
#ifndef CLSA_KERNELS_ATTENTION_H
#define CLSA_KERNELS_ATTENTION_H

#include "kernels/x86/tile.h"

/* Keys worked on at a time, at most; a multiple of 16. The next block's rows are asked for into L2
 * (prefetcht1): it can wait for more lines at once than L1, which for random rows is what counts.
 */
enum { BLOCK_KEYS = 64 };

/* The keys of a run: ordinal i is position index[i], or first + i. */
struct key_run {
    const struct clsa_attn *a;
    const int32_t *index;
    size_t first;
    size_t end; /* ordinals below this exist */
    int same;   /* V rows are the first dv values of the K rows */
    size_t k_bytes, v_bytes;
};

CLSA_INLINE const char *row_at(const struct clsa_rows *rows, const struct key_run *r, size_t i,
                               size_t head)
{
    size_t s = r->index != NULL ? (size_t)r->index[i] : r->first + i;

    return (const char *)rows->base + (ptrdiff_t)s * rows->row_stride_bytes +
           (ptrdiff_t)head * rows->head_stride_bytes;
}

#define clsa_x_weigh CLSA_ISA(clsa_x_weigh)
#define clsa_x_part_direct CLSA_ISA(clsa_x_part_direct)
#define clsa_x_is_direct CLSA_ISA(clsa_x_is_direct)

/* One row's scores of a block to weights: scaled, the maximum raised, sum and acc brought to it.
 * Ordinals outside [begin, end) of the block get weight 0 without being looked at. */
void clsa_x_weigh(float *s, size_t keys, size_t begin, size_t end, float scale, float *max,
                  float *sum, float *acc, size_t dv);

/* Decode with few query heads a K/V head: whether the direct way takes it, and the way.
 */
int clsa_x_is_direct(const struct clsa_attn *a);
void clsa_x_part_direct(const struct clsa_attn *a, const float *q, const struct key_run *run,
                        const struct clsa_attn_part *out);

#endif
