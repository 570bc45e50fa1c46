#include "traces/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "traces/bounds.h"
#include "traces/encode.h"

/* Chunks are closed once they hold this much, so that a reader can work on small pieces. */
#define CHUNK_TARGET_BYTES (1u << 20)
#define ZSTD_LEVEL 3

struct clsa_trace_writer {
    struct clsa_outfile out;
    char *name;
    int failed; /* status of the first failure, sticks */
    uint64_t offset;
    uint32_t chunks;
    uint64_t steps;
    uint64_t last_step_offset, last_step_chunk;
    uint64_t tensors_offset, tensors_chunk;
    struct clsa_buffer raw, packed;
    struct clsa_buffer tensors; /* payload of the TENS chunk in force */
    struct clsa_buffer index;   /* rows of INDX so far */
    ZSTD_CCtx *zstd;
};

static int fail_io(struct clsa_trace_writer *w, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_EIO, "%s: cannot write: %s", w->name, strerror(errno));
}

static int put_bytes(struct clsa_trace_writer *w, const void *data, size_t bytes,
                     struct clsa_err *err)
{
    if (bytes && fwrite(data, 1, bytes, w->out.stream) != bytes)
        return fail_io(w, err);
    w->offset += bytes;
    return 0;
}

static int no_memory(const struct clsa_trace_writer *w, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", w->name);
}

/* Writes `raw` as one chunk, compressed where that makes it smaller. */
static int put_chunk(struct clsa_trace_writer *w, uint32_t kind, const struct clsa_buffer *raw,
                     struct clsa_err *err)
{
    unsigned char header[CLSA_TRACE_CHUNK_HEADER_BYTES];
    const unsigned char *payload = raw->data;
    size_t stored = raw->bytes;
    uint32_t flags = 0;

    if (raw->failed)
        return no_memory(w, err);
    if (raw->bytes > CLSA_TRACE_CHUNK_MAX_BYTES)
        return clsa_fail(err, CLSA_ELIMIT, "%s: a record of %zu bytes does not fit a chunk of %u",
                         w->name, raw->bytes, CLSA_TRACE_CHUNK_MAX_BYTES);
    if (!clsa_buffer_reserve(&w->packed, ZSTD_compressBound(raw->bytes)))
        return no_memory(w, err);
    const size_t packed = ZSTD_compressCCtx(w->zstd, w->packed.data, w->packed.capacity, raw->data,
                                            raw->bytes, ZSTD_LEVEL);
    if (!ZSTD_isError(packed) && packed < raw->bytes) {
        payload = w->packed.data;
        stored = packed;
        flags = CLSA_TRACE_CHUNK_ZSTD;
    }
    clsa_store_u32(header, kind);
    clsa_store_u32(header + 4, flags);
    clsa_store_u32(header + 8, (uint32_t)stored);
    clsa_store_u32(header + 12, (uint32_t)raw->bytes);
    clsa_store_u32(header + 16, w->chunks);
    clsa_store_u32(header + 20, clsa_crc32c(0, payload, stored));
    clsa_store_u32(header + 24, clsa_crc32c(0, header, 24));
    if (w->chunks == UINT32_MAX)
        return clsa_fail(err, CLSA_ELIMIT, "%s: too many chunks", w->name);
    w->chunks++;
    int status = put_bytes(w, header, sizeof header, err);
    return status ? status : put_bytes(w, payload, stored, err);
}

static int by_key(const void *a, const void *b)
{
    const struct clsa_provenance *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int put_provenance(struct clsa_trace_writer *w, const struct clsa_provenance *pairs,
                          size_t n, struct clsa_err *err)
{
    if (n > CLSA_TRACE_PROVENANCE_MAX)
        return clsa_fail(err, CLSA_EUSAGE, "%s: more than %u provenance entries", w->name,
                         CLSA_TRACE_PROVENANCE_MAX);
    struct clsa_provenance sorted[CLSA_TRACE_PROVENANCE_MAX];
    size_t given = 0;
    for (size_t i = 0; i < n; i++)
        if (pairs[i].value)
            sorted[given++] = pairs[i];
    n = given;
    if (n)
        qsort(sorted, n, sizeof *sorted, by_key);
    w->raw.bytes = 0;
    clsa_buffer_put_varint(&w->raw, n);
    for (size_t i = 0; i < n; i++) {
        const char *key = sorted[i].key, *value = sorted[i].value;
        if (!*key || !clsa_utf8_valid(key, strlen(key)) || !clsa_utf8_valid(value, strlen(value)))
            return clsa_fail(err, CLSA_EUSAGE, "%s: provenance '%s' is empty or not UTF-8", w->name,
                             key);
        if (i && strcmp(sorted[i - 1].key, key) == 0)
            return clsa_fail(err, CLSA_EUSAGE, "%s: provenance '%s' is given twice", w->name, key);
        clsa_buffer_put_text(&w->raw, key);
        clsa_buffer_put_text(&w->raw, value);
    }
    return put_chunk(w, CLSA_CHUNK_PROV, &w->raw, err);
}

static int put_vocabulary(struct clsa_trace_writer *w, struct clsa_err *err)
{
    w->raw.bytes = 0;
    clsa_buffer_put_varint(&w->raw, CLSA_DTYPE_COUNT);
    for (unsigned i = 0; i < CLSA_DTYPE_COUNT; i++)
        clsa_buffer_put_text(&w->raw, clsa_dtype_text(i));
    clsa_buffer_put_varint(&w->raw, CLSA_OP_KINDS);
    for (unsigned i = 0; i < CLSA_OP_KINDS; i++)
        clsa_buffer_put_text(&w->raw, clsa_op_kind_text(i));
    clsa_buffer_put_varint(&w->raw, CLSA_ROLES);
    for (unsigned i = 0; i < CLSA_ROLES; i++)
        clsa_buffer_put_text(&w->raw, clsa_role_text(i));
    return put_chunk(w, CLSA_CHUNK_WORD, &w->raw, err);
}

int clsa_trace_writer_open(const char *path, const struct clsa_provenance *provenance,
                           size_t n_provenance, struct clsa_trace_writer **out,
                           struct clsa_err *err)
{
    unsigned char header[CLSA_TRACE_HEADER_BYTES];
    int status = CLSA_ENOMEM;
    struct clsa_trace_writer *w = clsa_calloc(1, sizeof *w);
    if (!w)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
    w->name = clsa_strdup(strcmp(path, "-") == 0 ? "<stdout>" : path);
    w->zstd = ZSTD_createCCtx();
    if (!w->name || !w->zstd) {
        clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    status = clsa_outfile_open(path, &w->out, err);
    if (status)
        goto fail;
    memcpy(header, CLSA_TRACE_MAGIC, CLSA_TRACE_MAGIC_BYTES);
    clsa_store_u32(header + 8, CLSA_TRACE_VERSION);
    clsa_store_u32(header + 12, clsa_crc32c(0, header, 12));
    status = put_bytes(w, header, sizeof header, err);
    if (!status)
        status = put_provenance(w, provenance, n_provenance, err);
    if (!status)
        status = put_vocabulary(w, err);
    if (status)
        goto fail;
    *out = w;
    return 0;
fail:
    clsa_trace_writer_destroy(w);
    return status;
}

/* Writes the tensor table unless it is the one already in force. */
static int put_tensors(struct clsa_trace_writer *w, const struct clsa_step *step,
                       struct clsa_err *err)
{
    w->raw.bytes = 0;
    clsa_encode_tensors(&w->raw, step);
    if (w->raw.failed)
        return no_memory(w, err);
    if (step->n_tensors == 0 && w->tensors_offset == 0)
        return 0;
    if (w->tensors.bytes == w->raw.bytes && memcmp(w->tensors.data, w->raw.data, w->raw.bytes) == 0)
        return 0;
    const uint64_t offset = w->offset, chunk = w->chunks;
    int status = put_chunk(w, CLSA_CHUNK_TENS, &w->raw, err);
    if (status)
        return status;
    const struct clsa_buffer swap = w->tensors;
    w->tensors = w->raw;
    w->raw = swap;
    w->tensors_offset = offset;
    w->tensors_chunk = chunk;
    return 0;
}

static int put_step(struct clsa_trace_writer *w, const struct clsa_trace_step *trace,
                    struct clsa_err *err)
{
    struct clsa_buffer *b = &w->raw;
    b->bytes = 0;
    clsa_buffer_put_varint(b, w->steps);
    clsa_encode_step(b, trace);

    clsa_buffer_put_varint(&w->index, w->offset - w->last_step_offset);
    clsa_buffer_put_varint(&w->index, w->chunks - w->last_step_chunk);
    clsa_buffer_put_varint(&w->index, w->tensors_offset);
    clsa_buffer_put_varint(&w->index, w->tensors_chunk);
    w->last_step_offset = w->offset;
    w->last_step_chunk = w->chunks;
    return put_chunk(w, CLSA_CHUNK_STEP, b, err);
}

static void encode_record(struct clsa_buffer *b, uint32_t kind, const struct clsa_trace_step *trace,
                          size_t i)
{
    if (kind == CLSA_CHUNK_OPS)
        clsa_encode_op(b, &trace->step.ops[i]);
    else
        clsa_encode_set(b, &trace->index_sets[i]);
}

/* Writes the `count` ops or index sets of a step in chunks of about CHUNK_TARGET_BYTES. */
static int put_records(struct clsa_trace_writer *w, uint32_t kind,
                       const struct clsa_trace_step *trace, size_t count, struct clsa_err *err)
{
    struct clsa_buffer records = {0};
    int status = 0;
    for (size_t first = 0; first < count && !status;) {
        size_t n = 0;
        records.bytes = 0;
        while (first + n < count && records.bytes < CHUNK_TARGET_BYTES && !records.failed)
            encode_record(&records, kind, trace, first + n++);
        w->raw.bytes = 0;
        w->raw.failed = w->raw.failed || records.failed;
        clsa_buffer_put_varint(&w->raw, w->steps);
        clsa_buffer_put_varint(&w->raw, n);
        clsa_buffer_put(&w->raw, records.data, records.bytes);
        status = put_chunk(w, kind, &w->raw, err);
        first += n;
    }
    clsa_buffer_destroy(&records);
    return status;
}

int clsa_trace_write(struct clsa_trace_writer *w, const struct clsa_trace_step *trace,
                     struct clsa_err *err)
{
    if (w->failed)
        return clsa_fail(err, w->failed, "%s: an earlier write failed", w->name);
    int status = clsa_trace_bounds(trace, err);
    if (status)
        clsa_fail_prefix(err, status, w->name);
    if (!status)
        status = put_tensors(w, &trace->step, err);
    if (!status)
        status = put_step(w, trace, err);
    if (!status)
        status = put_records(w, CLSA_CHUNK_OPS, trace, trace->step.n_ops, err);
    if (!status)
        status = put_records(w, CLSA_CHUNK_SETS, trace, trace->n_index_sets, err);
    if (status)
        w->failed = status;
    else
        w->steps++;
    return status;
}

int clsa_trace_writer_commit(struct clsa_trace_writer *w, struct clsa_err *err)
{
    unsigned char footer[CLSA_TRACE_FOOTER_BYTES];
    const uint64_t index_offset = w->offset;
    if (w->failed)
        return clsa_fail(err, w->failed, "%s: an earlier write failed", w->name);
    w->raw.bytes = 0;
    w->raw.failed = w->raw.failed || w->index.failed;
    clsa_buffer_put_varint(&w->raw, w->steps);
    clsa_buffer_put(&w->raw, w->index.data, w->index.bytes);
    int status = put_chunk(w, CLSA_CHUNK_INDX, &w->raw, err);
    if (!status) {
        clsa_store_u64(footer, index_offset);
        clsa_store_u64(footer + 8, w->steps);
        memcpy(footer + 16, CLSA_TRACE_END_MAGIC, CLSA_TRACE_MAGIC_BYTES);
        clsa_store_u32(footer + 24, w->chunks);
        clsa_store_u32(footer + 28, clsa_crc32c(0, footer, 28));
        status = put_bytes(w, footer, sizeof footer, err);
    }
    if (!status)
        status = clsa_outfile_commit(&w->out, err);
    w->failed = status ? status : CLSA_EUSAGE; /* committed: nothing more can be written */
    return status;
}

void clsa_trace_writer_destroy(struct clsa_trace_writer *w)
{
    if (!w)
        return;
    clsa_outfile_abort(&w->out);
    clsa_buffer_destroy(&w->raw);
    clsa_buffer_destroy(&w->packed);
    clsa_buffer_destroy(&w->tensors);
    clsa_buffer_destroy(&w->index);
    ZSTD_freeCCtx(w->zstd);
    free(w->name);
    free(w);
}
