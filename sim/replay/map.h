/* Which kernels an op becomes on a GPU under an implementation.
 *
 * One mapping for closed form and replay: both take these descriptors and differ only in how they
 * work out what memory answers. The kinds are mapped in map_small.c (norm, add, silu, copies,
 * embed, append, all-reduce), map_gemm.c, map_attention.c, map_index.c, map_topk.c and
 * map_mla.c. */
#ifndef CLSA_REPLAY_MAP_H
#define CLSA_REPLAY_MAP_H

#include "hwmodels/gpu.h"
#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/op.h"

#define CLSA_MAP_KERNELS 24

struct clsa_kernel_list {
    unsigned n; /* 0: the op costs nothing of its own (fused into a neighbour) */
    struct clsa_gpu_kernel kernels[CLSA_MAP_KERNELS];
};

/* The kernels of op i of a step, in launch order. Returns 0 or CLSA_EUNSUPPORTED (a method that the
 * kind of op does not have; the message names the op, the method and the implementation). */
int clsa_map_op(const struct clsa_step *step, const struct clsa_op *op,
                const struct clsa_machine *machine, const struct clsa_implementation *impl,
                struct clsa_kernel_list *out, struct clsa_err *err);

/* One function a kind of op, called by clsa_map_op; `out` comes empty. */
int clsa_map_small(const struct clsa_step *step, const struct clsa_op *op,
                   const struct clsa_machine *machine, const struct clsa_implementation *impl,
                   struct clsa_kernel_list *out, struct clsa_err *err);
int clsa_map_gemm(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_kernel_list *out, struct clsa_err *err); /* gemm, bmm, moe_gemm */
int clsa_map_attention(const struct clsa_step *step, const struct clsa_op *op,
                       const struct clsa_machine *machine, const struct clsa_implementation *impl,
                       struct clsa_kernel_list *out, struct clsa_err *err); /* K/V heads */
int clsa_map_mla(const struct clsa_step *step, const struct clsa_op *op,
                 const struct clsa_machine *machine, const struct clsa_implementation *impl,
                 struct clsa_kernel_list *out, struct clsa_err *err); /* latent rows */
int clsa_map_index(const struct clsa_step *step, const struct clsa_op *op,
                   const struct clsa_machine *machine, const struct clsa_implementation *impl,
                   struct clsa_kernel_list *out, struct clsa_err *err);
int clsa_map_topk(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_kernel_list *out, struct clsa_err *err);

/* The kernels of implementation triton-own (map_triton.c), which any implementation may name by
 * method `split` (attention of one query a sequence, index scores), `torch` and `radix` (top-k). */
int clsa_map_split_attention(const struct clsa_step *step, const struct clsa_op *op,
                             const struct clsa_machine *machine,
                             const struct clsa_implementation *impl, struct clsa_kernel_list *out,
                             struct clsa_err *err);
int clsa_map_split_index(const struct clsa_step *step, const struct clsa_op *op,
                         const struct clsa_machine *machine, const struct clsa_implementation *impl,
                         struct clsa_kernel_list *out, struct clsa_err *err);
int clsa_map_torch_topk(const struct clsa_step *step, const struct clsa_op *op,
                        const struct clsa_machine *machine, const struct clsa_implementation *impl,
                        struct clsa_kernel_list *out, struct clsa_err *err);

/* Method `copy` of rope: the layer copies q to a buffer of its own. */
void clsa_map_query_copy(const struct clsa_op *op, const struct clsa_implementation *impl,
                         struct clsa_kernel_list *out);

/* CLSA_EUNSUPPORTED with a message that names the implementation and the op. */
int clsa_map_fail(const struct clsa_op *op, const struct clsa_implementation *impl,
                  struct clsa_err *err);
/* Streams of the operands that are no K/V rows: activations and weights read and written once. */
void clsa_map_activations(const struct clsa_step *step, const struct clsa_op *op,
                          struct clsa_gpu_kernel *k, enum clsa_access access);

/* Appends an initialised kernel and returns it; programmer error when the list is full. */
struct clsa_gpu_kernel *clsa_map_add(struct clsa_kernel_list *list, const char *name);
/* The first operand of an op with this axis and access, or CLSA_GPU_SCRATCH. */
int clsa_map_operand(const struct clsa_op *op, enum clsa_axis axis, enum clsa_access access);

#endif
