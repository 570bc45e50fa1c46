#include "config.h"

#include "sim/cli/common.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reports/query.h"
#include "sim/base/alloc.h"
#include "sim/base/file.h"

#define SETS_MAX 32

int clsa_open_model_named(const char *name, struct clsa_model_ref *out, struct clsa_err *err)
{
    struct clsa_model_ref m = {0};
    size_t bytes;
    int status = clsa_model_find(name, &m.config, &m.weights, err);
    if (status == CLSA_OK)
        status = clsa_geometry_read(m.config, &m.geometry, err);
    if (status == CLSA_OK)
        status = clsa_file_read(m.config, (size_t)16 << 20, &m.json, &bytes, err);
    if (status) {
        clsa_close_model(&m);
        return status;
    }
    *out = m;
    return CLSA_OK;
}

int clsa_open_model(const struct clsa_args *args, const char *fallback, struct clsa_model_ref *out,
                    struct clsa_err *err)
{
    const char *name = clsa_arg(args, "model", fallback);
    if (!name)
        return clsa_fail(err, CLSA_EUSAGE, "%s: --model is needed", args->command->name);
    return clsa_open_model_named(name, out, err);
}

void clsa_close_model(struct clsa_model_ref *model)
{
    free(model->config);
    free(model->weights);
    free(model->json);
    *model = (struct clsa_model_ref){0};
}

/* "gemm.stages=4" and "*.launch=stream" are about software, "l2.size=1MiB" about the machine. */
static bool is_for_implementation(const char *set)
{
    const size_t n = strcspn(set, ".");
    if (set[0] == '*')
        return true;
    for (unsigned k = 0; k < CLSA_OP_KINDS; k++) {
        const char *kind = clsa_op_kind_text(k);
        const size_t m = strlen(kind);
        if (n >= m && memcmp(set, kind, m) == 0 && (n == m || set[m] == '_'))
            return true;
    }
    return false;
}

static char *joined(const char *name, const char *const *sets, size_t n)
{
    char *text = clsa_strdup(name);
    for (size_t i = 0; text && i < n; i++) {
        char *longer = clsa_asprintf("%s%s%s", text, *text ? " " : "", sets[i]);
        free(text);
        text = longer;
    }
    return text;
}

/* `impl` NULL: the machine's own. */
static int open_target(const char *name, const char *impl, const char *const *machine_sets,
                       size_t n_machine_sets, const char *const *impl_sets, size_t n_impl_sets,
                       struct clsa_target *out, struct clsa_err *err)
{
    struct clsa_target t = {0};
    int status = clsa_machine_read(name, machine_sets, n_machine_sets, &t.machine, err);
    if (status)
        return status;
    if (!impl)
        impl = clsa_machine_implementation(&t.machine);
    status = clsa_impl_read(impl, impl_sets, n_impl_sets, &t.impl, err);
    if (status == CLSA_OK) {
        t.name = joined(t.machine.name, machine_sets, n_machine_sets);
        t.overrides = joined("", machine_sets, n_machine_sets);
        if (!t.name || !t.overrides)
            status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
    }
    if (status) {
        clsa_close_target(&t);
        return status;
    }
    *out = t;
    return CLSA_OK;
}

int clsa_open_target(const char *machine, const char *impl, struct clsa_target *out,
                     struct clsa_err *err)
{
    return open_target(machine, impl, NULL, 0, NULL, 0, out, err);
}

int clsa_open_targets(const struct clsa_args *args, const char *fallback,
                      struct clsa_target **out, size_t *count, struct clsa_err *err)
{
    return clsa_open_targets_with(args, fallback, NULL, out, count, err);
}

int clsa_open_targets_with(const struct clsa_args *args, const char *fallback, const char *impl,
                           struct clsa_target **out, size_t *count, struct clsa_err *err)
{
    const char *all[SETS_MAX], *machine_sets[SETS_MAX], *impl_sets[SETS_MAX];
    size_t n_machine = 0, n_impl = 0, n_names = 1, n = 0;
    const size_t n_all = clsa_arg_all(args, "set", all, SETS_MAX);
    for (size_t i = 0; i < n_all; i++) {
        if (is_for_implementation(all[i]))
            impl_sets[n_impl++] = all[i];
        else
            machine_sets[n_machine++] = all[i];
    }
    char **names = NULL;
    int status = CLSA_OK;
    if (clsa_arg_given(args, "machine") || !fallback) {
        status = clsa_arg_names(args, "machine", &names, &n_names, err);
        if (status)
            return status;
    }
    struct clsa_target *targets = clsa_calloc(n_names, sizeof *targets);
    if (!targets)
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
    for (; status == CLSA_OK && n < n_names; n += status == CLSA_OK)
        status = open_target(names ? names[n] : fallback, clsa_arg(args, "implementation", impl),
                             machine_sets, n_machine, impl_sets, n_impl, &targets[n], err);
    if (names)
        clsa_names_free(names, n_names);
    if (status) {
        clsa_close_targets(targets, n);
        return status;
    }
    *out = targets;
    *count = n;
    return CLSA_OK;
}

void clsa_close_target(struct clsa_target *target)
{
    clsa_machine_destroy(&target->machine);
    clsa_impl_destroy(&target->impl);
    free(target->name);
    free(target->overrides);
    *target = (struct clsa_target){0};
}

void clsa_close_targets(struct clsa_target *targets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        clsa_close_target(&targets[i]);
    free(targets);
}

/* The command line as the store keeps it; words with blanks are quoted for a shell. */
static char *command_line(const struct clsa_args *args)
{
    char *text = clsa_asprintf("clsa %s", args->command->name);
    for (size_t i = 0; text && i < args->n_given; i++) {
        const char *value = args->given[i].text;
        const char *quote = value && strpbrk(value, " ;&|<>()$*?'\"") ? "'" : "";
        char *longer = clsa_asprintf("%s --%s%s%s%s%s", text,
                                     args->command->options[args->given[i].option].name,
                                     value ? " " : "", quote, value ? value : "", quote);
        free(text);
        text = longer;
    }
    for (size_t i = 0; text && i < args->n_words; i++) {
        char *longer = clsa_asprintf("%s %s", text, args->words[i]);
        free(text);
        text = longer;
    }
    return text;
}

int clsa_begin_run(const struct clsa_args *args, int64_t seed, struct clsa_store **out,
                   struct clsa_err *err)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    char *line = command_line(args);
    const struct clsa_run_row run = {.command = args->command->name,
                                     .command_line = line,
                                     .tool_version = PACKAGE_VERSION,
                                     .git_id = CLSA_GIT_ID,
                                     .host = host,
                                     .seed = seed,
                                     .started_unix_s = (int64_t)time(NULL)};
    const int status = line ? clsa_store_open(clsa_arg(args, "db", NULL), &run, out, err)
                            : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    free(line);
    return status;
}

int clsa_store_model(struct clsa_store *store, const struct clsa_model_ref *model, int64_t *id,
                     struct clsa_err *err)
{
    const struct clsa_model_row row = {model->geometry.name, model->json};
    return clsa_store_add_model(store, &row, id, err);
}

static bool applies(const struct clsa_machine *machine, enum clsa_machine_parameter p)
{
    const unsigned gpu = CLSA_NEED_GPU | CLSA_MAY_GPU, cpu = CLSA_NEED_CPU | CLSA_MAY_CPU;
    return clsa_machine_parameter_need(p) & (machine->kind == CLSA_MACHINE_GPU ? gpu : cpu);
}

/* Rows as they were set, then the defaults that were used, so that the store holds all inputs. */
static int store_machine(struct clsa_store *store, struct clsa_target *target,
                         struct clsa_err *err)
{
    const struct clsa_machine *m = &target->machine;
    bool was_set[CLSA_MACHINE_PARAMETERS] = {false};
    char origins[CLSA_MACHINE_PARAMETERS][160], values[CLSA_MACHINE_PARAMETERS][32];
    struct clsa_parameter_row rows[CLSA_MACHINE_PARAMETERS];
    size_t n = 0;
    for (size_t i = 0; i < m->n_rows && n < CLSA_MACHINE_PARAMETERS; i++, n++) {
        const struct clsa_machine_row *r = &m->rows[i];
        const char *file = strrchr(r->file, '/');
        snprintf(origins[n], sizeof origins[n], r->line ? "%s:%zu" : "%s", file ? file + 1 : r->file,
                 r->line);
        was_set[r->parameter] = true;
        rows[n] = (struct clsa_parameter_row){.parameter = clsa_machine_parameter_name(r->parameter),
                                              .value = r->text,
                                              .unit = r->unit,
                                              .source = r->source,
                                              .origin = origins[n]};
    }
    for (int p = 0; p < CLSA_MACHINE_NUMBERS; p++) {
        if (was_set[p] || !applies(m, (enum clsa_machine_parameter)p))
            continue;
        snprintf(values[n], sizeof values[n], "%.9g",
                 clsa_machine_value(m, (enum clsa_machine_parameter)p));
        rows[n] = (struct clsa_parameter_row){
            .parameter = clsa_machine_parameter_name((enum clsa_machine_parameter)p),
            .value = values[n],
            .unit = "base unit",
            .source = "default of the parameter table",
            .origin = "default"};
        n++;
    }
    const struct clsa_setup_row row = {.name = target->name,
                                       .kind = m->kind == CLSA_MACHINE_GPU ? "gpu" : "cpu",
                                       .overrides = target->overrides,
                                       .path = n ? m->rows[0].file : "",
                                       .parameters = rows,
                                       .n_parameters = n};
    return clsa_store_add_machine(store, &row, &target->machine_id, err);
}

static int store_implementation(struct clsa_store *store, struct clsa_target *target,
                                struct clsa_err *err)
{
    const struct clsa_implementation *impl = &target->impl;
    struct clsa_parameter_row *rows = clsa_calloc(impl->n_rows, sizeof *rows);
    if (!rows)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    size_t n = 0;
    for (size_t i = 0; i < impl->n_rows; i++) {
        const struct clsa_impl_row *r = &impl->rows[i];
        size_t at = 0; /* an inherited row is replaced by the one that overrides it */
        while (at < n && (strcmp(rows[at].op, r->op) || strcmp(rows[at].parameter, r->parameter)))
            at++;
        rows[at] = (struct clsa_parameter_row){.op = r->op,
                                               .parameter = r->parameter,
                                               .value = r->text,
                                               .unit = r->unit,
                                               .source = r->source,
                                               .origin = r->file};
        n += at == n;
    }
    const struct clsa_setup_row row = {
        .name = impl->name, .path = n ? rows[0].origin : "", .parameters = rows, .n_parameters = n};
    const int status =
        clsa_store_add_implementation(store, &row, &target->implementation_id, err);
    free(rows);
    return status;
}

int clsa_store_target(struct clsa_store *store, struct clsa_target *target, struct clsa_err *err)
{
    const int status = store_machine(store, target, err);
    return status ? status : store_implementation(store, target, err);
}

/* What a kernel waits for, as the store says it; in the order of enum clsa_gpu_bound. */
static const char *bound_text(unsigned bound)
{
    static const char *const texts[] = {"launch", "latency", "dram", "l2", "matrix", "vector"};
    return bound < sizeof texts / sizeof *texts ? texts[bound] : "";
}

/* Ops of one name and part are one row; a step has at most as many names as kinds times roles. */
static int store_ops(struct clsa_store *store, int64_t id, const struct clsa_step *step,
                     const struct clsa_prediction *prediction, struct clsa_err *err)
{
    static const char *const parts[] = {"attention", "index", "other"};
    enum { NAMES = CLSA_OP_KINDS * CLSA_ROLES };
    struct clsa_op_row *rows = clsa_calloc(NAMES, sizeof *rows);
    char(*names)[32] = clsa_calloc(NAMES, sizeof *names);
    uint64_t *worst = clsa_calloc(NAMES, sizeof *worst);
    int status = rows && names && worst ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    size_t n = 0;
    for (size_t i = 0; status == CLSA_OK && i < prediction->n_ops; i++) {
        const struct clsa_op_prediction *p = &prediction->ops[i];
        char name[32];
        clsa_op_name(&step->ops[i], name, sizeof name);
        size_t at = 0;
        while (at < n && (strcmp(names[at], name) || strcmp(rows[at].part, parts[p->part])))
            at++;
        if (at == n) {
            memcpy(names[n], name, sizeof name);
            rows[n++] = (struct clsa_op_row){
                .op = names[at], .part = parts[p->part], .layer = -1, .launch_ps = CLSA_NULL};
        }
        struct clsa_op_row *r = &rows[at];
        r->count++;
        r->time_ps += (int64_t)p->ps;
        r->lo_ps += (int64_t)p->ps_lo;
        r->hi_ps += (int64_t)p->ps_hi;
        r->launches += p->launches;
        r->flops += (int64_t)step->ops[i].flops;
        r->operand_bytes += (int64_t)(step->ops[i].read_bytes + step->ops[i].write_bytes);
        r->l1_bytes += (int64_t)p->l1_bytes;
        r->l2_bytes += (int64_t)p->l2_bytes;
        r->dram_bytes += (int64_t)p->dram_bytes;
        if (p->ps >= worst[at]) {
            worst[at] = p->ps;
            r->bound = bound_text(p->bound);
        }
    }
    if (status == CLSA_OK)
        status = clsa_store_add_ops(store, id, rows, n, err);
    free(rows);
    free(names);
    free(worst);
    return status;
}

int clsa_store_prediction(struct clsa_store *store, const struct clsa_target *target,
                          const char *method, const struct clsa_point *point,
                          const struct clsa_step *step, const struct clsa_prediction *prediction,
                          struct clsa_err *err)
{
    uint64_t flops = 0;
    for (size_t i = 0; i < step->n_ops; i++)
        flops += step->ops[i].flops;
    const struct clsa_prediction_row row = {
        .point = *point,
        .machine_id = target->machine_id,
        .implementation_id = target->implementation_id,
        .method = method,
        .step_ps = (int64_t)prediction->step_ps,
        .step_lo_ps = (int64_t)prediction->step_ps_lo,
        .step_hi_ps = (int64_t)prediction->step_ps_hi,
        .attention_ps = (int64_t)prediction->part_ps[CLSA_PART_ATTENTION],
        .index_ps = (int64_t)prediction->part_ps[CLSA_PART_INDEX],
        .other_ps = (int64_t)prediction->part_ps[CLSA_PART_OTHER],
        .launches = (int64_t)prediction->launches,
        .launch_ps = CLSA_NULL,
        .flops = (int64_t)flops,
        .l1_bytes = (int64_t)prediction->l1_bytes,
        .l2_bytes = (int64_t)prediction->l2_bytes,
        .dram_bytes = (int64_t)prediction->dram_bytes};
    int64_t id;
    const int status = clsa_store_add_prediction(store, &row, &id, err);
    return status ? status : store_ops(store, id, step, prediction, err);
}

int clsa_arg_format(const struct clsa_args *args, int *format, struct clsa_err *err)
{
    return clsa_arg_choice(args, "format", "table|csv|json", "table", format, err);
}

int clsa_print_run(const struct clsa_args *args, struct clsa_store *store, const char *query,
                   struct clsa_err *err)
{
    int format;
    struct clsa_cursor *cursor;
    int status = clsa_arg_format(args, &format, err);
    if (status == CLSA_OK)
        status = clsa_query_open(clsa_store_reader(store), query, &cursor, err);
    if (status == CLSA_OK)
        status = clsa_print_cursor(stdout, (enum clsa_format)format, cursor, err);
    return status;
}

int clsa_open_groups(const struct clsa_args *args, const struct clsa_geometry *geometry,
                     uint64_t **groups, size_t *count, struct clsa_err *err)
{
    if (clsa_arg_given(args, "group"))
        return clsa_arg_sizes(args, "group", "", 0, CLSA_LAYERS_MAX, groups, count, err);
    uint64_t *list = clsa_calloc((size_t)geometry->cross_layers + 2, sizeof *list);
    if (!list)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    size_t n = 1; /* list[0] = 0: dense */
    for (uint32_t g = 1; g <= geometry->cross_layers; g *= 2)
        if (geometry->cross_layers % g == 0)
            list[n++] = g;
    if (list[n - 1] != geometry->cross_layers)
        list[n++] = geometry->cross_layers;
    *groups = list;
    *count = n;
    return CLSA_OK;
}
