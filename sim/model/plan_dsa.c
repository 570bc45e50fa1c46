/* The DSA family: MLA attention over latent rows with a lightning indexer, dense or expert FFN.
 *
 *   layer       norm, [quant,] gemm_q_a (and kv_a, one product), norm_q_a, norm_kv_a, [quant_q_b,]
 *               gemm_q_b, [indexer,] attention, [quant_o,] gemm_o, all_reduce, add, FFN
 *   indexer     gemm_iq, gemm_ik, norm_ik, rope_index, quant_iq, quant_ik (rotation and fp8), gemm_iw,
 *               kv_append_index, index_score, topk; not in layers that reuse a selection
 *   attention   absorbed: bmm_uk, rope, kv_append, attn_sparse (attn_dense for group 0), bmm_uv
 *               materialised, in prefill whose contexts fit the top-k, so that a selection would be
 *               everything: gemm_kv, rope, kv_append, attn_dense over K and V of every head; the indexer
 *               only makes and stores its keys
 *   FFN         norm, [quant,] gemm_up, silu, [quant,] gemm_down; or gate, route, grouped products over
 *               the experts hit beside the shared expert; all_reduce, add
 *   end         norm_final, gemm_head of the last token of each sequence
 *
 * Tensor parallel ranks split query heads, FFN and vocabulary; the indexer and the latent projections are
 * replicated. Experts are spread over the ranks. quant ops only where products are fp8. */
#include <assert.h>
#include <math.h>

#include "sim/model/plan_build.h"

struct buffers {
    uint32_t tokens, x, h, h8, qkv, ql, q, qn, latent, attn, vo, o8, y, iq, iq8, ik, iw, scores,
        selected, kvb, up, act, routes, last, logits, rope;
};

struct layer_weights {
    uint32_t norm, qa, qa_norm, kva_norm, qb, uk, uv, kvb, o, iq, ik, ik_norm, iw, ffn_norm, up, down,
        gate, shared_up, shared_down;
};

struct dsa {
    struct clsa_plan_builder *b;
    const struct clsa_geometry *g;
    unsigned act, kvt, ixt, gemm; /* dtypes: activations, latent rows, index keys, products */
    uint64_t ae, heads, ffn, vocab, moe_ffn;
    uint64_t rows, cached; /* new tokens; keys that they or later ones see, all sequences */
    bool quant, materialised, over_queries;
    int32_t layer, set;
    struct buffers t;
    uint32_t kv[CLSA_LAYERS_MAX], keys[CLSA_LAYERS_MAX];
};

static uint32_t weight(struct dsa *d, unsigned dtype, const char *name, uint64_t rows, uint64_t columns)
{
    const uint64_t n = clsa_plan_mul(d->b, rows, columns);
    if (d->layer < 0)
        return clsa_plan_tensor(d->b, CLSA_TENSOR_WEIGHT, dtype, -1, n, "%s", name);
    return clsa_plan_tensor(d->b, CLSA_TENSOR_WEIGHT, dtype, d->layer, n, "layers.%d.%s",
                            (int)d->layer, name);
}

static bool expert_layer(const struct dsa *d)
{
    return d->g->experts && d->layer >= (int32_t)d->g->first_dense;
}

static bool shares(const struct dsa *d)
{
    return clsa_geometry_layer_shares(d->g, d->b->request->group, (uint32_t)d->layer);
}

static void layer_weights(struct dsa *d, struct layer_weights *w)
{
    const struct clsa_geometry *g = d->g;
    const unsigned wt = g->weight_dtype, gt = d->gemm;
    const uint64_t latent = (uint64_t)g->kv_lora + g->qk_rope;

    *w = (struct layer_weights){0};
    w->norm = weight(d, wt, "norm", g->hidden, 1);
    w->qa = weight(d, gt, "qkv_a.weight", g->q_lora + latent, g->hidden);
    w->qa_norm = weight(d, wt, "q_a_norm", g->q_lora, 1);
    w->kva_norm = weight(d, wt, "kv_a_norm", g->kv_lora, 1);
    w->qb = weight(d, gt, "q_b.weight", d->heads * g->head_dim, g->q_lora);
    w->uk = weight(d, wt, "uk.weight", d->heads * g->kv_lora, g->qk_nope);
    w->uv = weight(d, wt, "uv.weight", d->heads * g->v_head, g->kv_lora);
    w->kvb = weight(d, gt, "kv_b.weight", d->heads * (g->qk_nope + g->v_head), g->kv_lora);
    w->o = weight(d, gt, "o.weight", g->hidden, d->heads * g->v_head);
    w->iq = weight(d, gt, "indexer.q.weight", (uint64_t)g->index_heads * g->index_dim, g->q_lora);
    w->ik = weight(d, gt, "indexer.k.weight", g->index_dim, g->hidden);
    w->ik_norm = weight(d, wt, "indexer.k_norm", 2, g->index_dim);
    w->iw = weight(d, wt, "indexer.w.weight", g->index_heads, g->hidden);
    w->ffn_norm = weight(d, wt, "ffn.norm", g->hidden, 1);
    if (expert_layer(d)) {
        const uint64_t experts = (g->experts + d->b->ranks - 1) / d->b->ranks;
        w->gate = weight(d, wt, "gate.weight", g->experts, g->hidden);
        w->shared_up = weight(d, gt, "shared.gate_up.weight",
                              2 * (uint64_t)g->shared_experts * d->moe_ffn, g->hidden);
        w->shared_down = weight(d, gt, "shared.down.weight", g->hidden,
                                (uint64_t)g->shared_experts * d->moe_ffn);
        w->up = weight(d, gt, "experts.gate_up.weight", experts * 2 * g->moe_ffn, g->hidden);
        w->down = weight(d, gt, "experts.down.weight", experts * g->hidden, g->moe_ffn);
    } else {
        w->up = weight(d, gt, "ffn.gate_up.weight", 2 * d->ffn, g->hidden);
        w->down = weight(d, gt, "ffn.down.weight", g->hidden, d->ffn);
    }
}

static void cache_tensors(struct dsa *d)
{
    const struct clsa_geometry *g = d->g;
    struct clsa_plan_builder *b = d->b;
    const uint64_t rows = clsa_plan_mul(b, b->cache_seqs, b->capacity);
    const uint64_t latent = clsa_geometry_latent_bytes(g, d->kvt);
    const uint64_t key = clsa_geometry_index_key_bytes(g, d->ixt);

    for (uint32_t l = 0; l < g->cross_layers; l++)
        d->kv[l] = clsa_plan_tensor(b, CLSA_TENSOR_KV, CLSA_U8, (int32_t)l,
                                    clsa_plan_mul(b, rows, latent), "layers.%u.latent", l);
    /* Room for an index in every layer, so that everything behind stays in place for any group. */
    for (uint32_t l = 0; l < g->cross_layers; l++) {
        const uint64_t bytes = clsa_plan_mul(b, rows, key);
        if (b->request->group && !clsa_geometry_layer_shares(g, b->request->group, l))
            d->keys[l] = clsa_plan_tensor(b, CLSA_TENSOR_INDEX_KEYS, CLSA_U8, (int32_t)l, bytes,
                                          "layers.%u.index_keys", l);
        else
            clsa_plan_reserve(b, bytes);
    }
}

static void activation_tensors(struct dsa *d)
{
    const struct clsa_geometry *g = d->g;
    struct clsa_plan_builder *b = d->b;
    const uint64_t rows = d->rows, width = g->q_lora + (uint64_t)g->kv_lora + g->qk_rope;
    const uint64_t experts = g->experts_per_token ? g->experts_per_token : 1;
    const uint64_t ffn = d->ffn > experts * g->moe_ffn ? d->ffn : experts * g->moe_ffn;
    struct buffers *t = &d->t;

#define BUFFER(field, dtype, n, width)                                                             \
    t->field = clsa_plan_tensor(b, CLSA_TENSOR_ACTIVATION, dtype, -1, clsa_plan_mul(b, n, width),  \
                                "%s", #field)
    t->tokens = clsa_plan_tensor(b, CLSA_TENSOR_TOKENS, CLSA_I32, -1, rows, "tokens");
    BUFFER(x, d->act, rows, g->hidden);
    /* a token's row lies once for each expert that it goes to, and so do their answers */
    BUFFER(h, d->act, clsa_plan_mul(b, rows, experts), g->hidden);
    BUFFER(h8, CLSA_FP8, rows, ffn > g->hidden ? ffn : g->hidden);
    BUFFER(qkv, d->act, rows, width);
    BUFFER(ql, d->act, rows, g->q_lora);
    BUFFER(q, d->act, rows, d->heads * g->head_dim);
    BUFFER(qn, d->act, rows, d->heads * (g->kv_lora + (uint64_t)g->qk_rope));
    BUFFER(latent, d->act, rows, (uint64_t)g->kv_lora + g->qk_rope);
    BUFFER(attn, d->act, rows, d->heads * (g->kv_lora > g->v_head ? g->kv_lora : g->v_head));
    BUFFER(vo, d->act, rows, d->heads * g->v_head);
    BUFFER(o8, CLSA_FP8, rows, d->heads * g->v_head);
    BUFFER(y, d->act, clsa_plan_mul(b, rows, experts), g->hidden);
    BUFFER(rope, CLSA_F32, rows, g->qk_rope);
    BUFFER(iq, d->act, rows, (uint64_t)g->index_heads * g->index_dim);
    BUFFER(iq8, d->ixt, rows, (uint64_t)g->index_heads * g->index_dim);
    BUFFER(ik, d->act, rows, g->index_dim);
    BUFFER(iw, d->act, rows, g->index_heads);
    BUFFER(scores, CLSA_F32, rows, b->most_keys);
    BUFFER(selected, CLSA_I32, rows, b->top_k);
    if (d->materialised)
        BUFFER(kvb, d->act, d->cached, d->heads * (g->qk_nope + (uint64_t)g->v_head));
    BUFFER(up, d->act, rows, 2 * ffn);
    BUFFER(act, d->act, rows, ffn);
    BUFFER(routes, CLSA_I32, rows, 2 * experts);
    BUFFER(last, d->act, b->n_queries, g->hidden);
    BUFFER(logits, d->act, b->n_queries, d->vocab);
#undef BUFFER
}

/* ---- ops ---- */

static struct clsa_op *op(struct dsa *d, enum clsa_op_kind kind, enum clsa_role role, uint64_t n,
                          uint64_t k)
{
    struct clsa_op *o = clsa_plan_op(d->b, kind, role, d->layer);
    o->over_queries = d->over_queries;
    o->input_dtype = (uint8_t)d->act;
    o->weight_dtype = (uint8_t)d->g->weight_dtype;
    o->m = d->rows;
    o->n = n;
    o->k = k;
    return o;
}

static struct clsa_operand *rows_of(struct clsa_op *o, uint32_t tensor, enum clsa_access access,
                                    unsigned dtype, uint64_t width)
{
    const uint64_t bytes = clsa_dtype_bytes(dtype, width);
    return clsa_plan_operand(o, tensor, access, CLSA_AXIS_M, 0, bytes, bytes);
}

static void flops(struct clsa_op *o, struct clsa_traffic t)
{
    o->flops = t.flops;
}

static void norm(struct dsa *d, enum clsa_role role, uint32_t from, uint32_t w, uint32_t to, uint64_t n)
{
    struct clsa_op *o = op(d, CLSA_OP_NORM, role, n, 0);
    rows_of(o, from, CLSA_READ, d->act, n);
    clsa_plan_operand(o, w, CLSA_READ, CLSA_AXIS_NONE, 0,
                      clsa_dtype_bytes(d->g->weight_dtype, n), 0);
    rows_of(o, to, CLSA_WRITE, d->act, n);
    flops(o, clsa_traffic_rmsnorm(d->rows, n, d->ae, d->ae, d->ae));
}

static void quantise(struct dsa *d, enum clsa_role role, uint32_t from, uint32_t to, unsigned dtype,
                     uint64_t n)
{
    struct clsa_op *o = op(d, CLSA_OP_QUANT, role, n, 0);
    o->weight_dtype = (uint8_t)dtype;
    rows_of(o, from, CLSA_READ, d->act, n);
    rows_of(o, to, CLSA_WRITE, dtype, n);
    flops(o, clsa_traffic_convert(d->rows, n, d->ae, clsa_dtype_bytes(dtype, 1)));
}

/* [m, n] = [m, k] x W[n, k]; fp8 weights take an input that was quantised to `from8`. */
static struct clsa_op *product(struct dsa *d, enum clsa_role role, uint32_t from, uint32_t from8,
                               unsigned wt, uint32_t w, uint32_t to, uint64_t n, uint64_t k)
{
    const unsigned it = wt == CLSA_FP8 ? CLSA_FP8 : d->act;
    const uint64_t we = clsa_dtype_bytes(wt, k);
    struct clsa_op *o = op(d, CLSA_OP_GEMM, role, n, k);
    o->weight_dtype = (uint8_t)wt;
    o->input_dtype = (uint8_t)it;
    rows_of(o, it == CLSA_FP8 ? from8 : from, CLSA_READ, it, k);
    clsa_plan_operand(o, w, CLSA_READ, CLSA_AXIS_N, 0, we, we);
    rows_of(o, to, CLSA_WRITE, d->act, n);
    flops(o, clsa_traffic_gemm(d->rows, n, k, clsa_dtype_bytes(it, 1), clsa_dtype_bytes(wt, 1),
                               d->ae));
    return o;
}

/* One product a head: [m, n] = [m, k] x W[head][n, k]. */
static void head_products(struct dsa *d, enum clsa_role role, uint32_t from, uint32_t w, uint32_t to,
                          uint64_t n, uint64_t k)
{
    struct clsa_op *o = op(d, CLSA_OP_BMM, role, n, k);
    const uint64_t row = clsa_dtype_bytes(d->g->weight_dtype, k) * d->heads;
    o->heads = (uint32_t)d->heads;
    rows_of(o, from, CLSA_READ, d->act, d->heads * k);
    clsa_plan_operand(o, w, CLSA_READ, CLSA_AXIS_N, 0, row, row);
    rows_of(o, to, CLSA_WRITE, d->act, d->heads * n);
    flops(o, clsa_traffic_gemm(d->rows, n * d->heads, k, d->ae, d->ae, d->ae));
}

static void rope(struct dsa *d, enum clsa_role role, uint32_t tensor, uint64_t heads, uint64_t width)
{
    struct clsa_op *o = op(d, CLSA_OP_ROPE, role, heads * d->g->qk_rope, 0);
    o->heads = (uint32_t)heads;
    o->head_dim = d->g->qk_rope;
    rows_of(o, tensor, CLSA_READ, d->act, heads * d->g->qk_rope)->row_stride = width * d->ae;
    rows_of(o, d->t.rope, CLSA_READ, CLSA_F32, d->g->qk_rope);
    rows_of(o, tensor, CLSA_WRITE, d->act, heads * d->g->qk_rope)->row_stride = width * d->ae;
    flops(o, clsa_traffic_rope(d->rows, heads, d->g->qk_rope, d->ae));
}

static void append(struct dsa *d, enum clsa_role role, uint32_t from, unsigned from_dtype,
                   uint64_t width, uint32_t cache, unsigned dtype, uint64_t row)
{
    struct clsa_op *o = op(d, CLSA_OP_KV_APPEND, role, width, 0);
    struct clsa_operand *to;
    o->weight_dtype = (uint8_t)dtype;
    o->heads = o->kv_heads = 1;
    o->head_dim = (uint32_t)width;
    rows_of(o, from, CLSA_READ, from_dtype, width);
    to = clsa_plan_operand(o, cache, CLSA_WRITE, CLSA_AXIS_NEW, 0, row, row);
    to->seq_stride = d->b->capacity * row;
    to->offset = d->b->request->first_seq * to->seq_stride;
}

static struct clsa_operand *cache_rows(struct dsa *d, struct clsa_op *o, uint32_t cache,
                                       enum clsa_axis axis, uint64_t row)
{
    struct clsa_operand *k = clsa_plan_operand(o, cache, CLSA_READ, axis, 0, row, row);
    k->seq_stride = d->b->capacity * row;
    k->offset = d->b->request->first_seq * k->seq_stride;
    return k;
}

static void index_keys(struct dsa *d, const struct layer_weights *w)
{
    const struct clsa_geometry *g = d->g;

    product(d, CLSA_ROLE_IK, d->t.h, d->t.h8, d->gemm, w->ik, d->t.ik, g->index_dim, g->hidden);
    norm(d, CLSA_ROLE_IK, d->t.ik, w->ik_norm, d->t.ik, g->index_dim);
}

static void indexer(struct dsa *d, const struct layer_weights *w)
{
    const struct clsa_geometry *g = d->g;
    const uint64_t width = (uint64_t)g->index_heads * g->index_dim, keys = d->b->most_keys;
    const uint64_t key = clsa_geometry_index_key_bytes(g, d->ixt);
    const uint32_t cache = d->keys[d->layer];
    struct clsa_op *o;

    if (d->materialised) {
        index_keys(d, w);
        rope(d, CLSA_ROLE_INDEX, d->t.ik, 1, g->index_dim);
        quantise(d, CLSA_ROLE_IK, d->t.ik, d->t.iq8, d->ixt, g->index_dim);
        append(d, CLSA_ROLE_INDEX, d->t.iq8, d->ixt, g->index_dim, cache, d->ixt, key);
        return;
    }
    product(d, CLSA_ROLE_IQ, d->t.ql, d->t.o8, d->gemm, w->iq, d->t.iq, width, g->q_lora);
    index_keys(d, w);
    rope(d, CLSA_ROLE_INDEX, d->t.iq, g->index_heads + 1u, width);
    quantise(d, CLSA_ROLE_IQ, d->t.iq, d->t.iq8, d->ixt, width);
    quantise(d, CLSA_ROLE_IK, d->t.ik, d->t.iq8, d->ixt, g->index_dim);
    product(d, CLSA_ROLE_IW, d->t.h, d->t.h8, g->weight_dtype, w->iw, d->t.iw, g->index_heads, g->hidden);
    append(d, CLSA_ROLE_INDEX, d->t.iq8, d->ixt, g->index_dim, cache, d->ixt, key);
    o = op(d, CLSA_OP_INDEX_SCORE, CLSA_ROLE_NONE, keys, g->index_dim);
    o->weight_dtype = o->input_dtype = (uint8_t)d->ixt;
    o->heads = g->index_heads;
    o->kv_heads = 1;
    o->head_dim = g->index_dim;
    rows_of(o, d->t.iq8, CLSA_READ, d->ixt, width);
    cache_rows(d, o, cache, CLSA_AXIS_KEYS, key);
    rows_of(o, d->t.iw, CLSA_READ, d->act, g->index_heads);
    rows_of(o, d->t.scores, CLSA_WRITE, CLSA_F32, keys);
    o = op(d, CLSA_OP_TOPK, CLSA_ROLE_NONE, keys, 0);
    o->input_dtype = CLSA_F32;
    o->set = (int32_t)d->b->n_sets++;
    o->topk = d->b->top_k;
    d->set = o->set;
    rows_of(o, d->t.scores, CLSA_READ, CLSA_F32, keys);
    rows_of(o, d->t.selected, CLSA_WRITE, CLSA_I32, o->topk);
}

static void attention_op(struct dsa *d, bool sparse, uint64_t kv_heads, uint64_t dim, uint64_t value,
                         uint32_t from, uint32_t cache, uint64_t row, uint32_t to)
{
    struct clsa_op *o = op(d, sparse ? CLSA_OP_ATTN_SPARSE : CLSA_OP_ATTN_DENSE, CLSA_ROLE_NONE,
                           d->heads * value, d->heads * dim);
    o->weight_dtype = (uint8_t)(kv_heads > 1 ? d->act : d->kvt);
    o->heads = (uint32_t)d->heads;
    o->kv_heads = (uint32_t)kv_heads;
    o->head_dim = (uint32_t)dim;
    o->value_dim = (uint32_t)value;
    o->set = sparse ? d->set : -1;
    o->topk = sparse ? d->b->top_k : 0;
    rows_of(o, from, CLSA_READ, d->act, d->heads * dim);
    cache_rows(d, o, cache, sparse ? CLSA_AXIS_SELECTED : CLSA_AXIS_KEYS, row);
    if (sparse)
        rows_of(o, d->t.selected, CLSA_READ, CLSA_I32, o->topk);
    rows_of(o, to, CLSA_WRITE, d->act, d->heads * value);
}

static void attention(struct dsa *d, const struct layer_weights *w)
{
    const struct clsa_geometry *g = d->g;
    const uint64_t latent = (uint64_t)g->kv_lora + g->qk_rope;
    const uint64_t row = clsa_geometry_latent_bytes(g, d->kvt);
    const uint32_t cache = d->kv[d->layer];

    if (d->materialised) {
        const uint64_t width = d->heads * (g->qk_nope + (uint64_t)g->v_head);
        struct clsa_op *o = product(d, CLSA_ROLE_KV, d->t.latent, d->t.h8, d->gemm, w->kvb, d->t.kvb,
                                    width, g->kv_lora);
        o->m = d->cached;
        flops(o, clsa_traffic_gemm(o->m, width, g->kv_lora, 1, 1, 1));
        rope(d, CLSA_ROLE_NONE, d->t.q, d->heads + 1, d->heads * g->head_dim);
        append(d, CLSA_ROLE_KV, d->t.latent, d->act, latent, cache, d->kvt, row);
        attention_op(d, false, d->heads, g->head_dim, g->v_head, d->t.q, d->t.kvb,
                     (g->qk_nope + (uint64_t)g->v_head) * d->ae * d->heads, d->t.vo);
        return;
    }
    head_products(d, CLSA_ROLE_UK, d->t.q, w->uk, d->t.qn, g->kv_lora, g->qk_nope);
    rope(d, CLSA_ROLE_NONE, d->t.qn, d->heads + 1, d->heads * latent);
    append(d, CLSA_ROLE_KV, d->t.latent, d->act, latent, cache, d->kvt, row);
    attention_op(d, d->b->request->group != 0, 1, latent, g->kv_lora, d->t.qn, cache, row, d->t.attn);
    head_products(d, CLSA_ROLE_UV, d->t.attn, w->uv, d->t.vo, g->v_head, g->kv_lora);
}

static void reduce_add(struct dsa *d)
{
    const uint64_t n = d->g->hidden;
    struct clsa_op *o;
    if (d->b->ranks > 1) {
        o = op(d, CLSA_OP_ALL_REDUCE, CLSA_ROLE_NONE, n, 0);
        o->heads = d->b->ranks;
        rows_of(o, d->t.y, CLSA_READ, d->act, n);
        rows_of(o, d->t.y, CLSA_WRITE, d->act, n);
        o->flops = d->rows * n * (d->b->ranks - 1);
    }
    o = op(d, CLSA_OP_ADD, CLSA_ROLE_NONE, n, 0);
    rows_of(o, d->t.x, CLSA_READ, d->act, n);
    rows_of(o, d->t.y, CLSA_READ, d->act, n);
    rows_of(o, d->t.x, CLSA_WRITE, d->act, n);
    flops(o, clsa_traffic_add(d->rows * n, d->ae));
}

static void silu(struct dsa *d, uint64_t rows, uint64_t n)
{
    struct clsa_op *o = op(d, CLSA_OP_SILU_MUL, CLSA_ROLE_NONE, n, 0);
    o->m = rows;
    rows_of(o, d->t.up, CLSA_READ, d->act, 2 * n);
    rows_of(o, d->t.act, CLSA_WRITE, d->act, n);
    flops(o, clsa_traffic_silu_mul(rows, n, d->ae, d->ae));
}

static void dense_ffn(struct dsa *d, enum clsa_role up, enum clsa_role down, uint32_t w_up,
                      uint32_t w_down, uint64_t ffn)
{
    product(d, up, d->t.h, d->t.h8, d->gemm, w_up, d->t.up, 2 * ffn, d->g->hidden);
    silu(d, d->rows, ffn);
    if (d->quant)
        quantise(d, CLSA_ROLE_DOWN, d->t.act, d->t.h8, CLSA_FP8, ffn);
    product(d, down, d->t.act, d->t.h8, d->gemm, w_down, d->t.y, d->g->hidden, ffn);
}

/* A grouped product over the experts that this rank's share of (token, expert) pairs hits. */
static void grouped(struct dsa *d, enum clsa_role role, uint64_t pairs, uint64_t hit, uint32_t from,
                    uint32_t w, uint32_t to, uint64_t n, uint64_t k)
{
    struct clsa_op *o = op(d, CLSA_OP_MOE_GEMM, role, n, k);
    const unsigned it = d->quant ? CLSA_FP8 : d->act;
    const uint64_t row = clsa_dtype_bytes(d->gemm, k) * hit;
    o->m = pairs;
    o->heads = (uint32_t)hit;
    o->weight_dtype = (uint8_t)d->gemm;
    o->input_dtype = (uint8_t)it;
    rows_of(o, from, CLSA_READ, it, k);
    clsa_plan_operand(o, w, CLSA_READ, CLSA_AXIS_N, 0, row, row);
    rows_of(o, to, CLSA_WRITE, d->act, n);
    flops(o, clsa_traffic_gemm(pairs, n, k, d->ae, d->ae, d->ae));
}

static void expert_ffn(struct dsa *d, const struct layer_weights *w)
{
    const struct clsa_geometry *g = d->g;
    const uint64_t ranks = d->b->ranks, here = (g->experts + ranks - 1) / ranks;
    const uint64_t pairs = (d->rows * g->experts_per_token + ranks - 1) / ranks;
    /* Tokens choose evenly: an expert stays idle with probability (1 - k / E)^rows. */
    const double idle = pow(1 - (double)g->experts_per_token / g->experts, (double)d->rows);
    const uint64_t hit_mean = (uint64_t)ceil((double)here * (1 - idle) - 1e-9);
    const uint64_t hit = hit_mean < 1 ? 1 : hit_mean < pairs ? hit_mean : pairs;
    struct clsa_op *o;

    product(d, CLSA_ROLE_GATE, d->t.h, d->t.h8, g->weight_dtype, w->gate, d->t.up, g->experts,
            g->hidden);
    o = op(d, CLSA_OP_MOE_ROUTE, CLSA_ROLE_NONE, g->experts, 0);
    rows_of(o, d->t.up, CLSA_READ, d->act, g->experts);
    rows_of(o, d->t.routes, CLSA_WRITE, CLSA_I32, 2 * (uint64_t)g->experts_per_token);
    flops(o, clsa_traffic_topk(d->rows, g->experts, g->experts_per_token, d->ae));
    if (g->shared_experts)
        dense_ffn(d, CLSA_ROLE_SHARED_UP, CLSA_ROLE_SHARED_DOWN, w->shared_up, w->shared_down,
                  g->shared_experts * d->moe_ffn);
    grouped(d, CLSA_ROLE_UP, pairs, hit, d->t.h, w->up, d->t.up, 2 * (uint64_t)g->moe_ffn, g->hidden);
    silu(d, pairs, g->moe_ffn);
    if (d->quant)
        quantise(d, CLSA_ROLE_DOWN, d->t.act, d->t.h8, CLSA_FP8,
                 (uint64_t)g->experts_per_token * g->moe_ffn);
    grouped(d, CLSA_ROLE_DOWN, pairs, hit, d->t.act, w->down, d->t.y, g->hidden, g->moe_ffn);
}

static void layer(struct dsa *d, uint32_t i, const struct layer_weights *w)
{
    const struct clsa_geometry *g = d->g;
    const uint64_t latent = (uint64_t)g->kv_lora + g->qk_rope;
    const uint64_t q = d->heads * g->head_dim, out = d->heads * g->v_head;

    d->layer = (int32_t)i;
    norm(d, CLSA_ROLE_NONE, d->t.x, w->norm, d->t.h, g->hidden);
    if (d->quant)
        quantise(d, CLSA_ROLE_QA, d->t.h, d->t.h8, CLSA_FP8, g->hidden);
    product(d, CLSA_ROLE_QA, d->t.h, d->t.h8, d->gemm, w->qa, d->t.qkv, g->q_lora + latent, g->hidden);
    norm(d, CLSA_ROLE_QA, d->t.qkv, w->qa_norm, d->t.ql, g->q_lora);
    norm(d, CLSA_ROLE_KVA, d->t.qkv, w->kva_norm, d->t.latent, g->kv_lora);
    if (d->quant)
        quantise(d, CLSA_ROLE_QB, d->t.ql, d->t.o8, CLSA_FP8, g->q_lora);
    product(d, CLSA_ROLE_QB, d->t.ql, d->t.o8, d->gemm, w->qb, d->t.q, q, g->q_lora);
    if (d->b->request->group && !shares(d))
        indexer(d, w);
    attention(d, w);
    if (d->quant)
        quantise(d, CLSA_ROLE_O, d->t.vo, d->t.o8, CLSA_FP8, out);
    product(d, CLSA_ROLE_O, d->t.vo, d->t.o8, d->gemm, w->o, d->t.y, g->hidden, out);
    reduce_add(d);

    norm(d, CLSA_ROLE_UP, d->t.x, w->ffn_norm, d->t.h, g->hidden);
    if (d->quant)
        quantise(d, CLSA_ROLE_UP, d->t.h, d->t.h8, CLSA_FP8, g->hidden);
    if (expert_layer(d))
        expert_ffn(d, w);
    else
        dense_ffn(d, CLSA_ROLE_UP, CLSA_ROLE_DOWN, w->up, w->down, d->ffn);
    reduce_add(d);
}

/* Flops of attention and index ops depend on who sees what. */
static void count_keys(struct dsa *d)
{
    struct clsa_plan_builder *b = d->b;
    const struct clsa_step step = {.n_seqs = b->request->n_seqs,
                                   .new_tokens = b->request->new_tokens,
                                   .past = b->past,
                                   .n_queries = b->n_queries,
                                   .queries = b->queries};
    uint64_t selected = 0;

    for (uint64_t r = 0; r < d->rows && !b->status; r++) {
        const struct clsa_op all = {.over_queries = d->over_queries};
        const uint64_t keys = clsa_op_keys(&step, &all, r);
        selected += keys < b->top_k ? keys : b->top_k;
    }
    for (size_t i = 0; i < b->n_ops && !b->status; i++) {
        struct clsa_op *o = &b->ops[i];
        struct clsa_attn_shape s = {.queries = o->m, .q_heads = o->heads, .kv_heads = o->kv_heads,
                                    .d = o->head_dim, .dv = o->value_dim, .kv_same = 1};
        switch (o->kind) {
        case CLSA_OP_ATTN_SPARSE:
            s.pairs = selected;
            flops(o, clsa_traffic_attn(&s));
            break;
        case CLSA_OP_ATTN_DENSE:
            s.pairs = clsa_op_keys_total(&step, o);
            flops(o, clsa_traffic_attn(&s));
            break;
        case CLSA_OP_INDEX_SCORE:
            flops(o, clsa_traffic_index_score(1, clsa_op_keys_total(&step, o), o->heads, o->head_dim, 1,
                                              0, 0, 0));
            break;
        case CLSA_OP_TOPK:
            flops(o, clsa_traffic_topk(1, clsa_op_keys_total(&step, o), o->topk, 0));
            break;
        default:
            break;
        }
    }
}

static void check_request(struct dsa *d)
{
    const struct clsa_geometry *g = d->g;
    struct clsa_plan_builder *b = d->b;
    const struct clsa_plan_request *r = b->request;

    if (r->group > g->cross_layers)
        clsa_plan_fail(b, CLSA_EUSAGE, "a group of %u layers in a model of %u", r->group,
                       g->cross_layers);
    else if (!b->top_k)
        clsa_plan_fail(b, CLSA_EUSAGE, "top-k is 0");
    else if (b->ranks > 1 && (g->heads % b->ranks || g->ffn % b->ranks || g->vocab % b->ranks))
        clsa_plan_fail(b, CLSA_EUSAGE, "%u ranks do not divide heads, FFN and vocabulary", b->ranks);
}

void clsa_plan_build_dsa(struct clsa_plan_builder *b)
{
    const struct clsa_geometry *g = b->g;
    const struct clsa_plan_request *r = b->request;
    struct dsa d = {.b = b, .g = g, .act = r->activation_dtype, .kvt = r->kv_dtype,
                    .ixt = r->index_dtype, .gemm = g->gemm_dtype, .rows = b->rows, .layer = -1};
    struct layer_weights layers[CLSA_LAYERS_MAX];
    struct clsa_op *o;
    uint32_t embed, final, head;

    check_request(&d);
    if (b->status)
        return;
    d.ae = clsa_dtype_bytes(d.act, 1);
    d.heads = g->heads / b->ranks;
    d.ffn = g->ffn / b->ranks;
    d.moe_ffn = g->moe_ffn / b->ranks > 0 ? g->moe_ffn / b->ranks : 1;
    d.vocab = g->vocab / b->ranks;
    d.quant = d.gemm == CLSA_FP8;
    d.over_queries = r->phase == CLSA_DECODE;
    d.materialised = r->phase == CLSA_PREFILL && b->most_keys <= b->top_k;
    for (uint32_t s = 0; s < r->n_seqs; s++)
        d.cached += b->past[s] + r->new_tokens;

    embed = weight(&d, g->weight_dtype, "embed.weight", d.vocab, g->hidden);
    for (uint32_t i = 0; i < g->cross_layers; i++) {
        d.layer = (int32_t)i;
        layer_weights(&d, &layers[i]);
    }
    d.layer = -1;
    final = weight(&d, g->weight_dtype, "norm", g->hidden, 1);
    head = weight(&d, g->weight_dtype, "head.weight", d.vocab, g->hidden);
    cache_tensors(&d);
    activation_tensors(&d);

    o = op(&d, CLSA_OP_EMBED, CLSA_ROLE_NONE, g->hidden, 0);
    rows_of(o, d.t.tokens, CLSA_READ, CLSA_I32, 1);
    clsa_plan_operand(o, embed, CLSA_READ, CLSA_AXIS_TABLE, 0,
                      clsa_dtype_bytes(g->weight_dtype, g->hidden),
                      clsa_dtype_bytes(g->weight_dtype, g->hidden));
    rows_of(o, d.t.x, CLSA_WRITE, d.act, g->hidden);
    for (uint32_t i = 0; i < g->cross_layers; i++)
        layer(&d, i, &layers[i]);
    d.layer = -1;
    count_keys(&d);
    if (!b->n_queries)
        return;
    d.rows = b->n_queries;
    d.over_queries = true;
    norm(&d, CLSA_ROLE_FINAL, d.t.x, final, d.t.last, g->hidden);
    product(&d, CLSA_ROLE_HEAD, d.t.last, d.t.h8, g->weight_dtype, head, d.t.logits, d.vocab, g->hidden);
}
