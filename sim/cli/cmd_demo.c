/* demo: the whole flow once, for real, on the embedded model and on CLSA-4B. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hwmodels/measure.h"
#include "reports/report.h"
#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/demo.h"

#define PROMPT_TOKENS 4096
#define DECODE_STEPS 64
/* Enough to tell memory from caches, and done in a few seconds. */
#define MEASURE_BYTES (UINT64_C(128) << 20)

static const uint32_t demo_groups[] = {0, 1, 2, 4, 8};
#define DEMO_GROUPS (sizeof demo_groups / sizeof *demo_groups)

static void heading(const char *text)
{
    printf("\n== %s\n", text);
    fflush(stdout);
}

/* Measures the host into OUT/host.csv and opens it as a target. */
static int describe_host(struct clsa_demo *d, struct clsa_err *err)
{
    const struct clsa_measure_options options = {.memory_bytes = MEASURE_BYTES, .repeats = 5, .rounds = 2};
    struct clsa_measurement_set set;
    struct clsa_outfile file;
    char *path = clsa_path_join(d->out, "host.csv");
    if (!path)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    int status = clsa_measure_host(&options, &set, err);
    if (status == CLSA_OK) {
        status = clsa_outfile_open(path, &file, err);
        if (status == CLSA_OK) {
            status = clsa_measurement_machine(file.stream, "the host of this demo", &set, err);
            if (status == CLSA_OK)
                status = clsa_outfile_commit(&file, err);
            else
                clsa_outfile_abort(&file);
        }
        clsa_measurement_destroy(&set);
    }
    if (status == CLSA_OK)
        status = clsa_open_target(path, NULL, &d->host, err);
    free(path);
    return status;
}

/* All group sizes in turns; the model's own is recorded. */
static int run_groups(struct clsa_demo *d, const struct clsa_prompt *prompt, struct clsa_err *err)
{
    struct clsa_generation_request requests[DEMO_GROUPS];
    struct clsa_generation generations[DEMO_GROUPS] = {{.steps = 0}};
    struct clsa_measured_run measured = {.ref = &d->ref, .prompt = prompt};
    struct clsa_prober *prober = NULL;
    size_t own = 0;
    for (size_t g = 0; g < DEMO_GROUPS; g++) {
        requests[g] = (struct clsa_generation_request){
            .model = d->model, .prompt = prompt, .steps = DECODE_STEPS, .top_p = 1};
        clsa_engine_defaults(&d->ref.geometry, 1, &requests[g].engine);
        requests[g].engine.group = demo_groups[g];
        if (demo_groups[g] == d->ref.geometry.index_group)
            own = g;
    }
    int status = clsa_prober_create(0, &prober, err);
    if (status == CLSA_OK)
        status = clsa_demo_run(d, requests, DEMO_GROUPS, own, prober, generations, err);
    if (status == CLSA_OK)
        clsa_prober_found(prober, &measured.found);
    clsa_prober_destroy(prober);
    for (size_t g = 0; status == CLSA_OK && g < DEMO_GROUPS; g++) {
        measured.engine = &requests[g].engine;
        measured.generation = &generations[g];
        status = clsa_measured_add(d->store, &measured, &d->host, err);
    }
    for (size_t g = 0; g < DEMO_GROUPS; g++)
        clsa_generation_destroy(&generations[g]);
    return status;
}

static int run_embedded(struct clsa_demo *d, struct clsa_err *err)
{
    struct clsa_prompt prompt = {0};
    int status = clsa_prompt_tensor(d->tasks, "s4096.text_tokens", PROMPT_TOKENS, 1, &prompt, err);
    if (status == CLSA_OK)
        status = run_groups(d, &prompt, err);
    clsa_prompt_destroy(&prompt);
    return status;
}

static int print(struct clsa_demo *d, const char *query, struct clsa_err *err)
{
    struct clsa_cursor *cursor;
    int status = clsa_query_open(clsa_store_reader(d->store), query, &cursor, err);
    return status ? status : clsa_print_cursor(stdout, CLSA_FORMAT_TABLE, cursor, err);
}

static int begin(const struct clsa_args *args, struct clsa_demo *d, struct clsa_err *err)
{
    const struct clsa_run_row run = {.command = args->command->name,
                                     .command_line = "clsa demo",
                                     .tool_version = PACKAGE_VERSION,
                                     .host = d->host.name ? d->host.name : "",
                                     .seed = 1,
                                     .started_unix_s = CLSA_NULL};
    return clsa_store_open(d->database, &run, &d->store, err);
}

static int end(struct clsa_demo *d, struct clsa_err *err)
{
    const int status = clsa_store_commit(d->store, err);
    clsa_store_destroy(d->store);
    d->store = NULL;
    return status;
}

static int embedded_part(const struct clsa_args *args, struct clsa_demo *d, struct clsa_err *err)
{
    int status;
    heading("This machine, measured in a few seconds (clsa machine measure takes longer and is finer)");
    if ((status = describe_host(d, err)) || (status = begin(args, d, err)))
        return status;
    printf("%s: %.0f cores at %.2f GHz, L3 %.0f MiB, memory reads at %.1f GB/s\n", "host.csv",
           d->host.machine.core_count, d->host.machine.core_clock / 1e9,
           d->host.machine.l3_size / 0x1p20, d->host.machine.dram_bandwidth / 1e9);
    heading("clsa-byte-5m reads 4096 bytes and decodes 64, dense (group 0) and with shared indices");
    if ((status = run_embedded(d, err)) || (status = print(d, "measured_steps", err)))
        return status;
    heading("The same model answers recall tasks: facts in texts of 1024 and 4096 bytes, one and two hops away");
    if ((status = clsa_demo_tasks(d, err)) || (status = print(d, "eval", err)))
        return status;
    heading("The decode recorded at the model's own group size, replayed on other machines");
    if ((status = clsa_demo_replay(d, err)) || (status = print(d, "predict", err)))
        return status;
    return end(d, err);
}

static int large_part(const struct clsa_args *args, struct clsa_demo *d, struct clsa_err *err)
{
    int status;
    heading("CLSA-4B decodes at a context of 128K on GPUs, batch 1 and 8");
    if ((status = begin(args, d, err)) || (status = clsa_demo_large(d, err)) ||
        (status = print(d, "predict", err)))
        return status;
    return end(d, err);
}

static int report(struct clsa_demo *d, struct clsa_err *err)
{
    struct clsa_reader *reader;
    int status = clsa_reader_open(d->database, &reader, err);
    if (status)
        return status;
    heading("In short");
    status = clsa_report_findings(reader, stdout, 100, err);
    if (status == CLSA_OK)
        status = clsa_report_html(reader, d->page, err);
    clsa_reader_destroy(reader);
    return status;
}

static int open_demo(const struct clsa_args *args, struct clsa_demo *d, struct clsa_err *err)
{
    d->out = clsa_arg(args, "out", "clsa-demo");
    if (mkdir(d->out, 0777) != 0 && errno != EEXIST)
        return clsa_fail(err, CLSA_EIO, "%s: %s", d->out, strerror(errno));
    d->database = clsa_path_join(d->out, "demo.db");
    d->page = clsa_path_join(d->out, "report.html");
    d->trace = clsa_path_join(d->out, "decode.clsat");
    d->tasks = clsa_data_find("models", "tasks", ".safetensors", err);
    if (!d->tasks)
        return CLSA_ENOTFOUND;
    if (!d->database || !d->page || !d->trace)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    /* A demo that is run again starts again. */
    if (unlink(d->database) != 0 && errno != ENOENT)
        return clsa_fail(err, CLSA_EIO, "%s: %s", d->database, strerror(errno));
    int status = clsa_open_model_named("clsa-byte-5m", &d->ref, err);
    return status ? status : clsa_model_open("clsa-byte-5m", &d->model, err);
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_demo d = {0};
    const uint64_t start = clsa_now_ns();
    int status = clsa_threads_choose(args, err);
    if (status == CLSA_OK)
        status = open_demo(args, &d, err);
    if (status == CLSA_OK)
        status = embedded_part(args, &d, err);
    if (status == CLSA_OK)
        status = large_part(args, &d, err);
    if (status == CLSA_OK)
        status = report(&d, err);
    if (status == CLSA_OK) {
        printf("\nAll of it is in %s; the page is %s (%.0f s).\n\nTry next:\n"
               "  clsa query %s best_group\n"
               "  clsa predict --model clsa-4b --machine b200-sxm,h200-sxm --batch 1,32 --fast\n"
               "  clsa predict --model clsa-4b --machine h100-sxm --set l2.size=200MiB --fast\n"
               "  clsa trace stats %s\n"
               "  clsa machine list\n",
               d.database, d.page, (double)(clsa_now_ns() - start) / 1e9, d.database, d.trace);
    }
    clsa_store_destroy(d.store);
    clsa_close_target(&d.host);
    clsa_model_destroy(d.model);
    clsa_close_model(&d.ref);
    free(d.database);
    free(d.page);
    free(d.trace);
    free(d.tasks);
    return status;
}

static const struct clsa_option options[] = {
    {"out", "DIR", "folder for the database, the report and the trace (default clsa-demo)"},
    CLSA_OPT_THREADS,
    CLSA_OPT_END};

const struct clsa_command clsa_command_demo = {
    .name = "demo",
    .synopsis = "[--out DIR]",
    .summary = "the main job on the embedded model: run, trace, replay, store, report",
    .options = options,
    .run = run};
