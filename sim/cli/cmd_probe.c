/* machine probe: how fast is the host right now, and is that what its machine file says? */
#include <math.h>
#include <stdbool.h>
#include <unistd.h>

#include "hwmodels/cpu.h"
#include "hwmodels/machine.h"
#include "hwmodels/measure.h"
#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"

#define WITHIN 0.15
#define PAUSE_US 1000000

static bool steady(const struct clsa_machine *m)
{
    return m->core_share >= 1 - WITHIN && fabs(log(m->dram_share)) <= WITHIN;
}

static int print(const struct clsa_args *args, const struct clsa_probe *p, uint64_t threads,
                 const struct clsa_machine *m, struct clsa_err *err)
{
    const char *columns[1 + CLSA_PROBE_FIGURES + CLSA_CPU_SHARES] = {"threads"};
    struct clsa_value row[1 + CLSA_PROBE_FIGURES + CLSA_CPU_SHARES] = {
        {.type = CLSA_CELL_INTEGER, .integer = (int64_t)threads}};
    struct clsa_cpu_share shares[CLSA_CPU_SHARES];
    size_t n = 1;
    for (int i = 0; i < CLSA_PROBE_FIGURES; i++) {
        columns[n] = clsa_probe_figures[i].name;
        row[n++] = (struct clsa_value){.type = CLSA_CELL_REAL,
                                       .decimals = clsa_probe_figures[i].decimals,
                                       .real = clsa_probe_get(p, i)};
    }
    if (args->n_words)
        clsa_cpu_shares(m, (unsigned)threads, p, shares);
    for (int i = 0; i < CLSA_CPU_SHARES && args->n_words; i++) {
        columns[n] = clsa_machine_parameter_name(shares[i].parameter);
        row[n++] = (struct clsa_value){.type = CLSA_CELL_REAL, .decimals = 3, .real = shares[i].value};
    }
    struct clsa_printer *printer;
    int format;
    int status = clsa_arg_format(args, &format, err);
    if (status == CLSA_OK)
        status = clsa_printer_open(stdout, (enum clsa_format)format, columns, n, &printer, err);
    if (status)
        return status;
    status = clsa_printer_row(printer, row, err);
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    return status ? status : closed;
}

/* Half a second. */
#define LOOKS 8

static int look(uint64_t threads, struct clsa_probe *found, struct clsa_err *err)
{
    struct clsa_prober *prober;
    int status = clsa_prober_create((uint32_t)threads, &prober, err);
    if (status)
        return status;
    for (int i = 0; status == CLSA_OK && i < LOOKS; i++)
        status = clsa_prober_look(prober, err);
    clsa_prober_found(prober, found);
    clsa_prober_destroy(prober);
    return status;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_machine machine = {.core_share = 1, .dram_share = 1};
    struct clsa_probe found;
    uint64_t threads = 0, wait = 0;
    int status;
    if ((status = clsa_arg_size(args, "threads", 1, 4096, &threads, err)) ||
        (status = clsa_arg_size(args, "wait", 0, 86400, &wait, err)) ||
        (args->n_words && (status = clsa_machine_read(args->words[0], NULL, 0, &machine, err))))
        return status;
    if (args->n_words && machine.kind != CLSA_MACHINE_CPU)
        status = clsa_fail(err, CLSA_EUSAGE, "machine probe: %s is no CPU", args->words[0]);
    if (!threads)
        threads = args->n_words ? (uint64_t)machine.core_count : (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    const uint64_t until = clsa_now_ns() + wait * UINT64_C(1000000000);
    while (status == CLSA_OK) {
        status = look(threads, &found, err);
        if (status == CLSA_OK && args->n_words)
            status = clsa_cpu_as_found(&machine, (unsigned)threads, &found);
        if (status || steady(&machine) || clsa_now_ns() >= until)
            break;
        usleep(PAUSE_US);
    }
    if (status == CLSA_OK)
        status = print(args, &found, threads, &machine, err);
    if (status == CLSA_OK && !steady(&machine))
        status = clsa_fail(err, CLSA_EMISMATCH,
                           "machine probe: this host is not as %s describes it", args->words[0]);
    clsa_machine_destroy(&machine);
    return status;
}

static const struct clsa_option options[] = {
    {"threads", "N", "threads that probe (default: the file's cores)"},
    {"wait", "SECONDS", "probe again, for so long, until the host is as fast as the file says"},
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_machine_probe = {
    .name = "machine probe",
    .synopsis = "[HOST.csv] [--threads N] [--wait SECONDS]",
    .summary = "see how fast this host is right now, and whether as its machine file says",
    .details = "Multiplies, forks, hands data over and streams from caches and memory for about a second, longer where\n"
               "the last cache is large. With a machine file: which parts of what the file says these are, and exit 1\n"
               "when the host computes slower by more than 15 %, or streams more than 15 % differently: then other\n"
               "programs or guests share its cores or its memory to another extent than when it was measured.\n"
               "clsa run --predict allows for that.\n\n"
               "kept and kept_16ms are the parts of 4 MiB a thread that some cache still holds after they lay idle for\n"
               "2 and 16 ms: what others bring pushes the rest out.\n\n"
               "Of several threads, slowest and first are the arithmetic of the slowest and of the one that works\n"
               "where only one does, over the mean of all: below 1 something else runs on its core.\n\n"
               "clsa machine probe host.csv --wait 60 && clsa run --predict host.csv",
    .options = options,
    .words_max = 1,
    .run = run};
