/* config.json of a model, and plans of whatever geometry it describes. */
#include <stdlib.h>

#include "sim/model/geometry.h"
#include "sim/model/plan.h"
#include "tests/fuzz/fuzz.h"

const unsigned long clsa_fuzz_runs = 3000;

/* Plans of models with thousands of layers are slow, not wrong. */
#define LAYERS_MAX 128

static void plan(const struct clsa_geometry *g, enum clsa_phase phase, uint32_t group,
                 uint64_t context)
{
    uint64_t past[2];
    struct clsa_plan_request request;
    struct clsa_step step;
    struct clsa_err err;
    clsa_plan_decode(g, 2, context, group, past, &request);
    if (phase == CLSA_PREFILL) {
        request.phase = CLSA_PREFILL;
        request.new_tokens = 1 + context / 2;
    }
    if (clsa_plan_build(g, &request, &step, &err) == 0)
        clsa_plan_destroy(&step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct clsa_geometry g;
    struct clsa_err err;
    if (clsa_geometry_read(clsa_fuzz_file(".json", data, bytes), &g, &err) != 0 ||
        g.self_layers > LAYERS_MAX || g.cross_layers > LAYERS_MAX)
        return 0;
    clsa_geometry_parameters(&g);
    static const uint32_t groups[] = {0, 1, 4, 16};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        clsa_geometry_cache_bytes_per_token(&g, groups[i]);
        plan(&g, CLSA_DECODE, groups[i], 300);
        plan(&g, CLSA_PREFILL, groups[i], 300);
    }
    plan(&g, CLSA_DECODE, g.index_group, UINT64_C(1) << 40);
    return 0;
}

uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    static const char *const files[] = {"models/clsa-byte-5m.json", "models/clsa-4b.json",
                                        "models/yoco-3b.json", "models/deepseek-v3.2.json",
                                        "models/glm-5.2.json"};
    return i < sizeof files / sizeof *files ? clsa_fuzz_source(files[i], bytes) : NULL;
}
