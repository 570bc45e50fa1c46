/* Captures of DeepSeek-V3.2-Exp forks: one JSON object a line and (request, layer, step). */
#include "traces/import_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/json.h"

struct requests {
    char **names;
    uint32_t n, room;
};

/* Number of a request by its name, in order of first appearance; UINT32_MAX when out of memory. */
static uint32_t request_number(struct requests *r, const char *name)
{
    for (uint32_t i = r->n; i > 0; i--) /* the last ones are the likely ones */
        if (strcmp(r->names[i - 1], name) == 0)
            return i - 1;
    if (r->n == r->room) {
        const uint32_t room = r->room ? 2 * r->room : 16;
        char **names = clsa_realloc(r->names, room, sizeof *names);
        if (!names)
            return UINT32_MAX;
        r->names = names;
        r->room = room;
    }
    r->names[r->n] = clsa_strdup(name);
    return r->names[r->n] ? r->n++ : UINT32_MAX;
}

static int add_line(const struct clsa_json *doc, struct requests *requests, uint64_t line,
                    struct clsa_capture *capture, struct clsa_err *err)
{
    const struct clsa_node *root = clsa_json_root(doc);
    const struct clsa_node *id = clsa_node_get(root, "request_id");
    const struct clsa_node *chosen = clsa_node_get(root, "selected_token_pos");
    struct clsa_capture_row row = {.line = line};
    uint64_t layer = 0, number;
    char text[32];
    const char *name = id ? clsa_node_text(id) : NULL;

    if (id && !name && clsa_node_u64(id, &number)) {
        snprintf(text, sizeof text, "%" PRIu64, number);
        name = text;
    }
    if (!name || !chosen || !clsa_node_is_array(chosen))
        return clsa_fail(err, CLSA_EFORMAT, "%s: needs request_id and an array selected_token_pos",
                         clsa_json_name(doc));
    int status = clsa_json_u64(doc, root, "layer_id", true, 0, UINT32_MAX, &layer, err);
    if (!status)
        status = clsa_json_u64(doc, root, "step_idx", true, 0, UINT32_MAX, &row.step, err);
    if (!status)
        status = clsa_json_u64(doc, root, "seq_len_current", true, 1, UINT32_MAX, &row.keys, err);
    if (status)
        return status;
    row.layer = (uint32_t)layer;
    row.request = request_number(requests, name);
    const size_t n = clsa_node_count(chosen);
    int64_t *values = clsa_malloc(n, sizeof *values);
    if (!values || row.request == UINT32_MAX) {
        free(values);
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", clsa_json_name(doc));
    }
    for (size_t i = 0; i < n && !status; i++) {
        double value;
        if (!clsa_node_f64(clsa_node_at(chosen, i), &value) || !(value >= -1e9 && value < 1e15) ||
            value != (double)(int64_t)value)
            status = clsa_fail(err, CLSA_EFORMAT, "%s: selected_token_pos[%zu] is no integer",
                               clsa_json_name(doc), i);
        else
            values[i] = (int64_t)value;
    }
    if (!status)
        status = clsa_capture_add(capture, &row, values, n, err);
    free(values);
    return status;
}

int clsa_import_jsonl(const struct clsa_import *options, char *text, size_t bytes,
                      struct clsa_capture *capture, struct clsa_err *err)
{
    struct requests requests = {0};
    uint64_t line = 0;
    int status = 0;
    (void)options;
    capture->source = "selected_token_pos";
    for (size_t at = 0; at < bytes && !status;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t length = end ? (size_t)(end - (text + at)) : bytes - at;
        line++;
        if (strspn(text + at, " \t\r") < length) {
            struct clsa_json *doc = NULL;
            char *name = clsa_asprintf("%s:%" PRIu64, capture->path, line);
            if (!name)
                status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", capture->path);
            else
                status = clsa_json_parse(name, text + at, length, &doc, err);
            if (!status)
                status = add_line(doc, &requests, line, capture, err);
            clsa_json_destroy(doc);
            free(name);
        }
        at += length + 1;
    }
    capture->n_requests = requests.n;
    for (uint32_t i = 0; i < requests.n; i++)
        free(requests.names[i]);
    free(requests.names);
    return status;
}
