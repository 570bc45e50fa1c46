#include "sim/replay/map_gemm.h"

#include <assert.h>
#include <math.h>

#include "sim/replay/map.h"

static double max2(double a, double b)
{
    return a > b ? a : b;
}

static double min2(double a, double b)
{
    return a < b ? a : b;
}

/* ceil(a / b) of values below 2^63, inlined: a plan asks some hundred times a product. */
static double ceil_div(double a, double b)
{
    const double ratio = a / b, whole = (double)(int64_t)ratio;
    return whole < ratio ? whole + 1 : whole;
}

/* Tiles are (rows of one operand) x (rows of the other); either operand may take either side, as
 * the libraries transpose freely. Accumulators of 128 x 256 fill an SM's registers. Asynchronous
 * matrix units take 64 rows by any multiple of 8 (PTX ISA, wgmma and tcgen05 shapes), and
 * library kernels of such widths exist; kernels with warp-level instructions come in powers of
 * two. */
#define TILE_ELEMENTS_MAX (128u * 256u)
static const uint16_t async_long[] = {64, 128, 192, 256};
static const uint16_t async_short[] = {16, 32, 64, 96, 128, 160, 192, 256};
static const uint16_t sync_long[] = {64, 128, 256};
static const uint16_t sync_short[] = {32, 64, 128, 256};

/* What the estimate needs of machine and implementation, read once a product. */
struct costs {
    double sms, clock, dram_latency, l2_rate, dram_rate, inflight, smem;
    double tensor_rate; /* of an SM, at the peak clock */
    double tile_k, stages, prologue, step, element, overlap, reduce_seconds, l2_latency;
    double in_bytes, w_bytes, out_bytes;
    uint32_t split_max;
    bool async, hidden; /* hidden: a tile's results leave while the next is multiplied */
};


static void costs_read(const struct clsa_machine *m, const struct clsa_implementation *impl,
                       const struct clsa_op *op, const struct clsa_gemm_shape *s, struct costs *c)
{
    c->sms = m->sm_count;
    c->clock = m->sm_clock;
    c->dram_latency = m->dram_latency;
    c->l2_rate = m->l2_bandwidth * clsa_impl_get(impl, op, CLSA_IMPL_L2_EFFICIENCY);
    c->dram_rate = m->dram_bandwidth * m->dram_stream *
                   clsa_impl_get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    c->inflight = m->inflight_sm;
    c->smem = m->sm_smem;
    c->tensor_rate = clsa_gpu_tensor_rate(m, s->input_dtype) / m->tensor_sustained *
                     clsa_impl_get(impl, op, CLSA_IMPL_TENSOR_EFFICIENCY);
    c->tile_k = clsa_impl_get(impl, op, CLSA_IMPL_TILE_K);
    c->stages = clsa_impl_get(impl, op, CLSA_IMPL_STAGES);
    c->prologue = clsa_impl_get(impl, op, CLSA_IMPL_PROLOGUE) / m->sm_clock;
    c->step = clsa_impl_get(impl, op, CLSA_IMPL_STEP_CYCLES) / m->sm_clock;
    c->element = clsa_impl_get(impl, op, CLSA_IMPL_ELEMENT_CYCLES) / m->sm_clock;
    c->overlap = clsa_impl_get(impl, op, CLSA_IMPL_OVERLAP);
    c->split_max = (uint32_t)clsa_impl_get(impl, op, CLSA_IMPL_SPLIT_MAX);
    c->l2_latency = clsa_gpu_l2_latency(m);
    c->reduce_seconds = m->launch_graph_node + m->launch_ramp + c->l2_latency / 2 +
                        clsa_impl_get(impl, op, CLSA_IMPL_COMBINE_PROLOGUE) / m->sm_clock;
    c->in_bytes = clsa_dtype_bits(s->input_dtype) / 8.0;
    c->w_bytes = clsa_dtype_bits(s->weight_dtype) / 8.0;
    c->out_bytes = clsa_dtype_bits(s->output_dtype) / 8.0;
    c->async = m->tensor_async > 0;
    c->hidden = m->tensor_async > 1;
}

/* Bytes of one pipeline step of a tile. */
static double step_bytes(const struct costs *c, double tile_m, double tile_n)
{
    return (tile_m * c->in_bytes + tile_n * c->w_bytes) * c->tile_k;
}

/* A cluster of 2 x 2 SMs loads each operand tile once for two of them. */
static double multicast(const struct costs *c)
{
    return c->async ? 0.5 : 1;
}

/* Seconds of storing results that a block of `tiles` tiles does not hide: all but the last tile's hide
 * behind the next tile's multiplications where sums have a memory of their own. */
static double stored(const struct costs *c, double tiles, double epilogue, double multiply)
{
    if (!c->hidden)
        return tiles * epilogue;
    return epilogue + (tiles - 1) * max2(0, epilogue - multiply);
}

/* The kernel that adds partial sums: one output a thread, eight sums in flight, four a step. */
#define REDUCE_OUTPUTS 256
#define REDUCE_RESIDENT 8
#define REDUCE_STAGES 2
static double reduce_steps(double split)
{
    return max2(1, split / 4);
}

static void tiling_estimate(const struct costs *c, const struct clsa_gemm_shape *s,
                            struct clsa_gemm_tiling *t)
{
    const double m = (double)s->m, n = (double)s->n, groups = (double)s->groups;
    const double load = step_bytes(c, t->tile_m, t->tile_n);
    const double tiles = groups * ceil_div(m, t->tile_m) * ceil_div(n, t->tile_n);
    const double blocks = tiles * t->split;
    const double steps = ceil_div(ceil_div((double)s->k, c->tile_k), t->split);
    /* Persistent kernels keep one block on an SM with all its shared memory. Others fit as many as
     * leave each four steps in flight. */
    double resident = c->async ? 1 : min2(4, max2(1, floor(c->smem / (4 * load))));
    const double per_sm = ceil_div(blocks, c->sms);
    const double together = min2(resident, per_sm);
    const double stages = min2(c->stages, max2(1, floor(c->smem / (load * resident))));
    const double asked = blocks * steps * load * multicast(c);
    const double unique = groups * (double)s->k * (n * c->w_bytes + m * c->in_bytes);
    /* First readers wait for DRAM, later ones for L2. */
    const double latency =
        c->l2_latency + (c->dram_latency - c->l2_latency) * min2(1, unique / asked);
    const double arithmetic = 2.0 * t->tile_m * t->tile_n * c->tile_k / c->tensor_rate;
    const double alone = max2(latency / stages, arithmetic) + c->step;
    const double epilogue = c->element * t->tile_m * t->tile_n;
    const double inflight = min2(together * stages * load, c->inflight);
    const double little = blocks * steps * load * latency / (min2(blocks, c->sms) * inflight);
    const double memory = max2(max2(asked / c->l2_rate, unique / c->dram_rate), little);
    const double waves = ceil_div(per_sm, together);
    double chain;
    if (c->async)
        chain = per_sm * steps * alone + stored(c, per_sm, epilogue, steps * alone);
    else
        chain = (waves - 1) * (c->prologue + latency) + waves * epilogue +
                max2(per_sm * arithmetic, waves * alone) * steps;
    const double shorter = min2(memory, per_sm * steps * arithmetic);
    t->seconds = c->prologue + latency + max2(memory + epilogue, chain) +
                 (1 - c->overlap) * shorter;
    if (t->split > 1)
        t->seconds += c->reduce_seconds + reduce_steps(t->split) * c->l2_latency / REDUCE_STAGES +
                      8.0 * t->split * groups * m * n / c->l2_rate;
    t->tiles = (uint64_t)tiles;
    t->stages = (uint32_t)stages;
    t->resident = (uint32_t)resident;
}

/* Splits worth a look for a tile: none, two, and those that fill the SMs once. */
static void try_tile(const struct costs *c, const struct clsa_gemm_shape *s, uint32_t tile_m,
                     uint32_t tile_n, struct clsa_gemm_tiling *best)
{
    const double tiles = (double)s->groups * ceil_div((double)s->m, tile_m) *
                         ceil_div((double)s->n, tile_n);
    const uint32_t k_steps = (uint32_t)min2(ceil_div((double)s->k, c->tile_k), 1e6);
    /* Padded work at the full rate on all SMs already takes longer. */
    const double work = 2.0 * tile_m * tile_n * c->tile_k * k_steps * tiles;
    if (best->tile_m && work / (c->tensor_rate * c->sms) > best->seconds)
        return;
    const uint32_t limit = c->split_max < k_steps ? c->split_max : k_steps;
    const uint32_t fill = tiles < c->sms ? (uint32_t)(c->sms / tiles) : 1;
    const uint32_t splits[] = {1, 2, 3, fill / 2, fill, 2 * fill, limit};
    uint32_t seen = 0;
    for (size_t i = 0; i < sizeof splits / sizeof splits[0]; i++) {
        const uint32_t split = splits[i] < limit ? splits[i] : limit;
        if (split <= seen)
            continue;
        seen = split;
        if (split > 1 && tiles * split > 2 * c->sms)
            break;
        struct clsa_gemm_tiling t = {.tile_m = tile_m, .tile_n = tile_n, .split = split};
        tiling_estimate(c, s, &t);
        if (best->tile_m == 0 || t.seconds < best->seconds)
            *best = t;
    }
}

/* A tile twice as long as its dimension only adds padding. */
static bool oversized(uint64_t extent, uint32_t tile, uint32_t least)
{
    return tile > least && tile / 2 >= extent;
}

void clsa_map_gemm_tiling(const struct clsa_machine *machine,
                          const struct clsa_implementation *impl, const struct clsa_op *op,
                          const struct clsa_gemm_shape *shape, struct clsa_gemm_tiling *out)
{
    assert(shape->m && shape->n && shape->k && shape->groups);
    struct costs c;
    costs_read(machine, impl, op, shape, &c);
    *out = (struct clsa_gemm_tiling){0};
    const uint32_t fixed_m = (uint32_t)clsa_impl_get(impl, op, CLSA_IMPL_TILE_M);
    const uint32_t fixed_n = (uint32_t)clsa_impl_get(impl, op, CLSA_IMPL_TILE_N);
    if (fixed_m && fixed_n) {
        try_tile(&c, shape, fixed_m, fixed_n, out);
        return;
    }
    const uint16_t *longs = c.async ? async_long : sync_long;
    const uint16_t *shorts = c.async ? async_short : sync_short;
    const size_t n_long = c.async ? sizeof async_long / 2 : sizeof sync_long / 2;
    const size_t n_short = c.async ? sizeof async_short / 2 : sizeof sync_short / 2;
    for (size_t i = 0; i < n_long; i++)
        for (size_t j = 0; j < n_short; j++) {
            if ((uint32_t)longs[i] * shorts[j] > TILE_ELEMENTS_MAX)
                continue;
            for (int turned = 0; turned < 2; turned++) {
                const uint32_t tile_m = turned ? longs[i] : shorts[j];
                const uint32_t tile_n = turned ? shorts[j] : longs[i];
                if (oversized(shape->m, tile_m, turned ? longs[0] : shorts[0]) ||
                    oversized(shape->n, tile_n, turned ? shorts[0] : longs[0]))
                    continue;
                try_tile(&c, shape, tile_m, tile_n, out);
            }
        }
}

double clsa_map_power_share(const struct clsa_machine *machine, unsigned dtype, double flops,
                            double seconds)
{
    const double sustained = clsa_gpu_tensor_rate(machine, dtype) * machine->sm_count;
    const double ceiling = 1 / machine->tensor_sustained;
    if (sustained <= 0 || flops <= 0)
        return ceiling;
    return max2(1, min2(ceiling, ceiling * seconds * sustained / flops));
}

static int shape_of(const struct clsa_step *step, const struct clsa_op *op,
                    const struct clsa_implementation *impl, struct clsa_gemm_shape *s,
                    struct clsa_err *err)
{
    *s = (struct clsa_gemm_shape){.groups = 1,
                                  .m = op->m,
                                  .n = op->n,
                                  .k = op->k,
                                  .weight_dtype = op->weight_dtype,
                                  .input_dtype = op->input_dtype,
                                  .output_dtype = CLSA_BF16};
    (void)step;
    if (op->kind == CLSA_OP_BMM)
        s->groups = op->heads;
    if (op->kind == CLSA_OP_MOE_GEMM) {
        s->groups = op->heads;
        s->m = op->heads ? (op->m + op->heads - 1) / op->heads : 0;
    }
    if (!s->groups || !s->m || !s->n || !s->k)
        return clsa_fail(err, CLSA_EUNSUPPORTED, "%s: a %s with an empty dimension", impl->name,
                         clsa_op_kind_text(op->kind));
    return 0;
}

static void add_product(const struct clsa_op *op, const struct clsa_machine *machine,
                        const struct clsa_implementation *impl, const struct clsa_gemm_shape *s,
                        const struct clsa_gemm_tiling *t, struct clsa_kernel_list *out)
{
    struct costs c;
    costs_read(machine, impl, op, s, &c);
    const double m = (double)s->m, n = (double)s->n, k = (double)s->k, groups = (double)s->groups;
    const double all = (double)t->tiles * t->split;
    const double per_sm = ceil_div(all, c.sms);
    const double tile_steps = ceil_div(ceil_div(k, c.tile_k), t->split);
    struct clsa_gpu_kernel *g = clsa_map_add(out, t->split > 1 ? "gemm split" : "gemm");
    g->threads = 384;
    g->stages = t->stages;
    g->resident = t->resident;
    g->prologue_cycles = clsa_impl_get(impl, op, CLSA_IMPL_PROLOGUE);
    g->epilogue_cycles = c.element * c.clock * t->tile_m * t->tile_n;
    g->blocks = (uint64_t)all;
    g->steps = tile_steps;
    if (c.async) {
        /* Persistent: one block an SM goes from tile to tile; the fullest one sets the time. */
        g->blocks = (uint64_t)min2(all, c.sms);
        g->steps = tile_steps * per_sm;
        const double step =
            2.0 * t->tile_m * t->tile_n * c.tile_k / c.tensor_rate + c.step;
        g->epilogue_cycles =
            stored(&c, per_sm, g->epilogue_cycles / c.clock, tile_steps * step) * c.clock;
    }
    g->step_cycles = clsa_impl_get(impl, op, CLSA_IMPL_STEP_CYCLES);
    g->step_tensor_flops = 2.0 * t->tile_m * t->tile_n * c.tile_k;
    g->tensor_dtype = s->input_dtype;
    g->tensor_efficiency =
        clsa_impl_get(impl, op, CLSA_IMPL_TENSOR_EFFICIENCY) *
        clsa_map_power_share(machine, s->input_dtype, 2 * groups * m * n * k, t->seconds);
    g->memory_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    g->l2_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_L2_EFFICIENCY);
    g->overlap = c.overlap;

    const double share = multicast(&c);
    const double again_m = max2(1, ceil_div(m, t->tile_m) * share);
    const double again_n = max2(1, ceil_div(n, t->tile_n) * share);
    const double weights = groups * n * k * c.w_bytes, inputs = groups * m * k * c.in_bytes;
    clsa_gpu_kernel_stream(g, clsa_map_operand(op, CLSA_AXIS_N, CLSA_READ), false, CLSA_STREAM,
                           weights, weights * again_m, 0);
    clsa_gpu_kernel_stream(g, clsa_map_operand(op, CLSA_AXIS_M, CLSA_READ), false, CLSA_STREAM,
                           inputs, inputs * again_n, 0);
    const double outputs = groups * m * n * c.out_bytes;
    const int output = clsa_map_operand(op, CLSA_AXIS_M, CLSA_WRITE);
    if (t->split == 1) {
        clsa_gpu_kernel_stream(g, output, true, CLSA_STREAM, outputs, outputs, 0);
        return;
    }
    /* Each block writes float32 partial sums; a second kernel adds them. */
    const double partials = 4.0 * t->split * groups * m * n;
    clsa_gpu_kernel_stream(g, CLSA_GPU_SCRATCH, true, CLSA_STREAM, partials, partials, 0);
    struct clsa_gpu_kernel *r = clsa_map_add(out, "gemm reduce");
    r->threads = REDUCE_OUTPUTS;
    r->resident = REDUCE_RESIDENT;
    r->stages = REDUCE_STAGES;
    r->blocks = (uint64_t)ceil_div(groups * m * n, REDUCE_OUTPUTS);
    r->steps = reduce_steps(t->split);
    r->prologue_cycles = clsa_impl_get(impl, op, CLSA_IMPL_COMBINE_PROLOGUE);
    clsa_gpu_kernel_stream(r, CLSA_GPU_SCRATCH, false, CLSA_STREAM, partials, partials, 0);
    clsa_gpu_kernel_stream(r, output, true, CLSA_STREAM, outputs, outputs, 0);
}

int clsa_map_gemm(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_kernel_list *out, struct clsa_err *err)
{
    const unsigned method = (unsigned)clsa_impl_get(impl, op, CLSA_IMPL_METHOD);
    if (method != CLSA_METHOD_DEFAULT && method != CLSA_METHOD_CUBLAS)
        return clsa_fail(err, CLSA_EUNSUPPORTED, "%s: a %s has methods default and cublas",
                         impl->name, clsa_op_kind_text(op->kind));
    struct clsa_gemm_shape shape;
    const int status = shape_of(step, op, impl, &shape, err);
    if (status < 0)
        return status;
    if (clsa_gpu_tensor_rate(machine, shape.input_dtype) <= 0)
        return clsa_fail(err, CLSA_EUNSUPPORTED, "%s has no matrix units for %s", machine->name,
                         clsa_dtype_text(shape.input_dtype));
    struct clsa_gemm_tiling tiling;
    clsa_map_gemm_tiling(machine, impl, op, &shape, &tiling);
    add_product(op, machine, impl, &shape, &tiling, out);
    return 0;
}
