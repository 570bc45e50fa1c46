/* The program: finds the command, parses its options, reports what went wrong in one line. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/log.h"
#include "sim/cli/cli.h"
#include "sim/cli/commands.h"

const struct clsa_command *const clsa_commands[] = {
#define X(name) &clsa_command_##name,
    CLSA_COMMAND_LIST(X)
#undef X
        NULL};

/* "trace info" takes two words of the command line, "predict" one. */
static const struct clsa_command *find_command(int argc, char **argv, int *used)
{
    for (size_t i = 0; clsa_commands[i]; i++) {
        const char *name = clsa_commands[i]->name;
        const char *space = strchr(name, ' ');
        const size_t first = space ? (size_t)(space - name) : strlen(name);
        if (strlen(argv[0]) != first || memcmp(name, argv[0], first) != 0)
            continue;
        if (!space) {
            *used = 1;
            return clsa_commands[i];
        }
        if (argc > 1 && strcmp(space + 1, argv[1]) == 0) {
            *used = 2;
            return clsa_commands[i];
        }
    }
    return NULL;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Data written to a full disk or closed pipe must not look like success. */
static int finish_output(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (code == 0)
            clsa_error("standard output: write failed");
        return code ? code : 1;
    }
    return code;
}

static int usage_of_prefix(const char *word)
{
    bool any = false;
    const size_t n = strlen(word);
    for (size_t i = 0; clsa_commands[i]; i++)
        if (strncmp(clsa_commands[i]->name, word, n) == 0 && clsa_commands[i]->name[n] == ' ') {
            fprintf(stderr, "%s clsa %s %s\n", any ? "      " : "usage:", clsa_commands[i]->name,
                    clsa_commands[i]->synopsis);
            any = true;
        }
    if (!any)
        clsa_error("unknown command '%s'; see clsa --help", word);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        clsa_help_print(stderr, NULL);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        clsa_help_print(stdout, NULL);
        return finish_output(0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("clsa %s\n", PACKAGE_VERSION);
        return finish_output(0);
    }
    int used = 1;
    const struct clsa_command *command = find_command(argc - 1, argv + 1, &used);
    if (!command)
        return usage_of_prefix(argv[1]);
    if (wants_help(argc - 1 - used, argv + 1 + used)) {
        clsa_help_print(stdout, command);
        return finish_output(0);
    }
    struct clsa_args args;
    struct clsa_err err = {""};
    int status = clsa_args_parse(command, argc - 1 - used, argv + 1 + used, &args, &err);
    if (status == CLSA_OK)
        status = command->run(&args, &err);
    free(args.words);
    if (status < 0 || err.text[0])
        clsa_error("%s", err.text[0] ? err.text : clsa_status_text(status));
    return finish_output(clsa_exit_code(status));
}
