/* The kernels that h100_own_kernels.csv and h100_own_steps.csv ran (hwmodels/measured/README.md):
 * Triton split-K attention and index scores, torch.topk and a one-block-a-row radix selection. */
#include <math.h>

#include "sim/replay/map.h"

static double get(const struct clsa_implementation *impl, const struct clsa_op *op,
                  enum clsa_impl_parameter p)
{
    return clsa_impl_get(impl, op, p);
}

static double min2(double a, double b)
{
    return a < b ? a : b;
}

static double max2(double a, double b)
{
    return a > b ? a : b;
}

static double row_keys(const struct clsa_step *step, const struct clsa_op *op, uint64_t r)
{
    const double keys = (double)clsa_op_keys(step, op, r);
    return op->kind == CLSA_OP_ATTN_SPARSE || op->topk ? min2(keys, (double)op->topk) : keys;
}

/* Rows whose keys are equal are the rule in decode: then one row stands for all. */
static uint64_t distinct_rows(const struct clsa_step *step, const struct clsa_op *op)
{
    const uint64_t rows = clsa_op_rows(step, op);
    const uint64_t first = clsa_op_keys(step, op, 0);
    for (uint64_t r = 1; r < rows; r++)
        if (clsa_op_keys(step, op, r) != first)
            return rows;
    return 1;
}

struct splits {
    double blocks, tiles, longest, splits; /* all rows and K/V heads; splits: mean a row */
};

/* splits = min(ceil(n / tile), ceil(target / (rows * kv_heads)), split_max), then a split is
 * rounded up to whole tiles. A target of 0 is the blocks that all SMs hold at once. */
static struct splits split_rows(const struct clsa_step *step, const struct clsa_op *op,
                                const struct clsa_machine *machine,
                                const struct clsa_implementation *impl)
{
    struct splits out = {0};
    const double tile = max2(1, get(impl, op, CLSA_IMPL_TILE_N));
    double target = get(impl, op, CLSA_IMPL_SPLIT_TARGET);
    if (target <= 0)
        target = machine->sm_count * get(impl, op, CLSA_IMPL_RESIDENT);
    const double most = get(impl, op, CLSA_IMPL_SPLIT_MAX);
    const double rows = (double)clsa_op_rows(step, op);
    const double heads = op->kv_heads ? op->kv_heads : 1;
    const uint64_t distinct = distinct_rows(step, op);
    const double weight = rows / (double)distinct;
    for (uint64_t r = 0; r < distinct; r++) {
        const double tiles = max2(1, ceil(row_keys(step, op, r) / tile));
        const double wanted = min2(min2(tiles, ceil(target / (rows * heads))), most);
        const double each = ceil(tiles / max2(1, wanted));
        const double splits = ceil(tiles / each);
        out.blocks += weight * heads * splits;
        out.tiles += weight * heads * tiles;
        out.splits += splits / (double)distinct;
        out.longest = max2(out.longest, each);
    }
    return out;
}

/* K/V rows of an attention op: every operand that runs over keys, as rows of one head. */
static void cache_streams(const struct clsa_step *step, const struct clsa_op *op,
                          struct clsa_gpu_kernel *k)
{
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        if (o->axis != CLSA_AXIS_KEYS && o->axis != CLSA_AXIS_SELECTED)
            continue;
        const double heads = o->head_stride && op->kv_heads ? op->kv_heads : 1;
        const double bytes =
            (double)clsa_operand_rows(step, op, o) * (double)o->row_bytes * heads;
        /* The blocks of a row's heads run side by side: what lies together is fetched together. */
        const double row =
            (double)o->row_bytes * (o->head_stride == o->row_bytes ? heads : 1);
        clsa_gpu_kernel_stream(k, (int)i, false,
                               o->axis == CLSA_AXIS_SELECTED ? CLSA_ROWS : CLSA_STREAM, bytes,
                               bytes, row);
    }
}

/* The copy of q out of a fused qkv row, where a layer would rotate it. One sequence is one
 * contiguous run; more are strided, which torch copies by a kernel that works out every element's
 * place. */
void clsa_map_query_copy(const struct clsa_op *op, const struct clsa_implementation *impl,
                         struct clsa_kernel_list *out)
{
    const double rows = (double)op->m;
    const double width = (double)op->n;
    const double bytes = rows * width * (double)clsa_dtype_bytes(op->input_dtype, 1);
    struct clsa_gpu_kernel *k = clsa_map_add(out, "q_copy");
    k->blocks = (uint64_t)ceil(rows * width / 512);
    k->resident = 16;
    k->prologue_cycles = rows > 1 ? get(impl, op, CLSA_IMPL_COPY_STRIDED)
                                  : get(impl, op, CLSA_IMPL_COPY_PLAIN);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, false, CLSA_STREAM, bytes, bytes, 0);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, bytes, bytes, 0);
}

int clsa_map_split_attention(const struct clsa_step *step, const struct clsa_op *op,
                             const struct clsa_machine *machine,
                             const struct clsa_implementation *impl, struct clsa_kernel_list *out,
                             struct clsa_err *err)
{
    (void)err;
    const struct splits s = split_rows(step, op, machine, impl);
    const double rows = (double)clsa_op_rows(step, op);
    const double tile = max2(1, get(impl, op, CLSA_IMPL_TILE_N));
    const double d = op->head_dim, dv = op->value_dim ? op->value_dim : op->head_dim;
    const double kv_heads = op->kv_heads ? op->kv_heads : 1;
    const double pad = get(impl, op, CLSA_IMPL_ROW_PAD);
    const double q_rows = ceil(op->heads / kv_heads / pad) * pad;
    const double partial = (dv + 2) * sizeof(float);

    struct clsa_gpu_kernel *k = clsa_map_add(out, "split");
    k->blocks = (uint64_t)s.blocks;
    k->threads = (uint32_t)get(impl, op, CLSA_IMPL_THREADS);
    k->resident = (uint32_t)get(impl, op, CLSA_IMPL_RESIDENT);
    k->stages = (uint32_t)get(impl, op, CLSA_IMPL_STAGES);
    k->steps = s.tiles / s.blocks;
    k->longest_steps = s.longest;
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE);
    k->epilogue_cycles = get(impl, op, CLSA_IMPL_EPILOGUE);
    k->step_cycles = get(impl, op, CLSA_IMPL_STEP_CYCLES);
    k->step_tensor_flops = 2 * q_rows * tile * (d + dv);
    k->step_special = q_rows * tile;
    k->memory_efficiency = get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    k->l2_efficiency = get(impl, op, CLSA_IMPL_L2_EFFICIENCY);
    k->hops = op->kind == CLSA_OP_ATTN_SPARSE ? 1 : 0; /* the positions, before the rows */
    clsa_map_activations(step, op, k, CLSA_READ);
    cache_streams(step, op, k);
    const double partials = rows * op->heads * s.splits * partial;
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, partials, partials, 0);

    k = clsa_map_add(out, "combine");
    k->blocks = (uint64_t)rows * op->heads;
    k->threads = (uint32_t)get(impl, op, CLSA_IMPL_THREADS);
    k->resident = 16;
    k->steps = s.splits;
    k->stages = 4;
    k->prologue_cycles = get(impl, op, CLSA_IMPL_COMBINE_PROLOGUE);
    k->step_cycles = get(impl, op, CLSA_IMPL_COMBINE_STEP);
    k->step_issue_cycles = get(impl, op, CLSA_IMPL_COMBINE_ISSUE) / s.splits;
    k->hops = 1; /* maxima and sums first, then values */
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, false, CLSA_STREAM, partials, partials, 0);
    clsa_map_activations(step, op, k, CLSA_WRITE);
    return 0;
}

/* One block a (sequence, tile_n keys). A single head is a dot product on the vector units, whose
 * reduction over di costs `element_cycles` a key and thread; more heads use the matrix units. */
int clsa_map_split_index(const struct clsa_step *step, const struct clsa_op *op,
                         const struct clsa_machine *machine, const struct clsa_implementation *impl,
                         struct clsa_kernel_list *out, struct clsa_err *err)
{
    (void)machine;
    (void)err;
    const double tile = max2(1, get(impl, op, CLSA_IMPL_TILE_N));
    const double rows = (double)clsa_op_rows(step, op);
    const uint64_t distinct = distinct_rows(step, op);
    double blocks = 0, keys = 0;
    for (uint64_t r = 0; r < distinct; r++) {
        const double n = (double)clsa_op_keys(step, op, r);
        blocks += ceil(n / tile) * rows / (double)distinct;
        keys += n * rows / (double)distinct;
    }
    struct clsa_gpu_kernel *k = clsa_map_add(out, "score");
    k->blocks = (uint64_t)blocks;
    k->threads = (uint32_t)get(impl, op, CLSA_IMPL_THREADS);
    k->resident = (uint32_t)get(impl, op, CLSA_IMPL_RESIDENT);
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE);
    k->epilogue_cycles = get(impl, op, CLSA_IMPL_EPILOGUE);
    k->memory_efficiency = get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    k->l2_efficiency = get(impl, op, CLSA_IMPL_L2_EFFICIENCY);
    const double heads = op->heads ? op->heads : 1, d = op->head_dim;
    if (heads <= 1) {
        k->step_vector_flops = 2 * d * tile;
        k->step_cycles = get(impl, op, CLSA_IMPL_STEP_CYCLES);
        k->step_issue_cycles = get(impl, op, CLSA_IMPL_ELEMENT_CYCLES) * tile * d / k->threads;
    } else {
        const double pad = get(impl, op, CLSA_IMPL_ROW_PAD);
        const double q_rows = ceil(heads / pad) * pad;
        k->step_tensor_flops = 2 * q_rows * d * tile;
        k->step_vector_flops = 3 * heads * tile; /* ReLU, weight, sum */
        /* Keys and query heads pass through `stages` buffers in shared memory, which says how many
         * blocks fit. */
        const double buffers = get(impl, op, CLSA_IMPL_STAGES) * (tile + q_rows) * d *
                               (double)clsa_dtype_bytes(op->weight_dtype, 1);
        k->resident = (uint32_t)max2(1, min2(k->resident, floor(machine->sm_smem / buffers)));
    }
    clsa_map_activations(step, op, k, CLSA_READ);
    cache_streams(step, op, k);
    clsa_gpu_kernel_stream(k, clsa_map_operand(op, CLSA_AXIS_M, CLSA_WRITE), true, CLSA_STREAM,
                           keys * sizeof(float), keys * sizeof(float), 0);
    return 0;
}

/* torch.topk(sorted=False), PyTorch 2.x TensorTopK.cu: whether many blocks share a row. */
static bool torch_multi_block(double rows, double n)
{
    return (rows <= 20 && n >= 20000) || (rows > 20 && rows <= 40 && n >= 10000) ||
           (rows > 40 && rows <= 80 && n >= 8000) || (rows > 80 && rows < 200 && n >= 5000) ||
           (rows >= 200 && rows < 800 && n >= 3000) || (rows >= 800 && rows <= 4000 && n >= 800) ||
           (rows > 4000 && n >= 400);
}

/* One block of 1024 threads a row, `passes` passes; each iteration of 1024 keys waits for its load,
 * as nothing is prefetched. */
static void block_select(const struct clsa_op *op, const struct clsa_implementation *impl,
                         double rows, double n, double passes, const char *name,
                         struct clsa_kernel_list *out)
{
    struct clsa_gpu_kernel *k = clsa_map_add(out, name);
    const double bytes = rows * n * sizeof(float);
    k->blocks = (uint64_t)rows;
    k->threads = 1024;
    k->resident = 1;
    k->steps = passes * ceil(n / k->threads);
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE);
    k->epilogue_cycles = passes * get(impl, op, CLSA_IMPL_PASS_CYCLES);
    k->step_cycles = get(impl, op, CLSA_IMPL_STEP_CYCLES);
    clsa_gpu_kernel_stream(k, clsa_map_operand(op, CLSA_AXIS_M, CLSA_READ), false, CLSA_STREAM,
                           bytes, bytes * passes, 0);
    k->streams[0].block_passes = passes;
    k->streams[0].block_bytes = n * sizeof(float);
    const double written = rows * min2(n, (double)op->topk) * sizeof(int32_t);
    clsa_gpu_kernel_stream(k, clsa_map_operand(op, CLSA_AXIS_M, CLSA_WRITE), true, CLSA_STREAM,
                           written, written, 0);
}

/* Many blocks a row: 4 passes of 8 bits, each a histogram kernel over all keys and a kernel that
 * adds the block histograms of a row one after another; then counts, a scan and the gather, with
 * small set-up kernels between: `launches` in all. */
static void multi_block_select(const struct clsa_op *op, const struct clsa_machine *machine,
                               const struct clsa_implementation *impl, double rows, double n,
                               struct clsa_kernel_list *out)
{
    /* Keys a thread: what fills 6 blocks of 256 threads an SM (40 registers a thread), in 4..64. */
    const double threads = machine->sm_count * 6 * 256;
    const double each = min2(64, max2(4, ceil(n * rows / threads)));
    const double blocks_row = ceil(n / (each * 256));
    const double passes = 4;
    const double launches = get(impl, op, CLSA_IMPL_LAUNCHES);
    const double bytes = rows * n * sizeof(float);
    const int scores = clsa_map_operand(op, CLSA_AXIS_M, CLSA_READ);

    struct clsa_gpu_kernel *k = clsa_map_add(out, "histogram");
    k->repeat = 6; /* four passes, the counts and the gather read every key */
    k->blocks = (uint64_t)(rows * blocks_row);
    k->threads = 256;
    k->resident = 6;
    k->steps = each;
    k->stages = 4; /* loads of an unrolled loop */
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE);
    k->step_issue_cycles = get(impl, op, CLSA_IMPL_ELEMENT_CYCLES) * k->threads;
    clsa_gpu_kernel_stream(k, scores, false, CLSA_STREAM, bytes, bytes, 0);

    k = clsa_map_add(out, "digit_sum");
    k->repeat = (uint32_t)passes;
    k->blocks = (uint64_t)rows;
    k->threads = 256;
    k->steps = blocks_row;
    k->stages = 8;
    k->step_cycles = get(impl, op, CLSA_IMPL_COMBINE_STEP);
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE);
    const double counts = rows * blocks_row * 256 * sizeof(int16_t);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, false, CLSA_STREAM, counts, counts, 0);

    if (launches > 10) {
        k = clsa_map_add(out, "set_up");
        k->repeat = (uint32_t)(launches - 10);
        k->blocks = (uint64_t)rows;
        k->prologue_cycles = get(impl, op, CLSA_IMPL_PASS_CYCLES);
    }
}

int clsa_map_torch_topk(const struct clsa_step *step, const struct clsa_op *op,
                        const struct clsa_machine *machine, const struct clsa_implementation *impl,
                        struct clsa_kernel_list *out, struct clsa_err *err)
{
    (void)err;
    const double rows = (double)clsa_op_rows(step, op);
    const double n = (double)clsa_op_keys_total(step, op) / rows;
    const double passes = get(impl, op, CLSA_IMPL_PASSES);
    if (get(impl, op, CLSA_IMPL_METHOD) == CLSA_METHOD_RADIX)
        block_select(op, impl, rows, n, passes, "radix", out);
    else if (torch_multi_block(rows, n))
        multi_block_select(op, machine, impl, rows, n, out);
    else
        block_select(op, impl, rows, n, passes, "select", out);
    return 0;
}
