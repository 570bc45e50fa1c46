#include "sim/base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"

#define JSON_BYTES_MAX ((size_t)256 << 20)

struct clsa_json {
    json_t *root;
    char *name;
};

static json_t *unwrap(const struct clsa_node *node)
{
    return (json_t *)(uintptr_t)node;
}

static const struct clsa_node *wrap(json_t *value)
{
    return (const struct clsa_node *)(json_is_null(value) ? NULL : value);
}

int clsa_json_parse(const char *name, const char *text, size_t bytes, struct clsa_json **doc,
                    struct clsa_err *err)
{
    json_error_t where;
    struct clsa_json *d = clsa_calloc(1, sizeof *d);
    if (!d || !(d->name = clsa_strdup(name))) {
        free(d);
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
    }
    d->root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where);
    if (!d->root) {
        clsa_json_destroy(d);
        return clsa_fail(err, CLSA_EFORMAT, "%s:%d:%d: %s", name, where.line, where.column,
                         where.text);
    }
    *doc = d;
    return CLSA_OK;
}

int clsa_json_read(const char *path, struct clsa_json **doc, struct clsa_err *err)
{
    char *text;
    size_t bytes;
    int status = clsa_file_read(path, JSON_BYTES_MAX, &text, &bytes, err);
    if (status)
        return status;
    status = clsa_json_parse(path, text, bytes, doc, err);
    free(text);
    return status;
}

void clsa_json_destroy(struct clsa_json *doc)
{
    if (!doc)
        return;
    json_decref(doc->root);
    free(doc->name);
    free(doc);
}

const struct clsa_node *clsa_json_root(const struct clsa_json *doc)
{
    return wrap(doc->root);
}

const char *clsa_json_name(const struct clsa_json *doc)
{
    return doc->name;
}

const struct clsa_node *clsa_node_get(const struct clsa_node *object, const char *key)
{
    return wrap(json_object_get(unwrap(object), key));
}

bool clsa_node_is_object(const struct clsa_node *node)
{
    return json_is_object(unwrap(node));
}

bool clsa_node_is_array(const struct clsa_node *node)
{
    return json_is_array(unwrap(node));
}

bool clsa_node_is_string(const struct clsa_node *node)
{
    return json_is_string(unwrap(node));
}

bool clsa_node_is_number(const struct clsa_node *node)
{
    return json_is_number(unwrap(node));
}

size_t clsa_node_count(const struct clsa_node *node)
{
    json_t *value = unwrap(node);
    return json_is_array(value) ? json_array_size(value) : json_object_size(value);
}

const struct clsa_node *clsa_node_at(const struct clsa_node *array, size_t i)
{
    return wrap(json_array_get(unwrap(array), i));
}

const struct clsa_node *clsa_node_member(const struct clsa_node *object, size_t i,
                                         const char **key)
{
    json_t *value = unwrap(object);
    void *it = json_object_iter(value);
    while (it && i--)
        it = json_object_iter_next(value, it);
    if (!it)
        return NULL;
    *key = json_object_iter_key(it);
    return (const struct clsa_node *)json_object_iter_value(it);
}

const char *clsa_node_text(const struct clsa_node *node)
{
    return json_string_value(unwrap(node));
}

bool clsa_node_f64(const struct clsa_node *node, double *out)
{
    json_t *value = unwrap(node);
    if (!json_is_number(value))
        return false;
    *out = json_number_value(value);
    return true;
}

bool clsa_node_u64(const struct clsa_node *node, uint64_t *out)
{
    json_t *value = unwrap(node);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

bool clsa_node_bool(const struct clsa_node *node, bool *out)
{
    json_t *value = unwrap(node);
    if (!json_is_boolean(value))
        return false;
    *out = json_is_true(value);
    return true;
}

static int missing(const struct clsa_json *doc, const char *key, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_EFORMAT, "%s: field '%s' is missing", doc->name, key);
}

int clsa_json_u64(const struct clsa_json *doc, const struct clsa_node *object, const char *key,
                  bool required, uint64_t lo, uint64_t hi, uint64_t *out, struct clsa_err *err)
{
    const struct clsa_node *node = clsa_node_get(object, key);
    uint64_t value;
    if (!node)
        return required ? missing(doc, key, err) : CLSA_OK;
    if (!clsa_node_u64(node, &value))
        return clsa_fail(err, CLSA_EFORMAT, "%s: field '%s' is not a whole number", doc->name, key);
    if (value < lo || value > hi)
        return clsa_fail(err, CLSA_ERANGE,
                         "%s: field '%s' is %" PRIu64 ", not in %" PRIu64 " to %" PRIu64, doc->name,
                         key, value, lo, hi);
    *out = value;
    return CLSA_OK;
}

int clsa_json_f64(const struct clsa_json *doc, const struct clsa_node *object, const char *key,
                  bool required, double *out, struct clsa_err *err)
{
    const struct clsa_node *node = clsa_node_get(object, key);
    if (!node)
        return required ? missing(doc, key, err) : CLSA_OK;
    if (!clsa_node_f64(node, out))
        return clsa_fail(err, CLSA_EFORMAT, "%s: field '%s' is not a number", doc->name, key);
    return CLSA_OK;
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none (overlong forms and surrogates are
 * not valid; Unicode standard table 3-7). */
static size_t utf8_length(const unsigned char *p)
{
    static const struct {
        unsigned char first_lo, first_hi, second_lo, second_hi, length;
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                 {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    if (*p < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (*p < forms[i].first_lo || *p > forms[i].first_hi)
            continue;
        if (p[1] < forms[i].second_lo || p[1] > forms[i].second_hi)
            return 0;
        for (size_t j = 2; j < forms[i].length; j++)
            if ((p[j] & 0xc0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

void clsa_json_put_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        const size_t n = utf8_length(p);
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20)
            fprintf(out, "\\u%04x", *p);
        else if (n)
            fwrite(p, 1, n, out);
        else
            fputs("\xef\xbf\xbd", out);
        p += n ? n : 1;
    }
    putc('"', out);
}
