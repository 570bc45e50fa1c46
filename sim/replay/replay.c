#include "sim/replay/replay.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/replay/interval.h"
#include "sim/replay/map.h"
#include "sim/replay/map_cpu.h"
#include "sim/replay/replay_units.h"
#include "traces/validate.h"

/* Bytes around a page walk that wait for it, of a long run: what its loads have in flight. */
#define WALK_SHADOW_BYTES 4096.0
#define SCRATCH_ALIGN (UINT64_C(1) << 21)

struct clsa_replay {
    struct clsa_replay_request request;
    struct clsa_hierarchy *memory;
    bool gpu;
    uint32_t cores;
    uint64_t now_ps;
    size_t room;
    bool counted;
    struct clsa_replay_counts *counts;
};

/* One walk of a stream through memory. */
struct issue {
    struct clsa_hierarchy *memory;
    bool write;
    uint32_t core, cores;
    uint64_t share, left; /* bytes a core gets, and those that the present one still gets */
};

/* The op at work. */
struct work {
    struct clsa_replay *replay;
    const struct clsa_trace_step *trace;
    const struct clsa_op *op;
    size_t op_index;
    uint64_t scratch; /* address of memory that no tensor has */
    struct clsa_replay_counts *counts;
    struct clsa_op_prediction *out;
    bool silent;
    double longest;
};

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

/* ---- streams through memory ---- */

/* Runs go to the cores in shares of consecutive bytes, as a static division of the work would. */
static int issue_runs(void *user, const struct clsa_byte_run *runs, size_t n)
{
    struct issue *in = user;
    if (in->cores == 1) {
        clsa_hierarchy_access(in->memory, 0, runs, n, in->write);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct clsa_byte_run rest = runs[i];
        while (rest.bytes) {
            const bool last = in->core + 1 == in->cores;
            const uint64_t bytes = last || rest.bytes < in->left ? rest.bytes : in->left;
            const struct clsa_byte_run run = {rest.address, bytes};
            clsa_hierarchy_access(in->memory, in->core, &run, 1, in->write);
            rest.address += bytes;
            rest.bytes -= bytes;
            in->left -= last ? 0 : bytes;
            if (!last && in->left == 0) {
                in->core++;
                in->left = in->share;
            }
        }
    }
    return 0;
}

static void count(struct clsa_replay_counts *n, const struct clsa_traffic *t, uint32_t levels)
{
    n->lookups += t->level[0].lookups;
    for (uint32_t i = 0; i < levels; i++)
        n->cache_hit_bytes += t->level[i].hit_bytes;
    n->dram_read_bytes += t->dram_read_bytes;
    n->dram_write_bytes += t->dram_write_bytes;
    n->dram_bursts += t->dram_bursts;
    n->dram_row_hits += t->dram_bursts - t->dram_activates;
    n->tlb_lookups += t->tlb.lookups;
    n->tlb_walks += t->tlb.walks;
}

/* Sends the rows of a group of operands, or `bytes` of scratch, through memory; *t gets the
 * traffic. */
static int run_stream(struct work *w, const struct clsa_units_group *group, bool write,
                      double bytes, uint64_t *scratch, uint32_t cores, struct clsa_traffic *t,
                      struct clsa_err *err)
{
    struct issue in = {.memory = w->replay->memory, .write = write, .cores = cores};
    int status = 0;
    in.left = in.share = (uint64_t)(bytes / cores) + 1;
    if (group) {
        status = clsa_units_walk(w->trace, w->op, group, (uint64_t)bytes, issue_runs, &in, err);
    } else if (bytes >= 1) {
        const struct clsa_byte_run run = {*scratch, (uint64_t)bytes};
        *scratch += run.bytes;
        status = issue_runs(&in, &run, 1);
    }
    clsa_hierarchy_take(w->replay->memory, t);
    count(w->counts, t, clsa_hierarchy_levels(w->replay->memory));
    return status;
}

/* ---- GPU ---- */

/* Sums over the streams of a kernel. */
struct gpu_sums {
    struct clsa_gpu_service service;
    double l1_hits, l3_hits;
    double dram_ps, dram_ideal_ps;
    double walk_byte_s; /* page walks, each times the bytes that wait for it */
};

static void add_traffic(struct gpu_sums *sums, const struct clsa_machine *m,
                        const struct clsa_gpu_stream *stream, const struct clsa_traffic *t,
                        double times)
{
    sums->service.dram_bytes += times * (double)t->dram_read_bytes;
    sums->service.dram_write_bytes += times * (double)t->dram_write_bytes;
    sums->l3_hits += times * (double)t->level[1].hit_bytes;
    sums->dram_ps += times * (double)t->dram_ps;
    sums->dram_ideal_ps += times * (double)t->dram_ideal_ps;
    if (stream->write || t->tlb.walks == 0) /* nobody waits for a write */
        return;
    const double row = stream->pattern == CLSA_ROWS ? stream->row_bytes : 0;
    const double shadow = row > 0 && row < WALK_SHADOW_BYTES ? row : WALK_SHADOW_BYTES;
    const double walks = (double)t->tlb.walks, all = (double)t->level[0].read_bytes;
    const double waiting = walks * shadow < all ? walks * shadow : all;
    /* first-level misses are part of the latencies, which were measured over many pages */
    sums->walk_byte_s += times * waiting * m->tlb_walk * m->tlb_nested;
}

/* The streams of one launch. Later passes of a block over the same bytes come back after all
 * blocks' first ones; what the SMs' L1 did not keep of them goes through memory once more for each
 * pass. */
static int gpu_service(struct work *w, const struct clsa_gpu_kernel *k,
                       struct clsa_gpu_service *out, struct clsa_err *err)
{
    const struct clsa_machine *m = w->replay->request.machine;
    struct gpu_sums sums = {0};
    struct clsa_gpu_service *s = &sums.service;
    uint64_t scratch[2] = {w->scratch, w->scratch};
    unsigned wanted[2] = {0, 0};
    for (unsigned i = 0; i < k->n_streams; i++)
        if (k->streams[i].operand >= 0)
            wanted[k->streams[i].write] |= 1u << k->streams[i].operand;
    for (unsigned i = 0; i < k->n_streams; i++) {
        const struct clsa_gpu_stream *stream = &k->streams[i];
        const bool write = stream->write;
        double asked = stream->total_bytes, again = 0;
        if (!write && stream->block_passes > 1) {
            again = asked * (1 - 1 / stream->block_passes);
            const double kept = again * clsa_gpu_l1_kept(m, k, stream->block_bytes);
            asked -= kept;
            again -= kept;
            sums.l1_hits += kept;
        }
        if (write) {
            s->write_bytes += stream->total_bytes;
        } else {
            s->l1_bytes += stream->total_bytes;
            s->l2_bytes += asked;
        }
        struct clsa_units_group group;
        double bytes = stream->unique_bytes;
        if (stream->operand >= 0) {
            if (!(wanted[write] >> stream->operand & 1))
                continue; /* went with an operand that shares its rows */
            clsa_units_join(w->op, (unsigned)stream->operand, wanted[write], &group);
            for (unsigned g = 0; g < group.n; g++)
                wanted[write] &= ~(1u << group.operands[g]);
        }
        struct clsa_traffic t;
        int status = run_stream(w, stream->operand >= 0 ? &group : NULL, write, bytes,
                                &scratch[write], 1, &t, err);
        if (status)
            return status;
        add_traffic(&sums, m, stream, &t, 1);
        if (again > 0 && stream->operand >= 0) {
            status = run_stream(w, &group, write, bytes, NULL, 1, &t, err);
            if (status)
                return status;
            add_traffic(&sums, m, stream, &t, again / (bytes > 0 ? bytes : again));
        }
    }
    s->dram_efficiency = sums.dram_ps > 0 ? sums.dram_ideal_ps / sums.dram_ps : 1;
    if (s->dram_efficiency > 1)
        s->dram_efficiency = 1;
    const double l2 = clsa_gpu_l2_latency(m), all = sums.l1_hits + s->l2_bytes;
    if (s->dram_bytes > s->l2_bytes)
        s->dram_bytes = s->l2_bytes;
    s->latency_s = l2;
    if (all > 0) {
        const double l3 = sums.l3_hits < s->l2_bytes - s->dram_bytes ? sums.l3_hits
                                                                     : s->l2_bytes - s->dram_bytes;
        s->latency_s = (sums.l1_hits * m->l1_latency / m->sm_clock +
                        l3 * m->l3_latency / m->sm_clock + (s->l2_bytes - s->dram_bytes - l3) * l2 +
                        s->dram_bytes * m->dram_latency + sums.walk_byte_s) /
                       all;
    }
    *out = *s;
    return 0;
}

static uint64_t picoseconds(double seconds)
{
    return seconds > 0 ? (uint64_t)(seconds * 1e12 + 0.5) : 0;
}

/* Adds a kernel's time to the op and tells the listener. */
static int tell(struct work *w, const char *name, uint32_t repeat, double seconds, double gap,
                uint8_t bound, double l2_bytes, double dram_bytes)
{
    const struct clsa_replay_request *r = &w->replay->request;
    const uint64_t ps = picoseconds(seconds);
    struct clsa_replay_kernel kernel = {.step = w->trace->number,
                                        .op_index = w->op_index,
                                        .op = w->op,
                                        .name = name,
                                        .repeat = repeat,
                                        .start_ps = w->replay->now_ps,
                                        .ps = ps,
                                        .gap_ps = picoseconds(gap),
                                        .bound = bound,
                                        .l2_bytes = (uint64_t)l2_bytes,
                                        .dram_bytes = (uint64_t)dram_bytes};
    w->out->ps += ps;
    w->out->launches += repeat;
    if (seconds > w->longest) {
        w->longest = seconds;
        w->out->bound = bound;
    }
    if (w->silent)
        return 0;
    w->replay->now_ps += ps;
    return r->kernel ? r->kernel(r->user, &kernel) : 0;
}

static int replay_gpu(struct work *w, struct clsa_err *err)
{
    const struct clsa_replay_request *r = &w->replay->request;
    struct clsa_kernel_list list;
    int status = clsa_map_op(&w->trace->step, w->op, r->machine, r->impl, &list, err);
    for (unsigned i = 0; !status && i < list.n; i++) {
        const struct clsa_gpu_kernel *k = &list.kernels[i];
        double seconds = 0, gap = 0, l2 = 0, dram = 0;
        struct clsa_gpu_time time = {0};
        /* Equal launches find what the first one left: the second stands for all later ones. */
        for (uint32_t n = 0; n < k->repeat && n < 2; n++) {
            const double times = n ? k->repeat - 1 : 1;
            struct clsa_gpu_service service;
            if ((status = gpu_service(w, k, &service, err)) != 0)
                return status;
            clsa_gpu_kernel_time(r->machine, k, &service, &time);
            seconds += times * time.seconds;
            gap += times * time.gap_seconds;
            l2 += times * (service.l2_bytes + service.write_bytes);
            dram += times * (service.dram_bytes + service.dram_write_bytes);
            w->counts->l1_bytes += (uint64_t)(times * (service.l1_bytes + service.write_bytes));
            w->counts->l2_bytes += (uint64_t)(times * (service.l2_bytes + service.write_bytes));
        }
        w->out->dram_bytes += (uint64_t)dram;
        status = tell(w, k->name, k->repeat, seconds, gap, (uint8_t)time.bound, l2, dram);
    }
    w->out->l1_bytes = w->counts->l1_bytes;
    w->out->l2_bytes = w->counts->l2_bytes;
    return status;
}

/* ---- CPU ---- */

static double part(uint64_t of, double whole)
{
    const double x = whole > 0 ? 1 - (double)of / whole : 1;
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static int replay_cpu(struct work *w, struct clsa_err *err)
{
    const struct clsa_replay_request *r = &w->replay->request;
    struct clsa_cpu_call call;
    struct clsa_cpu_time time;
    clsa_map_cpu(&w->trace->step, w->op, r->machine, r->impl, &call);
    if (call.parts <= 0)
        return 0;
    const uint32_t cores = call.parts < w->replay->cores ? (uint32_t)call.parts : w->replay->cores;
    unsigned wanted[2] = {0, 0};
    for (unsigned i = 0; i < call.n_streams; i++)
        wanted[call.streams[i].write] |= 1u << call.streams[i].operand;
    for (unsigned i = 0; i < call.n_streams; i++) {
        struct clsa_cpu_stream *s = &call.streams[i];
        struct clsa_units_group group;
        struct clsa_traffic t;
        if (!(wanted[s->write] >> s->operand & 1))
            continue;
        clsa_units_join(w->op, (unsigned)s->operand, wanted[s->write], &group);
        double bytes = 0;
        for (unsigned j = 0; j < call.n_streams; j++)
            for (unsigned g = 0; g < group.n; g++)
                if (call.streams[j].operand == (int)group.operands[g] &&
                    call.streams[j].write == s->write)
                    bytes += call.streams[j].bytes;
        const int status = run_stream(w, &group, s->write, bytes, NULL, cores, &t, err);
        if (status)
            return status;
        const uint32_t last = clsa_hierarchy_levels(w->replay->memory) - 1;
        const uint64_t beyond_l2 = last >= 2 ? t.level[2].read_bytes : t.dram_read_bytes;
        const double rows = (double)clsa_units_rows(w->trace, w->op, &group) * group.n;
        for (unsigned j = 0; j < call.n_streams; j++)
            for (unsigned g = 0; g < group.n; g++)
                if (call.streams[j].operand == (int)group.operands[g] &&
                    call.streams[j].write == s->write) {
                    wanted[s->write] &= ~(1u << group.operands[g]);
                    call.streams[j].known = true;
                    call.streams[j].in_l2 = part(beyond_l2, bytes);
                    call.streams[j].in_cache = part(t.dram_read_bytes, bytes);
                    if (call.streams[j].in_cache < call.streams[j].in_l2)
                        call.streams[j].in_cache = call.streams[j].in_l2;
                    call.streams[j].walks = rows > 0 ? (double)t.tlb.walks / rows : 0;
                }
    }
    clsa_cpu_call_time(r->machine, &call, w->replay->cores, &time);
    w->out->l1_bytes = w->counts->l1_bytes = (uint64_t)time.l1_bytes;
    w->out->l2_bytes = w->counts->l2_bytes = (uint64_t)time.l2_bytes;
    w->out->dram_bytes = (uint64_t)time.dram_bytes;
    return tell(w, clsa_op_kind_text(w->op->kind), 1, time.seconds, 0,
                time.memory_bound ? CLSA_BOUND_DRAM : CLSA_BOUND_VECTOR, time.l2_bytes,
                time.dram_bytes);
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
    struct work w = {.replay = replay, .trace = trace, .silent = !out};
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
        status = replay->gpu ? replay_gpu(&w, err) : replay_cpu(&w, err);
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
