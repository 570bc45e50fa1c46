/* Writes a run that nobody executed: the plan of every step, with selections from elsewhere.
 *
 * A functional trace of the same run (same requests, in the same order) has the same tensors, steps
 * and ops; only its index sets differ. */
#ifndef CLSA_RECORD_SHAPE_H
#define CLSA_RECORD_SHAPE_H

#include "sim/model/plan.h"
#include "sim/routing/synthetic.h"
#include "traces/reader.h"
#include "traces/writer.h"

/* Plans one step and writes it with made-up selections (`synthetic`), or with those of a recorded
 * step when that is not NULL: it must have the same queries and at least as many groups (else
 * CLSA_EUSAGE); with more, each group of the plan takes the selection of the first recorded group
 * that falls into it. Returns 0 or what clsa_plan_build, clsa_synthetic_step and clsa_trace_write
 * return. */
int clsa_shape_step(struct clsa_trace_writer *writer, const struct clsa_geometry *geometry,
                    const struct clsa_plan_request *request, struct clsa_synthetic *synthetic,
                    const struct clsa_trace_step *recorded, struct clsa_err *err);

/* What `clsa trace generate` is asked for. */
struct clsa_shape_run {
    const struct clsa_geometry *geometry;
    const char *geometry_json; /* provenance: the config file's text, or NULL */
    const char *tool;          /* provenance: name and version of the program */
    uint32_t n_seqs;
    uint64_t prompt_tokens; /* > 0: a prefill of so many tokens comes first */
    uint64_t chunk;         /* tokens a prefill step takes at once; 0: all */
    uint64_t context; /* without a prompt: keys that the first decode step sees, its own included */
    uint64_t decode_steps;
    uint64_t capacity;     /* token rows a sequence in the caches; 0: as many as the run needs */
    uint32_t group, top_k; /* group 0: dense; top_k 0: the model's */
    bool per_layer_kv;
    uint32_t tensor_parallel;
    bool engine_dtypes; /* float32 caches and activations, as our engine has; else the model's */
    struct clsa_synthetic_params synthetic;
};

/* Writes all steps of the run to `path` ("-": standard output). Of a chunked prompt only the last
 * chunk has queries, as early exit wants. Returns as clsa_shape_step; CLSA_EUSAGE for a run without
 * steps. */
int clsa_shape_generate(const struct clsa_shape_run *run, const char *path, struct clsa_err *err);

/* Plans the steps of a recorded trace (imported, or of another group size or model) anew for
 * run->geometry and policy, with the recorded selections, and writes them to `path`. Sequences,
 * phases, lengths and queries are those of the trace at `recorded`; run->top_k 0 is the recorded
 * one, and run->capacity 0 the longest sequence recorded. Of `run`, n_seqs, prompt, chunk, context,
 * steps and synthetic are not looked at. The recorded trace is read twice: it cannot be a pipe.
 * Returns as clsa_shape_generate, or what the reader returns. */
int clsa_shape_replan(const struct clsa_shape_run *run, const char *recorded, const char *path,
                      struct clsa_err *err);

#endif
