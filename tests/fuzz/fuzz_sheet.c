/* Machines and implementations as CSV. What is accepted must price a step in both ways, or say why it
 * does not, whatever its numbers are. */
#include <stdlib.h>
#include <string.h>

#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/model/geometry.h"
#include "sim/model/plan.h"
#include "sim/replay/closed.h"
#include "sim/replay/replay.h"
#include "sim/routing/synthetic.h"
#include "tests/fuzz/fuzz.h"

const unsigned long clsa_fuzz_runs = 600;

/* Caches of some GB are simulated when somebody asks for them, but not a thousand times. */
#define SIMULATED_BYTES_MAX 1e9

static struct {
    struct clsa_machine gpu, cpu;
    struct clsa_implementation tuned, native;
    struct clsa_trace_step trace;
    struct clsa_synthetic *synthetic;
    int ready;
} fixed;

static void discard(void)
{
    clsa_machine_destroy(&fixed.gpu);
    clsa_machine_destroy(&fixed.cpu);
    clsa_impl_destroy(&fixed.tuned);
    clsa_impl_destroy(&fixed.native);
    clsa_plan_destroy(&fixed.trace.step);
    clsa_synthetic_destroy(fixed.synthetic);
}

static void prepare(void)
{
    struct clsa_geometry g;
    struct clsa_plan_request request;
    struct clsa_synthetic_params params;
    struct clsa_err err;
    uint64_t past[2];
    char *config = NULL, *weights = NULL;
    clsa_synthetic_defaults(&params);
    if (clsa_machine_read("toy-gpu", NULL, 0, &fixed.gpu, &err) ||
        clsa_machine_read("toy-cpu", NULL, 0, &fixed.cpu, &err) ||
        clsa_impl_read("tuned", NULL, 0, &fixed.tuned, &err) ||
        clsa_impl_read("native", NULL, 0, &fixed.native, &err) ||
        clsa_model_find("clsa-byte-5m", &config, &weights, &err) ||
        clsa_geometry_read(config, &g, &err))
        abort();
    clsa_plan_decode(&g, 2, 300, 4, past, &request);
    if (clsa_plan_build(&g, &request, &fixed.trace.step, &err) ||
        clsa_synthetic_create(&params, &fixed.synthetic, &err) ||
        clsa_synthetic_step(fixed.synthetic, &fixed.trace.step, &fixed.trace.index_sets,
                            &fixed.trace.n_index_sets, &err))
        abort();
    free(config);
    free(weights);
    atexit(discard);
    fixed.ready = 1;
}

static void price(const struct clsa_machine *machine, const struct clsa_implementation *impl)
{
    const struct clsa_closed_request request = {
        .step = &fixed.trace.step, .machine = machine, .impl = impl};
    const struct clsa_replay_request play = {.machine = machine, .impl = impl};
    struct clsa_prediction p;
    struct clsa_replay *replay = NULL;
    struct clsa_err err;
    if (clsa_closed_predict(&request, &p, &err) == 0)
        clsa_prediction_destroy(&p);
    if (machine->l2_size > SIMULATED_BYTES_MAX)
        return;
    if (clsa_replay_create(&play, &replay, &err) == 0 &&
        clsa_replay_step(replay, &fixed.trace, &p, &err) == 0)
        clsa_prediction_destroy(&p);
    clsa_replay_destroy(replay);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct clsa_machine machine;
    struct clsa_implementation impl = {.values = NULL};
    struct clsa_err err;
    if (!fixed.ready)
        prepare();
    const char *path = clsa_fuzz_file(".csv", data, bytes);
    if (clsa_machine_read(path, NULL, 0, &machine, &err) == 0) {
        price(&machine, machine.kind == CLSA_MACHINE_GPU ? &fixed.tuned : &fixed.native);
        clsa_machine_destroy(&machine);
    }
    if (clsa_impl_read(path, NULL, 0, &impl, &err) == 0) {
        price(&fixed.gpu, &impl);
        price(&fixed.cpu, &impl);
        clsa_impl_destroy(&impl);
    }
    return 0;
}

uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    static const char *const files[] = {
        "hwmodels/machines/toy-gpu.csv", "hwmodels/machines/toy-cpu.csv",
        "hwmodels/implementations/tuned.csv", "hwmodels/implementations/native.csv",
        "hwmodels/machines/h100-4xl2.csv"};
    return i < sizeof files / sizeof *files ? clsa_fuzz_source(files[i], bytes) : NULL;
}
