/* Captures that are one array a request: npy files, and base64 in JSON or bare. */
#include "traces/import_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/json.h"
#include "traces/wire.h"

#define NPY_MAGIC "\x93NUMPY"
#define NPY_MAGIC_BYTES 6u

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool clsa_base64_decode(char *text, size_t bytes, size_t *decoded)
{
    unsigned char *out = (unsigned char *)text;
    uint32_t bits = 0;
    unsigned have = 0, padding = 0, digits = 0;
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        const int value = base64_value(c);
        if (value < 0 || padding)
            return false;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        digits = (digits + 1) & 3;
        if (have >= 8) {
            have -= 8;
            *out++ = (unsigned char)(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    if (digits == 1 || bits || (padding && ((digits + padding) & 3)) || padding > 2)
        return false;
    *decoded = (size_t)(out - (unsigned char *)text);
    return true;
}

/* Finds "'key': " in the header of an npy file, a Python dict literal. */
static const char *npy_field(const char *header, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *at = strstr(header, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted);
    return at + strspn(at, " ");
}

/* The npy format 1.0 to 3.0: magic, version, header length (2 bytes, then 4), dict, data. */
static int add_npy(const struct clsa_import *options, const unsigned char *data, size_t bytes,
                   struct clsa_capture *capture, struct clsa_err *err)
{
    char header[1024], order[8] = "", descr[8] = "";
    const unsigned major = bytes > 10 ? data[6] : 0;
    const size_t start = major == 1 ? 10 : 12;
    uint64_t shape[3], count;
    int used = 0;
    if (bytes < 12 || major < 1 || major > 3)
        return clsa_fail(err, CLSA_EFORMAT, "%s: offset 6: not an npy file of version 1 to 3",
                         capture->path);
    const size_t length =
        major == 1 ? (size_t)data[8] | (size_t)data[9] << 8 : clsa_load_u32(data + 8);
    if (length >= sizeof header || length > bytes - start)
        return clsa_fail(err, CLSA_EFORMAT, "%s: offset 8: npy header too long or cut off",
                         capture->path);
    memcpy(header, data + start, length);
    header[length] = '\0';
    const char *d = npy_field(header, "descr"), *f = npy_field(header, "fortran_order"),
               *s = npy_field(header, "shape");
    if (!d || !f || !s || sscanf(d, "'%7[^']'", descr) != 1 || sscanf(f, "%7[A-Za-z]", order) != 1)
        return clsa_fail(err, CLSA_EFORMAT,
                         "%s: offset %zu: npy header without descr, "
                         "fortran_order or shape",
                         capture->path, start);
    if (strcmp(order, "False") != 0 || (strcmp(descr, "<i4") != 0 && strcmp(descr, "<i8") != 0))
        return clsa_fail(err, CLSA_EUNSUPPORTED,
                         "%s: an npy array of '%s' (Fortran order: %s); "
                         "expected little endian int32 or int64 in C order",
                         capture->path, descr, order);
    if (sscanf(s, "(%20" SCNu64 ", %20" SCNu64 ", %20" SCNu64 ")%n", &shape[0], &shape[1],
               &shape[2], &used) != 3 ||
        used == 0)
        return clsa_fail(err, CLSA_EFORMAT, "%s: an npy array that is not [tokens, layers, k]",
                         capture->path);
    const unsigned element = (unsigned)(descr[2] - '0');
    if (!clsa_mul_u64(shape[0], shape[1], &count) || !clsa_mul_u64(count, shape[2], &count) ||
        !clsa_mul_u64(count, element, &count) || count != bytes - start - length)
        return clsa_fail(err, CLSA_EFORMAT,
                         "%s: npy shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64
                         "] does not match its %zu bytes",
                         capture->path, shape[0], shape[1], shape[2], bytes - start - length);
    return clsa_capture_add_array(capture, data + start + length, element, shape[0], shape[1],
                                  shape[2], options->first_position, err);
}

static int add_base64(const struct clsa_import *options, char *text, size_t bytes,
                      struct clsa_capture *capture, struct clsa_err *err)
{
    size_t n;
    uint64_t row;
    if (!clsa_base64_decode(text, bytes, &n))
        return clsa_fail(err, CLSA_EFORMAT, "%s: not base64", capture->path);
    if (n >= NPY_MAGIC_BYTES && memcmp(text, NPY_MAGIC, NPY_MAGIC_BYTES) == 0)
        return add_npy(options, (unsigned char *)text, n, capture, err);
    if (options->layers == 0 || options->top_k == 0)
        return clsa_fail(err, CLSA_EUSAGE,
                         "%s: bare int32 values: the number of indexer layers and "
                         "the top-k must be given",
                         capture->path);
    if (!clsa_mul_u64(options->layers, options->top_k, &row) || !clsa_mul_u64(row, 4, &row) ||
        n % row)
        return clsa_fail(err, CLSA_EFORMAT,
                         "%s: %zu bytes are no multiple of %" PRIu64 " layers x %" PRIu64 " int32",
                         capture->path, n, options->layers, options->top_k);
    return clsa_capture_add_array(capture, (unsigned char *)text, 4, n / row, options->layers,
                                  options->top_k, options->first_position, err);
}

static int add_response(const struct clsa_import *options, const struct clsa_node *response,
                        struct clsa_capture *capture, struct clsa_err *err)
{
    const struct clsa_node *meta = clsa_node_get(response, "meta_info");
    const struct clsa_node *value = clsa_node_get(meta ? meta : response, "indexer_topk");
    const char *text = value ? clsa_node_text(value) : NULL;
    if (!text)
        return clsa_fail(err, CLSA_EFORMAT, "%s: no text 'meta_info.indexer_topk'", capture->path);
    char *copy = clsa_strdup(text);
    if (!copy)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", capture->path);
    const int status = add_base64(options, copy, strlen(copy), capture, err);
    free(copy);
    return status;
}

int clsa_import_array(const struct clsa_import *options, char *text, size_t bytes,
                      struct clsa_capture *capture, struct clsa_err *err)
{
    struct clsa_json *doc = NULL;
    size_t skip = 0;
    capture->place = ": token ";
    if (bytes >= NPY_MAGIC_BYTES && memcmp(text, NPY_MAGIC, NPY_MAGIC_BYTES) == 0) {
        capture->source = "npy";
        return add_npy(options, (unsigned char *)text, bytes, capture, err);
    }
    while (skip < bytes && strchr(" \t\r\n", text[skip]) && text[skip])
        skip++;
    if (skip == bytes || (text[skip] != '{' && text[skip] != '[')) {
        capture->source = "base64";
        return add_base64(options, text, bytes, capture, err);
    }
    capture->source = "indexer_topk";
    int status = clsa_json_parse(capture->path, text, bytes, &doc, err);
    if (status)
        return status;
    const struct clsa_node *root = clsa_json_root(doc);
    if (clsa_node_is_array(root))
        for (size_t i = 0; i < clsa_node_count(root) && !status; i++)
            status = add_response(options, clsa_node_at(root, i), capture, err);
    else
        status = add_response(options, root, capture, err);
    clsa_json_destroy(doc);
    return status;
}
