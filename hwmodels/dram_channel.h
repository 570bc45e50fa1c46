/* Inside hwmodels/dram: one channel's window and banks. Not for other rooms. */
#ifndef CLSA_HWMODELS_DRAM_CHANNEL_H
#define CLSA_HWMODELS_DRAM_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "hwmodels/dram.h"

#define CLSA_ROW_CLOSED (-1)
#define CLSA_DRAM_PENDING                                                                          \
    64                    /* runs that wait for their channel's turn; it takes them all at once */
#define CLSA_DRAM_ACTS 16 /* latest activates remembered; a new one may slip in among the last 12  \
                           */
/* Idle channels start here, so that "long ago" is a time too. */
#define CLSA_DRAM_ORIGIN UINT64_C(1000000000)

struct clsa_dram_bank {
    int64_t row;
    uint64_t act, last_burst; /* times: activate; start of its last burst */
    uint32_t holders;         /* requests in the window that have this row granted */
    uint32_t waiting;         /* requests in the window that want another row */
};

struct clsa_dram_request {
    uint64_t ready; /* when all its rows can be read; valid when waits == 0 */
    int64_t row;
    uint32_t first_bank;  /* bank of lane 0 */
    uint16_t lane, group; /* of its first burst */
    uint16_t bursts;
    uint8_t lanes; /* mask of lanes it touches */
    uint8_t waits; /* of those, lanes whose bank is not granted yet */
};

/* Consecutive local bursts of a channel. */
struct clsa_dram_run {
    uint64_t low, bursts;
};

struct clsa_dram_channel {
    struct clsa_dram_bank *banks;
    uint64_t *groups; /* start of the last burst of each bank group */
    struct clsa_dram_request window[CLSA_DRAM_WINDOW_MAX];
    uint8_t
        order[CLSA_DRAM_WINDOW_MAX]; /* the n slots in use by age, oldest first; then free ones */
    uint32_t n, bursts;              /* in the window */
    uint64_t now;                    /* when the last request left the window */
    uint64_t bus;                    /* when the data bus is free */
    uint64_t first;                  /* start of the first burst of this busy period; 0: none */
    uint64_t acts[CLSA_DRAM_ACTS];   /* ascending */
    uint64_t service;                /* of finished busy periods */
    uint64_t marked;
    uint32_t n_pending;
    struct clsa_dram_run pending[CLSA_DRAM_PENDING];
};

/* What a stream did to one channel. Channels that it finds alike, it leaves alike: with rows open
 * in every bank, none of which the stream touches, or with every bank closed. */
struct clsa_dram_outcome {
    bool valid, closed;
    uint64_t start, bursts; /* first burst's place in its segment; how many */
    uint64_t service;
    struct clsa_dram_counters counters;
};

struct clsa_dram {
    struct clsa_dram_config config;
    struct clsa_dram_counters counters;
    uint32_t lanes;          /* bank groups that consecutive bursts alternate between */
    uint32_t super;          /* banks / lanes: places a segment can be */
    uint32_t super_bits;     /* log2 of it where it is a power of two, else 0 */
    uint32_t segment_bursts; /* lanes * bursts a row */
    uint32_t chunk_bursts;
    uint64_t period_ps; /* of a segment in a long stream; 0: streams are not taken in bulk */
    struct clsa_dram_bank *banks;
    uint64_t *groups;
    struct clsa_dram_channel *channels;
    struct clsa_dram_outcome outcome;
};

/* Forgets when things happened, not which rows are open. */
void clsa_dram_channel_idle(const struct clsa_dram *d, struct clsa_dram_channel *ch);
/* Puts one request (1 or more bursts of one segment, from `lane` on, whose lane 0 lies in
 * first_bank) into the window, after serving what it has no room for. */
void clsa_dram_channel_push(struct clsa_dram *d, struct clsa_dram_channel *ch, uint32_t first_bank,
                            int64_t row, uint32_t lane, uint32_t bursts);
/* Serves all, adds the busy period to the service time, and goes idle. */
void clsa_dram_channel_finish(struct clsa_dram *d, struct clsa_dram_channel *ch);

/* The bank of a lane of a segment: lanes are neighbouring bank groups. */
static inline struct clsa_dram_bank *clsa_dram_lane_bank(const struct clsa_dram_channel *ch,
                                                         uint32_t first_bank, uint32_t lane)
{
    return &ch->banks[first_bank + lane];
}

/* The lanes that `bursts` consecutive bursts touch. */
static inline uint32_t clsa_dram_lane_mask(const struct clsa_dram *d, uint32_t lane,
                                           uint64_t bursts)
{
    uint32_t mask = 0;
    for (uint64_t i = 0; i < bursts && i < d->lanes; i++)
        mask |= 1u << ((lane + i) % d->lanes);
    return mask;
}

#endif
