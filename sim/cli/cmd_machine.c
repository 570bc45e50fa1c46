/* machine list, show, check: machines and implementations as data. */
#include <stdlib.h>

#include "sim/base/file.h"
#include "sim/base/log.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"

static int list_room(struct clsa_printer *printer, const char *room, const char *kind,
                     struct clsa_err *err)
{
    char **names;
    size_t count;
    int status = clsa_data_list(room, ".csv", &names, &count, err);
    if (status)
        return status;
    for (size_t i = 0; status == CLSA_OK && i < count; i++) {
        const char *what = kind;
        char about[192] = "";
        if (kind[0] == 'm') {
            struct clsa_machine m;
            if (clsa_machine_read(names[i], NULL, 0, &m, err)) {
                /* one broken file must not hide the others */
                clsa_error("%s", err->text);
                err->text[0] = '\0';
                continue;
            }
            what = m.kind == CLSA_MACHINE_GPU ? "gpu" : "cpu";
            snprintf(about, sizeof about, "%s", m.title);
            clsa_machine_destroy(&m);
        }
        const struct clsa_value row[] = {clsa_text(names[i]), clsa_text(what), clsa_text(about)};
        status = clsa_printer_row(printer, row, err);
    }
    clsa_names_free(names, count);
    return status;
}

static int run_list(const struct clsa_args *args, struct clsa_err *err)
{
    static const char *const columns[] = {"name", "kind", "title"};
    struct clsa_printer *printer;
    int format;
    int status = clsa_arg_format(args, &format, err);
    if (status == CLSA_OK)
        status = clsa_printer_open(stdout, (enum clsa_format)format, columns, 3, &printer, err);
    if (status)
        return status;
    status = list_room(printer, "hwmodels/machines", "machine", err);
    if (status == CLSA_OK)
        status = list_room(printer, "hwmodels/implementations", "implementation", err);
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    return status ? status : closed;
}

static const struct clsa_option list_options[] = {CLSA_OPT_FORMAT, CLSA_OPT_END};

const struct clsa_command clsa_command_machine_list = {
    .name = "machine list",
    .synopsis = "[--format table|csv|json]",
    .summary = "the machines and implementations that come with clsa",
    .options = list_options,
    .run = run_list};

static int show_machine(const char *name, const char *const *sets, size_t n_sets,
                        struct clsa_printer *printer, struct clsa_err *err)
{
    struct clsa_machine m;
    int status = clsa_machine_read(name, sets, n_sets, &m, err);
    if (status)
        return status;
    for (size_t i = 0; status == CLSA_OK && i < m.n_rows; i++) {
        const struct clsa_machine_row *r = &m.rows[i];
        const struct clsa_value row[] = {clsa_text(clsa_machine_parameter_name(r->parameter)),
                                         clsa_text(r->text), clsa_text(r->unit), clsa_text(r->source),
                                         clsa_text(clsa_machine_parameter_doc(r->parameter))};
        status = clsa_printer_row(printer, row, err);
    }
    clsa_machine_destroy(&m);
    return status;
}

static int show_implementation(const char *name, struct clsa_printer *printer,
                               struct clsa_err *err)
{
    struct clsa_implementation impl;
    int status = clsa_impl_read(name, NULL, 0, &impl, err);
    if (status)
        return status;
    for (size_t i = 0; status == CLSA_OK && i < impl.n_rows; i++) {
        const struct clsa_impl_row *r = &impl.rows[i];
        char full[96];
        snprintf(full, sizeof full, "%s.%s", r->op, r->parameter);
        const int p = clsa_impl_parameter_find(r->parameter);
        const struct clsa_value row[] = {
            clsa_text(full), clsa_text(r->text), clsa_text(r->unit), clsa_text(r->source),
            clsa_text(p < 0 ? "" : clsa_impl_parameter_doc((enum clsa_impl_parameter)p))};
        status = clsa_printer_row(printer, row, err);
    }
    clsa_impl_destroy(&impl);
    return status;
}

static int run_show(const struct clsa_args *args, struct clsa_err *err)
{
    static const char *const columns[] = {"parameter", "value", "unit", "source", "meaning"};
    const char *sets[CLSA_ARGS_REPEATS];
    const size_t n_sets = clsa_arg_all(args, "set", sets, CLSA_ARGS_REPEATS);
    struct clsa_printer *printer;
    int format;
    int status = clsa_arg_format(args, &format, err);
    if (status == CLSA_OK)
        status = clsa_printer_open(stdout, (enum clsa_format)format, columns, 5, &printer, err);
    if (status)
        return status;
    status = clsa_arg_given(args, "implementation")
                 ? show_implementation(args->words[0], printer, err)
                 : show_machine(args->words[0], sets, n_sets, printer, err);
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    return status ? status : closed;
}

static const struct clsa_option show_options[] = {
    {"implementation", NULL, "the name is that of an implementation"}, CLSA_OPT_SET,
    CLSA_OPT_FORMAT, CLSA_OPT_END};

const struct clsa_command clsa_command_machine_show = {
    .name = "machine show",
    .synopsis = "NAME|F.csv [--implementation] [--set K=V] [--format table|csv|json]",
    .summary = "every parameter of a machine with unit, source and meaning",
    .words_min = 1,
    .words_max = 1,
    .options = show_options,
    .run = run_show};

static int run_check(const struct clsa_args *args, struct clsa_err *err)
{
    for (size_t i = 0; i < args->n_words; i++) {
        struct clsa_machine m;
        const int status = clsa_machine_read(args->words[i], NULL, 0, &m, err);
        if (status)
            return status;
        printf("%s: %s %s, %zu parameters\n", args->words[i],
               m.kind == CLSA_MACHINE_GPU ? "gpu" : "cpu", m.name, m.n_rows);
        clsa_machine_destroy(&m);
    }
    return 0;
}

static const struct clsa_option no_options[] = {CLSA_OPT_END};

const struct clsa_command clsa_command_machine_check = {
    .name = "machine check",
    .synopsis = "F.csv ...",
    .summary = "read machine files and say what is wrong with them",
    .words_min = 1,
    .words_max = 1000,
    .options = no_options,
    .run = run_check};
