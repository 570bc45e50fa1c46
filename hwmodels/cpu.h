/* The timing core of CPU kernels.
 *
 * A call is work that `parts` equal units share over threads. Its streams are answered by the level of
 * the memory hierarchy that the bytes since their last use leave them in; each level has a rate a core
 * and memory a rate of its own. Rows at random places are not foreseen by the prefetchers: the first line
 * of a row waits for the level that answers, a limited number at once, and for page walks where the pool
 * is beyond TLB reach; the lines behind it follow at the rate of rows. Arithmetic and memory overlap as
 * far as the implementation says, the better the shorter one of them is. A call of several parts pays one fork and
 * join, and its last part waits for the slowest thread. */
#ifndef CLSA_HWMODELS_CPU_H
#define CLSA_HWMODELS_CPU_H

#include <stdbool.h>
#include <stddef.h>
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
    /* The first bytes that each thread reads, which no prefetch foresaw: they come like random rows of so many
     * bytes, before the arithmetic; by plain loads, or as the call says where the stream is of random rows. */
    double cold_bytes, cold_row_bytes;
    bool handed;         /* written by all threads just before: who reads it alone has only his part near */
    double distance;     /* bytes that came in since the last use, its own too; INFINITY: never */
    double age;          /* seconds since the last use: time for others to fill the last cache */
    /* What a simulation found, instead of pool and distance: parts of `bytes` that L1 and L2, or
     * any cache, answered, and page walks of a row. */
    bool known;
    double in_l2, in_cache, walks;
};

struct clsa_cpu_call {
    double parts;               /* independent units of work, the last may be a part; at least 1 */
    double share;               /* above 0: threads take several units at a time, at most so many once
                                 * most is done, and half a thread's due of few units */
    double first;               /* with `share`: part of its due that a thread takes before it shares */
    double vector_flops, matrix_flops;
    double vector_efficiency, matrix_efficiency; /* of the machine's rates; 0: 1 */
    double memory_efficiency;   /* of what comes from memory; 0: 1 */
    double inflight_lines;      /* of one core on random rows; 0: the machine's */
    bool demand;                /* rows are not prefetched by the kernel: plain loads */
    double row_cycles;          /* of the loop around a random row */
    double apart;               /* part of the arithmetic that another thread of the core does not slow */
    double exposed;             /* of memory a and arithmetic b: (a^p + b^p)^(1/p), p = 1 / exposed; 0: the longer of
                                 * both, 1: they take turns */
    double cycles;              /* further arithmetic of all threads together, in cycles of one core */
    double fixed_cycles;        /* set-up before the first part */
    double tail_cycles;         /* on one thread after the last part (joining parts) */
    double part_bytes;          /* that a part leaves for whoever joins it to others; 0: nothing is joined */
    double unsettled;           /* how far the last cache is from having learnt what comes again: 0 to 1 */
    unsigned n_streams;
    struct clsa_cpu_stream streams[CLSA_CPU_STREAMS];
};

struct clsa_cpu_time {
    double seconds;
    double arithmetic_seconds, memory_seconds;
    double l1_bytes, l2_bytes, dram_bytes; /* that passed the core, its L2's miss side, memory */
    bool memory_bound;
};

/* Threads that work where so many were asked for (0: one a core): never more than cores. */
double clsa_cpu_threads(const struct clsa_machine *machine, unsigned asked);

/* Time of a call on `threads` threads (as asked for), never more than parts. */
void clsa_cpu_call_time(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                        unsigned threads, struct clsa_cpu_time *out);

/* Part of data of that reuse distance that a cache of `size_bytes` still holds: all below 1 - edge of the
 * size, none above 1 + edge, a straight line between. A core's own L2 is close to LRU; a large last cache
 * of hashed slices, filled by what L2s evict and by others, is not. */
#define CLSA_CPU_EDGE_L2 0.1
#define CLSA_CPU_EDGE_L3 0.6
double clsa_cpu_kept(double distance_bytes, double size_bytes, double edge);

/* The same of the last cache within a step, whose many streams keep less of it than loops over one footprint
 * do, from which its size was measured. Fitted with implementations/native.csv. 0 without one. */
#define CLSA_CPU_STEP_L3 0.7
double clsa_cpu_kept_l3(const struct clsa_machine *machine, double distance_bytes);

/* Footprints of so many last caches are in memory but for a few percent. */
#define CLSA_CPU_CACHES_FAR 4

/* Part of what the last cache held that is left after `seconds` in which others brought l3.foreign bytes a
 * second into it, which replace lines at random. 1 without others. */
double clsa_cpu_left(const struct clsa_machine *machine, double seconds);

/* The distance that a last cache goes by: of `traffic` bytes that came from beyond L2 since a use, those that came again
 * count by l3.churn beside the distinct ones. */
double clsa_cpu_churned(const struct clsa_machine *machine, double distance_bytes, double traffic_bytes);

/* Where data is found that was last used some time ago, and what that means. */
struct clsa_cpu_place {
    double in_l2, in_cache; /* parts of single loads that L2, and that any cache answers */
    double dram;            /* part of a stream that comes from memory */
    double latency;         /* seconds of a dependent load, page walks aside */
    double since, foreign, threads; /* by curves: bytes since, of one thread and of others; 0 otherwise */
    double read;            /* seconds a byte of one thread that streams it */
};

/* Finds it from the distinct bytes that `threads` together touched since, its own too, and the seconds: by the
 * machine's curves where it has them, else from its sizes, rates and latencies. */
void clsa_cpu_place_find(const struct clsa_machine *machine, double distance_bytes, double age_seconds,
                         double threads, struct clsa_cpu_place *out);

/* Seconds of page walks that a row at a random place of a pool costs on average. A page beyond the TLB's
 * reach costs tlb.walk (times tlb.nested) and the read of its entry in the last table, which lies where
 * the rows and entries read since its line's last use leave it; under a hypervisor that holds memory in
 * smaller pages the host's table is read as well, and its pages bound the TLB's reach. */
double clsa_cpu_walk(const struct clsa_machine *machine, double pool_bytes, double row_bytes);

/* Seconds of one core on one of `rows` rows (INFINITY: again and again) of `row_bytes` at random places of a pool: as
 * measured where the machine has curves of that, else with walks of walk_seconds. Of `call` the members about random
 * rows count. */
double clsa_cpu_row(const struct clsa_machine *machine, const struct clsa_cpu_call *call,
                    double row_bytes, double rows, const struct clsa_cpu_place *at, double pool_bytes,
                    double walk_seconds);

/* What short looks at the host found, of all threads that looked together. 0: not looked at. Each streams over so many
 * bytes: three footprints in and around last caches, and at least the fourth beyond them: all threads together over at
 * least four last caches. */
#define CLSA_PROBE_STREAMS 4
extern const double clsa_probe_stream_bytes[CLSA_PROBE_STREAMS];
/* A look waits so long beside what it has read and reads it again: large last caches lose nothing for milliseconds and
 * then all of it. */
#define CLSA_PROBE_IDLES 2
extern const unsigned clsa_probe_idle_us[CLSA_PROBE_IDLES];
#define CLSA_PROBE_IDLE_BYTES (UINT64_C(4) << 20) /* of each thread: beyond its L2, inside a last cache */
struct clsa_probe {
    double flops;      /* a second, of vector.mixed */
    double stream[CLSA_PROBE_STREAMS]; /* bytes a second */
    double fork_join;  /* seconds of a parallel region */
    double handed;     /* bytes a second that one thread reads of what the others just wrote */
    double slowest;    /* of the threads' rates, over their mean */
    double first;      /* of the thread that works where one does, over the mean */
    double kept[CLSA_PROBE_IDLES]; /* parts of 4 MiB a thread that caches still have after those waits */
};

/* What is left of a footprint after seconds idle. */
struct clsa_cpu_idle {
    double seconds, kept;
};

/* Bytes a second that others bring into the last cache if so much of `bytes` a thread is left after each of n >= 1
 * waits: as many as make streams find that much less of it, by the machine's curve of them, which was measured beside
 * l3.foreign (0: beside as many); without one, by the size of the cache and random replacement. At least
 * CLSA_CPU_FOREIGN_LEAST, since fewer cannot be told from none. */
#define CLSA_CPU_FOREIGN_LEAST 1e8
double clsa_cpu_foreign(const struct clsa_machine *machine, double threads, double bytes,
                        const struct clsa_cpu_idle *idle, unsigned n);

/* The part of a footprint that the last cache kept while it lay idle, from rates of sweeps right after another, after
 * the wait, and from memory. Between 0.02 and 1. */
double clsa_cpu_kept_found(double near, double idle, double memory);

/* The members as columns of tables ("probe_" and the name where they stand beside other columns): value times unit is
 * in base units. */
struct clsa_probe_figure {
    const char *name;
    size_t offset;
    double unit;
    int decimals;
};
#define CLSA_PROBE_FIGURES 11
extern const struct clsa_probe_figure clsa_probe_figures[CLSA_PROBE_FIGURES];
double clsa_probe_get(const struct clsa_probe *probe, int figure); /* in the column's unit */
void clsa_probe_set(struct clsa_probe *probe, int figure, double value);

/* The parts of a machine's figures that `threads` found: parameters that end in share, and their values. Memory's is what
 * the looks beyond last caches and around their end say together, which scatter more than ops do. Caches that nobody
 * looked at give as much as the core, or what lies between that and memory; the rest is as measured. */
#define CLSA_CPU_SHARES 10
struct clsa_cpu_share {
    enum clsa_machine_parameter parameter;
    double value;
};
void clsa_cpu_shares(const struct clsa_machine *machine, unsigned threads, const struct clsa_probe *probe,
                     struct clsa_cpu_share out[CLSA_CPU_SHARES]);
/* Sets all of them so that the machine is as `threads` found; its own figures stay. Returns 0 or CLSA_ENOMEM. */
int clsa_cpu_as_found(struct clsa_machine *machine, unsigned threads, const struct clsa_probe *probe);

/* Bytes a second that `threads` gather in rows at random places of `footprint_bytes`, over and over, from
 * pages of `page_bytes`: each row is found in a cache for the part of the footprint that the cache holds
 * beside what others bring into it. `demand`: rows are not prefetched. */
double clsa_cpu_gather(const struct clsa_machine *machine, double footprint_bytes, double row_bytes,
                       double page_bytes, unsigned threads, bool demand);

#endif
