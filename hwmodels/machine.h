/* A machine: what silicon is, read from CSV rows `parameter,value,unit,source`.
 *
 * One table below names every parameter. A file may start from another machine by a row `base`;
 * rows of the file itself win over inherited ones, and overrides (`--set name=value`) win over
 * both. Unknown, repeated, missing and impossible parameters are errors with file and line. Values
 * are held in base units: bytes, bytes/s, Hz, s, FLOP/s, cycles, counts.
 *
 * Hardware only: how software uses it is hwmodels/implementation.h. */
#ifndef CLSA_HWMODELS_MACHINE_H
#define CLSA_HWMODELS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "sim/base/status.h"
#include "sim/base/units.h"

enum clsa_machine_kind { CLSA_MACHINE_GPU = 1, CLSA_MACHINE_CPU = 2 };

/* Who needs a parameter: both kinds, one kind, or optional there (the default applies). */
#define CLSA_NEED_GPU 1u
#define CLSA_NEED_CPU 2u
#define CLSA_MAY_GPU 4u
#define CLSA_MAY_CPU 8u
#define CLSA_NEED_BOTH (CLSA_NEED_GPU | CLSA_NEED_CPU)
#define CLSA_MAY_BOTH (CLSA_MAY_GPU | CLSA_MAY_CPU)

/* X(field, "name", dimension, need, default, least, most, "what it is") */
#define CLSA_MACHINE_TABLE(X)                                                                      \
    /* GPU compute */                                                                              \
    X(sm_count, "sm.count", COUNT, CLSA_NEED_GPU, 0, 1, 4096, "streaming multiprocessors or CUs")  \
    X(sm_clock, "sm.clock", HZ, CLSA_NEED_GPU, 0, 1e6, 1e10, "clock while a kernel runs")          \
    X(sm_threads, "sm.threads", COUNT, CLSA_NEED_GPU, 0, 32, 65536, "resident threads an SM")      \
    X(sm_blocks, "sm.blocks", COUNT, CLSA_NEED_GPU, 0, 1, 1024, "resident thread blocks an SM")    \
    X(sm_smem, "sm.smem", BYTES, CLSA_NEED_GPU, 0, 1024, 1e9, "shared memory an SM")               \
    X(sm_l2_bandwidth, "sm.l2_bandwidth", BYTES_PER_CYCLE, CLSA_NEED_GPU, 0, 1, 4096,              \
      "bytes an SM takes from L2 a cycle")                                                         \
    X(tensor_bf16, "tensor.bf16", FLOPS, CLSA_NEED_GPU, 0, 1e9, 1e18, "dense bf16 matrix peak")    \
    X(tensor_fp8, "tensor.fp8", FLOPS, CLSA_MAY_GPU, 0, 0, 1e18, "dense fp8 peak; 0: none")        \
    X(tensor_fp4, "tensor.fp4", FLOPS, CLSA_MAY_GPU, 0, 0, 1e18, "dense fp4 peak; 0: none")        \
    X(tensor_sustained, "tensor.sustained", COUNT, CLSA_MAY_GPU, 1, 0.05, 1,                       \
      "part of the matrix peak that long kernels hold under the power limit")                      \
    X(tensor_async, "tensor.async", COUNT, CLSA_MAY_GPU, 0, 0, 2,                                  \
      "1: matrix units read shared memory by themselves and tiles are multicast to a cluster of "  \
      "SMs (wgmma), so kernels are persistent; 2: and sums have a memory of their own (tcgen05), " \
      "so that a tile leaves while the next one is multiplied; 0: warps load operands (mma.sync)") \
    X(vector_fp32, "vector.fp32", FLOPS, CLSA_NEED_BOTH, 0, 1e6, 1e16,                             \
      "float32 peak outside matrix units, all SMs or all cores; multiply-add counts two")          \
    X(special_rate, "special.rate", COUNT_PER_CYCLE, CLSA_MAY_GPU, 16, 1, 1024,                    \
      "exponentials and the like an SM finishes a cycle")                                          \
    /* CPU compute */                                                                              \
    X(vector_mixed, "vector.mixed", FLOPS, CLSA_MAY_CPU, 0, 0, 1e16,                               \
      "all cores on bf16 rows times a vector, near the core: loads, widening, multiply-adds; 0: not known") \
    X(vector_mixed_one, "vector.mixed_one", FLOPS, CLSA_MAY_CPU, 0, 0, 1e15,                       \
      "the same of one thread alone")                                                              \
    X(vector_one, "vector.fp32_one", FLOPS, CLSA_MAY_CPU, 0, 0, 1e15,                              \
      "vector.fp32 of one core alone, where threads share cores; 0: an equal part at its clock")   \
    X(core_count, "core.count", COUNT, CLSA_NEED_CPU, 0, 1, 65536, "physical cores")               \
    X(core_clock, "core.clock", HZ, CLSA_NEED_CPU, 0, 1e6, 1e11, "clock with all cores busy")      \
    X(core_clock_one, "core.clock_one", HZ, CLSA_MAY_CPU, 0, 0, 1e11,                              \
      "clock with one core busy; 0: as core.clock")                                                \
    X(core_inflight, "core.inflight", COUNT, CLSA_NEED_CPU, 0, 1, 4096,                            \
      "cache lines of one core that may be outstanding beyond L1 (line-fill buffers)")             \
    X(core_demand, "core.demand", COUNT, CLSA_MAY_CPU, 0, 0, 4096,                                 \
      "lines that plain loads keep outstanding (reorder window); 0: as core.inflight")             \
    X(core_share, "core.share", COUNT, CLSA_MAY_CPU, 1, 0.01, 10,                                  \
      "part of its arithmetic that a core has now (others on the same core take the rest)")        \
    X(core_slowest, "core.slowest", COUNT, CLSA_MAY_CPU, 1, 0.01, 1,                               \
      "arithmetic rate of the slowest core over the mean of all: guests share cores with others")  \
    X(core_slowest_share, "core.slowest_share", COUNT, CLSA_MAY_CPU, 1, 0.01, 100,                 \
      "part of that now")                                                                          \
    X(core_first_share, "core.first_share", COUNT, CLSA_MAY_CPU, 1, 0.01, 100,                     \
      "rate of the core whose thread works where only one does, over the mean of all, now")        \
    X(core_handed, "core.handed", BYTES_PER_S, CLSA_MAY_CPU, 0, 0, 1e13,                           \
      "bytes a second one core reads of what others just wrote; 0: as from memory")                \
    X(core_handed_share, "core.handed_share", COUNT, CLSA_MAY_CPU, 1, 0.01, 100,                   \
      "part of that rate now: guests are moved to cores that lie closer or farther")               \
    X(core_loads, "core.loads", COUNT, CLSA_MAY_CPU, 32, 1, 4096,                                  \
      "lines that may wait behind page walks at once")                                             \
    X(core_stream, "core.stream", BYTES_PER_S, CLSA_NEED_CPU, 0, 1e6, 1e13,                        \
      "bytes a second one core streams from DRAM with the hardware prefetchers, huge pages")       \
    X(core_rows, "core.rows", BYTES_PER_S, CLSA_MAY_CPU, 0, 0, 1e13,                               \
      "bytes a second one core fetches from DRAM within rows at random places, beyond a row's "    \
      "first line; 0: each line waits like the first")                                             \
    X(core_page_break, "core.page_break", SECONDS, CLSA_MAY_CPU, 0, 0, 1e-5,                       \
      "what a stream loses where it enters the next page")                                         \
    X(matrix_bf16, "matrix.bf16", FLOPS, CLSA_MAY_CPU, 0, 0, 1e17,                                 \
      "bf16 dot-product or matrix-unit peak, all cores; 0: none")                                  \
    X(fork_join, "fork_join", SECONDS, CLSA_MAY_CPU, 5e-6, 0, 1e-2,                                \
      "one parallel region: waking threads, handing them a small input, waiting for the last")                          \
    X(fork_join_one, "fork_join.one", SECONDS, CLSA_MAY_CPU, 0, 0, 1e-2,                           \
      "a parallel region of one thread")                                                           \
    X(fork_share, "fork_join.share", COUNT, CLSA_MAY_CPU, 1, 0.01, 100,                            \
      "how long a parallel region takes now, as a part of what it took when measured")             \
    X(call_cost, "call.cost", SECONDS, CLSA_MAY_CPU, 2e-7, 0, 1e-3, "one kernel call on one core") \
    /* caches */                                                                                   \
    X(l1_size, "l1.size", BYTES, CLSA_NEED_BOTH, 0, 256, 1e9, "L1 data cache an SM or core")       \
    X(l1_line, "l1.line", BYTES, CLSA_MAY_BOTH, 0, 0, 4096, "line; 0: as L2")                      \
    X(l1_ways, "l1.ways", COUNT, CLSA_MAY_BOTH, 4, 1, 4096, "associativity")                       \
    X(l1_latency, "l1.latency", CYCLES, CLSA_NEED_BOTH, 0, 1, 1e5, "dependent load, L1 hit")       \
    X(l1_bandwidth, "l1.bandwidth", BYTES_PER_CYCLE, CLSA_NEED_BOTH, 0, 1, 1e5,                    \
      "bytes a cycle from L1 or shared memory, each SM or core")                                   \
    X(l2_size, "l2.size", BYTES, CLSA_NEED_BOTH, 0, 256, 1e13, "whole L2 (GPU); L2 a core (CPU)")  \
    X(l2_partitions, "l2.partitions", COUNT, CLSA_MAY_GPU, 1, 1, 64,                               \
      "parts of the L2; an SM reads through its own, so shared data is held in each")              \
    X(l2_line, "l2.line", BYTES, CLSA_NEED_BOTH, 0, 16, 4096, "line (tag granularity)")            \
    X(l2_sector, "l2.sector", BYTES, CLSA_MAY_BOTH, 0, 0, 4096, "fill granularity; 0: a line")     \
    X(l2_ways, "l2.ways", COUNT, CLSA_NEED_BOTH, 0, 1, 65536, "associativity")                     \
    X(l2_latency, "l2.latency", CYCLES, CLSA_NEED_BOTH, 0, 1, 1e6, "dependent load, L2 hit")       \
    X(l2_far_latency, "l2.far_latency", CYCLES, CLSA_MAY_GPU, 0, 0, 1e6,                           \
      "dependent load, hit in the other partition; 0: as near")                                    \
    X(l2_bandwidth, "l2.bandwidth", BYTES_PER_S, CLSA_NEED_GPU, 0, 1e9, 1e16,                      \
      "bytes a second the whole L2 delivers on hits")                                              \
    X(l2_core_bandwidth, "l2.core_bandwidth", BYTES_PER_CYCLE, CLSA_NEED_CPU, 0, 0.1, 4096,        \
      "bytes a cycle one core streams from its L2")                                                \
    X(l3_size, "l3.size", BYTES, CLSA_MAY_BOTH, 0, 0, 1e13,                                        \
      "one L3 slice group (CPU) or the memory-side cache (GPU); 0: none")                          \
    X(l3_cores, "l3.cores", COUNT, CLSA_MAY_CPU, 0, 0, 65536, "cores that share one L3; 0: all")   \
    X(l3_ways, "l3.ways", COUNT, CLSA_MAY_BOTH, 16, 1, 65536, "associativity")                     \
    X(l3_latency, "l3.latency", CYCLES, CLSA_MAY_BOTH, 0, 0, 1e6, "dependent load, L3 hit")        \
    X(l3_foreign_share, "l3.foreign_share", COUNT, CLSA_MAY_CPU, 1, 0.01, 100,                     \
      "how much others bring into the L3 now, as a part of l3.foreign")                            \
    X(stream_share_8m, "stream.share_8m", COUNT, CLSA_MAY_CPU, 1, 0.01, 10,                        \
      "part of the rate of streams over 8 MiB a thread, from caches, that a core has now")         \
    X(stream_share_16m, "stream.share_16m", COUNT, CLSA_MAY_CPU, 1, 0.01, 10,                      \
      "the same over 16 MiB")                                                                      \
    X(stream_share_32m, "stream.share_32m", COUNT, CLSA_MAY_CPU, 1, 0.01, 10,                      \
      "the same over 32 MiB, about where last caches end; beyond, dram.share follows")             \
    X(l3_bandwidth, "l3.bandwidth", BYTES_PER_S, CLSA_MAY_GPU, 0, 0, 1e16,                         \
      "bytes a second of the memory-side cache")                                                   \
    X(l3_core_bandwidth, "l3.core_bandwidth", BYTES_PER_CYCLE, CLSA_MAY_CPU, 8, 0.1, 4096,         \
      "bytes a cycle one core streams from L3")                                                    \
    X(l3_foreign, "l3.foreign", BYTES_PER_S, CLSA_MAY_CPU, 0, 0, 1e13,                             \
      "bytes a second that others (guests of the same host) bring into the L3")                    \
    X(l3_churn, "l3.churn", COUNT, CLSA_MAY_CPU, 0, 0, 1,                                          \
      "part of bytes read again from beyond L2 that push out what is read less often")             \
    /* memory */                                                                                   \
    X(dram_size, "dram.size", BYTES, CLSA_NEED_BOTH, 0, 1024, 1e16, "capacity")                    \
    X(dram_bandwidth, "dram.bandwidth", BYTES_PER_S, CLSA_NEED_BOTH, 0, 1e6, 1e16, "pin peak")     \
    X(dram_stream, "dram.stream", COUNT, CLSA_MAY_BOTH, 0.92, 0.05, 1,                             \
      "part of the peak that long streaming reads reach")                                          \
    X(dram_share, "dram.share", COUNT, CLSA_MAY_CPU, 1, 0.01, 10,                                  \
      "part of the memory's rate that others leave now")                                           \
    X(look_far, "look.far", COUNT, CLSA_MAY_CPU, 0.5, 0, 4,                                        \
      "power by which ops follow what looks at memory find (fitted on Zen 5)")                     \
    X(look_edge, "look.edge", COUNT, CLSA_MAY_CPU, 0.3, 0, 4,                                      \
      "power by which what streams from memory follows the look at 32 MiB (fitted on Zen 5)")      \
    X(dram_random, "dram.random", COUNT, CLSA_MAY_CPU, 1, 0.01, 1,                                 \
      "part of the peak that rows at random places reach, all cores together")                     \
    X(dram_mixed, "dram.mixed", COUNT, CLSA_MAY_BOTH, 0.75, 0.05, 1,                               \
      "part of the peak that equal reads and writes reach together")                               \
    X(dram_latency, "dram.latency", SECONDS, CLSA_NEED_BOTH, 0, 1e-9, 1e-4,                        \
      "dependent load that misses every cache, TLB warm, memory idle")                             \
    X(dram_loaded, "dram.loaded", COUNT, CLSA_MAY_BOTH, 1.5, 1, 10,                                \
      "factor on dram.latency near full bandwidth")                                                \
    X(dram_channels, "dram.channels", COUNT, CLSA_NEED_BOTH, 0, 1, 65536,                          \
      "independent channels (pseudo channels of HBM, sub channels of DDR5)")                       \
    X(dram_burst, "dram.burst", BYTES, CLSA_NEED_BOTH, 0, 8, 4096, "bytes of one access")          \
    X(dram_interleave, "dram.interleave", BYTES, CLSA_MAY_BOTH, 256, 8, 1048576,                   \
      "consecutive bytes that go to one channel")                                                  \
    X(dram_banks, "dram.banks", COUNT, CLSA_NEED_BOTH, 0, 1, 4096, "banks a channel")              \
    X(dram_bank_groups, "dram.bank_groups", COUNT, CLSA_MAY_BOTH, 4, 1, 256, "groups of banks")    \
    X(dram_row, "dram.row", BYTES, CLSA_NEED_BOTH, 0, 64, 1048576, "row (page) of a bank")         \
    X(dram_trcd, "dram.trcd", SECONDS, CLSA_NEED_BOTH, 0, 1e-10, 1e-6, "activate to read")         \
    X(dram_trp, "dram.trp", SECONDS, CLSA_NEED_BOTH, 0, 1e-10, 1e-6, "precharge")                  \
    X(dram_tcl, "dram.tcl", SECONDS, CLSA_NEED_BOTH, 0, 1e-10, 1e-6, "read to first data")         \
    X(dram_tras, "dram.tras", SECONDS, CLSA_NEED_BOTH, 0, 1e-10, 1e-5, "activate to precharge")    \
    X(dram_trrd, "dram.trrd", SECONDS, CLSA_MAY_BOTH, 4e-9, 0, 1e-6, "activate to activate")       \
    X(dram_tfaw, "dram.tfaw", SECONDS, CLSA_MAY_BOTH, 1.6e-8, 0, 1e-6, "four-activate window")     \
    X(dram_tccd_l, "dram.tccd_l", SECONDS, CLSA_MAY_BOTH, 0, 0, 1e-6,                              \
      "burst to burst within a bank group; 0: no longer than the burst")                           \
    X(dram_trefi, "dram.trefi", SECONDS, CLSA_MAY_BOTH, 3.9e-6, 1e-9, 1e-3, "refresh interval")    \
    X(dram_trfc, "dram.trfc", SECONDS, CLSA_MAY_BOTH, 2.6e-7, 0, 1e-4, "one refresh")              \
    /* translation */                                                                              \
    X(tlb_entries, "tlb.entries", COUNT, CLSA_NEED_BOTH, 0, 1, 1e9, "last-level data TLB")         \
    X(tlb_ways, "tlb.ways", COUNT, CLSA_MAY_BOTH, 8, 1, 1e6, "associativity of it")                \
    X(tlb_l1_entries, "tlb.l1_entries", COUNT, CLSA_MAY_BOTH, 64, 1, 1e6,                          \
      "first-level data TLB an SM or core")                                                        \
    X(tlb_page, "tlb.page", BYTES, CLSA_NEED_BOTH, 0, 1024, 1e12, "page that data lies in")        \
    X(tlb_l2_latency, "tlb.l2_latency", CYCLES, CLSA_MAY_BOTH, 7, 0, 1e5,                          \
      "added when the first level misses and the last level hits")                                 \
    X(tlb_walk, "tlb.walk", SECONDS, CLSA_NEED_BOTH, 0, 0, 1e-4, "added by a miss of every level") \
    X(tlb_walkers, "tlb.walkers", COUNT, CLSA_MAY_BOTH, 4, 1, 65536, "page walks at once")         \
    X(tlb_nested, "tlb.nested", COUNT, CLSA_MAY_BOTH, 1, 1, 10,                                    \
      "factor on tlb.walk under a hypervisor")                                                     \
    X(tlb_host_page, "tlb.host_page", BYTES, CLSA_MAY_CPU, 0, 0, 1e12,                             \
      "page in which a hypervisor holds the guest's memory; 0: none, or as large as the guest's")  \
    /* concurrency and launches */                                                                 \
    X(inflight_sm, "inflight.sm", BYTES, CLSA_NEED_GPU, 0, 64, 1e9,                                \
      "bytes of loads one SM may have outstanding beyond L1")                                      \
    X(launch_graph_node, "launch.graph_node", SECONDS, CLSA_NEED_GPU, 0, 0, 1e-3,                  \
      "gap between the end of a kernel and the start of the next in a graph")                      \
    X(launch_stream, "launch.stream", SECONDS, CLSA_NEED_GPU, 0, 0, 1e-3,                          \
      "least time from launch to launch in a stream, host bound")                                  \
    X(launch_ramp, "launch.ramp", SECONDS, CLSA_NEED_GPU, 0, 0, 1e-3,                              \
      "a kernel of one empty block: first instruction fetch to retirement")                        \
    X(launch_block, "launch.block", SECONDS, CLSA_NEED_GPU, 0, 0, 1e-6,                            \
      "one block handed to an SM by the whole machine's dispatcher")                               \
    /* links */                                                                                    \
    X(nvlink_bandwidth, "nvlink.bandwidth", BYTES_PER_S, CLSA_MAY_GPU, 0, 0, 1e14,                 \
      "link to the other GPUs, a direction; 0: none")                                              \
    X(nvlink_latency, "nvlink.latency", SECONDS, CLSA_MAY_GPU, 0, 0, 1e-2,                         \
      "one all-reduce of a few bytes, without its launch")

/* What was measured of a CPU against the footprint that a thread goes through over and over, in huge pages unless
 * said: where a machine has these, they stand in place of what follows from sizes, rates and latencies, until
 * a later row (of a file based on it, or --set) changes one of those. A row's value is a list of points
 * "256KiB:174.4 4MiB:98.3 ..." in ascending order; of rows at random places "4MiB/64:48.2 4MiB/128:61 ...", the
 * footprint and the bytes of a row, every footprint with the same rows.
 * X(field, "name", dimension, "what it is") */
#define CLSA_MACHINE_CURVES(X)                                                                     \
    X(curve_stream, "curve.stream", BYTES_PER_S, "streaming reads of one thread")                  \
    X(curve_stream_all, "curve.stream_all", BYTES_PER_S,                                           \
      "streaming reads of each thread, all of them at once")                                       \
    X(curve_unsettled, "curve.unsettled", BYTES_PER_S,                                             \
      "streams of one thread before a large last cache has learnt what comes again")               \
    X(curve_unsettled_all, "curve.unsettled_all", BYTES_PER_S,                                     \
      "the same of each thread, all at once")                                                      \
    X(curve_latency, "curve.latency", SECONDS, "dependent loads at random places")                 \
    X(curve_gather, "curve.gather", BYTES_PER_S, "rows at random places, one thread")              \
    X(curve_gather_all, "curve.gather_all", BYTES_PER_S, "the same of each thread, all at once")   \
    X(curve_fetch, "curve.fetch", BYTES_PER_S, "rows at random places, prefetched, one thread")    \
    X(curve_fetch_all, "curve.fetch_all", BYTES_PER_S, "the same of each thread, all at once")     \
    X(curve_gather_small, "curve.gather_small", BYTES_PER_S, "curve.gather in the smallest pages") \
    X(curve_gather_small_all, "curve.gather_small_all", BYTES_PER_S,                               \
      "the same of each thread, all at once")                                                      \
    X(curve_fetch_small, "curve.fetch_small", BYTES_PER_S, "curve.fetch in the smallest pages")    \
    X(curve_fetch_small_all, "curve.fetch_small_all", BYTES_PER_S,                                 \
      "the same of each thread, all at once")

/* Parameters that are one number each, then the curves. */
enum clsa_machine_parameter {
#define X(field, name, dim, need, def, lo, hi, doc) CLSA_MACHINE_##field,
    CLSA_MACHINE_TABLE(X)
#undef X
        CLSA_MACHINE_NUMBERS,
    CLSA_MACHINE_BEFORE_CURVES = CLSA_MACHINE_NUMBERS - 1,
#define X(field, name, dim, doc) CLSA_MACHINE_##field,
    CLSA_MACHINE_CURVES(X)
#undef X
        CLSA_MACHINE_PARAMETERS
};

#define CLSA_CURVE_POINTS 96

struct clsa_curve {
    unsigned n; /* 0: not measured */
    bool latency; /* values are seconds of a line, not rates */
    double bytes[CLSA_CURVE_POINTS], row[CLSA_CURVE_POINTS]; /* row: 0 of all, or of none */
    double value[CLSA_CURVE_POINTS];                         /* base units */
};

/* The value at a footprint and, where the curve has rows, of rows of so many bytes: between points by logarithms,
 * beyond either end the end. The curve has points.
 *
 * `foreign` above 0: others bring so many bytes a second into the same cache, and `bytes` are those since data was
 * last used, theirs counted. At a point of the curve these are its footprint and what came in while it was gone
 * through once, at the point's own rate or, of latencies, a line after the other. */
double clsa_curve_at(const struct clsa_curve *curve, double bytes, double row_bytes, double foreign);

/* Where a value came from; one a parameter that was set. Strings are owned by the machine. */
struct clsa_machine_row {
    enum clsa_machine_parameter parameter;
    double value;       /* base units; 0 of a curve */
    const char *text;   /* as written */
    const char *unit;   /* as written */
    const char *source; /* as written; "--set" for overrides */
    const char *file;   /* where it was read ("--set" for overrides) */
    size_t line;
};

struct clsa_machine {
    char name[64];
    char title[128]; /* row `title`, optional: what people call it */
    char implementation[64]; /* row `implementation`, optional: the one that predictions take unless told otherwise */
    enum clsa_machine_kind kind;
#define X(field, name, dim, need, def, lo, hi, doc) double field;
    CLSA_MACHINE_TABLE(X)
#undef X
#define X(field, name, dim, doc) struct clsa_curve field;
    CLSA_MACHINE_CURVES(X)
#undef X
    struct clsa_machine_row *rows; /* in table order: what was set, not what defaulted */
    size_t n_rows;
    char **strings; /* backing store of the rows */
    size_t n_strings;
};

/* Reads a machine by name (a file of hwmodels/machines) or path, follows its `base` rows (at most 8
 * deep, a loop is an error), applies n_sets overrides of the form "name=VALUE[ ]UNIT", checks all.
 * Besides the parameters a file has rows `kind` (gpu or cpu; unit -), and may have `base`,
 * `title` and `implementation`. Returns 0, CLSA_ENOTFOUND, CLSA_EFORMAT, CLSA_ERANGE, CLSA_EUSAGE (a bad override),
 * CLSA_EIO or CLSA_ENOMEM. The caller releases *out with clsa_machine_destroy. */
int clsa_machine_read(const char *name, const char *const *sets, size_t n_sets,
                      struct clsa_machine *out, struct clsa_err *err);
/* What predictions take unless told otherwise: the machine's own, else "native" on a CPU and "tuned" on a GPU. */
const char *clsa_machine_implementation(const struct clsa_machine *machine);
/* Takes NULL and zeroed structs. */
void clsa_machine_destroy(struct clsa_machine *machine);

/* The table as data, for `machine show` and reports. */
const char *clsa_machine_parameter_name(enum clsa_machine_parameter p);
const char *clsa_machine_parameter_doc(enum clsa_machine_parameter p);
enum clsa_dimension clsa_machine_parameter_dimension(enum clsa_machine_parameter p);
unsigned clsa_machine_parameter_need(enum clsa_machine_parameter p);
/* Index by name, or -1. */
int clsa_machine_parameter_find(const char *name);
/* The number held for a parameter, set or defaulted, in base units; p below CLSA_MACHINE_NUMBERS. */
double clsa_machine_value(const struct clsa_machine *machine, enum clsa_machine_parameter p);
/* Sets every number to the value that a file without it gives (0 for those that a file must have). */
void clsa_machine_defaults(struct clsa_machine *machine);
/* Sets one number in base units as found out just now, with `source`, a string that outlives the machine.
 * Returns 0 or CLSA_ENOMEM (the number is set all the same). */
int clsa_machine_found(struct clsa_machine *machine, enum clsa_machine_parameter p, double value,
                       const char *source);
/* Sets one number in base units without source, for tests and fitting; no range check. */
void clsa_machine_put(struct clsa_machine *machine, enum clsa_machine_parameter p, double value);

#endif
