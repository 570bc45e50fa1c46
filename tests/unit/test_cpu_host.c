/* Hosts that were measured: machines from figures, curves in place of sizes and rates, a host as found beside a
 * run, and timed steps as cases of a table. */
#include "tests/unit/cpu_test.h"

#include <string.h>
#include <unistd.h>

#include "hwmodels/measure.h"
#include "sim/replay/closed.h"
#include "sim/replay/validate_table.h"

/* ---- machines from figures ---- */

static const char figures[] =
    "what,threads,footprint_bytes,row_bytes,page_bytes,value,fastest,usual,unit\n"
    "size_l1,0,0,0,0,32768,32768,32768,B\nsize_l2,0,0,0,0,1048576,1048576,1048576,B\n"
    "size_l3,0,0,0,0,33554432,33554432,33554432,B\nmemory,0,0,0,0,8e9,8e9,8e9,B\n"
    "huge_pages,0,0,0,0,1,1,1,-\n"
    "call,1,0,0,0,2,2,2,ns\nclock,1,0,0,0,4,4,4,GHz\nfma_f32,1,0,0,0,100,100,100,GFLOP/s\n"
    "fork_join,1,0,0,0,0.3,0.3,0.3,us\nclock,2,0,0,0,4,4,4,GHz\n"
    "fma_f32,2,0,0,0,200,200,200,GFLOP/s\nfork_join,2,0,0,0,1,1,1,us\n"
    "latency,1,16384,64,2097152,1,1,1,ns\nlatency,1,262144,64,2097152,4,4,4,ns\n"
    "latency,1,3145728,64,2097152,14,14,14,ns\nlatency,1,67108864,64,2097152,100,100,100,ns\n"
    "latency,1,67108864,64,4096,120,120,120,ns\nlatency,1,536870912,64,2097152,100,100,100,ns\n"
    "read,1,16384,0,2097152,200,200,200,GB/s\nread,1,262144,0,2097152,100,100,100,GB/s\n"
    "read,1,4194304,0,2097152,80,80,80,GB/s\nread,1,33554432,0,2097152,40,40,40,GB/s\n"
    "read,1,536870912,0,2097152,20,20,20,GB/s\nread,1,536870912,0,4096,16,16,16,GB/s\n"
    "read,2,536870912,0,2097152,30,30,30,GB/s\n"
    "gather,1,536870912,64,2097152,6.4,6.4,6.4,GB/s\nfetch,1,536870912,64,2097152,12.8,12.8,12.8,GB/s\n"
    "fetch,1,536870912,2048,2097152,16,16,16,GB/s\n"
    "again,1,4194304,0,2097152,80,80,80,GB/s\nagain,1,4194304,1000,2097152,40,40,40,GB/s\n"
    "again,1,4194304,500,2097152,53.333333333,53.333333333,53.333333333,GB/s\nhanded,2,16384,0,0,8,8,8,GB/s\n";

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

/* Figures that the model made lead back to the machine that made them, one of them wrong or not. */
START_TEST(random_rows_are_fitted_to_all_gathers)
{
    static const uint64_t footprints[] = {4u << 20, 64u << 20, 512u << 20, UINT64_C(4) << 30};
    struct clsa_machine m = machine_named("ryzen-7950x");
    struct clsa_measured rows[4 * 7 * 2 * 2];
    struct clsa_measurement_set set = {.rows = rows};
    m.dram_latency = 160e-9;
    m.core_inflight = 18;
    m.core_demand = 14;
    m.core_rows = 12e9;
    m.tlb_walk = 30e-9;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct clsa_measured *r = &rows[set.n_rows++];
        *r = (struct clsa_measured){i & 1 ? "gather" : "fetch", 1, footprints[i / 28],
                                    UINT64_C(64) << i / 4 % 7, i & 2 ? 2u << 20 : 4096, 0, 0, 0, "GB/s"};
        r->value = clsa_cpu_gather(&m, (double)r->footprint_bytes, (double)r->row_bytes,
                                   (double)r->page_bytes, 1, i & 1) / 1e9;
    }
    for (int wrong = 0; wrong < 2; wrong++) {
        struct clsa_machine other = m;
        other.core_inflight *= 1.3;
        other.core_demand *= 0.6;
        other.core_rows *= 1.5;
        other.tlb_walk = 0;
        rows[60].value /= wrong ? 3 : 1;
        ck_assert_uint_eq(clsa_measurement_fit(&other, &set), set.n_rows);
        WITHIN(other.core_inflight, m.core_inflight, 0.05);
        WITHIN(other.core_demand, m.core_demand, 0.05);
        WITHIN(other.core_rows, m.core_rows, 0.05);
        WITHIN(other.tlb_walk, m.tlb_walk, 0.2);
    }
    set.n_rows = 0;
    ck_assert_uint_eq(clsa_measurement_fit(&m, &set), 0);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(machines_come_from_figures)
{
    struct clsa_measurement_set set = {0};
    struct clsa_machine m;
    char from[] = "/tmp/clsa_figuresXXXXXX", to[] = "/tmp/clsa_machineXXXXXX";
    close(mkstemp(from));
    close(mkstemp(to));
    write_text(from, figures);
    ck_assert_msg(clsa_measurement_read(from, &set, &err) == 0, "%s", err.text);
    const size_t once = set.n_rows;
    ck_assert_msg(clsa_measurement_read(from, &set, &err) == 0, "%s", err.text); /* a second round */
    ck_assert_uint_eq(set.n_rows, 2 * once);
    FILE *f = fopen(to, "w");
    ck_assert_int_eq(clsa_measurement_machine(f, "figures", &set, &err), 0);
    fclose(f);
    ck_assert_msg(clsa_machine_read(to, NULL, 0, &m, &err) == 0, "%s", err.text);
    ck_assert_double_eq(m.core_count, 2);
    WITHIN(m.l2_latency, 16, 1e-5);
    WITHIN(m.core_stream, 20e9, 1e-5);
    WITHIN(m.dram_bandwidth, 30e9, 1e-5);
    WITHIN(m.core_page_break, 4096 / 16e9 - 4096 / 20e9, 1e-5);
    WITHIN(m.tlb_page, 2 << 20, 1e-5);
    ck_assert(m.tlb_host_page == 0);
    WITHIN(m.l3_size, 32 << 20, 1e-5);
    WITHIN(m.core_handed, 8e9, 1e-5);
    /* Two thirds of what lay idle for a millisecond are found (80, 40 and 20 GB/s), five sixths after half. By what
     * others bring it finds as much again after either; by what the file says, as much of both together. */
    const struct clsa_cpu_idle waits[] = {{1e-3, 2 / 3.0}, {5e-4, 5 / 6.0}};
    const double rates[] = {40e9, 160e9 / 3}, foreign = m.l3_foreign;
    double found = 0;
    for (int i = 0; i < 2; i++) {
        struct clsa_cpu_place at;
        m.l3_foreign = foreign;
        clsa_cpu_place_find(&m, 4 << 20, waits[i].seconds, 1, &at);
        found += 1 - at.dram;
        m.l3_foreign = 0;
        m.l3_foreign = clsa_cpu_foreign(&m, 1, 4 << 20, &waits[i], 1);
        clsa_cpu_place_find(&m, 4 << 20, waits[i].seconds, 1, &at);
        WITHIN(at.dram, 1 - waits[i].kept, 1e-4);
        WITHIN(at.read, 1 / rates[i], 1e-4);
    }
    WITHIN(found, waits[0].kept + waits[1].kept, 1e-4);
    /* A kernel that gets half of memory's rate takes twice as long from there, and as long as ever from a cache. */
    const double distances[] = {64 << 10, INFINITY};
    for (int i = 0; i < 2; i++) {
        struct clsa_cpu_call call = {.parts = 1, .n_streams = 1, .streams = {{.bytes = 1 << 20}}};
        struct clsa_cpu_time all, half;
        call.streams[0].distance = distances[i];
        clsa_cpu_call_time(&m, &call, 1, &all);
        call.memory_efficiency = 0.5;
        clsa_cpu_call_time(&m, &call, 1, &half);
        WITHIN(half.memory_seconds, (i + 1) * all.memory_seconds, 1e-9);
    }
    clsa_machine_destroy(&m);
    /* Written and read again they are the same figures. */
    f = fopen(from, "w");
    clsa_measurement_print(f, &set);
    fclose(f);
    struct clsa_measurement_set again = {0};
    ck_assert_int_eq(clsa_measurement_read(from, &again, &err), 0);
    ck_assert_uint_eq(again.n_rows, set.n_rows);
    for (size_t i = 0; i < set.n_rows; i++) {
        ck_assert_str_eq(again.rows[i].what, set.rows[i].what);
        ck_assert(fabs(again.rows[i].value - set.rows[i].value) <= 1e-6 * set.rows[i].value);
    }
    clsa_measurement_destroy(&again);
    /* Without a figure that is needed there is no machine. */
    for (size_t i = 0; i < set.n_rows; i++)
        if (strcmp(set.rows[i].what, "fetch") == 0)
            set.rows[i].what = "other";
    f = fopen("/dev/null", "w");
    ck_assert_int_eq(clsa_measurement_machine(f, "less", &set, &err), CLSA_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "fetch"));
    fclose(f);
    clsa_measurement_destroy(&set);
    set = (struct clsa_measurement_set){0};
    write_text(from, "what,threads,unit\nread,1,GB/s\n");
    ck_assert_int_eq(clsa_measurement_read(from, &set, &err), CLSA_EFORMAT);
    write_text(from, "what,threads,footprint_bytes,row_bytes,page_bytes,value,fastest,usual,unit\n"
                     "read,1,x,0,0,1,1,1,GB/s\n");
    ck_assert_int_eq(clsa_measurement_read(from, &set, &err), CLSA_EFORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, ":2:"));
    ck_assert_uint_eq(set.n_rows, 0);
    clsa_measurement_destroy(&set);
    unlink(from);
    unlink(to);
}
END_TEST

/* A machine says of what is read once beside what is read often what was measured of it. */
START_TEST(churn_is_found_in_figures)
{
    struct clsa_measurement_set set = {0};
    char from[] = "/tmp/clsa_figuresXXXXXX", to[] = "/tmp/clsa_machineXXXXXX";
    close(mkstemp(from));
    close(mkstemp(to));
    double rate = 0;
    for (int planted = 0; planted < 2; planted++) {
        struct clsa_machine m;
        struct clsa_cpu_place at;
        char row[80];
        write_text(from, figures);
        snprintf(row, sizeof row, "once,1,%d,0,2097152,%.9g,1,1,GB/s\n", 1 << 20, rate);
        FILE *f = fopen(from, "a");
        if (planted)
            fputs(row, f);
        fclose(f);
        ck_assert_msg(clsa_measurement_read(from, &set, &err) == 0, "%s", err.text);
        f = fopen(to, "w");
        ck_assert_int_eq(clsa_measurement_machine(f, "figures", &set, &err), 0);
        fclose(f);
        clsa_measurement_destroy(&set);
        set = (struct clsa_measurement_set){0};
        ck_assert_msg(clsa_machine_read(to, NULL, 0, &m, &err) == 0, "%s", err.text);
        if (planted)
            WITHIN(m.l3_churn, 0.4, 1e-6);
        else
            ck_assert(m.l3_churn == 0);
        /* The time that both take, which is what others have to push it out; the rate is its own part of that. */
        const double often = CLSA_ONCE_PART * 0x1p20, bytes = 0x1p20;
        m.l3_churn = 0.4;
        clsa_cpu_place_find(&m, often, 0, 1, &at);
        const double meanwhile = CLSA_OFTEN_TIMES * often * at.read;
        for (int i = 0; i < 50; i++) {
            clsa_cpu_place_find(&m, clsa_cpu_churned(&m, bytes + often, bytes + CLSA_OFTEN_TIMES * often),
                                meanwhile + (rate > 0 ? bytes / (rate * 1e9) : 0), 1, &at);
            rate = 1e-9 / at.read;
        }
        clsa_machine_destroy(&m);
    }
    unlink(from);
    unlink(to);
}
END_TEST

/* Of one core's own figures the best round stands, of shared ones the middle half, in the order of the first round. */
START_TEST(rounds_settle)
{
    struct clsa_measured rows[] = {
        {"read", 1, 16384, 0, 4096, 5, 6, 4, "GB/s"},  {"read", 1, 1 << 30, 0, 4096, 5, 9, 4, "GB/s"},
        {"latency", 1, 16384, 64, 4096, 2, 2, 2, "ns"}, {"latency", 1, 1 << 30, 64, 4096, 90, 80, 99, "ns"},
        {"read", 1, 16384, 0, 4096, 7, 8, 6, "GB/s"},  {"read", 1, 1 << 30, 0, 4096, 7, 8, 6, "GB/s"},
        {"latency", 1, 16384, 64, 4096, 1, 1, 1, "ns"}, {"latency", 1, 1 << 30, 64, 4096, 70, 60, 99, "ns"},
        {"read", 1, 16384, 0, 4096, 6, 6, 6, "GB/s"},  {"read", 1, 1 << 30, 0, 4096, 6, 7, 5, "GB/s"},
        {"latency", 1, 1 << 30, 64, 4096, 80, 75, 99, "ns"}};
    const double value[] = {7, sqrt(6. * 7), 1, sqrt(70. * 80)}, fastest[] = {8, 9, 1, 60};
    struct clsa_measurement_set set = {.rows = rows, .n_rows = sizeof rows / sizeof *rows};
    clsa_measurement_settle(&set);
    ck_assert_uint_eq(set.n_rows, 4);
    for (size_t i = 0; i < 4; i++) {
        NEAR(rows[i].value, value[i]);
        ck_assert_double_eq(rows[i].fastest, fastest[i]);
    }
    /* The faster half; the middle half of what asks for others, and for what of a last cache they leave. */
    const struct {
        const char *what;
        uint64_t mib;
        bool others;
    } kinds[] = {{"read", 1024, false}, {"again", 1024, true}, {"handed", 0, true}, {"fetch", 65, true}, {"fetch", 129, false}, {"read", 48, true}, {"read", 32, false}, {"read", 65, false}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct clsa_measured five[5];
        for (int i = 0; i < 4; i++)
            five[i] = (struct clsa_measured){kinds[k].what, 2, kinds[k].mib << 20, 0, 4096,
                                             (const double[]){1, 4, 9, 100}[i], 1, 1, "GB/s"};
        five[4] = (struct clsa_measured){"size_l3", 0, 0, 0, 0, 64 << 20, 64 << 20, 64 << 20, "B"};
        set = (struct clsa_measurement_set){.rows = five, .n_rows = 5};
        clsa_measurement_settle(&set);
        ck_assert_uint_eq(set.n_rows, 2);
        NEAR(five[0].value, kinds[k].others ? 6 : 30);
    }
}
END_TEST

/* ---- curves ---- */

static const char curves[] =
    "parameter,value,unit,source\nbase,toy-cpu,-,-\ntlb.page,2,MiB,as measured\n"
    "curve.stream,64KiB:32 1MiB:16 16MiB:8 256MiB:4,GB/s,measured\n"
    "curve.stream_all,64KiB:32 1MiB:8 16MiB:4 256MiB:2,GB/s,measured\n"
    "curve.latency,64KiB:10 256MiB:100,ns,measured\n"
    "curve.fetch,1MiB/64:4 1MiB/256:8 256MiB/64:1 256MiB/256:2,GB/s,measured\n";

static int read_text(const char *text, const char *const *sets, size_t n_sets, struct clsa_machine *m)
{
    char path[] = "/tmp/clsa_curvesXXXXXX.csv";
    close(mkstemps(path, 4));
    write_text(path, text);
    const int status = clsa_machine_read(path, sets, n_sets, m, &err);
    unlink(path);
    return status;
}

START_TEST(curves_stand_in_place_of_sizes_and_rates)
{
    struct clsa_machine m;
    ck_assert_msg(read_text(curves, NULL, 0, &m) == 0, "%s", err.text);
    ck_assert_uint_eq(m.curve_stream.n, 4);
    NEAR(clsa_curve_at(&m.curve_stream, 1 << 20, 0, 0), 16e9);
    NEAR(clsa_curve_at(&m.curve_stream, 4 << 20, 0, 0), 16e9 / sqrt(2)); /* half way by logarithms */
    NEAR(clsa_curve_at(&m.curve_stream, 1, 0, 0), 32e9);
    NEAR(clsa_curve_at(&m.curve_stream, INFINITY, 0, 0), 4e9);
    NEAR(clsa_curve_at(&m.curve_fetch, 1 << 20, 128, 0), 4e9 * sqrt(2));
    NEAR(clsa_curve_at(&m.curve_fetch, 16 << 20, 256, 0), 4e9);
    /* What others bring in meanwhile counts on both sides: 1 MiB at 16 GB/s takes as long as they need for half
     * a MiB at 8 GB/s. */
    NEAR(clsa_curve_at(&m.curve_stream, 1.5 * (1 << 20), 0, 8e9), 16e9);
    ck_assert(clsa_curve_at(&m.curve_stream, 1 << 20, 0, 8e9) > 16e9);
    /* A call streams at the rate of its reuse distance, and each of all threads at theirs. */
    struct clsa_cpu_call call = streaming(1e6, 16 << 20);
    NEAR(seconds(&m, &call, 1), 1e6 / 8e9);
    NEAR(seconds(&m, &call, 4), 1e6 / 4 / clsa_curve_at(&m.curve_stream_all, 4 << 20, 0, 0) + m.fork_join);
    call.streams[0].row_bytes = 256;
    call.streams[0].pool_bytes = 16 << 20; /* within the TLB's reach: no walks beyond those measured */
    NEAR(seconds(&m, &call, 1), 1e6 / 4e9);
    /* Half of what memory gives doubles what comes from there, less what comes from where caches end, and nothing
     * else; so with each footprint that was looked at. */
    static const struct {
        double mib;
        int parameter;
    } looks[] = {{8, CLSA_MACHINE_stream_share_8m}, {16, CLSA_MACHINE_stream_share_16m},
                 {32, CLSA_MACHINE_stream_share_32m}, {128, CLSA_MACHINE_dram_share}};
    for (int i = 0; i < 4; i++) {
        clsa_machine_put(&m, (enum clsa_machine_parameter)looks[i].parameter, 0.5);
        for (int k = 0; k < 4; k++) {
            const double bytes = looks[k].mib * (1 << 20);
            call = streaming(1e6, bytes);
            NEAR(seconds(&m, &call, 1), (i == k ? 2 : 1) * 1e6 / clsa_curve_at(&m.curve_stream, bytes, 0, 0));
        }
        clsa_machine_put(&m, (enum clsa_machine_parameter)looks[i].parameter, 1);
    }
    m.dram_share = 0.5;
    call = streaming(1e6, INFINITY);
    NEAR(seconds(&m, &call, 1), 2 * 1e6 / 4e9);
    call = streaming(1e6, 64 << 20); /* half way between 32 and 128 */
    NEAR(seconds(&m, &call, 1), sqrt(2) * 1e6 / clsa_curve_at(&m.curve_stream, 64 << 20, 0, 0));
    /* Several threads that take turns at memory and arithmetic wait for the root of what memory has lost, but no less
     * than all of them together need. */
    const double usual = 4e6 / 4 / 2e9;
    m.dram_share = 0.25;
    for (int times = 1; times < 8; times += 2) {
        call = streaming(0, INFINITY);
        call.exposed = 1;
        call.vector_flops = times * usual * m.vector_fp32;
        const double computing = seconds(&m, &call, 4) - m.fork_join;
        call.streams[0].bytes = 4e6;
        NEAR(seconds(&m, &call, 4) - m.fork_join, fmax(computing + 2 * usual, 4 * usual));
    }
    m.dram_share = 1;
    call = streaming(1e6, 64 << 10);
    /* What others bring in lengthens the wait since the last use. */
    m.l3_foreign = 1e9;
    m.l3_foreign_share = 2;
    struct clsa_cpu_place at;
    clsa_cpu_place_find(&m, 16 << 20, 0.01, 1, &at);
    NEAR(at.since, (16 << 20) + 2e7);
    m.l3_foreign = 0;
    call.vector_flops = 1e9;
    const double alone = seconds(&m, &call, 1);
    m.core_share = 0.5;
    NEAR(seconds(&m, &call, 1), 2 * alone);
    clsa_machine_destroy(&m);
    /* Asked about another machine, what was measured of this one says nothing. */
    static const char *const sets[] = {"l3.size=64MiB"}, *const clock[] = {"fork_join=2us"};
    ck_assert_msg(read_text(curves, sets, 1, &m) == 0, "%s", err.text);
    ck_assert_uint_eq(m.curve_stream.n, 0);
    clsa_machine_destroy(&m);
    ck_assert_msg(read_text(curves, clock, 1, &m) == 0, "%s", err.text);
    ck_assert_uint_eq(m.curve_stream.n, 4);
    clsa_machine_destroy(&m);
}
END_TEST

/* Another busy thread of the core has half of its L2: two uses of what lies there are twice as far apart. */
/* What a last cache has not learnt yet streams at a rate of its own, in times between. */
START_TEST(large_caches_learn_what_comes_again)
{
    char text[sizeof curves + 200];
    struct clsa_machine m;
    snprintf(text, sizeof text, "%scurve.unsettled,64KiB:32 1MiB:16 16MiB:4 256MiB:4,GB/s,measured\n"
             "curve.unsettled_all,64KiB:32 1MiB:8 16MiB:2 256MiB:2,GB/s,measured\n", curves);
    ck_assert_msg(read_text(text, NULL, 0, &m) == 0, "%s", err.text);
    struct clsa_cpu_call call = streaming(1e6, 16 << 20), apart = streaming(1e6, 64 << 20);
    NEAR(seconds(&m, &call, 1), 1e6 / 8e9);
    NEAR(seconds(&m, &apart, 4), 1e6 / 4 / 4e9 + m.fork_join);
    call.unsettled = apart.unsettled = 1;
    NEAR(seconds(&m, &call, 1), 1e6 / 4e9);
    NEAR(seconds(&m, &apart, 4), 1e6 / 4 / 2e9 + m.fork_join);
    call.unsettled = 0.5;
    NEAR(seconds(&m, &call, 1), (1e6 / 4e9 + 1e6 / 8e9) / 2);
    /* Bytes that came again count by l3.churn. */
    NEAR(clsa_cpu_churned(&m, 10, 30), 10);
    m.l3_churn = 0.5;
    NEAR(clsa_cpu_churned(&m, 10, 30), 20);
    NEAR(clsa_cpu_churned(&m, 10, 5), 10);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(a_sibling_takes_half_of_an_l2)
{
    struct clsa_machine m;
    ck_assert_msg(read_text(curves, NULL, 0, &m) == 0, "%s", err.text);
    struct clsa_cpu_place at, half, far;
    const double inside = 0.25 * m.l2_size, beyond = 64 * m.l2_size;
    m.l3_foreign = 0;
    clsa_cpu_place_find(&m, inside, 0, 1, &at);
    NEAR(at.since, inside);
    m.core_share = 0.8;
    clsa_cpu_place_find(&m, inside, 0, 1, &half);
    NEAR(half.since, inside / 0.75);
    m.core_share = 0.3; /* more than one */
    clsa_cpu_place_find(&m, inside, 0, 1, &half);
    NEAR(half.since, 2 * inside);
    ck_assert(half.in_l2 <= at.in_l2 && half.read >= at.read);
    clsa_cpu_place_find(&m, beyond, 0, 1, &far);
    NEAR(far.since, beyond + m.l2_size);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(entries_wait_where_their_last_use_left_them)
{
    struct clsa_machine m;
    ck_assert_msg(read_text(curves, NULL, 0, &m) == 0, "%s", err.text);
    const struct clsa_cpu_call call = {.parts = 1};
    const double pool = 256 << 20;
    struct clsa_cpu_place at;
    m.tlb_page = 8192; /* small pages have curves of their own */
    m.tlb_host_page = 0;
    m.tlb_entries = 1;
    clsa_cpu_place_find(&m, 256 << 20, 0, 1, &at);
    /* again and again: walks are in the measured rates */
    const double steady = clsa_cpu_row(&m, &call, 64, INFINITY, &at, pool, 0);
    NEAR(steady, 64 / 1e9);
    /* the first row pays for a line from memory instead of one that is near; of many rows few are first */
    struct clsa_cpu_place near;
    const double lines = pool / 8192 / 8;
    clsa_cpu_place_find(&m, lines * (64 + m.l2_line), lines * steady, 1, &near);
    double before = clsa_cpu_row(&m, &call, 64, 1e-3, &at, pool, 0) - steady;
    WITHIN(before, (100e-9 - near.latency) / m.tlb_walkers, 1e-3);
    for (double rows = 1; rows < 1e6; rows *= 8) {
        const double now = clsa_cpu_row(&m, &call, 64, rows, &at, pool, 0) - steady;
        ck_assert(now > 0 && now < before);
        before = now;
    }
    ck_assert(before * m.tlb_walkers < 100e-9 * lines / 1e5);
    /* what one of two threads read is near the other as well: lines that both meet come again as if one met twice as
     * many, of which each waits for its own */
    clsa_cpu_place_find(&m, 2 << 20, 0, 1, &at);
    const double own = clsa_cpu_row(&m, &call, 64, INFINITY, &at, pool, 0);
    for (double rows = 64; rows < 1e4; rows *= 8) {
        const double twice = clsa_cpu_row(&m, &call, 64, 2 * rows, &at, pool, 0) - own;
        at.threads = 2;
        const double both = clsa_cpu_row(&m, &call, 64, rows, &at, pool, 0) - own;
        at.threads = 1;
        ck_assert(both > 0 && both < clsa_cpu_row(&m, &call, 64, rows, &at, pool, 0) - own);
        WITHIN(both / twice, 2 * (1 - exp(-rows / lines)) / (1 - exp(-2 * rows / lines)), 1e-3);
    }
    clsa_cpu_place_find(&m, 256 << 20, 0, 1, &at);
    /* a TLB that reaches everything that goes by */
    m.tlb_entries = 1e9;
    NEAR(clsa_cpu_row(&m, &call, 64, 16, &at, pool, 0), steady);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(curves_that_make_no_sense_are_refused)
{
    static const struct {
        const char *value, *says;
    } bad[] = {{"", "without points"},       {"1MiB", "no point"},          {"1MiB:", "number"},
               {"1MiB:x", "number"},         {"0:5", "no point"},           {"x:5", "no point"},
               {"1MiB:-5", "impossible"},    {"1MiB:0", "impossible"},      {"2MiB:5 1MiB:5", "ascend"},
               {"1MiB:5 1MiB:5", "ascend"},  {"1MiB/64:5 2MiB:5", "ascend"}, {"1MiB/64:5 1MiB/64:5", "ascend"},
               {"1MiB/0:5", "no point"},     {"/64:5", "no point"},         {"1MiB/:5", "no point"},
               {"99999999999999999999:5", "no point"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct clsa_machine m;
        char text[512];
        snprintf(text, sizeof text,
                 "parameter,value,unit,source\nbase,toy-cpu,-,-\ncurve.stream,%s,GB/s,measured\n",
                 bad[i].value);
        ck_assert_msg(read_text(text, NULL, 0, &m) != 0, "%s", bad[i].value);
        ck_assert_msg(strstr(err.text, bad[i].says) && strstr(err.text, ":3:"), "%s: %s", bad[i].value,
                      err.text);
    }
    char text[2048] = "parameter,value,unit,source\nbase,toy-cpu,-,-\ncurve.stream,";
    for (int i = 0; i <= CLSA_CURVE_POINTS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%dMiB:5 ", i + 1);
    strcat(text, ",GB/s,measured\n");
    struct clsa_machine m;
    ck_assert_int_eq(read_text(text, NULL, 0, &m), CLSA_ELIMIT);
}
END_TEST

/* A host that computes and streams as its file says has both wholly, one that is half as fast half of them. */
START_TEST(a_host_is_as_found)
{
    struct clsa_machine m;
    ck_assert_msg(read_text(curves, NULL, 0, &m) == 0, "%s", err.text);
    m.vector_mixed = 30e9;
    m.core_handed = 5e9;
    m.core_slowest = 0.9;
    for (int part = 1; part <= 2; part++)
        for (unsigned threads = 1; threads <= 4; threads += 3) {
            const struct clsa_curve *curve = threads > 1 ? &m.curve_stream_all : &m.curve_stream;
            const double each = (double)threads / part;
            const struct clsa_probe found = {
                .flops = m.vector_mixed / 4 * each,
                .stream = {clsa_curve_at(curve, 8 << 20, 0, 0) * each, clsa_curve_at(curve, 16 << 20, 0, 0) * threads,
                           clsa_curve_at(curve, 32 << 20, 0, 0) * threads * part,
                           clsa_curve_at(curve, INFINITY, 0, 0) * each},
                .fork_join = part * (threads > 1 ? m.fork_join : m.fork_join_one),
                .handed = 5e9 / part,
                .slowest = 0.9 / part,
                .first = 0.5 * part};
            ck_assert_int_eq(clsa_cpu_as_found(&m, threads, &found), 0);
            NEAR(m.core_share, 1.0 / part);
            NEAR(m.stream_share_8m, 1.0 / part);
            NEAR(m.stream_share_16m, 1);
            NEAR(m.stream_share_32m, part);
            NEAR(m.dram_share, pow(part, 0.3 - 0.5)); /* of the looks at 32 MiB and beyond caches */
            NEAR(m.core_handed_share, 1.0 / part);
            NEAR(m.core_slowest_share, 1.0 / part);
            NEAR(m.core_first_share, 0.5 * part);
            NEAR(m.fork_share, threads > 1 ? part : 1); /* of one thread: nothing */
        }
    /* Caches that nobody looked at give as much as the core, and toward memory what lies between. */
    const struct clsa_probe little = {.flops = m.vector_mixed / 8,
                                      .stream = {[3] = clsa_curve_at(&m.curve_stream, INFINITY, 0, 0) / 8}};
    ck_assert_int_eq(clsa_cpu_as_found(&m, 1, &little), 0);
    NEAR(m.stream_share_8m, 0.5);
    NEAR(m.stream_share_16m, 0.5 / sqrt(2));
    NEAR(m.stream_share_32m, 0.25);
    NEAR(m.dram_share, pow(0.125, 0.5) * pow(0.25, 0.3));
    NEAR(m.l3_foreign_share, 1);
    /* What was kept of idle data is what data that lie as long will find. */
    struct clsa_probe idle = little;
    m.l3_foreign = 1e9;
    m.l3_size = 64 << 20;
    m.l2_size = 1 << 20;
    for (int wait = 0; wait < CLSA_PROBE_IDLES; wait++)
        for (double kept = 0.6; kept < 0.9; kept += 0.1) {
            struct clsa_cpu_place at;
            memset(idle.kept, 0, sizeof idle.kept);
            idle.kept[wait] = kept;
            ck_assert_int_eq(clsa_cpu_as_found(&m, 1, &idle), 0);
            m.core_share = 1; /* or its L2 were half as large */
            clsa_cpu_place_find(&m, (double)CLSA_PROBE_IDLE_BYTES, clsa_probe_idle_us[wait] * 1e-6, 1, &at);
            WITHIN(1 - at.dram, kept, 1e-4);
        }
    /* Without a curve lines are replaced at random: twice as much leaves the square. */
    struct clsa_machine plain = m;
    plain.curve_stream.n = 0;
    plain.l3_foreign = 0;
    const struct clsa_cpu_idle left[] = {{0.002, 0.25}, {0.002, 0.5}, {0.002, 1}};
    WITHIN(clsa_cpu_foreign(&plain, 1, 1e6, &left[0], 1), 2 * clsa_cpu_foreign(&plain, 1, 1e6, &left[1], 1), 1e-5);
    WITHIN(clsa_cpu_foreign(&plain, 1, 1e6, &left[2], 1), CLSA_CPU_FOREIGN_LEAST, 1e-5);
    m.l3_foreign = 0;
    /* All are rows of the machine, once. */
    unsigned rows = 0;
    for (size_t i = 0; i < m.n_rows; i++)
        rows += strstr(clsa_machine_parameter_name(m.rows[i].parameter), "share") != NULL;
    ck_assert_uint_eq(rows, CLSA_CPU_SHARES);
    clsa_machine_destroy(&m);
}
END_TEST

/* ---- tables ---- */

/* Rows of a table are the steps that `clsa run` times: predictions of whole steps are sums over all ops. */
START_TEST(timed_steps_are_cases)
{
    static const char text[] =
        "threads,kv_dtype,model,batch,context,group,op,count,measured_us,share_percent,probe_gflops,probe_stream_gbps\n"
        "1,f32,clsa-byte-5m,1,8192,4,(step),1,100,100,10,4\n"
        "1,f32,clsa-byte-5m,1,8192,4,index_score,2,50,50,10,4\n"
        "2,f32,clsa-byte-5m,1,8192,4,topk,2,1,1,10,4\n"
        "1,f32,clsa-byte-5m,1,8192,4,attn_dense,2,1,1,10,4\n"
        "1,f32,clsa-byte-5m,1,8192,4,(step),1,100,100,0,4\n"
        "1,f32,no-such-model,1,8192,4,(step),1,100,100,10,4\n";
    struct clsa_machine m = machine_named("toy-cpu");
    struct clsa_implementation impl;
    struct clsa_table_case c;
    struct clsa_table_row row, op;
    struct clsa_csv csv;
    char path[512];
    path_of(path, sizeof path, "hwmodels/implementations", "native", ".csv");
    ck_assert_int_eq(clsa_impl_read(path, NULL, 0, &impl, &err), 0);
    ck_assert_int_eq(clsa_csv_parse("t.csv", text, sizeof text - 1, &csv, &err), 0);
    ck_assert_msg(clsa_table_case(CLSA_TABLE_CPU_OPS, &csv, 0, &c, &err) == 0, "%s", err.text);
    ck_assert(c.target && c.threads == 1 && c.only < 0);
    ck_assert_int_eq(clsa_table_predict_case(&c, &m, &impl, &row, &err), 0);
    /* 10 GFLOP/s a core and 10 GB/s: its memory gives 4 now. */
    const struct clsa_closed_request request = {.step = &c.step, .machine = &m, .impl = &impl, .threads = 1};
    struct clsa_prediction p;
    m.dram_share = pow(0.4, 0.5 + 0.3 / 2); /* of the look and of what lies half way to the core, as nobody looked there */
    ck_assert_int_eq(clsa_closed_predict(&request, &p, &err), 0);
    WITHIN(row.predicted_us, (double)p.step_ps * 1e-6, 1e-9);
    double index = 0;
    for (size_t i = 0; i < p.n_ops; i++)
        index += c.step.ops[i].kind == CLSA_OP_INDEX_SCORE ? (double)p.ops[i].ps * 1e-6 : 0;
    clsa_prediction_destroy(&p);
    clsa_table_case_destroy(&c);
    m.dram_share = 1;
    ck_assert_int_eq(clsa_table_case(CLSA_TABLE_CPU_OPS, &csv, 1, &c, &err), 0);
    ck_assert_int_eq(clsa_table_predict_case(&c, &m, &impl, &op, &err), 0);
    WITHIN(op.predicted_us, index, 1e-9);
    ck_assert_str_eq(op.group, "index_score");
    clsa_table_case_destroy(&c);
    ck_assert_int_eq(clsa_table_case(CLSA_TABLE_CPU_OPS, &csv, 2, &c, &err), 0);
    ck_assert(!c.target); /* a hundredth of its step */
    clsa_table_case_destroy(&c);
    for (size_t r = 3; r < csv.rows; r++) {
        static const char *const says[] = {"no op 'attn_dense'", "probe_gflops", "no-such-model"};
        ck_assert_int_ne(clsa_table_case(CLSA_TABLE_CPU_OPS, &csv, r, &c, &err), 0);
        ck_assert_msg(strstr(err.text, says[r - 3]) != NULL, "%s", err.text);
    }
    clsa_csv_destroy(&csv);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cpu_host");
    TCase *c = tcase_create("figures");
    tcase_add_test(c, random_rows_are_fitted_to_all_gathers);
    tcase_add_test(c, machines_come_from_figures);
    tcase_add_test(c, churn_is_found_in_figures);
    tcase_add_test(c, rounds_settle);
    suite_add_tcase(s, c);
    c = tcase_create("curves");
    tcase_add_test(c, curves_stand_in_place_of_sizes_and_rates);
    tcase_add_test(c, large_caches_learn_what_comes_again);
    tcase_add_test(c, a_sibling_takes_half_of_an_l2);
    tcase_add_test(c, entries_wait_where_their_last_use_left_them);
    tcase_add_test(c, curves_that_make_no_sense_are_refused);
    tcase_add_test(c, a_host_is_as_found);
    suite_add_tcase(s, c);
    c = tcase_create("tables");
    tcase_add_test(c, timed_steps_are_cases);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
