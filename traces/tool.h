/* What can be done with a trace: tools are peers that see its header and then each step once.
 *
 * A tool keeps no pointer into a step after `record` returns. Tools that print do so in `finish` or
 * as they go, to a stream that their maker gave them. Tests feed tools with steps of their own
 * making. */
#ifndef CLSA_TRACES_TOOL_H
#define CLSA_TRACES_TOOL_H

#include "sim/base/status.h"
#include "traces/format.h"
#include "traces/reader.h"

/* Members return 0 or a negative clsa_status that ends the walk; init and finish may be NULL. */
struct clsa_trace_tool {
    void *state;
    int (*init)(void *state, const struct clsa_trace_header *header, struct clsa_err *err);
    int (*record)(void *state, const struct clsa_trace_step *step, struct clsa_err *err);
    int (*finish)(void *state, struct clsa_err *err);
};

/* Walks all steps from where the reader stands to its end, past all tools. Returns the first
 * failure of the reader or of a tool, 0 otherwise. */
int clsa_trace_walk(struct clsa_trace_reader *reader, const struct clsa_trace_tool *tools,
                    size_t n_tools, struct clsa_err *err);

/* The same over the steps [first, last] of the trace at `path` ("-": standard input, which is read
 * past the steps before). A first step that the trace lacks is CLSA_ENOTFOUND. */
int clsa_trace_walk_file(const char *path, uint64_t first, uint64_t last,
                         const struct clsa_trace_tool *tools, size_t n_tools, struct clsa_err *err);

#endif
