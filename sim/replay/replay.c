#include "sim/replay/replay.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/replay/interval.h"
#include "sim/replay/replay_work.h"
#include "traces/validate.h"

#define SCRATCH_ALIGN (UINT64_C(1) << 21)

int clsa_replay_create(const struct clsa_replay_request *request, struct clsa_replay **out,
                       struct clsa_err *err)
{
    struct clsa_replay *r = clsa_calloc(1, sizeof *r);
    if (!r)
        return clsa_fail(err, CLSA_ENOMEM, "no memory for a replay");
    r->request = *request;
    r->gpu = request->machine->kind == CLSA_MACHINE_GPU;
    const uint32_t all = r->gpu ? 1 : (uint32_t)request->machine->core_count;
    r->cores = !r->gpu && request->threads && request->threads < all ? request->threads : all;
    const int status = clsa_hierarchy_create(request->machine, r->cores, &r->memory, err);
    if (status) {
        free(r);
        return status;
    }
    *out = r;
    return 0;
}

void clsa_replay_destroy(struct clsa_replay *replay)
{
    if (!replay)
        return;
    clsa_hierarchy_destroy(replay->memory);
    free(replay->counts);
    free(replay);
}

/* ---- steps ---- */

/* Where scratch memory begins; an error when an address is beyond what tags hold. */
static int lay_out(const struct clsa_replay *r, const struct clsa_trace_step *trace,
                   uint64_t *scratch, struct clsa_err *err)
{
    const uint64_t reach = clsa_hierarchy_reach_bytes(r->memory);
    uint64_t end = 0;
    for (uint32_t i = 0; i < trace->step.n_tensors; i++) {
        const struct clsa_tensor *t = &trace->step.tensors[i];
        const uint64_t last = t->address + t->bytes;
        end = last > end ? last : end;
        if (last > reach / 2)
            return clsa_fail(
                err, CLSA_ERANGE,
                "step %llu: tensor %s ends at address %llu; the caches of %s hold tags "
                "for %llu",
                (unsigned long long)trace->number, t->name, (unsigned long long)last,
                r->request.machine->name, (unsigned long long)(reach / 2));
    }
    *scratch = (end + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
    return 0;
}

static int make_room(struct clsa_replay *r, size_t n_ops, struct clsa_err *err)
{
    if (n_ops > r->room) {
        struct clsa_replay_counts *counts = clsa_realloc(r->counts, n_ops, sizeof *counts);
        if (!counts)
            return clsa_fail(err, CLSA_ENOMEM, "no memory for the counts of %zu ops", n_ops);
        r->counts = counts;
        r->room = n_ops;
    }
    if (n_ops)
        memset(r->counts, 0, n_ops * sizeof *r->counts);
    r->counted = true;
    return 0;
}

int clsa_replay_step(struct clsa_replay *replay, const struct clsa_trace_step *trace,
                     struct clsa_prediction *out, struct clsa_err *err)
{
    const struct clsa_step *step = &trace->step;
    struct clsa_prediction p = {.n_ops = step->n_ops};
    struct clsa_work w = {.replay = replay, .trace = trace, .silent = !out};
    int status;
    if ((status = clsa_trace_check_step(trace, err)) != 0 ||
        (status = lay_out(replay, trace, &w.scratch, err)) != 0 ||
        (status = make_room(replay, step->n_ops, err)) != 0)
        return status;
    p.ops = clsa_calloc(step->n_ops, sizeof *p.ops);
    if (!p.ops)
        return clsa_fail(err, CLSA_ENOMEM, "no memory for %zu ops", step->n_ops);
    for (size_t i = 0; i < step->n_ops; i++) {
        w.op = &step->ops[i];
        w.op_index = i;
        w.counts = &replay->counts[i];
        w.out = &p.ops[i];
        w.longest = 0;
        status = replay->gpu ? clsa_replay_gpu(&w, err) : clsa_replay_cpu(&w, err);
        if (status) {
            clsa_prediction_destroy(&p);
            return status;
        }
        w.out->part = (uint8_t)clsa_op_part(w.op);
        p.step_ps += w.out->ps;
        p.part_ps[w.out->part] += w.out->ps;
        p.launches += w.out->launches;
        p.l1_bytes += w.out->l1_bytes;
        p.l2_bytes += w.out->l2_bytes;
        p.dram_bytes += w.out->dram_bytes;
    }
    clsa_interval_prediction(replay->request.machine, replay->request.impl, step, &p);
    if (out)
        *out = p;
    else
        clsa_prediction_destroy(&p);
    return 0;
}

const struct clsa_replay_counts *clsa_replay_counts(const struct clsa_replay *replay)
{
    return replay->counted ? replay->counts : NULL;
}

uint64_t clsa_replay_digest(const struct clsa_replay *replay)
{
    return clsa_hierarchy_digest(replay->memory);
}
