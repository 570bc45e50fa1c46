/* A generation with its clock: prefill, N decode steps, the time of every op. `run` and `demo` use it. */
#ifndef CLSA_CLI_RUNNER_H
#define CLSA_CLI_RUNNER_H

#include "hwmodels/measure.h"
#include "sim/engine/engine.h"

/* Prompts as they come from --text or --tokens, or generated: n tokens for each of `batch` sequences. */
struct clsa_prompt {
    int32_t *tokens; /* [batch, n]; owned */
    uint32_t batch;
    uint64_t n;
};

/* The first `limit` (0: all) bytes of a file as tokens, the same for every sequence. The vocabulary must
 * have 256 entries. */
int clsa_prompt_text(const char *path, uint64_t limit, uint32_t batch, const struct clsa_geometry *g,
                     struct clsa_prompt *out, struct clsa_err *err);
/* Tokens of a .safetensors file (its tensor `tokens`, int32 or int64 [B, S]; the first `batch` rows) or of
 * a text file of numbers. */
int clsa_prompt_tokens(const char *path, uint64_t limit, uint32_t batch,
                       const struct clsa_geometry *g, struct clsa_prompt *out,
                       struct clsa_err *err);
/* The first `batch` rows of an integer tensor [B, S] of a .safetensors file; not checked against a
 * vocabulary (the engine does that). */
int clsa_prompt_tensor(const char *path, const char *name, uint64_t limit, uint32_t batch,
                       struct clsa_prompt *out, struct clsa_err *err);
/* Seeded random tokens. */
int clsa_prompt_random(uint64_t n, uint32_t batch, uint64_t seed, const struct clsa_geometry *g,
                       struct clsa_prompt *out, struct clsa_err *err);
void clsa_prompt_destroy(struct clsa_prompt *prompt);

struct clsa_generation_request {
    struct clsa_model *model;
    struct clsa_engine_options engine; /* capacity and n_seqs are set from prompt and steps */
    const struct clsa_prompt *prompt;
    bool fill;                         /* random caches instead of running the prompt */
    uint32_t steps;                    /* decode steps after the prompt */
    double temperature, top_p;         /* 0 and 1: greedy */
    uint64_t seed;
    const struct clsa_observer *listener; /* hears everything too; NULL: nobody */
};

/* Time of all ops of one name in a decode step: for each op the median of the faster half of its steps
 * (others on the host only ever make it slower), the fastest, and the median of all, added up. */
struct clsa_op_time {
    char name[32];
    uint32_t count;  /* ops a step */
    uint64_t time_ns, low_ns, high_ns;
};

struct clsa_generation {
    uint32_t steps; /* decode steps */
    /* Decode step: all ops and what lies between them, as for ops; the fastest whole step or that sum;
     * the median of whole steps. 0 where there is none. */
    uint64_t step_ns, step_low_ns, step_high_ns;
    struct clsa_op_time *ops; /* owned; in the order of the plan */
    size_t n_ops;
    int32_t *tokens; /* [batch, steps] what was generated; owned */
};

/* Runs n requests. Several are held in memory at once and decode in a few turns each, so that what others on the host do
 * meets all alike. Caches that others left get as much time before each turn as it takes until they hold what a step
 * reads: its first step is made again and again, which nobody hears of. With a prober (NULL: none) one request takes
 * turns with looks at the host, and several with each other and with looks. out[n]: release each with clsa_generation_destroy; untouched on failure. Returns what the engine
 * returns, or CLSA_ENOMEM. */
int clsa_generate(const struct clsa_generation_request *requests, size_t n, struct clsa_prober *prober,
                  struct clsa_generation *out, struct clsa_err *err);
void clsa_generation_destroy(struct clsa_generation *generation);

#endif
