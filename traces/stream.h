/* The bytes of a trace as a sequence of checked chunks, from a file, a pipe or memory. Used by the
 * reader alone. Messages name file, offset and chunk. */
#ifndef CLSA_TRACES_STREAM_H
#define CLSA_TRACES_STREAM_H

#include <stdio.h>

#include "sim/base/status.h"
#include "traces/wire.h"

struct ZSTD_DCtx_s;

struct clsa_stream {
    char *name;
    FILE *file; /* NULL when reading memory */
    const unsigned char *memory;
    uint64_t memory_bytes;
    bool own_file;
    bool seekable;
    uint64_t offset;                 /* of the next byte to read */
    uint64_t chunk_offset;           /* of the header of the chunk in `payload` */
    uint32_t chunks;                 /* number that the next chunk must have */
    uint32_t kind;                   /* of the chunk in `payload` */
    struct clsa_wire_cursor payload; /* valid until the next chunk is read */
    struct clsa_buffer stored, raw;
    struct ZSTD_DCtx_s *zstd;
};

/* Opens `path` ("-" is standard input), or memory when `path` is NULL. Returns 0, CLSA_ENOTFOUND,
 * CLSA_EIO or CLSA_ENOMEM; close in every case. */
int clsa_stream_open(struct clsa_stream *s, const char *path, const char *name, const void *memory,
                     size_t memory_bytes, struct clsa_err *err);
void clsa_stream_close(struct clsa_stream *s);

/* Reads up to `bytes`, fewer only at the end. *got says how many. */
int clsa_stream_fetch(struct clsa_stream *s, void *data, size_t bytes, size_t *got,
                      struct clsa_err *err);
int clsa_stream_seek(struct clsa_stream *s, uint64_t offset, struct clsa_err *err);
/* Bytes in all; for seekable streams. */
int clsa_stream_size(struct clsa_stream *s, uint64_t *bytes, struct clsa_err *err);
/* Reads the next chunk whole, checks and unpacks it. */
int clsa_stream_next(struct clsa_stream *s, struct clsa_err *err);
/* The same; any other kind is CLSA_EFORMAT. */
int clsa_stream_expect(struct clsa_stream *s, uint32_t kind, struct clsa_err *err);

/* Message about a place that belongs to no chunk (header, footer, end of file). */
int clsa_stream_fail(const struct clsa_stream *s, struct clsa_err *err, int status,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Message about the chunk just read. */
int clsa_stream_fail_chunk(const struct clsa_stream *s, struct clsa_err *err, int status,
                           const char *what);
/* Puts file, offset and chunk in front of the message in err. Returns status. */
int clsa_stream_locate(const struct clsa_stream *s, struct clsa_err *err, int status);

#endif
