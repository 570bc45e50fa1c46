/* Attention over K/V heads as the FlashAttention libraries run it.
 *
 * Machines with asynchronous matrix units run FlashAttention 3: persistent blocks, tiles of
 * tile_m query rows by tile_n keys, softmax hidden behind the matrix units, the query heads of a
 * K/V head packed into one tile where that saves blocks, keys of a decode step split so that
 * every SM gets an equal share, partial results joined by a kernel whose start overlaps the end
 * of the first (programmatic dependent launch). Others run FlashAttention 2: two blocks an SM,
 * softmax in series with the products, query heads packed only for single queries (by a copy of
 * queries and outputs where more than one sequence and K/V head make that a transposition),
 * splits only then, joined by a kernel of its own.
 *
 * What the parameters mean for attn_window, attn_dense, attn_sparse:
 *   method             flash3 or default
 *   tile_m, tile_n     tile of FlashAttention 3 (and keys of a split tile of 2)
 *   split_max          most splits of one sequence's keys
 *   prologue           once a block: scheduling, block table, first loads, last store
 *   epilogue           of one query row of a block: gathered to, scattered from the tile
 *   element_cycles     of one element of a V tile held in fp8, cycles of its SM: transposed for the
 *                      second product
 *   pass_cycles        a pass of the tile scheduler over 31 sequences (up to 992 sequences)
 *   combine_prologue, combine_step   joining the splits: once, and for each split
 *   tensor_efficiency, memory_efficiency, l2_efficiency, overlap, stages, step_cycles:
 *     hwmodels/gpu.h
 *   kv_append: fused   the kernel that writes new rows runs with attention (its prologue and
 *                      threads)
 *   plan               kernel of FlashAttention 3 that plans blocks and splits; 0: none
 */
#ifndef CLSA_REPLAY_MAP_ATTENTION_H
#define CLSA_REPLAY_MAP_ATTENTION_H

#include <stdbool.h>

#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/op.h"

/* Blocks of an attention op over all its sequences and heads. */
struct clsa_attention_blocks {
    double tile_m, tile_n;
    bool packed;        /* query heads of a K/V head share row tiles */
    double rows;        /* query rows of a block, at most */
    double chunks;      /* blocks times splits */
    double splits;      /* most splits of one block; 1: none */
    double tiles;       /* key tiles of a chunk, mean */
    double longest;     /* key tiles of the longest chunk */
    double key_passes;  /* times that the K/V rows of a head are read */
};

void clsa_map_attention_blocks(const struct clsa_step *step, const struct clsa_op *op,
                               const struct clsa_machine *machine,
                               const struct clsa_implementation *impl,
                               struct clsa_attention_blocks *out);

#endif
