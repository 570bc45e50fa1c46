#include "sim/replay/interval.h"

#include <math.h>

static double log_ratio(double value, double reference)
{
    return reference > 0 && value > 0 ? fabs(log(value / reference)) : 0;
}

double clsa_interval_distance(const struct clsa_machine *machine,
                              const struct clsa_implementation *impl, const struct clsa_op *op)
{
    const bool gpu = machine->kind == CLSA_MACHINE_GPU;
    const double clock = gpu ? machine->sm_count * machine->sm_clock
                             : machine->core_count * machine->core_clock;
    const double compute = gpu ? machine->tensor_bf16 : machine->vector_fp32;
    const double cache = gpu ? machine->l2_size : machine->l3_size;
    return (log_ratio(clock, clsa_impl_get(impl, op, CLSA_IMPL_REFERENCE_CLOCK)) +
            log_ratio(compute, clsa_impl_get(impl, op, CLSA_IMPL_REFERENCE_COMPUTE)) +
            log_ratio(machine->dram_bandwidth,
                      clsa_impl_get(impl, op, CLSA_IMPL_REFERENCE_BANDWIDTH)) +
            log_ratio(cache, clsa_impl_get(impl, op, CLSA_IMPL_REFERENCE_CACHE))) / 4;
}

void clsa_interval_op(const struct clsa_machine *machine, const struct clsa_implementation *impl,
                      const struct clsa_op *op, double seconds, double *below, double *above)
{
    const double least = clsa_impl_get(impl, op, CLSA_IMPL_MEASURED_LEAST);
    const double most = clsa_impl_get(impl, op, CLSA_IMPL_MEASURED_MOST);
    double doublings = 0;
    if (seconds > 0 && seconds < least)
        doublings = log2(least / seconds);
    else if (seconds > most)
        doublings = log2(seconds / most);
    const double wider = 1 + doublings * clsa_impl_get(impl, op, CLSA_IMPL_INTERVAL_DOUBLING);
    const double away = clsa_interval_distance(machine, impl, op) *
                        clsa_impl_get(impl, op, CLSA_IMPL_INTERVAL_MACHINE);
    const double low = log1p(clsa_impl_get(impl, op, CLSA_IMPL_INTERVAL_LOW));
    const double high = log1p(clsa_impl_get(impl, op, CLSA_IMPL_INTERVAL_HIGH));
    *below = 1 - exp(low * wider - away);
    *above = exp(high * wider + away) - 1;
}

void clsa_interval_add(struct clsa_interval_sum *sum, double below_seconds, double above_seconds)
{
    sum->below += below_seconds;
    sum->above += above_seconds;
    sum->below_sq += below_seconds * below_seconds;
    sum->above_sq += above_seconds * above_seconds;
}

void clsa_interval_step(const struct clsa_interval_sum *sum, double shared, double *below_seconds,
                        double *above_seconds)
{
    *below_seconds = sqrt(shared * sum->below * sum->below + (1 - shared) * sum->below_sq);
    *above_seconds = sqrt(shared * sum->above * sum->above + (1 - shared) * sum->above_sq);
}
