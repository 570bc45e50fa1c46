/* Payloads of a trace into the arrays of a step. Used by the reader alone.
 *
 * Every count is held against the bytes that are left of its payload before memory is taken, and
 * all arrays of a step together against a limit. */
#ifndef CLSA_TRACES_DECODE_H
#define CLSA_TRACES_DECODE_H

#include "sim/base/status.h"
#include "traces/format.h"
#include "traces/wire.h"

enum clsa_word_list { CLSA_WORDS_DTYPE, CLSA_WORDS_KIND, CLSA_WORDS_ROLE, CLSA_WORD_LISTS };

/* The file's vocabulary: the number that this version has for each word, or -1. Words point into
 * the payload of chunk WORD, which their owner keeps. */
struct clsa_words {
    unsigned count[CLSA_WORD_LISTS];
    int16_t number[CLSA_WORD_LISTS][CLSA_TRACE_WORDS_MAX];
    const char *text[CLSA_WORD_LISTS][CLSA_TRACE_WORDS_MAX];
    size_t bytes[CLSA_WORD_LISTS][CLSA_TRACE_WORDS_MAX];
};

/* The arrays of one step, kept and reused from step to step. */
struct clsa_step_arrays {
    uint64_t limit_bytes;
    uint64_t number;
    struct clsa_step step; /* scalars of the step; its pointers are set by clsa_decode_link */
    uint64_t ops_announced, sets_announced;
    uint64_t *past;
    struct clsa_query *queries;
    struct clsa_tensor *tensors;
    struct clsa_op *ops;
    struct clsa_index_set *sets;
    uint32_t *positions;
    size_t n_sets_read, n_positions;
    size_t past_capacity, queries_capacity, tensors_capacity, ops_capacity, sets_capacity,
        positions_capacity;
};

/* Each takes one payload from its first byte to its last and returns 0, CLSA_EFORMAT, CLSA_ELIMIT,
 * CLSA_ENOMEM or CLSA_EUNSUPPORTED (a word that this version does not know), with the reason in
 * err. */
int clsa_decode_words(struct clsa_wire_cursor *c, struct clsa_words *words, struct clsa_err *err);
int clsa_decode_tensors(struct clsa_wire_cursor *c, const struct clsa_words *words,
                        struct clsa_step_arrays *a, struct clsa_err *err);
int clsa_decode_step(struct clsa_wire_cursor *c, struct clsa_step_arrays *a, struct clsa_err *err);
int clsa_decode_ops(struct clsa_wire_cursor *c, const struct clsa_words *words,
                    struct clsa_step_arrays *a, struct clsa_err *err);
int clsa_decode_sets(struct clsa_wire_cursor *c, struct clsa_step_arrays *a, struct clsa_err *err);

/* Points *out at the arrays, once all chunks of a step are in. */
void clsa_decode_link(struct clsa_step_arrays *a, struct clsa_trace_step *out);
void clsa_step_arrays_destroy(struct clsa_step_arrays *a);

#endif
