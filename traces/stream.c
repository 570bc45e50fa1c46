#include "traces/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "sim/base/alloc.h"
#include "traces/format.h"

int clsa_stream_open(struct clsa_stream *s, const char *path, const char *name, const void *memory,
                     size_t memory_bytes, struct clsa_err *err)
{
    struct stat st;
    *s = (struct clsa_stream){.memory = memory, .memory_bytes = memory_bytes, .seekable = !path};
    s->name = clsa_strdup(name);
    s->zstd = ZSTD_createDCtx();
    if (!s->name || !s->zstd)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
    if (!path)
        return 0;
    s->own_file = strcmp(path, "-") != 0;
    s->file = s->own_file ? fopen(path, "rb") : stdin;
    if (!s->file)
        return clsa_fail(err, errno == ENOENT ? CLSA_ENOTFOUND : CLSA_EIO, "%s: cannot open: %s",
                         name, strerror(errno));
    if (fstat(fileno(s->file), &st) != 0)
        return clsa_fail(err, CLSA_EIO, "%s: cannot stat: %s", name, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return clsa_fail(err, CLSA_EIO, "%s: is a directory", name);
    s->seekable = S_ISREG(st.st_mode) && s->own_file;
    return 0;
}

void clsa_stream_close(struct clsa_stream *s)
{
    if (s->own_file && s->file)
        fclose(s->file);
    clsa_buffer_destroy(&s->stored);
    clsa_buffer_destroy(&s->raw);
    ZSTD_freeDCtx(s->zstd);
    free(s->name);
    *s = (struct clsa_stream){0};
}

int clsa_stream_size(struct clsa_stream *s, uint64_t *bytes, struct clsa_err *err)
{
    struct stat st;
    if (!s->file) {
        *bytes = s->memory_bytes;
        return 0;
    }
    if (fstat(fileno(s->file), &st) != 0 || st.st_size < 0)
        return clsa_stream_fail(s, err, CLSA_EIO, "cannot stat: %s", strerror(errno));
    *bytes = (uint64_t)st.st_size;
    return 0;
}

static const char *kind_text(uint32_t kind, char text[5])
{
    for (int i = 0; i < 4; i++) {
        const char ch = (char)(kind >> 8 * i);
        text[i] = ch >= ' ' && ch < 0x7f ? ch : '?';
    }
    text[4] = '\0';
    for (int i = 3; i > 0 && text[i] == ' '; i--)
        text[i] = '\0';
    return text;
}

int clsa_stream_fail(const struct clsa_stream *s, struct clsa_err *err, int status,
                     const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return clsa_fail(err, status, "%s: offset %" PRIu64 ": %s", s->name, s->offset, text);
}

int clsa_stream_locate(const struct clsa_stream *s, struct clsa_err *err, int status)
{
    char prefix[256], kind[5];
    snprintf(prefix, sizeof prefix, "%.160s: offset %" PRIu64 ", chunk %" PRIu32 " (%s)", s->name,
             s->chunk_offset, s->chunks - 1, kind_text(s->kind, kind));
    return clsa_fail_prefix(err, status, prefix);
}

int clsa_stream_fail_chunk(const struct clsa_stream *s, struct clsa_err *err, int status,
                           const char *what)
{
    clsa_fail(err, status, "%s", what);
    return clsa_stream_locate(s, err, status);
}

int clsa_stream_fetch(struct clsa_stream *s, void *data, size_t bytes, size_t *got,
                      struct clsa_err *err)
{
    if (s->file) {
        *got = fread(data, 1, bytes, s->file);
        if (*got < bytes && ferror(s->file))
            return clsa_stream_fail(s, err, CLSA_EIO, "cannot read: %s", strerror(errno));
    } else {
        const uint64_t left = s->memory_bytes - s->offset;
        *got = left < bytes ? (size_t)left : bytes;
        if (*got)
            memcpy(data, s->memory + s->offset, *got);
    }
    s->offset += *got;
    return 0;
}

int clsa_stream_seek(struct clsa_stream *s, uint64_t offset, struct clsa_err *err)
{
    if (s->file && (offset > INT64_MAX || fseeko(s->file, (off_t)offset, SEEK_SET) != 0))
        return clsa_stream_fail(s, err, CLSA_EIO, "cannot seek to %" PRIu64, offset);
    if (!s->file && offset > s->memory_bytes)
        return clsa_stream_fail(s, err, CLSA_EFORMAT, "an offset of %" PRIu64 " is beyond the end",
                                offset);
    s->offset = offset;
    return 0;
}

static int unpack(struct clsa_stream *s, uint32_t flags, uint32_t stored, uint32_t raw,
                  struct clsa_err *err)
{
    if (!(flags & CLSA_TRACE_CHUNK_ZSTD)) {
        s->payload =
            (struct clsa_wire_cursor){.at = s->stored.data, .end = s->stored.data + stored};
        return 0;
    }
    if (!clsa_buffer_reserve(&s->raw, raw))
        return clsa_stream_fail_chunk(s, err, CLSA_ENOMEM, "out of memory");
    const size_t n = ZSTD_decompressDCtx(s->zstd, s->raw.data, raw, s->stored.data, stored);
    if (ZSTD_isError(n) || n != raw)
        return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT,
                                      "does not decompress to the size it announces");
    s->payload = (struct clsa_wire_cursor){.at = s->raw.data, .end = s->raw.data + raw};
    return 0;
}

int clsa_stream_next(struct clsa_stream *s, struct clsa_err *err)
{
    unsigned char header[CLSA_TRACE_CHUNK_HEADER_BYTES];
    size_t got;
    const uint64_t at = s->offset;
    int status = clsa_stream_fetch(s, header, sizeof header, &got, err);
    if (status)
        return status;
    if (got < sizeof header)
        return clsa_stream_fail(
            s, err, CLSA_EFORMAT,
            "the file ends after %" PRIu32 " chunks without an index: it was cut off", s->chunks);
    s->chunk_offset = at;
    s->kind = clsa_load_u32(header);
    s->chunks++;
    if (clsa_load_u32(header + 24) != clsa_crc32c(0, header, 24))
        return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT, "damaged chunk header (checksum)");
    const uint32_t flags = clsa_load_u32(header + 4), stored = clsa_load_u32(header + 8),
                   raw = clsa_load_u32(header + 12);
    const bool packed = flags & CLSA_TRACE_CHUNK_ZSTD;
    if (clsa_load_u32(header + 16) != s->chunks - 1)
        return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT, "chunk number out of turn");
    if (flags & ~CLSA_TRACE_CHUNK_ZSTD)
        return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT, "unknown flags");
    if (raw > CLSA_TRACE_CHUNK_MAX_BYTES || (packed ? stored >= raw : stored != raw))
        return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT, "impossible sizes");
    if (!clsa_buffer_reserve(&s->stored, stored ? stored : 1))
        return clsa_stream_fail_chunk(s, err, CLSA_ENOMEM, "out of memory");
    status = clsa_stream_fetch(s, s->stored.data, stored, &got, err);
    if (status)
        return status;
    if (got < stored)
        return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT,
                                      "the file ends inside this chunk: it was cut off");
    if (clsa_load_u32(header + 20) != clsa_crc32c(0, s->stored.data, stored))
        return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT, "damaged payload (checksum)");
    return unpack(s, flags, stored, raw, err);
}

int clsa_stream_expect(struct clsa_stream *s, uint32_t kind, struct clsa_err *err)
{
    char wanted[5], what[64];
    const int status = clsa_stream_next(s, err);
    if (status || s->kind == kind)
        return status;
    snprintf(what, sizeof what, "chunk %s expected here", kind_text(kind, wanted));
    return clsa_stream_fail_chunk(s, err, CLSA_EFORMAT, what);
}
