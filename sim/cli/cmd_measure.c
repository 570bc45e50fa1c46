/* machine measure: describe the host as a machine file. */
#include <string.h>

#include "hwmodels/machine.h"
#include "hwmodels/measure.h"
#include "sim/base/file.h"
#include "sim/base/log.h"
#include "sim/cli/commands.h"

static void show_progress(void *user, uint32_t done, uint32_t total)
{
    struct clsa_progress *p = user;
    p->total = total > done ? total : done;
    clsa_progress_step(p, done);
}

static int write_file(const char *path, const struct clsa_measurement_set *set, const char *name,
                      bool machine, struct clsa_err *err)
{
    struct clsa_outfile file;
    int status = clsa_outfile_open(path, &file, err);
    if (status)
        return status;
    if (machine)
        status = clsa_measurement_machine(file.stream, name, set, err);
    else
        clsa_measurement_print(file.stream, set);
    if (status) {
        clsa_outfile_abort(&file);
        return status;
    }
    return clsa_outfile_commit(&file, err);
}

/* The gathers beside what the model says of them on a machine. */
static int write_gathers(const char *path, const char *host, const struct clsa_measurement_set *set,
                         struct clsa_err *err)
{
    struct clsa_machine machine;
    struct clsa_outfile file;
    int status = clsa_machine_read(host, NULL, 0, &machine, err);
    if (status)
        return status;
    status = clsa_outfile_open(path, &file, err);
    if (status == CLSA_OK) {
        clsa_measurement_gathers(file.stream, set, &machine);
        status = clsa_outfile_commit(&file, err);
    }
    clsa_machine_destroy(&machine);
    return status;
}

/* All files of --from as one set. */
static int read_figures(const struct clsa_args *args, struct clsa_measurement_set *set,
                        struct clsa_err *err)
{
    char **files;
    size_t n;
    *set = (struct clsa_measurement_set){0};
    int status = clsa_arg_names(args, "from", &files, &n, err);
    if (status)
        return status;
    for (size_t i = 0; i < n && !status; i++)
        status = clsa_measurement_read(files[i], set, err);
    clsa_names_free(files, n);
    if (status)
        clsa_measurement_destroy(set);
    return status;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_progress progress;
    struct clsa_measurement_set set, held = {0};
    uint64_t threads = 0, memory = 0, repeats = 0, rounds = 0;
    int status;
    if ((status = clsa_arg_size(args, "threads", 1, 4096, &threads, err)) ||
        (status = clsa_arg_size(args, "memory", 16u << 20, UINT64_C(1) << 40, &memory, err)) ||
        (status = clsa_arg_size(args, "repeats", 3, 31, &repeats, err)) ||
        (status = clsa_arg_size(args, "rounds", 1, 1000, &rounds, err)))
        return status;
    if (clsa_arg_given(args, "gathers") && !clsa_arg_given(args, "output") &&
        !clsa_arg_given(args, "against"))
        return clsa_fail(err, CLSA_EUSAGE, "machine measure: --gathers needs -o or --against");
    const char *held_out = clsa_arg(args, "held-out", NULL);
    if (held_out && clsa_arg_given(args, "from"))
        return clsa_fail(err, CLSA_EUSAGE, "machine measure: --held-out is measured, --from is read");
    clsa_progress_begin(&progress, "measuring", 60);
    const struct clsa_measure_options options = {.threads = (uint32_t)threads,
                                                 .memory_bytes = memory,
                                                 .repeats = (uint32_t)repeats,
                                                 .rounds = (uint32_t)rounds,
                                                 .held_out = held_out ? &held : NULL,
                                                 .progress = show_progress,
                                                 .user = &progress};
    status = clsa_arg_given(args, "from") ? read_figures(args, &set, err)
                                          : clsa_measure_host(&options, &set, err);
    clsa_progress_end(&progress);
    if (status)
        return status;
    const char *figures = clsa_arg(args, "figures", NULL);
    const char *gathers = clsa_arg(args, "gathers", NULL), *against = clsa_arg(args, "against", NULL);
    const char *host = clsa_arg(args, "output", "-");
    if (figures)
        status = write_file(figures, &set, NULL, false, err);
    if (status == CLSA_OK && held_out)
        status = write_file(held_out, &held, NULL, false, err);
    clsa_measurement_settle(&set);
    if (status == CLSA_OK && !against)
        status = write_file(host, &set, clsa_arg(args, "name", "this host"), true, err);
    if (status == CLSA_OK && gathers)
        status = write_gathers(gathers, against ? against : host, &set, err);
    clsa_measurement_destroy(&set);
    clsa_measurement_destroy(&held);
    return status;
}

static const struct clsa_option options[] = {
    {"output", "F.csv", "the machine file (default: standard output; also -o)"},
    {"figures", "F.csv", "every measured figure of every round with its spread"},
    {"gathers", "F.csv", "gathers of random rows, measured and as the machine written has them"},
    {"held-out", "F.csv", "figures of gathers between those that the machine comes of, measured beside them"},
    {"against", "HOST.csv", "write no machine; --gathers compares with this one"},
    {"from", "F.csv,...", "derive the machine from figures measured before, maybe elsewhere, all joined"},
    {"name", "TEXT", "title of the machine"},
    {"memory", "BYTES", "largest footprint (default 4 GiB, or a third of what is free)"},
    {"repeats", "N", "samples a figure and round (default 15)"},
    {"rounds", "N", "measure everything so many times (default: as often as fits in a minute)"},
    {"threads", "N", "worker threads (default: all cores)"},
    CLSA_OPT_END};

const struct clsa_command clsa_command_machine_measure = {
    .name = "machine measure",
    .synopsis = "[-o HOST.csv] [--figures F.csv] [--name TEXT]",
    .summary = "measure this host's caches, memory and arithmetic and write it as a machine",
    .details = "Takes under a minute. Latency and bandwidth against footprint with small and huge pages,\n"
               "gathers by row size, multiply-add peak, fork-join cost; streams before and after a large\n"
               "last cache has learnt them (curve.unsettled), and how much of what is read again pushes out\n"
               "what is read once (l3.churn). Close other programs first.\n\n"
               "clsa machine measure -o host.csv && clsa run --predict host.csv\n"
               "clsa machine measure --held-out held.csv -o host.csv\n"
               "clsa machine measure --from held.csv --against host.csv --gathers gathers.csv",
    .options = options,
    .run = run};
