#include "kernels/rungs.h"

#include "kernels/x86/x86.h"

static const char *isa(void)
{
#if defined(__AVX512BF16__)
    return "avx512bf16";
#elif defined(__AVX512F__)
    return "avx512";
#else
    return "avx2";
#endif
}

#if defined(__AVX512BF16__)
#define TABLE clsa_kernels_avx512bf16
#define RUNG CLSA_RUNG_AVX512_BF16
#define NAME "avx512-bf16"
#elif defined(__AVX512F__)
#define TABLE clsa_kernels_avx512
#define RUNG CLSA_RUNG_AVX512
#define NAME "avx512"
#else
#define TABLE clsa_kernels_avx2
#define RUNG CLSA_RUNG_AVX2
#define NAME "avx2"
#endif

const struct clsa_kernels TABLE = {
    .rung = RUNG,
    .name = NAME,
    .isa = isa,
    .rmsnorm = clsa_x_rmsnorm,
    .head_norm = clsa_x_head_norm,
    .rope = clsa_x_rope,
    .silu_mul = clsa_x_silu_mul,
    .softmax = clsa_x_softmax,
    .embed = clsa_x_embed,
    .add = clsa_x_add,
#if defined(__AVX512BF16__)
    .gemm = clsa_x_gemm_rounded,
    .index_score = clsa_x_index_score_rounded,
    .index_score_heads = clsa_x_index_score_heads_rounded,
#else
    .gemm = clsa_x_gemm,
    .index_score = clsa_x_index_score,
    .index_score_heads = clsa_x_index_score_heads,
#endif
    .to_f32 = clsa_x_to_f32,
    .from_f32 = clsa_x_from_f32,
    .attn_dense = clsa_x_attn_dense,
    .attn_sparse = clsa_x_attn_sparse,
    .attn_combine = clsa_x_attn_combine,
    .attn_prefill = clsa_x_attn_prefill,
    .attn_sparse_prefill = clsa_x_attn_sparse_prefill,
    .topk = clsa_x_topk,
};
