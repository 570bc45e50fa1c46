#include <math.h>

#include "sim/replay/map.h"
#include "sim/replay/map_dsa.h"
#include "sim/replay/map_gemm.h"

/* Tile rows of query heads where the implementation names none: what one matrix instruction takes. */
#define HEADS 64
#define KEYS 64
/* Heads and values of a block that joins partial results. */
#define COMBINE_HEADS 4
#define COMBINE_VALUES 128
/* Blocks that fill this part of the SMs are no longer split (FlashAttention 3, heuristics.h). */
#define FULL_ENOUGH 0.8

static double min2(double a, double b)
{
    return a < b ? a : b;
}

static double max2(double a, double b)
{
    return a > b ? a : b;
}

/* The constants of one of the three kernels: rows attn_sparse, attn_sparse_q and attn_sparse_kv. */
struct kernel {
    const struct clsa_implementation *impl;
    unsigned role;
};

static double get(const struct kernel *c, enum clsa_impl_parameter p)
{
    return clsa_impl_value(c->impl, CLSA_OP_ATTN_SPARSE, c->role, p);
}

struct shape {
    double rows, head_tiles, heads; /* heads: of a tile, padded */
    double keys;                    /* per key tile */
    double slots;                   /* selected rows that a query has room for */
    double seen;                    /* selected rows that exist, all queries */
    double d, dv;
    double written_heads;           /* of a partial result */
};

static void shape_of(const struct clsa_step *step, const struct clsa_op *op, const struct kernel *c,
                     struct shape *s)
{
    s->rows = (double)clsa_op_rows(step, op);
    s->heads = get(c, CLSA_IMPL_TILE_M) > 0 ? get(c, CLSA_IMPL_TILE_M) : HEADS;
    s->keys = get(c, CLSA_IMPL_TILE_N) > 0 ? get(c, CLSA_IMPL_TILE_N) : KEYS;
    s->head_tiles = ceil(op->heads / s->heads);
    s->slots = op->kind == CLSA_OP_ATTN_SPARSE ? (double)op->topk : 0;
    s->d = op->head_dim;
    s->dv = op->value_dim;
    s->written_heads = op->heads;
    s->seen = 0;
    double most = 0;
    for (uint64_t r = 0; r < (uint64_t)s->rows; r++) {
        const double keys = (double)clsa_op_keys(step, op, r);
        most = max2(most, keys);
        s->seen += s->slots > 0 ? min2(keys, s->slots) : keys;
    }
    /* Dense: as many slots as the longest row sees. */
    if (s->slots <= 0)
        s->slots = most;
}

static void tile_work(const struct clsa_machine *machine, const struct kernel *c,
                      const struct shape *s, double work, struct clsa_gpu_kernel *k)
{
    const double efficiency = get(c, CLSA_IMPL_TENSOR_EFFICIENCY);
    k->threads = (uint32_t)get(c, CLSA_IMPL_THREADS);
    k->stages = (uint32_t)get(c, CLSA_IMPL_STAGES);
    k->step_tensor_flops = 2 * s->heads * s->keys * (s->d + s->dv);
    k->step_special = s->heads * s->keys;
    k->step_issue_cycles = get(c, CLSA_IMPL_ELEMENT_CYCLES) * s->keys * s->dv;
    k->step_cycles = get(c, CLSA_IMPL_STEP_CYCLES);
    k->prologue_cycles = get(c, CLSA_IMPL_PROLOGUE);
    k->epilogue_cycles = get(c, CLSA_IMPL_EPILOGUE);
    k->inflight_bytes = get(c, CLSA_IMPL_INFLIGHT);
    const double rate = clsa_gpu_tensor_rate(machine, CLSA_BF16) / machine->tensor_sustained;
    const double step_seconds = k->step_tensor_flops / (rate * efficiency) +
                                (k->step_cycles + k->step_issue_cycles) / machine->sm_clock;
    const double waves = ceil((double)k->blocks / machine->sm_count);
    k->tensor_efficiency =
        efficiency * clsa_map_power_share(machine, CLSA_BF16, work * k->step_tensor_flops / efficiency,
                                          waves * k->steps * step_seconds);
    k->memory_efficiency = get(c, CLSA_IMPL_MEMORY_EFFICIENCY);
    k->overlap = get(c, CLSA_IMPL_OVERLAP);
    k->hops = 1; /* positions before rows */
}

/* The rows that queries gather: neighbours choose alike or not, but no more than the cache holds. */
static void gather_stream(const struct clsa_step *step, const struct clsa_op *op,
                          const struct shape *s, struct clsa_gpu_kernel *k)
{
    const bool sparse = op->kind == CLSA_OP_ATTN_SPARSE;
    const int i = clsa_map_operand(op, sparse ? CLSA_AXIS_SELECTED : CLSA_AXIS_KEYS, CLSA_READ);
    const double row = i >= 0 ? (double)op->operands[i].row_bytes : s->d * 2;
    double cached = 0;
    for (uint32_t q = 0; q < step->n_seqs; q++)
        cached += (double)(step->past[q] + step->new_tokens);
    const double total = s->seen * s->head_tiles * row;
    clsa_gpu_kernel_stream(k, i, false, sparse ? CLSA_ROWS : CLSA_STREAM,
                           min2(s->seen, cached) * row, total, row);
}

/* Float32 partial results. */
static double partial_bytes(const struct shape *s, double parts)
{
    return parts * s->written_heads * (s->dv + 1) * 4;
}

static void combine(const struct clsa_step *step, const struct clsa_op *op, const struct kernel *c,
                    const struct shape *s, double parts, struct clsa_kernel_list *out)
{
    struct clsa_gpu_kernel *k = clsa_map_add(out, "combine");
    const double bytes = partial_bytes(s, parts);
    k->threads = 256;
    k->resident = 4;
    k->stages = 2;
    k->blocks = (uint64_t)max2(1, ceil(s->rows * op->heads / COMBINE_HEADS) *
                                      ceil(s->dv / COMBINE_VALUES));
    k->steps = max2(1, parts / s->rows);
    k->prologue_cycles = get(c, CLSA_IMPL_COMBINE_PROLOGUE);
    k->step_cycles = get(c, CLSA_IMPL_COMBINE_STEP);
    k->l2_efficiency = get(c, CLSA_IMPL_L2_EFFICIENCY);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, false, CLSA_STREAM, bytes, bytes, 0);
    clsa_map_activations(step, op, k, CLSA_WRITE);
}

static void end_of_split(const struct clsa_step *step, const struct clsa_op *op,
                         const struct clsa_machine *machine, const struct kernel *c,
                         const struct shape *s, double parts, struct clsa_gpu_kernel *k,
                         struct clsa_kernel_list *out)
{
    if (parts <= s->rows) {
        clsa_map_activations(step, op, k, CLSA_WRITE);
        return;
    }
    const double bytes = partial_bytes(s, parts);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, bytes, bytes, 0);
    /* Blocks are equal, so all write at the end and nothing hides it. */
    k->epilogue_cycles += bytes / (machine->l2_bandwidth * get(c, CLSA_IMPL_L2_EFFICIENCY)) *
                          machine->sm_clock;
    combine(step, op, c, s, parts, out);
}

static void plan_kernel(const struct kernel *c, struct clsa_kernel_list *out)
{
    if (get(c, CLSA_IMPL_PLAN) > 0)
        clsa_map_add(out, "plan")->prologue_cycles = get(c, CLSA_IMPL_PLAN);
}

/* Single queries over 16-bit rows (FlashAttention 3 with pages of one row): keys that exist, split until
 * the SMs are full. */
static void single(const struct clsa_step *step, const struct clsa_op *op,
                   const struct clsa_machine *machine, const struct kernel *c,
                   struct clsa_kernel_list *out)
{
    struct shape s;
    shape_of(step, op, c, &s);
    const double units = s.rows * s.head_tiles, sms = machine->sm_count;
    const double tiles = max2(1, ceil(s.seen / s.rows / s.keys));
    double splits = 1;
    if (units < FULL_ENOUGH * sms)
        splits = min2(min2(tiles, get(c, CLSA_IMPL_SPLIT_MAX)), max2(1, floor(sms / units)));
    const double each = ceil(tiles / splits);
    splits = ceil(tiles / each);
    plan_kernel(c, out);
    struct clsa_gpu_kernel *k = clsa_map_add(out, splits > 1 ? "attention split" : "attention");
    k->blocks = (uint64_t)(units * splits);
    k->steps = tiles / splits;
    k->longest_steps = each;
    tile_work(machine, c, &s, units * tiles, k);
    clsa_map_activations(step, op, k, CLSA_READ);
    gather_stream(step, op, &s, k);
    end_of_split(step, op, machine, c, &s, s.rows * splits, k, out);
}

/* Rows with scales (FlashMLA with an fp8 cache): every slot of every query, unused ones masked. One
 * persistent block an SM takes an even payload of key tiles, where taking up a query counts as some more
 * (get_mla_metadata: fixed_overhead_num_blocks); a query longer than what is left is split. */
#define QUERY_TILES 5

static void scaled(const struct clsa_step *step, const struct clsa_op *op,
                   const struct clsa_machine *machine, const struct kernel *c,
                   struct clsa_kernel_list *out)
{
    struct shape s;
    shape_of(step, op, c, &s);
    s.written_heads = s.head_tiles * s.heads; /* queries are padded before the call */
    const double units = s.rows * s.head_tiles, sms = machine->sm_count;
    const double tiles = ceil(s.slots / s.keys);
    const double payload = ceil(units * (tiles + QUERY_TILES) / sms) + QUERY_TILES;
    /* Whole queries of a block, or splits of one. */
    const double whole = floor(payload / (tiles + QUERY_TILES));
    const double splits = whole >= 1 ? 1 : ceil(tiles / (payload - QUERY_TILES));
    const double taken = min2(max2(whole, 1), ceil(units / sms));
    plan_kernel(c, out);
    struct clsa_gpu_kernel *k = clsa_map_add(out, "attention");
    k->blocks = (uint64_t)min2(sms, units * splits);
    k->steps = whole >= 1 ? taken * tiles : min2(tiles, payload - QUERY_TILES);
    tile_work(machine, c, &s, units * tiles, k);
    k->prologue_cycles *= taken;
    clsa_map_activations(step, op, k, CLSA_READ);
    gather_stream(step, op, &s, k);
    end_of_split(step, op, machine, c, &s, s.rows * splits, k, out);
}

/* Many queries (FlashMLA sparse prefill): one block a query and head tile, every slot. */
static void many(const struct clsa_step *step, const struct clsa_op *op,
                 const struct clsa_machine *machine, const struct kernel *c,
                 struct clsa_kernel_list *out)
{
    struct shape s;
    shape_of(step, op, c, &s);
    struct clsa_gpu_kernel *k = clsa_map_add(out, "attention");
    k->blocks = (uint64_t)(s.rows * s.head_tiles);
    k->steps = op->kind == CLSA_OP_ATTN_SPARSE ? ceil(s.slots / s.keys)
                                               : max2(1, ceil(s.seen / s.rows / s.keys));
    tile_work(machine, c, &s, (double)k->blocks * k->steps, k);
    clsa_map_activations(step, op, k, CLSA_READ);
    gather_stream(step, op, &s, k);
    clsa_map_activations(step, op, k, CLSA_WRITE);
}

int clsa_map_mla(const struct clsa_step *step, const struct clsa_op *op,
                 const struct clsa_machine *machine, const struct clsa_implementation *impl,
                 struct clsa_kernel_list *out, struct clsa_err *err)
{
    const unsigned method = (unsigned)clsa_impl_get(impl, op, CLSA_IMPL_METHOD);
    /* Values narrower than keys, but K and V of every head: no latent rows. */
    if (op->kind == CLSA_OP_ATTN_DENSE && op->kv_heads > 1)
        return clsa_map_attention(step, op, machine, impl, out, err);
    const bool sparse = op->kind == CLSA_OP_ATTN_SPARSE && op->topk;
    const bool dense = op->kind == CLSA_OP_ATTN_DENSE;
    /* Other methods say how rows of K/V heads are attended to; latent rows have kernels of their own. */
    const bool known = method == CLSA_METHOD_DEFAULT || method == CLSA_METHOD_MLA_SPARSE ||
                       method == CLSA_METHOD_SPLIT || method == CLSA_METHOD_FLASH3;
    if ((!sparse && !dense) || !op->heads || !known)
        return clsa_map_fail(op, impl, err);
    const bool alone = op->over_queries || step->new_tokens == 1;
    if (sparse && method == CLSA_METHOD_MLA_SPARSE)
        many(step, op, machine, &(struct kernel){impl, CLSA_ROLE_Q}, out);
    else if (op->weight_dtype == CLSA_FP8)
        scaled(step, op, machine, &(struct kernel){impl, CLSA_ROLE_KV}, out);
    else if (alone)
        single(step, op, machine, &(struct kernel){impl, CLSA_ROLE_NONE}, out);
    else
        many(step, op, machine, &(struct kernel){impl, CLSA_ROLE_Q}, out);
    return 0;
}
