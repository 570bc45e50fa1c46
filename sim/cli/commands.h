/* Every subcommand; each lives in cmd_*.c, main.c lists them in the order help shows. */
#ifndef CLSA_CLI_COMMANDS_H
#define CLSA_CLI_COMMANDS_H

#include "sim/cli/cli.h"

#define CLSA_COMMAND_LIST(X)                                                                       \
    X(demo)                                                                                        \
    X(run)                                                                                         \
    X(verify)                                                                                      \
    X(eval)                                                                                        \
    X(check)                                                                                       \
    X(plan)                                                                                        \
    X(trace_info)                                                                                  \
    X(trace_dump)                                                                                  \
    X(trace_validate)                                                                              \
    X(trace_generate)                                                                              \
    X(trace_import)                                                                                \
    X(trace_stats)                                                                                 \
    X(trace_compare)                                                                               \
    X(replay)                                                                                      \
    X(predict)                                                                                     \
    X(validate)                                                                                    \
    X(calibrate)                                                                                   \
    X(machine_list)                                                                                \
    X(machine_show)                                                                                \
    X(machine_measure)                                                                             \
    X(machine_probe)                                                                               \
    X(machine_check)                                                                               \
    X(query)                                                                                       \
    X(report)                                                                                      \
    X(merge)                                                                                       \
    X(bench_replay)                                                                                \
    X(bench)                                                                                       \
    X(help)

#define X(name) extern const struct clsa_command clsa_command_##name;
CLSA_COMMAND_LIST(X)
#undef X

#endif
