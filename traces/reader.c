#include "traces/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "traces/bounds.h"
#include "traces/decode.h"
#include "traces/stream.h"

#define STEP_LIMIT_BYTES (UINT64_C(1) << 30)

/* Where a step's chunks begin; one row of chunk INDX. */
struct entry {
    uint64_t step_offset, step_chunk, tensors_offset, tensors_chunk;
};

struct clsa_trace_reader {
    struct clsa_stream stream;
    struct clsa_trace_header header;
    struct clsa_provenance *provenance; /* header.n_provenance of them */
    unsigned char *word_bytes;          /* payload of chunk WORD, which `words` points into */
    struct clsa_words words;
    struct clsa_step_arrays arrays;
    struct clsa_trace_step current;
    uint64_t tensors_offset, tensors_chunk; /* of the table in force */
    uint64_t next_step;
    /* What INDX must hold if it is to agree with what was read front to back. */
    bool sequential;
    uint64_t last_step_offset, last_step_chunk;
    uint64_t index_bytes;
    uint32_t index_crc;
    struct entry *entries; /* loaded by the first seek */
    uint64_t n_entries;
    bool entries_loaded, at_end;
    int failed;
    struct clsa_err failure;
};

static char *copy_text(const char *text, size_t bytes)
{
    char *copy = clsa_malloc(bytes + 1, 1);
    if (copy) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

static int read_provenance(struct clsa_trace_reader *r, struct clsa_err *err)
{
    struct clsa_wire_cursor *c = &r->stream.payload;
    const uint64_t n = clsa_wire_cursor_up_to(c, CLSA_TRACE_PROVENANCE_MAX);
    r->provenance = clsa_calloc((size_t)n, sizeof *r->provenance);
    if (!r->provenance)
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_ENOMEM, "out of memory");
    for (uint64_t i = 0; i < n; i++) {
        struct clsa_provenance *p = &r->provenance[i];
        size_t key_bytes = 0, value_bytes = 0;
        const char *key = clsa_wire_cursor_text(c, CLSA_TRACE_CHUNK_MAX_BYTES, &key_bytes);
        const char *value = clsa_wire_cursor_text(c, CLSA_TRACE_CHUNK_MAX_BYTES, &value_bytes);
        if (!key || !value || key_bytes == 0)
            return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT,
                                          "provenance cut off or not UTF-8");
        r->header.n_provenance++;
        p->key = copy_text(key, key_bytes);
        p->value = copy_text(value, value_bytes);
        if (!p->key || !p->value)
            return clsa_stream_fail_chunk(&r->stream, err, CLSA_ENOMEM, "out of memory");
        if (i && strcmp(p[-1].key, p->key) >= 0)
            return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT,
                                          "provenance keys do not ascend");
    }
    if (c->bad || clsa_wire_cursor_left(c))
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT,
                                      "provenance does not fill its chunk");
    return 0;
}

static int read_words(struct clsa_trace_reader *r, struct clsa_err *err)
{
    const size_t bytes = clsa_wire_cursor_left(&r->stream.payload);
    r->word_bytes = clsa_malloc(bytes, 1);
    if (!r->word_bytes)
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_ENOMEM, "out of memory");
    if (bytes)
        memcpy(r->word_bytes, r->stream.payload.at, bytes);
    struct clsa_wire_cursor c = {.at = r->word_bytes, .end = r->word_bytes + bytes};
    const int status = clsa_decode_words(&c, &r->words, err);
    return status ? clsa_stream_locate(&r->stream, err, status) : 0;
}

static int read_start(struct clsa_trace_reader *r, struct clsa_err *err)
{
    unsigned char header[CLSA_TRACE_HEADER_BYTES];
    size_t got;
    int status = clsa_stream_fetch(&r->stream, header, sizeof header, &got, err);
    if (status)
        return status;
    if (got < sizeof header || memcmp(header, CLSA_TRACE_MAGIC, CLSA_TRACE_MAGIC_BYTES) != 0)
        return clsa_fail(err, CLSA_EFORMAT, "%s: offset 0: not a trace (no magic number)",
                         r->stream.name);
    if (clsa_load_u32(header + 12) != clsa_crc32c(0, header, 12))
        return clsa_fail(err, CLSA_EFORMAT, "%s: offset 12: damaged file header (checksum)",
                         r->stream.name);
    r->header.version = clsa_load_u32(header + 8);
    if (r->header.version != CLSA_TRACE_VERSION)
        return clsa_fail(err, CLSA_EUNSUPPORTED,
                         "%s: offset 8: trace version %" PRIu32 "; this program reads version %u",
                         r->stream.name, r->header.version, CLSA_TRACE_VERSION);
    status = clsa_stream_expect(&r->stream, CLSA_CHUNK_PROV, err);
    if (!status)
        status = read_provenance(r, err);
    if (!status)
        status = clsa_stream_expect(&r->stream, CLSA_CHUNK_WORD, err);
    return status ? status : read_words(r, err);
}

/* `path` is NULL for memory. */
static int open_reader(const char *path, const char *name, const void *data, size_t bytes,
                       uint64_t step_limit_bytes, struct clsa_trace_reader **out,
                       struct clsa_err *err)
{
    const uint64_t half = clsa_memory_available_bytes() / 2;
    struct clsa_trace_reader *r = clsa_calloc(1, sizeof *r);
    if (!r)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
    r->sequential = true;
    r->arrays.limit_bytes = step_limit_bytes          ? step_limit_bytes
                            : half < STEP_LIMIT_BYTES ? half
                                                      : STEP_LIMIT_BYTES;
    int status = clsa_stream_open(&r->stream, path, name, data, bytes, err);
    if (!status)
        status = read_start(r, err);
    if (status) {
        clsa_trace_close(r);
        return status;
    }
    r->header.name = r->stream.name;
    r->header.provenance = r->provenance;
    *out = r;
    return 0;
}

int clsa_trace_open(const char *path, uint64_t step_limit_bytes, struct clsa_trace_reader **out,
                    struct clsa_err *err)
{
    const char *name = strcmp(path, "-") == 0 ? "<stdin>" : path;
    return open_reader(path, name, NULL, 0, step_limit_bytes, out, err);
}

int clsa_trace_open_memory(const char *name, const void *data, size_t bytes,
                           uint64_t step_limit_bytes, struct clsa_trace_reader **out,
                           struct clsa_err *err)
{
    return open_reader(NULL, name, data, bytes, step_limit_bytes, out, err);
}

void clsa_trace_close(struct clsa_trace_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->header.n_provenance; i++) {
        free((char *)(uintptr_t)r->provenance[i].key);
        free((char *)(uintptr_t)r->provenance[i].value);
    }
    free(r->provenance);
    free(r->word_bytes);
    free(r->entries);
    clsa_step_arrays_destroy(&r->arrays);
    clsa_stream_close(&r->stream);
    free(r);
}

const struct clsa_trace_header *clsa_trace_header(const struct clsa_trace_reader *r)
{
    return &r->header;
}

/* Adds a number to the checksum of what INDX should hold. */
static void expect_index(struct clsa_trace_reader *r, uint64_t value)
{
    struct clsa_buffer b = {0};
    unsigned char bytes[16];
    b.data = bytes;
    b.capacity = sizeof bytes;
    clsa_buffer_put_varint(&b, value);
    r->index_crc = clsa_crc32c(r->index_crc, bytes, b.bytes);
    r->index_bytes += b.bytes;
}

static int read_footer(struct clsa_trace_reader *r, uint64_t *index_offset, uint64_t *steps,
                       uint32_t *chunks, struct clsa_err *err)
{
    unsigned char footer[CLSA_TRACE_FOOTER_BYTES];
    size_t got;
    const int status = clsa_stream_fetch(&r->stream, footer, sizeof footer, &got, err);
    if (status)
        return status;
    if (got < sizeof footer ||
        memcmp(footer + 16, CLSA_TRACE_END_MAGIC, CLSA_TRACE_MAGIC_BYTES) != 0)
        return clsa_stream_fail(&r->stream, err, CLSA_EFORMAT, "no footer: the file was cut off");
    if (clsa_load_u32(footer + 28) != clsa_crc32c(0, footer, 28))
        return clsa_stream_fail(&r->stream, err, CLSA_EFORMAT, "damaged footer (checksum)");
    *index_offset = clsa_load_u64(footer);
    *steps = clsa_load_u64(footer + 8);
    *chunks = clsa_load_u32(footer + 24);
    return 0;
}

/* INDX is in `payload`: the trace must end here, and agree with itself. */
static int finish(struct clsa_trace_reader *r, struct clsa_err *err)
{
    uint64_t index_offset, steps;
    uint32_t chunks;
    unsigned char more;
    size_t got;
    struct clsa_wire_cursor c = r->stream.payload;
    const uint64_t count = clsa_wire_cursor_varint(&c);
    if (c.bad || count != r->next_step ||
        (r->sequential && (clsa_wire_cursor_left(&c) != r->index_bytes ||
                           clsa_crc32c(0, c.at, clsa_wire_cursor_left(&c)) != r->index_crc)))
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT,
                                      "the index does not agree with the steps");
    int status = read_footer(r, &index_offset, &steps, &chunks, err);
    if (status)
        return status;
    if (index_offset != r->stream.chunk_offset || steps != count || chunks != r->stream.chunks)
        return clsa_stream_fail(&r->stream, err, CLSA_EFORMAT,
                                "the footer does not agree with the chunks");
    status = clsa_stream_fetch(&r->stream, &more, 1, &got, err);
    if (status)
        return status;
    if (got)
        return clsa_stream_fail(&r->stream, err, CLSA_EFORMAT, "bytes after the footer");
    r->at_end = true;
    return 0;
}

static int read_step(struct clsa_trace_reader *r, struct clsa_err *err)
{
    struct clsa_step_arrays *a = &r->arrays;
    int status;
    if (r->stream.kind == CLSA_CHUNK_TENS) {
        r->tensors_offset = r->stream.chunk_offset;
        r->tensors_chunk = r->stream.chunks - 1;
        status = clsa_decode_tensors(&r->stream.payload, &r->words, a, err);
        if (status)
            return clsa_stream_locate(&r->stream, err, status);
        status = clsa_stream_next(&r->stream, err);
        if (status)
            return status;
    }
    if (r->stream.kind != CLSA_CHUNK_STEP)
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT, "chunk STEP expected here");
    const uint64_t step_offset = r->stream.chunk_offset, step_chunk = r->stream.chunks - 1;
    status = clsa_decode_step(&r->stream.payload, a, err);
    if (status)
        return clsa_stream_locate(&r->stream, err, status);
    if (a->number != r->next_step)
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT, "step number out of turn");
    while (a->step.n_ops < a->ops_announced || a->n_sets_read < a->sets_announced) {
        const bool ops = a->step.n_ops < a->ops_announced;
        status = clsa_stream_expect(&r->stream, ops ? CLSA_CHUNK_OPS : CLSA_CHUNK_SETS, err);
        if (status)
            return status;
        status = ops ? clsa_decode_ops(&r->stream.payload, &r->words, a, err)
                     : clsa_decode_sets(&r->stream.payload, a, err);
        if (status)
            return clsa_stream_locate(&r->stream, err, status);
    }
    clsa_decode_link(a, &r->current);
    if (clsa_trace_bounds(&r->current, err) != 0) {
        char prefix[256];
        snprintf(prefix, sizeof prefix,
                 "%.160s: offset %" PRIu64 ", chunk %" PRIu64 " (STEP), step %" PRIu64,
                 r->stream.name, step_offset, step_chunk, a->number);
        return clsa_fail_prefix(err, CLSA_EFORMAT, prefix);
    }
    expect_index(r, step_offset - r->last_step_offset);
    expect_index(r, step_chunk - r->last_step_chunk);
    expect_index(r, r->tensors_offset);
    expect_index(r, r->tensors_chunk);
    r->last_step_offset = step_offset;
    r->last_step_chunk = step_chunk;
    r->next_step++;
    return 0;
}

/* Remembers a failure, so that the reader stays where it fell. */
static int stick(struct clsa_trace_reader *r, int status, const struct clsa_err *failure,
                 struct clsa_err *err)
{
    r->failed = status;
    r->failure = *failure;
    if (err)
        *err = *failure;
    return status;
}

static int fail_again(const struct clsa_trace_reader *r, struct clsa_err *err)
{
    if (err)
        *err = r->failure;
    return r->failed;
}

int clsa_trace_next(struct clsa_trace_reader *r, const struct clsa_trace_step **out,
                    struct clsa_err *err)
{
    struct clsa_err failure = {{0}};
    if (r->failed)
        return fail_again(r, err);
    if (r->at_end)
        return 0;
    int status = clsa_stream_next(&r->stream, &failure);
    if (!status)
        status = r->stream.kind == CLSA_CHUNK_INDX ? finish(r, &failure) : read_step(r, &failure);
    if (status)
        return stick(r, status, &failure, err);
    if (r->at_end)
        return 0;
    *out = &r->current;
    return 1;
}

static int decode_entries(struct clsa_trace_reader *r, uint64_t steps, struct clsa_err *err)
{
    struct clsa_wire_cursor *c = &r->stream.payload;
    const uint64_t n = clsa_wire_cursor_varint(c), end = r->stream.chunk_offset;
    struct entry last = {0};
    if (c->bad || n != steps || n > clsa_wire_cursor_left(c) / 4 ||
        n > r->arrays.limit_bytes / sizeof *r->entries)
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT,
                                      "the index does not agree with the footer");
    r->entries = clsa_malloc((size_t)n, sizeof *r->entries);
    if (!r->entries)
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_ENOMEM, "out of memory");
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t offset = clsa_wire_cursor_up_to(c, end),
                       chunk = clsa_wire_cursor_up_to(c, UINT32_MAX);
        last.step_offset += offset;
        last.step_chunk += chunk;
        last.tensors_offset = clsa_wire_cursor_varint(c);
        last.tensors_chunk = clsa_wire_cursor_varint(c);
        if (c->bad || last.step_offset >= end || last.step_chunk >= r->stream.chunks ||
            last.tensors_offset >= end || last.tensors_chunk >= r->stream.chunks)
            return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT,
                                          "the index points outside the file");
        r->entries[i] = last;
    }
    if (clsa_wire_cursor_left(c))
        return clsa_stream_fail_chunk(&r->stream, err, CLSA_EFORMAT,
                                      "bytes left over after the index");
    r->n_entries = n;
    return 0;
}

/* Reads footer and index; afterwards the reader is anywhere. */
static int load_index(struct clsa_trace_reader *r, struct clsa_err *err)
{
    uint64_t index_offset, steps, total;
    uint32_t chunks;
    int status = clsa_stream_size(&r->stream, &total, err);
    if (status)
        return status;
    if (total < CLSA_TRACE_HEADER_BYTES + CLSA_TRACE_FOOTER_BYTES)
        return clsa_stream_fail(&r->stream, err, CLSA_EFORMAT, "no footer: the file was cut off");
    status = clsa_stream_seek(&r->stream, total - CLSA_TRACE_FOOTER_BYTES, err);
    if (!status)
        status = read_footer(r, &index_offset, &steps, &chunks, err);
    if (status)
        return status;
    if (index_offset >= total || chunks == 0)
        return clsa_stream_fail(&r->stream, err, CLSA_EFORMAT,
                                "the footer points outside the file");
    r->stream.chunks = chunks - 1;
    status = clsa_stream_seek(&r->stream, index_offset, err);
    if (!status)
        status = clsa_stream_expect(&r->stream, CLSA_CHUNK_INDX, err);
    return status ? status : decode_entries(r, steps, err);
}

/* Loads the index once and comes back to where the reader was. */
static int need_index(struct clsa_trace_reader *r, struct clsa_err *err)
{
    struct clsa_err failure = {{0}};
    const uint64_t offset = r->stream.offset;
    const uint32_t chunks = r->stream.chunks;
    if (r->failed)
        return fail_again(r, err);
    if (!r->stream.seekable)
        return clsa_fail(err, CLSA_EUNSUPPORTED, "%s: a pipe can only be read front to back",
                         r->stream.name);
    if (r->entries_loaded)
        return 0;
    int status = load_index(r, &failure);
    if (!status)
        status = clsa_stream_seek(&r->stream, offset, &failure);
    if (status)
        return stick(r, status, &failure, err);
    r->stream.chunks = chunks;
    r->entries_loaded = true;
    return 0;
}

int clsa_trace_count(struct clsa_trace_reader *r, uint64_t *steps, struct clsa_err *err)
{
    const int status = need_index(r, err);
    if (!status)
        *steps = r->n_entries;
    return status;
}

static int enter(struct clsa_trace_reader *r, const struct entry *e, struct clsa_err *err)
{
    int status = 0;
    if (e->tensors_offset != r->tensors_offset && e->tensors_offset == 0) {
        r->arrays.step.n_tensors = 0;
    } else if (e->tensors_offset != r->tensors_offset) {
        status = clsa_stream_seek(&r->stream, e->tensors_offset, err);
        r->stream.chunks = (uint32_t)e->tensors_chunk;
        if (!status)
            status = clsa_stream_expect(&r->stream, CLSA_CHUNK_TENS, err);
        if (status)
            return status;
        status = clsa_decode_tensors(&r->stream.payload, &r->words, &r->arrays, err);
        if (status)
            return clsa_stream_locate(&r->stream, err, status);
    }
    r->tensors_offset = e->tensors_offset;
    r->tensors_chunk = e->tensors_chunk;
    r->stream.chunks = (uint32_t)e->step_chunk;
    return clsa_stream_seek(&r->stream, e->step_offset, err);
}

int clsa_trace_seek(struct clsa_trace_reader *r, uint64_t step, struct clsa_err *err)
{
    struct clsa_err failure = {{0}};
    int status = need_index(r, err);
    if (status)
        return status;
    if (step >= r->n_entries)
        return clsa_fail(err, CLSA_ENOTFOUND, "%s: no step %" PRIu64 "; it has %" PRIu64,
                         r->stream.name, step, r->n_entries);
    status = enter(r, &r->entries[step], &failure);
    if (status)
        return stick(r, status, &failure, err);
    r->next_step = step;
    r->sequential = false;
    r->at_end = false;
    return 0;
}
