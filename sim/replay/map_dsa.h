/* Kernels of DeepSeek sparse attention as SGLang and vLLM run them: lightning-indexer scores (DeepGEMM),
 * exact top-k with one block a row (sgl-kernel), attention over selected latent rows (FlashAttention 3,
 * FlashMLA). Structure after the published sources of those kernels; constants in
 * hwmodels/implementations/sglang-0.5.14.csv.
 *
 * What the parameters of an implementation mean here:
 *   index_score   tile_m query-head rows of a tile (so tile_m / heads queries), tile_n keys a step;
 *                 prologue once a kernel; epilogue once a tile of queries (a row of the paged kernel);
 *                 step_cycles of a step; element_cycles of one score of one head, cycles of its SM;
 *                 pass_cycles of tile_n positions that a row does not see, filled by the paged kernel;
 *                 scratch_part of device memory that the scores may take: more goes in chunks of queries
 *   topk          threads keys an iteration; passes over the row; resident blocks; stages iterations
 *                 whose loads overlap, overlap the part of a load's latency that so disappears; prologue of a block; pass_cycles of the radix rounds of a row,
 *                 element_cycles of one key, conflict_cycles of one candidate of the rounds (all three are
 *                 instruction issue, which the blocks of an SM share); epilogue of a row no longer than k
 *   attn_sparse   latent rows, 16-bit, single queries: one block a (query, 64 heads, split)
 *   attn_sparse_kv  latent rows with scales, any queries: persistent blocks over (query, 64 heads, keys)
 *   attn_sparse_q   many queries (prefill): one block a (query, 64 heads), which walks all top-k slots
 *                 (attn_dense over latent rows takes the same three, over every key)
 *                 tile_m heads, tile_n keys a step; prologue, epilogue, step_cycles, tensor_efficiency,
 *                 memory_efficiency; l2_efficiency of the L2's rate at which partial results of a
 *                 split are written and read; combine_prologue and combine_step of the kernel that
 *                 joins them */
#ifndef CLSA_REPLAY_MAP_DSA_H
#define CLSA_REPLAY_MAP_DSA_H

#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/op.h"

/* How the prefill score kernel cuts its work: tiles of consecutive queries, dealt to SMs in turn; a tile
 * walks every key from the first that one of its queries sees to the last (keys of the sequences lie
 * one after another). */
struct clsa_index_tiles {
    uint64_t tiles;    /* of queries, all chunks */
    uint32_t chunks;   /* launches */
    double steps;      /* key tiles of all query tiles */
    double longest;    /* key tiles of the fullest SM, added up over the chunks */
    double rounds;     /* query tiles of the fullest SM, added up over the chunks */
};

/* queries_a_tile, keys_a_step and chunk_rows (queries of one launch) at least 1. */
void clsa_map_index_tiles(const struct clsa_step *step, const struct clsa_op *op, uint32_t sms,
                          uint32_t queries_a_tile, uint32_t keys_a_step, uint64_t chunk_rows,
                          struct clsa_index_tiles *out);

#endif
