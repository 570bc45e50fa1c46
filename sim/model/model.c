#include "sim/model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/rng.h"
#include "sim/model/safetensors.h"

struct bound {
    char name[CLSA_TENSOR_NAME_BYTES];
    char *data; /* in a block */
};

/* Tensors lie behind each other in blocks, each of all that a plan asked for at once: small weights
 * then share huge pages too. */
#define TENSOR_ALIGN 64u

struct clsa_model {
    struct clsa_geometry g;
    struct clsa_safetensors file;
    bool synthetic;
    uint64_t seed;
    struct bound *bound;
    char **blocks;
    size_t n_bound, n_blocks;
};

/* One piece of a tensor of a plan, as the checkpoint stores it. */
struct part {
    char name[96];
    uint64_t rows, columns; /* columns 0: a vector of `rows` values */
};

/* ---- names ---- */

static bool ends_with(const char *text, const char *suffix)
{
    const size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* Part `i` of a plan's tensor with `elements` values; false when there are no more. This is the one
 * place that knows how the names of fused tensors relate to those of models/README.md. */
static bool part_of(const struct clsa_model *m, const struct clsa_tensor *t, uint32_t i,
                    struct part *p)
{
    const struct clsa_geometry *g = &m->g;
    const uint64_t q = (uint64_t)g->heads * g->head_dim, kv = (uint64_t)g->kv_heads * g->head_dim;
    const uint64_t elements = t->bytes / clsa_dtype_bytes(t->dtype, 1);
    static const char *const qkv[] = {"q", "k", "v"};
    unsigned group;

    p->columns = g->hidden;
    if (ends_with(t->name, ".qkv.weight")) {
        if (i >= 3)
            return false;
        snprintf(p->name, sizeof p->name, "%.*s.%s.weight", (int)(strlen(t->name) - 11), t->name,
                 qkv[i]);
        p->rows = i ? kv : q;
        return true;
    }
    if (ends_with(t->name, ".gate_up.weight")) {
        if (i >= 2)
            return false;
        snprintf(p->name, sizeof p->name, "%.*s.%s.weight", (int)(strlen(t->name) - 15), t->name,
                 i ? "up" : "gate");
        p->rows = g->ffn;
        return true;
    }
    if (strcmp(t->name, "kv.weight") == 0 || strcmp(t->name, "cross_kv.weight") == 0) {
        if (i >= (t->name[0] == 'c' ? 2 * g->cross_layers : 2))
            return false;
        snprintf(p->name, sizeof p->name, "cross_layers.%" PRIu32 ".%s.weight", i / 2,
                 qkv[1 + i % 2]);
        if (t->name[0] == 'k' || !clsa_safetensors_find(&m->file, p->name))
            snprintf(p->name, sizeof p->name, "%s.weight", qkv[1 + i % 2]);
        p->rows = kv;
        return true;
    }
    if (sscanf(t->name, "indexers.g%u.k.weight", &group) == 1 && ends_with(t->name, ".k.weight")) {
        if (i >= g->cross_layers / group)
            return false;
        snprintf(p->name, sizeof p->name, "indexers.g%u_%" PRIu32 ".k.weight", group, i);
        p->rows = g->index_dim;
        return true;
    }
    if (i)
        return false;
    snprintf(p->name, sizeof p->name, "%s", t->name);
    if (ends_with(t->name, "norm")) {
        p->rows = elements;
        p->columns = 0;
    } else {
        if (ends_with(t->name, ".o.weight"))
            p->columns = q;
        else if (ends_with(t->name, ".down.weight"))
            p->columns = g->ffn;
        p->rows = elements / p->columns;
    }
    return true;
}

/* ---- data ---- */

static int copy_part(const struct clsa_model *m, const struct clsa_tensor *t, const struct part *p,
                     char *to, struct clsa_err *err)
{
    const uint64_t shape[2] = {p->rows, p->columns};
    const struct clsa_safetensor *from;
    const int status = clsa_safetensors_need(&m->file, p->name, t->dtype, p->columns ? 2 : 1, shape,
                                             &from, err);

    if (status == CLSA_OK)
        memcpy(to, from->data, from->bytes);
    return status;
}

/* Round to nearest even; values are small and finite. */
static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void random_part(const struct clsa_model *m, const struct clsa_tensor *t,
                        const struct part *p, char *to)
{
    const uint64_t n = p->rows * (p->columns ? p->columns : 1);
    const double scale = p->columns ? sqrt(3.0 / (double)p->columns) : 0;
    uint64_t seed = m->seed ^ UINT64_C(0xcbf29ce484222325);
    struct clsa_rng rng;

    for (const char *c = p->name; *c; c++) /* FNV-1a of the name */
        seed = (seed ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    clsa_rng_seed(&rng, seed);
    for (uint64_t i = 0; i < n; i++) {
        const float value = (float)(p->columns ? (2 * clsa_rng_unit(&rng) - 1) * scale : 1.0);
        if (t->dtype == CLSA_BF16) {
            const uint16_t half = to_bf16(value);
            memcpy(to + 2 * i, &half, sizeof half);
        } else {
            memcpy(to + 4 * i, &value, sizeof value);
        }
    }
}

static int load(const struct clsa_model *m, const struct clsa_tensor *t, char *to,
                struct clsa_err *err)
{
    struct part p;

    for (uint32_t i = 0; part_of(m, t, i, &p); i++) {
        int status = CLSA_OK;
        if (m->synthetic)
            random_part(m, t, &p, to);
        else
            status = copy_part(m, t, &p, to, err);
        if (status)
            return status;
        to += clsa_dtype_bytes(t->dtype, p.rows * (p.columns ? p.columns : 1));
    }
    return CLSA_OK;
}

/* Room for n more tensors in one block of `bytes`. */
static int add_block(struct clsa_model *m, size_t n, uint64_t bytes, char **block)
{
    struct bound *bound = clsa_realloc(m->bound, m->n_bound + n, sizeof *bound);
    char **blocks;

    if (!bound)
        return CLSA_ENOMEM;
    m->bound = bound;
    blocks = clsa_realloc(m->blocks, m->n_blocks + 1, sizeof *blocks);
    if (!blocks)
        return CLSA_ENOMEM;
    m->blocks = blocks;
    *block = clsa_aligned(TENSOR_ALIGN, bytes, 1);
    if (!*block)
        return CLSA_ENOMEM;
    m->blocks[m->n_blocks++] = *block;
    return CLSA_OK;
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
}

static char *find(const struct clsa_model *m, const char *name)
{
    for (size_t i = 0; i < m->n_bound; i++)
        if (strcmp(m->bound[i].name, name) == 0)
            return m->bound[i].data;
    return NULL;
}

int clsa_model_bind(struct clsa_model *m, const struct clsa_step *step, const void **pointers,
                    struct clsa_err *err)
{
    const uint64_t available = clsa_memory_available_bytes();
    uint64_t missing = 0;
    char *to = NULL;
    size_t n = 0;

    for (uint32_t i = 0; i < step->n_tensors; i++)
        if (step->tensors[i].kind == CLSA_TENSOR_WEIGHT && !find(m, step->tensors[i].name)) {
            missing += padded(step->tensors[i].bytes);
            n++;
        }
    if (missing > available)
        return clsa_fail(err, CLSA_ELIMIT,
                         "%s: the weights take %" PRIu64 " bytes, %" PRIu64 " are available",
                         m->g.name, missing, available);
    if (n && add_block(m, n, missing, &to))
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory for %" PRIu64 " bytes of weights",
                         m->g.name, missing);
    for (uint32_t i = 0; i < step->n_tensors; i++) {
        const struct clsa_tensor *t = &step->tensors[i];
        char *data;
        if (t->kind != CLSA_TENSOR_WEIGHT)
            continue;
        data = find(m, t->name);
        if (!data) {
            const int status = load(m, t, to, err);
            if (status)
                return status;
            memcpy(m->bound[m->n_bound].name, t->name, sizeof t->name);
            m->bound[m->n_bound++].data = data = to;
            to += padded(t->bytes);
        }
        pointers[i] = data;
    }
    return CLSA_OK;
}

/* ---- life ---- */

int clsa_model_open(const char *name, struct clsa_model **out, struct clsa_err *err)
{
    char *config = NULL, *weights = NULL;
    struct clsa_model *m = clsa_calloc(1, sizeof *m);
    int status;

    if (!m)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
    status = clsa_model_find(name, &config, &weights, err);
    if (status == CLSA_OK)
        status = clsa_geometry_read(config, &m->g, err);
    if (status == CLSA_OK && m->g.family != CLSA_FAMILY_CLSA)
        status = clsa_fail(err, CLSA_EUNSUPPORTED, "%s: the engine runs models of type clsa only",
                           config);
    if (status == CLSA_OK && !weights)
        status = clsa_fail(err, CLSA_ENOTFOUND, "%s: no .safetensors file beside it, so no weights",
                           config);
    if (status == CLSA_OK)
        status = clsa_safetensors_open(weights, &m->file, err);
    free(config);
    free(weights);
    if (status) {
        clsa_model_destroy(m);
        return status;
    }
    *out = m;
    return CLSA_OK;
}

int clsa_model_synthetic(const struct clsa_geometry *geometry, uint64_t seed,
                         struct clsa_model **out, struct clsa_err *err)
{
    struct clsa_model *m;

    if (geometry->family != CLSA_FAMILY_CLSA ||
        (geometry->weight_dtype != CLSA_F32 && geometry->weight_dtype != CLSA_BF16))
        return clsa_fail(err, CLSA_EUNSUPPORTED,
                         "%s: random weights are made for clsa models in float32 or bfloat16",
                         geometry->name);
    m = clsa_calloc(1, sizeof *m);
    if (!m)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", geometry->name);
    m->g = *geometry;
    m->synthetic = true;
    m->seed = seed;
    *out = m;
    return CLSA_OK;
}

void clsa_model_destroy(struct clsa_model *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_blocks; i++)
        free(m->blocks[i]);
    free(m->blocks);
    free(m->bound);
    clsa_safetensors_close(&m->file);
    free(m);
}

const struct clsa_geometry *clsa_model_geometry(const struct clsa_model *m)
{
    return &m->g;
}
