/* The three capture formats into one shape. Private to traces/import*.c. */
#ifndef CLSA_TRACES_IMPORT_PARSE_H
#define CLSA_TRACES_IMPORT_PARSE_H

#include "traces/import.h"

/* The selections of one token in one layer, as they came: unsorted, padding (< 0) dropped. */
struct clsa_capture_row {
    uint32_t request; /* sequences in order of first appearance */
    uint32_t layer;
    uint64_t step; /* order among the tokens of a request */
    uint64_t keys; /* visible rows, the token's own included */
    uint64_t line; /* of the file, or number of the token, for messages */
    size_t at, count;
};

struct clsa_capture {
    const char *path;
    struct clsa_capture_row *rows;
    size_t n_rows, rows_room;
    uint32_t *positions;
    size_t n_positions, positions_room;
    uint32_t n_requests;
    const char *source; /* provenance: the member or file format that it came from */
    const char *place;  /* what goes between path and row.line in messages */
};

/* Appends a row with `count` values of which those below 0 are dropped; a value beyond 32 bits or
 * not below keys is CLSA_EFORMAT. */
int clsa_capture_add(struct clsa_capture *capture, const struct clsa_capture_row *row,
                     const int64_t *values, size_t count, struct clsa_err *err);
void clsa_capture_destroy(struct clsa_capture *capture);

/* Adds one request's array [tokens, layers, k] of int32 or int64, little endian. */
int clsa_capture_add_array(struct clsa_capture *capture, const unsigned char *data,
                           unsigned element_bytes, uint64_t tokens, uint64_t layers, uint64_t k,
                           uint64_t first_position, struct clsa_err *err);

/* `text` is the whole file. */
int clsa_import_array(const struct clsa_import *options, char *text, size_t bytes,
                      struct clsa_capture *capture, struct clsa_err *err);
int clsa_import_jsonl(const struct clsa_import *options, char *text, size_t bytes,
                      struct clsa_capture *capture, struct clsa_err *err);

/* Decodes base64 (RFC 4648, padding and line ends allowed) in place; false when malformed. */
bool clsa_base64_decode(char *text, size_t bytes, size_t *decoded);

#endif
