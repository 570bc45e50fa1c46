/* bench.h: paired timing for the benches that run on demand. Two contestants take turns, so that a
 * change of the machine's mood meets both; the ratio reported is the median over turns, and the
 * best time of each stands beside it. */
#ifndef CLSA_TESTS_BENCH_H
#define CLSA_TESTS_BENCH_H

#include <stddef.h>

struct bench_side {
    void (*run)(void *ctx); /* one repetition */
    void *ctx;
};

struct bench_pair {
    double a_seconds, b_seconds; /* best of all turns */
    double ratio; /* median over turns of time of b / time of a: above 1, a is faster */
};

/* Turns until `seconds` have passed, at least 5. */
struct bench_pair bench_compare(struct bench_side a, struct bench_side b, double seconds);

/* Normal values from a fixed generator. */
float bench_normal(unsigned long long *state);

/* Memory on huge pages where the system grants them; not returned. Exits when there is none. */
void *bench_memory(size_t bytes);

/* Prints "name  ratio  [>= goal]  detail" and remembers whether the goal was met. */
void bench_report(const char *name, double ratio, double goal, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Exit status of a bench: 1 when a goal was missed. */
int bench_status(void);

#endif
