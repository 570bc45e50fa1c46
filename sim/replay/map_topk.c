#include <math.h>

#include "sim/replay/map.h"
#include "sim/replay/map_dsa.h"

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

/* Candidates that the radix rounds keep in shared memory, indices of two rounds in 32 KiB (sgl-kernel
 * topk.cu: kSmem); more are cut off. */
#define CANDIDATES_MOST 4096

/* Rows to choose from, and rows that are taken whole. */
struct topk_rows {
    double chosen, whole;
    double iterations; /* of `threads` keys, one pass, all chosen rows */
    double candidates, keys;
};

static void count_rows(const struct clsa_step *step, const struct clsa_op *op, double threads,
                       struct topk_rows *out)
{
    const uint64_t rows = clsa_op_rows(step, op), whole = (uint64_t)threads;
    uint64_t taken = 0, keys = 0, iterations = 0, candidates = 0;
    for (uint64_t r = 0; r < rows; r++) {
        const uint64_t seen = op->over_queries ? step->queries[r].keys : clsa_op_keys(step, op, r);
        if (seen <= op->topk) {
            taken++;
            continue;
        }
        keys += seen;
        iterations += (seen + whole - 1) / whole;
        candidates += seen < CANDIDATES_MOST ? seen : CANDIDATES_MOST;
    }
    *out = (struct topk_rows){.chosen = (double)(rows - taken),
                              .whole = (double)taken,
                              .iterations = (double)iterations,
                              .candidates = (double)candidates,
                              .keys = (double)keys};
}

/* sgl-kernel fast_topk: one block a row. A pass counts the leading 8 bits of every score, a second one
 * collects what is surely in and keeps the candidates of the threshold bin, radix rounds settle those. */
int clsa_map_topk(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_kernel_list *out, struct clsa_err *err)
{
    if (get(impl, op, CLSA_IMPL_METHOD) != CLSA_METHOD_DEFAULT || !op->topk)
        return clsa_map_fail(op, impl, err);
    const double threads = max2(32, get(impl, op, CLSA_IMPL_THREADS));
    const double passes = max2(1, get(impl, op, CLSA_IMPL_PASSES));
    struct topk_rows rows;
    count_rows(step, op, threads, &rows);
    struct clsa_gpu_kernel *k = clsa_map_add(out, "topk");
    k->threads = (uint32_t)threads;
    k->resident = (uint32_t)max2(1, min2(get(impl, op, CLSA_IMPL_RESIDENT),
                                         floor(machine->sm_threads / threads)));
    k->prologue_cycles = get(impl, op, CLSA_IMPL_PROLOGUE);
    const double slots = machine->sm_count * k->resident;
    const double whole = get(impl, op, CLSA_IMPL_EPILOGUE) * rows.whole;
    const double positions = (rows.chosen > 0 ? rows.chosen : rows.whole) * (double)op->topk * 4;
    if (rows.chosen < 1) {
        k->blocks = (uint64_t)rows.whole;
        k->epilogue_cycles = get(impl, op, CLSA_IMPL_EPILOGUE);
    } else {
        k->blocks = (uint64_t)rows.chosen;
        k->stages = (uint32_t)get(impl, op, CLSA_IMPL_STAGES);
        k->steps = passes * rows.iterations / rows.chosen;
        const double issue =
            get(impl, op, CLSA_IMPL_PASS_CYCLES) +
            get(impl, op, CLSA_IMPL_CONFLICT_CYCLES) * rows.candidates / rows.chosen;
        k->step_issue_cycles = issue / k->steps + get(impl, op, CLSA_IMPL_ELEMENT_CYCLES) * threads;
        k->step_cycles = get(impl, op, CLSA_IMPL_STEP_CYCLES);
        k->step_hops = 1 - get(impl, op, CLSA_IMPL_OVERLAP);
        /* Short rows pass between the others, in whatever wave. */
        k->prologue_cycles += whole / max2(slots, rows.chosen);
        const double bytes = rows.keys * 4;
        clsa_gpu_kernel_stream(k, clsa_map_operand(op, CLSA_AXIS_M, CLSA_READ), false, CLSA_STREAM,
                               bytes, bytes * passes, 0);
        k->streams[0].block_passes = passes;
        k->streams[0].block_bytes = bytes / rows.chosen;
    }
    clsa_gpu_kernel_stream(k, CLSA_GPU_SCRATCH, true, CLSA_STREAM, positions, positions, 0);
    return 0;
}
