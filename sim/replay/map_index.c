#include <assert.h>
#include <math.h>
#include <string.h>

#include "sim/replay/map.h"
#include "sim/replay/map_dsa.h"
#include "sim/replay/map_gemm.h"

#define SMS_MOST 4096 /* as the machine table allows */

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

/* Tiles dealt to the SMs in turn, launch by launch. */
struct dealer {
    double sm[SMS_MOST]; /* key tiles of each SM in this launch */
    uint32_t sms, next;
    uint64_t dealt;
};

static void deal(struct dealer *d, double steps)
{
    d->sm[d->next] += steps;
    d->next = d->next + 1 == d->sms ? 0 : d->next + 1;
    d->dealt++;
}

static void launch(struct dealer *d, struct clsa_index_tiles *t)
{
    double longest = 0;
    for (uint32_t i = 0; i < d->sms; i++)
        longest = max2(longest, d->sm[i]);
    t->longest += longest;
    t->rounds += ceil((double)d->dealt / d->sms);
    t->chunks++;
    memset(d->sm, 0, d->sms * sizeof *d->sm);
    d->next = 0;
    d->dealt = 0;
}

void clsa_map_index_tiles(const struct clsa_step *step, const struct clsa_op *op, uint32_t sms,
                          uint32_t queries_a_tile, uint32_t keys_a_step, uint64_t chunk_rows,
                          struct clsa_index_tiles *out)
{
    assert(sms && sms <= SMS_MOST && queries_a_tile && keys_a_step);
    const uint64_t rows = clsa_op_rows(step, op);
    const uint64_t chunk_tiles = chunk_rows > queries_a_tile ? chunk_rows / queries_a_tile : 1;
    struct dealer d = {.sms = sms};
    struct clsa_index_tiles t = {0};
    uint64_t start = 0; /* keys of the sequences before this row's */
    uint32_t seq = 0;
    for (uint64_t r = 0; r < rows; r += queries_a_tile) {
        const uint64_t end = r + queries_a_tile < rows ? r + queries_a_tile : rows;
        uint64_t first = 0, last = 0;
        /* Rows of sequences in order: no row sees further than the last one of the tile. */
        const uint64_t step_rows = op->over_queries || end - r < 3 ? 1 : end - r - 1;
        for (uint64_t q = r; q < end; q += step_rows) {
            const uint32_t s =
                op->over_queries ? step->queries[q].seq : (uint32_t)(q / step->new_tokens);
            for (; seq < s; seq++)
                start += step->past[seq] + step->new_tokens;
            const uint64_t seen = start + clsa_op_keys(step, op, q);
            if (q == r)
                first = start;
            last = seen > last ? seen : last;
        }
        const double steps = ceil((double)(last - first) / keys_a_step);
        t.steps += steps;
        t.tiles++;
        deal(&d, steps);
        if (d.dealt == chunk_tiles)
            launch(&d, &t);
    }
    if (d.dealt)
        launch(&d, &t);
    *out = t;
}

/* Instruction issue of a step: heads x keys scores are weighted, clipped and added up. */
static void score_work(const struct clsa_op *op, const struct clsa_machine *machine,
                       const struct clsa_implementation *impl, double rows, double tile_n,
                       struct clsa_gpu_kernel *k)
{
    k->threads = (uint32_t)get(impl, op, CLSA_IMPL_THREADS);
    k->stages = (uint32_t)get(impl, op, CLSA_IMPL_STAGES);
    k->tensor_dtype =
        op->weight_dtype == CLSA_FP8 && machine->tensor_fp8 > 0 ? CLSA_FP8 : CLSA_BF16;
    k->step_tensor_flops = 2 * rows * tile_n * op->head_dim;
    k->step_issue_cycles = get(impl, op, CLSA_IMPL_ELEMENT_CYCLES) * rows * tile_n;
    k->step_cycles = get(impl, op, CLSA_IMPL_STEP_CYCLES);
    k->memory_efficiency = get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    k->l2_efficiency = get(impl, op, CLSA_IMPL_L2_EFFICIENCY);
    k->tensor_efficiency = get(impl, op, CLSA_IMPL_TENSOR_EFFICIENCY);
}

/* Part of the peak matrix rate that work of so many tiles side by side can draw. */
static void power(const struct clsa_machine *machine, double work, struct clsa_gpu_kernel *k)
{
    const double rate = clsa_gpu_tensor_rate(machine, k->tensor_dtype) / machine->tensor_sustained;
    const double seconds =
        k->steps * (k->step_tensor_flops / rate + k->step_issue_cycles / machine->sm_clock);
    k->tensor_efficiency *= clsa_map_power_share(machine, k->tensor_dtype,
                                                 work * k->step_tensor_flops, seconds);
}

/* Prefill (DeepGEMM fp8_mqa_logits): blocks over queries only, keys are not split. */
static void tiled(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_kernel_list *out)
{
    const double rows = (double)clsa_op_rows(step, op);
    const double tile_m = max2(1, get(impl, op, CLSA_IMPL_TILE_M));
    const double tile_n = max2(1, get(impl, op, CLSA_IMPL_TILE_N));
    const double queries = max2(1, floor(tile_m / op->heads));
    double keys = 0;
    for (uint32_t s = 0; s < step->n_seqs; s++)
        keys += (double)(step->past[s] + step->new_tokens);
    const double part = get(impl, op, CLSA_IMPL_SCRATCH_PART);
    const double chunk = part > 0 ? max2(1, part * machine->dram_size / (4 * keys)) : rows;
    struct clsa_index_tiles t;
    clsa_map_index_tiles(step, op, (uint32_t)machine->sm_count, (uint32_t)queries, (uint32_t)tile_n,
                         (uint64_t)min2(chunk, rows), &t);

    struct clsa_gpu_kernel *k = clsa_map_add(out, "scores");
    k->repeat = t.chunks;
    k->blocks = (uint64_t)min2(machine->sm_count, ceil((double)t.tiles / t.chunks));
    k->steps = t.longest / t.chunks;
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE) +
                         get(impl, op, CLSA_IMPL_EPILOGUE) * t.rounds / t.chunks;
    score_work(op, machine, impl, queries * op->heads, tile_n, k);
    power(machine, t.steps / t.chunks, k);
    const int key_operand = clsa_map_operand(op, CLSA_AXIS_KEYS, CLSA_READ);
    const double key_bytes =
        key_operand >= 0 ? (double)op->operands[key_operand].row_bytes : op->head_dim;
    /* A launch reads the keys of its queries' sequences. */
    const double unique = keys * key_bytes * min2(1, max2(1.0 / t.chunks, 1.0 / step->n_seqs));
    clsa_gpu_kernel_stream(k, key_operand, false, CLSA_STREAM, unique,
                           max2(unique, t.steps / t.chunks * tile_n * key_bytes), 0);
    const double inputs = rows / t.chunks * op->heads * (op->head_dim + 4.0);
    clsa_gpu_kernel_stream(k, clsa_map_operand(op, CLSA_AXIS_M, CLSA_READ), false, CLSA_STREAM,
                           inputs, inputs, 0);
    const double scores = t.steps / t.chunks * tile_n * queries * 4;
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, scores, scores, 0);
}

/* Decode (DeepGEMM fp8_paged_mqa_logits): units of (query, tile_n keys) spread evenly over the SMs. */
static void paged(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_kernel_list *out)
{
    const uint64_t rows = clsa_op_rows(step, op);
    const double tile_n = max2(1, get(impl, op, CLSA_IMPL_TILE_N));
    const double width = ceil((double)op->n / tile_n);
    double units = 0, keys = 0;
    for (uint64_t r = 0; r < rows; r++) {
        const double seen = (double)clsa_op_keys(step, op, r);
        keys += seen;
        units += max2(1, ceil(seen / tile_n));
    }
    const double sms = machine->sm_count;
    struct clsa_gpu_kernel *k = clsa_map_add(out, "scores");
    k->blocks = (uint64_t)min2(sms, units);
    k->steps = max2(1, units / sms);
    /* The last unit of the SM with one more than its share. */
    k->longest_steps = ceil(k->steps);
    k->hops = 3; /* its share of the schedule, the row's length, the page */
    const double unseen = max2(0, (double)rows * width - units) / sms;
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE) +
                         get(impl, op, CLSA_IMPL_EPILOGUE) * (double)rows / sms +
                         get(impl, op, CLSA_IMPL_PASS_CYCLES) * unseen;
    score_work(op, machine, impl, op->heads, tile_n, k);
    /* Query rows are padded to the matrix unit's 64. */
    k->step_tensor_flops *= ceil(op->heads / 64.0) * 64 / op->heads;
    power(machine, units, k);
    const int key_operand = clsa_map_operand(op, CLSA_AXIS_KEYS, CLSA_READ);
    const double row_bytes =
        key_operand >= 0 ? (double)op->operands[key_operand].row_bytes : op->head_dim;
    const double unique = key_operand >= 0
                              ? (double)clsa_operand_rows(step, op, &op->operands[key_operand]) *
                                    row_bytes
                              : keys * row_bytes;
    clsa_gpu_kernel_stream(k, key_operand, false, CLSA_STREAM, unique,
                           max2(unique, keys * row_bytes), 0);
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, keys * 4, keys * 4, 0);
}

int clsa_map_index(const struct clsa_step *step, const struct clsa_op *op,
                   const struct clsa_machine *machine, const struct clsa_implementation *impl,
                   struct clsa_kernel_list *out, struct clsa_err *err)
{
    const unsigned method = (unsigned)get(impl, op, CLSA_IMPL_METHOD);
    if ((method != CLSA_METHOD_DEFAULT && method != CLSA_METHOD_PAGED) || !op->heads ||
        !op->head_dim)
        return clsa_map_fail(op, impl, err);
    if (op->over_queries && step->phase == CLSA_DECODE)
        paged(step, op, machine, impl, out);
    else
        tiled(step, op, machine, impl, out);
    return 0;
}
