/* Predictions against measured tables.
 *
 * A table is one of design's measured kinds (gemm, attention_decode, own_steps, ...). Each row
 * becomes a step of one op, or a planned step; the closed form prices it; the errors are summed
 * up. */
#ifndef CLSA_REPLAY_VALIDATE_TABLE_H
#define CLSA_REPLAY_VALIDATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hwmodels/cpu.h"
#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/csv.h"
#include "sim/base/op.h"

/* X(NAME, "name", "implementation that such tables were measured with", NULL: the machine's own) */
#define CLSA_TABLE_LIST(X)                                                                         \
    X(GEMM, "gemm", "cublas")                                                                      \
    X(ATTENTION_DECODE, "attention_decode", "flash-attention-3")                                   \
    X(ATTENTION_PREFILL, "attention_prefill", "flash-attention-3")                                 \
    X(DSA_LAYER_DECODE, "dsa_layer_decode", "sglang-0.5.14")                                       \
    X(DSA_LAYER_PREFILL, "dsa_layer_prefill", "sglang-0.5.14")                                     \
    X(INDEX_SCORES, "index_scores", "sglang-0.5.14")                                               \
    X(INDEX_SCORES_PAGED, "index_scores_paged", "sglang-0.5.14")                                   \
    X(TOPK, "topk", "sglang-0.5.14")                                                               \
    X(SPARSE_ATTENTION, "sparse_attention", "sglang-0.5.14")                                       \
    X(OWN_KERNELS, "own_kernels", "triton-own")                                                    \
    X(OWN_STEPS, "own_steps", "triton-own")                                                        \
    X(OWN_STEP_OPS, "own_step_ops", "triton-own")                                                  \
    X(CPU_OPS, "cpu_ops", NULL)

enum clsa_table {
#define X(id, name, impl) CLSA_TABLE_##id,
    CLSA_TABLE_LIST(X)
#undef X
        CLSA_TABLES
};

/* Returns the table called so, or -1; the names; the implementation that `validate` takes
 * unasked (NULL: the machine's own). */
int clsa_table_find(const char *name);
const char *clsa_table_name(enum clsa_table table);
const char *clsa_table_implementation(enum clsa_table table);

/* A row as a step. Private fields back the pointers of `step`. */
struct clsa_table_case {
    struct clsa_step step;
    double measured_us;
    bool target;       /* false: the table's own notes say that the row measures something else
                        * (host-bound or host-overhead rows); predicted, but in no statistic */
    uint32_t variants; /* of the closed form's request */
    int only;          /* kind << 8 | role of the ops that count; -1: all */
    bool all_calls;    /* the measured time is that of all calls of these ops, not of one */
    uint32_t threads;  /* CPU: of the closed form's request */
    struct clsa_probe found; /* CPU: the host beside the run; flops 0: as the machine says */
    bool no_host;      /* one kernel timed by itself: no host time */
    bool no_launch_gap;/* the measured time is of kernels alone, without the gaps between */
    char group[64];    /* its statistics go under: dtype, layer kind, kernel; "" for one group */
    void *memory;
};

/* Makes row r of a table into a step. Columns a table lacks take what the measurements' notes give.
 * Returns 0, CLSA_EFORMAT (file:line in err), CLSA_ERANGE, CLSA_ENOMEM, ... */
int clsa_table_case(enum clsa_table table, const struct clsa_csv *csv, size_t row,
                    struct clsa_table_case *out, struct clsa_err *err);
void clsa_table_case_destroy(struct clsa_table_case *c);

struct clsa_table_row {
    double measured_us, predicted_us, lo_us, hi_us, roofline_us;
    bool target;
    bool fitted; /* among the rows that constants were fitted on */
    char group[64];
};

/* Predicts one case; fills all but `fitted`. */
int clsa_table_predict_case(const struct clsa_table_case *c, const struct clsa_machine *machine,
                            const struct clsa_implementation *impl, struct clsa_table_row *out,
                            struct clsa_err *err);

struct clsa_table_stats {
    size_t rows;
    double mean, median, p90, max; /* absolute error, % of the measured time */
    double bias;                   /* mean signed error, % */
    double rank;                   /* Spearman's rank correlation */
    double coverage;               /* part of the rows inside their interval */
    double roofline_mean;          /* mean absolute error of bytes and flops over peaks, % */
};

/* Predicts every row. *rows has csv->rows entries, to be freed. fit_percent and seed say which rows
 * are marked as fitted: a row is when a hash of its number and the seed falls in that part. */
int clsa_table_predict(enum clsa_table table, const struct clsa_csv *csv,
                       const struct clsa_machine *machine, const struct clsa_implementation *impl,
                       double fit_percent, uint64_t seed, struct clsa_table_row **rows,
                       struct clsa_err *err);
/* Errors of the target rows for which `fitted` is as asked (-1: all, 0: those not fitted, 1: those
 * fitted) and `group` equals (NULL: all). Rows that match none give zeroes.
 * Returns 0 or CLSA_ENOMEM. */
int clsa_table_measure(const struct clsa_table_row *rows, size_t n, int fitted, const char *group,
                       struct clsa_table_stats *out);
/* What the rows of clsa_table_measure say for an implementation's interval: a tenth of measured
 * times lies below predicted * (1 + *low), a tenth above predicted * (1 + *high), times from *least
 * to *most microseconds. False (outputs untouched) with fewer than two rows or no memory. */
bool clsa_table_interval(const struct clsa_table_row *rows, size_t n, int fitted, const char *group,
                         double *low, double *high, double *least, double *most);
/* Whether row r is in the fitting part. */
bool clsa_table_fits(size_t row, double fit_percent, uint64_t seed);

/* What a plain roofline says: the longer of flops over peak and bytes over bandwidth, seconds. */
double clsa_roofline_seconds(const struct clsa_step *step, const struct clsa_machine *machine);

#endif
