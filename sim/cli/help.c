/* --help, the man page and shell completion, all from the tables of cli.h. */
#include <string.h>

#include "sim/cli/cli.h"

static const char intro[] =
    "What would sharing one top-k index among a group of layers gain, on which machine?\n"
    "clsa runs cross-layer sparse attention models, records what they touch, replays that on\n"
    "models of GPUs and CPUs, and keeps every answer in SQLite.\n";

static void print_options(FILE *out, const struct clsa_command *command)
{
    size_t width = 6;
    for (const struct clsa_option *o = command->options; o->name; o++) {
        const size_t w = strlen(o->name) + (o->value ? strlen(o->value) + 1 : 0);
        width = w > width ? w : width;
    }
    for (const struct clsa_option *o = command->options; o->name; o++) {
        fprintf(out, "  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        const size_t w = strlen(o->name) + (o->value ? strlen(o->value) + 1 : 0);
        fprintf(out, "%*s%s\n", (int)(width - w + 2), "", o->help);
    }
}

void clsa_help_print(FILE *out, const struct clsa_command *command)
{
    if (command) {
        fprintf(out, "clsa %s: %s\n\nusage: clsa %s %s\n", command->name, command->summary,
                command->name, command->synopsis);
        if (command->options[0].name) {
            fputc('\n', out);
            print_options(out, command);
        }
        if (command->details)
            fprintf(out, "\n%s\n", command->details);
        return;
    }
    fprintf(out, "usage: clsa COMMAND [OPTION ...]\n\n%s\n", intro);
    for (size_t i = 0; clsa_commands[i]; i++)
        fprintf(out, "  %-15s %s\n", clsa_commands[i]->name, clsa_commands[i]->summary);
    fputs("\nclsa COMMAND --help says more. Sizes read 8K = 8192. Group 0 is dense attention.\n"
          "Exit status: 0 done, 1 failed or does not hold, 2 usage.\n", out);
}

/* Text for man(7): a leading dot or quote would be a request, a dash a hyphen. */
static void put_man(FILE *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
        line_start = *text == '\n';
    }
}

void clsa_help_man(FILE *out)
{
    fputs(".TH CLSA 1 \"\" \"clsa-sim\" \"User Commands\"\n.SH NAME\n"
          "clsa \\- simulate and price cross\\-layer sparse attention\n.SH SYNOPSIS\n"
          ".B clsa\n.I COMMAND\n[\\fIOPTION\\fR ...]\n.SH DESCRIPTION\n", out);
    put_man(out, intro);
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; clsa_commands[i]; i++) {
        const struct clsa_command *c = clsa_commands[i];
        fputs(".SS \"clsa ", out);
        put_man(out, c->name);
        fputc(' ', out);
        put_man(out, c->synopsis);
        fputs("\"\n", out);
        put_man(out, c->summary);
        fputs(".\n", out);
        for (const struct clsa_option *o = c->options; o->name; o++) {
            fputs(".TP\n\\fB\\-\\-", out);
            put_man(out, o->name);
            fputs("\\fR", out);
            if (o->value) {
                fputs(" \\fI", out);
                put_man(out, o->value);
                fputs("\\fR", out);
            }
            fputc('\n', out);
            put_man(out, o->help);
            fputc('\n', out);
        }
        if (c->details) {
            fputs(".PP\n", out);
            put_man(out, c->details);
            fputc('\n', out);
        }
    }
    fputs(".SH ENVIRONMENT\n.TP\n.B CLSA_DATA_PATH\n"
          "Folders, colon separated, searched first for models, machines and implementations.\n"
          ".TP\n.B CLSA_PROGRESS\n1 draws progress lines on standard error, 0 never does; by "
          "default a terminal decides.\n"
          ".SH EXIT STATUS\n0 done, 1 failed or does not hold, 2 usage.\n", out);
}

/* Whether two names begin with the same n characters that are a whole word of both. */
static bool same_word(const char *a, const char *b, size_t n)
{
    return strncmp(a, b, n) == 0 && strcspn(a, " ") == n && strcspn(b, " ") == n;
}

/* "trace info" and its like complete as "trace" once. */
static bool first_of_its_word(size_t i)
{
    const char *name = clsa_commands[i]->name;
    for (size_t j = 0; j < i; j++)
        if (same_word(clsa_commands[j]->name, name, strcspn(name, " ")))
            return false;
    return true;
}

static void put_options(FILE *out, const struct clsa_command *command)
{
    for (const struct clsa_option *o = command->options; o->name; o++)
        fprintf(out, "--%s ", o->name);
    fputs("--help", out);
}

/* What may follow the word: second words of commands, and options where the word is a command. */
static void put_second_words(FILE *out, const char *word, int n)
{
    bool any = false;
    for (size_t i = 0; clsa_commands[i]; i++) {
        const struct clsa_command *c = clsa_commands[i];
        if (!same_word(c->name, word, (size_t)n))
            continue;
        fputs(any ? " " : "", out);
        any = true;
        if (c->name[n])
            fputs(c->name + n + 1, out);
        else
            put_options(out, c);
    }
}

void clsa_help_completion(FILE *out)
{
    fputs("# bash completion for clsa: source it, or install it as\n"
          "# share/bash-completion/completions/clsa\n_clsa()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]} sub=${COMP_WORDS[2]}\n"
          "    local words=\n", out);
    fputs("    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"", out);
    for (size_t i = 0; clsa_commands[i]; i++)
        if (first_of_its_word(i))
            fprintf(out, "%s%.*s", i ? " " : "", (int)strcspn(clsa_commands[i]->name, " "),
                    clsa_commands[i]->name);
    fputs("\"\n    else\n        case \"$cmd $sub\" in\n", out);
    for (size_t i = 0; clsa_commands[i]; i++)
        if (strchr(clsa_commands[i]->name, ' ')) {
            fprintf(out, "        \"%s\") words=\"", clsa_commands[i]->name);
            put_options(out, clsa_commands[i]);
            fputs("\" ;;\n", out);
        }
    for (size_t i = 0; clsa_commands[i]; i++)
        if (first_of_its_word(i)) {
            const int n = (int)strcspn(clsa_commands[i]->name, " ");
            fprintf(out, "        \"%.*s \"*) words=\"", n, clsa_commands[i]->name);
            put_second_words(out, clsa_commands[i]->name, n);
            fputs("\" ;;\n", out);
        }
    fputs("        esac\n    fi\n"
          "    case \"$cur\" in\n    -*) ;;\n    *) [ \"$COMP_CWORD\" -gt 1 ] && COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n    esac\n"
          "    COMPREPLY+=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
          "complete -o filenames -F _clsa clsa\n", out);
}
