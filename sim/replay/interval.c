#include "sim/replay/interval.h"

#include <math.h>
#include <string.h>

#include "sim/replay/closed.h"

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

void clsa_interval_add(struct clsa_interval_sum *sum, const struct clsa_op *op, double below,
                       double above)
{
    sum->of[op->kind][op->role].below += below;
    sum->of[op->kind][op->role].above += above;
}

void clsa_interval_step(const struct clsa_interval_sum *sum,
                        const struct clsa_implementation *impl, double *below, double *above)
{
    const double shared = clsa_impl_value(impl, 0, 0, CLSA_IMPL_INTERVAL_SHARED);
    double all_below = 0, all_above = 0, squares_below = 0, squares_above = 0;
    unsigned different = 0;
    for (unsigned k = 0; k < CLSA_OP_KINDS; k++)
        for (unsigned role = 0; role < CLSA_ROLES; role++) {
            const double b = sum->of[k][role].below, a = sum->of[k][role].above;
            all_below += b;
            all_above += a;
            squares_below += b * b;
            squares_above += a * a;
            different += b > 0 || a > 0;
        }
    const double factor =
        different > 1 ? clsa_impl_value(impl, 0, 0, CLSA_IMPL_INTERVAL_STEP) : 1;
    *below = factor * sqrt(shared * all_below * all_below + (1 - shared) * squares_below);
    *above = factor * sqrt(shared * all_above * all_above + (1 - shared) * squares_above);
}

void clsa_interval_prediction(const struct clsa_machine *machine,
                              const struct clsa_implementation *impl, const struct clsa_step *step,
                              struct clsa_prediction *prediction)
{
    struct clsa_interval_sum sum;
    double below, above;
    memset(&sum, 0, sizeof sum);
    for (size_t i = 0; i < prediction->n_ops; i++) {
        struct clsa_op_prediction *p = &prediction->ops[i];
        const double ps = (double)p->ps;
        clsa_interval_op(machine, impl, &step->ops[i], ps * 1e-12, &below, &above);
        p->ps_lo = (uint64_t)(ps * (1 - below));
        p->ps_hi = (uint64_t)(ps * (1 + above));
        clsa_interval_add(&sum, &step->ops[i], ps * below, ps * above);
    }
    clsa_interval_step(&sum, impl, &below, &above);
    prediction->step_ps_lo = (uint64_t)fmax(0, (double)prediction->step_ps - below);
    prediction->step_ps_hi = (uint64_t)((double)prediction->step_ps + above);
}
