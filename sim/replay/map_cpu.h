/* What an op is to a CPU under an implementation: one call per op, shared by closed form and
 * replay. */
#ifndef CLSA_REPLAY_MAP_CPU_H
#define CLSA_REPLAY_MAP_CPU_H

#include "hwmodels/cpu.h"
#include "hwmodels/implementation.h"
#include "sim/base/op.h"

/* Fills a call from an op; distances of its streams stay INFINITY for the caller to set. `parts` is 0
 * when the implementation folds the op into its neighbour (launch fused). Units of work are those of
 * kernels/parallel.h; K and V rows that lie side by side are one random row (the V stream then has no
 * bytes of its own).
 *   vector_efficiency  part of the vector rate of the op's inner loop
 *   tensor_efficiency  the same of the bf16 rate, which products of bf16 weights use when the
 *                      implementation's method is `bf16` and the machine has such units
 *   element_cycles     cycles a product's output, a (query head, key) pair of attention, a score, or a
 *                      value of a row, beside its flops
 *   memory_efficiency  part of streaming rates
 *   inflight           bytes of random rows that a core keeps outstanding; 0: what the core can
 *   overlap            how memory and arithmetic go on beside each other: 0 one after the other, 1 the shorter hides;
 *                      between, (a^p + b^p)^(1/p) with p = 1 / (1 - overlap): the shorter hides the better the
 *                      shorter it is
 *   sibling            part of the arithmetic that takes turns with another thread of the core: units that many
 *                      instructions want at once; chains of dependent ones hardly do
 *   passes             times over the data (top-k)
 *   pass_cycles        cycles a candidate of top-k, all rounds of narrowing down together; cycles to copy
 *                      K and V of one key and head to float32, where attention does that
 *   epilogue           cycles of a position that a cut of top-k keeps; of a line of the sums of a part of decode attention
 *   row_cycles         cycles a key and K/V head where attention uses rows as they lie: listed, loops begun
 *   step_cycles        cycles a line of K and V where decode attention uses rows as they lie: asked for ahead,
 *                      loaded, widened
 *   combine_step       cycles to join one head of one split of decode attention,
 *   combine_issue      and those of each line of its sums
 *   prologue           cycles of a call before its first work */
void clsa_map_cpu(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_cpu_call *out);

#endif
