#include "sim/replay/map.h"

#include <assert.h>
#include <string.h>

struct clsa_gpu_kernel *clsa_map_add(struct clsa_kernel_list *list, const char *name)
{
    assert(list->n < CLSA_MAP_KERNELS);
    struct clsa_gpu_kernel *k = &list->kernels[list->n++];
    clsa_gpu_kernel_init(k, name);
    return k;
}

int clsa_map_operand(const struct clsa_op *op, enum clsa_axis axis, enum clsa_access access)
{
    for (uint32_t i = 0; i < op->n_operands; i++)
        if (op->operands[i].axis == axis && op->operands[i].access == access)
            return (int)i;
    return CLSA_GPU_SCRATCH;
}

int clsa_map_fail(const struct clsa_op *op, const struct clsa_implementation *impl,
                  struct clsa_err *err)
{
    char name[64];
    return clsa_fail(err, CLSA_EUNSUPPORTED, "implementation %s has no kernel for %s", impl->name,
                     clsa_op_name(op, name, sizeof name));
}

static int map_kind(const struct clsa_step *step, const struct clsa_op *op,
                    const struct clsa_machine *machine, const struct clsa_implementation *impl,
                    struct clsa_kernel_list *out, struct clsa_err *err)
{
    const int method = (int)clsa_impl_get(impl, op, CLSA_IMPL_METHOD);
    switch (op->kind) {
    case CLSA_OP_GEMM:
    case CLSA_OP_BMM:
    case CLSA_OP_MOE_GEMM:
        return clsa_map_gemm(step, op, machine, impl, out, err);
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        if (op->value_dim && op->value_dim != op->head_dim)
            return clsa_map_mla(step, op, machine, impl, out, err);
        if (method == CLSA_METHOD_SPLIT && clsa_op_rows(step, op) == step->n_seqs)
            return clsa_map_split_attention(step, op, machine, impl, out, err);
        return clsa_map_attention(step, op, machine, impl, out, err);
    case CLSA_OP_INDEX_SCORE:
        if (method == CLSA_METHOD_SPLIT)
            return clsa_map_split_index(step, op, machine, impl, out, err);
        return clsa_map_index(step, op, machine, impl, out, err);
    case CLSA_OP_TOPK:
        if (method == CLSA_METHOD_TORCH || method == CLSA_METHOD_RADIX)
            return clsa_map_torch_topk(step, op, machine, impl, out, err);
        return clsa_map_topk(step, op, machine, impl, out, err);
    case CLSA_OP_ROPE:
        if (method == CLSA_METHOD_COPY) {
            clsa_map_query_copy(op, impl, out);
            return 0;
        }
        return clsa_map_small(step, op, machine, impl, out, err);
    default:
        return clsa_map_small(step, op, machine, impl, out, err);
    }
}

int clsa_map_op(const struct clsa_step *step, const struct clsa_op *op,
                const struct clsa_machine *machine, const struct clsa_implementation *impl,
                struct clsa_kernel_list *out, struct clsa_err *err)
{
    out->n = 0;
    const int launch = (int)clsa_impl_get(impl, op, CLSA_IMPL_LAUNCH);
    if (launch == CLSA_LAUNCH_FUSED || op->m == 0)
        return 0;
    int status = map_kind(step, op, machine, impl, out, err);
    if (status)
        return status;
    const double extra = clsa_impl_get(impl, op, CLSA_IMPL_EXTRA_LAUNCHES);
    if (extra >= 1) {
        struct clsa_gpu_kernel *k = clsa_map_add(out, "helper");
        k->repeat = (uint32_t)extra;
        k->fixed_seconds = clsa_impl_get(impl, op, CLSA_IMPL_EXTRA_TIME);
    }
    if (out->n)
        out->kernels[0].fixed_seconds += clsa_impl_get(impl, op, CLSA_IMPL_FIXED_TIME);
    for (unsigned i = 0; i < out->n; i++)
        out->kernels[i].stream_launch = launch == CLSA_LAUNCH_STREAM;
    return 0;
}
