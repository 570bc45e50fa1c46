/* Subcommands and their options, described once: parsing, --help, the man page and shell completion
 * all read these tables. */
#ifndef CLSA_CLI_CLI_H
#define CLSA_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/base/status.h"

struct clsa_option {
    const char *name;  /* without the dashes */
    const char *value; /* what --help calls the value; NULL for a switch */
    const char *help;
};

#define CLSA_ARGS_OPTIONS 32
#define CLSA_ARGS_REPEATS 64

/* A parsed command line. Texts are borrowed from argv. */
struct clsa_args {
    const struct clsa_command *command;
    size_t count[CLSA_ARGS_OPTIONS];                      /* times an option was given */
    const char *values[CLSA_ARGS_OPTIONS];                /* last value given */
    struct {
        int option;
        const char *text;
    } given[CLSA_ARGS_REPEATS]; /* every option with its value, in order */
    size_t n_given;
    const char **words; /* what is no option */
    size_t n_words;
};

struct clsa_command {
    const char *name;     /* "predict", "trace info" */
    const char *synopsis; /* after the name */
    const char *summary;  /* one line, no full stop */
    const char *details;  /* paragraphs for --help and man page, or NULL */
    size_t words_min, words_max;
    const struct clsa_option *options; /* ends with a NULL name */
    int (*run)(const struct clsa_args *args, struct clsa_err *err); /* exit 0, 1 or 2, or a status */
};

/* All commands, in the order help shows them; ends with a NULL name. */
extern const struct clsa_command *const clsa_commands[];

/* A status as an exit code: 0; usage errors 2; everything else 1. Values >= 0 pass unchanged. */
int clsa_exit_code(int status);

/* Parses argv after the command's name. Accepts --name value, --name=value, and -o for --output where
 * the table has "output". Returns 0 or CLSA_EUSAGE with a message. args->words must be freed with
 * free(). */
int clsa_args_parse(const struct clsa_command *command, int argc, char **argv,
                    struct clsa_args *args, struct clsa_err *err);

/* The last value of an option, or `fallback` when it was not given. The name must be in the table. */
const char *clsa_arg(const struct clsa_args *args, const char *name, const char *fallback);
bool clsa_arg_given(const struct clsa_args *args, const char *name);
/* Sizes ("8K") and counts with bounds; *out keeps its value when the option is absent. */
int clsa_arg_size(const struct clsa_args *args, const char *name, uint64_t lo, uint64_t hi,
                  uint64_t *out, struct clsa_err *err);
/* A list of sizes, or the parsed `fallback`; fresh memory. */
int clsa_arg_sizes(const struct clsa_args *args, const char *name, const char *fallback,
                   uint64_t lo, uint64_t hi, uint64_t **out, size_t *count, struct clsa_err *err);
int clsa_arg_f64(const struct clsa_args *args, const char *name, double lo, double hi, double *out,
                 struct clsa_err *err);
/* One of the words of `choices` ("table|csv|json"); the index of the one given, or of `fallback`. */
int clsa_arg_choice(const struct clsa_args *args, const char *name, const char *choices,
                    const char *fallback, int *index, struct clsa_err *err);
/* Splits "A,B" into fresh texts; free each and the list. */
int clsa_arg_names(const struct clsa_args *args, const char *name, char ***names, size_t *count,
                   struct clsa_err *err);
void clsa_names_free(char **names, size_t count);

/* Every value given to a repeatable option ("set"), in order. Returns their number; *texts borrows. */
size_t clsa_arg_all(const struct clsa_args *args, const char *name, const char **texts,
                    size_t limit);

/* Help of one command, or of the program when command is NULL. */
void clsa_help_print(FILE *out, const struct clsa_command *command);
/* The man page in man(7) markup, and a bash completion script, both from the tables. */
void clsa_help_man(FILE *out);
void clsa_help_completion(FILE *out);

/* Option rows that many commands share, so that they are described in one way. */
#define CLSA_OPT_MODEL                                                                             \
    {"model", "M", "a folder, config.json, .safetensors file, or the name of a model in models/"}
#define CLSA_OPT_MACHINE                                                                           \
    {"machine", "A,B", "machines: names from `clsa machine list`, or CSV files"}
#define CLSA_OPT_IMPLEMENTATION                                                                    \
    {"implementation", "I", "how software uses the machine: a name, or a CSV file"}
#define CLSA_OPT_SET {"set", "K=V", "override a machine parameter, as l2.size=128MiB; repeatable"}
#define CLSA_OPT_DB {"db", "F", "store inputs and results in this SQLite file"}
#define CLSA_OPT_FORMAT {"format", "F", "table, csv or json"}
#define CLSA_OPT_THREADS {"threads", "N", "worker threads (default: all cores)"}
#define CLSA_OPT_KERNELS {"kernels", "RUNG", "kernel rung: ref, avx2, avx512, avx512bf16 or best"}
#define CLSA_OPT_SEED {"seed", "N", "seed of everything random (default 1)"}
#define CLSA_OPT_END {NULL, NULL, NULL}

#endif
