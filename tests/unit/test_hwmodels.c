/* hwmodels: machine and implementation files, and the timing cores against hand-worked times of the
 * toy machines. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hwmodels/gpu.h"
#include "hwmodels/implementation.h"
#include "hwmodels/machine.h"
#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/op.h"

#define NEAR(a, b) ck_assert_double_eq_tol((a), (b), 1e-9 * fabs((double)(b)) + 1e-18)

static char path[] = "/tmp/clsa-hwmodels-XXXXXX.csv";

static const char *file_with(const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

static void make_path(void)
{
    const int fd = mkstemps(path, 4);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void drop_path(void)
{
    unlink(path);
    memcpy(strstr(path, ".csv") - 6, "XXXXXX", 6);
}

static struct clsa_machine toy(const char *name)
{
    struct clsa_machine m;
    struct clsa_err err;
    ck_assert_msg(clsa_machine_read(name, NULL, 0, &m, &err) == 0, "%s", err.text);
    return m;
}

/* ---- machine files ---- */

START_TEST(machine_values_in_base_units)
{
    struct clsa_machine m = toy("toy-gpu");
    ck_assert_int_eq(m.kind, CLSA_MACHINE_GPU);
    ck_assert_str_eq(m.name, "toy-gpu");
    NEAR(m.sm_clock, 1e9);
    NEAR(m.l2_size, 1048576);
    NEAR(m.dram_latency, 400e-9);
    NEAR(m.tensor_bf16, 4e12);
    /* far latency was not given: as near */
    NEAR(m.l2_far_latency, m.l2_latency);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(machine_inherits_and_overrides)
{
    const char *const sets[] = {"dram.bandwidth=0.4TB/s", "sm.count=6"};
    struct clsa_machine m;
    struct clsa_err err;
    file_with("parameter,value,unit,source\nl2.size,2,MiB,test\nbase,toy-gpu,-,test\n"
              "sm.count,5,-,test\n");
    ck_assert_msg(clsa_machine_read(path, sets, 2, &m, &err) == 0, "%s", err.text);
    NEAR(m.l2_size, 2097152);       /* own row, though it stands before the base */
    NEAR(m.l2_latency, 100);        /* inherited */
    NEAR(m.dram_bandwidth, 0.4e12); /* override of an inherited row */
    NEAR(m.sm_count, 6);            /* override of an own row */
    size_t overridden = 0;
    for (size_t i = 0; i < m.n_rows; i++) {
        ck_assert(*m.rows[i].source);
        overridden += strcmp(m.rows[i].source, "--set") == 0;
    }
    ck_assert_uint_eq(overridden, 2);
    clsa_machine_destroy(&m);
}
END_TEST

static const struct {
    const char *text, *message;
} bad_machines[] = {
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nsm.cuont,4,-,t\n", ":3: parameter 'sm.cuont'"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nsm.count,4,GHz,t\n",
     ":3: parameter 'sm.count'"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nsm.count,-4,-,t\n", "impossible"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nsm.count,nan,-,t\n", ":3:"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nsm.count,4,-,t\nsm.count,5,-,t\n", "twice"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nsm.count,4,-,\n", "without a source"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\ncore.count,4,-,t\n", "no such parameter"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nkind,cpu,-,t\n", "kind of its base"},
    {"parameter,value,unit,source\nkind,gpu,-,t\n", "is missing"},
    {"parameter,value,unit,source\nsm.count,4,-,t\n", "no row 'kind'"},
    {"parameter,value,unit,source\nkind,tpu,-,t\n", "neither gpu nor cpu"},
    {"parameter,value,unit,source\nkind,gpu,-,t\nimplementation,"
     "a-name-of-more-letters-than-any-file-of-an-implementation-could-reasonably-have,-,t\n",
     "longer than any implementation's name"},
    {"parameter,value,unit\nkind,gpu,-\n", "no column 'source'"},
    {"parameter,value,unit,source,x\nkind,gpu,-,t,y\n", "column too many"},
    {"parameter,value,unit,source\nbase,nobody-made-this,-,t\n", ":2: "},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\ntlb.page,3000,B,t\n", "power of two"},
    {"parameter,value,unit,source\nbase,toy-gpu,-,t\nl2.size,1000,B,t\n", "whole lines"},
    {"", ""},
};

START_TEST(machine_errors_name_the_place)
{
    struct clsa_machine m = {.sm_count = 7};
    struct clsa_err err = {""};
    file_with(bad_machines[_i].text);
    ck_assert_int_lt(clsa_machine_read(path, NULL, 0, &m, &err), 0);
    ck_assert_msg(strstr(err.text, bad_machines[_i].message) != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
    NEAR(m.sm_count, 7); /* untouched */
}
END_TEST

START_TEST(machine_base_loop)
{
    char text[256];
    struct clsa_machine m;
    struct clsa_err err;
    snprintf(text, sizeof text, "parameter,value,unit,source\nbase,%s,-,t\n", path);
    file_with(text);
    ck_assert_int_eq(clsa_machine_read(path, NULL, 0, &m, &err), CLSA_EFORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "leads back to itself"));
}
END_TEST

START_TEST(machine_bad_overrides)
{
    static const char *const bad[] = {"sm.count", "sm.count=", "sm.count=4GHz", "nothing=1",
                                      "sm.count=1e99", "=4", "l2.size=fast"};
    struct clsa_machine m;
    struct clsa_err err;
    ck_assert_int_eq(clsa_machine_read("toy-gpu", &bad[_i], 1, &m, &err), CLSA_EUSAGE);
    ck_assert_msg(strstr(err.text, "--set") != NULL, "%s", err.text);
}
END_TEST

START_TEST(machine_library_reads)
{
    char **names;
    size_t n;
    struct clsa_err err;
    ck_assert_int_eq(clsa_data_list("hwmodels/machines", ".csv", &names, &n, &err), 0);
    ck_assert_uint_ge(n, 5);
    for (size_t i = 0; i < n; i++) {
        struct clsa_machine m;
        ck_assert_msg(clsa_machine_read(names[i], NULL, 0, &m, &err) == 0, "%s", err.text);
        ck_assert_msg(*m.title, "%s has no title", names[i]);
        ck_assert_msg(m.dram_latency * m.sm_clock > m.l2_latency || m.kind == CLSA_MACHINE_CPU,
                      "%s: memory is faster than L2", names[i]);
        struct clsa_implementation impl;
        ck_assert_msg(clsa_impl_read(clsa_machine_implementation(&m), NULL, 0, &impl, &err) == 0, "%s", err.text);
        clsa_impl_destroy(&impl);
        clsa_machine_destroy(&m);
        free(names[i]);
    }
    free(names);
}
END_TEST

START_TEST(machines_name_their_implementation)
{
    static const struct {
        const char *text, *name;
    } cases[] = {{"parameter,value,unit,source\nbase,toy-cpu,-,t\n", "native"},
                 {"parameter,value,unit,source\nbase,toy-gpu,-,t\n", "tuned"},
                 {"parameter,value,unit,source\nbase,toy-gpu,-,t\nimplementation,triton-own,-,t\n", "triton-own"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct clsa_machine m;
        file_with(cases[i].text);
        ck_assert_int_eq(clsa_machine_read(path, NULL, 0, &m, NULL), 0);
        ck_assert_str_eq(clsa_machine_implementation(&m), cases[i].name);
        clsa_machine_destroy(&m);
    }
    /* That of its base. */
    struct clsa_machine m;
    ck_assert_int_eq(clsa_machine_read("xeon-emr", NULL, 0, &m, NULL), 0);
    ck_assert_str_eq(clsa_machine_implementation(&m), "native-golden-cove");
    clsa_machine_destroy(&m);
}
END_TEST

/* ---- implementation files ---- */

START_TEST(implementation_most_specific_row_wins)
{
    struct clsa_implementation impl;
    struct clsa_err err;
    struct clsa_op op = {.kind = CLSA_OP_GEMM, .role = CLSA_ROLE_DOWN};
    file_with("op,parameter,value,unit,source\ngemm_down,stages,7,count,t\ngemm,stages,5,count,t\n"
              "*,stages,2,count,t\nattn_*,stages,4,count,t\ngemm,method,cublas,-,t\n");
    ck_assert_msg(clsa_impl_read(path, NULL, 0, &impl, &err) == 0, "%s", err.text);
    NEAR(clsa_impl_get(&impl, &op, CLSA_IMPL_STAGES), 7);
    op.role = CLSA_ROLE_Q;
    NEAR(clsa_impl_get(&impl, &op, CLSA_IMPL_STAGES), 5);
    ck_assert_int_eq((int)clsa_impl_get(&impl, &op, CLSA_IMPL_METHOD), CLSA_METHOD_CUBLAS);
    op.kind = CLSA_OP_ATTN_DENSE;
    NEAR(clsa_impl_get(&impl, &op, CLSA_IMPL_STAGES), 4);
    op.kind = CLSA_OP_NORM;
    NEAR(clsa_impl_get(&impl, &op, CLSA_IMPL_STAGES), 2);
    NEAR(clsa_impl_get(&impl, &op, CLSA_IMPL_PASSES), 1); /* the table's default */

    double value;
    ck_assert_int_eq(clsa_impl_assign(&impl, "gemm.stages", 6, &err), 0);
    ck_assert_int_eq(clsa_impl_assigned(&impl, "gemm.stages", &value, &err), 0);
    NEAR(value, 6);
    op = (struct clsa_op){.kind = CLSA_OP_GEMM, .role = CLSA_ROLE_Q};
    NEAR(clsa_impl_get(&impl, &op, CLSA_IMPL_STAGES), 6);
    op.role = CLSA_ROLE_DOWN;
    NEAR(clsa_impl_get(&impl, &op, CLSA_IMPL_STAGES), 7);
    ck_assert_int_eq(clsa_impl_assign(&impl, "gemm.passes", 6, &err), CLSA_ENOTFOUND);
    clsa_impl_destroy(&impl);
}
END_TEST

static const struct {
    const char *text, *message;
} bad_implementations[] = {
    {"op,parameter,value,unit,source\ngem,stages,2,count,t\n", "no op is called 'gem'"},
    {"op,parameter,value,unit,source\ngemm_nothing,stages,2,count,t\n", ":2:"},
    {"op,parameter,value,unit,source\ngemm,stagse,2,count,t\n", "no implementation has"},
    {"op,parameter,value,unit,source\ngemm,method,magic,-,t\n", "'magic' is none of"},
    {"op,parameter,value,unit,source\ngemm,prologue,2,us,t\n", "no unit of cycles"},
    {"op,parameter,value,unit,source\ngemm,stages,0,count,t\n", "impossible"},
    {"op,parameter,value,unit,source\ngemm,tile_n,0.5,count,t\n", "no whole number"},
    {"op,parameter,value,unit,source\ngemm,stages,2,count,t\ngemm,stages,2,count,t\n", "twice"},
    {"parameter,value,unit,source\nstages,2,count,t\n", "no column 'op'"},
};

START_TEST(implementation_errors_name_the_place)
{
    struct clsa_implementation impl;
    struct clsa_err err = {""};
    file_with(bad_implementations[_i].text);
    ck_assert_int_lt(clsa_impl_read(path, NULL, 0, &impl, &err), 0);
    ck_assert_msg(strstr(err.text, bad_implementations[_i].message) != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
}
END_TEST

START_TEST(implementation_overrides)
{
    const char *const good[] = {"gemm.stages=4", "*.launch=stream", "attn_*.prologue=300 cycles"};
    const char *const bad[] = {"stages=4", "gemm.stages=x", "gemm.", "nothing.stages=2"};
    struct clsa_implementation impl;
    struct clsa_err err;
    const struct clsa_op gemm = {.kind = CLSA_OP_GEMM}, attn = {.kind = CLSA_OP_ATTN_SPARSE};
    file_with("op,parameter,value,unit,source\ngemm,stages,2,count,t\n");
    ck_assert_msg(clsa_impl_read(path, good, 3, &impl, &err) == 0, "%s", err.text);
    NEAR(clsa_impl_get(&impl, &gemm, CLSA_IMPL_STAGES), 4);
    ck_assert_int_eq((int)clsa_impl_get(&impl, &gemm, CLSA_IMPL_LAUNCH), CLSA_LAUNCH_STREAM);
    NEAR(clsa_impl_get(&impl, &attn, CLSA_IMPL_PROLOGUE), 300);
    clsa_impl_destroy(&impl);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(clsa_impl_read(path, &bad[i], 1, &impl, &err) == CLSA_EUSAGE, "%s", bad[i]);
}
END_TEST

START_TEST(implementation_library_reads)
{
    char **names;
    size_t n;
    struct clsa_err err;
    ck_assert_int_eq(clsa_data_list("hwmodels/implementations", ".csv", &names, &n, &err), 0);
    ck_assert_uint_ge(n, 2);
    for (size_t i = 0; i < n; i++) {
        struct clsa_implementation impl;
        ck_assert_msg(clsa_impl_read(names[i], NULL, 0, &impl, &err) == 0, "%s", err.text);
        clsa_impl_destroy(&impl);
        free(names[i]);
    }
    free(names);
}
END_TEST

START_TEST(reading_survives_lack_of_memory)
{
    /* Fail the n-th allocation for n = 1, 2, ... until a whole reading goes through. */
    file_with("parameter,value,unit,source\nbase,toy-cpu,-,t\n");
    for (unsigned long n = 1;; n++) {
        struct clsa_machine m;
        struct clsa_implementation impl = {.values = NULL};
        clsa_alloc_fail_at(n);
        const int machine = clsa_machine_read(path, NULL, 0, &m, NULL);
        if (machine == 0)
            clsa_machine_destroy(&m);
        const int implementation = clsa_impl_read("native", NULL, 0, &impl, NULL);
        if (implementation == 0)
            clsa_impl_destroy(&impl);
        if (!clsa_alloc_fail_at(0)) {
            ck_assert_int_eq(machine, 0);
            ck_assert_int_eq(implementation, 0);
            ck_assert_uint_gt(n, 50);
            break;
        }
        ck_assert(machine < 0 || implementation < 0);
    }
}
END_TEST

/* ---- the GPU core on the toy GPU: 4 SMs at 1 GHz, gap and ramp 1 us each, 1 ns a block ---- */

static double gpu_seconds(const struct clsa_machine *m, const struct clsa_gpu_kernel *k,
                          const struct clsa_gpu_service *s, struct clsa_gpu_time *time)
{
    clsa_gpu_kernel_time(m, k, s, time);
    return time->seconds;
}

START_TEST(gpu_empty_kernel_is_gap_and_ramp)
{
    struct clsa_machine m = toy("toy-gpu");
    struct clsa_gpu_kernel k;
    struct clsa_gpu_service s = {.dram_efficiency = 1, .latency_s = 0};
    struct clsa_gpu_time t;
    clsa_gpu_kernel_init(&k, "empty");
    NEAR(gpu_seconds(&m, &k, &s, &t), 2e-6 + 1e-9);
    ck_assert_int_eq(t.bound, CLSA_BOUND_LAUNCH);
    k.stream_launch = true; /* 4 us from launch to launch cover the kernel */
    NEAR(gpu_seconds(&m, &k, &s, &t), 4e-6);
    k.prologue_cycles = 10000; /* and a longer kernel covers the launch */
    NEAR(gpu_seconds(&m, &k, &s, &t), 11e-6 + 1e-9);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(gpu_streams_run_at_the_level_that_answers)
{
    struct clsa_machine m = toy("toy-gpu");
    struct clsa_gpu_kernel k;
    struct clsa_gpu_time t;
    const double bytes = 1e9;
    clsa_gpu_kernel_init(&k, "stream");
    k.blocks = 16;
    k.resident = 4;
    k.steps = 1000;
    k.stages = 4;
    /* 62.5 KB a step and 250 KB in flight, capped at 16 KiB an SM: 64 KiB at 400 ns are more than
     * DRAM's 100 GB/s. */
    struct clsa_gpu_service s = {.l2_bytes = bytes, .dram_bytes = bytes, .dram_efficiency = 1,
                                 .latency_s = 400e-9};
    gpu_seconds(&m, &k, &s, &t);
    ck_assert_double_eq_tol(t.seconds, bytes / 100e9, 4e-6);
    ck_assert_int_eq(t.bound, CLSA_BOUND_DRAM);
    s.dram_efficiency = 0.5;
    ck_assert_double_eq_tol(gpu_seconds(&m, &k, &s, &t), 2 * bytes / 100e9, 4e-6);
    s = (struct clsa_gpu_service){.l2_bytes = bytes, .dram_efficiency = 1, .latency_s = 100e-9};
    ck_assert_double_eq_tol(gpu_seconds(&m, &k, &s, &t), bytes / 200e9, 4e-6);
    ck_assert_int_eq(t.bound, CLSA_BOUND_L2);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(gpu_few_bytes_in_flight_bound_by_latency)
{
    struct clsa_machine m = toy("toy-gpu");
    struct clsa_gpu_kernel k;
    struct clsa_gpu_time t;
    clsa_gpu_kernel_init(&k, "one block");
    k.steps = 100;
    k.stages = 2;
    /* 100 steps of 1 KB, two in flight: each waits 200 ns for half the latency, besides the first
     * that waits for all of it. */
    const struct clsa_gpu_service s = {.l2_bytes = 1e5, .dram_bytes = 1e5, .dram_efficiency = 1,
                                       .latency_s = 400e-9};
    NEAR(gpu_seconds(&m, &k, &s, &t), 2.001e-6 + 100 * 200e-9 + 200e-9);
    ck_assert_int_eq(t.bound, CLSA_BOUND_LATENCY);
    k.inflight_bytes = 250; /* a quarter of a step at once: four latencies a step */
    NEAR(gpu_seconds(&m, &k, &s, &t), 2.001e-6 + 100 * 1600e-9 + 200e-9);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(gpu_arithmetic_goes_in_waves)
{
    struct clsa_machine m = toy("toy-gpu");
    struct clsa_gpu_kernel k;
    struct clsa_gpu_time t;
    const struct clsa_gpu_service s = {.dram_efficiency = 1};
    clsa_gpu_kernel_init(&k, "product");
    k.step_tensor_flops = 1e6; /* 1 us on one SM: 1000 FLOP a cycle at 1 GHz */
    k.steps = 10;
    k.stages = 2;
    for (uint64_t blocks = 1; blocks <= 12; blocks++) {
        k.blocks = blocks;
        const double waves = ceil((double)blocks / 4);
        gpu_seconds(&m, &k, &s, &t);
        ck_assert_double_eq_tol(t.seconds - t.gap_seconds, waves * 10e-6, 1e-12);
    }
    k.tensor_efficiency = 0.5;
    gpu_seconds(&m, &k, &s, &t);
    ck_assert_double_eq_tol(t.seconds - t.gap_seconds, 3 * 20e-6, 1e-12);
    k.resident = 2; /* two blocks share an SM's units: the same rate, and now its bound */
    gpu_seconds(&m, &k, &s, &t);
    ck_assert_double_eq_tol(t.seconds - t.gap_seconds, 3 * 20e-6, 1e-12);
    ck_assert_int_eq(t.bound, CLSA_BOUND_TENSOR);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(gpu_more_work_never_takes_less)
{
    struct clsa_machine m = toy("toy-gpu");
    struct clsa_gpu_kernel k;
    struct clsa_gpu_time t;
    for (unsigned resident = 1; resident <= 3; resident++) {
        double last = 0;
        for (uint64_t blocks = 1; blocks < 40; blocks++) {
            clsa_gpu_kernel_init(&k, "grid");
            k.blocks = blocks;
            k.resident = resident;
            k.steps = 5;
            k.stages = 3;
            k.prologue_cycles = 500;
            k.step_tensor_flops = 2e5;
            const double bytes = (double)blocks * 5 * 4096;
            const struct clsa_gpu_service s = {.l2_bytes = bytes, .dram_bytes = bytes,
                                               .dram_efficiency = 1, .latency_s = 400e-9};
            gpu_seconds(&m, &k, &s, &t);
            ck_assert_double_ge(t.seconds, last - 1e-15);
            last = t.seconds;
        }
    }
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(gpu_row_efficiency_and_kept)
{
    struct clsa_machine m = toy("toy-gpu");
    /* One burst of 64 B takes 2.56 ns on a 25 GB/s channel, its activate 2 ns. */
    NEAR(clsa_gpu_row_efficiency(&m, 64), 2.56 / (2.56 + 2));
    /* Half a burst moves a whole one. */
    NEAR(clsa_gpu_row_efficiency(&m, 32), 0.5 * 2.56 / (2.56 + 2));
    /* Long rows pay one activate a piece of 256 B on a channel. */
    NEAR(clsa_gpu_row_efficiency(&m, 4096), 10.24 / (10.24 + 2));
    NEAR(clsa_gpu_row_efficiency(&m, 0), 1); /* not rows at all */
    double last = 0;
    for (double row = 64; row <= 8192; row *= 2) {
        ck_assert_double_ge(clsa_gpu_row_efficiency(&m, row), last);
        last = clsa_gpu_row_efficiency(&m, row);
    }
    last = 1;
    for (double d = 0; d < 2e6; d += 1e4) {
        const double kept = clsa_gpu_l2_kept(&m, d);
        ck_assert(kept <= last && kept >= 0);
        last = kept;
    }
    NEAR(clsa_gpu_l2_kept(&m, 0), 1);
    NEAR(last + 1, 1);
    /* Two partitions keep less: shared lines lie in both. */
    m.l2_partitions = 2;
    NEAR(clsa_gpu_l2_kept(&m, 0.95 * m.l2_size) + 1, 1);
    clsa_machine_destroy(&m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("hwmodels");
    TCase *c = tcase_create("files");
    tcase_add_checked_fixture(c, make_path, drop_path);
    tcase_add_test(c, machine_values_in_base_units);
    tcase_add_test(c, machine_inherits_and_overrides);
    tcase_add_loop_test(c, machine_errors_name_the_place, 0,
                        sizeof bad_machines / sizeof *bad_machines);
    tcase_add_test(c, machine_base_loop);
    tcase_add_loop_test(c, machine_bad_overrides, 0, 7);
    tcase_add_test(c, machine_library_reads);
    tcase_add_test(c, machines_name_their_implementation);
    tcase_add_test(c, implementation_most_specific_row_wins);
    tcase_add_loop_test(c, implementation_errors_name_the_place, 0,
                        sizeof bad_implementations / sizeof *bad_implementations);
    tcase_add_test(c, implementation_overrides);
    tcase_add_test(c, implementation_library_reads);
    tcase_add_test(c, reading_survives_lack_of_memory);
    suite_add_tcase(s, c);
    c = tcase_create("gpu");
    tcase_add_test(c, gpu_empty_kernel_is_gap_and_ramp);
    tcase_add_test(c, gpu_streams_run_at_the_level_that_answers);
    tcase_add_test(c, gpu_few_bytes_in_flight_bound_by_latency);
    tcase_add_test(c, gpu_arithmetic_goes_in_waves);
    tcase_add_test(c, gpu_more_work_never_takes_less);
    tcase_add_test(c, gpu_row_efficiency_and_kept);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
