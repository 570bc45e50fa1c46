#include "sim/cli/commands.h"

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    (void)err;
    if (clsa_arg_given(args, "man"))
        clsa_help_man(stdout);
    else if (clsa_arg_given(args, "completion"))
        clsa_help_completion(stdout);
    else
        clsa_help_print(stdout, NULL);
    return 0;
}

static const struct clsa_option options[] = {
    {"man", NULL, "print the man page"},
    {"completion", NULL, "print a bash completion script"},
    CLSA_OPT_END};

const struct clsa_command clsa_command_help = {
    .name = "help",
    .synopsis = "[--man | --completion]",
    .summary = "this list, the man page, or shell completion",
    .options = options,
    .run = run};
