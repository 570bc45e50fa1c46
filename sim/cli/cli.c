#include "sim/cli/cli.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/units.h"

int clsa_exit_code(int status)
{
    if (status >= 0)
        return status;
    return status == CLSA_EUSAGE ? 2 : 1;
}

static int find_option(const struct clsa_command *command, const char *name, size_t bytes)
{
    for (int i = 0; command->options[i].name; i++)
        if (strlen(command->options[i].name) == bytes &&
            memcmp(command->options[i].name, name, bytes) == 0)
            return i;
    return -1;
}

/* Programmer error when a command asks for an option that its table lacks. */
static int need_option(const struct clsa_args *args, const char *name)
{
    const int i = find_option(args->command, name, strlen(name));
    assert(i >= 0);
    return i;
}

static int take_option(struct clsa_args *args, int argc, char **argv, int *at,
                       struct clsa_err *err)
{
    const struct clsa_command *command = args->command;
    const char *text = argv[*at];
    const char *name = text + 2;
    if (strcmp(text, "-o") == 0)
        name = "output";
    const char *equals = strchr(name, '=');
    const size_t bytes = equals ? (size_t)(equals - name) : strlen(name);
    const int i = find_option(command, name, bytes);
    if (i < 0 || (text[1] != '-' && strcmp(text, "-o") != 0))
        return clsa_fail(err, CLSA_EUSAGE, "%s: unknown option '%s'; see clsa %s --help",
                         command->name, text, command->name);
    const char *value = NULL;
    if (command->options[i].value) {
        value = equals ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
        if (!value)
            return clsa_fail(err, CLSA_EUSAGE, "%s: --%s wants a value (%s)", command->name,
                             command->options[i].name, command->options[i].value);
    } else if (equals) {
        return clsa_fail(err, CLSA_EUSAGE, "%s: --%s takes no value", command->name,
                         command->options[i].name);
    }
    args->count[i]++;
    args->values[i] = value;
    if (args->n_given == CLSA_ARGS_REPEATS)
        return clsa_fail(err, CLSA_EUSAGE, "%s: more than %d options", command->name,
                         CLSA_ARGS_REPEATS);
    args->given[args->n_given].option = i;
    args->given[args->n_given++].text = value;
    return CLSA_OK;
}

int clsa_args_parse(const struct clsa_command *command, int argc, char **argv,
                    struct clsa_args *args, struct clsa_err *err)
{
    *args = (struct clsa_args){.command = command};
    args->words = clsa_calloc((size_t)argc + 1, sizeof *args->words);
    if (!args->words)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    bool only_words = false;
    for (int at = 0; at < argc; at++) {
        if (!only_words && strcmp(argv[at], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[at][0] == '-' && argv[at][1]) {
            int status = take_option(args, argc, argv, &at, err);
            if (status)
                return status;
        } else {
            args->words[args->n_words++] = argv[at];
        }
    }
    if (args->n_words < command->words_min || args->n_words > command->words_max)
        return clsa_fail(err, CLSA_EUSAGE, "usage: clsa %s %s", command->name, command->synopsis);
    return CLSA_OK;
}

bool clsa_arg_given(const struct clsa_args *args, const char *name)
{
    return args->count[need_option(args, name)] > 0;
}

const char *clsa_arg(const struct clsa_args *args, const char *name, const char *fallback)
{
    const int i = need_option(args, name);
    return args->count[i] ? args->values[i] : fallback;
}

size_t clsa_arg_all(const struct clsa_args *args, const char *name, const char **texts,
                    size_t limit)
{
    const int i = need_option(args, name);
    size_t n = 0;
    for (size_t j = 0; j < args->n_given && n < limit; j++)
        if (args->given[j].option == i)
            texts[n++] = args->given[j].text;
    return n;
}

static int bad_value(const struct clsa_args *args, const char *name, const char *value,
                     const char *wanted, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_EUSAGE, "%s: --%s '%s' is not %s", args->command->name, name, value,
                     wanted);
}

static int out_of_range(const struct clsa_args *args, const char *name, const char *value,
                        uint64_t lo, uint64_t hi, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_EUSAGE, "%s: --%s '%s' is not in %" PRIu64 " to %" PRIu64,
                     args->command->name, name, value, lo, hi);
}

int clsa_arg_size(const struct clsa_args *args, const char *name, uint64_t lo, uint64_t hi,
                  uint64_t *out, struct clsa_err *err)
{
    const char *text = clsa_arg(args, name, NULL);
    uint64_t value;
    if (!text)
        return CLSA_OK;
    if (clsa_size_parse(text, &value))
        return bad_value(args, name, text, "a size or count", err);
    if (value < lo || value > hi)
        return out_of_range(args, name, text, lo, hi, err);
    *out = value;
    return CLSA_OK;
}

int clsa_arg_sizes(const struct clsa_args *args, const char *name, const char *fallback,
                   uint64_t lo, uint64_t hi, uint64_t **out, size_t *count, struct clsa_err *err)
{
    const char *text = clsa_arg(args, name, fallback);
    uint64_t *list;
    size_t n;
    const int status = clsa_size_list_parse(text, 4096, &list, &n);
    if (status == CLSA_ENOMEM)
        return clsa_fail(err, status, "out of memory");
    if (status)
        return bad_value(args, name, text, "a list of sizes", err);
    for (size_t i = 0; i < n; i++)
        if (list[i] < lo || list[i] > hi) {
            free(list);
            return out_of_range(args, name, text, lo, hi, err);
        }
    *out = list;
    *count = n;
    return CLSA_OK;
}

int clsa_arg_f64(const struct clsa_args *args, const char *name, double lo, double hi, double *out,
                 struct clsa_err *err)
{
    const char *text = clsa_arg(args, name, NULL);
    double value;
    if (!text)
        return CLSA_OK;
    if (clsa_quantity_parse(text, CLSA_DIM_COUNT, &value))
        return bad_value(args, name, text, "a number", err);
    if (!(value >= lo && value <= hi))
        return clsa_fail(err, CLSA_EUSAGE, "%s: --%s '%s' is not in %g to %g", args->command->name,
                         name, text, lo, hi);
    *out = value;
    return CLSA_OK;
}

int clsa_arg_choice(const struct clsa_args *args, const char *name, const char *choices,
                    const char *fallback, int *index, struct clsa_err *err)
{
    const char *text = clsa_arg(args, name, fallback);
    const size_t bytes = strlen(text);
    int i = 0;
    for (const char *p = choices; *p; i++) {
        const size_t n = strcspn(p, "|");
        if (n == bytes && memcmp(p, text, n) == 0) {
            *index = i;
            return CLSA_OK;
        }
        p += n + (p[n] == '|');
    }
    return clsa_fail(err, CLSA_EUSAGE, "%s: --%s '%s' is not one of %s", args->command->name, name,
                     text, choices);
}

void clsa_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

int clsa_arg_names(const struct clsa_args *args, const char *name, char ***names, size_t *count,
                   struct clsa_err *err)
{
    const char *text = clsa_arg(args, name, NULL);
    if (!text || !*text)
        return clsa_fail(err, CLSA_EUSAGE, "%s: --%s is needed", args->command->name, name);
    size_t n = 1, made = 0;
    for (const char *p = text; *p; p++)
        n += *p == ',';
    char **list = clsa_calloc(n, sizeof *list);
    for (const char *p = text; list && made < n; made++) {
        const size_t bytes = strcspn(p, ",");
        list[made] = clsa_asprintf("%.*s", (int)bytes, p);
        if (!list[made])
            break;
        p += bytes + (p[bytes] == ',');
    }
    if (!list || made < n) {
        clsa_names_free(list, made);
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    }
    *names = list;
    *count = n;
    return CLSA_OK;
}
