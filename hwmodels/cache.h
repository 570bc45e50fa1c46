/* A sectored set-associative cache with true LRU, exact to the line.
 *
 * Mapping. With S = size / (line * ways) sets, any S, let B = 2^b be the largest power of two that
 * divides S, at most 1024. A line splits as line = (tag * (S / B) + mid) * B + low and lives in set
 * mid * B + low, or, when hashed, in set mid * B + (low xor h(line / B)) with a multiplicative hash
 * h. In both cases S consecutive lines that start at a multiple of S visit every set once, which is
 * what makes closed forms for streams exact.
 *
 * State is kept from call to call until clsa_cache_reset. All results are integers. */
#ifndef CLSA_HWMODELS_CACHE_H
#define CLSA_HWMODELS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "hwmodels/access.h"
#include "sim/base/status.h"

#define CLSA_CACHE_WAYS_MAX 64

struct clsa_cache_config {
    uint64_t size_bytes;
    uint32_t line_bytes;   /* a power of two */
    uint32_t sector_bytes; /* line_bytes / sector_bytes is 1, 2 or 4 */
    uint32_t ways;         /* 1 .. CLSA_CACHE_WAYS_MAX */
    bool hashed;
    bool write_through; /* writes go below at once and never make a line dirty */
    bool write_around;  /* a write miss leaves the cache as it is (else it allocates the line) */
    bool write_fetch;   /* an allocating write miss reads the sectors from below first (CPUs do) */
};

struct clsa_cache_counters {
    uint64_t lookups;         /* lines asked for */
    uint64_t line_hits;       /* of those, lines whose tag was there */
    uint64_t sectors;         /* sectors asked for */
    uint64_t sector_hits;     /* of those, sectors that were valid */
    uint64_t fetched_sectors; /* read from below */
    uint64_t evictions;       /* valid lines pushed out */
    uint64_t
        written_sectors; /* sent below: dirty ones pushed out, or all writes when write_through */
};

/* Where misses and write-backs go: lists of runs that the caller empties (set the counts to 0).
 * Fetches of one call are in the order of the requests; write-backs of a stream are in no order. */
struct clsa_cache_sink {
    struct clsa_line_run *fetch;
    size_t n_fetch;
    struct clsa_line_run *write;
    size_t n_write;
    size_t capacity; /* of each list */
};

struct clsa_cache;

/* Makes an empty cache. Returns 0, CLSA_ERANGE (a geometry that cannot be: message names it) or
 * CLSA_ENOMEM. */
int clsa_cache_create(const struct clsa_cache_config *config, struct clsa_cache **out,
                      struct clsa_err *err);
void clsa_cache_destroy(struct clsa_cache *cache); /* takes NULL */
/* Forgets all lines (dirty ones without writing them) and zeroes the counters. */
void clsa_cache_reset(struct clsa_cache *cache);
/* As reset, but the counters stay. */
void clsa_cache_flush(struct clsa_cache *cache);

const struct clsa_cache_config *clsa_cache_geometry(const struct clsa_cache *cache);
const struct clsa_cache_counters *clsa_cache_counts(const struct clsa_cache *cache);
uint32_t clsa_cache_sets(const struct clsa_cache *cache);
/* Addresses at or above this cannot be represented by 32-bit tags. */
uint64_t clsa_cache_reach_bytes(const struct clsa_cache *cache);

/* Room in the lists for whatever one call with at most `requests` requests, or one stream, can emit
 * into it from any cache of at most `lines` lines. Returns 0 or CLSA_ENOMEM. Destroy takes zeroed
 * structs. */
int clsa_cache_sink_create(uint64_t lines, size_t requests, struct clsa_cache_sink *sink,
                           struct clsa_err *err);
void clsa_cache_sink_destroy(struct clsa_cache_sink *sink);

/* Looks n requests up in order. The sink must have room for n more runs in each list. */
void clsa_cache_access(struct clsa_cache *cache, const struct clsa_line_request *requests, size_t n,
                       bool write, struct clsa_cache_sink *sink);

/* Looks up lines first .. first + n - 1 in order, all their sectors: counters, state and fetches
 * are those of clsa_cache_access on the same lines, and write-backs are the same set. Cost grows
 * with the sets touched, not with n, once the stream is longer than the cache. The sink's lists
 * must be empty. */
void clsa_cache_stream(struct clsa_cache *cache, uint64_t first, uint64_t n, bool write,
                       struct clsa_cache_sink *sink);

/* Whether a line is present, and which of its sectors are valid and dirty; changes nothing. */
bool clsa_cache_probe(const struct clsa_cache *cache, uint64_t line, uint32_t *valid,
                      uint32_t *dirty);
/* Writes the lines of a set, most recent first, into `lines` (room for `ways`); returns how
 * many. */
uint32_t clsa_cache_set_lines(const struct clsa_cache *cache, uint32_t set, uint64_t *lines);
/* The set a line maps to. */
uint32_t clsa_cache_set_of(const struct clsa_cache *cache, uint64_t line);
/* A number made of all sets' lines, their order of use and their sector masks. */
uint64_t clsa_cache_digest(const struct clsa_cache *cache);

#endif
