/* Writes a trace (traces/format.h), step by step, in memory that does not grow with the run. */
#ifndef CLSA_TRACES_WRITER_H
#define CLSA_TRACES_WRITER_H

#include "sim/base/status.h"
#include "traces/format.h"

struct clsa_trace_writer;

/* Starts a trace at `path` ("-" is standard output). Until clsa_trace_writer_commit the bytes sit
 * under a temporary name. The provenance pairs are copied, sorted by key; one without a value is
 * left out; a key given twice, an empty key or text that is not UTF-8 is CLSA_EUSAGE.
 * Returns 0, CLSA_EIO, CLSA_ENOMEM or CLSA_EUSAGE; *out owned by the caller. */
int clsa_trace_writer_open(const char *path, const struct clsa_provenance *provenance,
                           size_t n_provenance, struct clsa_trace_writer **out,
                           struct clsa_err *err);

/* Appends one step; step->number is not looked at, steps are numbered as they come. Everything that
 * `step` points to is borrowed for the call.
 * Returns 0, CLSA_EIO, CLSA_ENOMEM, CLSA_ELIMIT (one record beyond the largest chunk) or
 * CLSA_ERANGE (a step that traces/bounds.h refuses). After a failure the writer can only be
 * destroyed. */
int clsa_trace_write(struct clsa_trace_writer *writer, const struct clsa_trace_step *step,
                     struct clsa_err *err);

/* Writes index and footer, flushes and renames. The writer can only be destroyed afterwards.
 * Returns 0, CLSA_EIO, CLSA_ELIMIT or CLSA_ENOMEM; on failure nothing is left at `path` that was
 * not there before. */
int clsa_trace_writer_commit(struct clsa_trace_writer *writer, struct clsa_err *err);

/* Frees the writer; what was not committed is dropped. Takes NULL. */
void clsa_trace_writer_destroy(struct clsa_trace_writer *writer);

#endif
