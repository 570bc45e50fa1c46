/* Stores into one store. The output is opened like any store that is written to: new under a
 * temporary name, existing in one transaction. Rows are copied column by column; ids and
 * references move by a fixed distance a source, so that the rows of a run keep their order. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/store/private.h"

/* Parents before children: foreign keys hold at every row. ?1 is the run. */
static const struct {
    const char *name, *rows;
} tables[] = {
    {"run", "SELECT * FROM run WHERE id = ?1"},
    {"run_input", "SELECT * FROM run_input WHERE run_id = ?1"},
    {"model", "SELECT * FROM model WHERE run_id = ?1"},
    {"machine", "SELECT * FROM machine WHERE run_id = ?1"},
    {"machine_parameter", "SELECT p.* FROM machine m JOIN machine_parameter p "
                          "ON p.machine_id = m.id WHERE m.run_id = ?1"},
    {"implementation", "SELECT * FROM implementation WHERE run_id = ?1"},
    {"implementation_parameter", "SELECT p.* FROM implementation i JOIN implementation_parameter p "
                                 "ON p.implementation_id = i.id WHERE i.run_id = ?1"},
    {"prediction", "SELECT * FROM prediction WHERE run_id = ?1"},
    {"prediction_op", "SELECT o.* FROM prediction p JOIN prediction_op o "
                      "ON o.prediction_id = p.id WHERE p.run_id = ?1"},
    {"measurement", "SELECT * FROM measurement WHERE run_id = ?1"},
    {"eval_result", "SELECT * FROM eval_result WHERE run_id = ?1"},
    {"selection", "SELECT * FROM selection WHERE run_id = ?1"},
    {"accuracy", "SELECT * FROM accuracy WHERE run_id = ?1"},
    {"kernel_check", "SELECT * FROM kernel_check WHERE run_id = ?1"},
};
#define TABLES ((int)(sizeof tables / sizeof *tables))
#define COLUMNS_MAX 64

/* The table that a column of `table` refers to: its own for "id", else the one before "_id"; -1. */
static int refers_to(int table, const char *column)
{
    if (strcmp(column, "id") == 0)
        return table;
    for (int i = 0; i < TABLES; i++) {
        const size_t n = strlen(tables[i].name);
        if (strncmp(column, tables[i].name, n) == 0 && strcmp(column + n, "_id") == 0)
            return i;
    }
    return -1;
}

struct merge {
    struct clsa_store *out;
    sqlite3 *from;
    const char *from_path;
    int64_t shift[TABLES];
    sqlite3_stmt *read[TABLES], *write[TABLES];
};

static int prepare(struct merge *m, int t, struct clsa_err *err)
{
    char sql[256];
    int64_t *shift = &m->shift[t];
    int status = clsa_db_prepare(m->from, m->from_path, tables[t].rows, &m->read[t], err);
    if (status)
        return status;
    const int columns = sqlite3_column_count(m->read[t]);
    int n = snprintf(sql, sizeof sql, "INSERT INTO %s VALUES (?", tables[t].name);
    for (int c = 1; c < columns; c++)
        n += snprintf(sql + n, sizeof sql - (size_t)n, ",?");
    snprintf(sql + n, sizeof sql - (size_t)n, ")");
    status = clsa_db_prepare(m->out->db, m->out->path, sql, &m->write[t], err);
    if (status || strcmp(sqlite3_column_name(m->read[t], 0), "id") != 0)
        return status;
    snprintf(sql, sizeof sql, "SELECT coalesce(max(id), 0) FROM %s", tables[t].name);
    return clsa_db_integer(m->out->db, m->out->path, sql, shift, err);
}

static int copy_table(struct merge *m, int t, int64_t run, struct clsa_err *err)
{
    sqlite3_stmt *read = m->read[t], *write = m->write[t];
    const int columns = sqlite3_column_count(read);
    int refers[COLUMNS_MAX];
    int status = CLSA_OK, rc;
    for (int c = 0; c < columns; c++)
        refers[c] = refers_to(t, sqlite3_column_name(read, c));
    sqlite3_bind_int64(read, 1, run);
    while ((rc = sqlite3_step(read)) == SQLITE_ROW) {
        for (int c = 0; c < columns; c++)
            if (refers[c] >= 0)
                sqlite3_bind_int64(write, c + 1,
                                   sqlite3_column_int64(read, c) + m->shift[refers[c]]);
            else
                sqlite3_bind_value(write, c + 1, sqlite3_column_value(read, c));
        const bool good = sqlite3_step(write) == SQLITE_DONE;
        if (!good)
            status = clsa_db_fail(m->out->db, m->out->path, tables[t].name, err);
        sqlite3_reset(write);
        if (!good)
            break;
    }
    if (!status && rc != SQLITE_DONE)
        status = clsa_db_fail(m->from, m->from_path, tables[t].name, err);
    sqlite3_reset(read);
    return status;
}

static int merge_one(struct clsa_store *out, const char *path, size_t *added, struct clsa_err *err)
{
    struct merge m = {.out = out, .from_path = path};
    sqlite3_stmt *runs = NULL, *known = NULL;
    int rc;
    int status = clsa_db_open(path, CLSA_DB_READ, &m.from, err);
    if (!status)
        status = clsa_db_exec(m.from, path, "BEGIN", err);
    for (int t = 0; t < TABLES && !status; t++)
        status = prepare(&m, t, err);
    if (!status)
        status = clsa_db_prepare(m.from, path, "SELECT id, guid FROM run ORDER BY id", &runs, err);
    if (!status)
        status = clsa_db_prepare(out->db, out->path, "SELECT 1 FROM run WHERE guid = ?1", &known,
                                 err);
    while (!status && (rc = sqlite3_step(runs)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            status = clsa_db_fail(m.from, path, "read", err);
            break;
        }
        sqlite3_bind_value(known, 1, sqlite3_column_value(runs, 1));
        const bool there = sqlite3_step(known) == SQLITE_ROW;
        sqlite3_reset(known);
        for (int t = 0; t < TABLES && !there && !status; t++)
            status = copy_table(&m, t, sqlite3_column_int64(runs, 0), err);
        *added += !there && !status;
    }
    sqlite3_finalize(known);
    sqlite3_finalize(runs);
    for (int t = 0; t < TABLES; t++) {
        sqlite3_finalize(m.read[t]);
        sqlite3_finalize(m.write[t]);
    }
    sqlite3_close(m.from);
    return status;
}

static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

int clsa_store_merge(const char *out, const char *const *paths, size_t n_paths, size_t *added,
                     struct clsa_err *err)
{
    struct clsa_store *store = NULL;
    size_t count = 0;
    int status = clsa_store_start(out, true, &store, err);
    for (size_t i = 0; i < n_paths && !status; i++)
        if (!same_file(paths[i], out))
            status = merge_one(store, paths[i], &count, err);
    if (!status)
        status = clsa_store_commit(store, err);
    clsa_store_destroy(store);
    if (!status && added)
        *added = count;
    return status;
}
