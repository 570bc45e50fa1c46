/* traffic.h: the work of a call of each kernel, from its shape alone.
 *
 * flops: a multiply-add counts 2; every other addition, multiplication, division, comparison,
 * square root or exponential counts 1. bytes_read and bytes_written are what the call must move
 * when nothing is cached before it: every operand once, each distinct row once. How often a real
 * machine moves them is the replay's business, not this header's.
 *
 * Element sizes are arguments (in bytes), so that the same shapes price an engine in float32 and a
 * GPU in bfloat16. Pure functions; products of shapes are the caller's to have checked against
 * overflow (sim/model/plan does), results are exact below 2^64.
 */
#ifndef CLSA_KERNELS_TRAFFIC_H
#define CLSA_KERNELS_TRAFFIC_H

#include <stdint.h>

struct clsa_traffic {
    uint64_t flops;
    uint64_t bytes_read;
    uint64_t bytes_written;
};

/* rmsnorm of rows x n: square-add 2n, mean, eps, root, reciprocal, then 2n a row. */
struct clsa_traffic clsa_traffic_rmsnorm(uint64_t rows, uint64_t n, uint64_t x_bytes,
                                         uint64_t w_bytes, uint64_t y_bytes);

/* head norm: rows = tokens * heads, the weight of d values is read once. */
struct clsa_traffic clsa_traffic_head_norm(uint64_t tokens, uint64_t heads, uint64_t d,
                                           uint64_t x_bytes, uint64_t w_bytes, uint64_t y_bytes);

/* rope in place: 6 flops a pair; tables of 2 * d/2 float32 a token. */
struct clsa_traffic clsa_traffic_rope(uint64_t tokens, uint64_t heads, uint64_t d,
                                      uint64_t x_bytes);

/* silu(gate) * up: 5 flops a value (exp, add, divide, 2 multiplies: negation is free). */
struct clsa_traffic clsa_traffic_silu_mul(uint64_t rows, uint64_t n, uint64_t x_bytes,
                                          uint64_t y_bytes);

/* softmax: scale, max, subtract, exp, sum, multiply: 6 a value, one division a row. */
struct clsa_traffic clsa_traffic_softmax(uint64_t rows, uint64_t n, uint64_t x_bytes,
                                         uint64_t y_bytes);

/* embedding rows: no flops; ids are 4 bytes. */
struct clsa_traffic clsa_traffic_embed(uint64_t rows, uint64_t n, uint64_t w_bytes,
                                       uint64_t y_bytes);

struct clsa_traffic clsa_traffic_add(uint64_t n, uint64_t x_bytes);

/* Y[m,n] = X[m,k] W[n,k]^T. Also index scores of m queries with one head: W = keys. */
struct clsa_traffic clsa_traffic_gemm(uint64_t m, uint64_t n, uint64_t k, uint64_t x_bytes,
                                      uint64_t w_bytes, uint64_t y_bytes);

/* Conversion of rows x n values. */
struct clsa_traffic clsa_traffic_convert(uint64_t rows, uint64_t n, uint64_t from_bytes,
                                         uint64_t to_bytes);

/* One attention over one sequence. `pairs` is the number of (query, key) pairs attended and
 * `rows` the number of distinct K (and V) rows touched: see the helpers below. Row bytes are those
 * of one K/V head. kv_same: V is the first dv values of the K row (MLA): it is read once. A pair
 * and head costs 2 d (scores) + 4 (scale, max, subtract, exp) + 1 (sum) + 2 dv (values). */
struct clsa_attn_shape {
    uint64_t queries, pairs, rows;
    uint64_t q_heads, kv_heads, d, dv;
    uint64_t q_bytes, k_row_bytes, v_row_bytes, y_bytes;
    uint64_t index_entries; /* 4-byte positions read; 0 for dense */
    int kv_same;
};
struct clsa_traffic clsa_traffic_attn(const struct clsa_attn_shape *s);

/* Pairs of nq causal queries starting at position first; window 0 is unlimited. Closed form. */
uint64_t clsa_traffic_causal_pairs(uint64_t first, uint64_t nq, uint64_t window);

/* Distinct key rows the same queries touch. */
uint64_t clsa_traffic_causal_rows(uint64_t first, uint64_t nq, uint64_t window);

/* Joining `parts` partial attentions of float32: 2 exponentials, then 2 a value and part. */
struct clsa_traffic clsa_traffic_attn_combine(uint64_t parts, uint64_t q_heads, uint64_t dv,
                                              uint64_t y_bytes);

/* Index scores of `queries` queries over `keys` keys with `heads` index heads of d values:
 * heads = 1 with relu = 0 is the plain dot product; otherwise each head adds ReLU, weight, sum.
 * key_row_bytes covers scales stored beside the key (fp8: d + 4). Scores are y_bytes each. */
struct clsa_traffic clsa_traffic_index_score(uint64_t queries, uint64_t keys, uint64_t heads,
                                             uint64_t d, int relu, uint64_t q_bytes,
                                             uint64_t key_row_bytes, uint64_t y_bytes);

/* Top-k of `rows` rows of n scores: one comparison a score at least; min(k, n) positions of 4 bytes
 * written a row. Passes beyond the first belong to the implementation. */
struct clsa_traffic clsa_traffic_topk(uint64_t rows, uint64_t n, uint64_t k, uint64_t x_bytes);

#endif
