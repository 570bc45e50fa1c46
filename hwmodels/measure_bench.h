/* Single figures of a host, each timed once a round; private to the measuring of hosts (measure.c decides what is
 * measured and when). Every function adds rows to the bench's set, or sets its status when memory is out. */
#ifndef CLSA_HWMODELS_MEASURE_BENCH_H
#define CLSA_HWMODELS_MEASURE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hwmodels/measure.h"
#include "sim/base/rng.h"

#define CLSA_PAGE_SMALL 4096u
#define CLSA_PAGE_HUGE (2u << 20)
#define CLSA_BENCH_SAMPLES 64u /* most samples of a figure in a round */
#define CLSA_BENCH_ROWS 65536u /* most rows of one gather */
#define CLSA_BENCH_SIZES 9u    /* most sizes of rows that are gathered in turns */

struct clsa_bench {
    struct clsa_measurement_set *set;
    uint32_t threads, repeats;
    uint64_t memory_bytes;
    uint64_t last_bytes; /* of the last cache; 0: nothing waits until it has settled */
    size_t room;
    struct clsa_rng rng;
    uint64_t *offsets; /* of CLSA_BENCH_ROWS rows, and 1024 more a thread */
    struct clsa_err *err;
    int status;
};

/* Memory in pages of one size, touched by all threads. The advice may be refused; then huge stays small,
 * and the row says what was asked for. */
struct clsa_area {
    void *mapped;
    size_t mapped_bytes;
    unsigned char *base;
    uint64_t bytes, page;
};

/* Results of what is timed end here: a store the compiler must make. */
extern volatile uint64_t clsa_bench_sink;

/* Sorts n values, the lowest first, and says the middle (or the mean of two) of the `used` lowest, at least one. */
double clsa_bench_median(double *values, size_t n, size_t used);
int clsa_bench_out_of_memory(struct clsa_bench *b);
void clsa_bench_add(struct clsa_bench *b, const struct clsa_measured *row);

/* False, and the bench's status set, when memory is out. */
bool clsa_area_open(struct clsa_bench *b, uint64_t bytes, uint64_t page, struct clsa_area *a);
void clsa_area_close(struct clsa_area *a);

/* Reads lines at random places of an area until caches and tables are as such reading leaves them. */
void clsa_bench_wander(struct clsa_bench *b, const struct clsa_area *a);
/* Dependent loads over an area, alone and while the other threads stream from the rest of it. */
void clsa_bench_latency(struct clsa_bench *b, const struct clsa_area *a);
void clsa_bench_loaded(struct clsa_bench *b, const struct clsa_area *whole);
/* Streams of `bytes` a thread; what an idle footprint loses; rows at random places, of n sizes in turns so that what
 * others do meets all alike. */
void clsa_bench_read(struct clsa_bench *b, const struct clsa_area *a, uint64_t bytes, uint32_t threads);
/* Whether what so many bytes stream at depends on how long they have done so, because a last cache learns slowly what
 * comes again; and the mean rate of their first passes after `other` memory, beyond all caches, went through them. */
bool clsa_bench_settles(const struct clsa_bench *b, uint64_t all_bytes);
void clsa_bench_unsettled(struct clsa_bench *b, const struct clsa_area *a, const struct clsa_area *other, uint64_t bytes,
                          uint32_t threads);
void clsa_bench_again(struct clsa_bench *b, const struct clsa_area *a, uint32_t threads, uint64_t wait_us,
                      uint32_t samples);
/* Of one thread: what it streams part of an area with that it reads once, while it reads the rest CLSA_OFTEN_TIMES. */
void clsa_bench_once(struct clsa_bench *b, const struct clsa_area *a, uint64_t bytes);
void clsa_bench_gathers(struct clsa_bench *b, const struct clsa_area *a, const uint64_t *row_bytes, size_t n,
                        uint32_t threads, bool fetch);
/* What threads do by themselves. */
enum clsa_bench_arithmetic_kind { CLSA_BENCH_FMA, CLSA_BENCH_DOT_BF16, CLSA_BENCH_MIXED };
void clsa_bench_arithmetic(struct clsa_bench *b, uint32_t threads, enum clsa_bench_arithmetic_kind kind);
void clsa_bench_clock(struct clsa_bench *b, uint32_t threads);
void clsa_bench_handed(struct clsa_bench *b, uint32_t threads); /* of at least two */
void clsa_bench_fork_join(struct clsa_bench *b, uint32_t threads);
void clsa_bench_call(struct clsa_bench *b);

#endif
