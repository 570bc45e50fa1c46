/* bench: a fixed integer-only workload that ends in one number. A change of plan, selections, caches or
 * DRAM shows in it; compilers, optimisation and sanitizers do not. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/cache.h"
#include "hwmodels/dram.h"
#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/base/rng.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"
#include "sim/replay/bench_replay.h"
#include "sim/routing/synthetic.h"

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* FNV-1a over the eight bytes of a number, in one order on every machine. */
static void mix(uint64_t *hash, uint64_t value)
{
    for (int i = 0; i < 64; i += 8) {
        *hash ^= value >> i & 0xff;
        *hash *= FNV_PRIME;
    }
}

static void mix_step(uint64_t *hash, const struct clsa_step *step)
{
    for (uint32_t t = 0; t < step->n_tensors; t++) {
        mix(hash, step->tensors[t].address);
        mix(hash, step->tensors[t].bytes);
    }
    for (size_t i = 0; i < step->n_ops; i++) {
        const struct clsa_op *op = &step->ops[i];
        mix(hash, (uint64_t)op->kind << 32 | op->role);
        mix(hash, op->flops);
        mix(hash, op->read_bytes);
        mix(hash, op->write_bytes);
    }
}

/* Every position selected becomes a K/V row read through a cache, and what misses goes to DRAM. */
static void mix_rows(uint64_t *hash, const struct clsa_index_set *sets, size_t n_sets,
                     struct clsa_cache *cache, struct clsa_dram *dram, struct clsa_cache_sink *sink)
{
    enum { ROW_LINES = 16, LINE = 128 };
    for (size_t i = 0; i < n_sets; i++) {
        mix(hash, sets[i].count);
        for (uint32_t j = 0; j < sets[i].count; j++) {
            const uint64_t row = (uint64_t)sets[i].query << 20 | sets[i].positions[j];
            mix(hash, row);
            clsa_cache_stream(cache, row * ROW_LINES, ROW_LINES, false, sink);
            for (size_t f = 0; f < sink->n_fetch; f++)
                clsa_dram_access(dram, sink->fetch[f].line * LINE, sink->fetch[f].count * LINE,
                                 false);
            sink->n_fetch = sink->n_write = 0;
        }
    }
    clsa_dram_finish(dram);
    mix(hash, clsa_cache_digest(cache));
    mix(hash, clsa_dram_digest(dram));
}

static int signature(uint64_t seed, uint64_t *hash, struct clsa_err *err)
{
    static const uint32_t groups[] = {0, 1, 4, 16};
    static const struct clsa_cache_config l2 = {.size_bytes = UINT64_C(25) << 20,
                                                .line_bytes = 128,
                                                .sector_bytes = 32,
                                                .ways = 16,
                                                .hashed = true};
    static const struct clsa_dram_config hbm = {.channels = 32, .banks = 16, .bank_groups = 4,
                                                .row_bytes = 1024, .burst_bytes = 64,
                                                .interleave_bytes = 256, .window = 64,
                                                .burst_ps = 3056, .trcd_ps = 14000,
                                                .trp_ps = 14000, .tcl_ps = 14000,
                                                .tras_ps = 28000, .trrd_ps = 3000,
                                                .tfaw_ps = 12000, .tccd_l_ps = 3056,
                                                .trefi_ps = 3900000, .trfc_ps = 260000};
    struct clsa_model_ref model = {0};
    struct clsa_synthetic_params params;
    struct clsa_synthetic *synthetic = NULL;
    struct clsa_cache *cache = NULL;
    struct clsa_dram *dram = NULL;
    struct clsa_cache_sink sink = {0};
    char *config = NULL, *weights = NULL;
    int status = clsa_model_find("clsa-4b", &config, &weights, err);
    if (status == CLSA_OK)
        status = clsa_geometry_read(config, &model.geometry, err);
    clsa_synthetic_defaults(&params);
    params.seed = seed;
    if (status || (status = clsa_cache_create(&l2, &cache, err)) ||
        (status = clsa_dram_create(&hbm, &dram, err)) ||
        (status = clsa_cache_sink_create(l2.size_bytes / l2.line_bytes, 64, &sink, err)))
        goto done;
    *hash = FNV_BASIS;
    for (size_t g = 0; status == CLSA_OK && g < sizeof groups / sizeof *groups; g++) {
        uint64_t past[4];
        struct clsa_plan_request request;
        struct clsa_step step;
        const struct clsa_index_set *sets;
        size_t n_sets = 0;
        clsa_synthetic_destroy(synthetic);
        synthetic = NULL;
        clsa_plan_decode(&model.geometry, 4, 32768, groups[g], past, &request);
        status = clsa_plan_build(&model.geometry, &request, &step, err);
        if (status)
            break;
        mix_step(hash, &step);
        if ((status = clsa_synthetic_create(&params, &synthetic, err)) == CLSA_OK &&
            (status = clsa_synthetic_step(synthetic, &step, &sets, &n_sets, err)) == CLSA_OK)
            mix_rows(hash, sets, n_sets, cache, dram, &sink);
        clsa_plan_destroy(&step);
    }
done:
    clsa_cache_sink_destroy(&sink);
    clsa_dram_destroy(dram);
    clsa_cache_destroy(cache);
    clsa_synthetic_destroy(synthetic);
    free(config);
    free(weights);
    return status;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    uint64_t hash = 0, seed = 1;
    int status = clsa_arg_size(args, "seed", 0, INT64_MAX, &seed, err);
    if (status)
        return status;
    const uint64_t start = clsa_now_ns();
    status = signature(seed, &hash, err);
    if (status)
        return status;
    fprintf(stderr, "%.3f s\n", (double)(clsa_now_ns() - start) / 1e9);
    printf("%" PRIu64 "\n", hash >> 32);
    return 0;
}

static const struct clsa_option options[] = {CLSA_OPT_SEED, CLSA_OPT_END};

const struct clsa_command clsa_command_bench = {
    .name = "bench",
    .synopsis = "[--seed N]",
    .summary = "a fixed integer workload that ends in one number, the signature",
    .details = "Plans, made-up selections, a cache and DRAM: all integers, so the number is the same for\n"
               "every compiler and optimisation. A change of the model's integers changes it.",
    .options = options,
    .run = run};

static int run_replay(const struct clsa_args *args, struct clsa_err *err)
{
    static const char *const columns[] = {"bench", "million_a_second", "unit", "times_singly"};
    struct clsa_bench_rate rates[CLSA_BENCH_RATES];
    struct clsa_printer *printer;
    size_t n = 0;
    double seconds = 1;
    int format, status;
    if ((status = clsa_arg_f64(args, "seconds", 0.01, 60, &seconds, err)) ||
        (status = clsa_arg_format(args, &format, err)) ||
        (status = clsa_bench_replay(seconds, rates, &n, err)) ||
        (status = clsa_printer_open(stdout, (enum clsa_format)format, columns, 4, &printer, err)))
        return status;
    for (size_t i = 0; status == CLSA_OK && i < n; i++) {
        const struct clsa_value row[] = {
            {.type = CLSA_CELL_TEXT, .text = rates[i].name},
            {.type = CLSA_CELL_REAL, .decimals = 2, .real = rates[i].rate / 1e6},
            {.type = CLSA_CELL_TEXT, .text = rates[i].unit},
            {.type = rates[i].against > 0 ? CLSA_CELL_REAL : CLSA_CELL_NULL,
             .decimals = 1,
             .real = rates[i].against > 0 ? rates[i].rate / rates[i].against : 0}};
        status = clsa_printer_row(printer, row, err);
    }
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    return status ? status : closed;
}

static const struct clsa_option replay_options[] = {
    {"seconds", "S", "time a bench (default 1)"}, CLSA_OPT_FORMAT, CLSA_OPT_END};

const struct clsa_command clsa_command_bench_replay = {
    .name = "bench replay",
    .synopsis = "[--seconds S] [--format table|csv|json]",
    .summary = "how fast the simulators run: cache-line lookups and DRAM requests a second",
    .details = "On one core. Streams also say how many times as fast they are as the same lines one by one,\n"
               "after comparing counters and end state.",
    .options = replay_options,
    .run = run_replay};
