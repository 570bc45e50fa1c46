/* Numbers with units, as people write them: "27.5 MiB", "3.35 TB/s", "128K", "1.41 GHz".
 *
 * Base units: bytes, bytes/s, hertz, seconds, FLOP/s, cycles, bytes/cycle, plain counts. */
#ifndef CLSA_BASE_UNITS_H
#define CLSA_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum clsa_dimension {
    CLSA_DIM_COUNT,       /* "", "-", "count", "%": 50 % is 0.5 */
    CLSA_DIM_WHOLE,       /* a count that clsa_quantity_parse takes only without a fraction */
    CLSA_DIM_BYTES,       /* B KB MB GB TB (powers of 1000), KiB MiB GiB TiB (powers of 1024) */
    CLSA_DIM_BYTES_PER_S, /* B/s KB/s ... TB/s KiB/s ... TiB/s */
    CLSA_DIM_HZ,          /* Hz kHz MHz GHz */
    CLSA_DIM_SECONDS,     /* s ms us ns ps */
    CLSA_DIM_FLOPS,       /* FLOP/s MFLOP/s GFLOP/s TFLOP/s PFLOP/s; OP/s TOP/s likewise */
    CLSA_DIM_CYCLES,      /* cycles */
    CLSA_DIM_BYTES_PER_CYCLE, /* B/cycle */
    CLSA_DIM_COUNT_PER_CYCLE, /* /cycle */
    CLSA_DIM_TEXT         /* a word; never parsed as a number */
};

/* The name of a dimension for messages ("bytes", "bytes per second", ...). */
const char *clsa_dimension_name(enum clsa_dimension dimension);

/* Scale of a unit: *factor such that value * factor is in base units.
 * Returns 0 or CLSA_ENOTFOUND when no such unit exists. */
int clsa_unit_find(const char *unit, enum clsa_dimension *dimension, double *factor);

/* Parses "VALUE[ ]UNIT" wholly; the unit must be of the dimension wanted (a bare number is accepted
 * for counts, bytes and cycles). Returns 0, CLSA_EFORMAT (no number, trailing text, not finite),
 * CLSA_EMISMATCH (a unit of another dimension) or CLSA_ERANGE (a fraction of a whole number). */
int clsa_quantity_parse(const char *text, enum clsa_dimension wanted, double *out);

/* Parses a size or count: "8192", "8K" (1024s: K M G), "27.5MiB", "4096 B". Result in [0, 2^63).
 * Returns 0, CLSA_EFORMAT or CLSA_ERANGE. */
int clsa_size_parse(const char *text, uint64_t *out);

/* Parses a comma separated list of sizes ("1,8", "8K,128K") into fresh memory (free() it).
 * Returns 0, CLSA_EFORMAT, CLSA_ERANGE or CLSA_ENOMEM; at most `limit` items else CLSA_ELIMIT. */
int clsa_size_list_parse(const char *text, size_t limit, uint64_t **out, size_t *count);

/* Writes bytes as "27.5 MiB" and the like; returns buf. */
const char *clsa_bytes_print(uint64_t bytes, char *buf, size_t buf_bytes);

#endif
