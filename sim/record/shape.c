#include "sim/record/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/base/alloc.h"

/* Chooses recorded selections for a plan; *sets is fresh memory. */
static int take_recorded(const struct clsa_step *step, const struct clsa_trace_step *recorded,
                         struct clsa_index_set **sets, size_t *n_sets, struct clsa_err *err)
{
    const struct clsa_step *r = &recorded->step;
    const uint32_t stride = step->n_sets ? r->n_sets / step->n_sets : 1;
    bool same = r->n_queries == step->n_queries && stride > 0;
    for (uint32_t q = 0; q < step->n_queries && same; q++)
        same = r->queries[q].seq == step->queries[q].seq &&
               r->queries[q].keys == step->queries[q].keys;
    if (!same)
        return clsa_fail(err, CLSA_EUSAGE,
                         "step %" PRIu64 " of the recorded selections has other queries, or fewer "
                         "groups, than the plan",
                         recorded->number);
    *sets = clsa_malloc((size_t)step->n_sets * step->n_queries, sizeof **sets);
    if (!*sets)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    *n_sets = 0;
    for (uint32_t j = 0; j < step->n_sets; j++)
        for (uint32_t q = 0; q < step->n_queries; q++) {
            const struct clsa_index_set *set = clsa_trace_find_set(recorded, q, j * stride);
            if (set) {
                (*sets)[*n_sets] = *set;
                (*sets)[(*n_sets)++].set = j;
            }
        }
    return 0;
}

int clsa_shape_step(struct clsa_trace_writer *writer, const struct clsa_geometry *geometry,
                    const struct clsa_plan_request *request, struct clsa_synthetic *synthetic,
                    const struct clsa_trace_step *recorded, struct clsa_err *err)
{
    struct clsa_trace_step trace = {0};
    struct clsa_index_set *taken = NULL;
    int status = clsa_plan_build(geometry, request, &trace.step, err);
    if (status)
        return status;
    if (recorded) {
        status = take_recorded(&trace.step, recorded, &taken, &trace.n_index_sets, err);
        trace.index_sets = taken;
    } else {
        status = clsa_synthetic_step(synthetic, &trace.step, &trace.index_sets, &trace.n_index_sets,
                                     err);
    }
    if (!status)
        status = clsa_trace_write(writer, &trace, err);
    free(taken);
    clsa_plan_destroy(&trace.step);
    return status;
}

/* The prompt in chunks; of all but the last no row passes the cross-decoder. */
static int write_prompt(const struct clsa_shape_run *run, struct clsa_plan_request *request,
                        uint64_t *past, struct clsa_trace_writer *writer,
                        struct clsa_synthetic *synthetic, struct clsa_err *err)
{
    static const struct clsa_query none;
    const uint64_t chunk = run->chunk ? run->chunk : run->prompt_tokens;
    int status = 0;
    for (uint64_t from = 0; from < run->prompt_tokens && !status; from += request->new_tokens) {
        const uint64_t left = run->prompt_tokens - from;
        request->phase = CLSA_PREFILL;
        request->new_tokens = left < chunk ? left : chunk;
        request->queries = left > chunk ? &none : NULL;
        request->n_queries = 0;
        for (uint32_t s = 0; s < run->n_seqs; s++)
            past[s] = from;
        status = clsa_shape_step(writer, run->geometry, request, synthetic, NULL, err);
    }
    return status;
}

static int write_decode(const struct clsa_shape_run *run, struct clsa_plan_request *request,
                        uint64_t *past, struct clsa_trace_writer *writer,
                        struct clsa_synthetic *synthetic, struct clsa_err *err)
{
    const uint64_t first = run->prompt_tokens ? run->prompt_tokens : run->context - 1;
    int status = 0;
    request->phase = CLSA_DECODE;
    request->new_tokens = 1;
    request->queries = NULL;
    request->n_queries = 0;
    for (uint64_t i = 0; i < run->decode_steps && !status; i++) {
        for (uint32_t s = 0; s < run->n_seqs; s++)
            past[s] = first + i;
        status = clsa_shape_step(writer, run->geometry, request, synthetic, NULL, err);
    }
    return status;
}

/* What of the run does not depend on the step. */
static void set_policy(const struct clsa_shape_run *run, uint64_t capacity,
                       struct clsa_plan_request *request)
{
    uint64_t past = 0;
    clsa_plan_decode(run->geometry, 1, 1, run->group, &past, request);
    request->capacity = capacity;
    request->top_k = run->top_k;
    request->per_layer_kv = run->per_layer_kv;
    request->tensor_parallel = run->tensor_parallel;
    if (run->engine_dtypes)
        request->kv_dtype = request->index_dtype = request->activation_dtype = CLSA_F32;
}

static int write_run(const struct clsa_shape_run *run, uint64_t capacity, uint64_t *past,
                     struct clsa_trace_writer *writer, struct clsa_synthetic *synthetic,
                     struct clsa_err *err)
{
    struct clsa_plan_request request;
    set_policy(run, capacity, &request);
    request.n_seqs = run->n_seqs;
    request.past = past;
    int status = write_prompt(run, &request, past, writer, synthetic, err);
    if (!status)
        status = write_decode(run, &request, past, writer, synthetic, err);
    return status;
}

int clsa_shape_generate(const struct clsa_shape_run *run, const char *path, struct clsa_err *err)
{
    struct clsa_trace_writer *writer = NULL;
    struct clsa_synthetic *synthetic = NULL;
    uint64_t *past = NULL, capacity = 0;
    char text[256], seed[32];
    int status = 0;

    if (run->n_seqs == 0 || (run->prompt_tokens == 0 && run->decode_steps == 0) ||
        (run->prompt_tokens == 0 && run->context == 0))
        return clsa_fail(err, CLSA_EUSAGE,
                         "a run needs sequences, and a prompt or decode steps at some context");
    if (!clsa_add_u64(run->prompt_tokens ? run->prompt_tokens : run->context - 1, run->decode_steps,
                      &capacity))
        return clsa_fail(err, CLSA_ERANGE, "the context of the run is beyond 2^64");
    if (run->capacity > capacity)
        capacity = run->capacity;
    snprintf(seed, sizeof seed, "%" PRIu64, run->synthetic.seed);
    const struct clsa_provenance provenance[] = {
        {"tool", run->tool},
        {"model", run->geometry->name},
        {"seed", seed},
        {"selections", "synthetic"},
        {"synthetic", clsa_synthetic_print(&run->synthetic, text, sizeof text)},
        {"geometry", run->geometry_json},
    };
    past = clsa_calloc(run->n_seqs, sizeof *past);
    if (!past)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    status = clsa_synthetic_create(&run->synthetic, &synthetic, err);
    if (!status)
        status = clsa_trace_writer_open(path, provenance, 6, &writer, err);
    if (!status)
        status = write_run(run, capacity, past, writer, synthetic, err);
    if (!status)
        status = clsa_trace_writer_commit(writer, err);
    clsa_trace_writer_destroy(writer);
    clsa_synthetic_destroy(synthetic);
    free(past);
    return status;
}

/* The longest sequence of a trace. */
static int find_capacity(const char *path, uint64_t *capacity, struct clsa_err *err)
{
    struct clsa_trace_reader *reader = NULL;
    const struct clsa_trace_step *step;
    int status = clsa_trace_open(path, 0, &reader, err);
    while (!status && (status = clsa_trace_next(reader, &step, err)) == 1) {
        status = 0;
        for (uint32_t s = 0; s < step->step.n_seqs; s++) {
            const uint64_t end = step->step.past[s] + step->step.new_tokens;
            *capacity = end > *capacity ? end : *capacity;
        }
    }
    clsa_trace_close(reader);
    return status;
}

static int replan_steps(const struct clsa_shape_run *run, struct clsa_trace_reader *reader,
                        uint64_t capacity, struct clsa_trace_writer *writer, struct clsa_err *err)
{
    const struct clsa_trace_step *recorded;
    struct clsa_plan_request request;
    int status;
    set_policy(run, capacity, &request);
    while ((status = clsa_trace_next(reader, &recorded, err)) == 1) {
        const struct clsa_step *r = &recorded->step;
        static const struct clsa_query none;
        request.phase = (enum clsa_phase)r->phase;
        request.n_seqs = r->n_seqs;
        request.new_tokens = r->new_tokens;
        request.past = r->past;
        request.queries = r->n_queries ? r->queries : &none;
        request.n_queries = r->n_queries;
        request.top_k = run->top_k ? run->top_k : r->top_k;
        status = clsa_shape_step(writer, run->geometry, &request, NULL, recorded, err);
        if (status)
            return status;
    }
    return status;
}

int clsa_shape_replan(const struct clsa_shape_run *run, const char *recorded, const char *path,
                      struct clsa_err *err)
{
    struct clsa_trace_writer *writer = NULL;
    struct clsa_trace_reader *reader = NULL;
    uint64_t capacity = 0;
    int status = find_capacity(recorded, &capacity, err);
    if (!status)
        status = clsa_trace_open(recorded, 0, &reader, err);
    if (status)
        return status;
    const struct clsa_provenance provenance[] = {
        {"tool", run->tool},
        {"model", run->geometry->name},
        {"selections", clsa_trace_provenance(clsa_trace_header(reader), "selections")},
        {"source", recorded},
        {"geometry", run->geometry_json},
    };
    status = clsa_trace_writer_open(path, provenance, 5, &writer, err);
    if (!status)
        status = replan_steps(run, reader, capacity > run->capacity ? capacity : run->capacity,
                              writer, err);
    if (!status)
        status = clsa_trace_writer_commit(writer, err);
    clsa_trace_writer_destroy(writer);
    clsa_trace_close(reader);
    return status;
}
