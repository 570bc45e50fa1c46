/* Bytes as a trace file has them: checksums, varints, growing buffers and bounded cursors. */
#ifndef CLSA_TRACES_WIRE_H
#define CLSA_TRACES_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CRC32C (format.h rule 14) of `bytes` bytes, continuing from `crc` (0 to begin). */
uint32_t clsa_crc32c(uint32_t crc, const void *data, size_t bytes);

/* True when all bytes are well-formed UTF-8 (RFC 3629: no surrogates, no long forms), without NUL.
 */
bool clsa_utf8_valid(const char *text, size_t bytes);

/* A buffer that grows as it is filled. `failed` sticks once memory ran out; puts are then ignored.
 */
struct clsa_buffer {
    unsigned char *data;
    size_t bytes, capacity;
    bool failed;
};

void clsa_buffer_put(struct clsa_buffer *b, const void *data, size_t bytes);
void clsa_buffer_put_u32(struct clsa_buffer *b, uint32_t value);
void clsa_buffer_put_u64(struct clsa_buffer *b, uint64_t value);
void clsa_buffer_put_varint(struct clsa_buffer *b, uint64_t value);
/* value >= -1, as value + 1. */
void clsa_buffer_put_signed(struct clsa_buffer *b, int32_t value);
void clsa_buffer_put_text(struct clsa_buffer *b, const char *text);
/* Makes room for `capacity` bytes in all; false (and failed) when out of memory. */
bool clsa_buffer_reserve(struct clsa_buffer *b, size_t capacity);
void clsa_buffer_destroy(struct clsa_buffer *b);

/* A read position that cannot pass its end. `bad` sticks once something did not fit; gets then give
 * zeros. */
struct clsa_wire_cursor {
    const unsigned char *at, *end;
    bool bad;
};

size_t clsa_wire_cursor_left(const struct clsa_wire_cursor *c);
uint64_t clsa_wire_cursor_varint(struct clsa_wire_cursor *c);
/* A varint above `most` is bad. */
uint64_t clsa_wire_cursor_up_to(struct clsa_wire_cursor *c, uint64_t most);
int32_t clsa_wire_cursor_signed(struct clsa_wire_cursor *c);
/* Text of at most `most` bytes: its first byte and its length; not NUL-terminated. NULL when bad.
 */
const char *clsa_wire_cursor_text(struct clsa_wire_cursor *c, size_t most, size_t *bytes);

uint32_t clsa_load_u32(const unsigned char *p);
uint64_t clsa_load_u64(const unsigned char *p);
void clsa_store_u32(unsigned char *p, uint32_t value);
void clsa_store_u64(unsigned char *p, uint64_t value);

#endif
