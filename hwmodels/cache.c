#include "hwmodels/cache.h"

#include "hwmodels/cache_lanes.h"
#include "sim/base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A set is one record: `lanes` tags (uint32), then `lanes` ages, then `lanes` flag bytes, where
 * lanes is ways rounded up to 16. Flags: low four bits valid sectors, high four dirty ones. An
 * empty way has the tag NO_TAG and flags 0; since every touch makes a way the youngest, empty ways
 * are always the oldest and are filled before anything is evicted. */
#define NO_TAG UINT32_MAX
/* Requests between prefetching a set and using it: hides a miss in the host's L2. */
#define AHEAD 32
#define BLOCK_BITS_MAX 10

struct clsa_cache {
    struct clsa_cache_config config;
    struct clsa_cache_counters counters;
    uint32_t sets, lanes, groups;
    uint32_t block_bits; /* lines within an aligned block of 2^block_bits go to different sets */
    uint32_t mids;       /* sets >> block_bits */
    uint64_t magic;      /* ceil(2^64 / mids) */
    uint32_t all_sectors, n_sectors;
    size_t record_bytes;
    unsigned char *records;
    uint64_t *hit_bits;  /* scratch of clsa_cache_stream: one bit a line of the cache */
    uint64_t *warm_bits; /* the same: one bit a set */
};

struct place {
    uint32_t set, tag;
};

static inline uint32_t *tags_of(const struct clsa_cache *c, uint32_t set)
{
    return (uint32_t *)(void *)(c->records + c->record_bytes * set);
}

static inline uint8_t *ages_of(uint32_t *tags, uint32_t lanes)
{
    return (uint8_t *)(tags + lanes);
}

static inline uint32_t swizzle(const struct clsa_cache *c, uint64_t block)
{
    if (!c->config.hashed || c->block_bits == 0)
        return 0;
    return (uint32_t)((block * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - c->block_bits));
}

static inline struct place place_of(const struct clsa_cache *c, uint64_t line)
{
    const uint64_t block = line >> c->block_bits;
    /* block / mids by multiplication: exact while block * mids < 2^64, which the reach ensures */
    const uint64_t tag = c->mids == 1 ? block
                                      : (uint64_t)(((unsigned __int128)block * c->magic) >> 64);
    const uint32_t mid = (uint32_t)(block - tag * c->mids);
    const uint32_t low = (uint32_t)line & ((1u << c->block_bits) - 1);
    return (struct place){mid << c->block_bits | (low ^ swizzle(c, block)), (uint32_t)tag};
}

static inline uint64_t line_of(const struct clsa_cache *c, uint32_t set, uint32_t tag)
{
    const uint64_t block = (uint64_t)tag * c->mids + (set >> c->block_bits);
    const uint32_t low = (set & ((1u << c->block_bits) - 1)) ^ swizzle(c, block);
    return block << c->block_bits | low;
}

static bool power_of_two(uint64_t x)
{
    return x && (x & (x - 1)) == 0;
}

int clsa_cache_create(const struct clsa_cache_config *config, struct clsa_cache **out,
                      struct clsa_err *err)
{
    if (!power_of_two(config->line_bytes) || !power_of_two(config->sector_bytes) ||
        config->sector_bytes > config->line_bytes ||
        config->line_bytes / config->sector_bytes > CLSA_SECTORS_MAX)
        return clsa_fail(err, CLSA_ERANGE,
                         "cache line of %u B in sectors of %u B: powers of two, 1 to %d sectors",
                         config->line_bytes, config->sector_bytes, CLSA_SECTORS_MAX);
    if (config->ways < 1 || config->ways > CLSA_CACHE_WAYS_MAX)
        return clsa_fail(err, CLSA_ERANGE, "cache of %u ways: 1 to %d are modelled", config->ways,
                         CLSA_CACHE_WAYS_MAX);
    const uint64_t sets = config->size_bytes / ((uint64_t)config->line_bytes * config->ways);
    if (sets < 1 || sets > UINT64_C(1) << 26)
        return clsa_fail(err, CLSA_ERANGE,
                         "cache of %llu B in %u ways of %u B lines: 1 to 2^26 sets are modelled",
                         (unsigned long long)config->size_bytes, config->ways, config->line_bytes);
    struct clsa_cache *c = clsa_calloc(1, sizeof *c);
    if (!c)
        return clsa_fail(err, CLSA_ENOMEM, "no memory for a cache");
    c->config = *config;
    c->sets = (uint32_t)sets;
    c->groups = (config->ways + CLSA_LANES - 1) / CLSA_LANES;
    c->lanes = c->groups * CLSA_LANES;
    c->block_bits = (uint32_t)__builtin_ctz(c->sets);
    if (c->block_bits > BLOCK_BITS_MAX)
        c->block_bits = BLOCK_BITS_MAX;
    c->mids = c->sets >> c->block_bits;
    c->magic = c->mids == 1 ? 0 : UINT64_MAX / c->mids + 1;
    c->n_sectors = config->line_bytes / config->sector_bytes;
    c->all_sectors = (1u << c->n_sectors) - 1;
    c->record_bytes = (size_t)c->lanes * 6;
    c->records = clsa_aligned(64, c->sets, c->record_bytes);
    c->hit_bits = clsa_calloc((size_t)c->sets * config->ways / 64 + 1, sizeof *c->hit_bits);
    c->warm_bits = clsa_calloc(c->sets / 64 + 1, sizeof *c->warm_bits);
    if (!c->records || !c->hit_bits || !c->warm_bits) {
        clsa_cache_destroy(c);
        return clsa_fail(err, CLSA_ENOMEM, "no memory for a cache of %llu B",
                         (unsigned long long)config->size_bytes);
    }
    clsa_cache_reset(c);
    *out = c;
    return 0;
}

void clsa_cache_destroy(struct clsa_cache *cache)
{
    if (!cache)
        return;
    free(cache->records);
    free(cache->hit_bits);
    free(cache->warm_bits);
    free(cache);
}

void clsa_cache_flush(struct clsa_cache *c)
{
    for (uint32_t s = 0; s < c->sets; s++) {
        uint32_t *tags = tags_of(c, s);
        uint8_t *ages = ages_of(tags, c->lanes);
        memset(tags, 0xff, c->lanes * sizeof *tags);
        for (uint32_t w = 0; w < c->lanes; w++)
            ages[w] = w < c->config.ways ? (uint8_t)w : CLSA_AGE_PAD;
        memset(ages + c->lanes, 0, c->lanes);
    }
}

void clsa_cache_reset(struct clsa_cache *c)
{
    clsa_cache_flush(c);
    memset(&c->counters, 0, sizeof c->counters);
}

const struct clsa_cache_config *clsa_cache_geometry(const struct clsa_cache *cache)
{
    return &cache->config;
}

const struct clsa_cache_counters *clsa_cache_counts(const struct clsa_cache *cache)
{
    return &cache->counters;
}

uint32_t clsa_cache_sets(const struct clsa_cache *cache)
{
    return cache->sets;
}

uint64_t clsa_cache_reach_bytes(const struct clsa_cache *c)
{
    /* tags below NO_TAG, and blocks below 2^64 / mids for the division by multiplication */
    uint64_t blocks = (uint64_t)(NO_TAG - 1) * c->mids, bytes;
    if (blocks > UINT64_MAX / c->mids)
        blocks = UINT64_MAX / c->mids;
    if (!clsa_mul_u64(blocks, (uint64_t)c->config.line_bytes << c->block_bits, &bytes))
        bytes = UINT64_MAX;
    return bytes;
}

int clsa_cache_sink_create(uint64_t lines, size_t requests, struct clsa_cache_sink *sink,
                           struct clsa_err *err)
{
    struct clsa_cache_sink s = {0};
    /* A stream emits at most a run a line of the cache, and one for each line at its ragged ends,
     * which are shorter than two blocks of at most `lines` lines. */
    if (lines > SIZE_MAX / 8 || !clsa_add_size((size_t)lines * 3 + 8, requests, &s.capacity))
        return clsa_fail(err, CLSA_ENOMEM, "no memory for the misses of a cache");
    s.fetch = clsa_malloc(s.capacity, sizeof *s.fetch);
    s.write = clsa_malloc(s.capacity, sizeof *s.write);
    if (!s.fetch || !s.write) {
        clsa_cache_sink_destroy(&s);
        return clsa_fail(err, CLSA_ENOMEM, "no memory for the misses of a cache");
    }
    *sink = s;
    return 0;
}

void clsa_cache_sink_destroy(struct clsa_cache_sink *sink)
{
    free(sink->fetch);
    free(sink->write);
    *sink = (struct clsa_cache_sink){0};
}

static inline void emit(struct clsa_line_run *runs, size_t *n, size_t capacity, uint64_t line,
                        uint64_t count, uint32_t sectors)
{
    if (*n && runs[*n - 1].line + runs[*n - 1].count == line && runs[*n - 1].sectors == sectors) {
        runs[*n - 1].count += count;
        return;
    }
    assert(*n < capacity);
    (void)capacity;
    runs[(*n)++] = (struct clsa_line_run){line, count, sectors};
}

/* Sectors of a mask: the 16 answers in the digits of one number. */
static inline unsigned sectors_in(uint32_t mask)
{
    return (unsigned)(UINT64_C(0x4332322132212110) >> (4 * (mask & 15)) & 15);
}

static inline int find_way(const uint32_t *tags, uint32_t groups, uint32_t tag)
{
    for (uint32_t g = 0; g < groups; g++) {
        const unsigned m = clsa_lanes_match(tags + g * CLSA_LANES, tag);
        if (m)
            return (int)(g * CLSA_LANES + (uint32_t)__builtin_ctz(m));
    }
    return -1;
}

static inline int oldest_way(const uint8_t *ages, uint32_t groups, uint8_t oldest)
{
    unsigned m = 0;
    uint32_t g = 0;
    while ((m = clsa_lanes_aged(ages + g * CLSA_LANES, oldest)) == 0 && g + 1 < groups)
        g++;
    return (int)(g * CLSA_LANES + (uint32_t)__builtin_ctz(m));
}

static inline unsigned write_back(struct clsa_cache *c, uint32_t set, uint32_t tag, uint32_t flags,
                                  struct clsa_cache_sink *sink)
{
    const uint32_t dirty = flags >> 4;
    emit(sink->write, &sink->n_write, sink->capacity, line_of(c, set, tag), 1, dirty);
    return sectors_in(dirty);
}

/* One lookup; returns the sectors to fetch from below and counts into `n`, which callers keep in
 * registers. `groups` is a parameter so that the common 16-way case compiles to straight code. */
__attribute__((always_inline)) static inline uint32_t
touch(struct clsa_cache *c, struct clsa_cache_counters *n, struct place at, uint32_t groups,
      uint64_t line, uint32_t sectors, bool write, struct clsa_cache_sink *sink)
{
    uint32_t *tags = tags_of(c, at.set);
    uint8_t *ages = ages_of(tags, groups * CLSA_LANES);
    uint8_t *flags = ages + groups * CLSA_LANES;
    const unsigned asked = sectors_in(sectors);
    n->lookups++;
    n->sectors += asked;
    int way = find_way(tags, groups, at.tag);
    uint32_t missing = sectors;
    if (way >= 0) {
        missing = sectors & ~(uint32_t)flags[way];
        n->line_hits++;
        n->sector_hits += asked - sectors_in(missing);
    } else if (!(write && c->config.write_around)) {
        way = oldest_way(ages, groups, (uint8_t)(c->config.ways - 1));
        n->evictions += flags[way] != 0;
        if (flags[way] >> 4)
            n->written_sectors += write_back(c, at.set, tags[way], flags[way], sink);
        tags[way] = at.tag;
        flags[way] = 0;
    }
    if (way >= 0) {
        const uint8_t age = ages[way];
        for (uint32_t g = 0; g < groups; g++)
            clsa_lanes_push(ages + g * CLSA_LANES, age);
        ages[way] = 0;
        flags[way] |= (uint8_t)(sectors | (write && !c->config.write_through ? sectors << 4 : 0));
    }
    if (write && (c->config.write_through || way < 0)) {
        n->written_sectors += asked;
        emit(sink->write, &sink->n_write, sink->capacity, line, 1, sectors);
    }
    if (write && !(c->config.write_fetch && way >= 0))
        return 0;
    n->fetched_sectors += sectors_in(missing);
    return missing;
}

static void count(struct clsa_cache *c, const struct clsa_cache_counters *n)
{
    c->counters.lookups += n->lookups;
    c->counters.line_hits += n->line_hits;
    c->counters.sectors += n->sectors;
    c->counters.sector_hits += n->sector_hits;
    c->counters.fetched_sectors += n->fetched_sectors;
    c->counters.evictions += n->evictions;
    c->counters.written_sectors += n->written_sectors;
}

static inline void prefetch_set(const struct clsa_cache *c, uint32_t set)
{
    const unsigned char *record = c->records + c->record_bytes * set;
    for (size_t i = 0; i + 64 < c->record_bytes; i += 64)
        __builtin_prefetch(record + i, 1);
    __builtin_prefetch(record + c->record_bytes - 1, 1);
}

__attribute__((always_inline)) static inline void
access_groups(struct clsa_cache *c, const struct clsa_line_request *r, size_t n, uint32_t groups,
              bool write, struct clsa_cache_sink *sink)
{
    struct place ring[AHEAD];
    struct clsa_cache_counters counters = {0};
    const size_t lead = n < AHEAD ? n : AHEAD;
    for (size_t i = 0; i < lead; i++) {
        ring[i] = place_of(c, r[i].line);
        prefetch_set(c, ring[i].set);
    }
    for (size_t i = 0; i < n; i++) {
        struct place *slot = &ring[i % AHEAD];
        const struct place at = *slot;
        if (i + AHEAD < n) {
            *slot = place_of(c, r[i + AHEAD].line);
            prefetch_set(c, slot->set);
        }
        const uint32_t missing =
            touch(c, &counters, at, groups, r[i].line, r[i].sectors, write, sink);
        if (missing)
            emit(sink->fetch, &sink->n_fetch, sink->capacity, r[i].line, 1, missing);
    }
    count(c, &counters);
}

void clsa_cache_access(struct clsa_cache *c, const struct clsa_line_request *requests, size_t n,
                       bool write, struct clsa_cache_sink *sink)
{
    if (c->groups != 1)
        access_groups(c, requests, n, c->groups, write, sink);
    else if (write)
        access_groups(c, requests, n, 1, true, sink);
    else
        access_groups(c, requests, n, 1, false, sink);
}

__attribute__((always_inline)) static inline void touch_groups(struct clsa_cache *c, uint64_t first,
                                                               uint64_t n, uint32_t groups,
                                                               bool write,
                                                               struct clsa_cache_sink *sink)
{
    struct clsa_cache_counters counters = {0};
    for (uint64_t line = first; line < first + n; line++) {
        const uint32_t missing =
            touch(c, &counters, place_of(c, line), groups, line, c->all_sectors, write, sink);
        if (missing)
            emit(sink->fetch, &sink->n_fetch, sink->capacity, line, 1, missing);
    }
    count(c, &counters);
}

static void touch_lines(struct clsa_cache *c, uint64_t first, uint64_t n, bool write,
                        struct clsa_cache_sink *sink)
{
    if (c->groups != 1)
        touch_groups(c, first, n, c->groups, write, sink);
    else if (write)
        touch_groups(c, first, n, 1, true, sink);
    else
        touch_groups(c, first, n, 1, false, sink);
}

/* A long stream and what it met. */
struct stream {
    struct clsa_cache *c;
    struct clsa_cache_sink *sink;
    bool write;
    bool any_hit;     /* hit_bits is in use: bit i is set when line base + i was found */
    bool any_partial; /* some line lacked sectors and was emitted out of order */
    uint64_t base;    /* first line of the aligned part of the stream */
    uint64_t warm; /* sets that held all their lines whole: marked in warm_bits, not in hit_bits */
    struct clsa_cache_counters n;
};

/* The lines of the stream that map to one set: tags first .. first + k - 1. */
struct share {
    uint32_t set, first, k;
};

/* All lines miss. `own`: the set holds nothing but lines that this stream wrote, whose write-back
 * it emits as one run. */
__attribute__((always_inline)) static inline void stream_cold(struct stream *s, struct share share,
                                                              uint32_t groups, bool own)
{
    struct clsa_cache *c = s->c;
    uint32_t *tags = tags_of(c, share.set);
    uint8_t *ages = ages_of(tags, groups * CLSA_LANES), *flags = ages + groups * CLSA_LANES;
    const uint32_t ways = c->config.ways, k = share.k;
    const uint32_t own_evicted = own ? k : k > ways ? k - ways : 0;
    const uint8_t from = k >= ways ? 0 : (uint8_t)(ways - k);
    const uint8_t turn = k < ways ? (uint8_t)k : (uint8_t)(k % ways);
    const uint8_t fresh = (uint8_t)(c->all_sectors | (s->write ? c->all_sectors << 4 : 0));
    for (uint32_t base = 0; base < groups * CLSA_LANES; base += CLSA_LANES) {
        const unsigned victims = own ? 0 : clsa_lanes_older(ages + base, from);
        s->n.evictions += clsa_lanes_count(victims & clsa_lanes_any(flags + base, 0xff));
        unsigned dirty = victims & clsa_lanes_any(flags + base, 0xf0);
        for (; dirty; dirty &= dirty - 1) {
            const uint32_t w = base + (uint32_t)__builtin_ctz(dirty);
            s->n.written_sectors += write_back(c, share.set, tags[w], flags[w], s->sink);
        }
        clsa_lanes_turn(tags + base, ages + base, flags + base, (uint8_t)ways, turn, from,
                        share.first + k - 1, fresh);
    }
    s->n.lookups += k;
    s->n.evictions += own_evicted;
    if (s->write)
        s->n.written_sectors += (uint64_t)own_evicted * c->n_sectors;
}

static void mark_hit(struct stream *s, uint32_t set, uint32_t tag)
{
    struct clsa_cache *c = s->c;
    if (!s->any_hit) {
        memset(c->hit_bits, 0, ((size_t)c->sets * c->config.ways / 64 + 1) * sizeof *c->hit_bits);
        s->any_hit = true;
    }
    const uint64_t i = line_of(c, set, tag) - s->base;
    c->hit_bits[i / 64] |= UINT64_C(1) << (i % 64);
}

/* All lines are there whole: they become the youngest, in order; the others keep theirs. */
__attribute__((always_inline)) static inline void stream_warm(struct stream *s, struct share share,
                                                              uint32_t groups)
{
    struct clsa_cache *c = s->c;
    const uint32_t lanes = groups * CLSA_LANES, k = share.k;
    uint32_t *tags = tags_of(c, share.set);
    uint8_t *ages = ages_of(tags, lanes), *flags = ages + lanes;
    if (groups == 1) {
        clsa_lanes_rewarm(tags, ages, share.first, clsa_lanes_range(tags, share.first, k));
    } else {
        uint8_t old[CLSA_CACHE_WAYS_MAX];
        memcpy(old, ages, lanes);
        for (uint32_t w = 0; w < lanes; w++)
            if (tags[w] - share.first < k)
                ages[w] = (uint8_t)(k - 1 - (tags[w] - share.first));
            else if (old[w] != CLSA_AGE_PAD)
                for (uint32_t v = 0; v < lanes; v++)
                    ages[w] = (uint8_t)(ages[w] + (tags[v] - share.first < k && old[v] > old[w]));
    }
    for (uint32_t w = 0; s->write && w < lanes; w++)
        if (tags[w] - share.first < k)
            flags[w] |= (uint8_t)(c->all_sectors << 4);
    c->warm_bits[share.set / 64] |= UINT64_C(1) << (share.set % 64);
    s->warm++;
    s->n.lookups += k;
    s->n.line_hits += k;
}

/* A set that holds some of the lines: one by one until it holds nothing but the stream. */
static void stream_mixed(struct stream *s, struct share share)
{
    struct clsa_cache *c = s->c;
    const uint32_t single = share.k < c->config.ways ? share.k : c->config.ways;
    for (uint32_t i = 0; i < single; i++) {
        const struct place at = {share.set, share.first + i};
        const bool there = find_way(tags_of(c, share.set), c->groups, at.tag) >= 0;
        const uint64_t line = line_of(c, share.set, at.tag);
        const uint32_t missing =
            touch(c, &c->counters, at, c->groups, line, c->all_sectors, s->write, s->sink);
        if (!there)
            continue;
        mark_hit(s, share.set, at.tag);
        if (missing) {
            emit(s->sink->fetch, &s->sink->n_fetch, s->sink->capacity, line, 1, missing);
            s->any_partial = true;
        }
    }
    if (share.k > single)
        stream_cold(s, (struct share){share.set, share.first + single, share.k - single}, c->groups,
                    s->write);
}

/* The tags of the stream in the sets of one mid: q with begin <= q * mids + mid < end. */
static struct share share_of(const struct clsa_cache *c, uint32_t mid, uint64_t begin, uint64_t end)
{
    const uint64_t from = begin > mid ? (begin - mid + c->mids - 1) / c->mids : 0;
    const uint64_t to = (end - mid + c->mids - 1) / c->mids;
    return (struct share){mid << c->block_bits, (uint32_t)from,
                          to > from ? (uint32_t)(to - from) : 0};
}

__attribute__((always_inline)) static inline void stream_sets(struct stream *s, uint64_t begin,
                                                              uint64_t end, uint32_t groups)
{
    struct clsa_cache *c = s->c;
    for (uint32_t mid = 0; mid < c->mids; mid++) {
        struct share share = share_of(c, mid, begin, end);
        for (uint32_t low = 0; share.k && low < 1u << c->block_bits; low++, share.set++) {
            const uint32_t *tags = tags_of(c, share.set);
            const uint8_t *flags = (const uint8_t *)(tags + groups * CLSA_LANES) +
                                   groups * CLSA_LANES;
            uint32_t found = 0, whole = 0;
            for (uint32_t base = 0; base < groups * CLSA_LANES; base += CLSA_LANES) {
                const unsigned m = clsa_lanes_range(tags + base, share.first, share.k);
                if (!m)
                    continue;
                found += clsa_lanes_count(m);
                whole +=
                    clsa_lanes_count(m & clsa_lanes_all(flags + base, (uint8_t)c->all_sectors));
            }
            if (!found)
                stream_cold(s, share, groups, false);
            else if (whole == share.k)
                stream_warm(s, share, groups);
            else
                stream_mixed(s, share);
        }
    }
}

/* Sets that answered everything are marked line by line only when some other set did not. */
static void mark_warm(struct stream *s, uint64_t begin, uint64_t end)
{
    struct clsa_cache *c = s->c;
    for (uint32_t mid = 0; mid < c->mids; mid++) {
        struct share share = share_of(c, mid, begin, end);
        for (uint32_t low = 0; share.k && low < 1u << c->block_bits; low++, share.set++)
            if (c->warm_bits[share.set / 64] >> (share.set % 64) & 1)
                for (uint32_t i = 0; i < share.k; i++)
                    mark_hit(s, share.set, share.first + i);
    }
}

static int by_line(const void *a, const void *b)
{
    const struct clsa_line_run *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Emits the fetches of the aligned part: everything but the lines marked in hit_bits. */
static void stream_fetches(struct stream *s, size_t n_before, uint64_t lines)
{
    struct clsa_cache *c = s->c;
    struct clsa_cache_sink *sink = s->sink;
    const uint64_t room = (uint64_t)c->sets * c->config.ways;
    uint64_t at = 0;
    for (uint64_t i = 0; s->any_hit && i < room / 64 + 1; i++)
        for (uint64_t bits = c->hit_bits[i]; bits; bits &= bits - 1) {
            const uint64_t hit = i * 64 + (uint64_t)__builtin_ctzll(bits);
            if (hit > at)
                emit(sink->fetch, &sink->n_fetch, sink->capacity, s->base + at, hit - at,
                     c->all_sectors);
            at = hit + 1;
        }
    if (lines > at)
        emit(sink->fetch, &sink->n_fetch, sink->capacity, s->base + at, lines - at, c->all_sectors);
    if (s->any_partial)
        qsort(sink->fetch + n_before, sink->n_fetch - n_before, sizeof *sink->fetch, by_line);
}

void clsa_cache_stream(struct clsa_cache *c, uint64_t first, uint64_t n, bool write,
                       struct clsa_cache_sink *sink)
{
    const uint64_t block = UINT64_C(1) << c->block_bits;
    const uint64_t begin = (first + block - 1) >> c->block_bits, end = (first + n) >> c->block_bits;
    if (end < begin + c->mids || (write && (c->config.write_through || c->config.write_around))) {
        touch_lines(c, first, n, write, sink);
        return;
    }
    struct stream s = {.c = c, .sink = sink, .write = write, .base = begin << c->block_bits};
    touch_lines(c, first, s.base - first, write, sink);
    const size_t n_before = sink->n_fetch;
    const bool fetches = !write || c->config.write_fetch;
    memset(c->warm_bits, 0, (c->sets / 64 + 1) * sizeof *c->warm_bits);
    if (c->groups == 1)
        stream_sets(&s, begin, end, 1);
    else
        stream_sets(&s, begin, end, c->groups);
    const uint64_t hits = s.n.line_hits, misses = s.n.lookups - hits;
    s.n.sectors = s.n.lookups * c->n_sectors;
    s.n.sector_hits = hits * c->n_sectors;
    s.n.fetched_sectors = fetches ? misses * c->n_sectors : 0;
    count(c, &s.n);
    if (fetches && s.warm && s.warm < c->sets)
        mark_warm(&s, begin, end);
    if (fetches && s.warm < c->sets)
        stream_fetches(&s, n_before, (end - begin) << c->block_bits);
    const uint64_t kept = (uint64_t)c->config.ways * c->mids;
    if (write && end - begin > kept)
        emit(sink->write, &sink->n_write, sink->capacity, s.base,
             (end - begin - kept) << c->block_bits, c->all_sectors);
    touch_lines(c, end << c->block_bits, first + n - (end << c->block_bits), write, sink);
}

bool clsa_cache_probe(const struct clsa_cache *c, uint64_t line, uint32_t *valid, uint32_t *dirty)
{
    const struct place at = place_of(c, line);
    uint32_t *tags = tags_of(c, at.set);
    const int way = find_way(tags, c->groups, at.tag);
    if (way < 0)
        return false;
    const uint8_t flags = (ages_of(tags, c->lanes) + c->lanes)[way];
    *valid = flags & 15u;
    *dirty = flags >> 4;
    return true;
}

uint32_t clsa_cache_set_lines(const struct clsa_cache *c, uint32_t set, uint64_t *lines)
{
    uint32_t *tags = tags_of(c, set);
    const uint8_t *ages = ages_of(tags, c->lanes);
    uint32_t n = 0;
    for (uint32_t w = 0; w < c->config.ways; w++)
        if (tags[w] != NO_TAG) {
            lines[ages[w]] = line_of(c, set, tags[w]);
            n++;
        }
    return n;
}

uint32_t clsa_cache_set_of(const struct clsa_cache *cache, uint64_t line)
{
    return place_of(cache, line).set;
}

uint64_t clsa_cache_digest(const struct clsa_cache *c)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (uint32_t s = 0; s < c->sets; s++) {
        uint32_t *tags = tags_of(c, s);
        const uint8_t *ages = ages_of(tags, c->lanes), *flags = ages + c->lanes;
        uint64_t by_age[CLSA_CACHE_WAYS_MAX] = {0};
        for (uint32_t w = 0; w < c->config.ways; w++)
            by_age[ages[w]] = (uint64_t)tags[w] << 8 | flags[w];
        for (uint32_t a = 0; a < c->config.ways; a++)
            h = (h ^ by_age[a]) * UINT64_C(0x9E3779B97F4A7C15) + (h >> 29);
    }
    return h;
}
