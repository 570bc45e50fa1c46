/* Small steps of our own making for tests of traces and their tools: a two-layer model that is no
 * model, whose records obey every rule of traces/validate.h. */
#ifndef CLSA_TESTS_MOCK_STEP_H
#define CLSA_TESTS_MOCK_STEP_H

#include "sim/base/status.h"
#include "traces/format.h"

#define MOCK_SEQS_MAX 4
#define MOCK_SETS_MAX 4
#define MOCK_TOPK 8
#define MOCK_TENSORS 10
#define MOCK_OPS_MAX 16

/* Owns everything that `trace` points to; do not copy. */
struct mock_step {
    struct clsa_trace_step trace;
    uint64_t past[MOCK_SEQS_MAX];
    struct clsa_query queries[MOCK_SEQS_MAX];
    struct clsa_tensor tensors[MOCK_TENSORS];
    struct clsa_op ops[MOCK_OPS_MAX];
    struct clsa_index_set sets[MOCK_SETS_MAX * MOCK_SEQS_MAX];
    uint32_t positions[MOCK_SETS_MAX * MOCK_SEQS_MAX][MOCK_TOPK];
};

/* A decode step of n_seqs sequences that see `keys` keys, with n_sets groups (0: dense) of top-k
 * MOCK_TOPK. Positions are drawn with `seed`. */
void mock_step_make(struct mock_step *mock, uint32_t n_seqs, uint64_t keys, uint32_t n_sets,
                    uint64_t seed);

/* Recounts read and write bytes of all ops, after a test changed a shape. */
void mock_step_count_bytes(struct mock_step *mock);

/* Step i of the tests' standard trace: dense every fourth, else three groups, growing by a key a
 * step. traces/legacy/v1-mock.clsat holds the first nine: they can never change. */
void mock_trace_step(struct mock_step *mock, uint64_t i);

/* Four pairs, of which the third has no value. */
extern const struct clsa_provenance mock_provenance[4];

/* Writes the first `steps` of them. Returns what the writer returns. */
int mock_trace_write(const char *path, uint64_t steps, struct clsa_err *err);

#endif
