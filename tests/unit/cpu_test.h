/* What the tests of the CPU model share. */
#ifndef CLSA_TESTS_CPU_TEST_H
#define CLSA_TESTS_CPU_TEST_H

#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>

#include "hwmodels/cpu.h"

#define WITHIN(a, b, part) ck_assert_double_eq_tol(a, b, (part) * fabs((double)(b)) + 1e-18)
#define NEAR(a, b) WITHIN(a, b, 1e-9)

static struct clsa_err err;

static inline void path_of(char *out, size_t n, const char *folder, const char *name, const char *ending)
{
    snprintf(out, n, "%s/%s/%s%s", clsa_test_source(), folder, name, ending);
}

/* A machine of the library; the caller destroys it. */
static inline struct clsa_machine machine_named(const char *name)
{
    struct clsa_machine m;
    char path[512];
    path_of(path, sizeof path, "hwmodels/machines", name, ".csv");
    ck_assert_msg(clsa_machine_read(path, NULL, 0, &m, &err) == 0, "%s", err.text);
    return m;
}

/* Names of machines that differ in kind, for loops over them. */
enum { MACHINE_KINDS = 4 };
static inline const char *machine_of_kind(int i)
{
    static const char *const names[MACHINE_KINDS] = {"toy-cpu", "epyc-genoa", "xeon-spr", "grace"};
    return names[i];
}

static inline double seconds(const struct clsa_machine *m, const struct clsa_cpu_call *call,
                             unsigned threads)
{
    struct clsa_cpu_time t;
    clsa_cpu_call_time(m, call, threads, &t);
    return t.seconds;
}

/* 64 units of work that stream so many bytes, last used so many bytes ago. */
static inline struct clsa_cpu_call streaming(double bytes, double distance)
{
    struct clsa_cpu_call call = {.parts = 64, .n_streams = 1};
    call.streams[0] = (struct clsa_cpu_stream){.bytes = bytes, .distance = distance};
    return call;
}

#endif
