#include "traces/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "traces/import_parse.h"
#include "traces/wire.h"

#define FILE_LIMIT_BYTES (UINT64_C(4) << 30)

static int no_memory(const struct clsa_capture *c, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", c->path);
}

void clsa_capture_destroy(struct clsa_capture *c)
{
    free(c->rows);
    free(c->positions);
    *c = (struct clsa_capture){0};
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int clsa_capture_add(struct clsa_capture *c, const struct clsa_capture_row *row,
                     const int64_t *values, size_t count, struct clsa_err *err)
{
    if (!clsa_grow(&c->rows, &c->rows_room, c->n_rows + 1, sizeof *c->rows) ||
        !clsa_grow(&c->positions, &c->positions_room, c->n_positions + count, sizeof *c->positions))
        return no_memory(c, err);
    struct clsa_capture_row *r = &c->rows[c->n_rows];
    *r = *row;
    r->at = c->n_positions;
    r->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[i] < 0)
            continue;
        if ((uint64_t)values[i] >= row->keys)
            return clsa_fail(err, CLSA_EFORMAT,
                             "%s%s%" PRIu64 ": layer %" PRIu32 " selects position %" PRId64
                             " of a token that sees %" PRIu64,
                             c->path, c->place, row->line, row->layer, values[i], row->keys);
        c->positions[r->at + r->count++] = (uint32_t)values[i];
    }
    if (r->count == 0)
        return clsa_fail(err, CLSA_EFORMAT, "%s%s%" PRIu64 ": layer %" PRIu32 " selects nothing",
                         c->path, c->place, row->line, row->layer);
    uint32_t *p = c->positions + r->at;
    qsort(p, r->count, sizeof *p, ascending);
    for (size_t i = 1; i < r->count; i++)
        if (p[i] == p[i - 1])
            return clsa_fail(err, CLSA_EFORMAT,
                             "%s%s%" PRIu64 ": layer %" PRIu32 " selects position %" PRIu32
                             " twice",
                             c->path, c->place, row->line, row->layer, p[i]);
    c->n_positions += r->count;
    c->n_rows++;
    return 0;
}

int clsa_capture_add_array(struct clsa_capture *c, const unsigned char *data,
                           unsigned element_bytes, uint64_t tokens, uint64_t layers, uint64_t k,
                           uint64_t first_position, struct clsa_err *err)
{
    int status = 0;
    if (tokens == 0 || layers == 0 || k == 0 || layers > UINT32_MAX ||
        first_position > UINT32_MAX || tokens > UINT32_MAX - first_position)
        return clsa_fail(err, CLSA_EFORMAT, "%s: an empty array, or positions beyond 2^32",
                         c->path);
    int64_t *values = clsa_malloc((size_t)k, sizeof *values);
    if (!values)
        return no_memory(c, err);
    for (uint64_t t = 0; t < tokens && !status; t++)
        for (uint64_t l = 0; l < layers && !status; l++) {
            const struct clsa_capture_row row = {.request = c->n_requests,
                                                 .layer = (uint32_t)l,
                                                 .step = t,
                                                 .keys = first_position + t + 1,
                                                 .line = t};
            for (uint64_t i = 0; i < k; i++, data += element_bytes)
                values[i] = element_bytes == 4 ? (int32_t)clsa_load_u32(data)
                                               : (int64_t)clsa_load_u64(data);
            status = clsa_capture_add(c, &row, values, (size_t)k, err);
        }
    free(values);
    c->n_requests += status == 0;
    return status;
}

static int by_place(const void *a, const void *b)
{
    const struct clsa_capture_row *x = a, *y = b;
    if (x->request != y->request)
        return x->request < y->request ? -1 : 1;
    if (x->step != y->step)
        return x->step < y->step ? -1 : 1;
    return x->layer < y->layer ? -1 : x->layer > y->layer;
}

/* Rows are sorted. Every token must have the layers that the first one has. */
static int count_layers(const struct clsa_capture *c, size_t *layers, struct clsa_err *err)
{
    size_t n = 0;
    while (n < c->n_rows && c->rows[n].request == c->rows[0].request &&
           c->rows[n].step == c->rows[0].step)
        n++;
    for (size_t i = 0; i < c->n_rows; i++) {
        const struct clsa_capture_row *row = &c->rows[i], *first = &c->rows[i - i % n];
        if (row->layer != c->rows[i % n].layer || row->step != first->step ||
            row->request != first->request || row->keys != first->keys ||
            (i % n && row->layer == row[-1].layer))
            return clsa_fail(err, CLSA_EFORMAT,
                             "%s%s%" PRIu64 ": layer %" PRIu32 " of step %" PRIu64
                             " is not where the first token has it, or sees another length",
                             c->path, c->place, row->line, row->layer, row->step);
    }
    if (c->n_rows % n)
        return clsa_fail(err, CLSA_EFORMAT, "%s: the last token lacks layers", c->path);
    *layers = n;
    return 0;
}

static bool same_row(const struct clsa_capture *c, const struct clsa_capture_row *a,
                     const struct clsa_capture_row *b)
{
    return a->count == b->count &&
           memcmp(c->positions + a->at, c->positions + b->at, a->count * sizeof *c->positions) == 0;
}

/* kept[i]: which of the layers of a token are a selection of their own, somewhere. */
static size_t find_own(const struct clsa_capture *c, size_t layers, size_t *kept)
{
    size_t n = 0;
    for (size_t l = 0; l < layers; l++) {
        bool own = l == 0;
        for (size_t i = l; i < c->n_rows && !own; i += layers)
            own = !same_row(c, &c->rows[i - 1], &c->rows[i]);
        if (own)
            kept[n++] = l;
    }
    return n;
}

static int write_steps(const struct clsa_capture *c, size_t layers, const size_t *kept, size_t n,
                       uint32_t top_k, struct clsa_trace_writer *writer, struct clsa_err *err)
{
    struct clsa_index_set *sets = clsa_malloc(n, sizeof *sets);
    int status = sets ? 0 : no_memory(c, err);
    for (size_t i = 0; i < c->n_rows && !status; i += layers) {
        const uint64_t past = c->rows[i].keys - 1;
        const struct clsa_query query = {.seq = 0, .keys = past + 1};
        for (size_t j = 0; j < n; j++) {
            const struct clsa_capture_row *row = &c->rows[i + kept[j]];
            sets[j] = (struct clsa_index_set){.query = 0,
                                              .set = (uint32_t)j,
                                              .count = (uint32_t)row->count,
                                              .positions = c->positions + row->at};
        }
        const struct clsa_trace_step trace = {
            .step = {.phase = CLSA_DECODE,
                     .group = 1,
                     .top_k = top_k,
                     .n_seqs = 1,
                     .new_tokens = 1,
                     .past = &past,
                     .n_queries = 1,
                     .queries = &query,
                     .n_sets = (uint32_t)n},
            .n_index_sets = n,
            .index_sets = sets,
        };
        status = clsa_trace_write(writer, &trace, err);
    }
    free(sets);
    return status;
}

static int write_capture(const struct clsa_capture *c, const struct clsa_import *options,
                         const char *out_path, struct clsa_err *err)
{
    struct clsa_trace_writer *writer = NULL;
    struct clsa_buffer text = {0};
    size_t layers = 0, *kept = NULL, n = 0;
    uint32_t top_k = 0;
    int status = count_layers(c, &layers, err);
    if (status)
        return status;
    if (layers > UINT16_MAX)
        return clsa_fail(err, CLSA_ELIMIT, "%s: %zu layers", c->path, layers);
    kept = clsa_malloc(layers, sizeof *kept);
    if (!kept)
        return no_memory(c, err);
    n = find_own(c, layers, kept);
    for (size_t i = 0; i < c->n_rows; i++)
        if (c->rows[i].count > top_k)
            top_k = (uint32_t)c->rows[i].count;
    for (size_t j = 0; j < n; j++) {
        char number[24];
        const int length =
            snprintf(number, sizeof number, j ? ",%" PRIu32 : "%" PRIu32, c->rows[kept[j]].layer);
        clsa_buffer_put(&text, number, (size_t)length);
    }
    clsa_buffer_put(&text, "", 1);
    if (text.failed) {
        status = no_memory(c, err);
        goto done;
    }
    const char *name = strrchr(c->path, '/');
    const struct clsa_provenance provenance[] = {
        {"tool", options->tool ? options->tool : "clsa"},
        {"selections", "imported"},
        {"source", c->source},
        {"source_file", name ? name + 1 : c->path},
        {"set_layers", (const char *)text.data},
    };
    status = clsa_trace_writer_open(out_path, provenance, 5, &writer, err);
    if (!status)
        status = write_steps(c, layers, kept, n, top_k, writer, err);
    if (!status)
        status = clsa_trace_writer_commit(writer, err);
done:
    clsa_trace_writer_destroy(writer);
    clsa_buffer_destroy(&text);
    free(kept);
    return status;
}

int clsa_trace_import(const struct clsa_import *options, const char *path, const char *out_path,
                      struct clsa_err *err)
{
    struct clsa_capture c = {.path = strcmp(path, "-") == 0 ? "<stdin>" : path, .place = ":"};
    enum clsa_import_kind kind = options->kind;
    char *text = NULL;
    size_t bytes = 0;
    int status = clsa_file_read(path, FILE_LIMIT_BYTES, &text, &bytes, err);
    if (status)
        return status;
    if (kind == CLSA_IMPORT_AUTO) {
        const char *end = memchr(text, '\n', bytes);
        const size_t line = end ? (size_t)(end - text) : bytes;
        static const char member[] = "\"selected_token_pos\"";
        kind = CLSA_IMPORT_ARRAY;
        for (size_t i = 0; i + sizeof member - 1 <= line; i++)
            if (memcmp(text + i, member, sizeof member - 1) == 0)
                kind = CLSA_IMPORT_JSONL;
    }
    status = kind == CLSA_IMPORT_JSONL ? clsa_import_jsonl(options, text, bytes, &c, err)
                                       : clsa_import_array(options, text, bytes, &c, err);
    if (!status && c.n_rows == 0)
        status = clsa_fail(err, CLSA_EFORMAT, "%s: no selections in it", c.path);
    if (!status) {
        qsort(c.rows, c.n_rows, sizeof *c.rows, by_place);
        status = write_capture(&c, options, out_path, err);
    }
    clsa_capture_destroy(&c);
    free(text);
    return status;
}
