#include "sim/replay/map_attention.h"

#include <math.h>

#include "sim/replay/map.h"
#include "sim/replay/map_gemm.h"

/* Tiles where the implementation names none. */
#define ROWS 128
#define KEYS 128
/* FlashAttention 3 with heads of 128: few rows run on one warp group, and tiles of fp8 rows whose
 * pages the matrix units' copy engine cannot follow have 160 keys (hopper/tile_size.h,
 * use_one_mma_wg in heuristics.h). */
#define FLASH3_HEAD 128
#define FLASH3_FEW_ROWS 64
#define FLASH3_FP8_KEYS 160
/* Tiles of FlashAttention 2 for heads of up to 128 (flash_fwd_launch_template.h: 64 rows for a
 * decode step's split kernel, 128 x 64 otherwise). */
#define SERIAL_DECODE_ROWS 64
#define SERIAL_ROWS 128
#define SERIAL_KEYS 64
#define SERIAL_RESIDENT 2
/* Part of the SMs' slots that blocks must fill before keys are no longer split, and the part of
 * the best fill that is good enough (num_splits_heuristic of both libraries). */
#define FULL_ENOUGH 0.8
#define FILL_ENOUGH 0.85
/* FlashAttention 3 gives an SM a tenth more than its equal share of key tiles, and plans splits
 * for at most 992 sequences (prepare_varlen_num_blocks_kernel: 31 lanes of 32 warps). */
#define SHARE_MARGIN 1.1
#define PLANNED_SEQUENCES 992
#define PLANNED_LANES 31
/* Elementwise float32 operations of softmax on a score: scale, maximum, subtract, sum, convert. */
#define SOFTMAX_FLOPS 8

static double max2(double a, double b)
{
    return a > b ? a : b;
}

static double min2(double a, double b)
{
    return a < b ? a : b;
}

static double or_else(double value, double otherwise)
{
    return value > 0 ? value : otherwise;
}

static double ceil_div(double a, double b)
{
    return ceil(a / b);
}

static double get(const struct clsa_implementation *impl, const struct clsa_op *op,
                  enum clsa_impl_parameter p)
{
    return clsa_impl_get(impl, op, p);
}

/* Units of rows that share their keys: the new tokens of a sequence, or one query. */
struct unit {
    double rows; /* query tokens */
    double past; /* keys visible to the one before the first of them */
};

static uint32_t unit_count(const struct clsa_step *step, const struct clsa_op *op)
{
    return op->over_queries ? step->n_queries : step->n_seqs;
}

static struct unit unit_at(const struct clsa_step *step, const struct clsa_op *op, uint32_t i)
{
    if (op->over_queries)
        return (struct unit){1, (double)step->queries[i].keys - 1};
    return (struct unit){(double)step->new_tokens, (double)step->past[i]};
}

/* Key tiles that the query tokens first..last (from 1) of a unit visit. */
static double tiles_of(const struct clsa_op *op, const struct unit *u, double first, double last,
                       double tile_n)
{
    double to = u->past + last, from = 0;
    if (op->window && u->past + first > (double)op->window)
        from = u->past + first - (double)op->window;
    if (op->kind == CLSA_OP_ATTN_SPARSE && op->topk) {
        to = min2(to, (double)op->topk);
        from = 0;
    }
    return max2(1, ceil_div(to, tile_n) - floor(from / tile_n));
}

struct unit_tiles {
    double blocks;         /* row tiles of one head (or K/V head when packed) */
    double mean, longest;  /* key tiles of one of them */
};

static struct unit_tiles unit_tiles(const struct clsa_op *op, const struct unit *u, double group,
                                    const struct clsa_attention_blocks *b)
{
    struct unit_tiles t = {0};
    const double share = b->packed ? group : 1;
    t.blocks = ceil_div(u->rows * share, b->tile_m);
    double total = 0;
    for (double i = 0; i < t.blocks; i++) {
        const double first = floor(i * b->tile_m / share) + 1;
        const double last = min2(ceil((i + 1) * b->tile_m / share), u->rows);
        const double tiles = tiles_of(op, u, first, last, b->tile_n);
        total += tiles;
        t.longest = max2(t.longest, tiles);
    }
    t.mean = total / t.blocks;
    return t;
}

/* The fewest splits whose waves fill the slots nearly as well as the best number does. */
static double waves_splits(double blocks, double slots, double tiles, double most)
{
    if (blocks >= FULL_ENOUGH * slots)
        return 1;
    const double limit = min2(most, min2(slots, tiles));
    double best = 0;
    for (int pass = 0; pass < 2; pass++)
        for (double s = 1; s <= limit; s++) {
            if (s > 1 && ceil_div(tiles, s) == ceil_div(tiles, s - 1))
                continue;
            const double waves = blocks * s / slots, fill = waves / ceil(waves);
            if (!pass)
                best = max2(best, fill);
            else if (fill >= FILL_ENOUGH * best)
                return s;
        }
    return 1;
}

void clsa_map_attention_blocks(const struct clsa_step *step, const struct clsa_op *op,
                               const struct clsa_machine *machine,
                               const struct clsa_implementation *impl,
                               struct clsa_attention_blocks *out)
{
    struct clsa_attention_blocks b = {0};
    const bool async = machine->tensor_async > 0;
    const uint32_t n_units = unit_count(step, op);
    const double kv_heads = op->kv_heads ? op->kv_heads : 1;
    const double group = op->heads / kv_heads;
    const double most = get(impl, op, CLSA_IMPL_SPLIT_MAX);
    const bool single = op->over_queries || step->new_tokens == 1;
    const double unit_rows = single ? 1 : (double)step->new_tokens;
    if (async) {
        b.tile_m = or_else(get(impl, op, CLSA_IMPL_TILE_M), ROWS);
        b.tile_n = or_else(get(impl, op, CLSA_IMPL_TILE_N), KEYS);
        if (op->head_dim == FLASH3_HEAD && op->weight_dtype == CLSA_FP8)
            b.tile_n = FLASH3_FP8_KEYS;
        else if (op->head_dim == FLASH3_HEAD && unit_rows * group <= FLASH3_FEW_ROWS)
            b.tile_m = FLASH3_FEW_ROWS;
        b.packed = ceil_div(unit_rows * group, b.tile_m) < ceil_div(unit_rows, b.tile_m) * group;
    } else {
        b.tile_m = single ? SERIAL_DECODE_ROWS : SERIAL_ROWS;
        b.tile_n = single ? or_else(get(impl, op, CLSA_IMPL_TILE_N), KEYS) : SERIAL_KEYS;
        b.packed = single && group > 1;
    }
    b.rows = min2(b.tile_m, b.packed ? unit_rows * group : unit_rows);
    const double heads = b.packed ? kv_heads : op->heads;

    double blocks = 0, tiles = 0;
    struct unit last = {0};
    struct unit_tiles t = {0};
    for (uint32_t i = 0; i < n_units; i++) {
        const struct unit u = unit_at(step, op, i);
        if (!i || u.past != last.past)
            t = unit_tiles(op, &u, group, &b);
        last = u;
        blocks += heads * t.blocks;
        tiles += heads * t.blocks * t.mean;
        b.longest = max2(b.longest, t.longest);
    }
    b.chunks = blocks;
    b.tiles = tiles / blocks;
    b.splits = 1;
    b.key_passes = blocks / n_units / kv_heads;
    *out = b;

    const double sms = machine->sm_count;
    const bool splits = async ? single || blocks < FULL_ENOUGH * sms : b.packed;
    if (!splits || most < 2)
        return;
    /* Keys of each unit are split on their own; what one SM should get is shared over all of
     * them. */
    const double share = ceil(SHARE_MARGIN * tiles / sms);
    double chunks = 0, longest = 0;
    for (uint32_t i = 0; i < n_units; i++) {
        const struct unit u = unit_at(step, op, i);
        if (!i || u.past != last.past)
            t = unit_tiles(op, &u, group, &b);
        last = u;
        double s;
        if (!async)
            s = waves_splits(blocks, sms * SERIAL_RESIDENT, t.longest, 4 * most);
        else if (n_units <= PLANNED_SEQUENCES)
            s = min2(ceil_div(t.longest, share), most);
        else
            s = waves_splits(blocks, sms, t.longest, most);
        const double each = ceil_div(t.longest, s);
        chunks += heads * t.blocks * s;
        longest = max2(longest, each);
        out->splits = max2(out->splits, s);
    }
    if (out->splits <= 1)
        return;
    out->chunks = chunks;
    out->longest = longest;
    /* Splits are equal but for the last of each; all wait for the fullest. */
    out->tiles = n_units == 1 ? longest : max2(tiles / chunks, min2(longest, ceil(tiles / chunks)));
}

/* Two partial results a split (float32 output, running sum) are written and read again. */
static double partial_bytes(const struct clsa_step *step, const struct clsa_op *op, double splits)
{
    const double dv = op->value_dim ? op->value_dim : op->head_dim;
    return (double)clsa_op_rows(step, op) * op->heads * splits * (dv + 1) * 4;
}

static double query_bytes(const struct clsa_step *step, const struct clsa_op *op)
{
    return (double)clsa_op_rows(step, op) * op->heads * op->head_dim * 2;
}

static void copy_kernel(const struct clsa_step *step, const struct clsa_op *op,
                        const struct clsa_implementation *impl, const char *name,
                        struct clsa_kernel_list *out)
{
    struct clsa_gpu_kernel *k = clsa_map_add(out, name);
    const double bytes = query_bytes(step, op);
    k->threads = 256;
    k->resident = 8;
    k->blocks = (uint64_t)max2(1, ceil_div(bytes, 2048));
    k->prologue_cycles = get(impl, op, CLSA_IMPL_COMBINE_PROLOGUE);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, false, CLSA_STREAM, bytes, bytes, 0);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, bytes, bytes, 0);
}

static void combine_kernel(const struct clsa_step *step, const struct clsa_op *op,
                           const struct clsa_implementation *impl, double splits,
                           struct clsa_kernel_list *out)
{
    struct clsa_gpu_kernel *k = clsa_map_add(out, "combine");
    const double bytes = partial_bytes(step, op, splits);
    k->threads = 128;
    k->resident = 8;
    k->stages = 2;
    k->blocks = (uint64_t)max2(1, ceil_div((double)clsa_op_rows(step, op) * op->heads, 4));
    k->steps = splits;
    k->step_cycles = get(impl, op, CLSA_IMPL_COMBINE_STEP);
    k->hops = 1; /* running sums, before the rows they weigh */
    k->prologue_cycles =
        get(impl, op, CLSA_IMPL_PROLOGUE) + get(impl, op, CLSA_IMPL_COMBINE_PROLOGUE);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, false, CLSA_STREAM, bytes, bytes, 0);
    clsa_map_activations(step, op, k, CLSA_WRITE);
}

/* The kernel that writes the new rows to the cache, one block a token, where the implementation
 * counts it to attention (kv_append is fused). Ops over queries read a cache that others wrote. */
static void append_kernel(const struct clsa_op *op, const struct clsa_machine *machine,
                          const struct clsa_implementation *impl, struct clsa_kernel_list *out)
{
    const double d = op->head_dim, dv = op->value_dim ? op->value_dim : op->head_dim;
    const double values = (double)op->m * (op->kv_heads ? op->kv_heads : 1) * (d + dv);
    const double written = values * clsa_dtype_bits(op->weight_dtype) / 8;
    struct clsa_gpu_kernel *k = clsa_map_add(out, "append");
    k->blocks = op->m;
    k->threads = (uint32_t)clsa_impl_value(impl, CLSA_OP_KV_APPEND, 0, CLSA_IMPL_THREADS);
    k->resident = (uint32_t)max2(1, min2(machine->sm_blocks, machine->sm_threads / k->threads));
    k->prologue_cycles = clsa_impl_value(impl, CLSA_OP_KV_APPEND, 0, CLSA_IMPL_PROLOGUE);
    k->hops = 1; /* the row's slot, before the row */
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, false, CLSA_STREAM, values * 2, values * 2, 0);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, written, written, 0);
}

static void cache_streams(const struct clsa_step *step, const struct clsa_op *op, double passes,
                          struct clsa_gpu_kernel *k)
{
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        if (o->axis != CLSA_AXIS_KEYS && o->axis != CLSA_AXIS_SELECTED)
            continue;
        const double heads = o->head_stride && op->kv_heads ? op->kv_heads : 1;
        const double bytes =
            (double)clsa_operand_rows(step, op, o) * (double)o->row_bytes * heads;
        clsa_gpu_kernel_stream(k, (int)i, false,
                               o->axis == CLSA_AXIS_SELECTED ? CLSA_ROWS : CLSA_STREAM, bytes,
                               bytes * max2(1, passes), (double)o->row_bytes);
    }
}

/* Arithmetic of one tile of each of the blocks that run together on an SM. */
static void tile_work(const struct clsa_op *op, const struct clsa_machine *machine,
                      const struct clsa_implementation *impl,
                      const struct clsa_attention_blocks *b, double together,
                      struct clsa_gpu_kernel *k)
{
    const double d = op->head_dim, dv = op->value_dim ? op->value_dim : op->head_dim;
    const double scores = together * b->tile_m * b->tile_n;
    const double vector = scores * SOFTMAX_FLOPS;
    const bool fp8 = op->weight_dtype == CLSA_FP8;
    k->tensor_dtype = fp8 && machine->tensor_fp8 > 0 ? CLSA_FP8 : CLSA_BF16;
    k->step_tensor_flops = 2 * scores * (d + dv);
    if (fp8)
        k->step_issue_cycles = get(impl, op, CLSA_IMPL_ELEMENT_CYCLES) * together * b->tile_n * dv;
    if (machine->tensor_async > 0) {
        k->step_special = scores;
        k->step_vector_flops = vector;
    } else {
        const double rate = machine->vector_fp32 / machine->sm_count / machine->sm_clock;
        k->step_issue_cycles += scores / machine->special_rate + vector / rate;
    }
    k->step_cycles = get(impl, op, CLSA_IMPL_STEP_CYCLES);
}

int clsa_map_attention(const struct clsa_step *step, const struct clsa_op *op,
                       const struct clsa_machine *machine, const struct clsa_implementation *impl,
                       struct clsa_kernel_list *out, struct clsa_err *err)
{
    const unsigned method = (unsigned)get(impl, op, CLSA_IMPL_METHOD);
    /* `split` is for single queries; prefill under it runs like any other. */
    if ((method != CLSA_METHOD_DEFAULT && method != CLSA_METHOD_FLASH3 &&
         method != CLSA_METHOD_SPLIT) ||
        !op->head_dim || !op->heads || !unit_count(step, op))
        return clsa_map_fail(op, impl, err);
    struct clsa_attention_blocks b;
    clsa_map_attention_blocks(step, op, machine, impl, &b);
    const bool async = machine->tensor_async > 0;
    const double n_units = unit_count(step, op), sms = machine->sm_count;
    const bool single = op->over_queries || step->new_tokens == 1;
    if (!op->over_queries && op->kind != CLSA_OP_ATTN_SPARSE &&
        clsa_impl_value(impl, CLSA_OP_KV_APPEND, 0, CLSA_IMPL_LAUNCH) == CLSA_LAUNCH_FUSED)
        append_kernel(op, machine, impl, out);
    const bool transposed = !async && b.packed && n_units > 1 && op->kv_heads > 1;
    if (transposed)
        copy_kernel(step, op, impl, "pack queries", out);
    if (async && get(impl, op, CLSA_IMPL_PLAN) > 0)
        clsa_map_add(out, "plan")->prologue_cycles = get(impl, op, CLSA_IMPL_PLAN);

    struct clsa_gpu_kernel *k = clsa_map_add(out, b.splits > 1 ? "attention split" : "attention");
    k->threads = 384;
    k->stages = (uint32_t)get(impl, op, CLSA_IMPL_STAGES);
    const double block =
        get(impl, op, CLSA_IMPL_PROLOGUE) + get(impl, op, CLSA_IMPL_EPILOGUE) * b.rows;
    /* Chunks that run on one SM at once, and chunks that follow each other there. Equal ones
     * come in whole waves; unequal ones are handed out longest first, which leaves half a mean
     * one uneven. */
    const double together = async ? 1 : min2(SERIAL_RESIDENT, max2(1, ceil(b.chunks / sms)));
    tile_work(op, machine, impl, &b, together, k);
    double waves = b.chunks / (sms * together);
    if (single || waves <= 1)
        waves = ceil(waves);
    else
        waves += 0.5;
    k->blocks = (uint64_t)max2(1, min2(sms, ceil(b.chunks / together)));
    k->steps = max2(waves * b.tiles, b.longest);
    k->prologue_cycles = waves * block;
    if (async && n_units <= PLANNED_SEQUENCES)
        k->prologue_cycles += get(impl, op, CLSA_IMPL_PASS_CYCLES) * n_units / PLANNED_LANES;
    if (async && b.splits > 1)
        k->epilogue_cycles = get(impl, op, CLSA_IMPL_COMBINE_PROLOGUE) +
                             get(impl, op, CLSA_IMPL_COMBINE_STEP) * b.splits;
    const double efficiency = get(impl, op, CLSA_IMPL_TENSOR_EFFICIENCY);
    const double rate = clsa_gpu_tensor_rate(machine, k->tensor_dtype) / machine->tensor_sustained;
    /* Padding rows are zero and switch next to nothing: they take time but no power. */
    const double flops =
        b.chunks * b.tiles * k->step_tensor_flops / together * b.rows / b.tile_m;
    const double alone = k->steps * (k->step_tensor_flops / (rate * efficiency) +
                                     (k->step_cycles + k->step_issue_cycles) / machine->sm_clock) +
                         k->prologue_cycles / machine->sm_clock;
    k->tensor_efficiency =
        efficiency * clsa_map_power_share(machine, k->tensor_dtype, flops / efficiency, alone);
    k->memory_efficiency = get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    k->l2_efficiency = get(impl, op, CLSA_IMPL_L2_EFFICIENCY);
    k->overlap = get(impl, op, CLSA_IMPL_OVERLAP);
    k->hops = op->kind == CLSA_OP_ATTN_SPARSE ? 1 : 0; /* positions before rows */
    clsa_map_activations(step, op, k, CLSA_READ);
    /* Row tiles of a head read its keys again, those before the diagonal only. */
    cache_streams(step, op, single ? 1 : b.key_passes * b.tiles / b.longest, k);
    if (b.splits > 1) {
        const double bytes = partial_bytes(step, op, b.splits);
        clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, bytes, bytes, 0);
    } else {
        clsa_map_activations(step, op, k, CLSA_WRITE);
    }
    if (b.splits > 1 && !async)
        combine_kernel(step, op, impl, b.splits, out);
    if (transposed)
        copy_kernel(step, op, impl, "unpack outputs", out);
    return 0;
}
