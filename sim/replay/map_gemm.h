/* Matrix products on a GPU: tiles, splits of the inner dimension, and the power limit.
 *
 * What the parameters of an implementation mean for gemm, bmm and moe_gemm:
 *   method             cublas or default: the tile and split that this file estimates to be fastest
 *   tile_m, tile_n     0: chosen from the list of tiles; else this one tile (token rows x outputs)
 *   tile_k, stages     depth of a pipeline step in elements; most steps in flight
 *   split_max          most blocks that share one output tile
 *   prologue           once a kernel: descriptors, barriers, scheduling
 *   step_cycles        of a step, not hidden behind other steps: barrier and issue of matrix
 *                      instructions
 *   element_cycles     of one output element, cycles of its SM: accumulators to memory
 *   combine_prologue   of the kernel that adds the partial sums of a split product
 *   tensor_efficiency, memory_efficiency, l2_efficiency, overlap: as in hwmodels/gpu.h
 */
#ifndef CLSA_REPLAY_MAP_GEMM_H
#define CLSA_REPLAY_MAP_GEMM_H

#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/op.h"

struct clsa_gemm_shape {
    uint64_t groups;            /* independent products (heads of a bmm, experts hit) */
    uint64_t m, n, k;           /* of one of them */
    unsigned weight_dtype, input_dtype, output_dtype;
};

struct clsa_gemm_tiling {
    uint32_t tile_m, tile_n, split;
    uint32_t stages, resident;
    uint64_t tiles;             /* of all groups, without the split */
    double seconds;             /* estimate at the full matrix rate with weights in DRAM */
};

/* The tiling that is estimated to be fastest, among the machine's tiles (asynchronous matrix
 * units take more shapes) or the one the implementation names. Every dimension must be at least
 * 1. */
void clsa_map_gemm_tiling(const struct clsa_machine *machine,
                          const struct clsa_implementation *impl, const struct clsa_op *op,
                          const struct clsa_gemm_shape *shape, struct clsa_gemm_tiling *out);

/* Dense matrix work at the full rate draws more power than the limit allows; the clock falls
 * until tensor.sustained of the peak is left. A kernel that leaves its matrix units idle part of
 * the time keeps the clock. For a kernel that would take `seconds` at the peak rate for `flops`:
 * the matrix rate it gets, as a multiple of the sustained one, within [1, 1 / tensor.sustained],
 * to be used in tensor_efficiency. */
double clsa_map_power_share(const struct clsa_machine *machine, unsigned dtype, double flops,
                            double seconds);

#endif
