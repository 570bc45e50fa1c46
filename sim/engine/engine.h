/* Runs a model for real: prefill and batched decode in float32.
 *
 * The engine executes plans (sim/model/plan.h): it walks the ops of a step in order and knows for
 * each kind of op which kernel computes it, but not what a layer is made of. Who wants to know what
 * happened gives an observer. */
#ifndef CLSA_ENGINE_ENGINE_H
#define CLSA_ENGINE_ENGINE_H

#include "kernels/parallel.h"
#include "sim/engine/observer.h"
#include "sim/model/model.h"

struct clsa_engine;

/* Who makes selections and attends to them in place of the engine's kernels, an op at a time (all
 * its queries are one list of jobs, see kernels/parallel.h). A NULL member: the engine's own. They
 * return 0 or a negative clsa_status with a message. topk sets every count; positions ascend. */
struct clsa_engine_hooks {
    void *user;
    int (*index_score)(void *user, const struct clsa_par_index_job *jobs, size_t n,
                       struct clsa_err *err);
    int (*topk)(void *user, struct clsa_par_topk_job *jobs, size_t n, struct clsa_err *err);
    int (*attn_sparse)(void *user, const struct clsa_par_attn_job *jobs, size_t n,
                       struct clsa_err *err);
};

struct clsa_engine_options {
    const struct clsa_kernels *kernels; /* NULL: the best rung */
    uint32_t n_seqs;                    /* sequences held; 0: 1 */
    uint64_t capacity;                  /* tokens a sequence can have */
    uint64_t chunk;                     /* tokens a prefill step takes at once; 0: 512 */
    uint32_t group;                     /* layers that share an index; 0: dense */
    uint32_t top_k;                     /* 0: the model's */
    bool per_layer_kv;
    unsigned kv_dtype, index_dtype;     /* CLSA_F32, CLSA_BF16 or CLSA_F16 */
    /* Large products by OpenBLAS instead of the kernels: another implementation to hold ours
     * against. Not the default: it is no faster (one Zen 4 thread, bfloat16 W, 512 x 6144 x 1024:
     * 104 GFLOP/s against 90) and its bits change with the processor. */
    bool blas;
    const struct clsa_observer *observer; /* NULL: none. Must outlive the engine */
    const struct clsa_engine_hooks *hooks; /* NULL: none. Must outlive the engine */
};

/* float32 caches, one sequence, the geometry's own group, top-k and K/V sharing, best kernels. */
void clsa_engine_defaults(const struct clsa_geometry *g, uint64_t capacity,
                          struct clsa_engine_options *out);

/* The model is borrowed and must outlive the engine. Weights are bound and caches allocated here.
 * Returns 0, CLSA_EUSAGE (a group that does not fit), CLSA_ELIMIT (weights, caches and buffers take
 * more than the memory available: said before anything is allocated), CLSA_ENOMEM, or what
 * clsa_model_bind returns. */
int clsa_engine_create(struct clsa_model *model, const struct clsa_engine_options *options,
                       struct clsa_engine **out, struct clsa_err *err);
void clsa_engine_destroy(struct clsa_engine *engine);

/* Forgets all tokens. */
void clsa_engine_reset(struct clsa_engine *engine);

/* Gives every sequence n tokens that nobody read: caches of seeded random rows. For timing decode
 * at contexts whose prefill would take too long. Returns 0, CLSA_ERANGE (capacity exceeded) or
 * CLSA_ENOMEM. */
int clsa_engine_fill(struct clsa_engine *engine, uint64_t n, uint64_t seed, struct clsa_err *err);

/* Another policy for the steps to come. Index keys belong to a group size: with tokens in the cache
 * only top_k may change. Returns 0, CLSA_EUSAGE, or what clsa_engine_create returns. */
int clsa_engine_set_policy(struct clsa_engine *engine, uint32_t group, uint32_t top_k,
                           struct clsa_err *err);

/* Takes back the last token of each of those sequences. Once after a step: window caches hold no more rows than a window
 * has. Returns 0, or CLSA_EUSAGE (a sequence is empty, or the last step was taken back). */
int clsa_engine_retract(struct clsa_engine *engine, uint32_t first_seq, uint32_t n_seqs, struct clsa_err *err);

/* Tokens of a sequence so far. */
uint64_t clsa_engine_length(const struct clsa_engine *engine, uint32_t seq);

/* Appends n tokens to each of the sequences first_seq .. first_seq + n_seqs - 1 (tokens [n_seqs,
 * n]), in chunks. Only the rows of `queries` pass the cross-decoder: pairs of sequence (counted
 * from first_seq) and visible keys (position + 1), which must be among the new tokens; NULL: the
 * last token of each sequence. logits receives [n_queries, vocab] in the order of the queries; NULL
 * drops them.
 * Returns 0, CLSA_ERANGE (token not in the vocabulary, capacity exceeded), CLSA_EUSAGE,
 * CLSA_ELIMIT, CLSA_ENOMEM or what the observer returned; then the sequences hold what whole chunks
 * left there. */
int clsa_engine_prefill(struct clsa_engine *engine, uint32_t first_seq, uint32_t n_seqs,
                        const int32_t *tokens, uint64_t n, const struct clsa_query *queries,
                        uint32_t n_queries, float *logits, struct clsa_err *err);

/* One more token for each of those sequences, whatever their lengths. tokens [n_seqs], logits
 * [n_seqs, vocab] or NULL. Returns as clsa_engine_prefill. */
int clsa_engine_decode(struct clsa_engine *engine, uint32_t first_seq, uint32_t n_seqs,
                       const int32_t *tokens, float *logits, struct clsa_err *err);

/* Sends other queries, under another policy, through the cross-decoder after a prefill from empty
 * that fitted in one chunk: the self-decoder's output is still there, so only the ops behind it
 * run. The engine keeps the new policy. Returns as clsa_engine_prefill; CLSA_EUSAGE when there is
 * no such prefill. */
int clsa_engine_requery(struct clsa_engine *engine, uint32_t group, uint32_t top_k,
                        const struct clsa_query *queries, uint32_t n_queries, float *logits,
                        struct clsa_err *err);

/* Where a tensor of the step in progress lies. For observers; valid during the callback.
 * Activations are float32 (token ids and selections int32), laid out as the plan's operands say. */
const void *clsa_engine_tensor(const struct clsa_engine *engine, const struct clsa_step *step,
                               uint32_t tensor);
/* Positions selected for a query by the last TOPK; valid in op_done of it and its ATTN_SPARSE. */
uint32_t clsa_engine_selected_count(const struct clsa_engine *engine, uint32_t query);

const struct clsa_kernels *clsa_engine_kernels(const struct clsa_engine *engine);
const struct clsa_geometry *clsa_engine_geometry(const struct clsa_engine *engine);

/* The kernels' name of an engine dtype (float32, bfloat16, float16). */
enum clsa_kernel_dtype clsa_engine_dtype(unsigned dtype);

#endif
