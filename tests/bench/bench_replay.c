/* Speed goals of the simulators on one core, held against what this host does now. Runs on demand:
 *
 *   make tests/bench/bench_replay && CLSA_DATA_PATH=. tests/bench/bench_replay [SECONDS]
 *
 * Exit 1 when a goal is missed; a busy host misses them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/log.h"
#include "sim/model/plan.h"
#include "sim/replay/bench_replay.h"
#include "sim/replay/replay.h"
#include "sim/routing/synthetic.h"

#define BATCH 32

static int missed;

static void report(const char *name, double got, const char *unit, double goal, int at_most)
{
    const int good = at_most ? got <= goal : got >= goal;
    printf("%-34s %12.4g %-12s %s %.4g %s\n", name, got, unit, at_most ? "<=" : ">=", goal,
           good ? "" : "MISSED");
    missed |= !good;
}

/* One decode step of CLSA-4B at 128K, batch 32, one index for all 16 layers, on an H100: seconds.
 * */
static int time_step(double *seconds, struct clsa_err *err)
{
    struct clsa_machine machine = {0};
    struct clsa_implementation impl = {0};
    struct clsa_geometry geometry;
    struct clsa_plan_request request;
    struct clsa_synthetic_params params;
    struct clsa_synthetic *synthetic = NULL;
    struct clsa_replay *replay = NULL;
    struct clsa_trace_step trace = {0};
    struct clsa_prediction prediction = {0};
    uint64_t past[BATCH];
    char *config = NULL, *weights = NULL;
    const struct clsa_replay_request wanted = {.machine = &machine, .impl = &impl};
    int status;
    clsa_synthetic_defaults(&params);
    if ((status = clsa_machine_read("h100-sxm", NULL, 0, &machine, err)) != 0 ||
        (status = clsa_impl_read("triton-own", NULL, 0, &impl, err)) != 0 ||
        (status = clsa_model_find("clsa-4b", &config, &weights, err)) != 0 ||
        (status = clsa_geometry_read(config, &geometry, err)) != 0)
        goto done;
    clsa_plan_decode(&geometry, BATCH, 131072, 16, past, &request);
    if ((status = clsa_plan_build(&geometry, &request, &trace.step, err)) != 0 ||
        (status = clsa_synthetic_create(&params, &synthetic, err)) != 0 ||
        (status = clsa_synthetic_step(synthetic, &trace.step, &trace.index_sets,
                                      &trace.n_index_sets, err)) != 0 ||
        (status = clsa_replay_create(&wanted, &replay, err)) != 0)
        goto done;
    *seconds = 1e9;
    for (int turn = 0; status == 0 && turn < 4; turn++) {
        const uint64_t start = clsa_now_ns();
        clsa_prediction_destroy(&prediction);
        status = clsa_replay_step(replay, &trace, &prediction, err);
        const double took = (double)(clsa_now_ns() - start) * 1e-9;
        *seconds = took < *seconds ? took : *seconds;
    }
done:
    clsa_prediction_destroy(&prediction);
    clsa_replay_destroy(replay);
    clsa_synthetic_destroy(synthetic);
    clsa_plan_destroy(&trace.step);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&machine);
    free(config);
    free(weights);
    return status;
}

int main(int argc, char **argv)
{
    struct clsa_bench_rate rates[CLSA_BENCH_RATES];
    struct clsa_err err;
    size_t n = 0;
    double seconds = 0;
    if (clsa_bench_replay(argc > 1 ? atof(argv[1]) : 0.5, rates, &n, &err) ||
        time_step(&seconds, &err)) {
        fprintf(stderr, "bench_replay: %s\n", err.text);
        return 2;
    }
    for (size_t i = 0; i < n; i++) {
        const double goal = strcmp(rates[i].unit, "lines/s") == 0 ? 50e6 : 1e6;
        report(rates[i].name, rates[i].rate, rates[i].unit, goal, 0);
        if (rates[i].against > 0)
            report("  times line by line", rates[i].rate / rates[i].against, "", 10, 0);
    }
    report("CLSA-4B step, 128K, batch 32, g 16", seconds, "s", 1, 1);
    return missed;
}
