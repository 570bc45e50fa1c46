/* Rows of the tables of whole attention modules as steps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/replay/validate_case.h"

/* The attention module of one layer of a DSA model, its cached rows and weights being those of the launch
 * before: the first layer of a plan, from its first norm to its output product. */
static int dsa_layer(const struct clsa_csv *csv, size_t row, uint64_t seqs, uint64_t past,
                     uint64_t fresh, struct clsa_table_case *c, struct clsa_err *err)
{
    static const struct {
        const char *published, *ours;
    } models[] = {{"deepseek-ai/DeepSeek-V3.2", "deepseek-v3.2"}, {"zai-org/GLM-5", "glm-5"},
                  {"zai-org/GLM-5-FP8", "glm-5"}, {"zai-org/GLM-5.2", "glm-5.2"},
                  {"zai-org/GLM-5.2-FP8", "glm-5.2"}};
    const char *kind = clsa_case_word(csv, row, "layer_kind"), *published = clsa_case_word(csv, row, "model");
    const char *ours = published, *gemms = clsa_case_word(csv, row, "gemm_dtype");
    uint64_t heads, rows;
    unsigned kv_dtype;
    struct clsa_geometry g;
    char *config = NULL, *weights = NULL;
    int status = clsa_case_cell(csv, row, "num_heads", true, 1, 1, &heads, err);
    if (!status)
        status = clsa_case_dtype(csv, row, "kv_dtype", CLSA_BF16, &kv_dtype, err);
    if (!status && (!clsa_mul_u64(seqs, fresh, &rows) || !rows || rows > CLSA_CASE_QUERIES_MOST ||
                    heads > 1024))
        status = clsa_fail(err, CLSA_ERANGE, "%s:%zu: batch, tokens or heads out of range", csv->path,
                           csv->lines[row]);
    if (!status && strcmp(kind, "full") != 0 && strcmp(kind, "shared") != 0)
        status = clsa_fail(err, CLSA_EFORMAT, "%s:%zu: layer kind '%s' is neither full nor shared",
                           csv->path, csv->lines[row], kind);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].published, published) == 0)
            ours = models[i].ours;
    if (!status)
        status = clsa_model_find(ours, &config, &weights, err);
    if (!status)
        status = clsa_geometry_read(config, &g, err);
    free(config);
    free(weights);
    if (status)
        return status;
    if (g.family != CLSA_FAMILY_DSA)
        return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: model '%s' has no sparse attention layers",
                         csv->path, csv->lines[row], published);
    g.cross_layers = 1;
    g.experts = 0;
    g.heads = (uint32_t)heads;
    g.gemm_dtype = strcmp(gemms, "bfloat16") == 0 ? CLSA_BF16 : CLSA_FP8;
    g.index_group = 1;
    g.index_shared[0] = kind[0] == 's';

    struct clsa_case *one = clsa_calloc(1, sizeof *one);
    c->memory = one;
    if (one)
        one->past = clsa_calloc((size_t)seqs, sizeof *one->past);
    if (!one || !one->past)
        return clsa_fail(err, CLSA_ENOMEM, "%s:%zu: out of memory", csv->path, csv->lines[row]);
    struct clsa_plan_request request;
    clsa_plan_decode(&g, (uint32_t)seqs, past + 1, 1, one->past, &request);
    request.phase = fresh > 1 ? CLSA_PREFILL : CLSA_DECODE;
    request.new_tokens = fresh;
    request.kv_dtype = kv_dtype;
    status = clsa_plan_build(&g, &request, &one->planned, err);
    if (status) {
        memset(&one->planned, 0, sizeof one->planned);
        return status;
    }
    c->step = one->planned;
    size_t from = 0, to = 0;
    while (one->planned.ops[from].kind != CLSA_OP_NORM)
        from++;
    while (one->planned.ops[to].role != CLSA_ROLE_O || one->planned.ops[to].kind != CLSA_OP_GEMM)
        to++;
    c->step.ops = one->planned.ops + from;
    c->step.n_ops = to + 1 - from;
    snprintf(c->group, sizeof c->group, "%s %s %s", kind, gemms, clsa_case_word(csv, row, "kv_dtype"));
    return 0;
}

/* Larger batches ran outside CUDA graphs (the measurements' notes): no target. */
#define DSA_GRAPH_BATCH 256

int clsa_case_dsa_layer_decode(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                               struct clsa_err *err)
{
    uint64_t seqs, context;
    int status = clsa_case_cell(csv, row, "batch", true, 1, 1, &seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "context", true, 1, 1, &context, err);
    c->target = !status && seqs <= DSA_GRAPH_BATCH;
    return status ? status : dsa_layer(csv, row, seqs, context - 1, 1, c, err);
}

int clsa_case_dsa_layer_prefill(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                                struct clsa_err *err)
{
    uint64_t seqs, fresh, past;
    int status = clsa_case_cell(csv, row, "batch", false, 1, 1, &seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "new_tokens", true, 1, 1, &fresh, err);
    if (!status)
        status = clsa_case_cell(csv, row, "context", false, 0, 0, &past, err);
    return status ? status : dsa_layer(csv, row, seqs, past, fresh, c, err);
}
