#include "sim/cli/measured.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "sim/base/alloc.h"

int clsa_kernels_choose(const struct clsa_args *args, const struct clsa_kernels **out,
                        struct clsa_err *err)
{
    const char *name = clsa_arg(args, "kernels", NULL);
    if (!name || strcmp(name, "best") == 0) {
        *out = NULL;
        return CLSA_OK;
    }
    *out = clsa_kernels_by_name(name);
    if (!*out)
        return clsa_fail(err, CLSA_EUSAGE,
                         "%s: --kernels '%s' is no rung that this build and processor have",
                         args->command->name, name);
    return CLSA_OK;
}

int clsa_threads_choose(const struct clsa_args *args, struct clsa_err *err)
{
    uint64_t threads = 0;
    const int status = clsa_arg_size(args, "threads", 1, 4096, &threads, err);
#ifdef _OPENMP
    if (status == CLSA_OK && threads)
        omp_set_num_threads((int)threads);
#endif
    return status;
}

/* The plan of the decode step in the middle of the run, as the engine laid it out. */
static int middle_step(const struct clsa_measured_run *run, uint64_t *past, struct clsa_step *step,
                       struct clsa_err *err)
{
    struct clsa_plan_request request;
    const uint64_t keys = run->prompt->n + run->generation->steps / 2 + 1;
    clsa_plan_decode(&run->ref->geometry, run->prompt->batch, keys, run->engine->group, past,
                     &request);
    if (run->engine->top_k)
        request.top_k = run->engine->top_k;
    request.per_layer_kv = run->engine->per_layer_kv;
    request.kv_dtype = run->engine->kv_dtype;
    request.index_dtype = run->engine->index_dtype;
    request.activation_dtype = CLSA_F32;
    request.capacity = run->prompt->n + run->generation->steps;
    return clsa_plan_build(&run->ref->geometry, &request, step, err);
}

static int add_measurements(struct clsa_store *store, const struct clsa_measured_run *run,
                            const struct clsa_point *point, const char *machine,
                            const char *implementation, struct clsa_err *err)
{
    const struct clsa_generation *g = run->generation;
    struct clsa_measurement_row row = {.point = *point,
                                       .machine = machine,
                                       .implementation = implementation,
                                       .op = "",
                                       .source = "clsa run",
                                       .count = 1,
                                       .time_ps = (int64_t)g->step_ns * 1000,
                                       .lo_ps = (int64_t)g->step_low_ns * 1000,
                                       .hi_ps = (int64_t)g->step_high_ns * 1000,
                                       .samples = g->steps};
    int status = clsa_store_add_measurement(store, &row, err);
    for (size_t i = 0; status == CLSA_OK && i < g->n_ops; i++) {
        row.op = g->ops[i].name;
        row.count = g->ops[i].count;
        row.time_ps = (int64_t)g->ops[i].time_ns * 1000;
        row.lo_ps = (int64_t)g->ops[i].low_ns * 1000;
        row.hi_ps = (int64_t)g->ops[i].high_ns * 1000;
        status = clsa_store_add_measurement(store, &row, err);
    }
    return status;
}

int clsa_measured_add(struct clsa_store *store, const struct clsa_measured_run *run,
                      struct clsa_target *target, struct clsa_err *err)
{
    char host[256] = "host";
    struct clsa_step step = {0};
    struct clsa_prediction prediction = {0};
    struct clsa_point point = {.phase = "decode",
                               .batch = run->prompt->batch,
                               .context_tokens = run->prompt->n + run->generation->steps / 2 + 1,
                               .new_tokens = 1,
                               .group = run->engine->group,
                               .kv_shared = !run->engine->per_layer_kv,
                               .threads = run->threads};
    uint64_t *past = clsa_calloc(run->prompt->batch, sizeof *past);
    gethostname(host, sizeof host - 1);
    int status = past ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    if (status == CLSA_OK)
        status = clsa_store_model(store, run->ref, &point.model_id, err);
    if (status == CLSA_OK && run->generation->steps)
        status = middle_step(run, past, &step, err);
    point.top_k = point.group ? step.top_k : 0;
    const char *machine = run->machine ? run->machine : target ? target->name : host;
    if (status == CLSA_OK && run->generation->steps)
        status = add_measurements(store, run, &point, machine, target ? target->impl.name : "native", err);
    if (status == CLSA_OK && target && run->generation->steps) {
        if (run->found.flops > 0 && clsa_cpu_as_found(&target->machine, run->threads, &run->found))
            status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
        const struct clsa_closed_request request = {.step = &step,
                                                    .machine = &target->machine,
                                                    .impl = &target->impl,
                                                    .threads = run->threads};
        if (status == CLSA_OK)
            status = clsa_closed_predict(&request, &prediction, err);
        if (status == CLSA_OK)
            status = clsa_store_target(store, target, err);
        if (status == CLSA_OK)
            status = clsa_store_prediction(store, target, "closed", &point, &step, &prediction,
                                           err);
    }
    clsa_prediction_destroy(&prediction);
    clsa_plan_destroy(&step);
    free(past);
    return status;
}

int clsa_measured_store(const struct clsa_args *args, struct clsa_store *store,
                        const struct clsa_measured_run *run, struct clsa_err *err)
{
    struct clsa_target target = {0};
    const char *host = clsa_arg(args, "predict", NULL);
    int status = CLSA_OK;
    if (host)
        status = clsa_open_target(host, NULL, &target, err);
    if (status == CLSA_OK)
        status = clsa_measured_add(store, run, host ? &target : NULL, err);
    if (host)
        clsa_close_target(&target);
    return status;
}
