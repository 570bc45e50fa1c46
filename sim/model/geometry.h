/* What a model is made of, read from its config.json, without weights.
 *
 * Two families so far: CLSA (a YOCO decoder-decoder: num_self_layers windowed layers, then
 * num_cross_layers layers over one global K/V with shared top-k routing; arXiv 2606.06467) and DSA
 * (DeepSeek-V3.2 and GLM-5 style decoders: MLA attention with a lightning indexer). */
#ifndef CLSA_MODEL_GEOMETRY_H
#define CLSA_MODEL_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/status.h"

#define CLSA_LAYERS_MAX 512

enum clsa_family { CLSA_FAMILY_CLSA, CLSA_FAMILY_DSA };

struct clsa_geometry {
    char name[64];  /* file or directory name without suffix */
    int family;     /* enum clsa_family */
    uint32_t hidden, ffn, vocab;
    uint32_t self_layers, cross_layers; /* CLSA; DSA: 0 and num_hidden_layers */
    uint32_t heads, kv_heads, head_dim;
    uint32_t window;
    uint32_t index_dim, index_heads, index_topk, index_group;
    double rope_theta, norm_eps;
    unsigned weight_dtype; /* enum clsa_dtype, "torch_dtype" */
    unsigned kv_dtype, index_dtype; /* caches; default to weight_dtype */
    bool per_layer_kv;              /* default sharing of K/V among cross layers */
    /* DSA only: MLA and MoE sizes, and which layers run an indexer of their own */
    uint32_t q_lora, kv_lora, qk_nope, qk_rope, v_head;
    uint32_t experts, experts_per_token, shared_experts, moe_ffn, first_dense;
    unsigned gemm_dtype;                    /* CLSA_FP8 where the checkpoint is quantised */
    uint8_t index_shared[CLSA_LAYERS_MAX];  /* 1: the layer reuses the selection before it */
};

/* Reads a Hugging Face style config. `path` is config.json itself, a directory that holds one, or
 * NAME.safetensors with NAME.json beside it. Fields that no family knows are an error that names
 * them, as are missing ones and values that no such model can have.
 * Returns 0, CLSA_ENOTFOUND, CLSA_EFORMAT, CLSA_ERANGE, CLSA_EUNSUPPORTED (model_type) or
 * CLSA_ENOMEM. */
int clsa_geometry_read(const char *path, struct clsa_geometry *out, struct clsa_err *err);

/* Resolves what --model was given: a path, or the name of a model in models/. Fresh memory in
 * *config and, where weights lie beside it, *weights (else NULL). */
int clsa_model_find(const char *name, char **config, char **weights, struct clsa_err *err);

/* Parameters of the model and bytes of cache a token (K/V and index keys of all layers, windows not
 * counted), for reports. */
uint64_t clsa_geometry_parameters(const struct clsa_geometry *g);
uint64_t clsa_geometry_cache_bytes_per_token(const struct clsa_geometry *g, uint32_t group);

/* DSA: bytes of one token's latent row and of one index key in a cache of this dtype (fp8 carries
 * scales beside the values: 656 B for 576, 132 B for 128). */
uint64_t clsa_geometry_latent_bytes(const struct clsa_geometry *g, unsigned kv_dtype);
uint64_t clsa_geometry_index_key_bytes(const struct clsa_geometry *g, unsigned index_dtype);
/* DSA: whether a layer reuses the selection before it: the model's own pattern where `group` is its
 * index_group, else every layer but each group's first. */
bool clsa_geometry_layer_shares(const struct clsa_geometry *g, uint32_t group, uint32_t layer);

#endif
