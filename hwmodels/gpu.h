/* The timing core of every GPU kernel.
 *
 * A kernel is `blocks` thread blocks in waves over the SMs. A block has a prologue, `steps` steps
 * and an epilogue. A step asks memory for bytes and the SM for arithmetic; `stages` steps' bytes
 * are in flight at once. What answers the bytes (L2 or DRAM, in which rows) is a memory service,
 * worked out by whoever calls: the closed form from reuse distances, replay from exact cache state.
 *
 * A wave of c blocks takes prologue + steps * t + epilogue, where t is the longest of
 *   arithmetic of the blocks that share an SM (matrix, vector, special, shared memory),
 *   bytes of those blocks over the SM's L2 port,
 *   bytes of all c blocks over the L2's rate, and those that miss over the DRAM's,
 *   bytes of an SM's blocks over what latency lets through: in flight / latency (Little's law),
 *   one block's own chain: its latency over its stages plus what does not overlap.
 * Later waves hide prologues behind the blocks still at work. So small grids are bound by latency
 * and large ones by bandwidth, and the last wave pays its tail. */
#ifndef CLSA_HWMODELS_GPU_H
#define CLSA_HWMODELS_GPU_H

#include <stdbool.h>
#include <stdint.h>

#include "hwmodels/machine.h"

#define CLSA_GPU_STREAMS 8

enum clsa_gpu_pattern {
    CLSA_STREAM, /* long consecutive runs */
    CLSA_ROWS    /* rows of row_bytes at random places */
};

/* Operand numbers that are no operand of the op. */
#define CLSA_GPU_SCRATCH (-1) /* written and read within the op (partials, histograms) */

/* One stream of a kernel: bytes of one operand. */
struct clsa_gpu_stream {
    int operand;           /* index into the op's operands, or CLSA_GPU_SCRATCH */
    bool write;
    enum clsa_gpu_pattern pattern;
    double unique_bytes;   /* distinct bytes: what a cache of any size must fetch once */
    double total_bytes;    /* bytes that the SMs ask of L2, >= unique where tiles read again */
    double row_bytes;      /* CLSA_ROWS: consecutive bytes at one place */
    double block_passes;   /* times that one block goes over the same bytes; 0 and 1: once */
    double block_bytes;    /* distinct bytes of one block, where block_passes > 1 */
};

struct clsa_gpu_kernel {
    const char *name;      /* static text: "split", "combine", "norm", ... */
    uint32_t repeat;       /* launched so many times, one after another; 1 usually */
    bool stream_launch;    /* launched one by one from the host, not from a graph */
    uint64_t blocks;
    uint32_t threads;      /* a block */
    uint32_t resident;     /* blocks that fit an SM at once */
    uint32_t stages;       /* steps whose loads are in flight in a block */
    double inflight_bytes; /* bytes one block keeps outstanding; 0: stages * bytes of a step */
    double steps;          /* of a block, mean; at least 1 */
    double longest_steps;  /* of the longest block; 0: as the mean */
    /* cycles at sm.clock */
    double prologue_cycles, epilogue_cycles;
    double step_cycles;    /* of a step, not hidden within its block but behind other blocks */
    double step_issue_cycles; /* of a step, instruction issue that the blocks of an SM share */
    double hops;           /* dependent memory round trips of a block outside its steps */
    double step_hops;      /* dependent round trips of a step that its pipeline cannot hide */
    /* work of one step of one block */
    double step_tensor_flops;
    unsigned tensor_dtype; /* enum clsa_dtype: BF16, F16, FP8, FP4 */
    double tensor_efficiency, vector_efficiency; /* 0: 1 */
    double step_vector_flops;
    double step_special;   /* exponentials */
    double step_smem_bytes;
    double memory_efficiency, l2_efficiency; /* of the machine's rates; 0: 1 */
    double overlap;        /* part of arithmetic that hides behind memory (or the reverse); 0: 1 */
    double fixed_seconds;  /* beside the kernel: host synchronisation */
    unsigned n_streams;
    struct clsa_gpu_stream streams[CLSA_GPU_STREAMS];
};

/* How memory answered a kernel's bytes (of all its blocks, one launch). */
struct clsa_gpu_service {
    double l1_bytes;        /* asked of L1: l2_bytes and what L1 answered */
    double l2_bytes;        /* read through L2, hits and misses */
    double dram_bytes;      /* of those, read from DRAM */
    double l3_bytes;        /* of those, answered by a memory-side cache */
    double write_bytes;     /* written to L2 */
    double dram_write_bytes;/* written on to DRAM in the time of the kernel */
    double dram_efficiency; /* of the streaming rate, for the mix of row sizes; 1: streams */
    double latency_s;       /* mean latency of a load, translation included */
};

enum clsa_gpu_bound {
    CLSA_BOUND_LAUNCH,
    CLSA_BOUND_LATENCY,
    CLSA_BOUND_DRAM,
    CLSA_BOUND_L2,
    CLSA_BOUND_TENSOR,
    CLSA_BOUND_VECTOR,
    CLSA_BOUNDS
};

struct clsa_gpu_time {
    double seconds;        /* one launch: gap, ramp, waves */
    double gap_seconds;    /* of that, launch gap and ramp */
    double waves;
    enum clsa_gpu_bound bound; /* of the full waves */
};

/* All zero, then repeat, resident, stages, steps = 1, service of a plain stream. */
void clsa_gpu_kernel_init(struct clsa_gpu_kernel *k, const char *name);
/* Appends a stream; more than CLSA_GPU_STREAMS is a programmer error. */
void clsa_gpu_kernel_stream(struct clsa_gpu_kernel *k, int operand, bool write,
                            enum clsa_gpu_pattern pattern, double unique_bytes,
                            double total_bytes, double row_bytes);

/* Time of one launch of a kernel (without `repeat`). */
void clsa_gpu_kernel_time(const struct clsa_machine *machine, const struct clsa_gpu_kernel *k,
                          const struct clsa_gpu_service *service, struct clsa_gpu_time *out);

/* Part of the streaming DRAM rate that random rows of row_bytes reach (0..1]: an access moves whole
 * bursts, and a row shorter than a DRAM page pays activates. */
double clsa_gpu_row_efficiency(const struct clsa_machine *machine, double row_bytes);
/* Part of a block's repeated passes over block_bytes that its L1 answers. */
double clsa_gpu_l1_kept(const struct clsa_machine *machine, const struct clsa_gpu_kernel *k,
                        double block_bytes);
/* Part of a working set that is still in L2 when `distance_bytes` other bytes passed since its last
 * use: 1 up to the size of a partition pair without duplication, falling to 0 as duplication of
 * lines in both partitions ends. */
double clsa_gpu_l2_kept(const struct clsa_machine *machine, double distance_bytes);
/* The largest distance at which all is kept and the least at which nothing is. */
void clsa_gpu_l2_edges(const struct clsa_machine *machine, double *all, double *none);
/* Latency of a load by where it is answered, seconds: mean over near and far L2. */
double clsa_gpu_l2_latency(const struct clsa_machine *machine);
/* Matrix rate of a dtype on one SM, FLOP/s; 0 when the machine has none (bf16 stands in for
 * f16). */
double clsa_gpu_tensor_rate(const struct clsa_machine *machine, unsigned dtype);

#endif
