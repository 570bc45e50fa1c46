#include "sim/replay/timeline.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/json.h"

enum track { STEPS = 1, OPS, KERNELS };

/* A step or an op under way: the time from its first kernel's start to its last one's end. */
struct span {
    bool open;
    uint64_t start_ps, end_ps;
    char name[64];
    uint64_t step;
    size_t op_index;
    int32_t layer;
};

struct clsa_timeline {
    struct clsa_outfile file;
    unsigned process;
    bool any;
    struct span step, op;
};

static FILE *out(struct clsa_timeline *t)
{
    return t->file.stream;
}

static void begin_event(struct clsa_timeline *t, char phase, unsigned track, const char *name)
{
    fprintf(out(t), "%s{\"ph\":\"%c\",\"pid\":%u,\"tid\":%u,\"name\":", t->any ? ",\n" : "\n",
            phase, t->process, track);
    clsa_json_put_string(out(t), name);
    t->any = true;
}

static void put_us(struct clsa_timeline *t, const char *key, uint64_t ps)
{
    fprintf(out(t), ",\"%s\":%" PRIu64 ".%06" PRIu64, key, ps / 1000000, ps % 1000000);
}

static void name_track(struct clsa_timeline *t, const char *what, unsigned track, const char *name)
{
    begin_event(t, 'M', track, what);
    fputs(",\"args\":{\"name\":", out(t));
    clsa_json_put_string(out(t), name);
    fputs("}}", out(t));
}

static void end_span(struct clsa_timeline *t, struct span *span, unsigned track)
{
    if (!span->open)
        return;
    begin_event(t, 'X', track, span->name);
    put_us(t, "ts", span->start_ps);
    put_us(t, "dur", span->end_ps - span->start_ps);
    fprintf(out(t), ",\"args\":{\"step\":%" PRIu64, span->step);
    if (track == OPS)
        fprintf(out(t), ",\"op\":%zu,\"layer\":%" PRId32, span->op_index, span->layer);
    fputs("}}", out(t));
    span->open = false;
}

int clsa_timeline_open(const char *path, struct clsa_timeline **timeline, struct clsa_err *err)
{
    struct clsa_timeline *t = clsa_calloc(1, sizeof *t);
    if (!t)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
    const int status = clsa_outfile_open(path, &t->file, err);
    if (status) {
        free(t);
        return status;
    }
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", out(t));
    *timeline = t;
    return 0;
}

void clsa_timeline_machine(struct clsa_timeline *t, const char *name)
{
    end_span(t, &t->op, OPS);
    end_span(t, &t->step, STEPS);
    t->process++;
    name_track(t, "process_name", STEPS, name);
    name_track(t, "thread_name", STEPS, "steps");
    name_track(t, "thread_name", OPS, "ops");
    name_track(t, "thread_name", KERNELS, "kernels");
}

static const char *bound_text(unsigned bound)
{
    static const char *const texts[CLSA_BOUNDS] = {"launch", "latency", "dram",
                                                   "l2",     "tensor",  "vector"};
    return bound < CLSA_BOUNDS ? texts[bound] : "unknown";
}

int clsa_timeline_kernel(void *timeline, const struct clsa_replay_kernel *k)
{
    struct clsa_timeline *t = timeline;
    const bool same_step = t->step.open && t->step.step == k->step;
    if (!same_step || t->op.op_index != k->op_index)
        end_span(t, &t->op, OPS);
    if (!same_step) {
        end_span(t, &t->step, STEPS);
        t->step = (struct span){.open = true, .start_ps = k->start_ps, .step = k->step};
        snprintf(t->step.name, sizeof t->step.name, "step %" PRIu64, k->step);
    }
    if (!t->op.open) {
        t->op = (struct span){.open = true,
                              .start_ps = k->start_ps,
                              .step = k->step,
                              .op_index = k->op_index,
                              .layer = k->op->layer};
        clsa_op_name(k->op, t->op.name, sizeof t->op.name);
    }
    t->step.end_ps = t->op.end_ps = k->start_ps + k->ps;

    const uint64_t gap = k->gap_ps < k->ps ? k->gap_ps : k->ps;
    const uint64_t busy = k->ps - gap;
    begin_event(t, 'X', KERNELS, k->name);
    fprintf(out(t), ",\"cat\":\"%s\"", clsa_op_kind_text(k->op->kind));
    put_us(t, "ts", k->start_ps + gap);
    put_us(t, "dur", busy);
    fprintf(out(t),
            ",\"args\":{\"op\":%zu,\"launches\":%u,\"gap_ps\":%" PRIu64
            ",\"bound\":\"%s\",\"l2_bytes\":%" PRIu64 ",\"dram_bytes\":%" PRIu64 "}}",
            k->op_index, k->repeat, gap, bound_text(k->bound), k->l2_bytes, k->dram_bytes);
    /* bytes a picosecond are terabytes a second */
    begin_event(t, 'C', KERNELS, "DRAM GB/s");
    put_us(t, "ts", k->start_ps + gap);
    fprintf(out(t), ",\"args\":{\"rate\":%" PRIu64 "}}",
            busy ? (uint64_t)((double)k->dram_bytes * 1000 / (double)busy) : 0);
    return 0;
}

int clsa_timeline_commit(struct clsa_timeline *t, struct clsa_err *err)
{
    end_span(t, &t->op, OPS);
    end_span(t, &t->step, STEPS);
    fputs("\n]}\n", out(t));
    const int status = clsa_outfile_commit(&t->file, err);
    free(t);
    return status;
}

void clsa_timeline_abort(struct clsa_timeline *t)
{
    if (!t)
        return;
    clsa_outfile_abort(&t->file);
    free(t);
}
