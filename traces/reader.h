/* Reads a trace (traces/format.h), one step at a time, from a file or a pipe.
 *
 * What a reader yields is safe to index with: every number in it has passed clsa_trace_bounds
 * (traces/bounds.h). Whether it also makes sense is for clsa_trace_check_step (traces/validate.h).
 * Messages read "path: offset N, chunk K (KIND): what is wrong"; the offset is that of the chunk.
 */
#ifndef CLSA_TRACES_READER_H
#define CLSA_TRACES_READER_H

#include "sim/base/status.h"
#include "traces/format.h"

struct clsa_trace_reader;

/* Opens a trace ("-" is standard input) and reads its header, provenance and vocabulary.
 * step_limit_bytes is the most memory that the contents of one step may take; 0 stands for 1 GiB or
 * half of the memory available, whichever is less.
 * Returns 0, CLSA_ENOTFOUND, CLSA_EIO, CLSA_EFORMAT, CLSA_EUNSUPPORTED (another version) or
 * CLSA_ENOMEM; *out owned by the caller. */
int clsa_trace_open(const char *path, uint64_t step_limit_bytes, struct clsa_trace_reader **out,
                    struct clsa_err *err);
/* The same from memory that the caller keeps until the reader is closed; `name` is for messages. */
int clsa_trace_open_memory(const char *name, const void *data, size_t bytes,
                           uint64_t step_limit_bytes, struct clsa_trace_reader **out,
                           struct clsa_err *err);
/* Takes NULL. */
void clsa_trace_close(struct clsa_trace_reader *reader);

/* Borrowed from the reader. */
const struct clsa_trace_header *clsa_trace_header(const struct clsa_trace_reader *reader);

/* Reads the next step. Returns 1 and *out (borrowed; valid until the next call on this reader), 0
 * at the end of a whole trace, or CLSA_EFORMAT (damaged, cut off, out of bounds), CLSA_EIO,
 * CLSA_EUNSUPPORTED (a word this version does not know), CLSA_ELIMIT (a step larger than the limit)
 * or CLSA_ENOMEM. After a failure every further call fails the same way. */
int clsa_trace_next(struct clsa_trace_reader *reader, const struct clsa_trace_step **out,
                    struct clsa_err *err);

/* Number of steps, from the footer. Returns 0, CLSA_EUNSUPPORTED on a pipe, or as clsa_trace_next.
 */
int clsa_trace_count(struct clsa_trace_reader *reader, uint64_t *steps, struct clsa_err *err);
/* Makes `step` (0 ..) the one that clsa_trace_next yields next. Returns 0, CLSA_ENOTFOUND (no such
 * step; the reader stays where it was), CLSA_EUNSUPPORTED on a pipe, or as clsa_trace_next. */
int clsa_trace_seek(struct clsa_trace_reader *reader, uint64_t step, struct clsa_err *err);

#endif
