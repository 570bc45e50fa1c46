/* The timing core of CPU kernels.
 *
 * A call is work that `parts` equal units share over threads. Its streams are answered by the level
 * of the memory hierarchy that the bytes since their last use leave them in; each level has a rate
 * a core and memory a rate of its own. Rows at random places are not prefetched: a row waits for
 * its lines, a limited number at once, and for the page walk when the pool is beyond TLB reach.
 * Arithmetic and memory overlap as far as the implementation says. A call over several threads pays
 * one fork and join. */
#ifndef CLSA_HWMODELS_CPU_H
#define CLSA_HWMODELS_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "hwmodels/machine.h"

#define CLSA_CPU_STREAMS 8

struct clsa_cpu_stream {
    int operand;         /* of the op, for whoever fills in distances */
    bool write;
    double bytes;        /* distinct bytes that all threads move together */
    double again_bytes;  /* further reads of the same bytes, answered by the core's own L2 */
    double row_bytes;    /* 0: consecutive; else rows of so many bytes at random places */
    double pool_bytes;   /* what the rows lie in */
    double distance;     /* bytes that came in since the last use, its own too; INFINITY: never */
    /* What a simulation found, instead of pool and distance: parts of `bytes` that L1 and L2, or
     * any cache, answered, and page walks of a row. */
    bool known;
    double in_l2, in_cache, walks;
};

struct clsa_cpu_call {
    double parts;               /* independent units of work; at least 1 */
    double vector_flops, matrix_flops;
    double vector_efficiency, matrix_efficiency; /* of the machine's rates; 0: 1 */
    double memory_efficiency;   /* of streaming rates; 0: 1 */
    double inflight_lines;      /* of one core on random rows; 0: the machine's */
    double overlap;             /* part of the shorter of memory and arithmetic that hides; 0: 1 */
    double fixed_cycles;        /* set-up on each thread */
    unsigned n_streams;
    struct clsa_cpu_stream streams[CLSA_CPU_STREAMS];
};

struct clsa_cpu_time {
    double seconds;
    double arithmetic_seconds, memory_seconds;
    double l1_bytes, l2_bytes, dram_bytes; /* that passed the core, its L2's miss side, memory */
    bool memory_bound;
};

/* Time of a call on `threads` threads (0: one a core), never more than parts. */
void clsa_cpu_call_time(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                        unsigned threads, struct clsa_cpu_time *out);

/* Part of data of that reuse distance that a cache of `size_bytes` still holds: all below nine
 * tenths of the size, none above eleven. */
double clsa_cpu_kept(double distance_bytes, double size_bytes);

/* Seconds of a page walk that a random access to a pool costs on average, nested paging included:
 * the pages beyond the TLB's reach, each with the walk's own cache misses in tlb.walk. */
double clsa_cpu_walk(const struct clsa_machine *machine, double pool_bytes);

#endif
