/* One step's price, by closed form or by replay of made-up selections. */
#ifndef CLSA_CLI_PRICING_H
#define CLSA_CLI_PRICING_H

#include "sim/cli/common.h"

/* Prices a step that follows an equal one. Release *out with clsa_prediction_destroy. */
int clsa_price_step(const struct clsa_step *step, const struct clsa_target *target, bool fast,
                    uint32_t threads, struct clsa_prediction *out, struct clsa_err *err);

#endif
