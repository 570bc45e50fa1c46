/* Statements that read. The store's own connection is shared with readers of an uncommitted run,
 * so refusal happens at prepare: an authorizer for what a statement may touch, and SQLite's own
 * word on whether it writes. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/store/private.h"

struct clsa_cursor {
    struct clsa_reader *reader;
    sqlite3_stmt *stmt;
};

/* Called every this many virtual machine instructions, some tens of microseconds apart. */
#define PROGRESS_STEPS 10000

int clsa_reader_open(const char *path, struct clsa_reader **out, struct clsa_err *err)
{
    int status = CLSA_OK;
    struct clsa_reader *reader = clsa_calloc(1, sizeof *reader);
    if (!reader || !(reader->path = clsa_strdup(path))) {
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    status = clsa_db_open(path, CLSA_DB_READ, &reader->db, err);
    /* One transaction for the reader's life: all its statements see one state of the file. */
    if (!status)
        status = clsa_db_exec(reader->db, path, "BEGIN", err);
    if (status)
        goto fail;
    *out = reader;
    return CLSA_OK;
fail:
    clsa_reader_destroy(reader);
    return status;
}

void clsa_reader_destroy(struct clsa_reader *reader)
{
    if (!reader)
        return;
    sqlite3_close(reader->db);
    free(reader->path);
    free(reader);
}

const char *clsa_reader_path(const struct clsa_reader *reader)
{
    return reader->path;
}

void clsa_reader_time_limit(struct clsa_reader *reader, unsigned seconds)
{
    reader->limit_seconds = seconds;
}

static int authorize(void *unused, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
    (void)unused;
    (void)a;
    (void)c;
    (void)d;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_FUNCTION:
        return b && sqlite3_stricmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static int out_of_time(void *data)
{
    const struct clsa_reader *reader = data;
    return reader->deadline_ns != 0 && clsa_now_ns() > reader->deadline_ns;
}

/* What follows a statement may be blank or comment; a second statement is refused by name. */
static bool only_blank(const char *p)
{
    for (;;) {
        while (isspace((unsigned char)*p) || *p == ';')
            p++;
        if (p[0] == '-' && p[1] == '-') {
            p += strcspn(p, "\n");
        } else if (p[0] == '/' && p[1] == '*') {
            const char *q = strstr(p + 2, "*/");
            if (!q)
                return true;
            p = q + 2;
        } else {
            return *p == '\0';
        }
    }
}

int clsa_cursor_open(struct clsa_reader *reader, const char *sql, struct clsa_cursor **out,
                     struct clsa_err *err)
{
    sqlite3 *db = reader->db;
    if (!db)
        return clsa_fail(err, CLSA_EUSAGE, "%s: the run is committed", reader->path);
    struct clsa_cursor *cursor = clsa_calloc(1, sizeof *cursor);
    if (!cursor)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", reader->path);
    cursor->reader = reader;
    int status = CLSA_OK;
    const char *tail = "";
    sqlite3_set_authorizer(db, authorize, NULL);
    if (sqlite3_prepare_v2(db, sql, -1, &cursor->stmt, &tail) != SQLITE_OK)
        status = clsa_db_fail(db, reader->path, "query", err);
    sqlite3_set_authorizer(db, NULL, NULL);
    if (status)
        goto fail;
    if (!cursor->stmt) {
        status = clsa_fail(err, CLSA_EUSAGE, "%s: no statement in the query", reader->path);
        goto fail;
    }
    if (!only_blank(tail)) {
        status = clsa_fail(err, CLSA_EUSAGE, "%s: more than one statement", reader->path);
        goto fail;
    }
    if (!sqlite3_stmt_readonly(cursor->stmt) || sqlite3_column_count(cursor->stmt) == 0) {
        status = clsa_fail(err, CLSA_EUSAGE, "%s: only statements that read are allowed",
                           reader->path);
        goto fail;
    }
    if (reader->run_id) {
        const int run = sqlite3_bind_parameter_index(cursor->stmt, ":run");
        if (run)
            sqlite3_bind_int64(cursor->stmt, run, reader->run_id);
    }
    sqlite3_progress_handler(db, PROGRESS_STEPS, out_of_time, reader);
    reader->deadline_ns =
        reader->limit_seconds ? clsa_now_ns() + reader->limit_seconds * UINT64_C(1000000000) : 0;
    *out = cursor;
    return CLSA_OK;
fail:
    clsa_cursor_destroy(cursor);
    return status;
}

static int bind_place(struct clsa_cursor *cursor, const char *name, int *place,
                      struct clsa_err *err)
{
    *place = sqlite3_bind_parameter_index(cursor->stmt, name);
    if (*place == 0)
        return clsa_fail(err, CLSA_EUSAGE, "%s: no parameter %s in the query",
                         cursor->reader->path, name);
    return CLSA_OK;
}

int clsa_cursor_bind_text(struct clsa_cursor *cursor, const char *name, const char *value,
                          struct clsa_err *err)
{
    int place;
    int status = bind_place(cursor, name, &place, err);
    if (!status && sqlite3_bind_text(cursor->stmt, place, value, -1, SQLITE_TRANSIENT))
        status = clsa_db_fail(cursor->reader->db, cursor->reader->path, "bind", err);
    return status;
}

int clsa_cursor_bind_i64(struct clsa_cursor *cursor, const char *name, int64_t value,
                         struct clsa_err *err)
{
    int place;
    int status = bind_place(cursor, name, &place, err);
    if (!status && sqlite3_bind_int64(cursor->stmt, place, value))
        status = clsa_db_fail(cursor->reader->db, cursor->reader->path, "bind", err);
    return status;
}

int clsa_cursor_next(struct clsa_cursor *cursor, struct clsa_err *err)
{
    const int rc = sqlite3_step(cursor->stmt);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    return clsa_db_fail(cursor->reader->db, cursor->reader->path, "query", err);
}

void clsa_cursor_destroy(struct clsa_cursor *cursor)
{
    if (!cursor)
        return;
    sqlite3_finalize(cursor->stmt);
    free(cursor);
}

int clsa_cursor_columns(const struct clsa_cursor *cursor)
{
    return sqlite3_column_count(cursor->stmt);
}

const char *clsa_cursor_name(const struct clsa_cursor *cursor, int column)
{
    const char *name = sqlite3_column_name(cursor->stmt, column);
    return name ? name : "";
}

int clsa_cursor_find(const struct clsa_cursor *cursor, const char *name)
{
    for (int i = 0; i < clsa_cursor_columns(cursor); i++)
        if (strcmp(clsa_cursor_name(cursor, i), name) == 0)
            return i;
    return -1;
}

enum clsa_cell clsa_cursor_type(const struct clsa_cursor *cursor, int column)
{
    switch (sqlite3_column_type(cursor->stmt, column)) {
    case SQLITE_INTEGER:
        return CLSA_CELL_INTEGER;
    case SQLITE_FLOAT:
        return CLSA_CELL_REAL;
    case SQLITE_NULL:
        return CLSA_CELL_NULL;
    default:
        return CLSA_CELL_TEXT;
    }
}

const char *clsa_cursor_text(const struct clsa_cursor *cursor, int column)
{
    const unsigned char *text = sqlite3_column_text(cursor->stmt, column);
    return text ? (const char *)text : "";
}

int64_t clsa_cursor_i64(const struct clsa_cursor *cursor, int column)
{
    return clsa_cursor_type(cursor, column) == CLSA_CELL_NULL
               ? CLSA_NULL
               : sqlite3_column_int64(cursor->stmt, column);
}

double clsa_cursor_f64(const struct clsa_cursor *cursor, int column)
{
    return clsa_cursor_type(cursor, column) == CLSA_CELL_NULL
               ? (double)NAN
               : sqlite3_column_double(cursor->stmt, column);
}

bool clsa_reader_has(struct clsa_reader *reader, const char *name)
{
    struct clsa_cursor *cursor = NULL;
    bool found = false;
    if (clsa_cursor_open(reader, "SELECT 1 FROM sqlite_schema WHERE name = :name "
                         "AND type IN ('table', 'view')", &cursor, NULL) == CLSA_OK)
        found = clsa_cursor_bind_text(cursor, ":name", name, NULL) == CLSA_OK &&
                clsa_cursor_next(cursor, NULL) == 1;
    clsa_cursor_destroy(cursor);
    return found;
}
