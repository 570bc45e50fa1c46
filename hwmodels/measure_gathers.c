/* Measured gathers of random rows beside the CPU model's. */
#include "hwmodels/measure.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "hwmodels/cpu.h"
#include "hwmodels/machine.h"

static bool is_demand(const struct clsa_measured *m)
{
    return strcmp(m->what, "gather") == 0;
}

static bool is_gather(const struct clsa_measured *m)
{
    return (is_demand(m) || strcmp(m->what, "fetch") == 0) && m->value > 0;
}

static double predicted_gbps(const struct clsa_machine *machine, const struct clsa_measured *m)
{
    return clsa_cpu_gather(machine, (double)m->footprint_bytes, (double)m->row_bytes,
                           (double)m->page_bytes, m->threads, is_demand(m)) /
           1e9;
}

void clsa_measurement_gathers(FILE *out, const struct clsa_measurement_set *set,
                              const struct clsa_machine *machine)
{
    fputs("what,threads,footprint_bytes,row_bytes,page_bytes,measured_gbps,predicted_gbps,"
          "error_percent\n",
          out);
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct clsa_measured *m = &set->rows[i];
        if (!is_gather(m))
            continue;
        const double gbps = predicted_gbps(machine, m);
        fprintf(out, "%s,%u,%llu,%llu,%llu,%.3f,%.3f,%.1f\n", m->what, m->threads,
                (unsigned long long)m->footprint_bytes, (unsigned long long)m->row_bytes,
                (unsigned long long)m->page_bytes, m->value, gbps, (gbps / m->value - 1) * 100);
    }
}

/* ---- fit ---- */

/* Errors (of logarithms) beyond this count by their size, not its square: a neighbour's burst meets single
 * figures. */
#define PLAIN_FROM 0.2

static double cost(const struct clsa_machine *machine, const struct clsa_measurement_set *set)
{
    double sum = 0;
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct clsa_measured *m = &set->rows[i];
        if (!is_gather(m))
            continue;
        const double error = fabs(log(predicted_gbps(machine, m) / m->value));
        sum += error < PLAIN_FROM ? error * error / (2 * PLAIN_FROM) : error - PLAIN_FROM / 2;
    }
    return sum;
}

/* A factor from where it began that no parameter moves beyond: figures that hardly ask for one would let it run. */
#define FARTHEST 10

/* One parameter moved by a step: a factor of e^step, or for one that may be 0 that part of `unit`. */
static double moved(double value, double step, double unit, double began)
{
    if (unit > 0)
        return fmin(fmax(0, value + step * unit), FARTHEST * fmax(began, unit));
    return fmin(fmax(value * exp(step), began / FARTHEST), began * FARTHEST);
}

size_t clsa_measurement_fit(struct clsa_machine *machine, const struct clsa_measurement_set *set)
{
    const struct {
        double *value, unit;
    } parameters[] = {{&machine->core_inflight, 0},
                      {&machine->core_demand, 0},
                      {&machine->core_rows, 0},
                      {&machine->tlb_walk, machine->dram_latency},
                      {&machine->tlb_walkers, 0},
                      {&machine->dram_random, 0}};
    double began[sizeof parameters / sizeof *parameters];
    size_t n = 0;
    for (size_t p = 0; p < sizeof parameters / sizeof *parameters; p++)
        began[p] = *parameters[p].value;
    for (size_t i = 0; i < set->n_rows; i++)
        n += is_gather(&set->rows[i]);
    if (n == 0)
        return 0;
    double best = cost(machine, set);
    for (double step = 0.25; step > 0.004;) {
        bool better = false;
        for (size_t p = 0; p < sizeof parameters / sizeof *parameters; p++)
            for (int sign = -1; sign <= 1; sign += 2) {
                const double old = *parameters[p].value;
                *parameters[p].value = moved(old, sign * step, parameters[p].unit, began[p]);
                const double now = cost(machine, set);
                if (now < best) {
                    best = now;
                    better = true;
                } else {
                    *parameters[p].value = old;
                }
            }
        if (!better)
            step /= 2;
    }
    machine->core_inflight = fmax(1, machine->core_inflight);
    machine->core_demand = fmax(1, machine->core_demand);
    machine->tlb_walkers = fmax(1, machine->tlb_walkers);
    machine->dram_random = fmin(1, machine->dram_random);
    return n;
}
