#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/rng.h"
#include "sim/model/model.h"
#include "sim/model/plan.h"
#include "sim/model/safetensors.h"
#include "tests/unit/test.h"

static char dir[64], json_path[128], tensors_path[128], model_path[256];
static struct clsa_err err;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/clsa-model-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(json_path, sizeof json_path, "%s/m.json", dir);
    snprintf(tensors_path, sizeof tensors_path, "%s/m.safetensors", dir);
    snprintf(model_path, sizeof model_path, "%s/models/clsa-byte-5m.json", clsa_test_source());
}

static void teardown(void)
{
    unlink(json_path);
    unlink(tensors_path);
    ck_assert_int_eq(rmdir(dir), 0);
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, bytes, f), bytes);
    ck_assert_int_eq(fclose(f), 0);
}

static void ck_err_names(const char *what)
{
    ck_assert_msg(strstr(err.text, what) != NULL, "'%s' does not name '%s'", err.text, what);
}

/* ---- config.json ---- */

#define BASE                                                                                       \
    "\"hidden_size\":64,\"intermediate_size\":96,\"num_self_layers\":2,\"num_cross_layers\":4,"    \
    "\"num_key_value_heads\":2,\"head_dim\":16,\"sliding_window\":8,\"rope_theta\":1e4,"           \
    "\"rms_norm_eps\":1e-6,\"vocab_size\":256,\"torch_dtype\":\"bfloat16\""

static int read_config(const char *text, struct clsa_geometry *g)
{
    write_file(json_path, text, strlen(text));
    return clsa_geometry_read(json_path, g, &err);
}

START_TEST(config_is_read)
{
    struct clsa_geometry g;
    const int status =
        read_config("{\"model_type\":\"clsa\",\"num_attention_heads\":4,\"index_head_dim\":8,"
                    "\"index_topk\":5,\"kv_cache_dtype\":\"float32\"," BASE "}", &g);

    ck_assert_msg(status == 0, "%s", err.text);
    ck_assert_str_eq(g.name, "m");
    ck_assert_uint_eq(g.hidden, 64);
    ck_assert_uint_eq(g.heads, 4);
    ck_assert_uint_eq(g.index_heads, 1);
    ck_assert_uint_eq(g.index_group, 4); /* all cross layers unless said otherwise */
    ck_assert_uint_eq(g.weight_dtype, CLSA_BF16);
    ck_assert_uint_eq(g.kv_dtype, CLSA_F32);
    ck_assert_uint_eq(g.index_dtype, CLSA_F32);
    ck_assert(!g.per_layer_kv);
}
END_TEST

static const struct {
    const char *extra; /* put before BASE */
    const char *named; /* in the message */
} bad_configs[] = {
    {"\"model_type\":\"clsa\",", "'num_attention_heads' is missing"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4,\"num_atention_heads\":4,",
     "unknown field 'num_atention_heads'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":3,", "num_attention_heads 3"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":0,", "'num_attention_heads' is 0"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4000000000,", "'num_attention_heads'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":-4,", "'num_attention_heads'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4.5,", "'num_attention_heads'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":\"4\",", "'num_attention_heads'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4,\"index_head_dim\":8,", "'index_topk'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4,\"index_group_size\":2,",
     "'index_head_dim'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4,\"index_head_dim\":8,\"index_topk\":1,"
     "\"index_group_size\":3,", "index_group_size 3"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4,\"per_layer_kv\":1,", "'per_layer_kv'"},
    {"\"model_type\":\"clsa\",\"num_attention_heads\":4,\"kv_cache_dtype\":\"int4\",",
     "'kv_cache_dtype'"},
    {"\"model_type\":\"gpt\",", "model_type 'gpt'"},
    {"", "'model_type' is missing"},
};

START_TEST(config_errors_name_file_and_field)
{
    struct clsa_geometry g;
    char text[1024];

    snprintf(text, sizeof text, "{%s" BASE "}", bad_configs[_i].extra);
    ck_assert_int_lt(read_config(text, &g), 0);
    ck_err_names(bad_configs[_i].named);
    ck_err_names("m.json");
}
END_TEST

START_TEST(config_file_troubles)
{
    struct clsa_geometry g;

    ck_assert_int_eq(clsa_geometry_read("/nonexistent/x.json", &g, &err), CLSA_ENOTFOUND);
    ck_assert_int_eq(clsa_geometry_read(dir, &g, &err), CLSA_ENOTFOUND);
    ck_err_names("config.json");
    ck_assert_int_eq(read_config("{\"model_type\":", &g), CLSA_EFORMAT);
    ck_assert_int_lt(read_config("", &g), 0);
    ck_assert_int_lt(read_config("[1]", &g), 0);
    ck_assert_int_lt(read_config("{\"model_type\":\"\xff\"}", &g), 0);
    write_file(tensors_path, "", 0);
    unlink(json_path);
    ck_assert_int_eq(clsa_geometry_read(tensors_path, &g, &err), CLSA_ENOTFOUND);
}
END_TEST

START_TEST(published_geometries)
{
    struct clsa_geometry g;
    char path[256];

    snprintf(path, sizeof path, "%s/models/clsa-4b.json", clsa_test_source());
    ck_assert_msg(clsa_geometry_read(path, &g, &err) == 0, "%s", err.text);
    ck_assert_str_eq(g.name, "clsa-4b");
    /* 2 x 4 heads x 128 x 2 bytes, and one index key of 128 */
    ck_assert_uint_eq(clsa_geometry_cache_bytes_per_token(&g, 16), 2048 + 256);
    ck_assert_uint_eq(clsa_geometry_cache_bytes_per_token(&g, 0), 2048);
    ck_assert_uint_eq(clsa_geometry_cache_bytes_per_token(&g, 1), 2048 + 16 * 256);
    ck_assert_msg(clsa_geometry_read(model_path, &g, &err) == 0, "%s", err.text);
    /* 10,038,080 bytes of bfloat16 hold 15 indexers of 2 x 64 x 192; a group of 4 uses 2. */
    ck_assert_uint_eq(clsa_geometry_parameters(&g), 10038080 / 2 - 13 * 2 * 64 * 192);
}
END_TEST

/* ---- safetensors ---- */

static size_t build(char *to, const char *json, size_t data)
{
    const size_t n = strlen(json);

    for (int i = 0; i < 8; i++)
        to[i] = (char)(n >> (8 * i));
    memcpy(to + 8, json, n);
    memset(to + 8 + n, 1, data);
    return 8 + n + data;
}

static int open_built(const char *json, size_t data, struct clsa_safetensors *f)
{
    char bytes[1024];

    write_file(tensors_path, bytes, build(bytes, json, data));
    return clsa_safetensors_open(tensors_path, f, &err);
}

START_TEST(tensors_are_found)
{
    struct clsa_safetensors f;
    const struct clsa_safetensor *t;

    ck_assert_int_eq(open_built("{\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],"
                                "\"data_offsets\":[2,10]},"
                                "\"__metadata__\":{\"format\":\"pt\"},"
                                "\"a\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]}} ",
                                10, &f), 0);
    ck_assert_uint_eq(f.count, 2);
    t = clsa_safetensors_find(&f, "b");
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->elements, 2);
    ck_assert_uint_eq(t->bytes, 8);
    ck_assert_ptr_null(clsa_safetensors_find(&f, "c"));
    ck_assert_int_eq(clsa_safetensors_need(&f, "c", CLSA_F32, 1, (uint64_t[]){1}, &t, &err),
                     CLSA_ENOTFOUND);
    ck_err_names("'c' is missing");
    ck_assert_int_eq(clsa_safetensors_need(&f, "b", CLSA_F32, 2, (uint64_t[]){2, 2}, &t, &err),
                     CLSA_EFORMAT);
    ck_err_names("[2, 1], wanted [2, 2]");
    ck_assert_int_eq(clsa_safetensors_need(&f, "b", CLSA_BF16, 2, (uint64_t[]){2, 1}, &t, &err),
                     CLSA_EFORMAT);
    clsa_safetensors_close(&f);
}
END_TEST

#define T(name, dtype, shape, from, to)                                                            \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static const struct {
    const char *json;
    size_t data;
    const char *named;
} bad_tensors[] = {
    {"{" T("a", "F32", "[2]", "0", "8") "}", 4, "truncated"},
    {"{" T("a", "F32", "[2]", "0", "8") "}", 12, "last 4 bytes"},
    {"{" T("a", "F32", "[2]", "4", "12") "}", 12, "4 bytes before tensor 'a'"},
    {"{" T("a", "F32", "[2]", "0", "8") "," T("b", "F32", "[2]", "4", "12") "}", 12, "overlap"},
    {"{" T("a", "F32", "[3]", "0", "8") "}", 8, "8 bytes of data for 3"},
    {"{" T("a", "F32", "[4294967296,4294967296,4294967296]", "0", "8") "}", 8, "dimension 1"},
    {"{" T("a", "F32", "[-1]", "0", "8") "}", 8, "dimension 0"},
    {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", "0", "8") "}", 8, "shape"},
    {"{" T("a", "Q4", "[2]", "0", "8") "}", 8, "dtype 'Q4'"},
    {"{" T("a", "F32", "[2]", "8", "0") "}", 8, "data_offsets"},
    {"{" T("a", "F32", "[2]", "0", "9223372036854775807") "}", 8, "'a'"},
    {"{\"a\":7}", 0, "'a' is no object"},
    {"[]", 0, "no JSON object"},
    {"{\"a\":", 0, "m.safetensors"},
};

START_TEST(bad_tensors_are_named)
{
    struct clsa_safetensors f;

    ck_assert_int_eq(open_built(bad_tensors[_i].json, bad_tensors[_i].data, &f), CLSA_EFORMAT);
    ck_err_names(bad_tensors[_i].named);
    ck_err_names("m.safetensors");
}
END_TEST

START_TEST(header_lengths)
{
    struct clsa_safetensors f;
    unsigned char bytes[16] = {0};

    write_file(tensors_path, bytes, 7);
    ck_assert_int_eq(clsa_safetensors_open(tensors_path, &f, &err), CLSA_EFORMAT);
    memset(bytes, 0xff, 8);
    write_file(tensors_path, bytes, sizeof bytes);
    ck_assert_int_eq(clsa_safetensors_open(tensors_path, &f, &err), CLSA_EFORMAT);
    ck_err_names("18446744073709551615");
    ck_assert_int_eq(clsa_safetensors_open("/nonexistent", &f, &err), CLSA_ENOTFOUND);
}
END_TEST

/* Every bit of a small header flipped, every length cut: an error or a file that still adds up. */
START_TEST(damage_never_crashes)
{
    char bytes[512];
    const size_t n = build(bytes, "{" T("a", "F32", "[2,1]", "0", "8") ","
                           T("b", "BF16", "[3]", "8", "14") "}", 14);
    struct clsa_safetensors f;

    for (size_t cut = 0; cut < n; cut++) {
        write_file(tensors_path, bytes, cut);
        ck_assert_int_lt(clsa_safetensors_open(tensors_path, &f, &err), 0);
    }
    for (size_t bit = 0; bit < 8 * (n - 14); bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        write_file(tensors_path, bytes, n);
        if (clsa_safetensors_open(tensors_path, &f, &err) == 0) {
            uint64_t sum = 0;
            for (size_t t = 0; t < f.count; t++)
                for (size_t i = 0; i < f.tensors[t].bytes; i++)
                    sum += f.tensors[t].data[i];
            ck_assert_uint_eq(sum, 14);
            clsa_safetensors_close(&f);
        }
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
}
END_TEST

/* ---- binding ---- */

static int bind(struct clsa_model *m, uint32_t group, const void **pointers, size_t room)
{
    uint64_t past[1];
    struct clsa_plan_request r;
    struct clsa_step step;
    int status;

    clsa_plan_decode(clsa_model_geometry(m), 1, 100, group, past, &r);
    status = clsa_plan_build(clsa_model_geometry(m), &r, &step, &err);
    if (status)
        return status;
    ck_assert_uint_le(step.n_tensors, room);
    status = clsa_model_bind(m, &step, pointers, &err);
    clsa_plan_destroy(&step);
    return status;
}

START_TEST(weights_are_bound)
{
    const void *a[256] = {0}, *b[256] = {0};
    struct clsa_model *m;
    struct clsa_safetensors f;
    const struct clsa_safetensor *k;

    ck_assert_msg(clsa_model_open(model_path, &m, &err) == 0, "%s", err.text);
    ck_assert_msg(bind(m, 4, a, 256) == 0, "%s", err.text);
    ck_assert_int_eq(bind(m, 4, b, 256), 0);
    ck_assert_mem_eq(a, b, sizeof a);
    /* Tensor 2 of the plan is self_layers.0.qkv.weight: q, then k, then v. */
    snprintf(tensors_path, sizeof tensors_path, "%s/models/clsa-byte-5m.safetensors",
             clsa_test_source());
    ck_assert_int_eq(clsa_safetensors_open(tensors_path, &f, &err), 0);
    k = clsa_safetensors_find(&f, "self_layers.0.k.weight");
    ck_assert_mem_eq((const char *)a[2] + 192 * 192 * 2, k->data, k->bytes);
    clsa_safetensors_close(&f);
    tensors_path[0] = '\0';
    clsa_model_destroy(m);
}
END_TEST

/* The checkpoint with the bytes `from` in its header replaced by `to`, of the same length. */
static void damaged_model(const char *from, const char *to)
{
    char path[256], *data, *json, *at = NULL;
    size_t bytes, json_bytes;

    snprintf(path, sizeof path, "%s/models/clsa-byte-5m.safetensors", clsa_test_source());
    ck_assert_int_eq(clsa_file_read(path, SIZE_MAX, &data, &bytes, &err), 0);
    for (size_t i = 8; i < 14000 && !at; i++)
        if (memcmp(data + i, from, strlen(from)) == 0)
            at = data + i;
    ck_assert_ptr_nonnull(at);
    memcpy(at, to, strlen(to));
    write_file(tensors_path, data, bytes);
    ck_assert_int_eq(clsa_file_read(model_path, SIZE_MAX, &json, &json_bytes, &err), 0);
    write_file(json_path, json, json_bytes);
    free(data);
    free(json);
}

START_TEST(missing_and_misshapen_weights_are_named)
{
    const void *pointers[256];
    struct clsa_model *m;

    damaged_model("\"cross_layers.3.o.weight\"", "\"cross_layers.3.p.weight\"");
    ck_assert_msg(clsa_model_open(json_path, &m, &err) == 0, "%s", err.text);
    ck_assert_int_eq(bind(m, 0, pointers, 256), CLSA_ENOTFOUND);
    ck_err_names("m.safetensors: tensor 'cross_layers.3.o.weight' is missing");
    clsa_model_destroy(m);

    damaged_model("[512,192]", "[192,512]"); /* of cross_layers.0.ffn.gate.weight */
    ck_assert_msg(clsa_model_open(json_path, &m, &err) == 0, "%s", err.text);
    ck_assert_int_eq(bind(m, 0, pointers, 256), CLSA_EFORMAT);
    ck_err_names("[192, 512], wanted [512, 192]");
    clsa_model_destroy(m);

    damaged_model("\"indexers.g4_1.k.weight\"", "\"indexers.g3_1.k.weight\"");
    ck_assert_msg(clsa_model_open(json_path, &m, &err) == 0, "%s", err.text);
    ck_assert_int_eq(bind(m, 2, pointers, 256), 0);
    ck_assert_int_eq(bind(m, 4, pointers, 256), CLSA_ENOTFOUND);
    ck_err_names("indexers.g4_1.k.weight");
    clsa_model_destroy(m);
}
END_TEST

START_TEST(allocation_failures_are_reported)
{
    const void *pointers[256];
    unsigned long n = 0;
    int status;

    do {
        struct clsa_model *m = NULL;
        n++;
        clsa_alloc_fail_at(n);
        status = clsa_model_open(model_path, &m, &err);
        if (status == 0) {
            status = bind(m, 1, pointers, 256);
            clsa_model_destroy(m);
        }
        ck_assert_msg(status == 0 || status == CLSA_ENOMEM, "allocation %lu: %s", n, err.text);
    } while (clsa_alloc_fail_at(0));
    ck_assert_uint_gt(n, 10); /* it did fail, at many places */
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(synthetic_weights_repeat)
{
    const void *a[256], *b[256];
    struct clsa_geometry g;
    struct clsa_model *m, *same;

    ck_assert_int_eq(clsa_geometry_read(model_path, &g, &err), 0);
    ck_assert_int_eq(clsa_model_synthetic(&g, 7, &m, &err), 0);
    ck_assert_int_eq(clsa_model_synthetic(&g, 7, &same, &err), 0);
    ck_assert_int_eq(bind(m, 0, a, 256), 0);
    ck_assert_int_eq(bind(same, 4, b, 256), 0);
    for (int i = 0; i < 20; i++) /* the first layers: the same tensors in both plans */
        ck_assert_mem_eq(a[i], b[i], 64);
    clsa_model_destroy(m);
    clsa_model_destroy(same);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("model");
    TCase *t = tcase_create("model");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, config_is_read);
    tcase_add_loop_test(t, config_errors_name_file_and_field, 0,
                        sizeof bad_configs / sizeof *bad_configs);
    tcase_add_test(t, config_file_troubles);
    tcase_add_test(t, published_geometries);
    tcase_add_test(t, tensors_are_found);
    tcase_add_loop_test(t, bad_tensors_are_named, 0, sizeof bad_tensors / sizeof *bad_tensors);
    tcase_add_test(t, header_lengths);
    tcase_add_test(t, damage_never_crashes);
    tcase_add_test(t, weights_are_bound);
    tcase_add_test(t, missing_and_misshapen_weights_are_named);
    tcase_add_test(t, allocation_failures_are_reported);
    tcase_add_test(t, synthetic_weights_repeat);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
