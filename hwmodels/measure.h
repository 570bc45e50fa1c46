/* Measures the host this runs on and describes it as a machine.
 *
 * Others who use the host only ever make it slower, so every figure is the median of the fastest
 * samples (half of those taken), each about a millisecond long; the fastest sample and the median of all stand
 * beside it. Everything is measured in rounds of some seconds. Of what a core has to itself the best round
 * stands; of what all share and others take for longer than a sample (memory's rate, room in the last cache) the
 * mean of the middle half of the rounds, as it usually was. Rounds of several runs, hours apart or between other work, can be joined.
 * One run takes under a minute. Nothing is written outside memory. */
#ifndef CLSA_HWMODELS_MEASURE_H
#define CLSA_HWMODELS_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/base/status.h"

/* One measured figure. `what` is one of
 *   latency     dependent loads, one a cache line, over footprint_bytes            unit "ns"
 *   loaded      the same while all other threads stream from memory                unit "ns"
 *   read        streaming reads by `threads` over footprint_bytes each, plain or with lines asked
 *               for ahead, whichever is faster; who is fast reads more             unit "GB/s"
 *   unsettled   the same in the first tenth of a second after all caches held other data, where that
 *               makes a difference                                                 unit "GB/s"
 *   once        streaming reads by one thread of footprint_bytes that it reads once while it reads
 *               CLSA_ONCE_PART times as much CLSA_OFTEN_TIMES                      unit "GB/s"
 *   again       streaming reads by `threads` of what lay idle in the last cache for row_bytes us  unit "GB/s"
 *   handed      reads by one thread of what all others just wrote, footprint_bytes each  unit "GB/s"
 *   gather      rows of row_bytes at random places of footprint_bytes              unit "GB/s"
 *   fetch       the same, each row asked for into L2 some rows ahead               unit "GB/s"
 *   fma_f32     float32 multiply-adds in registers                                 unit "GFLOP/s"
 *   mixed       loads, widening and multiply-adds of bfloat16 rows with a vector, from L2; of one
 *               thread alone, and of the fastest of all                            unit "GFLOP/s"
 *   slowest     the slowest thread's rate in that, over the mean of all            unit "-"
 *   first       the rate of the thread that forks, over the mean of all            unit "-"
 *   dot_bf16    bf16 dot products in registers                                     unit "GFLOP/s"
 *   clock       chain of dependent integer adds on every thread                    unit "GHz"
 *   fork_join   one parallel region that hands over a small input and its results  unit "us"
 *   call        one call of a function that does nothing, not inlined              unit "ns"
 * or what the operating system says: size_l1, size_l2, size_l3, line, memory (unit "B"), ways_l1, ways_l2,
 * ways_l3, sharers_l3, tlb_entries, tlb_walkers (unit "-"), huge_pages (1: large blocks get them when they ask; unit
 * "-"), golden_cove (1: cores of that kind; unit "-"); 0: not said. */
struct clsa_measured {
    const char *what;
    uint32_t threads;
    uint64_t footprint_bytes, row_bytes, page_bytes; /* 0 where they mean nothing */
    double value;         /* median of the fastest samples */
    double fastest, usual; /* the fastest sample; the median of all */
    const char *unit;
};

struct clsa_measurement_set {
    struct clsa_measured *rows;
    size_t n_rows;
    char **texts; /* strings of rows that were read */
    size_t n_texts;
};

/* Large last caches learn slowly what comes again: of 134 MiB that a step streams, in 260 MiB of Emerald Rapids, they hold
 * most after 0.3 to 0.5 s. */
#define CLSA_SETTLE_NS UINT64_C(400000000)

/* What is read once beside what is read often: so often, and a quarter as much once. */
#define CLSA_OFTEN_TIMES 8u
#define CLSA_ONCE_PART 4u

struct clsa_measure_options {
    uint32_t threads;       /* 0: all cores */
    uint64_t memory_bytes;  /* largest footprint; 0: 4 GiB, or a third of what is free */
    uint32_t repeats;       /* samples a figure and round; 0: 15 */
    uint32_t rounds;        /* 0: as many as end within 50 seconds, at least one */
    /* NULL, or zeroed: gathers at footprints between those of the set, and of rows of 192 bytes, measured in its rounds,
     * for what is derived from the set to be held against. Release like the set. */
    struct clsa_measurement_set *held_out;
    void (*progress)(void *user, uint32_t done, uint32_t total); /* may be NULL */
    void *user;
};

/* Runs all measurements; every round is rows of its own. Returns 0, CLSA_ENOMEM. Release with clsa_measurement_destroy. */
int clsa_measure_host(const struct clsa_measure_options *options, struct clsa_measurement_set *out,
                      struct clsa_err *err);
void clsa_measurement_destroy(struct clsa_measurement_set *set); /* takes NULL */

/* Looks at how fast `threads` (0: all) compute, stream, fork and join between other work of some milliseconds or
 * more: each look takes some forty, and what was found is of all, as the time of a kernel would be (the median of
 * the faster half, and of each look of the fast samples). Create and look return 0 or CLSA_ENOMEM. */
struct clsa_prober;
struct clsa_probe; /* hwmodels/cpu.h */
int clsa_prober_create(uint32_t threads, struct clsa_prober **out, struct clsa_err *err);
int clsa_prober_look(struct clsa_prober *prober, struct clsa_err *err);
void clsa_prober_found(const struct clsa_prober *prober, struct clsa_probe *out); /* 0 before the first look */
void clsa_prober_destroy(struct clsa_prober *prober); /* takes NULL */

/* The row of a figure nearest to the footprint asked for (what, threads, page and row must match; 0
 * matches any), or NULL. */
const struct clsa_measured *clsa_measured_find(const struct clsa_measurement_set *set,
                                               const char *what, uint32_t threads,
                                               uint64_t footprint_bytes, uint64_t row_bytes,
                                               uint64_t page_bytes);

/* Adds the rows that clsa_measurement_print wrote to a set, zeroed at first. Returns 0, CLSA_ENOTFOUND,
 * CLSA_EFORMAT, CLSA_EIO, CLSA_ENOMEM; the set stays as it was on failure. */
int clsa_measurement_read(const char *path, struct clsa_measurement_set *set, struct clsa_err *err);

/* Makes one row of all that speak of the same figure: of one core's own (up to CLSA_MEASURED_OWN bytes, or without a
 * footprint) the best, of all cores too where it is "mixed" (what others take of it is for probes to find); of what is
 * shared, or what threads do together, the mean (of logarithms) of the faster half, since others only slow; of "again",
 * "slowest" and "first", which ask for what others do, that of the middle half. */
#define CLSA_MEASURED_OWN (UINT64_C(512) << 10)
void clsa_measurement_settle(struct clsa_measurement_set *set);

/* All figures as CSV: what,threads,footprint_bytes,row_bytes,page_bytes,value,fastest,usual,unit. */
void clsa_measurement_print(FILE *out, const struct clsa_measurement_set *set);

struct clsa_machine;
/* Every gather and fetch beside what the CPU model says of it on a machine derived from the set, as CSV:
 * what,threads,footprint_bytes,row_bytes,page_bytes,measured_gbps,predicted_gbps,error_percent. */
void clsa_measurement_gathers(FILE *out, const struct clsa_measurement_set *set,
                              const struct clsa_machine *machine);

/* Fits core.inflight, core.demand, core.rows and tlb.walk of a machine, from the values they have, to all
 * gathers and fetches of the set by the CPU model. Returns how many there are; 0 leaves the machine alone. */
size_t clsa_measurement_fit(struct clsa_machine *machine, const struct clsa_measurement_set *set);

/* A machine file (hwmodels/machine.h) for the host, of all rounds settled: measured figures with spread as their source,
 * sizes from the operating system, the rest marked as estimates. Caches that the system does not
 * describe take common sizes and say so. Returns 0 or CLSA_ENOTFOUND when a needed figure is missing. */
int clsa_measurement_machine(FILE *out, const char *name, const struct clsa_measurement_set *set,
                             struct clsa_err *err);

#endif
