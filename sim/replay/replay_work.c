#include "sim/replay/replay_work.h"

void clsa_issue_begin(struct clsa_issue *issue, struct clsa_work *w, bool write, double bytes,
                      uint32_t cores)
{
    *issue = (struct clsa_issue){.memory = w->replay->memory, .write = write, .cores = cores};
    issue->left = issue->share = (uint64_t)(bytes / cores) + 1;
}

int clsa_issue_runs(void *user, const struct clsa_byte_run *runs, size_t n)
{
    struct clsa_issue *in = user;
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

void clsa_work_take(struct clsa_work *w, struct clsa_traffic *out)
{
    clsa_hierarchy_take(w->replay->memory, out);
    count(w->counts, out, clsa_hierarchy_levels(w->replay->memory));
}

static uint64_t picoseconds(double seconds)
{
    return seconds > 0 ? (uint64_t)(seconds * 1e12 + 0.5) : 0;
}

int clsa_work_tell(struct clsa_work *w, const char *name, uint32_t repeat, double seconds,
                   double gap, uint8_t bound, double l2_bytes, double dram_bytes)
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
