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
    static const char *const columns[] = {"threads",    "gflops",     "stream_gbps", "fork_join_us",
                                          "core_share", "dram_share", "fork_share"};
    const struct clsa_value row[] = {
        {.type = CLSA_CELL_INTEGER, .integer = (int64_t)threads},
        {.type = CLSA_CELL_REAL, .decimals = 1, .real = p->flops / 1e9},
        {.type = CLSA_CELL_REAL, .decimals = 2, .real = p->stream / 1e9},
        {.type = CLSA_CELL_REAL, .decimals = 3, .real = p->fork_join * 1e6},
        {.type = CLSA_CELL_REAL, .decimals = 3, .real = m->core_share},
        {.type = CLSA_CELL_REAL, .decimals = 3, .real = m->dram_share},
        {.type = CLSA_CELL_REAL, .decimals = 3, .real = m->fork_share}};
    struct clsa_printer *printer;
    int format;
    int status = clsa_arg_format(args, &format, err);
    if (status == CLSA_OK)
        status = clsa_printer_open(stdout, (enum clsa_format)format, columns, args->n_words ? 7 : 4,
                                   &printer, err);
    if (status)
        return status;
    status = clsa_printer_row(printer, row, err);
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    return status ? status : closed;
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
        status = clsa_measure_probe((uint32_t)threads, &found, err);
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
    .details = "Multiplies, forks and streams from memory for a tenth of a second. With a machine file: which parts of\n"
               "what the file says these are, and exit 1 when the host computes slower by more than 15 %, or\n"
               "streams more than 15 % differently: then other programs or guests share its cores or its memory\n"
               "to another extent than when it was measured. clsa run --predict allows for that.\n\n"
               "clsa machine probe host.csv --wait 60 && clsa run --predict host.csv",
    .options = options,
    .words_max = 1,
    .run = run};
