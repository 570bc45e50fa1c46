/* The trace file: format specification, version 1.
 *
 * A trace says what a run of a model asked of memory and arithmetic, step by step, without saying
 * what hardware did with it: no times, no cache lines, no threads. The same run gives the same
 * trace.
 *
 *  1. All integers are little endian. "varint" is an unsigned LEB128 number of at most 64 bits in
 *     its shortest form: seven bits a byte, lowest first, top bit set on all bytes but the last. A
 *     longer form than needed is an error, so that equal contents are equal bytes. "signed" values
 *     (layers, set numbers, where -1 means none) are stored as varint of value + 1. "text" is a
 *     varint byte count followed by that many bytes of UTF-8 without NUL.
 *  2. A file is: file header, chunks, footer. It can be read front to back through a pipe; with the
 *     footer and the index chunk it can also be entered at any step.
 *  3. File header, 16 bytes: magic of 8 bytes (89 43 4c 53 41 0d 0a 1a: not text, and broken by
 *     line-end translation), u32 version, u32 CRC32C of the 12 bytes before it. A reader refuses a
 *     version it does not know.
 *  4. Chunk header, 28 bytes: u32 kind, u32 flags, u32 stored bytes, u32 raw bytes, u32 chunk
 *     number (0, 1, 2, ... without gaps), u32 CRC32C of the stored payload, u32 CRC32C of the 24
 *     bytes before it. The payload follows. Flag bit 0: the payload is one zstd frame (RFC 8878) of
 *     exactly raw bytes, and stored < raw; without it stored == raw. Other bits are 0. Raw bytes
 *     are at most CLSA_TRACE_CHUNK_MAX_BYTES, so that a reader knows its largest buffer before it
 *     reads.
 *  5. Chunk order: PROV, WORD, then for every step [TENS] STEP OPS* SETS*, then INDX. A payload
 *     ends exactly where its contents end.
 *  6. PROV, provenance: varint count (at most CLSA_TRACE_PROVENANCE_MAX), then that many pairs of
 *     text: key, value; keys ascend bytewise and are not empty. Keys in use: "tool" (name and
 *     version of the writer), "model", "geometry" (JSON), "seed", "selections" ("engine",
 *     "synthetic", "imported"), "synthetic" (parameters), "source", "set_layers". Others are kept
 *     and shown.
 *  7. WORD, vocabulary: three lists (dtypes, op kinds, op roles), each a varint count (at most
 *     CLSA_TRACE_WORDS_MAX) and that many texts. Numbers of dtypes, kinds and roles in later chunks
 *     are indices into these lists, so that a later version may reorder its own. A reader that does
 *     not know a word refuses only a record that uses it.
 *  8. TENS, tensors: varint count, then for each: text name (shorter than CLSA_TENSOR_NAME_BYTES),
 *     varint kind, dtype, signed layer, varint address, bytes. Kinds: 0 weight, 1 K/V rows, 2 index
 *     keys, 3 activation, 4 token ids. A table replaces the one before it whole and holds until the
 *     next. Writers repeat it only when it changes. Before the first table there are no tensors.
 *  9. STEP: varints number (0, 1, 2, ...), phase (0 prefill, 1 decode), flags (bit 0: every cross
 *     layer has K/V of its own), group, top_k, n_seqs, new_tokens, past of every sequence,
 *     n_queries, (seq, keys) of every query, n_sets (selections made a query), op count, index set
 *     count.
 * 10. OPS: varints step number, record count, then op records; all OPS chunks of a step together
 *     hold the count that STEP announced. A record: varints kind, role, weight dtype, input dtype,
 *     flags (bit 0: rows are queries), signed layer, signed set, varints m, n, k, heads, kv_heads,
 *     head_dim, value_dim, window, topk, flops, read_bytes, write_bytes, operand count, then each
 *     operand: varints tensor, access (0 read, 1 write) + 2 * axis, offset, row_bytes, row_stride,
 *     seq_stride, head_stride, ring_rows. Axes: 0 none, 1 m, 2 n, 3 keys, 4 selected, 5 new, 6
 *     table. Their meaning is that of struct clsa_op and struct clsa_operand (sim/base/op.h).
 * 11. SETS, index sets: varints step number, record count, then records: set, query, count, first
 *     position, and for each further position its distance to the one before it minus 1. Positions
 *     ascend strictly and are below the query's keys. A set is stored once a (step, query, group),
 *     however many layers use it, and sets ascend by (set, query) over all SETS chunks of a step.
 * 12. INDX: varint count of steps, then for every step varints: bytes from the STEP chunk before it
 *     (from the start of the file for the first) to its STEP chunk, chunks likewise, and offset and
 *     chunk number of the TENS chunk in force (0, 0 if there was none).
 * 13. Footer, 32 bytes, at the very end: u64 offset of INDX, u64 count of steps, magic of 8 bytes
 *     (43 4c 53 41 2d 45 4e 44), u32 count of chunks, u32 CRC32C of the 28 bytes before it. A file
 *     without it was cut off.
 * 14. CRC32C is the Castagnoli polynomial 0x1edc6f41, reflected, initial and final complement, as
 *     in RFC 3720 section 12.1; its check value over "123456789" is 0xe3069283.
 * 15. A change that an old reader would misread takes a new version number. Readers keep reading
 *     every version listed here, and traces/legacy/ keeps a file of each.
 *     History: 1 (first).
 *
 * Recommended file suffix: ".clsat". */
#ifndef CLSA_TRACES_FORMAT_H
#define CLSA_TRACES_FORMAT_H

#include "sim/base/op.h"

#define CLSA_TRACE_VERSION 1u
#define CLSA_TRACE_MAGIC "\x89" "CLSA\r\n\x1a"
#define CLSA_TRACE_END_MAGIC "CLSA-END"
#define CLSA_TRACE_MAGIC_BYTES 8u
#define CLSA_TRACE_HEADER_BYTES 16u
#define CLSA_TRACE_CHUNK_HEADER_BYTES 28u
#define CLSA_TRACE_FOOTER_BYTES 32u
#define CLSA_TRACE_CHUNK_MAX_BYTES (16u << 20)
#define CLSA_TRACE_CHUNK_ZSTD 1u
#define CLSA_TRACE_PROVENANCE_MAX 64u
#define CLSA_TRACE_WORDS_MAX 256u

#define CLSA_TRACE_FOURCC(a, b, c, d)                                                              \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

enum clsa_trace_chunk {
    CLSA_CHUNK_PROV = CLSA_TRACE_FOURCC('P', 'R', 'O', 'V'),
    CLSA_CHUNK_WORD = CLSA_TRACE_FOURCC('W', 'O', 'R', 'D'),
    CLSA_CHUNK_TENS = CLSA_TRACE_FOURCC('T', 'E', 'N', 'S'),
    CLSA_CHUNK_STEP = CLSA_TRACE_FOURCC('S', 'T', 'E', 'P'),
    CLSA_CHUNK_OPS = CLSA_TRACE_FOURCC('O', 'P', 'S', ' '),
    CLSA_CHUNK_SETS = CLSA_TRACE_FOURCC('S', 'E', 'T', 'S'),
    CLSA_CHUNK_INDX = CLSA_TRACE_FOURCC('I', 'N', 'D', 'X')
};

/* One pair of chunk PROV. */
struct clsa_provenance {
    const char *key, *value;
};

/* What a trace says about itself, before its steps. */
struct clsa_trace_header {
    const char *name; /* path, for messages */
    uint32_t version;
    size_t n_provenance;
    const struct clsa_provenance *provenance; /* ascending by key */
};

/* Value of a provenance key, or NULL. */
const char *clsa_trace_provenance(const struct clsa_trace_header *header, const char *key);

/* One step of a trace in memory: what a writer takes and a reader yields. */
struct clsa_trace_step {
    uint64_t number;
    struct clsa_step step;
    size_t n_index_sets;
    const struct clsa_index_set *index_sets; /* ascending by (set, query) */
};

/* The index set that group `set` made for `query`, or NULL when the trace has none. */
const struct clsa_index_set *clsa_trace_find_set(const struct clsa_trace_step *step,
                                                 uint32_t query, uint32_t set);

#endif
