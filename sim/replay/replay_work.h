/* Inside sim/replay: one op at work, and how its streams meet memory. */
#ifndef CLSA_REPLAY_WORK_H
#define CLSA_REPLAY_WORK_H

#include "sim/replay/replay.h"
#include "sim/replay/replay_units.h"

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

/* The op at work. */
struct clsa_work {
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

/* Sends runs through memory, dealt to `cores` in shares of consecutive bytes of `bytes` in all, as
 * a static division of the work would. */
struct clsa_issue {
    struct clsa_hierarchy *memory;
    bool write;
    uint32_t core, cores;
    uint64_t share, left; /* bytes a core gets, and those that the present one still gets */
};

void clsa_issue_begin(struct clsa_issue *issue, struct clsa_work *w, bool write, double bytes,
                      uint32_t cores);
/* A clsa_units_emit with the issue as user. Returns 0. */
int clsa_issue_runs(void *issue, const struct clsa_byte_run *runs, size_t n);
/* Traffic since the last call, also added to the op's counts. */
void clsa_work_take(struct clsa_work *w, struct clsa_traffic *out);
/* Adds a kernel's time to the op and tells the listener; returns what that returned. */
int clsa_work_tell(struct clsa_work *w, const char *name, uint32_t repeat, double seconds,
                   double gap, uint8_t bound, double l2_bytes, double dram_bytes);

/* The op's kernels on a GPU, its call on a CPU. */
int clsa_replay_gpu(struct clsa_work *w, struct clsa_err *err);
int clsa_replay_cpu(struct clsa_work *w, struct clsa_err *err);

#endif
