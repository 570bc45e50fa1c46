#include "sim/model/geometry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/op.h"
#include "sim/model/geometry_read.h"

/* ---- fields ---- */

static int read_field(const struct clsa_json *doc, const struct clsa_field *f,
                      struct clsa_geometry *g, struct clsa_err *err)
{
    const struct clsa_node *root = clsa_json_root(doc), *node = clsa_node_get(root, f->key);
    const char *file = clsa_json_name(doc);
    char *at = (char *)g + f->offset;
    uint64_t count;
    double number;
    int status, dtype;

    if (f->type == CLSA_FIELD_IGNORED)
        return CLSA_OK;
    if (!node)
        return f->required ? clsa_fail(err, CLSA_EFORMAT, "%s: field '%s' is missing", file, f->key)
                           : CLSA_OK;
    switch (f->type) {
    case CLSA_FIELD_U32:
        status = clsa_json_u64(doc, root, f->key, true, (uint64_t)f->lo, (uint64_t)f->hi, &count,
                               err);
        if (status == CLSA_OK) {
            const uint32_t value = (uint32_t)count;
            memcpy(at, &value, sizeof value);
        }
        return status;
    case CLSA_FIELD_F64:
        status = clsa_json_f64(doc, root, f->key, true, &number, err);
        if (status)
            return status;
        if (!(number >= f->lo && number <= f->hi))
            return clsa_fail(err, CLSA_ERANGE, "%s: field '%s' is %g, not in %g to %g", file,
                             f->key, number, f->lo, f->hi);
        memcpy(at, &number, sizeof number);
        return CLSA_OK;
    case CLSA_FIELD_DTYPE:
        dtype = clsa_node_text(node) ? clsa_dtype_find(clsa_node_text(node)) : -1;
        if (dtype != CLSA_F32 && dtype != CLSA_BF16 && dtype != CLSA_F16 && dtype != CLSA_FP8)
            return clsa_fail(err, CLSA_EFORMAT,
                             "%s: field '%s' is not float32, bfloat16, float16 or fp8_e4m3", file,
                             f->key);
        memcpy(at, &(unsigned){(unsigned)dtype}, sizeof(unsigned));
        return CLSA_OK;
    case CLSA_FIELD_BOOL:
        if (!clsa_node_bool(node, (bool *)(void *)at))
            return clsa_fail(err, CLSA_EFORMAT, "%s: field '%s' is not true or false", file,
                             f->key);
        return CLSA_OK;
    case CLSA_FIELD_IGNORED:
        break;
    }
    return CLSA_OK;
}

int clsa_geometry_read_fields(const struct clsa_json *doc, const struct clsa_field *fields,
                              struct clsa_geometry *g, struct clsa_err *err)
{
    const struct clsa_node *root = clsa_json_root(doc);

    for (size_t i = 0; i < clsa_node_count(root); i++) {
        const struct clsa_field *f = fields;
        const char *key;
        clsa_node_member(root, i, &key);
        while (f->key && strcmp(f->key, key) != 0)
            f++;
        if (!f->key)
            return clsa_fail(err, CLSA_EFORMAT, "%s: unknown field '%s'", clsa_json_name(doc), key);
    }
    for (const struct clsa_field *f = fields; f->key; f++) {
        const int status = read_field(doc, f, g, err);
        if (status)
            return status;
    }
    return CLSA_OK;
}

/* ---- the CLSA family ---- */

#define AT(field) offsetof(struct clsa_geometry, field)
#define IGNORED(key) {key, CLSA_FIELD_IGNORED, 0, false, 0, 0}

/* Bounds are far above any model that exists and far below what could overflow a product of two. */
static const struct clsa_field clsa_fields[] = {
    {"hidden_size", CLSA_FIELD_U32, AT(hidden), true, 1, 1 << 17},
    {"intermediate_size", CLSA_FIELD_U32, AT(ffn), true, 1, 1 << 20},
    {"vocab_size", CLSA_FIELD_U32, AT(vocab), true, 1, 1 << 24},
    {"num_self_layers", CLSA_FIELD_U32, AT(self_layers), true, 0, CLSA_LAYERS_MAX / 2},
    {"num_cross_layers", CLSA_FIELD_U32, AT(cross_layers), true, 1, CLSA_LAYERS_MAX / 2},
    {"num_attention_heads", CLSA_FIELD_U32, AT(heads), true, 1, 1024},
    {"num_key_value_heads", CLSA_FIELD_U32, AT(kv_heads), true, 1, 1024},
    {"head_dim", CLSA_FIELD_U32, AT(head_dim), true, 2, 1024},
    {"sliding_window", CLSA_FIELD_U32, AT(window), true, 1, 1 << 24},
    {"index_head_dim", CLSA_FIELD_U32, AT(index_dim), false, 0, 1024},
    {"index_n_heads", CLSA_FIELD_U32, AT(index_heads), false, 1, 256},
    {"index_topk", CLSA_FIELD_U32, AT(index_topk), false, 1, 1 << 24},
    {"index_group_size", CLSA_FIELD_U32, AT(index_group), false, 0, CLSA_LAYERS_MAX},
    {"rope_theta", CLSA_FIELD_F64, AT(rope_theta), true, 1, 1e12},
    {"rms_norm_eps", CLSA_FIELD_F64, AT(norm_eps), true, 1e-30, 1},
    {"torch_dtype", CLSA_FIELD_DTYPE, AT(weight_dtype), true, 0, 0},
    {"kv_cache_dtype", CLSA_FIELD_DTYPE, AT(kv_dtype), false, 0, 0},
    {"index_dtype", CLSA_FIELD_DTYPE, AT(index_dtype), false, 0, 0},
    {"per_layer_kv", CLSA_FIELD_BOOL, AT(per_layer_kv), false, 0, 0},
    IGNORED("model_type"),
    IGNORED("architectures"),
    IGNORED("bos_token_id"),
    IGNORED("eos_token_id"),
    IGNORED("pad_token_id"),
    IGNORED("transformers_version"),
    {NULL, CLSA_FIELD_IGNORED, 0, false, 0, 0},
};

static int read_clsa(const struct clsa_json *doc, struct clsa_geometry *g, struct clsa_err *err)
{
    const struct clsa_node *root = clsa_json_root(doc);
    const char *file = clsa_json_name(doc);
    int status;

    g->family = CLSA_FAMILY_CLSA;
    g->index_heads = 1;
    status = clsa_geometry_read_fields(doc, clsa_fields, g, err);
    if (status)
        return status;
    if (!clsa_node_get(root, "kv_cache_dtype"))
        g->kv_dtype = g->weight_dtype;
    if (!clsa_node_get(root, "index_dtype"))
        g->index_dtype = g->kv_dtype;
    if (!clsa_node_get(root, "index_group_size"))
        g->index_group = g->index_dim ? g->cross_layers : 0;
    if (g->heads % g->kv_heads)
        return clsa_fail(err, CLSA_ERANGE,
                         "%s: num_attention_heads %" PRIu32 " is no multiple of "
                         "num_key_value_heads %" PRIu32, file, g->heads, g->kv_heads);
    if (g->head_dim % 2)
        return clsa_fail(err, CLSA_ERANGE, "%s: head_dim %" PRIu32 " is odd", file, g->head_dim);
    if (g->index_dim && !g->index_topk)
        return clsa_fail(err, CLSA_EFORMAT, "%s: field 'index_topk' is missing", file);
    if (g->index_group && !g->index_dim)
        return clsa_fail(err, CLSA_EFORMAT, "%s: field 'index_head_dim' is missing", file);
    if (g->index_group && g->cross_layers % g->index_group)
        return clsa_fail(err, CLSA_ERANGE,
                         "%s: index_group_size %" PRIu32 " does not divide num_cross_layers %"
                         PRIu32, file, g->index_group, g->cross_layers);
    return CLSA_OK;
}

static uint64_t parameters_clsa(const struct clsa_geometry *g)
{
    const uint64_t h = g->hidden, q = (uint64_t)g->heads * g->head_dim;
    const uint64_t kv = 2 * (uint64_t)g->kv_heads * g->head_dim, d = g->head_dim;
    const uint64_t ffn = 3 * h * g->ffn + h, attention = h + 2 * q * h + d;
    const uint64_t planes = g->per_layer_kv ? g->cross_layers : 1;
    const uint64_t index = g->index_group
                               ? g->cross_layers / g->index_group * h *
                                     ((g->index_heads + 1) * (uint64_t)g->index_dim +
                                      (g->index_heads > 1 ? g->index_heads : 0))
                               : 0;

    return 2 * g->vocab * h + g->self_layers * (attention + kv * h + d + ffn) +
           g->cross_layers * (attention + ffn) + h + planes * kv * h + d + h + index;
}

static uint64_t cache_clsa(const struct clsa_geometry *g, uint32_t group)
{
    const uint64_t kv = clsa_dtype_bytes(g->kv_dtype, 2 * (uint64_t)g->kv_heads * g->head_dim);
    const uint64_t index = clsa_dtype_bytes(g->index_dtype, g->index_dim);

    return (g->per_layer_kv ? g->cross_layers : 1) * kv +
           (group ? (g->cross_layers + group - 1) / group : 0) * index;
}

/* ---- families ---- */

static const struct clsa_family_ops families[] = {
    {"clsa", read_clsa, parameters_clsa, cache_clsa},
    {"deepseek_v32", clsa_geometry_read_dsa, clsa_geometry_parameters_dsa,
     clsa_geometry_cache_bytes_dsa},
    {"glm_moe_dsa", clsa_geometry_read_dsa, clsa_geometry_parameters_dsa,
     clsa_geometry_cache_bytes_dsa},
};

static const struct clsa_family_ops *family_of(const char *model_type)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

/* "clsa-4b" of models/clsa-4b.json, "x" of x/config.json. */
static void name_of(const char *config, char *name, size_t name_bytes)
{
    const char *base = strrchr(config, '/'), *from = base ? base + 1 : config;
    size_t n = strlen(from);

    if (strcmp(from, "config.json") == 0 && base && base > config) {
        const char *end = base;
        from = base - 1;
        while (from > config && from[-1] != '/')
            from--;
        n = (size_t)(end - from);
    } else if (n > 5 && strcmp(from + n - 5, ".json") == 0) {
        n -= 5;
    }
    if (n >= name_bytes)
        n = name_bytes - 1;
    memcpy(name, from, n);
    name[n] = '\0';
}

int clsa_geometry_read(const char *path, struct clsa_geometry *out, struct clsa_err *err)
{
    struct clsa_geometry g = {0};
    const struct clsa_family_ops *family = NULL;
    const struct clsa_node *type;
    struct clsa_json *doc = NULL;
    char *config, *weights;
    int status = clsa_model_find(path, &config, &weights, err);

    if (status)
        return status;
    free(weights);
    status = clsa_json_read(config, &doc, err);
    if (status)
        goto done;
    type = clsa_node_get(clsa_json_root(doc), "model_type");
    if (!clsa_node_text(type)) {
        status = clsa_fail(err, CLSA_EFORMAT, "%s: field 'model_type' is missing", config);
        goto done;
    }
    family = family_of(clsa_node_text(type));
    if (!family) {
        status = clsa_fail(err, CLSA_EUNSUPPORTED, "%s: model_type '%s' is not known", config,
                           clsa_node_text(type));
        goto done;
    }
    name_of(config, g.name, sizeof g.name);
    status = family->read(doc, &g, err);
    if (status == CLSA_OK)
        *out = g;
done:
    clsa_json_destroy(doc);
    free(config);
    return status;
}

static const struct clsa_family_ops *ops_of(const struct clsa_geometry *g)
{
    return &families[g->family == CLSA_FAMILY_CLSA ? 0 : sizeof families / sizeof *families - 1];
}

uint64_t clsa_geometry_parameters(const struct clsa_geometry *g)
{
    return ops_of(g)->parameters(g);
}

uint64_t clsa_geometry_cache_bytes_per_token(const struct clsa_geometry *g, uint32_t group)
{
    return ops_of(g)->cache_bytes_per_token(g, group);
}

/* ---- finding a model ---- */

static bool ends_with(const char *text, const char *suffix)
{
    const size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* `path` with `suffix` for its last `cut` bytes if that is a file, else NULL; CLSA_ENOMEM. */
static int sibling(const char *path, size_t cut, const char *suffix, char **out)
{
    char *name = clsa_asprintf("%.*s%s", (int)(strlen(path) - cut), path, suffix);

    *out = NULL;
    if (!name)
        return CLSA_ENOMEM;
    if (clsa_file_exists(name) && !clsa_is_directory(name))
        *out = name;
    else
        free(name);
    return CLSA_OK;
}

static int weights_beside(const char *config, char **out)
{
    *out = NULL;
    if (ends_with(config, "config.json"))
        return sibling(config, strlen("config.json"), "model.safetensors", out);
    return ends_with(config, ".json") ? sibling(config, strlen(".json"), ".safetensors", out)
                                      : CLSA_OK;
}

static int copy(const char *text, char **out)
{
    *out = clsa_strdup(text);
    return *out ? CLSA_OK : CLSA_ENOMEM;
}

/* The configuration that a .safetensors file belongs to. */
static int config_beside(const char *weights, char **out)
{
    const char *slash = strrchr(weights, '/');
    const int status = sibling(weights, strlen(".safetensors"), ".json", out);

    return status || *out ? status
                          : sibling(weights, strlen(slash ? slash + 1 : weights), "config.json",
                                    out);
}

int clsa_model_find(const char *name, char **config, char **weights, struct clsa_err *err)
{
    char *c = NULL, *w = NULL;
    int status;

    if (clsa_is_directory(name)) {
        status = sibling(name, 0, "/config.json", &c);
        if (status == CLSA_OK && !c)
            return clsa_fail(err, CLSA_ENOTFOUND, "%s: the folder holds no config.json", name);
    } else if (ends_with(name, ".safetensors")) {
        if (!clsa_file_exists(name))
            return clsa_fail(err, CLSA_ENOTFOUND, "%s: no such file", name);
        status = config_beside(name, &c);
        if (status == CLSA_OK && !c)
            return clsa_fail(err, CLSA_ENOTFOUND,
                             "%s: no JSON file of the same name or config.json beside it", name);
        if (status == CLSA_OK)
            status = copy(name, &w);
    } else if (clsa_file_exists(name)) {
        status = copy(name, &c);
    } else {
        status = sibling(name, 0, ".json", &c);
        if (status == CLSA_OK && !c) {
            /* A name in models/, also when given as "models/NAME" from elsewhere. */
            const char *bare = strncmp(name, "models/", 7) == 0 ? name + 7 : name;
            c = clsa_data_find("models", bare, ".json", err);
            if (!c)
                return CLSA_ENOTFOUND;
        }
    }
    if (status == CLSA_OK && !w)
        status = weights_beside(c, &w);
    if (status) {
        free(c);
        free(w);
        return clsa_fail(err, status, "%s: out of memory", name);
    }
    *config = c;
    *weights = w;
    return CLSA_OK;
}
