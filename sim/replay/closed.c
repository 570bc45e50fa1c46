#include "sim/replay/closed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/gpu.h"
#include "sim/base/alloc.h"
#include "sim/replay/map.h"
#include "sim/replay/map_cpu.h"
#include "sim/replay/reuse.h"

enum clsa_part clsa_op_part(const struct clsa_op *op)
{
    switch (op->kind) {
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        return CLSA_PART_ATTENTION;
    case CLSA_OP_INDEX_SCORE:
    case CLSA_OP_TOPK:
        return CLSA_PART_INDEX;
    default:
        break;
    }
    switch (op->role) {
    case CLSA_ROLE_IQ:
    case CLSA_ROLE_IK:
    case CLSA_ROLE_IW:
    case CLSA_ROLE_INDEX:
        return CLSA_PART_INDEX;
    default:
        return CLSA_PART_OTHER;
    }
}

void clsa_prediction_destroy(struct clsa_prediction *prediction)
{
    if (!prediction)
        return;
    free(prediction->ops);
    memset(prediction, 0, sizeof *prediction);
}

/* Part of an operand that L2 still holds; moves the clock. */
static double touch(const struct clsa_machine *m, const struct clsa_op *op,
                    const struct clsa_operand *operand, double bytes, struct clsa_distances *reuse)
{
    const double found = clsa_gpu_l2_kept(m, clsa_distances_distance(reuse, op, operand, bytes));
    clsa_distances_touch(reuse, op, operand, bytes * (1 - found));
    return found;
}

/* What memory answers a kernel of an op, from the reuse distances of its streams. */
static void gpu_service(const struct clsa_machine *m, const struct clsa_op *op,
                        const struct clsa_gpu_kernel *k, struct clsa_distances *reuse,
                        struct clsa_gpu_service *out)
{
    memset(out, 0, sizeof *out);
    double slow = 0; /* seconds of DRAM at the streaming rate over its efficiency */
    double l1_hits = 0;
    for (unsigned i = 0; i < k->n_streams; i++) {
        const struct clsa_gpu_stream *s = &k->streams[i];
        double found = 1;
        if (s->operand != CLSA_GPU_SCRATCH)
            found = touch(m, op, &op->operands[s->operand], s->unique_bytes, reuse);
        if (s->write) {
            out->write_bytes += s->total_bytes;
            continue;
        }
        double asked = s->total_bytes;
        if (s->block_passes > 1) {
            const double again = asked * (1 - 1 / s->block_passes);
            asked -= again * clsa_gpu_l1_kept(m, k, s->block_bytes);
            l1_hits += s->total_bytes - asked;
        }
        double missed = s->unique_bytes * (1 - found);
        /* Every later pass comes back to a line after all blocks' bytes went by. */
        if (s->block_passes > 1)
            missed += (asked - s->unique_bytes) * (1 - clsa_gpu_l2_kept(m, s->unique_bytes));
        const double efficiency =
            s->pattern == CLSA_ROWS ? clsa_gpu_row_efficiency(m, s->row_bytes) : 1;
        out->l1_bytes += s->total_bytes;
        out->l2_bytes += asked;
        out->dram_bytes += missed;
        slow += missed / efficiency;
    }
    out->dram_efficiency = slow > 0 ? out->dram_bytes / slow : 1;
    /* Written lines leave for DRAM while the kernel runs as far as its own traffic pushes them out. */
    out->dram_write_bytes =
        out->write_bytes * (1 - clsa_gpu_l2_kept(m, out->dram_bytes + out->write_bytes));
    const double l2 = clsa_gpu_l2_latency(m);
    const double asked = out->l1_bytes;
    if (asked > 0) {
        const double dram = out->dram_bytes < out->l2_bytes ? out->dram_bytes : out->l2_bytes;
        out->latency_s = (l1_hits * m->l1_latency / m->sm_clock + (out->l2_bytes - dram) * l2 +
                          dram * m->dram_latency) /
                         (l1_hits + out->l2_bytes);
    } else {
        out->latency_s = l2;
    }
}

static uint64_t picoseconds(double seconds)
{
    return seconds > 0 ? (uint64_t)(seconds * 1e12 + 0.5) : 0;
}

static int price_gpu(const struct clsa_closed_request *r, const struct clsa_op *op,
                     struct clsa_distances *reuse, struct clsa_op_prediction *out,
                     struct clsa_err *err)
{
    struct clsa_kernel_list list;
    const int status = clsa_map_op(r->step, op, r->machine, r->impl, &list, err);
    if (status)
        return status;
    double seconds = 0, longest = 0, l1 = 0, l2 = 0, dram = 0;
    for (unsigned i = 0; i < list.n; i++) {
        const struct clsa_gpu_kernel *k = &list.kernels[i];
        struct clsa_gpu_service service;
        struct clsa_gpu_time time;
        double whole = 0;
        /* Equal launches find what the first one left in the caches. */
        for (uint32_t n = 0; n < k->repeat; n++) {
            const double times = n ? k->repeat - 1 : 1;
            gpu_service(r->machine, op, k, reuse, &service);
            clsa_gpu_kernel_time(r->machine, k, &service, &time);
            whole += times * time.seconds;
            l1 += times * (service.l1_bytes + service.write_bytes);
            l2 += times * (service.l2_bytes + service.write_bytes);
            dram += times * (service.dram_bytes + service.dram_write_bytes);
            if (n)
                break;
        }
        if (whole > longest) {
            longest = whole;
            out->bound = (uint8_t)time.bound;
        }
        seconds += whole;
        out->launches += k->repeat;
    }
    out->ps = picoseconds(seconds);
    out->l1_bytes = (uint64_t)l1;
    out->l2_bytes = (uint64_t)l2;
    out->dram_bytes = (uint64_t)dram;
    return 0;
}

static void price_cpu(const struct clsa_closed_request *r, const struct clsa_op *op,
                      struct clsa_distances *distances, struct clsa_op_prediction *out)
{
    struct clsa_cpu_call call;
    struct clsa_cpu_time time;
    clsa_map_cpu(r->step, op, r->machine, r->impl, &call);
    if (call.parts <= 0)
        return;
    for (unsigned i = 0; i < call.n_streams; i++) {
        struct clsa_cpu_stream *s = &call.streams[i];
        const struct clsa_operand *operand = &op->operands[s->operand];
        s->distance = clsa_distances_distance(distances, op, operand, s->bytes);
        /* The clock counts what came into the last level from memory. */
        const double size = r->machine->l3_size > 0 ? r->machine->l3_size : r->machine->l2_size;
        clsa_distances_touch(distances, op, operand, s->bytes * (1 - clsa_cpu_kept(s->distance, size)));
    }
    clsa_cpu_call_time(r->machine, &call, r->threads, &time);
    out->ps = picoseconds(time.seconds);
    out->launches = 1;
    out->l1_bytes = (uint64_t)time.l1_bytes;
    out->l2_bytes = (uint64_t)time.l2_bytes;
    out->dram_bytes = (uint64_t)time.dram_bytes;
    out->bound = time.memory_bound ? CLSA_BOUND_DRAM : CLSA_BOUND_VECTOR;
}

/* One walk over the ops; `out` NULL only moves the cache state. */
static int walk(const struct clsa_closed_request *r, struct clsa_distances *reuse,
                struct clsa_prediction *out, struct clsa_err *err)
{
    for (size_t i = 0; i < r->step->n_ops; i++) {
        struct clsa_op_prediction p = {0};
        const struct clsa_op *op = &r->step->ops[i];
        int status = 0;
        if (r->machine->kind == CLSA_MACHINE_GPU)
            status = price_gpu(r, op, reuse, &p, err);
        else
            price_cpu(r, op, reuse, &p);
        if (status)
            return status;
        if (!out)
            continue;
        p.part = (uint8_t)clsa_op_part(op);
        p.ps_lo = p.ps_hi = p.ps;
        out->step_ps += p.ps;
        out->part_ps[p.part] += p.ps;
        out->launches += p.launches;
        out->l1_bytes += p.l1_bytes;
        out->l2_bytes += p.l2_bytes;
        out->dram_bytes += p.dram_bytes;
        if (out->ops)
            out->ops[i] = p;
    }
    return 0;
}

int clsa_closed_predict(const struct clsa_closed_request *request, struct clsa_prediction *out,
                        struct clsa_err *err)
{
    const struct clsa_step *step = request->step;
    struct clsa_prediction p = {.n_ops = step->n_ops};
    struct clsa_distances reuse = {0};
    const uint32_t variants = request->variants ? request->variants : 1;
    int status = CLSA_ENOMEM;
    if (clsa_distances_init(&reuse, step, variants))
        goto fail;
    if (!request->no_ops) {
        p.ops = clsa_calloc(step->n_ops, sizeof *p.ops);
        if (!p.ops)
            goto fail;
    }
    status = 0;
    for (uint32_t v = 0; !status && !request->cold && v < variants; v++) {
        reuse.variant = v;
        status = walk(request, &reuse, NULL, err);
    }
    reuse.variant = 0;
    if (!status)
        status = walk(request, &reuse, &p, err);
fail:
    clsa_distances_destroy(&reuse);
    if (status) {
        clsa_prediction_destroy(&p);
        return status == CLSA_ENOMEM ? clsa_fail(err, status, "out of memory") : status;
    }
    p.step_ps_lo = p.step_ps_hi = p.step_ps;
    *out = p;
    return 0;
}
