/* Ops that differ only in layer and addresses form a class: a class is mapped to kernels once, and
 * timed again only when memory answers it differently from the time before. */
#include "sim/replay/closed.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/cpu.h"
#include "hwmodels/gpu.h"
#include "sim/base/alloc.h"
#include "sim/replay/chance.h"
#include "sim/replay/interval.h"
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

void clsa_closed_service(const struct clsa_machine *machine, const struct clsa_gpu_kernel *k,
                         const double *found, const double *held, struct clsa_gpu_service *out)
{
    const struct clsa_machine *m = machine;
    memset(out, 0, sizeof *out);
    double slow = 0; /* missed bytes over their rows' efficiency */
    double l1_hits = 0;
    for (unsigned i = 0; i < k->n_streams; i++) {
        const struct clsa_gpu_stream *s = &k->streams[i];
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
        double missed = s->unique_bytes * (1 - found[i]);
        /* Every later pass comes back to a line after all blocks' bytes went by. */
        if (s->block_passes > 1)
            missed += (asked - s->unique_bytes) * (1 - clsa_gpu_l2_kept(m, s->unique_bytes));
        missed = fmin(fmax(missed, 0), asked);
        const double efficiency =
            s->pattern == CLSA_ROWS ? clsa_gpu_row_efficiency(m, s->row_bytes) : 1;
        out->l1_bytes += s->total_bytes;
        out->l2_bytes += asked;
        const double l3 = held ? missed * held[i] : 0;
        out->l3_bytes += l3;
        out->dram_bytes += missed - l3;
        slow += (missed - l3) / efficiency;
    }
    out->dram_efficiency = slow > 0 ? out->dram_bytes / slow : 1;
    /* Written lines leave for DRAM while the kernel runs as far as its own traffic pushes them
     * out. */
    out->dram_write_bytes =
        out->write_bytes * (1 - clsa_gpu_l2_kept(m, out->dram_bytes + out->write_bytes));
    const double l2 = clsa_gpu_l2_latency(m);
    const double answered = l1_hits + out->l2_bytes;
    out->latency_s = answered > 0 ? (l1_hits * m->l1_latency / m->sm_clock +
                                     (out->l2_bytes - out->dram_bytes - out->l3_bytes) * l2 +
                                     out->l3_bytes * m->l3_latency / m->sm_clock +
                                     out->dram_bytes * m->dram_latency) /
                                        answered
                                  : l2;
}


static uint64_t picoseconds(double seconds)
{
    return seconds > 0 ? (uint64_t)(seconds * 1e12 + 0.5) : 0;
}

/* A stream of a launch, in the order that memory is asked. */
struct ask {
    int operand;
    double bytes;
};

/* Ops of equal shape. */
struct op_class {
    const struct clsa_op *op;        /* the first of them */
    struct clsa_gpu_kernel *kernels; /* GPU */
    struct clsa_cpu_call call;       /* CPU: its first n_mapped streams as mapped */
    unsigned n_mapped;
    uint8_t others[CLSA_CPU_STREAMS]; /* of a stream of selected rows: the first stream of those that other sets used last */
    unsigned n_kernels, n_found;
    struct ask *asks;                /* GPU */
    double *found;                   /* parts found by stream, which `last` was timed with */
    double *held;                    /* GPU with a memory-side cache: of the misses, found there */
    bool stale;                      /* they changed since */
    struct clsa_op_prediction last;
    double last_seconds;
    double seconds, count;           /* of the walk, for the interval */
    uint16_t next;                   /* the class that came after this one the last time */
    double below, above;             /* widths of the interval as parts of the time */
};

#define CLASSES 1024 /* slots; a plan has tens of classes */

struct pricing {
    const struct clsa_closed_request *r;
    struct clsa_distances distances;
    struct clsa_stack stack;    /* CPU: where the last touches of the first stand */
    struct clsa_chance chance;  /* CPU: those of selections */
    double unsettled;           /* CPU: of the last cache, which keeps learning while most of a step passes through it */
    double l2_all, l2_none; /* reuse distances that L2 keeps wholly, and not at all */
    struct op_class *classes;
    size_t n_classes, room;
    uint16_t index[CLASSES]; /* hash to class + 1 */
    uint16_t *of_op;         /* class of each op, UINT16_MAX where not known yet */
    struct clsa_err *err;
};

static void pricing_destroy(struct pricing *p)
{
    for (size_t i = 0; i < p->n_classes; i++) {
        free(p->classes[i].kernels);
        free(p->classes[i].asks);
        free(p->classes[i].found);
        free(p->classes[i].held);
    }
    free(p->classes);
    free(p->of_op);
    clsa_distances_destroy(&p->distances);
    clsa_stack_destroy(&p->stack);
    clsa_chance_destroy(&p->chance);
}

/* Room behind the mapped streams for those parts of selections that other sets used last; false when there is none. */
static bool add_others(struct op_class *c)
{
    struct clsa_cpu_call *call = &c->call;
    c->n_mapped = call->n_streams;
    for (unsigned i = 0; i < c->n_mapped; i++) {
        const struct clsa_cpu_stream *s = &call->streams[i];
        if (s->row_bytes <= 0 || s->bytes <= 0 || c->op->operands[s->operand].axis != CLSA_AXIS_SELECTED)
            continue;
        if (call->n_streams + CLSA_CHANCE_OTHERS > CLSA_CPU_STREAMS)
            return false;
        c->others[i] = (uint8_t)call->n_streams;
        for (unsigned other = 0; other < CLSA_CHANCE_OTHERS; other++) {
            struct clsa_cpu_stream *of = &call->streams[call->n_streams++];
            *of = *s;
            of->bytes = of->cold_bytes = 0;
        }
    }
    return true;
}

/* All that mapping may look at, but layer, set and addresses; the fields from m to n_operands lie
 * without gaps. Ops of one plan that agree in kind, sizes, flops and bytes have operands of the same
 * rows. */
#define SHAPE_FROM offsetof(struct clsa_op, m)
#define SHAPE_BYTES (offsetof(struct clsa_op, n_operands) + sizeof(uint32_t) - SHAPE_FROM)

static_assert(SHAPE_BYTES == 8 * sizeof(uint64_t) + 5 * sizeof(uint32_t), "no gap in the sizes");

static bool same_shape(const struct clsa_op *a, const struct clsa_op *b)
{
    const char *x = (const char *)a + SHAPE_FROM, *y = (const char *)b + SHAPE_FROM;
    uint64_t differ = a->n_operands ^ b->n_operands;
    for (size_t i = 0; i + sizeof differ <= SHAPE_BYTES; i += sizeof differ) {
        uint64_t u, v;
        memcpy(&u, x + i, sizeof u);
        memcpy(&v, y + i, sizeof v);
        differ |= u ^ v;
    }
    differ |= (uint64_t)((a->kind ^ b->kind) | (a->role ^ b->role)) |
              (uint64_t)((a->weight_dtype ^ b->weight_dtype) | (a->input_dtype ^ b->input_dtype)) |
              (uint64_t)(a->over_queries ^ b->over_queries);
    return differ == 0;
}

static uint32_t shape_hash(const struct clsa_op *op)
{
    const uint64_t mixed = (op->n + op->k * 31 + op->read_bytes * 7 + op->topk) +
                           ((uint64_t)op->kind << 56) + ((uint64_t)op->role << 48);
    return (uint32_t)(mixed * 0x9e3779b97f4a7c15u >> 54);
}

static int class_init(struct pricing *p, struct op_class *c, const struct clsa_op *op)
{
    const struct clsa_closed_request *r = p->r;
    memset(c, 0, sizeof *c);
    c->op = op;
    c->stale = true;
    c->last.part = (uint8_t)clsa_op_part(op);
    if (r->machine->kind == CLSA_MACHINE_CPU) {
        clsa_map_cpu(r->step, op, r->machine, r->impl, &c->call);
        if (!add_others(c))
            return clsa_fail(p->err, CLSA_ELIMIT, "an op of more than %d streams", CLSA_CPU_STREAMS);
        c->n_found = 4 * c->call.n_streams;
    } else {
        struct clsa_kernel_list list;
        const int status = clsa_map_op(r->step, op, r->machine, r->impl, &list, p->err);
        if (status)
            return status;
        c->n_kernels = list.n;
        c->kernels = clsa_malloc(list.n + (size_t)1, sizeof *c->kernels);
        if (!c->kernels)
            return CLSA_ENOMEM;
        memcpy(c->kernels, list.kernels, list.n * sizeof *c->kernels);
        /* A repeated kernel has a first launch and the ones after it. */
        for (unsigned i = 0; i < list.n; i++)
            c->n_found += list.kernels[i].n_streams * (list.kernels[i].repeat > 1 ? 2 : 1);
    }
    c->found = clsa_calloc(c->n_found + (size_t)1, sizeof *c->found);
    c->asks = clsa_malloc(c->n_found + (size_t)1, sizeof *c->asks);
    const bool behind = r->machine->kind == CLSA_MACHINE_GPU && r->machine->l3_size > 0;
    if (behind)
        c->held = clsa_calloc(c->n_found + (size_t)1, sizeof *c->held);
    if (!c->found || !c->asks || (behind && !c->held)) {
        free(c->kernels);
        free(c->held);
        free(c->found);
        free(c->asks);
        return CLSA_ENOMEM;
    }
    struct ask *ask = c->asks;
    for (unsigned i = 0; i < c->n_kernels; i++)
        for (unsigned again = 0; again < (c->kernels[i].repeat > 1 ? 2 : 1); again++)
            for (unsigned s = 0; s < c->kernels[i].n_streams; s++) {
                const struct clsa_gpu_stream *stream = &c->kernels[i].streams[s];
                *ask++ = (struct ask){stream->operand, stream->unique_bytes};
            }
    return 0;
}

static int find_class(struct pricing *p, size_t i, struct op_class *before, struct op_class **out)
{
    const struct clsa_op *op = &p->r->step->ops[i];
    if (p->of_op[i] != UINT16_MAX) {
        *out = &p->classes[p->of_op[i]];
        return 0;
    }
    /* Layers repeat: most ops follow the one that they followed a layer ago. */
    const size_t place = before ? (size_t)(before - p->classes) : 0;
    if (before && same_shape(p->classes[before->next].op, op)) {
        p->of_op[i] = before->next;
        *out = &p->classes[before->next];
        return 0;
    }
    size_t slot = shape_hash(op); /* ten bits */
    while (p->index[slot] && !same_shape(p->classes[p->index[slot] - 1].op, op))
        slot = (slot + 1) % CLASSES;
    if (!p->index[slot]) {
        if (p->n_classes == CLASSES - 1)
            return clsa_fail(p->err, CLSA_ELIMIT, "a step of more than %d different ops",
                             CLASSES - 1);
        if (!clsa_grow(&p->classes, &p->room, p->n_classes + 1, sizeof *p->classes))
            return CLSA_ENOMEM;
        const int status = class_init(p, &p->classes[p->n_classes], op);
        if (status)
            return status;
        p->index[slot] = (uint16_t)++p->n_classes;
    }
    p->of_op[i] = (uint16_t)(p->index[slot] - 1);
    if (before)
        p->classes[place].next = p->of_op[i];
    *out = &p->classes[p->of_op[i]];
    return 0;
}

/* Part of bytes of this reuse distance that a memory-side cache holds: LRU, whose edge hashed sets
 * blur over a tenth. */
static double held_behind(const struct clsa_machine *m, double distance)
{
    return fmin(1, fmax(0, (1.05 * m->l3_size - distance) / (0.1 * m->l3_size)));
}

static void keep_found(struct op_class *c, unsigned i, double found)
{
    c->stale |= c->found[i] < found || c->found[i] > found;
    c->found[i] = found;
}

/* Part of the streams' bytes that L2 still holds; touches them. */
static int find_gpu(struct pricing *p, struct op_class *c, const struct clsa_op *op)
{
    for (unsigned i = 0; i < c->n_found; i++) {
        if (c->asks[i].operand == CLSA_GPU_SCRATCH) {
            keep_found(c, i, 1);
            continue;
        }
        const double bytes = c->asks[i].bytes;
        double *touched = clsa_distances_find(&p->distances, op, &op->operands[c->asks[i].operand]);
        if (!touched)
            return CLSA_ENOMEM;
        const double distance = p->distances.clock - *touched + bytes;
        const double found = distance <= p->l2_all    ? 1
                             : distance >= p->l2_none ? 0
                                                      : clsa_gpu_l2_kept(p->r->machine, distance);
        p->distances.clock += bytes * (1 - found);
        *touched = p->distances.clock;
        keep_found(c, i, found);
        if (c->held) {
            const double held = held_behind(p->r->machine, distance);
            c->stale |= held < c->held[i] || held > c->held[i];
            c->held[i] = held;
        }
    }
    return 0;
}

static void set_outcome(struct op_class *c, double seconds, double l1, double l2, double dram)
{
    c->last_seconds = seconds;
    c->last.ps = picoseconds(seconds);
    c->last.l1_bytes = (uint64_t)l1;
    c->last.l2_bytes = (uint64_t)l2;
    c->last.dram_bytes = (uint64_t)dram;
    c->stale = false;
}

static void time_gpu(const struct pricing *p, struct op_class *c)
{
    const double *found = c->found, *held = c->held;
    double seconds = 0, longest = 0, l1 = 0, l2 = 0, dram = 0;
    c->last.launches = 0;
    for (unsigned i = 0; i < c->n_kernels; i++) {
        const struct clsa_gpu_kernel *k = &c->kernels[i];
        struct clsa_gpu_service service;
        struct clsa_gpu_time time;
        double whole = 0;
        for (unsigned again = 0; again < (k->repeat > 1 ? 2 : 1); again++) {
            const double times = again ? k->repeat - 1 : 1;
            clsa_closed_service(p->r->machine, k, found, held, &service);
            clsa_gpu_kernel_time(p->r->machine, k, &service, &time);
            whole += times * time.seconds;
            l1 += times * (service.l1_bytes + service.write_bytes);
            l2 += times * (service.l2_bytes + service.write_bytes);
            dram += times * (service.dram_bytes + service.dram_write_bytes);
            found += k->n_streams;
            if (held)
                held += k->n_streams;
        }
        if (whole > longest) {
            longest = whole;
            c->last.bound = (uint8_t)time.bound;
        }
        seconds += whole;
        c->last.launches += k->repeat;
    }
    set_outcome(c, seconds, l1, l2, dram);
}

/* What a stream of a CPU finds: the distance itself, which several levels judge. The pool may differ between ops of equal
 * shape (one plane, or all of them). What comes from beyond L2 is traffic of the last cache. */
static void keep_stream(struct pricing *p, struct op_class *c, unsigned i, const struct clsa_operand *o,
                        const struct clsa_chance_part *found)
{
    struct clsa_cpu_stream *s = &c->call.streams[i];
    const struct clsa_machine *m = p->r->machine;
    const double each = found->reuse.distance / clsa_cpu_threads(m, p->r->threads);
    const double in_l2 = clsa_cpu_kept(each, m->l2_size, CLSA_CPU_EDGE_L2);
    p->stack.now.traffic += found->bytes * (1 - in_l2);
    s->bytes = found->bytes;
    s->distance = in_l2 > 0 ? found->reuse.distance
                            : clsa_cpu_churned(m, found->reuse.distance, found->reuse.traffic);
    s->age = found->reuse.seconds;
    if (s->row_bytes > 0)
        s->pool_bytes = (double)p->r->step->tensors[o->tensor].bytes;
    keep_found(c, 4 * i, s->bytes);
    keep_found(c, 4 * i + 1, s->distance);
    keep_found(c, 4 * i + 2, m->l3_foreign > 0 ? s->age : 0);
    keep_found(c, 4 * i + 3, s->pool_bytes);
}

/* The rows of stream i, told apart by who used them last. */
static int find_selection(struct pricing *p, struct op_class *c, const struct clsa_op *op, unsigned i)
{
    const struct clsa_cpu_stream *s = &c->call.streams[i];
    const struct clsa_operand *o = &op->operands[s->operand];
    const double keys = (double)clsa_op_keys_total(p->r->step, op);
    const uint64_t set = (uint64_t)p->distances.variant << 32 | (uint32_t)op->set;
    struct clsa_chance_part parts[1 + CLSA_CHANCE_OTHERS];
    double bytes = s->bytes;
    for (unsigned j = 0; j < CLSA_CHANCE_OTHERS; j++)
        bytes += c->call.streams[c->others[i] + j].bytes;
    if (clsa_chance_touch(&p->chance, &p->stack, o, set, bytes, fmin(1, bytes / s->row_bytes / fmax(1, keys)),
                          parts))
        return CLSA_ENOMEM;
    keep_stream(p, c, i, o, &parts[0]);
    for (unsigned j = 0; j < CLSA_CHANCE_OTHERS; j++)
        keep_stream(p, c, c->others[i] + j, o, &parts[1 + j]);
    return 0;
}

static int find_cpu(struct pricing *p, struct op_class *c, const struct clsa_op *op)
{
    for (unsigned i = 0; i < c->n_mapped; i++) {
        const struct clsa_cpu_stream *s = &c->call.streams[i];
        const struct clsa_operand *o = &op->operands[s->operand];
        struct clsa_chance_part found = {.bytes = s->bytes};
        if (c->others[i]) {
            if (find_selection(p, c, op, i))
                return CLSA_ENOMEM;
            continue;
        }
        double *touched = clsa_distances_find(&p->distances, op, o);
        if (!touched || clsa_stack_touch(&p->stack, touched, s->bytes, &found.reuse))
            return CLSA_ENOMEM;
        keep_stream(p, c, i, o, &found);
    }
    return 0;
}

static void time_cpu(const struct pricing *p, struct op_class *c)
{
    struct clsa_cpu_time time = {0};
    c->call.unsettled = p->unsettled;
    if (c->call.parts > 0)
        clsa_cpu_call_time(p->r->machine, &c->call, p->r->threads, &time);
    c->last.launches = c->call.parts > 0;
    c->last.bound = time.memory_bound ? CLSA_BOUND_DRAM : CLSA_BOUND_VECTOR;
    set_outcome(c, time.seconds, time.l1_bytes, time.l2_bytes, time.dram_bytes);
}

/* The ops of a large model do not fit a core's L2, and nothing waits for the next ones. */
#define AHEAD 4
#define FETCHED (offsetof(struct clsa_op, operands) + 3 * sizeof(struct clsa_operand))

static void fetch_ahead(const struct clsa_step *step, size_t i)
{
    if (i + AHEAD >= step->n_ops)
        return;
    const char *op = (const char *)&step->ops[i + AHEAD];
    for (size_t at = 0; at < FETCHED; at += 64)
        __builtin_prefetch(op + at);
}

/* One walk over the ops; `out` NULL only moves the cache state. */
static int walk(struct pricing *p, struct clsa_prediction *out)
{
    const struct clsa_step *step = p->r->step;
    const bool gpu = p->r->machine->kind == CLSA_MACHINE_GPU;
    struct op_class *c = NULL;
    for (size_t i = 0; i < p->n_classes; i++)
        p->classes[i].seconds = p->classes[i].count = 0;
    for (size_t i = 0; i < step->n_ops; i++) {
        fetch_ahead(step, i);
        int status = find_class(p, i, c, &c);
        if (!status)
            status = gpu ? find_gpu(p, c, &step->ops[i]) : find_cpu(p, c, &step->ops[i]);
        if (status)
            return status;
        if (!out && gpu)
            continue;
        if (c->stale)
            (gpu ? time_gpu : time_cpu)(p, c);
        p->stack.now.seconds += c->last_seconds;
        if (!out)
            continue;
        const struct clsa_op_prediction *last = &c->last;
        c->seconds += c->last_seconds;
        c->count++;
        out->step_ps += last->ps;
        out->part_ps[last->part] += last->ps;
        out->launches += last->launches;
        out->l1_bytes += last->l1_bytes;
        out->l2_bytes += last->l2_bytes;
        out->dram_bytes += last->dram_bytes;
        if (out->ops)
            out->ops[i] = *last;
    }
    return 0;
}

/* After a walk: where all that it touched fits into the last caches of its threads, these learn it; where it is twice as
 * much, they have not learnt the part of what comes from beyond L2 which never comes again. */
static void learn(struct pricing *p)
{
    const struct clsa_machine *m = p->r->machine;
    const double distinct = p->stack.total, traffic = p->stack.now.traffic;
    const double l3 = m->l3_size * (m->l3_cores > 0 ? ceil(clsa_cpu_threads(m, p->r->threads) / m->l3_cores) : 1);
    if (!m->curve_unsettled.n || distinct <= l3)
        return;
    p->unsettled = fmin(1, distinct / l3 - 1) * fmin(1, distinct / traffic);
    for (size_t i = 0; i < p->n_classes; i++)
        p->classes[i].stale = true;
}

/* Caches left by equal steps, or empty. */
static int settle(struct pricing *p, struct clsa_prediction *out)
{
    const struct clsa_closed_request *r = p->r;
    int status = 0;
    if (r->variants > 1 && !r->cold) {
        for (uint32_t v = 0; !status && v < r->variants; v++) {
            p->distances.variant = v;
            status = walk(p, NULL);
        }
        p->distances.variant = 0;
        learn(p);
        return status ? status : walk(p, out);
    }
    status = walk(p, out);
    /* A step that leaves nothing of what the next one first asks for is its own steady state. */
    const double kept = fmax(p->l2_none, 1.05 * r->machine->l3_size);
    if (status || r->cold ||
        (r->machine->kind == CLSA_MACHINE_GPU && clsa_distances_next(&p->distances) >= kept))
        return status;
    struct clsa_op_prediction *ops = out->ops;
    *out = (struct clsa_prediction){.n_ops = out->n_ops, .ops = ops};
    learn(p);
    return walk(p, out);
}

/* Prefill is issued kernel by kernel: the host runs ahead of the GPU or holds it up. */
static void host_bound(const struct clsa_closed_request *r, struct clsa_prediction *out)
{
    double seconds = 0;
    if (r->no_host || r->machine->kind != CLSA_MACHINE_GPU || r->step->phase != CLSA_PREFILL)
        return;
    for (size_t i = 0; i < r->step->n_ops; i++)
        if (clsa_impl_get(r->impl, &r->step->ops[i], CLSA_IMPL_LAUNCH) != CLSA_LAUNCH_FUSED)
            seconds += clsa_impl_get(r->impl, &r->step->ops[i], CLSA_IMPL_HOST_TIME);
    const uint64_t ps = picoseconds(seconds);
    if (ps <= out->step_ps)
        return;
    out->part_ps[CLSA_PART_OTHER] += ps - out->step_ps;
    out->step_ps = ps;
}

static void intervals(const struct pricing *p, struct clsa_prediction *out)
{
    const struct clsa_closed_request *r = p->r;
    struct clsa_interval_sum sum;
    memset(&sum, 0, sizeof sum);
    for (size_t i = 0; i < p->n_classes; i++) {
        struct op_class *c = &p->classes[i];
        if (c->count <= 0)
            continue;
        clsa_interval_op(r->machine, r->impl, c->op, c->seconds / c->count, &c->below, &c->above);
        clsa_interval_add(&sum, c->op, c->seconds * c->below, c->seconds * c->above);
    }
    double below, above;
    clsa_interval_step(&sum, r->impl, &below, &above);
    const double whole = (double)out->step_ps * 1e-12;
    out->step_ps_lo = picoseconds(fmax(0, whole - below));
    out->step_ps_hi = picoseconds(whole + above);
    for (size_t i = 0; out->ops && i < out->n_ops; i++) {
        const struct op_class *c = &p->classes[p->of_op[i]];
        out->ops[i].ps_lo = (uint64_t)((double)out->ops[i].ps * (1 - c->below));
        out->ops[i].ps_hi = (uint64_t)((double)out->ops[i].ps * (1 + c->above));
    }
}

int clsa_closed_predict(const struct clsa_closed_request *request, struct clsa_prediction *out,
                        struct clsa_err *err)
{
    const struct clsa_step *step = request->step;
    struct clsa_prediction prediction = {.n_ops = step->n_ops};
    struct pricing p = {.r = request, .err = err};
    int status = clsa_distances_init(&p.distances, step, !request->cold);
    if (!status) {
        p.of_op = clsa_malloc(step->n_ops + 1, sizeof *p.of_op);
        prediction.ops = request->no_ops ? NULL : clsa_calloc(step->n_ops + 1,
                                                              sizeof *prediction.ops);
        if (!p.of_op || (!prediction.ops && !request->no_ops))
            status = CLSA_ENOMEM;
    }
    if (!status) {
        memset(p.of_op, 0xff, step->n_ops * sizeof *p.of_op);
        if (request->machine->kind == CLSA_MACHINE_GPU)
            clsa_gpu_l2_edges(request->machine, &p.l2_all, &p.l2_none);
        status = settle(&p, &prediction);
    }
    if (!status) {
        host_bound(request, &prediction);
        intervals(&p, &prediction);
    }
    pricing_destroy(&p);
    if (status) {
        clsa_prediction_destroy(&prediction);
        return status == CLSA_ENOMEM ? clsa_fail(err, status, "out of memory") : status;
    }
    *out = prediction;
    return 0;
}
