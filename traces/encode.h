/* The records of a trace as bytes (format.h rules 8 to 11): what the writer puts into chunks, and
 * what two traces are compared by. Appends to the buffer. */
#ifndef CLSA_TRACES_ENCODE_H
#define CLSA_TRACES_ENCODE_H

#include "traces/format.h"
#include "traces/wire.h"

void clsa_encode_tensors(struct clsa_buffer *b, const struct clsa_step *step);
/* Without the step's number, which the writer puts in front. */
void clsa_encode_step(struct clsa_buffer *b, const struct clsa_trace_step *trace);
void clsa_encode_op(struct clsa_buffer *b, const struct clsa_op *op);
void clsa_encode_set(struct clsa_buffer *b, const struct clsa_index_set *set);

#endif
