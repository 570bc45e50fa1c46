#include "traces/tool.h"

#include <inttypes.h>

static int begin(const struct clsa_trace_reader *reader, const struct clsa_trace_tool *tools,
                 size_t n_tools, struct clsa_err *err)
{
    int status = 0;
    for (size_t i = 0; i < n_tools && !status; i++)
        if (tools[i].init)
            status = tools[i].init(tools[i].state, clsa_trace_header(reader), err);
    return status;
}

static int finish(const struct clsa_trace_tool *tools, size_t n_tools, struct clsa_err *err)
{
    int status = 0;
    for (size_t i = 0; i < n_tools && !status; i++)
        if (tools[i].finish)
            status = tools[i].finish(tools[i].state, err);
    return status;
}

static int walk(struct clsa_trace_reader *reader, uint64_t first, uint64_t last,
                const struct clsa_trace_tool *tools, size_t n_tools, struct clsa_err *err)
{
    const struct clsa_trace_step *step;
    uint64_t seen = 0;
    int status = begin(reader, tools, n_tools, err), more;
    if (status)
        return status;
    while ((more = clsa_trace_next(reader, &step, err)) > 0) {
        seen = step->number + 1;
        if (step->number < first)
            continue;
        for (size_t i = 0; i < n_tools; i++) {
            status = tools[i].record(tools[i].state, step, err);
            if (status)
                return status;
        }
        if (step->number >= last)
            break;
    }
    if (more < 0)
        return more;
    if (first && seen <= first)
        return clsa_fail(err, CLSA_ENOTFOUND, "%s: no step %" PRIu64 "; it has %" PRIu64,
                         clsa_trace_header(reader)->name, first, seen);
    return finish(tools, n_tools, err);
}

int clsa_trace_walk(struct clsa_trace_reader *reader, const struct clsa_trace_tool *tools,
                    size_t n_tools, struct clsa_err *err)
{
    return walk(reader, 0, UINT64_MAX, tools, n_tools, err);
}

int clsa_trace_walk_file(const char *path, uint64_t first, uint64_t last,
                         const struct clsa_trace_tool *tools, size_t n_tools, struct clsa_err *err)
{
    struct clsa_trace_reader *reader = NULL;
    int status = clsa_trace_open(path, 0, &reader, err);
    if (status)
        return status;
    if (first) {
        struct clsa_err unseekable;
        status = clsa_trace_seek(reader, first, &unseekable);
        if (status == CLSA_EUNSUPPORTED)
            status = 0; /* a pipe: the walk reads up to it */
        else if (status && err)
            *err = unseekable;
    }
    if (!status)
        status = walk(reader, first, last, tools, n_tools, err);
    clsa_trace_close(reader);
    return status;
}
