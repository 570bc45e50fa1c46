/* The CLSA family: a YOCO decoder-decoder whose cross layers share routing in groups.
 *
 *   self layer   norm, gemm_qkv, head_norm, rope, kv_append, attn_window, gemm_o, add, FFN
 *   shared K/V   norm (H), gemm_kv, head_norm, kv_append_kv; with groups gemm_ik, kv_append_index
 *   prefill      embed_q: the rows of the queries leave the token stream (early exit)
 *   cross layer  norm, [first of a group: gemm_iq, index_score, topk,] gemm_q, head_norm,
 *                attn_dense or attn_sparse, gemm_o, add, FFN
 *   end          norm, gemm_head
 *   FFN          norm, gemm_up (gate and up, fused), silu, gemm_down, add
 *
 * The index keys of all groups come from H, so one product makes them all; they are stored in one
 * plane a group, where a scan reads consecutive rows. K/V of a layer of its own (per_layer_kv)
 * comes from H as well, so that early exit holds, in one product for all layers. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "sim/model/plan_build.h"

struct buffers {
    uint32_t tokens, x, xq, h, qkv, rope, attn, y, up, act, hidden, kv;
    uint32_t ik, iq, iw, scores, selected, logits;
};

struct clsa {
    struct clsa_plan_builder *b;
    const struct clsa_geometry *g;
    unsigned w, act, kvt, ixt; /* dtypes: weights, activations, K/V, index keys */
    uint64_t we, ae;           /* bytes of one weight, one activation */
    uint64_t heads, kv_heads, ffn, vocab; /* of one rank */
    uint64_t groups, planes;   /* index planes, K/V planes */
    uint32_t windows[CLSA_LAYERS_MAX], cross_kv, index_keys;
    struct buffers t;
};

/* Weights, in the order in which a step meets them. */
struct layer_weights {
    uint32_t norm, q, q_norm, k_norm, o, ffn_norm, up, down;
};

struct weights {
    uint32_t embed, kv_norm, kv, k_norm, norm, head, ik;
    struct layer_weights layers[CLSA_LAYERS_MAX];
    uint32_t iq[CLSA_LAYERS_MAX], iw[CLSA_LAYERS_MAX];
};

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- tensors ---- */

static uint32_t weight(struct clsa *c, int32_t layer, uint64_t rows, uint64_t columns,
                       const char *prefix, const char *name)
{
    const uint64_t n = clsa_plan_mul(c->b, rows, columns);
    return layer < 0
               ? clsa_plan_tensor(c->b, CLSA_TENSOR_WEIGHT, c->w, -1, n, "%s%s", prefix, name)
               : clsa_plan_tensor(c->b, CLSA_TENSOR_WEIGHT, c->w, layer, n, "%s.%u.%s", prefix,
                                  (unsigned)layer - (*prefix == 'c' ? c->g->self_layers : 0), name);
}

static void layer_tensors(struct clsa *c, struct layer_weights *l, uint32_t i)
{
    const struct clsa_geometry *g = c->g;
    const bool self = i < g->self_layers;
    const char *p = self ? "self_layers" : "cross_layers";
    const int32_t n = (int32_t)i;
    const uint64_t q = c->heads * g->head_dim, kv = 2 * c->kv_heads * g->head_dim;

    l->norm = weight(c, n, g->hidden, 1, p, "norm");
    l->q = weight(c, n, self ? q + kv : q, g->hidden, p, self ? "qkv.weight" : "q.weight");
    l->q_norm = weight(c, n, g->head_dim, 1, p, "q_norm");
    if (self)
        l->k_norm = weight(c, n, g->head_dim, 1, p, "k_norm");
    l->o = weight(c, n, g->hidden, q, p, "o.weight");
    l->ffn_norm = weight(c, n, g->hidden, 1, p, "ffn.norm");
    l->up = weight(c, n, 2 * c->ffn, g->hidden, p, "ffn.gate_up.weight");
    l->down = weight(c, n, g->hidden, c->ffn, p, "ffn.down.weight");
}

static void weight_tensors(struct clsa *c, struct weights *w)
{
    const struct clsa_geometry *g = c->g;
    const uint64_t kv = 2 * c->kv_heads * g->head_dim;
    uint64_t index_room, start;
    char name[32];

    w->embed = weight(c, -1, c->vocab, g->hidden, "", "embed.weight");
    for (uint32_t i = 0; i < g->self_layers; i++)
        layer_tensors(c, &w->layers[i], i);
    w->kv_norm = weight(c, -1, g->hidden, 1, "", "kv_norm");
    w->kv = weight(c, -1, clsa_plan_mul(c->b, c->planes, kv), g->hidden, "",
                   c->planes > 1 ? "cross_kv.weight" : "kv.weight");
    w->k_norm = weight(c, -1, g->head_dim, 1, "", "k_norm");
    for (uint32_t i = g->self_layers; i < g->self_layers + g->cross_layers; i++)
        layer_tensors(c, &w->layers[i], i);
    w->norm = weight(c, -1, g->hidden, 1, "", "norm");
    w->head = weight(c, -1, c->vocab, g->hidden, "", "head.weight");

    /* Indexers: address room for one a layer, so that what follows stays in place for any group. */
    index_room = clsa_plan_mul(c->b, g->cross_layers,
                               g->hidden * ((g->index_heads + 1) * (uint64_t)g->index_dim +
                                            g->index_heads) * c->we + 4 * 256);
    start = c->b->cursor;
    if (c->groups) {
        snprintf(name, sizeof name, "indexers.g%u", c->b->request->group);
        w->ik = weight(c, -1, c->groups * g->index_dim, g->hidden, name, ".k.weight");
        for (uint32_t j = 0; j < c->groups; j++) {
            snprintf(name, sizeof name, "indexers.g%u_%u", c->b->request->group, j);
            w->iq[j] = weight(c, -1, (uint64_t)g->index_heads * g->index_dim, g->hidden, name,
                              ".q.weight");
            if (g->index_heads > 1)
                w->iw[j] = weight(c, -1, g->index_heads, g->hidden, name, ".w.weight");
        }
    }
    if (!c->b->status) {
        assert(c->b->cursor - start <= index_room);
        clsa_plan_reserve(c->b, index_room - (c->b->cursor - start));
    }
}

static void cache_tensors(struct clsa *c)
{
    const struct clsa_geometry *g = c->g;
    struct clsa_plan_builder *b = c->b;
    const uint64_t seqs = b->cache_seqs, kv = 2 * c->kv_heads * g->head_dim;
    const uint64_t ring = g->window < b->capacity ? g->window : b->capacity;
    const uint64_t rows = clsa_plan_mul(b, seqs, b->capacity);
    uint64_t room, start;

    for (uint32_t i = 0; i < g->self_layers; i++)
        c->windows[i] = clsa_plan_tensor(
            b, CLSA_TENSOR_KV, c->kvt, (int32_t)i,
            clsa_plan_mul(b, clsa_plan_mul(b, seqs, ring), kv), "self_layers.%u.window_kv", i);
    room = clsa_plan_mul(b, clsa_plan_mul(b, rows, g->cross_layers),
                         clsa_dtype_bytes(c->ixt, g->index_dim));
    start = b->cursor;
    if (c->groups)
        c->index_keys = clsa_plan_tensor(b, CLSA_TENSOR_INDEX_KEYS, c->ixt, -1,
                                         clsa_plan_mul(b, clsa_plan_mul(b, rows, c->groups),
                                                       g->index_dim),
                                         "index_keys");
    if (!b->status && room > b->cursor - start)
        clsa_plan_reserve(b, room - (b->cursor - start));
    c->cross_kv = clsa_plan_tensor(b, CLSA_TENSOR_KV, c->kvt, -1,
                                   clsa_plan_mul(b, clsa_plan_mul(b, rows, c->planes), kv),
                                   "cross_kv");
}

/* Buffers are used again by every layer, as an engine does. */
static void activation_tensors(struct clsa *c)
{
    const struct clsa_geometry *g = c->g;
    struct clsa_plan_builder *b = c->b;
    const uint64_t rows = b->rows, queries = b->n_queries, both = max64(rows, queries);
    const uint64_t q = c->heads * g->head_dim, kv = 2 * c->kv_heads * g->head_dim;
    struct buffers *t = &c->t;

#define BUFFER(field, dtype, n, width)                                                             \
    t->field = clsa_plan_tensor(b, CLSA_TENSOR_ACTIVATION, dtype, -1, clsa_plan_mul(b, n, width),  \
                                "%s", #field)
    t->tokens = clsa_plan_tensor(b, CLSA_TENSOR_TOKENS, CLSA_I32, -1, rows, "tokens");
    BUFFER(x, c->act, rows, g->hidden);
    BUFFER(h, c->act, both, g->hidden);
    BUFFER(qkv, c->act, both, q + kv);
    BUFFER(rope, CLSA_F32, rows, g->head_dim);
    BUFFER(attn, c->act, both, q);
    BUFFER(y, c->act, both, g->hidden);
    BUFFER(up, c->act, both, 2 * c->ffn);
    BUFFER(act, c->act, both, c->ffn);
    BUFFER(hidden, c->act, rows, g->hidden);
    BUFFER(kv, c->act, rows, c->planes * kv);
    if (b->request->phase == CLSA_PREFILL)
        BUFFER(xq, c->act, queries, g->hidden);
    else
        t->xq = t->x;
    if (c->groups) {
        BUFFER(ik, c->act, rows, c->groups * g->index_dim);
        BUFFER(iq, c->act, queries, (uint64_t)g->index_heads * g->index_dim);
        if (g->index_heads > 1)
            BUFFER(iw, c->act, queries, g->index_heads);
        BUFFER(scores, CLSA_F32, queries, b->most_keys);
        BUFFER(selected, CLSA_I32, queries, b->top_k);
    }
    BUFFER(logits, c->act, queries, c->vocab);
#undef BUFFER
}

/* ---- ops ---- */

struct rows {
    uint64_t m;
    bool queries;
    int32_t layer;
};

static struct clsa_op *op(struct clsa *c, struct rows r, enum clsa_op_kind kind,
                          enum clsa_role role, uint64_t n, uint64_t k)
{
    struct clsa_op *o = clsa_plan_op(c->b, kind, role, r.layer);
    o->over_queries = r.queries;
    o->input_dtype = (uint8_t)c->act;
    o->weight_dtype = (uint8_t)c->w;
    o->m = r.m;
    o->n = n;
    o->k = k;
    return o;
}

/* Rows of an activation, `width` values of `stride` from value `first`. */
static void activation(struct clsa *c, struct clsa_op *o, uint32_t tensor, enum clsa_access access,
                       uint64_t first, uint64_t width, uint64_t stride)
{
    clsa_plan_operand(o, tensor, access, CLSA_AXIS_M, first * c->ae, width * c->ae,
                      stride * c->ae);
}

static void flops(struct clsa_op *o, struct clsa_traffic t)
{
    o->flops = t.flops;
}

static void norm(struct clsa *c, struct rows r, uint32_t from, uint32_t w, uint32_t to)
{
    const uint64_t n = c->g->hidden;
    struct clsa_op *o = op(c, r, CLSA_OP_NORM, CLSA_ROLE_NONE, n, 0);
    activation(c, o, from, CLSA_READ, 0, n, n);
    clsa_plan_operand(o, w, CLSA_READ, CLSA_AXIS_NONE, 0, n * c->we, 0);
    activation(c, o, to, CLSA_WRITE, 0, n, n);
    flops(o, clsa_traffic_rmsnorm(r.m, n, c->ae, c->we, c->ae));
}

static void gemm(struct clsa *c, struct rows r, enum clsa_role role, uint32_t from, uint32_t w,
                 uint32_t to, uint64_t n, uint64_t k)
{
    struct clsa_op *o = op(c, r, CLSA_OP_GEMM, role, n, k);
    activation(c, o, from, CLSA_READ, 0, k, k);
    clsa_plan_operand(o, w, CLSA_READ, CLSA_AXIS_N, 0, k * c->we, k * c->we);
    activation(c, o, to, CLSA_WRITE, 0, n, n);
    flops(o, clsa_traffic_gemm(r.m, n, k, c->ae, c->we, c->ae));
}

static void reduce(struct clsa *c, struct rows r)
{
    struct clsa_op *o;
    if (c->b->ranks == 1)
        return;
    o = op(c, r, CLSA_OP_ALL_REDUCE, CLSA_ROLE_NONE, c->g->hidden, 0);
    o->heads = c->b->ranks;
    activation(c, o, c->t.y, CLSA_READ, 0, c->g->hidden, c->g->hidden);
    activation(c, o, c->t.y, CLSA_WRITE, 0, c->g->hidden, c->g->hidden);
    o->flops = r.m * c->g->hidden * (c->b->ranks - 1);
}

/* x += y */
static void add(struct clsa *c, struct rows r, uint32_t x)
{
    const uint64_t n = c->g->hidden;
    struct clsa_op *o = op(c, r, CLSA_OP_ADD, CLSA_ROLE_NONE, n, 0);
    activation(c, o, x, CLSA_READ, 0, n, n);
    activation(c, o, c->t.y, CLSA_READ, 0, n, n);
    activation(c, o, x, CLSA_WRITE, 0, n, n);
    flops(o, clsa_traffic_add(r.m * n, c->ae));
}

static void attention_end(struct clsa *c, struct rows r, const struct layer_weights *w, uint32_t x)
{
    gemm(c, r, CLSA_ROLE_O, c->t.attn, w->o, c->t.y, c->g->hidden, c->heads * c->g->head_dim);
    reduce(c, r);
    add(c, r, x);
}

static void ffn(struct clsa *c, struct rows r, const struct layer_weights *w, uint32_t x)
{
    const uint64_t n = c->ffn;
    struct clsa_op *o;

    norm(c, r, x, w->ffn_norm, c->t.h);
    gemm(c, r, CLSA_ROLE_UP, c->t.h, w->up, c->t.up, 2 * n, c->g->hidden);
    o = op(c, r, CLSA_OP_SILU_MUL, CLSA_ROLE_NONE, n, 0);
    activation(c, o, c->t.up, CLSA_READ, 0, 2 * n, 2 * n);
    activation(c, o, c->t.act, CLSA_WRITE, 0, n, n);
    flops(o, clsa_traffic_silu_mul(r.m, n, c->ae, c->ae));
    gemm(c, r, CLSA_ROLE_DOWN, c->t.act, w->down, c->t.y, c->g->hidden, n);
    reduce(c, r);
    add(c, r, x);
}

/* RMS norm of the first `heads` heads of rows of `stride` values, in each of `planes` parts. The
 * first q_heads of them are queries' (weight q_norm), the rest keys' (k_norm). */
static void head_norm(struct clsa *c, struct rows r, uint32_t tensor, uint64_t q_heads,
                      uint64_t k_heads, uint64_t planes, uint64_t stride, uint32_t q_norm,
                      uint32_t k_norm)
{
    const uint64_t d = c->g->head_dim, heads = q_heads + k_heads, part = stride / planes;
    struct clsa_op *o = op(c, r, CLSA_OP_HEAD_NORM, CLSA_ROLE_NONE, planes * heads * d, 0);

    o->heads = (uint32_t)(planes * heads);
    o->kv_heads = (uint32_t)planes;
    o->head_dim = (uint32_t)d;
    activation(c, o, tensor, CLSA_READ, 0, heads * d, stride);
    if (q_heads)
        clsa_plan_operand(o, q_norm, CLSA_READ, CLSA_AXIS_NONE, 0, d * c->we, 0);
    if (k_heads)
        clsa_plan_operand(o, k_norm, CLSA_READ, CLSA_AXIS_NONE, 0, d * c->we, 0);
    activation(c, o, tensor, CLSA_WRITE, 0, heads * d, stride);
    if (planes > 1) {
        o->operands[0].head_stride = part * c->ae;
        o->operands[o->n_operands - 1].head_stride = part * c->ae;
    }
    flops(o, clsa_traffic_head_norm(r.m, planes * heads, d, c->ae, c->we, c->ae));
}

static void rope(struct clsa *c, struct rows r)
{
    const uint64_t d = c->g->head_dim, heads = c->heads + c->kv_heads;
    const uint64_t stride = (c->heads + 2 * c->kv_heads) * d;
    struct clsa_op *o = op(c, r, CLSA_OP_ROPE, CLSA_ROLE_NONE, heads * d, 0);

    o->heads = (uint32_t)heads;
    o->head_dim = (uint32_t)d;
    activation(c, o, c->t.qkv, CLSA_READ, 0, heads * d, stride);
    clsa_plan_operand(o, c->t.rope, CLSA_READ, CLSA_AXIS_M, 0, 4 * d, 4 * d);
    activation(c, o, c->t.qkv, CLSA_WRITE, 0, heads * d, stride);
    flops(o, clsa_traffic_rope(r.m, heads, d, c->ae));
}

/* Writes `planes` parts of `width` values of each row of `from` (from value `first`, rows of
 * `stride`) to a cache of one row a token, one plane after another. */
static void append(struct clsa *c, struct rows r, enum clsa_role role, uint32_t from,
                   uint64_t first, uint64_t stride, uint64_t planes, uint64_t width, uint32_t cache,
                   unsigned dtype, uint64_t ring)
{
    struct clsa_op *o = op(c, r, CLSA_OP_KV_APPEND, role, planes * width, 0);
    const uint64_t row = clsa_dtype_bytes(dtype, width);
    const uint64_t seq_rows = ring ? ring : c->b->capacity;
    struct clsa_operand *to;

    o->weight_dtype = (uint8_t)dtype;
    o->heads = o->kv_heads = (uint32_t)planes;
    o->head_dim = (uint32_t)width;
    activation(c, o, from, CLSA_READ, first, planes * width, stride);
    to = clsa_plan_operand(o, cache, CLSA_WRITE, CLSA_AXIS_NEW, 0, row, row);
    to->seq_stride = seq_rows * row;
    to->offset = c->b->request->first_seq * to->seq_stride;
    to->ring_rows = ring < c->b->capacity ? ring : 0;
    if (planes > 1)
        to->head_stride = c->b->cache_seqs * seq_rows * row;
}

/* Attention of the heads in `q` (rows of q_stride values) over a K/V cache plane. */
static void attention(struct clsa *c, struct rows r, enum clsa_op_kind kind, uint64_t q_stride,
                      uint32_t cache, uint64_t plane, uint64_t ring, int32_t set)
{
    const struct clsa_geometry *g = c->g;
    const uint64_t d = g->head_dim, part = clsa_dtype_bytes(c->kvt, c->kv_heads * d);
    const uint64_t seq_rows = ring ? ring : c->b->capacity;
    struct clsa_op *o = op(c, r, kind, CLSA_ROLE_NONE, c->heads * d, c->heads * d);
    const enum clsa_axis axis = set >= 0 ? CLSA_AXIS_SELECTED : CLSA_AXIS_KEYS;

    o->weight_dtype = (uint8_t)c->kvt;
    o->heads = (uint32_t)c->heads;
    o->kv_heads = (uint32_t)c->kv_heads;
    o->head_dim = o->value_dim = (uint32_t)d;
    o->window = ring ? g->window : 0;
    o->set = set;
    o->topk = set >= 0 ? c->b->top_k : 0;
    activation(c, o, c->t.qkv, CLSA_READ, 0, c->heads * d, q_stride);
    for (unsigned v = 0; v < 2; v++) {
        struct clsa_operand *kv =
            clsa_plan_operand(o, cache, CLSA_READ, axis,
                              (plane * c->b->cache_seqs + c->b->request->first_seq) * seq_rows *
                                      2 * part + v * part,
                              clsa_dtype_bytes(c->kvt, d), 2 * part);
        kv->seq_stride = seq_rows * 2 * part;
        kv->head_stride = clsa_dtype_bytes(c->kvt, d);
        kv->ring_rows = ring < c->b->capacity ? ring : 0;
    }
    if (set >= 0)
        clsa_plan_operand(o, c->t.selected, CLSA_READ, CLSA_AXIS_M, 0, o->topk * 4, o->topk * 4);
    activation(c, o, c->t.attn, CLSA_WRITE, 0, c->heads * d, c->heads * d);
}

static void self_layer(struct clsa *c, struct rows r, const struct layer_weights *w, uint32_t i)
{
    const struct clsa_geometry *g = c->g;
    const uint64_t d = g->head_dim, q = c->heads * d, kv = 2 * c->kv_heads * d, row = q + kv;
    const uint64_t ring = g->window < c->b->capacity ? g->window : c->b->capacity;

    r.layer = (int32_t)i;
    norm(c, r, c->t.x, w->norm, c->t.h);
    gemm(c, r, CLSA_ROLE_QKV, c->t.h, w->q, c->t.qkv, row, g->hidden);
    head_norm(c, r, c->t.qkv, c->heads, c->kv_heads, 1, row, w->q_norm, w->k_norm);
    rope(c, r);
    append(c, r, CLSA_ROLE_NONE, c->t.qkv, q, row, 1, kv, c->windows[i], c->kvt, ring);
    attention(c, r, CLSA_OP_ATTN_WINDOW, row, c->windows[i], 0, ring, -1);
    attention_end(c, r, w, c->t.x);
    ffn(c, r, w, c->t.x);
}

/* H, the K/V of the cross layers and the index keys of the groups. */
static void shared_kv(struct clsa *c, struct rows r, const struct weights *w)
{
    const struct clsa_geometry *g = c->g;
    const uint64_t kv = 2 * c->kv_heads * g->head_dim, row = c->planes * kv;
    const uint64_t index = c->groups * g->index_dim;

    norm(c, r, c->t.x, w->kv_norm, c->t.hidden);
    gemm(c, r, CLSA_ROLE_KV, c->t.hidden, w->kv, c->t.kv, row, g->hidden);
    head_norm(c, r, c->t.kv, 0, c->kv_heads, c->planes, row, 0, w->k_norm);
    append(c, r, CLSA_ROLE_KV, c->t.kv, 0, row, c->planes, kv, c->cross_kv, c->kvt, 0);
    if (!c->groups)
        return;
    gemm(c, r, CLSA_ROLE_IK, c->t.hidden, w->ik, c->t.ik, index, g->hidden);
    append(c, r, CLSA_ROLE_INDEX, c->t.ik, 0, index, c->groups, g->index_dim, c->index_keys,
           c->ixt, 0);
}

/* The routing of group j: index query, scores of all visible keys, the top_k best. */
static void index_group(struct clsa *c, struct rows r, const struct weights *w, uint32_t j)
{
    const struct clsa_geometry *g = c->g;
    const uint64_t width = (uint64_t)g->index_heads * g->index_dim, keys = c->b->most_keys;
    const uint64_t key = clsa_dtype_bytes(c->ixt, g->index_dim);
    const uint64_t seq = c->b->capacity * key;
    const uint64_t start = (j * (uint64_t)c->b->cache_seqs + c->b->request->first_seq) * seq;
    struct clsa_operand *k;
    struct clsa_op *o;

    gemm(c, r, CLSA_ROLE_IQ, c->t.h, w->iq[j], c->t.iq, width, g->hidden);
    if (g->index_heads > 1)
        gemm(c, r, CLSA_ROLE_IW, c->t.h, w->iw[j], c->t.iw, g->index_heads, g->hidden);
    o = op(c, r, CLSA_OP_INDEX_SCORE, CLSA_ROLE_NONE, keys, g->index_dim);
    o->weight_dtype = (uint8_t)c->ixt;
    o->heads = g->index_heads;
    o->kv_heads = 1;
    o->head_dim = g->index_dim;
    activation(c, o, c->t.iq, CLSA_READ, 0, width, width);
    k = clsa_plan_operand(o, c->index_keys, CLSA_READ, CLSA_AXIS_KEYS, start, key, key);
    k->seq_stride = seq;
    if (g->index_heads > 1)
        activation(c, o, c->t.iw, CLSA_READ, 0, g->index_heads, g->index_heads);
    clsa_plan_operand(o, c->t.scores, CLSA_WRITE, CLSA_AXIS_M, 0, 4 * keys, 4 * keys);

    o = op(c, r, CLSA_OP_TOPK, CLSA_ROLE_NONE, keys, 0);
    o->input_dtype = CLSA_F32;
    o->set = (int32_t)j;
    o->topk = c->b->top_k;
    clsa_plan_operand(o, c->t.scores, CLSA_READ, CLSA_AXIS_M, 0, 4 * keys, 4 * keys);
    clsa_plan_operand(o, c->t.selected, CLSA_WRITE, CLSA_AXIS_M, 0, 4 * o->topk, 4 * o->topk);
    c->b->n_sets = j + 1;
}

static void cross_layer(struct clsa *c, struct rows r, const struct weights *w, uint32_t i)
{
    const struct clsa_geometry *g = c->g;
    const struct layer_weights *l = &w->layers[g->self_layers + i];
    const uint64_t q = c->heads * g->head_dim;
    const uint32_t group = c->b->request->group;
    const uint64_t plane = c->planes > 1 ? i : 0;

    r.layer = (int32_t)(g->self_layers + i);
    norm(c, r, c->t.xq, l->norm, c->t.h);
    if (group && i % group == 0)
        index_group(c, r, w, i / group);
    gemm(c, r, CLSA_ROLE_Q, c->t.h, l->q, c->t.qkv, q, g->hidden);
    head_norm(c, r, c->t.qkv, c->heads, 0, 1, q, l->q_norm, 0);
    attention(c, r, group ? CLSA_OP_ATTN_SPARSE : CLSA_OP_ATTN_DENSE, q, c->cross_kv, plane, 0,
              group ? (int32_t)(i / group) : -1);
    attention_end(c, r, l, c->t.xq);
    ffn(c, r, l, c->t.xq);
}

/* Rows fetched from a table: the embedding of the tokens, or the queries' rows of x. */
static void fetch(struct clsa *c, struct rows r, enum clsa_role role, uint32_t table,
                  uint64_t value_bytes, uint32_t to)
{
    const uint64_t n = c->g->hidden;
    struct clsa_op *o = op(c, r, CLSA_OP_EMBED, role, n, 0);
    if (role == CLSA_ROLE_NONE)
        clsa_plan_operand(o, c->t.tokens, CLSA_READ, CLSA_AXIS_M, 0, 4, 4);
    else
        o->weight_dtype = (uint8_t)c->act;
    clsa_plan_operand(o, table, CLSA_READ, CLSA_AXIS_TABLE, 0, n * value_bytes, n * value_bytes);
    activation(c, o, to, CLSA_WRITE, 0, n, n);
}

/* Flops of attention and index ops depend on who sees what, which the step's own rules say. */
static void count_keys(struct clsa *c)
{
    struct clsa_plan_builder *b = c->b;
    const struct clsa_step step = {.n_seqs = b->request->n_seqs,
                                   .new_tokens = b->request->new_tokens,
                                   .past = b->past,
                                   .n_queries = b->n_queries,
                                   .queries = b->queries};

    for (size_t i = 0; i < b->n_ops && !b->status; i++) {
        struct clsa_op *o = &b->ops[i];
        const uint64_t keys = clsa_op_keys_total(&step, o);
        struct clsa_attn_shape s = {.queries = o->m, .q_heads = o->heads, .kv_heads = o->kv_heads,
                                    .d = o->head_dim, .dv = o->value_dim, .pairs = keys};
        switch (o->kind) {
        case CLSA_OP_ATTN_SPARSE:
            s.pairs = clsa_operand_rows(&step, o, &o->operands[1]);
            flops(o, clsa_traffic_attn(&s));
            break;
        case CLSA_OP_ATTN_DENSE:
        case CLSA_OP_ATTN_WINDOW:
            flops(o, clsa_traffic_attn(&s));
            break;
        case CLSA_OP_INDEX_SCORE:
            flops(o, clsa_traffic_index_score(1, keys, o->heads, o->head_dim, o->heads > 1, 0, 0,
                                              0));
            break;
        case CLSA_OP_TOPK:
            flops(o, clsa_traffic_topk(1, keys, o->topk, 0));
            break;
        default:
            break;
        }
    }
}

static void check_request(struct clsa *c)
{
    const struct clsa_geometry *g = c->g;
    struct clsa_plan_builder *b = c->b;
    const struct clsa_plan_request *r = b->request;

    if (r->group && (r->group > g->cross_layers || g->cross_layers % r->group))
        clsa_plan_fail(b, CLSA_EUSAGE, "a group of %u layers does not divide the %u cross layers",
                       r->group, g->cross_layers);
    else if (r->group && !g->index_dim)
        clsa_plan_fail(b, CLSA_EUSAGE, "the model has no index (index_head_dim), so no groups");
    else if (r->group && !b->top_k)
        clsa_plan_fail(b, CLSA_EUSAGE, "top-k is 0");
    else if (b->ranks > 1 && (g->heads % b->ranks || g->ffn % b->ranks || g->vocab % b->ranks ||
                              (g->kv_heads % b->ranks && b->ranks % g->kv_heads)))
        clsa_plan_fail(b, CLSA_EUSAGE, "%u ranks do not divide heads, FFN and vocabulary",
                       b->ranks);
}

void clsa_plan_build_clsa(struct clsa_plan_builder *b)
{
    const struct clsa_geometry *g = b->g;
    const struct clsa_plan_request *r = b->request;
    struct clsa c = {.b = b, .g = g, .w = g->weight_dtype, .act = r->activation_dtype,
                     .kvt = r->kv_dtype, .ixt = r->index_dtype};
    struct rows all = {b->rows, false, -1}, queries = {b->n_queries, true, -1};
    struct weights w;

    check_request(&c);
    if (b->status)
        return;
    c.we = clsa_dtype_bytes(c.w, 1);
    c.ae = clsa_dtype_bytes(c.act, 1);
    c.heads = g->heads / b->ranks;
    c.kv_heads = g->kv_heads > b->ranks ? g->kv_heads / b->ranks : 1;
    c.ffn = g->ffn / b->ranks;
    c.vocab = g->vocab / b->ranks;
    c.groups = r->group ? g->cross_layers / r->group : 0;
    c.planes = r->per_layer_kv && g->cross_layers ? g->cross_layers : 1;
    weight_tensors(&c, &w);
    cache_tensors(&c);
    activation_tensors(&c);

    fetch(&c, all, CLSA_ROLE_NONE, w.embed, c.we, c.t.x);
    for (uint32_t i = 0; i < g->self_layers; i++)
        self_layer(&c, all, &w.layers[i], i);
    shared_kv(&c, all, &w);
    if (b->n_queries) {
        if (r->phase == CLSA_PREFILL)
            fetch(&c, queries, CLSA_ROLE_Q, c.t.x, c.ae, c.t.xq);
        for (uint32_t i = 0; i < g->cross_layers; i++)
            cross_layer(&c, queries, &w, i);
        norm(&c, queries, c.t.xq, w.norm, c.t.h);
        gemm(&c, queries, CLSA_ROLE_HEAD, c.t.h, w.head, c.t.logits, c.vocab, g->hidden);
    }
    count_keys(&c);
}
