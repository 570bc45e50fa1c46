/* What a stream of a kernel touches: its operand's rows as runs of bytes, in the order of the work
 * units (sequence, then row), gathers by their index sets. Inside sim/replay. */
#ifndef CLSA_REPLAY_UNITS_H
#define CLSA_REPLAY_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "hwmodels/access.h"
#include "sim/base/status.h"
#include "traces/format.h"

/* Takes runs as they come; what it returns other than 0 ends the walk. */
typedef int (*clsa_units_emit)(void *user, const struct clsa_byte_run *runs, size_t n);

/* Operands of an op that are walked together: those that share tensor, axis and strides, such as K
 * and V of one interleaved cache, whose rows then make one consecutive row. */
struct clsa_units_group {
    unsigned n;
    unsigned operands[CLSA_OP_OPERANDS];
};

/* The group of operand `first` among the operands whose bits are set in `wanted` (bit `first`
 * too). */
void clsa_units_join(const struct clsa_op *op, unsigned first, unsigned wanted,
                     struct clsa_units_group *group);

/* Emits the rows of a group. At most `limit_bytes` of an operand over outputs (axis N) are emitted:
 * a grouped product touches the experts that were hit and no others. Returns 0, what `emit`
 * returned, CLSA_EFORMAT (an index set is missing; the message names step, query and set) or
 * CLSA_ELIMIT (rows without end). */
int clsa_units_walk(const struct clsa_trace_step *trace, const struct clsa_op *op,
                    const struct clsa_units_group *group, uint64_t limit_bytes,
                    clsa_units_emit emit, void *user, struct clsa_err *err);

/* Rows that clsa_units_walk visits, all pieces of a row counted once. */
uint64_t clsa_units_rows(const struct clsa_trace_step *trace, const struct clsa_op *op,
                         const struct clsa_units_group *group);

#endif
