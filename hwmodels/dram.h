/* DRAM: channels, bank groups, banks with open rows, and the timings between their commands.
 *
 * Mapping. Bytes are dealt to channels `interleave_bytes` at a time; each round over all channels
 * starts at a hashed channel, so that no stride misses some of them. Within a channel, consecutive
 * bursts go to the fewest bank groups that keep the data bus full (tCCD_L over the burst time), and
 * rows of those lanes form a segment. Segments walk the banks with a skew (the digit sum of the
 * segment's number), so that two consecutive segments never share a bank and large strides spread.
 *
 * Service. Requests (consecutive bursts of one segment) are always there when a channel can take
 * them: a channel's window holds up to `window` bursts, and of those whose rows are open the one
 * that can start first is served, the oldest among equals; a request whose row is open already
 * passes older ones that wait for the bank. Activates are issued ahead as the window allows, under
 * tRRD, tFAW, tRAS, tRP and tRCD. A channel's service time runs from its first burst to the end of
 * its last between two calls of clsa_dram_finish, so that it holds bandwidth and not the latency of
 * the first access. Reads and writes cost the same; turn-arounds are not modelled. Refresh takes
 * tRFC out of every tREFI evenly (clsa_dram_wall_ps) and leaves rows open. Times are integer
 * picoseconds. */
#ifndef CLSA_HWMODELS_DRAM_H
#define CLSA_HWMODELS_DRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "hwmodels/access.h"
#include "hwmodels/machine.h"
#include "sim/base/status.h"

#define CLSA_DRAM_WINDOW_MAX 64
#define CLSA_DRAM_LANES_MAX 8

struct clsa_dram_config {
    uint32_t channels, banks, bank_groups; /* banks: of a channel, a multiple of bank_groups */
    uint32_t row_bytes, burst_bytes, interleave_bytes; /* multiples of a burst */
    uint32_t window;                       /* bursts, 1 .. CLSA_DRAM_WINDOW_MAX */
    uint32_t burst_ps;                     /* one burst on the data bus */
    uint32_t trcd_ps, trp_ps, tcl_ps, tras_ps, trrd_ps, tfaw_ps;
    uint32_t tccd_l_ps; /* burst to burst within a bank group; at most burst_ps: no constraint */
    uint32_t trefi_ps, trfc_ps;
};

struct clsa_dram_counters {
    uint64_t requests; /* cut at channel and segment boundaries */
    uint64_t bursts;
    uint64_t activates; /* bursts - activates found their row open */
    uint64_t read_bytes, write_bytes; /* whole bursts */
};

struct clsa_dram;

/* What a machine's dram.* parameters say. The window is 64 bursts: an estimate, controllers queue
 * some tens of bursts a channel (DRAMsim3, Li et al. 2020, has 32 by default). */
void clsa_dram_config_of(const struct clsa_machine *machine, struct clsa_dram_config *out);

/* All rows closed, nothing under way. Returns 0, CLSA_ERANGE (a shape that cannot be) or
 * CLSA_ENOMEM. */
int clsa_dram_create(const struct clsa_dram_config *config, struct clsa_dram **out,
                     struct clsa_err *err);
void clsa_dram_destroy(struct clsa_dram *dram); /* takes NULL */
void clsa_dram_reset(struct clsa_dram *dram);

/* Queues bytes address .. address + bytes - 1, widened to whole bursts, and serves what the windows
 * have no room for. */
void clsa_dram_access(struct clsa_dram *dram, uint64_t address, uint64_t bytes, bool write);
/* Serves everything queued. What comes later starts on idle banks that keep their open rows. */
void clsa_dram_finish(struct clsa_dram *dram);
/* finish, access, finish, with cost bounded by the number of banks: counters, service times and
 * open rows are those of the three calls. */
void clsa_dram_stream(struct clsa_dram *dram, uint64_t address, uint64_t bytes, bool write);

const struct clsa_dram_counters *clsa_dram_counts(const struct clsa_dram *dram);
const struct clsa_dram_config *clsa_dram_geometry(const struct clsa_dram *dram);
/* Service time of the busiest channel since the last call of clsa_dram_mark (or creation): the time
 * that the traffic in between takes at least. Call clsa_dram_finish first. */
uint64_t clsa_dram_service_ps(const struct clsa_dram *dram);
void clsa_dram_mark(struct clsa_dram *dram);
/* Service time with refresh: service * tREFI / (tREFI - tRFC). */
uint64_t clsa_dram_wall_ps(const struct clsa_dram *dram, uint64_t service_ps);
/* First command to last data of one access to an idle channel: tCL + burst with its row open,
 * + tRCD with the bank closed, + tRP with another row open. */
uint64_t clsa_dram_latency_ps(const struct clsa_dram *dram, uint64_t address);
/* A number made of all open rows and service times. */
uint64_t clsa_dram_digest(const struct clsa_dram *dram);

/* Closed forms that the model is held against. Bytes a second without refresh. */
double clsa_dram_peak(const struct clsa_dram_config *config);
/* Random rows of `bytes` (at most interleave_bytes) spread evenly over the banks: bounded by the
 * bus, by activates (one a tRRD, four a tFAW) and by the banks (one activate a bank each tRAS + tRP
 * or the time it takes to read). */
double clsa_dram_random(const struct clsa_dram_config *config, uint32_t bytes);

#endif
