/* Writes what an engine does into a trace: the glue between an observer and a writer. */
#ifndef CLSA_RECORD_RECORD_H
#define CLSA_RECORD_RECORD_H

#include "sim/engine/observer.h"
#include "traces/writer.h"

struct clsa_recorder;

/* The writer is borrowed; committing it stays with its owner.
 * Returns 0 or CLSA_ENOMEM. */
int clsa_recorder_create(struct clsa_trace_writer *writer, struct clsa_recorder **out,
                         struct clsa_err *err);
void clsa_recorder_destroy(struct clsa_recorder *recorder);

/* The observer to hand to an engine; it lives as long as the recorder. Its callbacks return a
 * negative clsa_status when the trace cannot be written, which ends the run; clsa_recorder_error
 * then says why. Wall times are not recorded: a trace is the same whatever ran it. */
const struct clsa_observer *clsa_recorder_observer(const struct clsa_recorder *recorder);
/* The message of the last failure ("" if there was none). */
const char *clsa_recorder_error(const struct clsa_recorder *recorder);
uint64_t clsa_recorder_steps(const struct clsa_recorder *recorder);

#endif
