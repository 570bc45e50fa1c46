#include "traces/wire.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"

/* Eight tables, so that eight bytes are folded at once ("slicing by 8", Kounavis and Berry 2005).
 */
static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c >> 1) ^ (0x82f63b78u & (0u - (c & 1u))); /* 0x1edc6f41 reflected */
        crc_table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            crc_table[t][i] = (crc_table[t - 1][i] >> 8) ^ crc_table[0][crc_table[t - 1][i] & 0xff];
}

uint32_t clsa_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    pthread_once(&crc_once, crc_init);
    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, p += 8) {
        const uint32_t lo = crc ^ clsa_load_u32(p), hi = clsa_load_u32(p + 4);
        crc = crc_table[7][lo & 0xff] ^ crc_table[6][lo >> 8 & 0xff] ^
              crc_table[5][lo >> 16 & 0xff] ^ crc_table[4][lo >> 24] ^ crc_table[3][hi & 0xff] ^
              crc_table[2][hi >> 8 & 0xff] ^ crc_table[1][hi >> 16 & 0xff] ^ crc_table[0][hi >> 24];
    }
    for (; bytes; bytes--, p++)
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

bool clsa_utf8_valid(const char *text, size_t bytes)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + bytes;
    while (p < end) {
        const unsigned c = *p++;
        if (c == 0)
            return false;
        if (c < 0x80)
            continue;
        const int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || end - p < more)
            return false;
        uint32_t code = c & (0x3fu >> more);
        for (int i = 0; i < more; i++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*p++ & 0x3fu);
        }
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
    }
    return true;
}

bool clsa_buffer_reserve(struct clsa_buffer *b, size_t capacity)
{
    if (b->failed)
        return false;
    if (capacity <= b->capacity)
        return true;
    size_t grown = b->capacity ? b->capacity : 256;
    while (grown < capacity)
        if (!clsa_mul_size(grown, 2, &grown)) {
            b->failed = true;
            return false;
        }
    unsigned char *data = clsa_realloc(b->data, grown, 1);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = grown;
    return true;
}

void clsa_buffer_put(struct clsa_buffer *b, const void *data, size_t bytes)
{
    size_t total;
    if (!clsa_add_size(b->bytes, bytes, &total)) {
        b->failed = true;
        return;
    }
    if (!clsa_buffer_reserve(b, total))
        return;
    if (bytes)
        memcpy(b->data + b->bytes, data, bytes);
    b->bytes = total;
}

void clsa_buffer_put_u32(struct clsa_buffer *b, uint32_t value)
{
    unsigned char raw[4];
    clsa_store_u32(raw, value);
    clsa_buffer_put(b, raw, sizeof raw);
}

void clsa_buffer_put_u64(struct clsa_buffer *b, uint64_t value)
{
    unsigned char raw[8];
    clsa_store_u64(raw, value);
    clsa_buffer_put(b, raw, sizeof raw);
}

void clsa_buffer_put_varint(struct clsa_buffer *b, uint64_t value)
{
    unsigned char raw[10];
    size_t n = 0;
    while (value >= 0x80) {
        raw[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    raw[n++] = (unsigned char)value;
    clsa_buffer_put(b, raw, n);
}

void clsa_buffer_put_signed(struct clsa_buffer *b, int32_t value)
{
    clsa_buffer_put_varint(b, (uint64_t)((int64_t)value + 1));
}

void clsa_buffer_put_text(struct clsa_buffer *b, const char *text)
{
    const size_t n = strlen(text);
    clsa_buffer_put_varint(b, n);
    clsa_buffer_put(b, text, n);
}

void clsa_buffer_destroy(struct clsa_buffer *b)
{
    free(b->data);
    *b = (struct clsa_buffer){0};
}

size_t clsa_wire_cursor_left(const struct clsa_wire_cursor *c)
{
    return (size_t)(c->end - c->at);
}

uint64_t clsa_wire_cursor_varint(struct clsa_wire_cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !c->bad && c->at < c->end; shift += 7) {
        const unsigned char byte = *c->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            if (byte == 0 && shift != 0)
                break; /* a longer form than needed */
            return value;
        }
    }
    c->bad = true;
    return 0;
}

uint64_t clsa_wire_cursor_up_to(struct clsa_wire_cursor *c, uint64_t most)
{
    const uint64_t value = clsa_wire_cursor_varint(c);
    if (value <= most)
        return value;
    c->bad = true;
    return 0;
}

int32_t clsa_wire_cursor_signed(struct clsa_wire_cursor *c)
{
    return (int32_t)((int64_t)clsa_wire_cursor_up_to(c, (uint64_t)INT32_MAX + 1) - 1);
}

const char *clsa_wire_cursor_text(struct clsa_wire_cursor *c, size_t most, size_t *bytes)
{
    const uint64_t n = clsa_wire_cursor_up_to(c, most);
    if (c->bad || n > clsa_wire_cursor_left(c) ||
        !clsa_utf8_valid((const char *)c->at, (size_t)n)) {
        c->bad = true;
        return NULL;
    }
    const char *text = (const char *)c->at;
    c->at += n;
    *bytes = (size_t)n;
    return text;
}

uint32_t clsa_load_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t clsa_load_u64(const unsigned char *p)
{
    return (uint64_t)clsa_load_u32(p) | (uint64_t)clsa_load_u32(p + 4) << 32;
}

void clsa_store_u32(unsigned char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

void clsa_store_u64(unsigned char *p, uint64_t value)
{
    clsa_store_u32(p, (uint32_t)value);
    clsa_store_u32(p + 4, (uint32_t)(value >> 32));
}
