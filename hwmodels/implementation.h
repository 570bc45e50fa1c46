/* An implementation: how software uses silicon, read from CSV rows
 * `op,parameter,value,unit,source`.
 *
 * `op` is a kind with its role ("gemm_down"), an op kind ("gemm"), the start of kinds ("attn_*"),
 * or "*" for all; the first of these that holds wins.
 * A row `*,base,NAME,-,...` starts from another implementation; rows of the file itself win. One
 * table names every parameter; unknown, repeated and impossible ones are errors with file and line.
 * What a parameter means for a kind of op is said where that kind is mapped
 * (sim/replay/map_*.c). */
#ifndef CLSA_HWMODELS_IMPLEMENTATION_H
#define CLSA_HWMODELS_IMPLEMENTATION_H

#include <stddef.h>

#include "sim/base/status.h"
#include "sim/base/units.h"

struct clsa_op;

/* X(NAME, "name", dimension, default, least, most, "choices" or NULL, "what it is").
 * A parameter with choices is a word of the list "a|b|c"; its value is the word's place, from 0. */
#define CLSA_IMPL_TABLE(X)                                                                         \
    /* which kernels run */                                                                        \
    X(METHOD, "method", TEXT, 0, 0, 0, CLSA_IMPL_METHODS, "how the op is done; see map_*.c")       \
    X(LAUNCH, "launch", TEXT, 0, 0, 0, "graph|stream|fused",                                       \
      "how kernels of the op are launched; fused: the op costs no launch and no time of its own")  \
    X(EXTRA_LAUNCHES, "extra_launches", WHOLE, 0, 0, 1000, NULL,                                   \
      "small helper kernels beside the op's own (casts, copies, metadata)")                        \
    X(EXTRA_TIME, "extra_time", SECONDS, 0, 0, 1e-2, NULL, "what one of those takes")              \
    X(FIXED_TIME, "fixed_time", SECONDS, 0, 0, 1e-1, NULL,                                         \
      "host synchronisation or set-up once an op, outside its kernels")                            \
    X(HOST_TIME, "host_time", SECONDS, 0, 0, 1e-1, NULL,                                           \
      "what the host takes to issue the op where no graph was captured (prefill): steps take the " \
      "longer of host and GPU")                                                                    \
    /* shape of a kernel */                                                                        \
    X(TILE_M, "tile_m", WHOLE, 0, 0, 65536, NULL, "rows of a tile; 0: chosen by the mapping")      \
    X(TILE_N, "tile_n", WHOLE, 0, 0, 65536, NULL, "columns (or keys) of a tile")                   \
    X(TILE_K, "tile_k", WHOLE, 64, 1, 65536, NULL, "depth of a tile's step")                       \
    X(STAGES, "stages", WHOLE, 3, 1, 64, NULL, "tiles in flight of one block's pipeline")          \
    X(THREADS, "threads", WHOLE, 128, 1, 1024, NULL, "threads a block")                            \
    X(RESIDENT, "resident", WHOLE, 1, 1, 64, NULL, "blocks that fit an SM at once")                \
    X(SPLIT_TARGET, "split_target", WHOLE, 0, 0, 1e6, NULL, "blocks that a split rule aims at")    \
    X(SPLIT_MAX, "split_max", WHOLE, 1, 1, 65536, NULL, "most splits of one unit of work")         \
    X(PASSES, "passes", WHOLE, 1, 0, 64, NULL, "passes over the data")                             \
    X(ROW_PAD, "row_pad", WHOLE, 1, 1, 65536, NULL, "rows are padded to a multiple of this")       \
    X(SCRATCH_PART, "scratch_part", COUNT, 0, 0, 1, NULL,                                          \
      "part of device memory that an op's scratch may take, more goes in chunks; 0: all at once")  \
    /* costs inside a kernel */                                                                    \
    X(PROLOGUE, "prologue", CYCLES, 0, 0, 1e7, NULL,                                               \
      "from a block's start to its first load: index arithmetic, descriptors, barriers")           \
    X(EPILOGUE, "epilogue", CYCLES, 0, 0, 1e7, NULL, "from a block's last step to its end")        \
    X(STEP_CYCLES, "step_cycles", CYCLES, 0, 0, 1e7, NULL,                                         \
      "of a step, not overlapped within its block: barriers, dependent arithmetic")                \
    X(PASS_CYCLES, "pass_cycles", CYCLES, 0, 0, 1e7, NULL,                                         \
      "between passes: reductions, block-wide barriers")                                           \
    X(TENSOR_EFFICIENCY, "tensor_efficiency", COUNT, 1, 0.01, 1, NULL,                             \
      "part of the matrix rate that the inner loop reaches when fed")                              \
    X(VECTOR_EFFICIENCY, "vector_efficiency", COUNT, 1, 0.01, 1, NULL,                             \
      "part of the vector rate that the inner loop reaches when fed")                              \
    X(MEMORY_EFFICIENCY, "memory_efficiency", COUNT, 1, 0.05, 1.2, NULL,                           \
      "part of the rate of streams from memory that its access pattern reaches")                   \
    X(L2_EFFICIENCY, "l2_efficiency", COUNT, 1, 0.05, 1.2, NULL,                                   \
      "part of the machine's L2 rate that its access pattern reaches")                             \
    X(INFLIGHT, "inflight", BYTES, 0, 0, 1e9, NULL,                                                \
      "bytes one block keeps outstanding; 0: stages times the bytes of a step")                    \
    X(OVERLAP, "overlap", COUNT, 1, 0, 1, NULL,                                                    \
      "part of the shorter of memory and arithmetic time that hides behind the longer")            \
    X(SIBLING, "sibling", COUNT, 1, 0, 1, NULL,                                                    \
      "part of the arithmetic that takes turns with another thread of the core")                   \
    X(ELEMENT_CYCLES, "element_cycles", CYCLES, 0, 0, 1e6, NULL,                                   \
      "arithmetic of one element on one thread (scores, histogram updates)")                       \
    X(ROW_CYCLES, "row_cycles", CYCLES, 0, 0, 1e6, NULL,                                           \
      "of a row that is worked on where it lies: its address, loops over it begun")                \
    X(CONFLICT_CYCLES, "conflict_cycles", CYCLES, 0, 0, 1e6, NULL,                                 \
      "serialised update of one shared counter")                                                   \
    X(PLAN, "plan", CYCLES, 0, 0, 1e7, NULL,                                                       \
      "kernel of one block that plans the work before the op's own; 0: none")                     \
    /* the second kernel of a split operation */                                                   \
    X(COMBINE_PROLOGUE, "combine_prologue", CYCLES, 0, 0, 1e7, NULL, "prologue, combine kernel")   \
    X(COMBINE_STEP, "combine_step", CYCLES, 0, 0, 1e7, NULL, "a split joined, combine kernel")     \
    X(COMBINE_ISSUE, "combine_issue", CYCLES, 0, 0, 1e7, NULL,                                     \
      "instruction issue of a combine block that the blocks of an SM share")                       \
    /* other kernels of an op */                                                                   \
    X(LAUNCHES, "launches", WHOLE, 1, 1, 1000, NULL, "kernels of a multi-kernel method in all")    \
    X(COPY_PLAIN, "copy_plain", CYCLES, 0, 0, 1e6, NULL,                                           \
      "prologue of the copy of q before attention where q is contiguous; 0: no copy")              \
    X(COPY_STRIDED, "copy_strided", CYCLES, 0, 0, 1e6, NULL, "the same where q is strided")        \
    /* how far predictions are off (sim/replay/interval.h) */                                      \
    X(INTERVAL_LOW, "interval_low", COUNT, -0.25, -0.95, 0, NULL,                                  \
      "a tenth of measured times lies below predicted * (1 + this)")                               \
    X(INTERVAL_HIGH, "interval_high", COUNT, 0.35, 0, 10, NULL,                                    \
      "a tenth of measured times lies above predicted * (1 + this)")                               \
    X(MEASURED_LEAST, "measured_least", SECONDS, 0, 0, 1e3, NULL, "shortest time measured")        \
    X(MEASURED_MOST, "measured_most", SECONDS, 1e3, 0, 1e6, NULL, "longest time measured")         \
    X(INTERVAL_DOUBLING, "interval_doubling", COUNT, 0.15, 0, 10, NULL,                            \
      "widening for every doubling beyond the times measured, part of the width")                  \
    X(INTERVAL_MACHINE, "interval_machine", COUNT, 0.15, 0, 10, NULL,                              \
      "widening in log of time for a machine at distance 1 from the one measured")                 \
    X(INTERVAL_SHARED, "interval_shared", COUNT, 0.2, 0, 1, NULL,                                  \
      "part of the errors' variance that all ops of a step have in common")                        \
    X(INTERVAL_STEP, "interval_step", COUNT, 1, 0, 10, NULL,                                       \
      "width of a step of several ops, as a factor on what its ops' widths add up to")             \
    X(REFERENCE_CLOCK, "reference_clock", HZ, 0, 0, 1e13, NULL,                                    \
      "machine that was measured: sm.count * sm.clock, or core.count * core.clock; 0: none was")   \
    X(REFERENCE_COMPUTE, "reference_compute", FLOPS, 0, 0, 1e18, NULL,                             \
      "its tensor.bf16, or vector.fp32 of a CPU")                                                  \
    X(REFERENCE_BANDWIDTH, "reference_bandwidth", BYTES_PER_S, 0, 0, 1e16, NULL,                   \
      "its dram.bandwidth")                                                                        \
    X(REFERENCE_CACHE, "reference_cache", BYTES, 0, 0, 1e13, NULL, "its l2.size (l3.size of a CPU)")

/* All methods that some mapping knows; the mapping of an op kind says which it accepts. */
#define CLSA_IMPL_METHODS                                                                          \
    "default|split|flash3|paged|cublas|torch|radix|cluster|mla_sparse|elementwise|rows|copy|bf16"

enum clsa_impl_parameter {
#define X(id, name, dim, def, lo, hi, choices, doc) CLSA_IMPL_##id,
    CLSA_IMPL_TABLE(X)
#undef X
        CLSA_IMPL_PARAMETERS
};

/* The words of CLSA_IMPL_METHODS and of `launch`, in order. */
enum clsa_impl_method {
    CLSA_METHOD_DEFAULT,
    CLSA_METHOD_SPLIT,
    CLSA_METHOD_FLASH3,
    CLSA_METHOD_PAGED,
    CLSA_METHOD_CUBLAS,
    CLSA_METHOD_TORCH,
    CLSA_METHOD_RADIX,
    CLSA_METHOD_CLUSTER,
    CLSA_METHOD_MLA_SPARSE,
    CLSA_METHOD_ELEMENTWISE,
    CLSA_METHOD_ROWS,
    CLSA_METHOD_COPY,
    CLSA_METHOD_BF16
};
enum clsa_impl_launch { CLSA_LAUNCH_GRAPH, CLSA_LAUNCH_STREAM, CLSA_LAUNCH_FUSED };

struct clsa_impl_row {
    const char *op, *parameter, *text, *unit, *source, *file; /* owned by the implementation */
    size_t line;
    double value; /* base units; the place in the list for words */
};

struct clsa_implementation {
    char name[64];
    double *values;             /* [op kinds][roles][parameters], resolved */
    struct clsa_impl_row *rows; /* as read, inherited first */
    size_t n_rows;
    char **strings;
    size_t n_strings;
};

/* Reads an implementation by name (a file of hwmodels/implementations) or path. `sets` are
 * overrides "op.parameter=VALUE[ ]UNIT" ("gemm.stages=4", "*.launch=stream").
 * Returns 0, CLSA_ENOTFOUND, CLSA_EFORMAT, CLSA_ERANGE, CLSA_EUSAGE, CLSA_EIO or CLSA_ENOMEM. */
int clsa_impl_read(const char *name, const char *const *sets, size_t n_sets,
                   struct clsa_implementation *out, struct clsa_err *err);
/* Takes NULL and zeroed structs. */
void clsa_impl_destroy(struct clsa_implementation *impl);

/* The value that holds for an op: role row, else kind row, else "*" row, else the table's
 * default. Index scores of single queries, which read a paged cache by a kernel of their own, have
 * the role kv ("index_score_kv"). */
double clsa_impl_get(const struct clsa_implementation *impl, const struct clsa_op *op,
                     enum clsa_impl_parameter p);
/* The same by kind and role (enum clsa_op_kind, enum clsa_role). */
double clsa_impl_value(const struct clsa_implementation *impl, unsigned kind, unsigned role,
                       enum clsa_impl_parameter p);
/* Changes the last row that names just this op and parameter ("op.parameter") to a value in base
 * units, whole numbers to the nearest; more specific rows still win. For fitting. Returns 0 or CLSA_ENOTFOUND. */
int clsa_impl_assign(struct clsa_implementation *impl, const char *name, double value,
                     struct clsa_err *err);
/* The value of the row "op.parameter" in base units: what the last row that names just this op and
 * parameter says. Returns 0 or CLSA_ENOTFOUND. */
int clsa_impl_assigned(const struct clsa_implementation *impl, const char *name, double *value,
                       struct clsa_err *err);
/* The least and most that the parameter of "op.parameter" may be, base units; untouched when
 * unknown. */
void clsa_impl_bounds(const char *name, double *least, double *most);
/* Sets one value for a kind (all its roles), for tests. */
void clsa_impl_put(struct clsa_implementation *impl, unsigned kind, enum clsa_impl_parameter p,
                   double value);

/* The table as data. */
const char *clsa_impl_parameter_name(enum clsa_impl_parameter p);
const char *clsa_impl_parameter_doc(enum clsa_impl_parameter p);
int clsa_impl_parameter_find(const char *name);

#endif
