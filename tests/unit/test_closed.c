/* sim/replay closed form, intervals, statistics over tables and fitting. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/model/plan.h"
#include "sim/replay/calibrate.h"
#include "sim/replay/closed.h"
#include "sim/replay/interval.h"
#include "sim/replay/validate_table.h"

static struct clsa_machine machine(const char *name, const char *set)
{
    struct clsa_machine m;
    struct clsa_err err;
    ck_assert_msg(clsa_machine_read(name, &set, set != NULL, &m, &err) == 0, "%s", err.text);
    return m;
}

static struct clsa_implementation implementation(const char *name)
{
    struct clsa_implementation impl;
    struct clsa_err err;
    ck_assert_msg(clsa_impl_read(name, NULL, 0, &impl, &err) == 0, "%s", err.text);
    return impl;
}

static struct clsa_step decode(const char *model, uint32_t batch, uint64_t context, uint32_t group)
{
    char *config = NULL, *weights = NULL;
    struct clsa_geometry g;
    struct clsa_err err;
    struct clsa_plan_request request;
    struct clsa_step step;
    uint64_t past[64];
    ck_assert_msg(clsa_model_find(model, &config, &weights, &err) == 0, "%s", err.text);
    ck_assert_msg(clsa_geometry_read(config, &g, &err) == 0, "%s", err.text);
    free(config);
    free(weights);
    ck_assert_uint_le(batch, 64);
    clsa_plan_decode(&g, batch, context, group, past, &request);
    ck_assert_msg(clsa_plan_build(&g, &request, &step, &err) == 0, "%s", err.text);
    return step;
}

static struct clsa_prediction predict(const struct clsa_step *step, const struct clsa_machine *m,
                                      const struct clsa_implementation *impl, bool cold)
{
    const struct clsa_closed_request request = {
        .step = step, .machine = m, .impl = impl, .cold = cold};
    struct clsa_prediction p;
    struct clsa_err err;
    ck_assert_msg(clsa_closed_predict(&request, &p, &err) == 0, "%s", err.text);
    return p;
}

static uint64_t step_ps(const char *model, uint32_t batch, uint64_t context, uint32_t group,
                        const struct clsa_machine *m, const struct clsa_implementation *impl)
{
    struct clsa_step step = decode(model, batch, context, group);
    struct clsa_prediction p = predict(&step, m, impl, false);
    const uint64_t ps = p.step_ps;
    clsa_prediction_destroy(&p);
    clsa_plan_destroy(&step);
    return ps;
}

static const struct setup {
    const char *machine, *implementation, *model;
    uint32_t cross_layers;
} setups[] = {{"h100-sxm", "triton-own", "clsa-4b", 16},
              {"a100-sxm-80g", "triton-own", "yoco-3b", 13},
              {"toy-gpu", "triton-own", "clsa-byte-5m", 8},
              {"epyc-genoa", "native", "clsa-byte-5m", 8}};
#define SETUPS ((int)(sizeof setups / sizeof *setups))

/* ---- the closed form ---- */

START_TEST(totals_add_up)
{
    const struct setup *s = &setups[_i];
    struct clsa_machine m = machine(s->machine, NULL);
    struct clsa_implementation impl = implementation(s->implementation);
    const uint32_t groups[] = {0, 1};
    for (size_t g = 0; g < 2; g++) {
        struct clsa_step step = decode(s->model, 2, 4096, groups[g]);
        struct clsa_prediction p = predict(&step, &m, &impl, false);
        uint64_t ps = 0, part[CLSA_PARTS] = {0}, launches = 0, dram = 0;
        ck_assert_uint_eq(p.n_ops, step.n_ops);
        for (size_t i = 0; i < p.n_ops; i++) {
            const struct clsa_op_prediction *o = &p.ops[i];
            ps += o->ps;
            part[o->part] += o->ps;
            launches += o->launches;
            dram += o->dram_bytes;
            ck_assert_uint_ge(o->l1_bytes, o->l2_bytes);
            ck_assert_uint_ge(o->l2_bytes, o->dram_bytes);
            ck_assert(o->ps_lo <= o->ps && o->ps <= o->ps_hi);
            ck_assert((o->launches == 0) == (o->ps == 0));
        }
        ck_assert_uint_eq(ps, p.step_ps);
        ck_assert_uint_eq(launches, p.launches);
        ck_assert_uint_eq(dram, p.dram_bytes);
        for (size_t i = 0; i < CLSA_PARTS; i++)
            ck_assert_uint_eq(part[i], p.part_ps[i]);
        ck_assert_uint_eq(p.part_ps[0] + p.part_ps[1] + p.part_ps[2], p.step_ps);
        ck_assert(p.step_ps_lo < p.step_ps && p.step_ps < p.step_ps_hi);
        ck_assert((groups[g] == 0) == (p.part_ps[CLSA_PART_INDEX] == 0));
        clsa_prediction_destroy(&p);
        clsa_plan_destroy(&step);
    }
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(a_second_run_gives_the_same_integers)
{
    const struct setup *s = &setups[_i];
    struct clsa_machine m = machine(s->machine, NULL);
    struct clsa_implementation impl = implementation(s->implementation);
    struct clsa_step step = decode(s->model, 3, 5000, 1);
    struct clsa_prediction a = predict(&step, &m, &impl, false);
    struct clsa_prediction b = predict(&step, &m, &impl, false);
    ck_assert_uint_eq(a.step_ps, b.step_ps);
    ck_assert_uint_eq(a.step_ps_hi, b.step_ps_hi);
    for (size_t i = 0; i < a.n_ops; i++)
        ck_assert_uint_eq(a.ops[i].ps, b.ops[i].ps);
    clsa_prediction_destroy(&a);
    clsa_prediction_destroy(&b);
    clsa_plan_destroy(&step);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(warm_caches_never_cost)
{
    const struct setup *s = &setups[_i];
    struct clsa_machine m = machine(s->machine, NULL);
    struct clsa_implementation impl = implementation(s->implementation);
    struct clsa_step step = decode(s->model, 1, 4096, 1);
    struct clsa_prediction cold = predict(&step, &m, &impl, true);
    struct clsa_prediction warm = predict(&step, &m, &impl, false);
    ck_assert_uint_le(warm.step_ps, cold.step_ps);
    ck_assert_uint_le(warm.dram_bytes, cold.dram_bytes);
    ck_assert_uint_gt(cold.dram_bytes, 0);
    clsa_prediction_destroy(&cold);
    clsa_prediction_destroy(&warm);
    clsa_plan_destroy(&step);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(larger_caches_and_faster_memory_never_cost)
{
    static const char *const sets[] = {"l2.size=64MiB", "l2.size=128MiB", "l2.size=512MiB",
                                       "dram.bandwidth=8TB/s", "sm.clock=2.2GHz",
                                       "launch.graph_node=0us"};
    struct clsa_machine m = machine("h100-sxm", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    struct clsa_step step = decode("clsa-4b", 8, 32768, 4);
    struct clsa_prediction base = predict(&step, &m, &impl, false);
    struct clsa_machine better = machine("h100-sxm", sets[_i]);
    struct clsa_prediction p = predict(&step, &better, &impl, false);
    ck_assert_uint_le(p.step_ps, base.step_ps);
    if (strncmp(sets[_i], "l2.size", 7) == 0) /* faster memory may make other tiles the best */
        ck_assert_uint_le(p.dram_bytes, base.dram_bytes);
    clsa_prediction_destroy(&p);
    clsa_prediction_destroy(&base);
    clsa_plan_destroy(&step);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
    clsa_machine_destroy(&better);
}
END_TEST

START_TEST(a_shared_layer_does_not_grow_with_context)
{
    const struct setup *s = &setups[_i];
    struct clsa_machine m = machine(s->machine, NULL);
    struct clsa_implementation impl = implementation(s->implementation);
    struct clsa_step near = decode(s->model, 1, 16384, s->cross_layers);
    struct clsa_step far = decode(s->model, 1, 131072, s->cross_layers);
    struct clsa_prediction a = predict(&near, &m, &impl, false);
    struct clsa_prediction b = predict(&far, &m, &impl, false);
    ck_assert_uint_eq(near.n_ops, far.n_ops);
    uint64_t index_near = 0, index_far = 0;
    size_t shared_ops = 0;
    int32_t made = -1; /* the layer that made the index; those after it share it */
    for (size_t i = 0; i < near.n_ops; i++) {
        const struct clsa_op *op = &near.ops[i];
        if (op->kind == CLSA_OP_TOPK)
            made = op->layer;
        const bool shared = made >= 0 && op->layer > made;
        shared_ops += shared;
        /* A CPU's page walks grow with the pool, up to one a row. */
        if (shared && m.kind == CLSA_MACHINE_GPU)
            ck_assert_uint_eq(a.ops[i].ps, b.ops[i].ps);
        if (op->kind == CLSA_OP_INDEX_SCORE) {
            index_near += a.ops[i].ps;
            index_far += b.ops[i].ps;
        }
    }
    ck_assert_uint_gt(shared_ops, 50);
    ck_assert_uint_gt(index_far, index_near);
    clsa_prediction_destroy(&a);
    clsa_prediction_destroy(&b);
    clsa_plan_destroy(&near);
    clsa_plan_destroy(&far);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(larger_groups_and_smaller_batches_are_faster)
{
    struct clsa_machine m = machine("h100-sxm", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    uint64_t last = UINT64_MAX;
    for (uint32_t group = 1; group <= 16; group *= 2) {
        const uint64_t ps = step_ps("clsa-4b", 8, 131072, group, &m, &impl);
        ck_assert_uint_lt(ps, last);
        last = ps;
    }
    last = 0;
    for (uint32_t batch = 1; batch <= 64; batch *= 2) {
        const uint64_t ps = step_ps("clsa-4b", batch, 131072, 4, &m, &impl);
        ck_assert_uint_gt(ps, last);
        last = ps;
    }
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(no_ops_gives_the_same_totals)
{
    struct clsa_machine m = machine("h100-sxm", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    struct clsa_step step = decode("clsa-4b", 2, 8192, 2);
    struct clsa_prediction a = predict(&step, &m, &impl, false), b;
    const struct clsa_closed_request request = {
        .step = &step, .machine = &m, .impl = &impl, .no_ops = true};
    ck_assert_int_eq(clsa_closed_predict(&request, &b, NULL), 0);
    ck_assert_ptr_null(b.ops);
    ck_assert_uint_eq(a.step_ps, b.step_ps);
    ck_assert_uint_eq(a.step_ps_lo, b.step_ps_lo);
    clsa_prediction_destroy(&a);
    clsa_prediction_destroy(&b);
    clsa_plan_destroy(&step);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(lack_of_memory_is_an_error)
{
    struct clsa_machine m = machine("h100-sxm", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    struct clsa_step step = decode("clsa-4b", 1, 8192, 1);
    const struct clsa_closed_request request = {.step = &step, .machine = &m, .impl = &impl};
    for (unsigned long n = 1;; n++) {
        struct clsa_prediction p = {.step_ps = 5};
        clsa_alloc_fail_at(n);
        const int status = clsa_closed_predict(&request, &p, NULL);
        if (!clsa_alloc_fail_at(0)) {
            ck_assert_int_eq(status, 0);
            ck_assert_uint_gt(n, 10);
            clsa_prediction_destroy(&p);
            break;
        }
        ck_assert_int_eq(status, CLSA_ENOMEM);
        ck_assert_uint_eq(p.step_ps, 5); /* untouched */
    }
    clsa_plan_destroy(&step);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

/* ---- intervals ---- */

START_TEST(intervals_widen_with_distance)
{
    struct clsa_machine m = machine("h100-sxm", NULL), far = machine("a100-sxm-80g", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    const struct clsa_op op = {.kind = CLSA_OP_ATTN_DENSE};
    double below, above, below_far, above_far;
    const double middle = 1e-4;
    clsa_interval_op(&m, &impl, &op, middle, &below, &above);
    ck_assert_double_eq_tol(1 - below, 1 + clsa_impl_get(&impl, &op, CLSA_IMPL_INTERVAL_LOW), 1e-9);
    ck_assert_double_eq_tol(above, clsa_impl_get(&impl, &op, CLSA_IMPL_INTERVAL_HIGH), 1e-9);
    clsa_interval_op(&m, &impl, &op, 1, &below_far, &above_far); /* far beyond what was measured */
    ck_assert(below_far > below && above_far > above);
    clsa_interval_op(&far, &impl, &op, middle, &below_far, &above_far);
    ck_assert(below_far > below && above_far > above);
    ck_assert_double_eq_tol(clsa_interval_distance(&m, &impl, &op), 0, 1e-9);
    ck_assert_double_gt(clsa_interval_distance(&far, &impl, &op), 0.1);

    /* Equal ops err together, others apart: widths of 3 in two parts and 4 make 5. */
    const struct clsa_op other = {.kind = CLSA_OP_GEMM};
    struct clsa_interval_sum sum;
    memset(&sum, 0, sizeof sum);
    clsa_interval_add(&sum, &op, 1, 10);
    clsa_interval_add(&sum, &op, 2, 20);
    clsa_interval_add(&sum, &other, 4, 40);
    clsa_impl_put(&impl, 0, CLSA_IMPL_INTERVAL_STEP, 1);
    clsa_impl_put(&impl, 0, CLSA_IMPL_INTERVAL_SHARED, 0);
    clsa_interval_step(&sum, &impl, &below, &above);
    ck_assert_double_eq_tol(below, 5, 1e-12);
    ck_assert_double_eq_tol(above, 50, 1e-12);
    clsa_impl_put(&impl, 0, CLSA_IMPL_INTERVAL_SHARED, 1); /* all in common */
    clsa_interval_step(&sum, &impl, &below, &above);
    ck_assert_double_eq_tol(below, 7, 1e-12);
    clsa_impl_put(&impl, 0, CLSA_IMPL_INTERVAL_STEP, 0.5); /* what whole steps say */
    clsa_interval_step(&sum, &impl, &below, &above);
    ck_assert_double_eq_tol(below, 3.5, 1e-12);
    memset(&sum, 0, sizeof sum);
    clsa_interval_add(&sum, &op, 1, 10); /* one op is no sum */
    clsa_interval_step(&sum, &impl, &below, &above);
    ck_assert_double_eq_tol(below, 1, 1e-12);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
    clsa_machine_destroy(&far);
}
END_TEST

/* ---- tables ---- */

START_TEST(statistics_of_known_rows)
{
    struct clsa_table_row rows[6] = {
        {100, 110, 100, 120, 50, true, false, "a"},  {200, 180, 150, 190, 200, true, false, "a"},
        {300, 300, 300, 300, 600, true, false, "a"}, {400, 520, 390, 600, 400, true, false, "b"},
        {500, 900, 0, 1, 500, true, true, "a"},      {600, 1, 0, 1, 600, false, false, "a"}};
    struct clsa_table_stats s;
    ck_assert_int_eq(clsa_table_measure(rows, 6, 0, NULL, &s), 0);
    ck_assert_uint_eq(s.rows, 4);
    ck_assert_double_eq_tol(s.mean, (10 + 10 + 0 + 30) / 4.0, 1e-9);
    ck_assert_double_eq_tol(s.bias, (10 - 10 + 0 + 30) / 4.0, 1e-9);
    ck_assert_double_eq_tol(s.median, 10, 1e-9);
    ck_assert_double_eq_tol(s.max, 30, 1e-9);
    ck_assert_double_eq_tol(s.p90, 10 + 0.7 * 20, 1e-9); /* place 2.7 of 0, 10, 10, 30 */
    ck_assert_double_eq_tol(s.coverage, 0.75, 1e-9);
    ck_assert_double_eq_tol(s.rank, 1, 1e-9);
    ck_assert_double_eq_tol(s.roofline_mean, (50 + 0 + 100 + 0) / 4.0, 1e-9);
    ck_assert_int_eq(clsa_table_measure(rows, 6, 1, NULL, &s), 0);
    ck_assert_uint_eq(s.rows, 1);
    ck_assert_int_eq(clsa_table_measure(rows, 6, -1, "b", &s), 0);
    ck_assert_uint_eq(s.rows, 1);
    ck_assert_double_eq_tol(s.mean, 30, 1e-9);
    ck_assert_int_eq(clsa_table_measure(rows, 6, -1, "nobody", &s), 0);
    ck_assert_uint_eq(s.rows, 0);
    double low, high, least, most;
    ck_assert(clsa_table_interval(rows, 3, -1, "a", &low, &high, &least, &most));
    /* ratios less one: -1/11, 0, 1/9 */
    ck_assert_double_eq_tol(low, -0.8 / 11, 1e-9);
    ck_assert_double_eq_tol(high, 0.8 / 9, 1e-9);
    ck_assert_double_eq_tol(most, 300, 1e-9);
    ck_assert(!clsa_table_interval(rows, 6, -1, "b", &low, &high, &least, &most));
}
END_TEST

START_TEST(fitting_rows_are_a_part_chosen_by_seed)
{
    size_t chosen = 0, both = 0;
    for (size_t row = 0; row < 20000; row++) {
        const bool one = clsa_table_fits(row, 20, 1), two = clsa_table_fits(row, 20, 2);
        ck_assert(!one || clsa_table_fits(row, 50, 1)); /* a larger part holds the smaller */
        chosen += one;
        both += one && two;
    }
    ck_assert(chosen > 3800 && chosen < 4200);
    ck_assert(both > 650 && both < 950); /* seeds choose independently */
    ck_assert(!clsa_table_fits(3, 0, 1) && clsa_table_fits(3, 100, 1));
}
END_TEST

static char table_path[] = "/tmp/clsa-table-XXXXXX";

static void make_table(void)
{
    const int fd = mkstemp(table_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void drop_table(void)
{
    unlink(table_path);
    memcpy(strrchr(table_path, '-') + 1, "XXXXXX", 6);
}

static struct clsa_csv read_csv(const char *file)
{
    struct clsa_csv csv;
    struct clsa_err err;
    ck_assert_msg(clsa_csv_read(file, &csv, &err) == 0, "%s", err.text);
    return csv;
}

START_TEST(bad_rows_are_named)
{
    static const struct {
        enum clsa_table table;
        const char *text, *message;
    } bad[] = {
        {CLSA_TABLE_GEMM, "dtype,m,n,k,latency_us\nbfloat16,1,2,3\n", ":2"},
        {CLSA_TABLE_GEMM, "dtype,m,n,latency_us\nbfloat16,1,2,3\n", "'k'"},
        {CLSA_TABLE_GEMM, "dtype,m,n,k,latency_us\nbf17,1,2,3,4\n", "bf17"},
        {CLSA_TABLE_GEMM, "dtype,m,n,k,latency_us\nbfloat16,1,2,99999999999999999,4\n", ":2"},
        {CLSA_TABLE_GEMM, "dtype,m,n,k,latency_us\nbfloat16,1,2,3,0\n", "not above 0"},
        {CLSA_TABLE_ATTENTION_DECODE,
         "kv_dtype,batch,context,num_heads,num_kv_heads,latency_us\nbfloat16,1,8,5,4,9\n", "head"},
        {CLSA_TABLE_OWN_STEPS, "b,s,group,median\n1,1024,3,9\n", "group"},
        {CLSA_TABLE_OWN_KERNELS, "what,b,s,median\nmagic,1,1,9\n", "magic"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct clsa_csv csv;
        struct clsa_err err = {""};
        struct clsa_table_case c;
        ck_assert_int_eq(clsa_csv_parse("t.csv", bad[i].text, strlen(bad[i].text), &csv, &err), 0);
        ck_assert_int_lt(clsa_table_case(bad[i].table, &csv, 0, &c, &err), 0);
        ck_assert_msg(strstr(err.text, bad[i].message) != NULL, "%zu: %s", i, err.text);
        clsa_csv_destroy(&csv);
    }
}
END_TEST

/* Errors on what was measured, as promised for the GPU that the constants were fitted on. */
START_TEST(own_steps_within_five_percent)
{
    struct clsa_machine m = machine("h100-sxm", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    struct clsa_table_row *rows;
    struct clsa_table_stats s;
    struct clsa_err err;
    char file[512];
    snprintf(file, sizeof file, "%s/hwmodels/measured/h100_own_steps.csv", clsa_test_source());
    struct clsa_csv csv = read_csv(file);
    ck_assert_msg(clsa_table_predict(CLSA_TABLE_OWN_STEPS, &csv, &m, &impl, 0, 1, &rows, &err) == 0,
                  "%s", err.text);
    ck_assert_int_eq(clsa_table_measure(rows, csv.rows, -1, NULL, &s), 0);
    ck_assert_uint_eq(s.rows, 24);
    ck_assert_double_lt(s.mean, 5);
    ck_assert_double_lt(s.max, 30);
    ck_assert_double_lt(s.mean, s.roofline_mean);
    /* Speed-ups over dense: rows come in sixes of one batch and context, dense first. */
    double worst = 0, mean = 0;
    for (size_t i = 0; i < csv.rows; i++) {
        const struct clsa_table_row *dense = &rows[i - i % 6];
        const double measured = dense->measured_us / rows[i].measured_us;
        const double predicted = dense->predicted_us / rows[i].predicted_us;
        const double error = 100 * fabs(predicted / measured - 1);
        worst = fmax(worst, error);
        mean += error / 20 * (i % 6 != 0);
    }
    ck_assert_double_lt(worst, 15);
    ck_assert_double_lt(mean, 3);
    free(rows);
    clsa_csv_destroy(&csv);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

START_TEST(own_kernels_within_ten_percent)
{
    struct clsa_machine m = machine("h100-sxm", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    struct clsa_table_row *rows;
    struct clsa_table_stats s;
    struct clsa_err err;
    char file[512];
    snprintf(file, sizeof file, "%s/hwmodels/measured/h100_own_kernels.csv", clsa_test_source());
    struct clsa_csv csv = read_csv(file);
    ck_assert_msg(clsa_table_predict(CLSA_TABLE_OWN_KERNELS, &csv, &m, &impl, 20, 1, &rows, &err) ==
                      0, "%s", err.text);
    ck_assert_int_eq(clsa_table_measure(rows, csv.rows, 0, NULL, &s), 0);
    ck_assert_uint_gt(s.rows, 300);
    ck_assert_double_lt(s.mean, 10);
    ck_assert_double_gt(s.rank, 0.99);
    ck_assert(s.coverage > 0.75 && s.coverage < 0.85);
    free(rows);
    clsa_csv_destroy(&csv);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

/* ---- fitting ---- */

static double bowl(void *user, const double *x)
{
    (*(unsigned *)user)++;
    return 3 + (x[0] - 1) * (x[0] - 1) + 4 * (x[1] + 0.5) * (x[1] + 0.5) + fabs(x[2] - 0.25);
}

START_TEST(simplex_finds_the_bottom)
{
    unsigned calls = 0;
    double x[3] = {0, 0, 0};
    const double least = clsa_simplex(bowl, &calls, 3, x, 0.3, 2000);
    ck_assert_double_eq_tol(least, 3, 1e-3);
    ck_assert_double_eq_tol(x[0], 1, 0.02);
    ck_assert_double_eq_tol(x[1], -0.5, 0.02);
    ck_assert_double_eq_tol(x[2], 0.25, 0.02);
    ck_assert_uint_le(calls, 2010);
}
END_TEST

START_TEST(calibrate_finds_planted_constants)
{
    /* "Measure" attention with known constants, then fit from wrong ones. */
    struct clsa_machine m = machine("h100-sxm", NULL);
    struct clsa_implementation impl = implementation("triton-own");
    struct clsa_err err;
    double planted[2];
    ck_assert_int_eq(clsa_impl_assigned(&impl, "attn_*.prologue", &planted[0], &err), 0);
    ck_assert_int_eq(clsa_impl_assigned(&impl, "attn_*.memory_efficiency", &planted[1], &err), 0);
    FILE *f = fopen(table_path, "w");
    fprintf(f, "what,b,s,hq,hkv,d,topk,median\n");
    for (unsigned b = 1; b <= 32; b *= 2)
        for (unsigned s = 2048; s <= 131072; s *= 4) {
            char text[256];
            struct clsa_csv one;
            struct clsa_table_case c;
            struct clsa_table_row row;
            const int n = snprintf(text, sizeof text, "what,b,s,hq,hkv,d,topk,median\n"
                                                      "attn_dense,%u,%u,20,4,128,,1\n", b, s);
            ck_assert_int_eq(clsa_csv_parse("t.csv", text, (size_t)n, &one, &err), 0);
            ck_assert_int_eq(clsa_table_case(CLSA_TABLE_OWN_KERNELS, &one, 0, &c, &err), 0);
            ck_assert_int_eq(clsa_table_predict_case(&c, &m, &impl, &row, &err), 0);
            fprintf(f, "attn_dense,%u,%u,20,4,128,,%.6f\n", b, s, row.predicted_us);
            clsa_table_case_destroy(&c);
            clsa_csv_destroy(&one);
        }
    ck_assert_int_eq(fclose(f), 0);
    struct clsa_csv csv = read_csv(table_path);
    ck_assert_int_eq(clsa_impl_assign(&impl, "attn_*.prologue", 2 * planted[0], &err), 0);
    ck_assert_int_eq(clsa_impl_assign(&impl, "attn_*.memory_efficiency", 0.6, &err), 0);
    const struct clsa_calibrate_request request = {
        .n_tables = 1, .tables = {CLSA_TABLE_OWN_KERNELS}, .csvs = {&csv}, .machines = {&m},
        .fit_percent = 60, .seed = 1, .folds = 3, .n_constants = 2,
        .constants = {"attn_*.prologue", "attn_*.memory_efficiency"}};
    struct clsa_calibrate_result result;
    ck_assert_msg(clsa_calibrate(&request, &impl, &result, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(result.n_constants, 2);
    ck_assert_uint_eq(result.rows_fitted + result.rows_held_out, csv.rows);
    ck_assert_double_gt(result.error_before, 10);
    ck_assert_double_lt(result.error_after, 0.1);
    ck_assert_double_lt(result.error_held_out, 0.2);
    ck_assert_double_lt(result.error_cross_validated, 0.5);
    ck_assert_double_eq_tol(result.after[0], planted[0], 0.02 * planted[0]);
    ck_assert_double_eq_tol(result.after[1], planted[1], 0.005);
    clsa_calibrate_destroy(&result);

    const struct clsa_calibrate_request nothing = {
        .n_tables = 1, .tables = {CLSA_TABLE_OWN_KERNELS}, .csvs = {&csv}, .machines = {&m},
        .fit_percent = 100, .n_constants = 1, .constants = {"gemm.no_such_thing"}};
    ck_assert_int_eq(clsa_calibrate(&nothing, &impl, &result, &err), CLSA_ENOTFOUND);
    clsa_csv_destroy(&csv);
    clsa_impl_destroy(&impl);
    clsa_machine_destroy(&m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("closed");
    TCase *c = tcase_create("steps");
    tcase_add_loop_test(c, totals_add_up, 0, SETUPS);
    tcase_add_loop_test(c, a_second_run_gives_the_same_integers, 0, SETUPS);
    tcase_add_loop_test(c, warm_caches_never_cost, 0, SETUPS);
    tcase_add_loop_test(c, larger_caches_and_faster_memory_never_cost, 0, 6);
    tcase_add_loop_test(c, a_shared_layer_does_not_grow_with_context, 0, SETUPS);
    tcase_add_test(c, larger_groups_and_smaller_batches_are_faster);
    tcase_add_test(c, no_ops_gives_the_same_totals);
    tcase_add_test(c, lack_of_memory_is_an_error);
    suite_add_tcase(s, c);
    c = tcase_create("parts");
    tcase_add_test(c, intervals_widen_with_distance);
    suite_add_tcase(s, c);
    c = tcase_create("tables");
    tcase_add_checked_fixture(c, make_table, drop_table);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, statistics_of_known_rows);
    tcase_add_test(c, fitting_rows_are_a_part_chosen_by_seed);
    tcase_add_test(c, bad_rows_are_named);
    tcase_add_test(c, own_steps_within_five_percent);
    tcase_add_test(c, own_kernels_within_ten_percent);
    tcase_add_test(c, simplex_finds_the_bottom);
    tcase_add_test(c, calibrate_finds_planted_constants);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
