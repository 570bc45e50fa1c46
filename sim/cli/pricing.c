#include "sim/cli/pricing.h"

int clsa_price_step(const struct clsa_step *step, const struct clsa_target *target, bool fast,
                    uint32_t threads, struct clsa_prediction *out, struct clsa_err *err)
{
    (void)fast;
    const struct clsa_closed_request request = {.step = step,
                                                .machine = &target->machine,
                                                .impl = &target->impl,
                                                .threads = threads};
    return clsa_closed_predict(&request, out, err);
}
