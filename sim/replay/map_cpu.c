#include "sim/replay/map_cpu.h"

#include <math.h>
#include <string.h>

static double parts_of(const struct clsa_step *step, const struct clsa_op *op, double tile)
{
    const double rows = (double)clsa_op_rows(step, op);
    double keys;
    switch (op->kind) {
    case CLSA_OP_GEMM:
    case CLSA_OP_BMM:
    case CLSA_OP_MOE_GEMM:
        return fmax(1, ceil((double)op->n / fmax(1, tile))) * fmax(1, (double)op->heads);
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        keys = (double)clsa_op_keys_total(step, op) / fmax(1, rows);
        if (op->kind == CLSA_OP_ATTN_SPARSE)
            keys = fmin(keys, (double)op->topk);
        return rows * fmax(1, (double)op->kv_heads) * fmax(1, ceil(keys / fmax(1, tile)));
    case CLSA_OP_INDEX_SCORE:
        return fmax(rows, ceil((double)clsa_op_keys_total(step, op) / fmax(1, tile)));
    default:
        return rows;
    }
}

void clsa_map_cpu(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_cpu_call *out)
{
    memset(out, 0, sizeof *out);
    if (clsa_impl_get(impl, op, CLSA_IMPL_LAUNCH) == CLSA_LAUNCH_FUSED || op->m == 0)
        return;
    const double tile = clsa_impl_get(impl, op, CLSA_IMPL_TILE_N);
    const double passes = fmax(1, clsa_impl_get(impl, op, CLSA_IMPL_PASSES));
    out->parts = parts_of(step, op, tile);
    if (clsa_impl_get(impl, op, CLSA_IMPL_METHOD) == CLSA_METHOD_BF16 && machine->matrix_bf16 > 0 &&
        op->weight_dtype == CLSA_BF16)
        out->matrix_flops = (double)op->flops;
    else
        out->vector_flops = (double)op->flops * passes;
    out->vector_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_VECTOR_EFFICIENCY);
    out->matrix_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_TENSOR_EFFICIENCY);
    out->memory_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    out->inflight_lines = clsa_impl_get(impl, op, CLSA_IMPL_INFLIGHT) / machine->l2_line;
    out->overlap = clsa_impl_get(impl, op, CLSA_IMPL_OVERLAP);
    out->fixed_cycles = clsa_impl_get(impl, op, CLSA_IMPL_PROLOGUE);
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        const double heads = o->head_stride && op->kv_heads ? op->kv_heads : 1;
        struct clsa_cpu_stream *s = &out->streams[out->n_streams++];
        s->operand = (int)i;
        s->write = o->access == CLSA_WRITE;
        s->bytes = (double)clsa_operand_rows(step, op, o) * (double)o->row_bytes * heads;
        s->distance = INFINITY;
        if (op->kind == CLSA_OP_TOPK && !s->write)
            s->again_bytes = s->bytes * (passes - 1);
        if (o->axis == CLSA_AXIS_SELECTED || o->axis == CLSA_AXIS_TABLE) {
            s->row_bytes = (double)o->row_bytes;
            s->pool_bytes = (double)step->tensors[o->tensor].bytes;
        }
    }
}
