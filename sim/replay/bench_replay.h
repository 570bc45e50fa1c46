/* How fast the simulators run on this host: `clsa bench replay`. */
#ifndef CLSA_REPLAY_BENCH_REPLAY_H
#define CLSA_REPLAY_BENCH_REPLAY_H

#include <stddef.h>

#include "sim/base/status.h"

struct clsa_bench_rate {
    const char *name; /* static text */
    const char *unit; /* what is counted, static text: "lines/s", ... */
    double rate;      /* a second, one core; the best of several turns */
    double against;   /* rate of the same work done singly, 0 where there is no such thing */
};

#define CLSA_BENCH_RATES 8

/* Runs every bench for about `seconds` each and writes at most CLSA_BENCH_RATES rates; *n says how
 * many. The L2 is 50 MB, 16 ways, 128 B lines of 32 B sectors, hashed, as the H100's; DRAM is HBM3
 * as in its machine file. Streams state the rate of the same lines taken one by one in `against`,
 * after comparing counters and end state. Returns 0, CLSA_ENOMEM, or CLSA_EMISMATCH when the two
 * differ. */
int clsa_bench_replay(double seconds, struct clsa_bench_rate *rates, size_t *n,
                      struct clsa_err *err);

#endif
