#include "kernels/rungs.h"

#include "kernels/ref/ref.h"

static const char *isa(void)
{
    return "c11";
}

const struct clsa_kernels clsa_kernels_ref = {
    .rung = CLSA_RUNG_REF,
    .name = "ref",
    .isa = isa,
    .rmsnorm = clsa_ref_rmsnorm,
    .head_norm = clsa_ref_head_norm,
    .rope = clsa_ref_rope,
    .silu_mul = clsa_ref_silu_mul,
    .softmax = clsa_ref_softmax,
    .embed = clsa_ref_embed,
    .add = clsa_ref_add,
    .gemm = clsa_ref_gemm,
    .to_f32 = clsa_ref_to_f32,
    .from_f32 = clsa_ref_from_f32,
    .attn_dense = clsa_ref_attn_dense,
    .attn_sparse = clsa_ref_attn_sparse,
    .attn_combine = clsa_ref_attn_combine,
    .attn_prefill = clsa_ref_attn_prefill,
    .attn_sparse_prefill = clsa_ref_attn_sparse_prefill,
    .index_score = clsa_ref_index_score,
    .index_score_heads = clsa_ref_index_score_heads,
    .topk = clsa_ref_topk,
};
