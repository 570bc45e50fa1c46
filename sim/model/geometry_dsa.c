/* DeepSeek-V3.2 and GLM-5: MLA attention over latent rows, a lightning indexer in some layers, MoE.
 *
 * Which layers run an indexer, in the words of checkpoints and engines (SGLang and vLLM model code):
 * `indexer_types` lists it; else `index_topk_pattern` spells it (F computes, S reuses); else with
 * `index_topk_freq` f a layer l reuses when max(l - 1, 0) % f != 0, or max(l - offset + 1, 0) % f != 0
 * where `index_skip_topk_offset` is given; else every layer computes. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "sim/base/op.h"
#include "sim/model/geometry_read.h"

#define AT(field) offsetof(struct clsa_geometry, field)
#define IGNORED(key) {key, CLSA_FIELD_IGNORED, 0, false, 0, 0}

/* Read by hand: the indexer's layers, quantisation, the rotary base, which has two places. */
static const struct clsa_field fields[] = {
    {"hidden_size", CLSA_FIELD_U32, AT(hidden), true, 1, 1 << 17},
    {"intermediate_size", CLSA_FIELD_U32, AT(ffn), true, 1, 1 << 20},
    {"vocab_size", CLSA_FIELD_U32, AT(vocab), true, 1, 1 << 24},
    {"num_hidden_layers", CLSA_FIELD_U32, AT(cross_layers), true, 1, CLSA_LAYERS_MAX},
    {"num_attention_heads", CLSA_FIELD_U32, AT(heads), true, 1, 1024},
    {"q_lora_rank", CLSA_FIELD_U32, AT(q_lora), true, 1, 1 << 16},
    {"kv_lora_rank", CLSA_FIELD_U32, AT(kv_lora), true, 1, 1 << 16},
    {"qk_nope_head_dim", CLSA_FIELD_U32, AT(qk_nope), true, 1, 4096},
    {"qk_rope_head_dim", CLSA_FIELD_U32, AT(qk_rope), true, 2, 4096},
    {"v_head_dim", CLSA_FIELD_U32, AT(v_head), true, 1, 4096},
    {"index_head_dim", CLSA_FIELD_U32, AT(index_dim), true, 1, 1024},
    {"index_n_heads", CLSA_FIELD_U32, AT(index_heads), true, 1, 1024},
    {"index_topk", CLSA_FIELD_U32, AT(index_topk), true, 1, 1 << 24},
    {"n_routed_experts", CLSA_FIELD_U32, AT(experts), false, 0, 1 << 16},
    {"num_experts_per_tok", CLSA_FIELD_U32, AT(experts_per_token), false, 0, 1 << 10},
    {"n_shared_experts", CLSA_FIELD_U32, AT(shared_experts), false, 0, 1 << 10},
    {"moe_intermediate_size", CLSA_FIELD_U32, AT(moe_ffn), false, 0, 1 << 20},
    {"first_k_dense_replace", CLSA_FIELD_U32, AT(first_dense), false, 0, CLSA_LAYERS_MAX},
    {"rms_norm_eps", CLSA_FIELD_F64, AT(norm_eps), true, 1e-30, 1},
    {"rope_theta", CLSA_FIELD_F64, AT(rope_theta), false, 1, 1e12},
    {"torch_dtype", CLSA_FIELD_DTYPE, AT(weight_dtype), false, 0, 0},
    {"dtype", CLSA_FIELD_DTYPE, AT(weight_dtype), false, 0, 0},
    {"kv_cache_dtype", CLSA_FIELD_DTYPE, AT(kv_dtype), false, 0, 0},
    {"index_dtype", CLSA_FIELD_DTYPE, AT(index_dtype), false, 0, 0},
    IGNORED("index_topk_freq"),
    IGNORED("index_topk_pattern"),
    IGNORED("index_skip_topk_offset"),
    IGNORED("indexer_types"),
    IGNORED("quantization_config"),
    IGNORED("rope_parameters"),
    IGNORED("rope_scaling"),
    IGNORED("rope_interleave"),
    IGNORED("indexer_rope_interleave"),
    IGNORED("index_share_for_mtp_iteration"),
    IGNORED("mlp_layer_types"),
    IGNORED("moe_layer_freq"),
    IGNORED("moe_router_dtype"),
    IGNORED("num_key_value_heads"),
    IGNORED("head_dim"),
    IGNORED("qk_head_dim"),
    IGNORED("n_group"),
    IGNORED("topk_group"),
    IGNORED("topk_method"),
    IGNORED("norm_topk_prob"),
    IGNORED("routed_scaling_factor"),
    IGNORED("scoring_func"),
    IGNORED("num_nextn_predict_layers"),
    IGNORED("ep_size"),
    IGNORED("pretraining_tp"),
    IGNORED("attention_bias"),
    IGNORED("attention_dropout"),
    IGNORED("hidden_act"),
    IGNORED("initializer_range"),
    IGNORED("max_position_embeddings"),
    IGNORED("tie_word_embeddings"),
    IGNORED("use_cache"),
    IGNORED("model_type"),
    IGNORED("architectures"),
    IGNORED("bos_token_id"),
    IGNORED("eos_token_id"),
    IGNORED("pad_token_id"),
    IGNORED("transformers_version"),
    {NULL, CLSA_FIELD_IGNORED, 0, false, 0, 0},
};

static bool present(const struct clsa_node *node)
{
    return clsa_node_is_object(node) || clsa_node_is_array(node) || clsa_node_is_string(node) ||
           clsa_node_is_number(node);
}

static int listed(const struct clsa_json *doc, const struct clsa_node *list,
                  struct clsa_geometry *g, struct clsa_err *err)
{
    const size_t n = clsa_node_is_array(list) ? clsa_node_count(list) : 0;
    if (n < g->cross_layers)
        return clsa_fail(err, CLSA_EFORMAT, "%s: 'indexer_types' names %zu of %" PRIu32 " layers",
                         clsa_json_name(doc), n, g->cross_layers);
    for (uint32_t l = 0; l < g->cross_layers; l++) {
        const char *word = clsa_node_text(clsa_node_at(list, l));
        if (!word || (strcmp(word, "full") != 0 && strcmp(word, "shared") != 0))
            return clsa_fail(err, CLSA_EFORMAT, "%s: 'indexer_types' %" PRIu32
                             " is neither \"full\" nor \"shared\"", clsa_json_name(doc), l);
        g->index_shared[l] = word[0] == 's';
    }
    return CLSA_OK;
}

static int spelled(const struct clsa_json *doc, const char *pattern, struct clsa_geometry *g,
                   struct clsa_err *err)
{
    if (strlen(pattern) < g->cross_layers || strspn(pattern, "FS") != strlen(pattern))
        return clsa_fail(err, CLSA_EFORMAT, "%s: 'index_topk_pattern' is not F or S for each of %"
                         PRIu32 " layers", clsa_json_name(doc), g->cross_layers);
    for (uint32_t l = 0; l < g->cross_layers; l++)
        g->index_shared[l] = pattern[l] == 'S';
    return CLSA_OK;
}

static int read_sharing(const struct clsa_json *doc, struct clsa_geometry *g, struct clsa_err *err)
{
    const struct clsa_node *root = clsa_json_root(doc);
    const struct clsa_node *types = clsa_node_get(root, "indexer_types");
    const struct clsa_node *pattern = clsa_node_get(root, "index_topk_pattern");
    const bool has_offset = present(clsa_node_get(root, "index_skip_topk_offset"));
    uint64_t freq = 1, offset = 0;
    int status = CLSA_OK;

    if (present(clsa_node_get(root, "index_topk_freq")))
        status = clsa_json_u64(doc, root, "index_topk_freq", true, 1, CLSA_LAYERS_MAX, &freq, err);
    if (!status && has_offset)
        status = clsa_json_u64(doc, root, "index_skip_topk_offset", true, 0, CLSA_LAYERS_MAX, &offset,
                               err);
    if (status)
        return status;
    g->index_group = (uint32_t)freq;
    if (present(types)) {
        status = listed(doc, types, g, err);
    } else if (present(pattern)) {
        if (!clsa_node_text(pattern))
            return clsa_fail(err, CLSA_EFORMAT, "%s: 'index_topk_pattern' is no text",
                             clsa_json_name(doc));
        status = spelled(doc, clsa_node_text(pattern), g, err);
    } else {
        for (uint64_t l = 0; l < g->cross_layers; l++) {
            const uint64_t back = has_offset ? offset : 2;
            g->index_shared[l] = (l + 1 > back ? l + 1 - back : 0) % freq != 0;
        }
    }
    if (!status && !present(clsa_node_get(root, "index_topk_freq"))) {
        uint32_t full = 0;
        for (uint32_t l = 0; l < g->cross_layers; l++)
            full += !g->index_shared[l];
        if (full && full < g->cross_layers)
            g->index_group = g->cross_layers / full > 1 ? g->cross_layers / full : 2;
    }
    if (!status && g->index_shared[0])
        return clsa_fail(err, CLSA_EFORMAT, "%s: the first layer has no selection to share",
                         clsa_json_name(doc));
    return status;
}

static int read_quantisation(const struct clsa_json *doc, struct clsa_geometry *g,
                             struct clsa_err *err)
{
    const struct clsa_node *q = clsa_node_get(clsa_json_root(doc), "quantization_config");
    const char *method = q ? clsa_node_text(clsa_node_get(q, "quant_method")) : NULL;

    g->gemm_dtype = g->weight_dtype;
    if (!present(q))
        return CLSA_OK;
    if (!method || strcmp(method, "fp8") != 0)
        return clsa_fail(err, CLSA_EUNSUPPORTED, "%s: 'quantization_config' is not fp8",
                         clsa_json_name(doc));
    g->gemm_dtype = CLSA_FP8;
    return CLSA_OK;
}

int clsa_geometry_read_dsa(const struct clsa_json *doc, struct clsa_geometry *g, struct clsa_err *err)
{
    const struct clsa_node *root = clsa_json_root(doc);
    const struct clsa_node *rope = clsa_node_get(root, "rope_parameters");
    int status;

    g->family = CLSA_FAMILY_DSA;
    g->weight_dtype = CLSA_BF16;
    g->index_dtype = CLSA_FP8;
    status = clsa_geometry_read_fields(doc, fields, g, err);
    if (!status && clsa_node_is_object(rope))
        status = clsa_json_f64(doc, rope, "rope_theta", true, &g->rope_theta, err);
    if (!status)
        status = read_quantisation(doc, g, err);
    if (!status)
        status = read_sharing(doc, g, err);
    if (status)
        return status;
    if (!(g->rope_theta >= 1))
        return clsa_fail(err, CLSA_EFORMAT, "%s: field 'rope_theta' is missing",
                         clsa_json_name(doc));
    if (g->experts && (!g->experts_per_token || g->experts_per_token > g->experts || !g->moe_ffn))
        return clsa_fail(err, CLSA_ERANGE, "%s: experts, experts a token and their width do not fit",
                         clsa_json_name(doc));
    if (!clsa_node_get(root, "kv_cache_dtype"))
        g->kv_dtype = g->weight_dtype;
    g->kv_heads = 1;
    g->head_dim = g->qk_nope + g->qk_rope;
    g->per_layer_kv = true;
    return CLSA_OK;
}

uint64_t clsa_geometry_parameters_dsa(const struct clsa_geometry *g)
{
    const uint64_t h = g->hidden, d = g->head_dim;
    const uint64_t attention = h * ((uint64_t)g->q_lora + g->kv_lora + g->qk_rope) + g->q_lora +
                               g->kv_lora + g->q_lora * g->heads * d +
                               (uint64_t)g->kv_lora * g->heads * (g->qk_nope + g->v_head) +
                               (uint64_t)g->heads * g->v_head * h + 2 * h;
    const uint64_t indexer = (uint64_t)g->q_lora * g->index_heads * g->index_dim +
                             h * (g->index_dim + g->index_heads) + 2 * (uint64_t)g->index_dim;
    const uint64_t dense = 3 * h * g->ffn;
    const uint64_t moe = h * g->experts + g->experts +
                         3 * h * g->moe_ffn * ((uint64_t)g->experts + g->shared_experts);
    uint64_t sum = 2 * (uint64_t)g->vocab * h + h;

    for (uint32_t l = 0; l < g->cross_layers; l++)
        sum += attention + (g->index_shared[l] ? 0 : indexer) +
               (g->experts && l >= g->first_dense ? moe : dense);
    return sum;
}

uint64_t clsa_geometry_latent_bytes(const struct clsa_geometry *g, unsigned kv_dtype)
{
    /* With fp8: a float32 scale for 128 values, and the rotary part in bfloat16 (656 B of 576). */
    if (kv_dtype == CLSA_FP8)
        return g->kv_lora + (g->kv_lora + 127) / 128 * 4 + (uint64_t)g->qk_rope * 2;
    return clsa_dtype_bytes(kv_dtype, (uint64_t)g->kv_lora + g->qk_rope);
}

uint64_t clsa_geometry_index_key_bytes(const struct clsa_geometry *g, unsigned index_dtype)
{
    return clsa_dtype_bytes(index_dtype, g->index_dim) + (index_dtype == CLSA_FP8 ? 4 : 0);
}

bool clsa_geometry_layer_shares(const struct clsa_geometry *g, uint32_t group, uint32_t layer)
{
    return group == g->index_group ? g->index_shared[layer] != 0 : group && layer % group != 0;
}

uint64_t clsa_geometry_cache_bytes_dsa(const struct clsa_geometry *g, uint32_t group)
{
    uint64_t bytes = g->cross_layers * clsa_geometry_latent_bytes(g, g->kv_dtype);

    for (uint32_t l = 0; group && l < g->cross_layers; l++)
        if (!clsa_geometry_layer_shares(g, group, l))
            bytes += clsa_geometry_index_key_bytes(g, g->index_dtype);
    return bytes;
}
