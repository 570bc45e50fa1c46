#include "sim/replay/replay_work.h"

#include "sim/replay/map_cpu.h"

static double part(uint64_t of, double whole)
{
    const double x = whole > 0 ? 1 - (double)of / whole : 1;
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

int clsa_replay_cpu(struct clsa_work *w, struct clsa_err *err)
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
        struct clsa_issue issue;
        clsa_issue_begin(&issue, w, s->write, bytes, cores);
        const int status =
            clsa_units_walk(w->trace, w->op, &group, (uint64_t)bytes, clsa_issue_runs, &issue, err);
        if (status)
            return status;
        clsa_work_take(w, &t);
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
    return clsa_work_tell(w, clsa_op_kind_text(w->op->kind), 1, time.seconds, 0,
                          time.memory_bound ? CLSA_BOUND_DRAM : CLSA_BOUND_VECTOR, time.l2_bytes,
                          time.dram_bytes);
}
