/* machine probe: is the host right now as fast as its machine file says? */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "hwmodels/cpu.h"
#include "hwmodels/machine.h"
#include "hwmodels/measure.h"
#include "sim/base/log.h"
#include "sim/cli/commands.h"

/* Idle before a sweep of the last cache: some decode steps of a small model. */
#define PROBE_IDLE_US 4000
#define WITHIN 0.15
#define PAUSE_US 1000000

/* Measured now, as parts of what the file says. */
struct found {
    double arithmetic, streaming, cache;
};

static bool steady(const struct found *f)
{
    return f->arithmetic >= 1 - WITHIN && fabs(log(f->streaming)) <= WITHIN &&
           fabs(log(f->cache)) <= WITHIN;
}

/* Bytes a second of a sweep over what lay idle in the last cache. */
static double again_rate(const struct clsa_machine *m, double idle_seconds)
{
    const double level = m->l3_core_bandwidth * m->core_clock_one;
    const double part = m->l3_size > 0 ? clsa_cpu_left(m, idle_seconds) : 0;
    return 1 / (part / level + (1 - part) / m->core_stream);
}

static int probe(const struct clsa_machine *m, uint32_t threads, struct found *out,
                 struct clsa_err *err)
{
    const struct clsa_measure_options options = {.threads = threads, .repeats = 15, .probe = true};
    struct clsa_measurement_set set;
    const int status = clsa_measure_host(&options, &set, err);
    if (status)
        return status;
    const struct clsa_measured *c = clsa_measured_find(&set, "fma_f32", 0, 0, 0, 0);
    const struct clsa_measured *r = clsa_measured_find(&set, "read", 0, 0, 0, 0);
    const struct clsa_measured *k = clsa_measured_find(&set, "again", 0, 0, PROBE_IDLE_US, 0);
    const double each = m->vector_fp32 / m->core_count;
    const double asked = threads > 1 ? each * threads : m->vector_one > 0 ? m->vector_one : each;
    const double most = fmin(m->core_stream * threads, m->dram_bandwidth);
    out->arithmetic = c ? c->usual * 1e9 / asked : 0;
    out->streaming = r ? r->usual * 1e9 / most : 0;
    out->cache = k ? k->usual * 1e9 / again_rate(m, PROBE_IDLE_US * 1e-6) : 0;
    clsa_measurement_destroy(&set);
    return CLSA_OK;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_machine machine;
    uint64_t threads = 0, wait = 0;
    struct found f = {0};
    int status;
    if ((status = clsa_arg_size(args, "threads", 1, 4096, &threads, err)) ||
        (status = clsa_arg_size(args, "wait", 0, 86400, &wait, err)) ||
        (status = clsa_machine_read(args->words[0], NULL, 0, &machine, err)))
        return status;
    if (machine.kind != CLSA_MACHINE_CPU)
        status = clsa_fail(err, CLSA_EUSAGE, "machine probe: %s is no CPU", args->words[0]);
    if (!threads)
        threads = (uint64_t)machine.core_count;
    const uint64_t until = clsa_now_ns() + wait * UINT64_C(1000000000);
    while (status == CLSA_OK) {
        status = probe(&machine, (uint32_t)threads, &f, err);
        if (status || steady(&f) || clsa_now_ns() >= until)
            break;
        usleep(PAUSE_US);
    }
    if (status == CLSA_OK) {
        printf("threads %llu: arithmetic %.2f, streaming %.2f, last cache %.2f of what %s says\n",
               (unsigned long long)threads, f.arithmetic, f.streaming, f.cache, args->words[0]);
        if (!steady(&f))
            status = clsa_fail(err, CLSA_EMISMATCH,
                               "machine probe: this host is not as %s describes it", args->words[0]);
    }
    clsa_machine_destroy(&machine);
    return status;
}

static const struct clsa_option options[] = {
    {"threads", "N", "threads that probe (default: the file's cores)"},
    {"wait", "SECONDS", "probe again, for so long, until the host is as fast as the file says"},
    CLSA_OPT_END};

const struct clsa_command clsa_command_machine_probe = {
    .name = "machine probe",
    .synopsis = "HOST.csv [--threads N] [--wait SECONDS]",
    .summary = "see whether this host is now as fast as its machine file says",
    .details = "Multiplies, streams from memory and sweeps the last cache for some tenths of a second. Exit 1\n"
               "when the host computes slower than the file says, or streams or keeps its cache by more than\n"
               "15 % differently: then other programs or guests share its cores, its memory or its cache to\n"
               "another extent than when it was measured, and times taken now are not comparable with\n"
               "predictions from that file.\n\n"
               "clsa machine probe host.csv --wait 60 && clsa run --predict host.csv",
    .options = options,
    .words_min = 1,
    .words_max = 1,
    .run = run};
