/* plugin.h: the C ABI of kernels that clsa loads from a shared object. Includes nothing of ours; may
 * be included from C and C++ (CUDA). Copy it freely.
 *
 * A plugin exports one function, clsa_plugin_v1, which returns a description that stays valid while
 * the object is loaded. It offers one or more kernels, each of one kind. clsa loads the object in a
 * process of its own, calls kernels from one thread of it, never two at a time, and holds every
 * result against its reference:
 *
 *     clsa check --plugin ./mine.so [--bench]
 *     clsa run --plugin ./mine.so        clsa eval --plugin ./mine.so
 *
 * Rules for every kernel
 *
 * Memory. All pointers are host memory. Inputs are mapped read-only: writing to them faults. Outputs
 * are the elements that a call names and nothing else; what lies before, between (a row's pitch
 * beyond its values) and after them is checked after each call, and unmapped pages lie further out.
 * Bytes around and between rows of inputs may hold anything, NaN above all; they may be read but must
 * have no effect on results. Memory is not kept from call to call: the same address may hold other
 * values in the next one.
 *
 * Shapes. Strides named ld* count elements of their matrix, those named *_bytes bytes; all are
 * positive. Sizes are at least 1 except where 0 is said. Every pointer is aligned to its element type
 * (bf16 and f16: 2 bytes) and no more.
 *
 * Values. IEEE arithmetic on the formula: NaN in what an output depends on makes it NaN and reaches
 * no other output. Subnormal outputs may be flushed. Error bounds are those of kernels.h: gamma(n) =
 * n u / (1 - n u) with u = 2^-24, for float32 accumulation in any order.
 *
 * Result. 0: done. CLSA_PLUGIN_UNSUPPORTED: this kernel does not handle these shapes or types, and
 * nothing was written; the check skips the case (and fails when it had to skip all of them), an
 * engine stops and says so. Anything else: the kernel failed. A call that takes longer than a
 * deadline, or ends the process, failed too. */
#ifndef CLSA_PLUGIN_H
#define CLSA_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLSA_PLUGIN_ABI 1
#define CLSA_PLUGIN_UNSUPPORTED 1

enum clsa_plugin_kind {
    CLSA_PLUGIN_INDEX_SCORE = 1,       /* run takes struct clsa_plugin_index_call, heads = 1 */
    CLSA_PLUGIN_INDEX_SCORE_HEADS = 2, /* run takes struct clsa_plugin_index_call */
    CLSA_PLUGIN_TOPK = 3,              /* run takes struct clsa_plugin_topk_call */
    CLSA_PLUGIN_ATTN_SPARSE = 4        /* run takes struct clsa_plugin_attn_call */
};

enum clsa_plugin_dtype { CLSA_PLUGIN_F32 = 0, CLSA_PLUGIN_BF16 = 1, CLSA_PLUGIN_F16 = 2 };

enum clsa_plugin_flags {
    /* Top-k: positions need not be the best; the check reports the share that is, and still insists
     * on their number, range and uniqueness. */
    CLSA_PLUGIN_APPROXIMATE = 1,
    /* Top-k: among equal scores any may be taken. Without it the lowest positions must be. */
    CLSA_PLUGIN_ANY_TIES = 2,
    /* Index scores: q is rounded to bfloat16 first (matrix units); the bound against bfloat16 keys
     * grows by 2^-8 sum |q k|. */
    CLSA_PLUGIN_BF16_QUERIES = 4
};

/* Index scores of `queries` queries against the `keys` keys of one sequence.
 *   INDEX_SCORE:       out[i*ldo + s] = scale * (q_i . key_s)                       (w is NULL)
 *   INDEX_SCORE_HEADS: out[i*ldo + s] = scale * sum_h w[i*ldw + h] * max(q_ih . key_s, 0)
 * for every i < queries and s < keys, with q_ih = q + i*ldq + h*d and key_s the d values at
 * key + s*key_stride_bytes. max(NaN, 0) is NaN. */
struct clsa_plugin_index_call {
    int64_t queries, keys, heads, d;
    const float *q;
    int64_t ldq;
    const float *w;
    int64_t ldw;
    const void *key;
    int64_t key_stride_bytes;
    int32_t key_dtype; /* enum clsa_plugin_dtype */
    float scale;
    float *out;
    int64_t ldo;
};

/* The k best of each row of scores. Row i has n[i] scores at score + i*ld_score (0 < n[i] < 2^31; the
 * rest of the row, to the length of the longest, may hold anything). Writes min(k, n[i]) different
 * positions to out + i*ldo, in any order, and their number to count[i] (places of a short row up to
 * the longest row's number may be written too). The largest win; among equal
 * scores (-0 equals +0) the lowest positions; NaN ranks above +Inf, all NaN alike. */
struct clsa_plugin_topk_call {
    int64_t rows, k;
    const float *score;
    int64_t ld_score;
    const int32_t *n; /* [rows] */
    int32_t *out;
    int64_t ldo;    /* at least the largest min(k, n[i]) */
    int32_t *count; /* [rows] */
};

/* Attention of `queries` queries over selected rows of one sequence's K and V, with grouped heads:
 * query head h reads K/V head h / (q_heads / kv_heads). For query i and head h, over the positions
 * s = index[i*ld_index .. + count[i]):
 *   out[i*ldo + h*dv + j] = sum_s p_s v_s[j],   p = softmax over s of scale * (q_ih . k_s)
 * with q_ih = q + i*ldq + h*d, and k_s, v_s at base + s*row_stride_bytes + head*head_stride_bytes.
 * count[i] may be 0: zeros. 0 <= s < rows; a position named twice counts twice. A query all of whose
 * scores are -Inf gets zeros. K and V may lie interleaved in the same rows. */
struct clsa_plugin_attn_call {
    int64_t queries, q_heads, kv_heads, d, dv;
    int64_t rows; /* of K and of V */
    const float *q;
    int64_t ldq;
    const void *k, *v;
    int64_t k_row_stride_bytes, k_head_stride_bytes, v_row_stride_bytes, v_head_stride_bytes;
    int32_t dtype; /* of K and V: enum clsa_plugin_dtype */
    float scale;
    const int32_t *index;
    int64_t ld_index;
    const int32_t *count; /* [queries] */
    float *out;
    int64_t ldo;
};

struct clsa_plugin_kernel {
    uint32_t kind;  /* enum clsa_plugin_kind */
    uint32_t flags; /* enum clsa_plugin_flags, added */
    const char *name; /* at most 39 bytes, no two kernels alike */
    int (*run)(const void *call); /* the struct that belongs to kind */
};

#define CLSA_PLUGIN_KERNELS_MAX 16

struct clsa_plugin {
    uint32_t abi; /* CLSA_PLUGIN_ABI */
    uint32_t kernels_count; /* 1 .. CLSA_PLUGIN_KERNELS_MAX */
    const char *name; /* at most 39 bytes */
    const struct clsa_plugin_kernel *kernels; /* an engine takes the first of each kind */
};

/* What a plugin exports. NULL: it cannot run here (no device, say), after a line on standard error. */
#if defined(_WIN32)
#define CLSA_PLUGIN_EXPORT __declspec(dllexport)
#else
#define CLSA_PLUGIN_EXPORT __attribute__((visibility("default")))
#endif
CLSA_PLUGIN_EXPORT const struct clsa_plugin *clsa_plugin_v1(void);

#ifdef __cplusplus
}
#endif

#endif
