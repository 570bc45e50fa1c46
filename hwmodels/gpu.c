#include "hwmodels/gpu.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "sim/base/op.h"

static double max2(double a, double b)
{
    return a > b ? a : b;
}

static double min2(double a, double b)
{
    return a < b ? a : b;
}

static double or_one(double value)
{
    return value > 0 ? value : 1;
}

void clsa_gpu_kernel_init(struct clsa_gpu_kernel *k, const char *name)
{
    memset(k, 0, sizeof *k);
    k->name = name;
    k->repeat = 1;
    k->blocks = 1;
    k->threads = 128;
    k->resident = 1;
    k->stages = 1;
    k->steps = 1;
    k->tensor_dtype = CLSA_BF16;
}

void clsa_gpu_kernel_stream(struct clsa_gpu_kernel *k, int operand, bool write,
                            enum clsa_gpu_pattern pattern, double unique_bytes, double total_bytes,
                            double row_bytes)
{
    assert(k->n_streams < CLSA_GPU_STREAMS);
    k->streams[k->n_streams++] = (struct clsa_gpu_stream){.operand = operand,
                                                          .write = write,
                                                          .pattern = pattern,
                                                          .unique_bytes = unique_bytes,
                                                          .total_bytes = total_bytes,
                                                          .row_bytes = row_bytes};
}

double clsa_gpu_tensor_rate(const struct clsa_machine *machine, unsigned dtype)
{
    double whole = machine->tensor_bf16;
    if (dtype == CLSA_FP8)
        whole = machine->tensor_fp8;
    else if (dtype == CLSA_FP4)
        whole = machine->tensor_fp4;
    return whole * machine->tensor_sustained / machine->sm_count;
}

double clsa_gpu_l2_latency(const struct clsa_machine *machine)
{
    /* Every partition but the SM's own is far. */
    const double near = 1 / machine->l2_partitions;
    return (near * machine->l2_latency + (1 - near) * machine->l2_far_latency) / machine->sm_clock;
}

double clsa_gpu_row_efficiency(const struct clsa_machine *machine, double row_bytes)
{
    if (row_bytes <= 0)
        return 1;
    /* Whole bursts move. A row, and every further piece of it on the next channel, costs its
     * channel an activate beside its bytes, which neighbours of other banks hide only in part: on
     * H100 random rows take their bytes' time and about 3 ns more (h100_own_micro.csv, gather from
     * 8.6 GB). */
    const double burst = machine->dram_burst;
    const double moved = ceil(row_bytes / burst) * burst;
    const double channel_rate =
        machine->dram_bandwidth * machine->dram_stream / machine->dram_channels;
    const double pieces = ceil(moved / machine->dram_interleave);
    const double transfer = moved / channel_rate;
    const double activate = max2(machine->dram_trrd, machine->dram_tfaw / 4);
    return row_bytes / moved * transfer / (transfer + pieces * activate);
}

double clsa_gpu_l1_kept(const struct clsa_machine *machine, const struct clsa_gpu_kernel *k,
                        double block_bytes)
{
    /* The blocks of an SM share its L1. LRU under a cyclic sweep keeps all or nothing; hashed sets
     * blur the edge over the last tenth. */
    const double blocks = min2(k->resident, ceil((double)k->blocks / machine->sm_count));
    const double held = block_bytes * blocks;
    const double size = machine->l1_size;
    return min2(1, max2(0, (1.05 * size - held) / (0.1 * size)));
}

void clsa_gpu_l2_edges(const struct clsa_machine *machine, double *all, double *none)
{
    /* With P partitions a line that SMs of several parts read is held in each. Data read by every
     * SM fits once a partition, data read by one side fits once: the middle of the two, size * (1 +
     * 1/P) / 2, is where a sweep over a growing buffer stops to hit (measured on H100: all hits at
     * 0.64 of the size, none at 0.96; h100_own_micro.csv, read). The edge is blurred by hashed
     * sets. */
    const double middle = machine->l2_size * (0.5 + 0.5 / machine->l2_partitions);
    *all = 0.88 * middle;
    *none = min2(machine->l2_size, 1.2 * middle);
}

double clsa_gpu_l2_kept(const struct clsa_machine *machine, double distance_bytes)
{
    double all, none;
    clsa_gpu_l2_edges(machine, &all, &none);
    return min2(1, max2(0, (none - distance_bytes) / (none - all)));
}

struct rates {
    double arithmetic; /* of one block's step, alone on its SM */
    double l2, dram, port; /* of one block's step, seconds of the resource that is shared */
    double step_bytes;
    enum clsa_gpu_bound arithmetic_bound;
};

static void block_rates(const struct clsa_machine *m, const struct clsa_gpu_kernel *k,
                        const struct clsa_gpu_service *service, struct rates *r)
{
    const double work = (double)k->blocks * k->steps;
    const double tensor_rate = clsa_gpu_tensor_rate(m, k->tensor_dtype);
    const double tensor = k->step_tensor_flops > 0
                              ? k->step_tensor_flops / (tensor_rate * or_one(k->tensor_efficiency))
                              : 0;
    const double vector = k->step_vector_flops * m->sm_count /
                          (m->vector_fp32 * or_one(k->vector_efficiency));
    const double special = k->step_special / (m->special_rate * m->sm_clock);
    const double smem = k->step_smem_bytes / (m->l1_bandwidth * m->sm_clock);
    const double issue = k->step_issue_cycles / m->sm_clock;
    r->arithmetic = max2(max2(tensor, vector), max2(special, smem)) + issue;
    r->arithmetic_bound = tensor > vector + issue ? CLSA_BOUND_TENSOR : CLSA_BOUND_VECTOR;
    r->step_bytes = service->l2_bytes / work;
    r->port =
        (service->l2_bytes + service->write_bytes) / work / (m->sm_l2_bandwidth * m->sm_clock);
    r->l2 = (service->l2_bytes + service->write_bytes) / work /
            (m->l2_bandwidth * or_one(k->l2_efficiency));
    /* Writes turn the bus around: reads run at dram.stream, an equal mix at dram.mixed. */
    const double total = service->dram_bytes + service->dram_write_bytes;
    double dram = 0;
    if (total > 0) {
        const double mix = 2 * min2(service->dram_write_bytes, service->dram_bytes) / total;
        const double part = m->dram_stream + (m->dram_mixed - m->dram_stream) * mix;
        dram = total / (m->dram_bandwidth * part * or_one(service->dram_efficiency) *
                        or_one(k->memory_efficiency));
    }
    if (m->l3_bandwidth > 0)
        dram += service->l3_bytes / m->l3_bandwidth;
    r->dram = dram / work;
}

/* Seconds of one step of each of c concurrent blocks, by what they share. */
struct shared {
    double dram, l2, port, flight, arithmetic;
    double longest; /* of all, as far as they overlap */
};

static void share(const struct clsa_machine *m, const struct clsa_gpu_kernel *k,
                  const struct rates *r, double latency, double c, struct shared *out)
{
    const double a_sm = ceil(c / m->sm_count); /* blocks of the fullest SM */
    const double of_block =
        k->inflight_bytes > 0 ? k->inflight_bytes : k->stages * r->step_bytes;
    const double flight = min2(a_sm * of_block, m->inflight_sm);
    out->dram = c * r->dram;
    out->l2 = c * r->l2;
    out->port = a_sm * r->port;
    out->flight = flight > 0 ? a_sm * r->step_bytes * latency / flight : 0;
    out->arithmetic = a_sm * r->arithmetic;
    const double memory = max2(max2(out->dram, out->l2), max2(out->port, out->flight));
    const double overlap = k->overlap > 0 ? k->overlap : 1;
    out->longest = max2(memory, out->arithmetic) + (1 - overlap) * min2(memory, out->arithmetic);
}

static enum clsa_gpu_bound bound_of(const struct shared *s, const struct rates *r, double alone)
{
    const double latency = max2(alone, s->flight);
    const double memory = max2(max2(s->dram, s->l2), s->port);
    if (latency >= max2(memory, s->arithmetic))
        return CLSA_BOUND_LATENCY;
    if (s->arithmetic >= memory)
        return r->arithmetic_bound;
    return s->dram >= memory ? CLSA_BOUND_DRAM : CLSA_BOUND_L2;
}

/* A wave that follows another. With blocks to spare on the SM their work hides its prologues; else
 * only the memory traffic of other SMs goes on meanwhile. */
static double later_wave(const struct clsa_gpu_kernel *k, const struct shared *s, double around,
                         double alone)
{
    if (k->resident > 1)
        return max2(k->steps * s->longest, around + k->steps * alone);
    const double memory = max2(max2(s->dram, s->l2), max2(s->port, s->flight));
    return max2(k->steps * memory, around + k->steps * max2(s->arithmetic, alone));
}

void clsa_gpu_kernel_time(const struct clsa_machine *machine, const struct clsa_gpu_kernel *k,
                          const struct clsa_gpu_service *service, struct clsa_gpu_time *out)
{
    assert(k->blocks >= 1 && k->resident >= 1 && k->stages >= 1 && k->steps > 0);
    const double clock = machine->sm_clock;
    const double latency = service->latency_s;
    const double slots = machine->sm_count * k->resident;
    const double blocks = (double)k->blocks;
    const double full = floor(blocks / slots), rest = blocks - full * slots;
    struct rates r;
    block_rates(machine, k, service, &r);

    /* What a block waits for by itself: its prologue, the first bytes, its epilogue. */
    const double around = (k->prologue_cycles + k->epilogue_cycles) / clock +
                          (k->hops + 1 - 1.0 / k->stages) * latency;
    const double alone = max2(latency / k->stages, k->stages > 1 ? r.arithmetic : 0) +
                         (k->stages > 1 ? 0 : r.arithmetic) + k->step_hops * latency +
                         k->step_cycles / clock;
    struct shared now;
    share(machine, k, &r, latency, full > 0 ? slots : rest, &now);
    double seconds = around + k->steps * max2(now.longest, alone);
    out->bound = bound_of(&now, &r, alone);
    seconds += max2(0, full - 1) * later_wave(k, &now, around, alone);
    if (full > 0 && rest > 0) {
        share(machine, k, &r, latency, rest, &now);
        seconds += later_wave(k, &now, around, alone);
    }
    if (k->longest_steps > k->steps) {
        share(machine, k, &r, latency, 1, &now);
        seconds += (k->longest_steps - k->steps) * max2(alone, now.longest);
    }
    const double gap = k->stream_launch ? machine->launch_stream : machine->launch_graph_node;
    const double ramp = machine->launch_ramp + machine->launch_block * min2(blocks, slots);
    /* A stream launch is host bound: a longer kernel hides it. */
    out->gap_seconds = k->stream_launch ? max2(0, gap - (ramp + seconds)) + ramp : gap + ramp;
    if (seconds < ramp)
        out->bound = CLSA_BOUND_LAUNCH;
    out->seconds = seconds + out->gap_seconds + k->fixed_seconds;
    out->waves = blocks / slots;
}
