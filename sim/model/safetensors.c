#include "sim/model/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/json.h"

/* The format's own limit of a header. */
#define HEADER_MAX_BYTES UINT64_C(100000000)

static const struct {
    const char *text;
    enum clsa_dtype dtype;
} dtypes[] = {{"F32", CLSA_F32}, {"BF16", CLSA_BF16}, {"F16", CLSA_F16},    {"F64", CLSA_F64},
              {"I32", CLSA_I32}, {"I64", CLSA_I64},   {"U8", CLSA_U8}, {"F8_E4M3", CLSA_FP8}};

static int read_dtype(const struct clsa_safetensors *f, struct clsa_safetensor *t,
                      const struct clsa_node *node, struct clsa_err *err)
{
    const char *text = clsa_node_text(node);

    for (size_t i = 0; text && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(text, dtypes[i].text) == 0) {
            t->dtype = dtypes[i].dtype;
            return CLSA_OK;
        }
    return clsa_fail(err, CLSA_EFORMAT, "%s: tensor '%s': dtype '%s' is not known", f->path,
                     t->name, text ? text : "(none)");
}

static int read_shape(const struct clsa_safetensors *f, struct clsa_safetensor *t,
                      const struct clsa_node *node, struct clsa_err *err)
{
    const size_t rank = clsa_node_count(node);

    if (!clsa_node_is_array(node) || rank > CLSA_SAFETENSORS_RANK)
        return clsa_fail(err, CLSA_EFORMAT, "%s: tensor '%s': shape is no list of up to %d sizes",
                         f->path, t->name, CLSA_SAFETENSORS_RANK);
    t->rank = (unsigned)rank;
    t->elements = 1;
    for (size_t i = 0; i < rank; i++)
        if (!clsa_node_u64(clsa_node_at(node, i), &t->shape[i]) ||
            !clsa_mul_u64(t->elements, t->shape[i], &t->elements) || t->elements > UINT64_MAX / 16)
            return clsa_fail(err, CLSA_EFORMAT, "%s: tensor '%s': dimension %zu is no usable size",
                             f->path, t->name, i);
    return CLSA_OK;
}

static int read_tensor(const struct clsa_safetensors *f, struct clsa_safetensor *t,
                       const struct clsa_node *node, uint64_t data_start, struct clsa_err *err)
{
    const struct clsa_node *offsets = clsa_node_get(node, "data_offsets");
    const uint64_t room = f->map.bytes - data_start;
    uint64_t begin, end;
    int status;

    if (!clsa_node_is_object(node))
        return clsa_fail(err, CLSA_EFORMAT, "%s: tensor '%s' is no object", f->path, t->name);
    status = read_dtype(f, t, clsa_node_get(node, "dtype"), err);
    if (status == CLSA_OK)
        status = read_shape(f, t, clsa_node_get(node, "shape"), err);
    if (status)
        return status;
    if (!clsa_node_is_array(offsets) || clsa_node_count(offsets) != 2 ||
        !clsa_node_u64(clsa_node_at(offsets, 0), &begin) ||
        !clsa_node_u64(clsa_node_at(offsets, 1), &end) || begin > end)
        return clsa_fail(err, CLSA_EFORMAT, "%s: tensor '%s': data_offsets is no [begin, end]",
                         f->path, t->name);
    if (end > room)
        return clsa_fail(err, CLSA_EFORMAT,
                         "%s: tensor '%s' ends at byte %" PRIu64 " of the data, which has %" PRIu64
                         " (file truncated?)", f->path, t->name, end, room);
    t->bytes = end - begin;
    t->data = f->map.data + data_start + begin;
    if (t->bytes != clsa_dtype_bytes(t->dtype, t->elements))
        return clsa_fail(err, CLSA_EFORMAT,
                         "%s: tensor '%s': %" PRIu64 " bytes of data for %" PRIu64 " values of %s",
                         f->path, t->name, t->bytes, t->elements, clsa_dtype_text(t->dtype));
    return CLSA_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct clsa_safetensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_name(const void *a, const void *b)
{
    const struct clsa_safetensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Every byte of the data belongs to one tensor. */
static int check_places(struct clsa_safetensors *f, uint64_t data_start, struct clsa_err *err)
{
    const unsigned char *next = f->map.data + data_start, *end = f->map.data + f->map.bytes;

    qsort(f->tensors, f->count, sizeof *f->tensors, by_place);
    for (size_t i = 0; i < f->count; i++) {
        const struct clsa_safetensor *t = &f->tensors[i];
        if (t->data < next && t->bytes)
            return clsa_fail(err, CLSA_EFORMAT, "%s: tensors '%s' and '%s' overlap", f->path,
                             f->tensors[i ? i - 1 : 0].name, t->name);
        if (t->data > next)
            return clsa_fail(err, CLSA_EFORMAT, "%s: %td bytes before tensor '%s' belong to none",
                             f->path, t->data - next, t->name);
        next = t->data + t->bytes;
    }
    if (next != end)
        return clsa_fail(err, CLSA_EFORMAT, "%s: the last %td bytes belong to no tensor", f->path,
                         end - next);
    return CLSA_OK;
}

static int read_header(struct clsa_safetensors *f, struct clsa_err *err)
{
    struct clsa_json *doc = NULL;
    const struct clsa_node *root;
    uint64_t n = 0;
    int status;

    if (f->map.bytes < 8)
        return clsa_fail(err, CLSA_EFORMAT, "%s: %zu bytes are too few for a safetensors file",
                         f->path, f->map.bytes);
    for (unsigned i = 0; i < 8; i++)
        n |= (uint64_t)f->map.data[i] << (8 * i);
    if (n > HEADER_MAX_BYTES || n > f->map.bytes - 8)
        return clsa_fail(err, CLSA_EFORMAT,
                         "%s: the header claims %" PRIu64 " bytes, the file has %zu", f->path, n,
                         f->map.bytes);
    status = clsa_json_parse(f->path, (const char *)f->map.data + 8, (size_t)n, &doc, err);
    if (status)
        return status;
    f->json = doc;
    root = clsa_json_root(doc);
    if (!clsa_node_is_object(root))
        return clsa_fail(err, CLSA_EFORMAT, "%s: the header is no JSON object", f->path);
    f->tensors = clsa_calloc(clsa_node_count(root), sizeof *f->tensors);
    if (!f->tensors)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", f->path);
    for (size_t i = 0; i < clsa_node_count(root); i++) {
        const char *key;
        const struct clsa_node *node = clsa_node_member(root, i, &key);
        if (strcmp(key, "__metadata__") == 0)
            continue;
        f->tensors[f->count].name = key;
        status = read_tensor(f, &f->tensors[f->count], node, n + 8, err);
        if (status)
            return status;
        f->count++;
    }
    status = check_places(f, n + 8, err);
    qsort(f->tensors, f->count, sizeof *f->tensors, by_name);
    return status;
}

int clsa_safetensors_open(const char *path, struct clsa_safetensors *out, struct clsa_err *err)
{
    struct clsa_safetensors f = {0};
    int status = clsa_map_open(path, &f.map, err);

    if (status)
        return status;
    f.path = clsa_strdup(path);
    status = f.path ? read_header(&f, err) : clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
    if (status) {
        clsa_safetensors_close(&f);
        return status;
    }
    *out = f;
    return CLSA_OK;
}

void clsa_safetensors_close(struct clsa_safetensors *file)
{
    if (!file)
        return;
    clsa_json_destroy(file->json);
    free(file->tensors);
    clsa_map_close(&file->map);
    free(file->path);
    memset(file, 0, sizeof *file);
}

static int name_key(const void *key, const void *element)
{
    return strcmp(key, ((const struct clsa_safetensor *)element)->name);
}

const struct clsa_safetensor *clsa_safetensors_find(const struct clsa_safetensors *file,
                                                    const char *name)
{
    return file->count ? bsearch(name, file->tensors, file->count, sizeof *file->tensors, name_key)
                       : NULL;
}

static void print_shape(char *text, size_t bytes, unsigned rank, const uint64_t *shape)
{
    size_t at = (size_t)snprintf(text, bytes, "[");
    for (unsigned i = 0; i < rank && at < bytes; i++) {
        const char *comma = i ? ", " : "";
        if (shape[i])
            at += (size_t)snprintf(text + at, bytes - at, "%s%" PRIu64, comma, shape[i]);
        else
            at += (size_t)snprintf(text + at, bytes - at, "%sany", comma);
    }
    if (at < bytes)
        snprintf(text + at, bytes - at, "]");
}

int clsa_safetensors_need(const struct clsa_safetensors *file, const char *name, unsigned dtype,
                          unsigned rank, const uint64_t *shape,
                          const struct clsa_safetensor **out, struct clsa_err *err)
{
    const struct clsa_safetensor *t = clsa_safetensors_find(file, name);
    char have[128], want[128];
    bool same;

    if (!t)
        return clsa_fail(err, CLSA_ENOTFOUND, "%s: tensor '%s' is missing", file->path, name);
    if (t->dtype != dtype)
        return clsa_fail(err, CLSA_EFORMAT, "%s: tensor '%s' is %s, wanted %s", file->path, name,
                         clsa_dtype_text(t->dtype), clsa_dtype_text(dtype));
    same = t->rank == rank;
    for (unsigned i = 0; same && i < rank; i++)
        same = shape[i] == 0 || shape[i] == t->shape[i];
    if (!same) {
        print_shape(have, sizeof have, t->rank, t->shape);
        print_shape(want, sizeof want, rank, shape);
        return clsa_fail(err, CLSA_EFORMAT, "%s: tensor '%s' has shape %s, wanted %s", file->path,
                         name, have, want);
    }
    *out = t;
    return CLSA_OK;
}
