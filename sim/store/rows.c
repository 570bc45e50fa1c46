/* Rows into the store. Every insert is one prepared statement, kept for the life of the store. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/store/private.h"

static const struct {
    const char *table, *columns;
} inserts[CLSA_INSERTS] = {
    [CLSA_INSERT_RUN] = {"run", "guid, command, command_line, tool_version, git_id, host, seed, "
                                "started_unix_s"},
    [CLSA_INSERT_INPUT] = {"run_input", "run_id, role, path, digest, bytes"},
    [CLSA_INSERT_MODEL] = {"model", "run_id, name, geometry_json"},
    [CLSA_INSERT_MACHINE] = {"machine", "run_id, name, kind, base, overrides, path"},
    [CLSA_INSERT_MACHINE_PARAMETER] = {"machine_parameter", "machine_id, ordinal, parameter, "
                                                            "value, "
                                                            "unit, source, origin"},
    [CLSA_INSERT_IMPLEMENTATION] = {"implementation", "run_id, name, base, overrides, path"},
    [CLSA_INSERT_IMPLEMENTATION_PARAMETER] = {"implementation_parameter",
                                              "implementation_id, ordinal, op, parameter, value, "
                                              "unit, source, origin"},
    [CLSA_INSERT_PREDICTION] = {"prediction",
                                "run_id, machine_id, implementation_id, method, model_id, phase, "
                                "batch, context_tokens, new_tokens, group_size, top_k, kv_shared, "
                                "ranks, threads, step_ps, step_lo_ps, step_hi_ps, attention_ps, "
                                "index_ps, other_ps, launches, launch_ps, flops, l1_bytes, "
                                "l2_bytes, dram_bytes"},
    [CLSA_INSERT_OP] = {"prediction_op",
                        "prediction_id, ordinal, op, part, bound, layer, count, time_ps, lo_ps, "
                        "hi_ps, launches, launch_ps, flops, operand_bytes, l1_bytes, l2_bytes, "
                        "dram_bytes"},
    [CLSA_INSERT_MEASUREMENT] = {"measurement",
                                 "run_id, machine, implementation, model_id, phase, batch, "
                                 "context_tokens, new_tokens, group_size, top_k, kv_shared, ranks, "
                                 "threads, op, source, count, time_ps, lo_ps, hi_ps, samples"},
    [CLSA_INSERT_QUALITY] = {"eval_result",
                             "run_id, model_id, kernels, tokens, group_size, top_k, hop1_right, "
                             "hop1_asked, hop2_right, hop2_asked, bits_per_byte, mass_covered, "
                             "overlap"},
    [CLSA_INSERT_SELECTION] = {"selection",
                               "run_id, model_id, source, group_size, top_k, set_index, queries, "
                               "mean_keys, mean_selected, overlap_previous_set, "
                               "overlap_previous_step, mass_covered, reuse_distance_rows"},
    [CLSA_INSERT_ACCURACY] = {"accuracy",
                              "run_id, machine, implementation, measured, rows_used, rows, "
                              "mean_error_percent, median_error_percent, p90_error_percent, "
                              "max_error_percent, bias_percent, rank_correlation, "
                              "coverage_percent, roofline_mean_error_percent"},
    [CLSA_INSERT_KERNEL_CHECK] = {"kernel_check",
                                  "run_id, kernel, rung, shape, message, cases, failures, "
                                  "worst_error, time_ps, bytes, flops"},
};

/* A row under way: values are bound in the order of the columns above. */
struct insert {
    struct clsa_store *store;
    enum clsa_insert which;
    sqlite3_stmt *stmt;
    int next;
    bool too_big; /* a count beyond 63 bits */
};

static int begin(struct clsa_store *store, enum clsa_insert which, struct insert *in,
                 struct clsa_err *err)
{
    if (store->committed)
        return clsa_fail(err, CLSA_EUSAGE, "%s: the run is committed", store->path);
    if (!store->inserts[which]) {
        int columns = 1;
        for (const char *p = inserts[which].columns; *p; p++)
            columns += *p == ',';
        char sql[1024];
        int n = snprintf(sql, sizeof sql, "INSERT OR %s INTO %s(%s) VALUES (?",
                         which == CLSA_INSERT_MACHINE_PARAMETER ||
                                 which == CLSA_INSERT_IMPLEMENTATION_PARAMETER
                             ? "REPLACE"
                             : "ABORT",
                         inserts[which].table, inserts[which].columns);
        for (int i = 1; i < columns; i++)
            n += snprintf(sql + n, sizeof sql - (size_t)n, ",?");
        snprintf(sql + n, sizeof sql - (size_t)n, ")");
        int status = clsa_db_prepare(store->db, store->path, sql, &store->inserts[which], err);
        if (status) {
            store->failed = true;
            return status;
        }
    }
    *in = (struct insert){.store = store, .which = which, .stmt = store->inserts[which]};
    return CLSA_OK;
}

static void put_i64(struct insert *in, int64_t value)
{
    in->next++;
    if (value == CLSA_NULL)
        sqlite3_bind_null(in->stmt, in->next);
    else
        sqlite3_bind_int64(in->stmt, in->next, value);
}

static void put_u64(struct insert *in, uint64_t value)
{
    in->too_big = in->too_big || value > INT64_MAX;
    put_i64(in, (int64_t)(value & INT64_MAX));
}

static void put_f64(struct insert *in, double value)
{
    /* SQLite stores NaN as NULL; infinities would not survive JSON, so they are unknown too. */
    in->next++;
    if (isfinite(value))
        sqlite3_bind_double(in->stmt, in->next, value);
    else
        sqlite3_bind_null(in->stmt, in->next);
}

static void put_text(struct insert *in, const char *text)
{
    sqlite3_bind_text(in->stmt, ++in->next, text ? text : "", -1, SQLITE_STATIC);
}

static int end(struct insert *in, int64_t *id, struct clsa_err *err)
{
    struct clsa_store *store = in->store;
    const char *table = inserts[in->which].table;
    int status = CLSA_OK;
    if (in->too_big)
        status = clsa_fail(err, CLSA_ERANGE, "%s: %s: a count beyond 2^63", store->path, table);
    else if (sqlite3_step(in->stmt) != SQLITE_DONE)
        status = clsa_db_fail(store->db, store->path, table, err);
    sqlite3_reset(in->stmt);
    if (status)
        store->failed = true;
    else if (id)
        *id = sqlite3_last_insert_rowid(store->db);
    return status;
}

int clsa_store_add_run(struct clsa_store *store, const struct clsa_run_row *row,
                       struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_RUN, &in, err);
    if (status)
        return status;
    put_text(&in, store->guid);
    put_text(&in, row->command);
    put_text(&in, row->command_line);
    put_text(&in, row->tool_version);
    put_text(&in, row->git_id);
    put_text(&in, row->host);
    put_i64(&in, row->seed);
    put_i64(&in, row->started_unix_s);
    return end(&in, &store->run_id, err);
}

int clsa_store_add_input(struct clsa_store *store, const struct clsa_input_row *row,
                         struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_INPUT, &in, err);
    if (status)
        return status;
    put_i64(&in, store->run_id);
    put_text(&in, row->role);
    put_text(&in, row->path);
    put_text(&in, row->digest);
    put_i64(&in, row->bytes);
    return end(&in, NULL, err);
}

/* The id of the run's row of that name; 0 when there is none. */
static int find_named(struct clsa_store *store, const char *table, const char *name, int64_t *id,
                      struct clsa_err *err)
{
    char sql[128];
    sqlite3_stmt *stmt = NULL;
    snprintf(sql, sizeof sql, "SELECT id FROM %s WHERE run_id = ?1 AND name = ?2", table);
    if (store->committed)
        return clsa_fail(err, CLSA_EUSAGE, "%s: the run is committed", store->path);
    int status = clsa_db_prepare(store->db, store->path, sql, &stmt, err);
    if (status)
        return status;
    sqlite3_bind_int64(stmt, 1, store->run_id);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    const int rc = sqlite3_step(stmt);
    *id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = clsa_db_fail(store->db, store->path, table, err);
    sqlite3_finalize(stmt);
    return status;
}

int clsa_store_add_model(struct clsa_store *store, const struct clsa_model_row *row, int64_t *id,
                         struct clsa_err *err)
{
    struct insert in;
    int64_t found;
    int status = find_named(store, "model", row->name, &found, err);
    if (!status && found == 0) {
        status = begin(store, CLSA_INSERT_MODEL, &in, err);
        if (status)
            return status;
        put_i64(&in, store->run_id);
        put_text(&in, row->name);
        put_text(&in, row->geometry_json);
        status = end(&in, &found, err);
    }
    if (!status)
        *id = found;
    return status;
}

static int add_parameters(struct clsa_store *store, const struct clsa_setup_row *row,
                          enum clsa_insert which, int64_t owner, struct clsa_err *err)
{
    int status = CLSA_OK;
    for (size_t i = 0; i < row->n_parameters && !status; i++) {
        const struct clsa_parameter_row *p = &row->parameters[i];
        struct insert in;
        status = begin(store, which, &in, err);
        if (status)
            return status;
        put_i64(&in, owner);
        put_u64(&in, i);
        if (which == CLSA_INSERT_IMPLEMENTATION_PARAMETER)
            put_text(&in, p->op);
        put_text(&in, p->parameter);
        put_text(&in, p->value);
        put_text(&in, p->unit);
        put_text(&in, p->source);
        put_text(&in, p->origin);
        status = end(&in, NULL, err);
    }
    return status;
}

int clsa_store_add_machine(struct clsa_store *store, const struct clsa_setup_row *row,
                           int64_t *id, struct clsa_err *err)
{
    struct insert in;
    int64_t found;
    int status = find_named(store, "machine", row->name, &found, err);
    if (!status && found == 0) {
        status = begin(store, CLSA_INSERT_MACHINE, &in, err);
        if (status)
            return status;
        put_i64(&in, store->run_id);
        put_text(&in, row->name);
        put_text(&in, row->kind);
        put_text(&in, row->base);
        put_text(&in, row->overrides);
        put_text(&in, row->path);
        status = end(&in, &found, err);
        if (!status)
            status = add_parameters(store, row, CLSA_INSERT_MACHINE_PARAMETER, found, err);
    }
    if (!status)
        *id = found;
    return status;
}

int clsa_store_add_implementation(struct clsa_store *store, const struct clsa_setup_row *row,
                                  int64_t *id, struct clsa_err *err)
{
    struct insert in;
    int64_t found;
    int status = find_named(store, "implementation", row->name, &found, err);
    if (!status && found == 0) {
        status = begin(store, CLSA_INSERT_IMPLEMENTATION, &in, err);
        if (status)
            return status;
        put_i64(&in, store->run_id);
        put_text(&in, row->name);
        put_text(&in, row->base);
        put_text(&in, row->overrides);
        put_text(&in, row->path);
        status = end(&in, &found, err);
        if (!status)
            status = add_parameters(store, row, CLSA_INSERT_IMPLEMENTATION_PARAMETER, found, err);
    }
    if (!status)
        *id = found;
    return status;
}

static void put_point(struct insert *in, const struct clsa_point *p)
{
    put_i64(in, p->model_id);
    put_text(in, p->phase);
    put_u64(in, p->batch);
    put_u64(in, p->context_tokens);
    put_u64(in, p->new_tokens ? p->new_tokens : 1);
    put_u64(in, p->group);
    put_u64(in, p->group ? p->top_k : 0);
    put_i64(in, p->kv_shared);
    put_u64(in, p->ranks ? p->ranks : 1);
    put_u64(in, p->threads);
}

int clsa_store_add_prediction(struct clsa_store *store, const struct clsa_prediction_row *row,
                              int64_t *id, struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_PREDICTION, &in, err);
    if (status)
        return status;
    put_i64(&in, store->run_id);
    put_i64(&in, row->machine_id);
    put_i64(&in, row->implementation_id);
    put_text(&in, row->method);
    put_point(&in, &row->point);
    put_i64(&in, row->step_ps);
    put_i64(&in, row->step_lo_ps);
    put_i64(&in, row->step_hi_ps);
    put_i64(&in, row->attention_ps);
    put_i64(&in, row->index_ps);
    put_i64(&in, row->other_ps);
    put_i64(&in, row->launches);
    put_i64(&in, row->launch_ps);
    put_i64(&in, row->flops);
    put_i64(&in, row->l1_bytes);
    put_i64(&in, row->l2_bytes);
    put_i64(&in, row->dram_bytes);
    return end(&in, id, err);
}

int clsa_store_add_ops(struct clsa_store *store, int64_t prediction_id,
                       const struct clsa_op_row *rows, size_t n_rows, struct clsa_err *err)
{
    int status = CLSA_OK;
    if (prediction_id != store->ops_prediction && !store->committed) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT coalesce(max(ordinal) + 1, 0) FROM prediction_op "
                 "WHERE prediction_id = %" PRId64, prediction_id);
        status = clsa_db_integer(store->db, store->path, sql, &store->ops_count, err);
        store->ops_prediction = prediction_id;
    }
    for (size_t i = 0; i < n_rows && !status; i++) {
        const struct clsa_op_row *row = &rows[i];
        struct insert in;
        status = begin(store, CLSA_INSERT_OP, &in, err);
        if (status)
            return status;
        put_i64(&in, prediction_id);
        put_i64(&in, store->ops_count++);
        put_text(&in, row->op);
        put_text(&in, row->part);
        put_text(&in, row->bound);
        put_i64(&in, row->layer);
        put_i64(&in, row->count);
        put_i64(&in, row->time_ps);
        put_i64(&in, row->lo_ps);
        put_i64(&in, row->hi_ps);
        put_i64(&in, row->launches);
        put_i64(&in, row->launch_ps);
        put_i64(&in, row->flops);
        put_i64(&in, row->operand_bytes);
        put_i64(&in, row->l1_bytes);
        put_i64(&in, row->l2_bytes);
        put_i64(&in, row->dram_bytes);
        status = end(&in, NULL, err);
    }
    return status;
}

int clsa_store_add_measurement(struct clsa_store *store, const struct clsa_measurement_row *row,
                               struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_MEASUREMENT, &in, err);
    if (status)
        return status;
    put_i64(&in, store->run_id);
    put_text(&in, row->machine);
    put_text(&in, row->implementation);
    put_point(&in, &row->point);
    put_text(&in, row->op);
    put_text(&in, row->source);
    put_i64(&in, row->count);
    put_i64(&in, row->time_ps);
    put_i64(&in, row->lo_ps);
    put_i64(&in, row->hi_ps);
    put_i64(&in, row->samples);
    return end(&in, NULL, err);
}

int clsa_store_add_quality(struct clsa_store *store, const struct clsa_quality_row *row,
                           struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_QUALITY, &in, err);
    if (status)
        return status;
    put_i64(&in, store->run_id);
    put_i64(&in, row->model_id);
    put_text(&in, row->kernels);
    put_u64(&in, row->tokens);
    put_u64(&in, row->group);
    put_u64(&in, row->group ? row->top_k : 0);
    put_u64(&in, row->hop1_right);
    put_u64(&in, row->hop1_asked);
    put_u64(&in, row->hop2_right);
    put_u64(&in, row->hop2_asked);
    put_f64(&in, row->bits_per_byte);
    put_f64(&in, row->mass_covered);
    put_f64(&in, row->overlap);
    return end(&in, NULL, err);
}

int clsa_store_add_selection(struct clsa_store *store, const struct clsa_selection_row *row,
                             struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_SELECTION, &in, err);
    if (status)
        return status;
    put_i64(&in, store->run_id);
    put_i64(&in, row->model_id);
    put_text(&in, row->source);
    put_u64(&in, row->group);
    put_u64(&in, row->top_k);
    put_u64(&in, row->set_index);
    put_u64(&in, row->queries);
    put_f64(&in, row->mean_keys);
    put_f64(&in, row->mean_selected);
    put_f64(&in, row->overlap_previous_set);
    put_f64(&in, row->overlap_previous_step);
    put_f64(&in, row->mass_covered);
    put_f64(&in, row->reuse_distance_rows);
    return end(&in, NULL, err);
}

int clsa_store_add_accuracy(struct clsa_store *store, const struct clsa_accuracy_row *row,
                            struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_ACCURACY, &in, err);
    if (status)
        return status;
    put_i64(&in, store->run_id);
    put_text(&in, row->machine);
    put_text(&in, row->implementation);
    put_text(&in, row->measured);
    put_text(&in, row->rows_used);
    put_u64(&in, row->rows);
    put_f64(&in, row->mean_error_percent);
    put_f64(&in, row->median_error_percent);
    put_f64(&in, row->p90_error_percent);
    put_f64(&in, row->max_error_percent);
    put_f64(&in, row->bias_percent);
    put_f64(&in, row->rank_correlation);
    put_f64(&in, row->coverage_percent);
    put_f64(&in, row->roofline_mean_error_percent);
    return end(&in, NULL, err);
}

int clsa_store_add_kernel_check(struct clsa_store *store, const struct clsa_kernel_check_row *row,
                                struct clsa_err *err)
{
    struct insert in;
    int status = begin(store, CLSA_INSERT_KERNEL_CHECK, &in, err);
    if (status)
        return status;
    put_i64(&in, store->run_id);
    put_text(&in, row->kernel);
    put_text(&in, row->rung);
    put_text(&in, row->shape);
    put_text(&in, row->message);
    put_u64(&in, row->cases);
    put_u64(&in, row->failures);
    put_f64(&in, row->worst_error);
    put_i64(&in, row->time_ps);
    put_i64(&in, row->bytes);
    put_i64(&in, row->flops);
    return end(&in, NULL, err);
}
