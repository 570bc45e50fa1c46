/* Reads what may be a trace, in every way there is. An input is a trace whose chunks are stored
 * plain; its checksums, chunk numbers and payload sizes are put right first, since a fuzzer would
 * spend its life on them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/base/file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/mock_step.h"
#include "traces/dump.h"
#include "traces/info.h"
#include "traces/reader.h"
#include "traces/validate.h"
#include "traces/wire.h"
#include "traces/writer.h"

#define STEPS_MAX 64
#define LIMIT_BYTES (UINT64_C(1) << 24)

const unsigned long clsa_fuzz_runs = 6000;

/* Makes checksums and numbers agree with the bytes, as far as chunks can be followed. */
static void repair(uint8_t *data, size_t bytes)
{
    size_t at = CLSA_TRACE_HEADER_BYTES, index = 0;
    uint32_t number = 0;
    if (bytes < CLSA_TRACE_HEADER_BYTES + CLSA_TRACE_FOOTER_BYTES)
        return;
    const size_t footer = bytes - CLSA_TRACE_FOOTER_BYTES;
    clsa_store_u32(data + 12, clsa_crc32c(0, data, 12));
    while (footer - at >= CLSA_TRACE_CHUNK_HEADER_BYTES) {
        uint8_t *h = data + at;
        const size_t left = footer - at - CLSA_TRACE_CHUNK_HEADER_BYTES;
        uint32_t stored = clsa_load_u32(h + 8);
        if (stored >
            left) { /* a piece was dropped: the chunk before the footer takes what is left */
            stored = (uint32_t)left;
            clsa_store_u32(h + 8, stored);
        }
        if (!(clsa_load_u32(h + 4) & CLSA_TRACE_CHUNK_ZSTD))
            clsa_store_u32(h + 12, stored);
        clsa_store_u32(h + 16, number++);
        clsa_store_u32(h + 20, clsa_crc32c(0, h + CLSA_TRACE_CHUNK_HEADER_BYTES, stored));
        clsa_store_u32(h + 24, clsa_crc32c(0, h, 24));
        index = at;
        at += CLSA_TRACE_CHUNK_HEADER_BYTES + stored;
    }
    clsa_store_u64(data + footer, index);
    clsa_store_u32(data + footer + 24, number);
    clsa_store_u32(data + footer + 28, clsa_crc32c(0, data + footer, 28));
}

static void walk(const uint8_t *data, size_t bytes, FILE *sink)
{
    struct clsa_trace_reader *reader = NULL;
    struct clsa_err err;
    struct clsa_trace_totals totals = {0};
    struct clsa_trace_dump dump = {
        .out = sink, .tensors = true, .ops = true, .operands = true, .sets = true};
    struct clsa_trace_validator *validator = clsa_trace_validator_create(sink, 4);
    const struct clsa_trace_tool tools[] = {clsa_trace_totals_tool(&totals),
                                            clsa_trace_validator_tool(validator),
                                            clsa_trace_dump_tool(&dump)};
    if (validator && clsa_trace_open_memory("fuzz", data, bytes, LIMIT_BYTES, &reader, &err) == 0)
        clsa_trace_walk(reader, tools, sizeof tools / sizeof *tools, &err);
    clsa_trace_close(reader);
    clsa_trace_validator_destroy(validator);
    free(dump.table);
}

static void jump(const uint8_t *data, size_t bytes)
{
    struct clsa_trace_reader *reader = NULL;
    const struct clsa_trace_step *step;
    struct clsa_err err;
    uint64_t steps = 0;
    if (clsa_trace_open_memory("fuzz", data, bytes, LIMIT_BYTES, &reader, &err) != 0)
        return;
    if (clsa_trace_count(reader, &steps, &err) == 0)
        for (uint64_t i = 0; i < steps && i < STEPS_MAX; i++)
            if (clsa_trace_seek(reader, steps - 1 - i, &err) != 0 ||
                clsa_trace_next(reader, &step, &err) != 1)
                break;
    clsa_trace_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static FILE *sink;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!sink)
        sink = fopen("/dev/null", "w");
    if (!copy || !sink)
        abort();
    if (bytes)
        memcpy(copy, data, bytes);
    walk(copy, bytes, sink); /* as it is */
    repair(copy, bytes);
    walk(copy, bytes, sink);
    jump(copy, bytes);
    free(copy);
    return 0;
}

/* ---- seeds: written traces with their chunks stored plain ---- */

static void put_chunk(struct clsa_buffer *out, const uint8_t *header, const struct clsa_buffer *raw)
{
    uint8_t plain[CLSA_TRACE_CHUNK_HEADER_BYTES];
    memcpy(plain, header, sizeof plain);
    clsa_store_u32(plain + 4, 0);
    clsa_store_u32(plain + 8, (uint32_t)raw->bytes);
    clsa_store_u32(plain + 12, (uint32_t)raw->bytes);
    clsa_buffer_put(out, plain, sizeof plain);
    clsa_buffer_put(out, raw->data, raw->bytes);
}

/* Stores all chunks of a trace plain, with an index that fits; `repair` does the checksums. */
static uint8_t *flatten(const uint8_t *data, size_t bytes, size_t *flat_bytes)
{
    struct clsa_buffer out = {0}, raw = {0}, index = {0};
    uint64_t steps = 0, last_offset = 0, last_chunk = 0, tensors_offset = 0, tensors_chunk = 0;
    size_t at = CLSA_TRACE_HEADER_BYTES;
    const size_t footer = bytes - CLSA_TRACE_FOOTER_BYTES;
    clsa_buffer_put(&out, data, at);
    for (uint64_t chunk = 0; at < footer; chunk++) {
        const uint8_t *header = data + at, *payload = header + CLSA_TRACE_CHUNK_HEADER_BYTES;
        const size_t stored = clsa_load_u32(header + 8), size = clsa_load_u32(header + 12);
        raw.bytes = 0;
        if (!clsa_buffer_reserve(&raw, size + 16))
            abort();
        if (clsa_load_u32(header + 4) & CLSA_TRACE_CHUNK_ZSTD)
            raw.bytes = ZSTD_decompress(raw.data, size, payload, stored);
        else
            clsa_buffer_put(&raw, payload, stored);
        switch (clsa_load_u32(header)) {
        case CLSA_CHUNK_TENS:
            tensors_offset = out.bytes;
            tensors_chunk = chunk;
            break;
        case CLSA_CHUNK_STEP:
            clsa_buffer_put_varint(&index, out.bytes - last_offset);
            clsa_buffer_put_varint(&index, chunk - last_chunk);
            clsa_buffer_put_varint(&index, tensors_offset);
            clsa_buffer_put_varint(&index, tensors_chunk);
            last_offset = out.bytes;
            last_chunk = chunk;
            steps++;
            break;
        case CLSA_CHUNK_INDX:
            raw.bytes = 0;
            clsa_buffer_put_varint(&raw, steps);
            clsa_buffer_put(&raw, index.data, index.bytes);
            break;
        }
        put_chunk(&out, header, &raw);
        at += CLSA_TRACE_CHUNK_HEADER_BYTES + stored;
    }
    clsa_buffer_put(&out, data + footer, CLSA_TRACE_FOOTER_BYTES);
    if (out.failed || raw.failed || index.failed)
        abort();
    clsa_buffer_destroy(&raw);
    clsa_buffer_destroy(&index);
    repair(out.data, out.bytes);
    *flat_bytes = out.bytes;
    return out.data;
}

static int write_seed(const char *path, unsigned i)
{
    static const struct clsa_provenance provenance[] = {{"tool", "fuzz"}, {"seed", "1"}};
    struct clsa_trace_writer *writer = NULL;
    struct mock_step mock;
    int status = clsa_trace_writer_open(path, provenance, 2, &writer, NULL);
    for (uint32_t step = 0; step < 2 * i && !status; step++) {
        mock_step_make(&mock, 1 + step % 2, 20 + step, i == 2 ? 0 : step % 3, step);
        status = clsa_trace_write(writer, &mock.trace, NULL);
    }
    if (!status)
        status = clsa_trace_writer_commit(writer, NULL);
    clsa_trace_writer_destroy(writer);
    return status;
}

uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    char path[] = "/tmp/clsa-fuzz-XXXXXX";
    char *packed = NULL;
    size_t n = 0;
    if (i > 3)
        return NULL;
    const int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || write_seed(path, i) != 0 ||
        clsa_file_read(path, 1 << 24, &packed, &n, NULL) != 0)
        abort();
    unlink(path);
    uint8_t *plain = flatten((const uint8_t *)packed, n, bytes);
    free(packed);
    /* A seed that does not read would make the whole loop look at nothing. */
    struct clsa_trace_reader *reader = NULL;
    const struct clsa_trace_step *step;
    struct clsa_err err;
    unsigned steps = 0;
    int status = clsa_trace_open_memory("seed", plain, *bytes, 0, &reader, &err);
    while (!status && clsa_trace_next(reader, &step, &err) == 1)
        steps++;
    if (status || steps != 2 * i || clsa_trace_next(reader, &step, &err) != 0)
        abort();
    clsa_trace_close(reader);
    return plain;
}
