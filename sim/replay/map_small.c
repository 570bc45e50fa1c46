/* Small kernels around the large ones: norms, elementwise work, copies, cache appends, all-reduce.
 *
 * method `rows`: one block a row, which reads the row, reduces it, reads the weight and writes.
 * method `elementwise` (and `default`): blocks of tile_n elements, one load and one store each.
 * `prologue` is what such a block computes beside its loads: index arithmetic, conversions,
 * barriers. */
#include <math.h>

#include "sim/replay/map.h"

static bool is_cache_axis(unsigned axis)
{
    return axis == CLSA_AXIS_KEYS || axis == CLSA_AXIS_SELECTED;
}

void clsa_map_activations(const struct clsa_step *step, const struct clsa_op *op,
                          struct clsa_gpu_kernel *k, enum clsa_access access)
{
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        if (o->access != access || is_cache_axis(o->axis))
            continue;
        double bytes = (double)clsa_operand_rows(step, op, o) * (double)o->row_bytes;
        if (o->head_stride && op->kv_heads)
            bytes *= op->kv_heads;
        clsa_gpu_kernel_stream(k, (int)i, access == CLSA_WRITE,
                               o->axis == CLSA_AXIS_TABLE ? CLSA_ROWS : CLSA_STREAM, bytes, bytes,
                               (double)o->row_bytes);
    }
}

static void all_reduce(const struct clsa_op *op, const struct clsa_machine *m,
                       struct clsa_kernel_list *out)
{
    /* A ring moves 2 (r - 1) / r of the data over each link, after the latency of the exchange
     * (Patarasu and Yuan 2009). */
    struct clsa_gpu_kernel *k = clsa_map_add(out, "all_reduce");
    const double ranks = op->heads > 1 ? op->heads : 1;
    const double bytes =
        (double)op->m * (double)clsa_dtype_bytes(op->input_dtype, op->n) * 2 * (ranks - 1) / ranks;
    if (ranks > 1 && m->nvlink_bandwidth > 0)
        k->fixed_seconds = m->nvlink_latency + bytes / m->nvlink_bandwidth;
}

int clsa_map_small(const struct clsa_step *step, const struct clsa_op *op,
                   const struct clsa_machine *machine, const struct clsa_implementation *impl,
                   struct clsa_kernel_list *out, struct clsa_err *err)
{
    (void)err;
    if (op->kind == CLSA_OP_ALL_REDUCE) {
        all_reduce(op, machine, out);
        return 0;
    }
    struct clsa_gpu_kernel *k = clsa_map_add(out, clsa_op_kind_text(op->kind));
    const bool rows = clsa_impl_get(impl, op, CLSA_IMPL_METHOD) == CLSA_METHOD_ROWS;
    const double tile = clsa_impl_get(impl, op, CLSA_IMPL_TILE_N);
    const double elements = (double)op->m * (double)(op->n ? op->n : 1);
    k->blocks = rows ? op->m : (uint64_t)ceil(elements / (tile > 0 ? tile : 1024));
    k->threads = (uint32_t)clsa_impl_get(impl, op, CLSA_IMPL_THREADS);
    k->resident = (uint32_t)fmax(1, fmin(machine->sm_blocks, machine->sm_threads / k->threads));
    k->prologue_cycles = clsa_impl_get(impl, op, CLSA_IMPL_PROLOGUE);
    k->epilogue_cycles = clsa_impl_get(impl, op, CLSA_IMPL_EPILOGUE);
    k->step_issue_cycles = clsa_impl_get(impl, op, CLSA_IMPL_ELEMENT_CYCLES) * elements /
                           (double)k->blocks / k->threads;
    k->hops = rows ? 1 : 0; /* the weight, after the reduction */
    clsa_map_activations(step, op, k, CLSA_READ);
    clsa_map_activations(step, op, k, CLSA_WRITE);
    return 0;
}
