#include "kernels/traffic.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

struct clsa_traffic clsa_traffic_rmsnorm(uint64_t rows, uint64_t n, uint64_t x_bytes,
                                         uint64_t w_bytes, uint64_t y_bytes)
{
    struct clsa_traffic t = {0, 0, 0};

    if (rows > 0 && n > 0) {
        t.flops = rows * (4 * n + 4);
        t.bytes_read = rows * n * x_bytes + n * w_bytes;
        t.bytes_written = rows * n * y_bytes;
    }
    return t;
}

struct clsa_traffic clsa_traffic_head_norm(uint64_t tokens, uint64_t heads, uint64_t d,
                                           uint64_t x_bytes, uint64_t w_bytes, uint64_t y_bytes)
{
    return clsa_traffic_rmsnorm(tokens * heads, d, x_bytes, w_bytes, y_bytes);
}

struct clsa_traffic clsa_traffic_rope(uint64_t tokens, uint64_t heads, uint64_t d, uint64_t x_bytes)
{
    struct clsa_traffic t = {0, 0, 0};

    if (tokens > 0 && heads > 0) {
        t.flops = tokens * heads * (d / 2) * 6;
        t.bytes_read = tokens * heads * d * x_bytes + tokens * d * 4;
        t.bytes_written = tokens * heads * d * x_bytes;
    }
    return t;
}

struct clsa_traffic clsa_traffic_silu_mul(uint64_t rows, uint64_t n, uint64_t x_bytes,
                                          uint64_t y_bytes)
{
    struct clsa_traffic t = {rows * n * 5, 2 * rows * n * x_bytes, rows * n * y_bytes};

    return t;
}

struct clsa_traffic clsa_traffic_softmax(uint64_t rows, uint64_t n, uint64_t x_bytes,
                                         uint64_t y_bytes)
{
    struct clsa_traffic t = {n ? rows * (6 * n + 1) : 0, rows * n * x_bytes, rows * n * y_bytes};

    return t;
}

struct clsa_traffic clsa_traffic_embed(uint64_t rows, uint64_t n, uint64_t w_bytes,
                                       uint64_t y_bytes)
{
    struct clsa_traffic t = {0, rows * (n * w_bytes + 4), rows * n * y_bytes};

    return t;
}

struct clsa_traffic clsa_traffic_add(uint64_t n, uint64_t x_bytes)
{
    struct clsa_traffic t = {n, 2 * n * x_bytes, n * x_bytes};

    return t;
}

struct clsa_traffic clsa_traffic_gemm(uint64_t m, uint64_t n, uint64_t k, uint64_t x_bytes,
                                      uint64_t w_bytes, uint64_t y_bytes)
{
    struct clsa_traffic t = {0, 0, 0};

    if (m > 0 && n > 0) {
        t.flops = 2 * m * n * k;
        t.bytes_read = m * k * x_bytes + n * k * w_bytes;
        t.bytes_written = m * n * y_bytes;
    }
    return t;
}

struct clsa_traffic clsa_traffic_convert(uint64_t rows, uint64_t n, uint64_t from_bytes,
                                         uint64_t to_bytes)
{
    struct clsa_traffic t = {0, rows * n * from_bytes, rows * n * to_bytes};

    return t;
}

struct clsa_traffic clsa_traffic_attn(const struct clsa_attn_shape *s)
{
    struct clsa_traffic t;
    uint64_t row = s->k_row_bytes + (s->kv_same ? 0 : s->v_row_bytes);

    t.flops = s->pairs * s->q_heads * (2 * s->d + 2 * s->dv + 5) + s->queries * s->q_heads * s->dv;
    t.bytes_read = s->queries * s->q_heads * s->d * s->q_bytes + s->rows * s->kv_heads * row +
                   4 * s->index_entries;
    t.bytes_written = s->queries * s->q_heads * s->dv * s->y_bytes;
    return t;
}

uint64_t clsa_traffic_causal_pairs(uint64_t first, uint64_t nq, uint64_t window)
{
    /* A query at position t attends t + 1 keys, at most window. Queries with t + 1 < window form an
     * arithmetic series; the rest attend window each. */
    uint64_t growing = nq, a, b;

    if (window > 0)
        growing = first + 1 >= window ? 0 : least(nq, window - 1 - first);
    /* growing * (2 * first + growing + 1) / 2: one of the two factors is even */
    a = growing;
    b = 2 * first + growing + 1;
    if (a % 2 == 0)
        a /= 2;
    else
        b /= 2;
    return a * b + (nq - growing) * window;
}

uint64_t clsa_traffic_causal_rows(uint64_t first, uint64_t nq, uint64_t window)
{
    uint64_t low;

    if (nq == 0)
        return 0;
    low = window > 0 && first + 1 > window ? first + 1 - window : 0;
    return first + nq - low;
}

struct clsa_traffic clsa_traffic_attn_combine(uint64_t parts, uint64_t q_heads, uint64_t dv,
                                              uint64_t y_bytes)
{
    struct clsa_traffic t;

    t.flops = parts * q_heads * (4 + 2 * dv) + q_heads * dv;
    t.bytes_read = parts * q_heads * (dv + 2) * 4;
    t.bytes_written = q_heads * dv * y_bytes;
    return t;
}

struct clsa_traffic clsa_traffic_index_score(uint64_t queries, uint64_t keys, uint64_t heads,
                                             uint64_t d, int relu, uint64_t q_bytes,
                                             uint64_t key_row_bytes, uint64_t y_bytes)
{
    struct clsa_traffic t;

    t.flops = queries * keys * (heads * (2 * d + (relu ? 3 : 0)) + 1);
    t.bytes_read = queries * heads * (d * q_bytes + (relu ? 4 : 0)) + keys * key_row_bytes;
    t.bytes_written = queries * keys * y_bytes;
    return t;
}

struct clsa_traffic clsa_traffic_topk(uint64_t rows, uint64_t n, uint64_t k, uint64_t x_bytes)
{
    struct clsa_traffic t = {rows * n, rows * n * x_bytes, rows * least(k, n) * 4};

    return t;
}
