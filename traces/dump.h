/* The text form of a trace, one line a record: `clsa trace dump`.
 *
 *   trace VERSION / provenance KEY VALUE (JSON string)
 *   tensor I NAME KIND DTYPE layer L at 0xADDRESS bytes N
 *   step N PHASE group G top_k K seqs S new T kv shared|own sets N queries Q ops O
 *   seq I past P
 *   query I seq S keys N
 *   op I NAME layer L m n k ... flops F read R write W
 *   operand I read|write NAME axis A offset row_bytes row_stride seq_stride head_stride ring
 *   set GROUP query Q count N: 0 3 5-9 12     (runs of positions joined by '-')
 * The tensor table is printed where it changes. Fields that are 0 or -1 are left out. */
#ifndef CLSA_TRACES_DUMP_H
#define CLSA_TRACES_DUMP_H

#include <stdio.h>

#include "traces/tool.h"

struct clsa_trace_dump {
    FILE *out;
    bool tensors, ops, operands, sets; /* what to print besides steps */
    /* internal: the table printed last */
    struct clsa_tensor *table;
    uint32_t n_table, table_room;
};

/* The dump as a tool. `dump` is the caller's; afterwards free(dump->table). */
struct clsa_trace_tool clsa_trace_dump_tool(struct clsa_trace_dump *dump);

/* Prints steps first .. last of the trace at `path` with everything that `what` asks for. Returns
 * 0, what the reader returns, or CLSA_EIO when `out` cannot be written. */
int clsa_trace_dump(const char *path, uint64_t first, uint64_t last,
                    const struct clsa_trace_dump *what, struct clsa_err *err);

#endif
