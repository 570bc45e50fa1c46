#include "sim/replay/replay_work.h"

#include <math.h>
#include <stdlib.h>

#include "sim/base/alloc.h"
#include "sim/replay/map.h"

/* Bytes around a page walk that wait for it, of a long run: what its loads have in flight. */
#define WALK_SHADOW_BYTES 4096.0
/* Waves that the streams of a kernel are cut into at most; later ones do the same in the same
 * order. */
#define WAVES_MAX 16
/* Runs of a stream that are held to be cut; a stream of more is not. */
#define RUNS_MAX (1u << 20)

/* Sums over the streams of a kernel. */
struct gpu_sums {
    struct clsa_gpu_service service;
    double l1_hits, l3_hits;
    uint64_t dram_seen_ps; /* service time counted so far */
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
    sums->dram_ps += times * (double)(t->dram_ps - sums->dram_seen_ps);
    sums->dram_seen_ps = t->dram_ps;
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

/* A stream of a kernel, joined with those that share its rows, and how far it is. */
struct feed {
    const struct clsa_gpu_stream *stream;
    bool scratch;
    struct clsa_units_group group;
    double bytes, again;        /* distinct bytes; bytes of later passes that L1 does not answer */
    bool every_wave;            /* small and asked for by all blocks */
    uint64_t address;           /* of scratch */
    struct clsa_byte_run *runs; /* where it is cut */
    size_t n, room, at;
    uint64_t offset; /* into runs[at] */
};

static int keep_runs(void *user, const struct clsa_byte_run *runs, size_t n)
{
    struct feed *f = user;
    if (f->n + n > RUNS_MAX)
        return CLSA_ELIMIT;
    if (!clsa_grow(&f->runs, &f->room, f->n + n, sizeof *f->runs))
        return CLSA_ENOMEM;
    for (size_t i = 0; i < n; i++)
        f->runs[f->n++] = runs[i];
    return 0;
}

/* All of a stream, to wherever `emit` brings it. */
static int walk_feed(struct clsa_work *w, const struct feed *f, clsa_units_emit emit, void *user,
                     struct clsa_err *err)
{
    if (!f->scratch)
        return clsa_units_walk(w->trace, w->op, &f->group, (uint64_t)f->bytes, emit, user, err);
    const struct clsa_byte_run run = {f->address, (uint64_t)f->bytes};
    return run.bytes ? emit(user, &run, 1) : 0;
}

static int issue_whole(struct clsa_work *w, const struct feed *f, struct clsa_err *err)
{
    struct clsa_issue issue;
    clsa_issue_begin(&issue, w, f->stream->write, 0, 1);
    return walk_feed(w, f, clsa_issue_runs, &issue, err);
}

/* The next `bytes` of a stream whose runs are held. */
static void issue_part(struct clsa_work *w, struct feed *f, uint64_t bytes)
{
    struct clsa_issue issue;
    clsa_issue_begin(&issue, w, f->stream->write, 0, 1);
    while (f->at < f->n && bytes) {
        struct clsa_byte_run first = {f->runs[f->at].address + f->offset,
                                      f->runs[f->at].bytes - f->offset};
        if (f->offset || first.bytes > bytes) { /* part of a run */
            first.bytes = first.bytes < bytes ? first.bytes : bytes;
            clsa_issue_runs(&issue, &first, 1);
            bytes -= first.bytes;
            f->offset += first.bytes;
            if (f->offset == f->runs[f->at].bytes) {
                f->at++;
                f->offset = 0;
            }
            continue;
        }
        size_t n = 0; /* whole runs */
        while (f->at + n < f->n && f->runs[f->at + n].bytes <= bytes)
            bytes -= f->runs[f->at + n++].bytes;
        clsa_issue_runs(&issue, f->runs + f->at, n);
        f->at += n;
    }
}

/* The streams of a kernel as feeds, and what they ask of the levels. */
static unsigned make_feeds(struct clsa_work *w, const struct clsa_gpu_kernel *k,
                           struct gpu_sums *sums, struct feed *feeds)
{
    const struct clsa_machine *m = w->replay->request.machine;
    uint64_t scratch[2] = {w->scratch, w->scratch};
    unsigned wanted[2] = {0, 0}, n = 0;
    for (unsigned i = 0; i < k->n_streams; i++)
        if (k->streams[i].operand >= 0)
            wanted[k->streams[i].write] |= 1u << k->streams[i].operand;
    for (unsigned i = 0; i < k->n_streams; i++) {
        const struct clsa_gpu_stream *stream = &k->streams[i];
        struct feed f = {.stream = stream, .bytes = stream->unique_bytes};
        double asked = stream->total_bytes;
        if (stream->write) {
            sums->service.write_bytes += asked;
        } else {
            sums->service.l1_bytes += asked;
            if (stream->block_passes > 1) {
                f.again = asked * (1 - 1 / stream->block_passes);
                const double kept = f.again * clsa_gpu_l1_kept(m, k, stream->block_bytes);
                asked -= kept;
                f.again -= kept;
                sums->l1_hits += kept;
            }
            sums->service.l2_bytes += asked;
        }
        f.scratch = stream->operand < 0;
        if (f.scratch) {
            f.address = scratch[stream->write];
            scratch[stream->write] += (uint64_t)f.bytes;
        } else {
            if (!(wanted[stream->write] >> stream->operand & 1))
                continue; /* goes with an operand that shares its rows */
            clsa_units_join(w->op, (unsigned)stream->operand, wanted[stream->write], &f.group);
            for (unsigned g = 0; g < f.group.n; g++)
                wanted[stream->write] &= ~(1u << f.group.operands[g]);
        }
        feeds[n++] = f;
    }
    return n;
}

/* Waves of a kernel whose bytes are worth cutting: less than an eighth of L2 stays there anyhow. */
static unsigned waves_of(const struct clsa_machine *m, const struct clsa_gpu_kernel *k)
{
    double bytes = 0;
    for (unsigned i = 0; i < k->n_streams; i++)
        bytes += k->streams[i].unique_bytes;
    const double waves = ceil((double)k->blocks / (m->sm_count * k->resident));
    if (bytes < m->l2_size / 8 || waves < 2)
        return 1;
    return waves < WAVES_MAX ? (unsigned)waves : WAVES_MAX;
}

/* Holds the runs of all feeds; CLSA_ELIMIT when some have too many. */
static int hold_feeds(struct clsa_work *w, struct feed *feeds, unsigned n, unsigned waves,
                      struct clsa_err *err)
{
    const double small = w->replay->request.machine->l2_size / 16;
    for (unsigned i = 0; i < n; i++) {
        struct feed *f = &feeds[i];
        const int status = walk_feed(w, f, keep_runs, f, err);
        if (status)
            return status;
        f->every_wave = !f->stream->write && f->bytes < small &&
                        f->stream->total_bytes >= waves * f->stream->unique_bytes;
    }
    return 0;
}

/* Wave by wave, each with its share of every stream, so that what is written and what is read push
 * each other out of the caches as they go. */
static int issue_waves(struct clsa_work *w, struct gpu_sums *sums, struct feed *feeds, unsigned n,
                       unsigned waves)
{
    const struct clsa_machine *m = w->replay->request.machine;
    for (unsigned wave = 0; wave < waves; wave++)
        for (unsigned i = 0; i < n; i++) {
            struct feed *f = &feeds[i];
            struct clsa_traffic t;
            uint64_t share = wave + 1 == waves ? UINT64_MAX : (uint64_t)(f->bytes / waves) + 1;
            if (f->every_wave) {
                f->at = f->offset = 0;
                share = UINT64_MAX;
            }
            issue_part(w, f, share);
            clsa_work_take(w, &t);
            add_traffic(sums, m, f->stream, &t, 1);
        }
    return 0;
}

/* The streams of one launch. Later passes of a block over the same bytes come back after all
 * blocks' first ones; what the SMs' L1 did not keep of them goes through memory once more for each
 * pass. */
static int issue_kernel(struct clsa_work *w, const struct clsa_gpu_kernel *k, struct gpu_sums *sums,
                        struct clsa_err *err)
{
    const struct clsa_machine *m = w->replay->request.machine;
    struct feed feeds[CLSA_GPU_STREAMS];
    struct clsa_traffic t;
    const unsigned n = make_feeds(w, k, sums, feeds);
    clsa_hierarchy_mark(w->replay->memory);
    unsigned waves = waves_of(m, k);
    int status = waves > 1 ? hold_feeds(w, feeds, n, waves, err) : 0;
    if (status == CLSA_ELIMIT) {
        waves = 1;
        status = 0;
    }
    if (!status && waves > 1)
        status = issue_waves(w, sums, feeds, n, waves);
    for (unsigned i = 0; !status && waves == 1 && i < n; i++)
        if ((status = issue_whole(w, &feeds[i], err)) == 0) {
            clsa_work_take(w, &t);
            add_traffic(sums, m, feeds[i].stream, &t, 1);
        }
    for (unsigned i = 0; !status && i < n; i++)
        if (feeds[i].again > 0 && !feeds[i].scratch &&
            (status = issue_whole(w, &feeds[i], err)) == 0) {
            clsa_work_take(w, &t);
            add_traffic(sums, m, feeds[i].stream, &t, feeds[i].again / fmax(feeds[i].bytes, 1));
        }
    for (unsigned i = 0; i < n; i++)
        free(feeds[i].runs);
    return status == CLSA_ENOMEM ? clsa_fail(err, status, "no memory for the rows of an op")
                                 : status;
}

static int gpu_service(struct clsa_work *w, const struct clsa_gpu_kernel *k,
                       struct clsa_gpu_service *out, struct clsa_err *err)
{
    const struct clsa_machine *m = w->replay->request.machine;
    struct gpu_sums sums = {0};
    struct clsa_gpu_service *s = &sums.service;
    const int status = issue_kernel(w, k, &sums, err);
    if (status)
        return status;
    s->dram_efficiency = sums.dram_ps > 0 ? sums.dram_ideal_ps / sums.dram_ps : 1;
    if (s->dram_efficiency > 1)
        s->dram_efficiency = 1;
    const double l2 = clsa_gpu_l2_latency(m), all = sums.l1_hits + s->l2_bytes;
    if (s->dram_bytes > s->l2_bytes)
        s->dram_bytes = s->l2_bytes;
    s->latency_s = l2;
    const double l3 = fmin(sums.l3_hits, s->l2_bytes - s->dram_bytes);
    s->l3_bytes = l3;
    if (all > 0) {
        s->latency_s = (sums.l1_hits * m->l1_latency / m->sm_clock +
                        l3 * m->l3_latency / m->sm_clock + (s->l2_bytes - s->dram_bytes - l3) * l2 +
                        s->dram_bytes * m->dram_latency + sums.walk_byte_s) /
                       all;
    }
    *out = *s;
    return 0;
}

int clsa_replay_gpu(struct clsa_work *w, struct clsa_err *err)
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
        status = clsa_work_tell(w, k->name, k->repeat, seconds, gap, (uint8_t)time.bound, l2, dram);
    }
    w->out->l1_bytes = w->counts->l1_bytes;
    w->out->l2_bytes = w->counts->l2_bytes;
    return status;
}
