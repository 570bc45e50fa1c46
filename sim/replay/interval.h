/* 80 % intervals of predictions.
 *
 * An implementation says for each op between which factors the middle eight tenths of measured
 * times lay around the predicted ones (interval_low, interval_high), over which times and on which
 * machine. The interval widens with the distance from what was measured: by interval_doubling for
 * every doubling of time beyond the measured range, and by interval_machine for the distance of the
 * machine, the mean absolute log ratio of clock, compute, bandwidth and cache to the machine
 * measured. Ops that nobody measured have the wide defaults of the parameter table.
 *
 * A step adds up ops. Equal ops (kind and role) err together. Of the variance of different ops the
 * part interval_shared is common to all, the rest independent. What whole steps that were measured
 * say beside that is interval_step, a factor on the widths of steps of several ops. */
#ifndef CLSA_REPLAY_INTERVAL_H
#define CLSA_REPLAY_INTERVAL_H

#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/op.h"

/* Mean absolute log ratio of a machine to the one an op's constants were measured on; 0 when the
 * implementation names none. */
double clsa_interval_distance(const struct clsa_machine *machine,
                              const struct clsa_implementation *impl, const struct clsa_op *op);

/* Widths below and above a predicted time of an op, as parts of it: the interval is
 * [seconds * (1 - *below), seconds * (1 + *above)]. */
void clsa_interval_op(const struct clsa_machine *machine, const struct clsa_implementation *impl,
                      const struct clsa_op *op, double seconds, double *below, double *above);

/* Fills ps_lo and ps_hi of the ops and of the step from their ps, for predictions of any origin. */
struct clsa_prediction;
void clsa_interval_prediction(const struct clsa_machine *machine,
                              const struct clsa_implementation *impl, const struct clsa_step *step,
                              struct clsa_prediction *prediction);

/* The widths of a step: zero it, add every op's widths (in any unit of time), ask. */
struct clsa_interval_sum {
    struct {
        double below, above;
    } of[CLSA_OP_KINDS][CLSA_ROLES];
};
void clsa_interval_add(struct clsa_interval_sum *sum, const struct clsa_op *op, double below,
                       double above);
void clsa_interval_step(const struct clsa_interval_sum *sum,
                        const struct clsa_implementation *impl, double *below, double *above);

#endif
