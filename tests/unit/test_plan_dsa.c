#include "tests/unit/maps_dsa.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/op.h"

static struct clsa_geometry g;
static struct planned p;

/* GLM-5.2: 21 of 78 layers compute a selection: 0, 1, 2, 6, 10, ..., 74. */
START_TEST(glm_52_shares_in_groups_of_four_behind_an_offset)
{
    model_read("glm-5.2", &g);
    plan_of(&p, &g, 1, 4096, 1, g.index_group);
    for (int32_t l = 0; l < 78; l++) {
        const bool full = l < 3 || (l >= 6 && (l - 2) % 4 == 0);
        ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_TOPK, l), full);
        ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_INDEX_SCORE, l), full);
        ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_ATTN_SPARSE, l), 1);
    }
    ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_TOPK, -1), 21);
    ck_assert_uint_eq(p.step.n_sets, 21);
    clsa_plan_destroy(&p.step);
}
END_TEST

/* A layer attends to the last selection made before it. */
START_TEST(shared_layers_read_the_selection_before_them)
{
    int32_t last = -1;
    model_read("glm-5.2", &g);
    plan_of(&p, &g, 2, 100, 1, g.index_group);
    for (size_t i = 0; i < p.step.n_ops; i++) {
        const struct clsa_op *op = &p.step.ops[i];
        if (op->kind == CLSA_OP_TOPK) {
            ck_assert_int_eq(op->set, last + 1);
            last = op->set;
        } else if (op->kind == CLSA_OP_ATTN_SPARSE) {
            ck_assert_int_eq(op->set, last);
        }
    }
    clsa_plan_destroy(&p.step);
}
END_TEST

/* Shared layers keep no index keys: 132 B x 57 less a token on GLM-5.2. */
START_TEST(sharing_saves_the_index_keys_of_shared_layers)
{
    model_read("glm-5.2", &g);
    ck_assert_uint_eq(clsa_geometry_cache_bytes_per_token(&g, 1) -
                          clsa_geometry_cache_bytes_per_token(&g, g.index_group),
                      132 * 57);
    ck_assert_uint_eq(clsa_geometry_cache_bytes_per_token(&g, 0), 1152 * 78);
    g.kv_dtype = CLSA_FP8;
    ck_assert_uint_eq(clsa_geometry_cache_bytes_per_token(&g, 0), 656 * 78);
}
END_TEST

/* Every other model computes a selection in every layer, and quantised ones have quant ops. */
START_TEST(models_without_sharing_compute_everywhere)
{
    const char *const names[] = {"deepseek-v3.2", "glm-5"};
    const unsigned layers[] = {61, 78};
    for (unsigned i = 0; i < 2; i++) {
        model_read(names[i], &g);
        ck_assert_uint_eq(g.index_group, 1);
        plan_of(&p, &g, 1, 2048, 1, 1);
        ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_TOPK, -1), layers[i]);
        ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_ALL_REDUCE, -1), 0);
        clsa_plan_destroy(&p.step);
    }
    ck_assert_uint_eq(g.gemm_dtype, CLSA_BF16);
    model_read("deepseek-v3.2", &g);
    ck_assert_uint_eq(g.gemm_dtype, CLSA_FP8);
    /* 671 B parameters with 37 B of them at work, as published; the indexer adds under 1 B. */
    const double parameters = (double)clsa_geometry_parameters(&g);
    ck_assert_double_gt(parameters, 668e9);
    ck_assert_double_lt(parameters, 674e9);
}
END_TEST

/* Other groups: each group's first layer computes, and weights stay where they are. */
START_TEST(groups_divide_the_layers_and_keep_addresses)
{
    struct planned other;
    model_read("glm-5", &g);
    plan_of(&p, &g, 1, 1000, 1, 1);
    for (uint32_t group = 2; group <= 78; group += 19) {
        plan_of(&other, &g, 1, 1000, 1, group);
        ck_assert_uint_eq(count_ops(&other.step, CLSA_OP_TOPK, -1), (78 + group - 1) / group);
        for (uint32_t t = 0; t < other.step.n_tensors; t++) {
            const struct clsa_tensor *x = &other.step.tensors[t];
            for (uint32_t u = 0; u < p.step.n_tensors; u++)
                if (strcmp(x->name, p.step.tensors[u].name) == 0)
                    ck_assert_uint_eq(x->address, p.step.tensors[u].address);
        }
        clsa_plan_destroy(&other.step);
    }
    clsa_plan_destroy(&p.step);
}
END_TEST

/* Ranks split the heads and the FFN and leave the indexer whole. */
START_TEST(ranks_split_heads_but_not_the_indexer)
{
    struct clsa_err err = {{0}};
    model_read("glm-5", &g);
    clsa_plan_decode(&g, 1, 5000, 1, p.past, &p.request);
    p.request.tensor_parallel = 8;
    ck_assert(!clsa_plan_build(&g, &p.request, &p.step, &err));
    ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_ALL_REDUCE, 0), 2);
    for (size_t i = 0; i < p.step.n_ops; i++) {
        const struct clsa_op *op = &p.step.ops[i];
        if (op->kind == CLSA_OP_ATTN_SPARSE)
            ck_assert_uint_eq(op->heads, 8);
        if (op->kind == CLSA_OP_INDEX_SCORE)
            ck_assert_uint_eq(op->heads, 32);
        if (op->role == CLSA_ROLE_QB && op->kind == CLSA_OP_GEMM)
            ck_assert_uint_eq(op->n, 8 * 256);
        if (op->role == CLSA_ROLE_QA && op->kind == CLSA_OP_GEMM)
            ck_assert_uint_eq(op->n, 2048 + 512 + 64);
    }
    clsa_plan_destroy(&p.step);
    p.request.tensor_parallel = 7;
    ck_assert_int_eq(clsa_plan_build(&g, &p.request, &p.step, &err), CLSA_EUSAGE);
}
END_TEST

/* Prefill whose contexts fit the top-k attends to everything over K and V of every head. */
START_TEST(short_prefill_is_dense_and_long_prefill_is_sparse)
{
    model_read("glm-5", &g);
    plan_of(&p, &g, 1, 1, 2048, 1);
    ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_ATTN_DENSE, 0), 1);
    ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_INDEX_SCORE, -1), 0);
    ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_KV_APPEND, 0), 2);
    clsa_plan_destroy(&p.step);
    plan_of(&p, &g, 1, 2, 2048, 1);
    ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_ATTN_DENSE, -1), 0);
    ck_assert_uint_eq(count_ops(&p.step, CLSA_OP_INDEX_SCORE, 0), 1);
    clsa_plan_destroy(&p.step);
}
END_TEST

/* The experts that a batch hits: one token hits its own, many hit all. */
START_TEST(experts_hit_grow_with_tokens)
{
    uint32_t before = 0;
    model_read("deepseek-v3.2", &g);
    for (uint32_t seqs = 1; seqs <= 256; seqs *= 4) {
        plan_of(&p, &g, seqs, 10, 1, 1);
        for (size_t i = 0; i < p.step.n_ops; i++) {
            const struct clsa_op *op = &p.step.ops[i];
            if (op->kind != CLSA_OP_MOE_GEMM || op->layer != 60 || op->role != CLSA_ROLE_UP)
                continue;
            ck_assert_uint_eq(op->m, 8 * (uint64_t)seqs);
            ck_assert_uint_le(op->heads, 8 * seqs);
            ck_assert_uint_gt(op->heads, before);
            ck_assert(seqs > 1 || op->heads == 8);
            before = op->heads;
        }
        clsa_plan_destroy(&p.step);
    }
    ck_assert_uint_ge(before, 255);
}
END_TEST

/* ---- sharing rules in the words of checkpoints ---- */

static int read_config(const char *members, struct clsa_geometry *out, struct clsa_err *err)
{
    static const char common[] =
        "{\"model_type\": \"glm_moe_dsa\", \"hidden_size\": 64, \"intermediate_size\": 64, "
        "\"vocab_size\": 100, \"num_hidden_layers\": 8, \"num_attention_heads\": 4, "
        "\"q_lora_rank\": 32, \"kv_lora_rank\": 64, \"qk_nope_head_dim\": 32, "
        "\"qk_rope_head_dim\": 16, \"v_head_dim\": 32, \"index_head_dim\": 32, "
        "\"index_n_heads\": 4, \"index_topk\": 16, \"rms_norm_eps\": 1e-6, \"rope_theta\": 10000";
    char path[] = "/tmp/clsa-dsa-XXXXXX.json";
    const int fd = mkstemps(path, 5);
    ck_assert_int_ge(fd, 0);
    FILE *f = fdopen(fd, "w");
    fprintf(f, "%s%s}\n", common, members);
    fclose(f);
    const int status = clsa_geometry_read(path, out, err);
    unlink(path);
    return status;
}

START_TEST(sharing_follows_list_then_pattern_then_frequency)
{
    static const struct {
        const char *members, *layers;
    } cases[] = {
        {"", "FFFFFFFF"},
        {", \"index_topk_freq\": 1", "FFFFFFFF"},
        {", \"index_topk_freq\": 2", "FFSFSFSF"},
        {", \"index_topk_freq\": 4, \"index_skip_topk_offset\": 3", "FFFSSSFS"},
        {", \"index_topk_freq\": 4, \"index_topk_pattern\": \"FSFSSSSF\"", "FSFSSSSF"},
        {", \"index_topk_freq\": 4, \"index_topk_pattern\": null, \"indexer_types\": [\"full\", "
         "\"full\", \"shared\", \"shared\", \"full\", \"shared\", \"shared\", \"shared\"]",
         "FFSSFSSS"},
        {", \"index_topk_pattern\": \"FFFFFFFF\", \"indexer_types\": [\"full\", \"shared\", "
         "\"shared\", \"shared\", \"shared\", \"shared\", \"shared\", \"shared\"]",
         "FSSSSSSS"},
    };
    struct clsa_err err = {{0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(!read_config(cases[i].members, &g, &err), "%s", err.text);
        for (uint32_t l = 0; l < 8; l++)
            ck_assert_msg(clsa_geometry_layer_shares(&g, g.index_group, l) ==
                              (cases[i].layers[l] == 'S'), "case %zu layer %" PRIu32, i, l);
    }
}
END_TEST

START_TEST(bad_configs_are_errors_that_name_the_field)
{
    static const struct {
        const char *members, *word;
    } cases[] = {
        {", \"index_topk_pattern\": \"FSFS\"", "index_topk_pattern"},
        {", \"index_topk_pattern\": \"FSXSFSFS\"", "index_topk_pattern"},
        {", \"index_topk_pattern\": \"SSSSFFFF\"", "first layer"},
        {", \"indexer_types\": [\"full\", \"half\"]", "indexer_types"},
        {", \"indexer_types\": [1, 2, 3, 4, 5, 6, 7, 8]", "indexer_types"},
        {", \"index_topk_freq\": 0", "index_topk_freq"},
        {", \"index_topk_frequency\": 4", "index_topk_frequency"},
        {", \"quantization_config\": {\"quant_method\": \"awq\"}", "quantization_config"},
        {", \"n_routed_experts\": 8, \"num_experts_per_tok\": 9, \"moe_intermediate_size\": 8",
         "experts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct clsa_err err = {{0}};
        ck_assert_int_lt(read_config(cases[i].members, &g, &err), 0);
        ck_assert_msg(strstr(err.text, cases[i].word) != NULL, "case %zu: %s", i, err.text);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan_dsa");
    TCase *c = tcase_create("plan");
    tcase_add_test(c, glm_52_shares_in_groups_of_four_behind_an_offset);
    tcase_add_test(c, shared_layers_read_the_selection_before_them);
    tcase_add_test(c, sharing_saves_the_index_keys_of_shared_layers);
    tcase_add_test(c, models_without_sharing_compute_everywhere);
    tcase_add_test(c, groups_divide_the_layers_and_keep_addresses);
    tcase_add_test(c, ranks_split_heads_but_not_the_indexer);
    tcase_add_test(c, short_prefill_is_dense_and_long_prefill_is_sparse);
    tcase_add_test(c, experts_hit_grow_with_tokens);
    tcase_add_test(c, sharing_follows_list_then_pattern_then_frequency);
    tcase_add_test(c, bad_configs_are_errors_that_name_the_field);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
