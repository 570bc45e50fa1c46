/* What moves between the levels of a memory hierarchy.
 *
 * Addresses are the trace's virtual ones; a line is address / line_bytes. Nothing here knows
 * traces. */
#ifndef CLSA_HWMODELS_ACCESS_H
#define CLSA_HWMODELS_ACCESS_H

#include <stddef.h>
#include <stdint.h>

/* Sectors a line may have: the masks below are four bits wide. */
#define CLSA_SECTORS_MAX 4

/* One lookup: a line and the sectors of it that are wanted (bit i = sector i). */
struct clsa_line_request {
    uint64_t line;
    uint32_t sectors;
};

/* `count` consecutive lines of which the same sectors are meant. */
struct clsa_line_run {
    uint64_t line;
    uint64_t count;
    uint32_t sectors;
};

/* Consecutive bytes. */
struct clsa_byte_run {
    uint64_t address;
    uint64_t bytes;
};

#endif
