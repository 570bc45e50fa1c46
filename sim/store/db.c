#include "sim/store/db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/store/schema.h"
#include "sim/store/store.h"

#define APPLICATION_ID 0x434c5341 /* "CLSA", as in schema.sql */
#define BUSY_MS 10000             /* how long to wait for another process's transaction */

static const char magic[16] = "SQLite format 3";

/* SQLite's own code and text, in the project's terms. */
int clsa_db_fail(sqlite3 *db, const char *path, const char *what, struct clsa_err *err)
{
    const int extended = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    const char *text = db ? sqlite3_errmsg(db) : "out of memory";
    switch (extended & 0xff) {
    case SQLITE_NOMEM:
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return clsa_fail(err, CLSA_ERANGE, "%s: %s: %s", path, what, text);
    case SQLITE_CORRUPT:
        return clsa_fail(err, CLSA_EFORMAT, "%s: damaged database: %s: %s", path, what, text);
    case SQLITE_NOTADB:
        return clsa_fail(err, CLSA_EFORMAT, "%s: not a database", path);
    case SQLITE_FULL:
        return clsa_fail(err, CLSA_EIO, "%s: %s: no space left", path, what);
    case SQLITE_READONLY:
        return clsa_fail(err, CLSA_EIO, "%s: %s: read-only", path, what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return clsa_fail(err, CLSA_EIO, "%s: %s: in use by another program", path, what);
    case SQLITE_INTERRUPT:
        return clsa_fail(err, CLSA_ELIMIT, "%s: %s: stopped at the time limit", path, what);
    case SQLITE_AUTH:
        return clsa_fail(err, CLSA_EUSAGE, "%s: only statements that read are allowed", path);
    case SQLITE_ERROR:
        return clsa_fail(err, CLSA_EUSAGE, "%s: %s: %s", path, what, text);
    default:
        return clsa_fail(err, CLSA_EIO, "%s: %s: %s", path, what, text);
    }
}

int clsa_db_exec(sqlite3 *db, const char *path, const char *sql, struct clsa_err *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return clsa_db_fail(db, path, "write", err);
    return CLSA_OK;
}

int clsa_db_prepare(sqlite3 *db, const char *path, const char *sql, sqlite3_stmt **out,
                    struct clsa_err *err)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return clsa_db_fail(db, path, "prepare", err);
    *out = stmt;
    return CLSA_OK;
}

int clsa_db_integer(sqlite3 *db, const char *path, const char *sql, int64_t *out,
                    struct clsa_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int status = clsa_db_prepare(db, path, sql, &stmt, err);
    if (status)
        return status;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    else
        status = clsa_db_fail(db, path, "read", err);
    sqlite3_finalize(stmt);
    return status;
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool clsa_db_is_empty(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

/* What can be said of a file before SQLite sees it. */
static int check_header(const char *path, struct clsa_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return clsa_fail(err, errno == ENOENT || errno == ENOTDIR ? CLSA_ENOTFOUND : CLSA_EIO,
                         "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return clsa_fail(err, CLSA_EIO, "%s: %s", path,
                         S_ISDIR(st.st_mode) ? "is a directory" : "not a regular file");
    unsigned char header[100];
    FILE *f = fopen(path, "rb");
    if (!f)
        return clsa_fail(err, CLSA_EIO, "%s: %s", path, strerror(errno));
    const size_t got = fread(header, 1, sizeof header, f);
    fclose(f);
    if (got < sizeof header || memcmp(header, magic, sizeof magic) != 0)
        return clsa_fail(err, CLSA_EFORMAT, "%s: not a database (%s)", path,
                         got == 0 ? "empty file" : got < sizeof header ? "too short"
                                                                       : "no SQLite header");
    /* SQLite file format, section 1.3: page size at 16 (1 means 65536), page count at 28, which
     * holds when the change counters at 24 and 92 agree. A hot journal may still owe pages:
     * leave that. */
    const uint64_t page = header[16] == 0 && header[17] == 1
                              ? 65536
                              : (uint64_t)header[16] << 8 | header[17];
    const uint64_t need = page * be32(header + 28);
    char journal[4096];
    struct stat side;
    const int n = snprintf(journal, sizeof journal, "%s-journal", path);
    const bool hot = n < (int)sizeof journal && stat(journal, &side) == 0 && side.st_size > 0;
    if (be32(header + 24) == be32(header + 92) && (uint64_t)st.st_size < need && !hot)
        return clsa_fail(err, CLSA_EFORMAT, "%s: truncated: %lld bytes of %llu", path,
                         (long long)st.st_size, (unsigned long long)need);
    return CLSA_OK;
}

/* Past blanks and comments, which are no part of what a statement means. */
static const char *skip_blank(const char *p)
{
    for (;;) {
        while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
            p++;
        if (p[0] != '-' || p[1] != '-')
            return p;
        p += strcspn(p, "\n");
    }
}

static bool same_sql(const char *a, const char *b)
{
    for (;;) {
        const char *next_a = skip_blank(a), *next_b = skip_blank(b);
        if (*next_a != *next_b || (next_a == a) != (next_b == b))
            return false;
        if (*next_a == '\0')
            return true;
        a = next_a + 1;
        b = next_b + 1;
    }
}

/* Every table, view and index of schema.sql must be there as it says: later statements rely on the
 * constraints. A trigger could change what they do, so none is allowed. */
static int check_schema(sqlite3 *db, const char *path, struct clsa_err *err)
{
    sqlite3 *model = NULL;
    sqlite3_stmt *want = NULL, *have = NULL;
    int status = clsa_db_create(NULL, path, &model, err);
    int64_t triggers = 0;
    if (!status)
        status = clsa_db_integer(db, path, "SELECT count(*) FROM sqlite_schema "
                                 "WHERE type = 'trigger'", &triggers, err);
    if (!status && triggers > 0)
        status = clsa_fail(err, CLSA_EFORMAT, "%s: holds triggers, which no store does", path);
    if (!status)
        status = clsa_db_prepare(model, path, "SELECT type, name, sql FROM sqlite_schema "
                                 "WHERE sql IS NOT NULL", &want, err);
    if (!status)
        status = clsa_db_prepare(db, path, "SELECT coalesce(sql, '') FROM sqlite_schema "
                                 "WHERE type = ?1 AND name = ?2", &have, err);
    while (!status && sqlite3_step(want) == SQLITE_ROW) {
        const char *type = (const char *)sqlite3_column_text(want, 0);
        const char *name = (const char *)sqlite3_column_text(want, 1);
        const char *sql = (const char *)sqlite3_column_text(want, 2), *found;
        sqlite3_bind_text(have, 1, type, -1, SQLITE_STATIC);
        sqlite3_bind_text(have, 2, name, -1, SQLITE_STATIC);
        const int rc = sqlite3_step(have);
        if (rc == SQLITE_DONE)
            status = clsa_fail(err, CLSA_EFORMAT, "%s: %s %s is missing", path, type, name);
        else if (rc != SQLITE_ROW || !(found = (const char *)sqlite3_column_text(have, 0)))
            status = clsa_db_fail(db, path, "read", err);
        else if (!same_sql(sql, found))
            status = clsa_fail(err, CLSA_EFORMAT, "%s: %s %s is not what a store of version %d has",
                               path, type, name, CLSA_STORE_VERSION);
        sqlite3_reset(have);
    }
    sqlite3_finalize(have);
    sqlite3_finalize(want);
    sqlite3_close(model);
    return status;
}

static int check_store(sqlite3 *db, const char *path, struct clsa_err *err)
{
    int64_t id = 0, version = 0;
    int status = clsa_db_integer(db, path, "PRAGMA application_id", &id, err);
    if (!status)
        status = clsa_db_integer(db, path, "PRAGMA user_version", &version, err);
    if (status)
        return status;
    if (id != APPLICATION_ID)
        return clsa_fail(err, CLSA_EFORMAT, "%s: a database of another program "
                         "(application id 0x%08x)", path, (unsigned)id);
    if (version > CLSA_STORE_VERSION)
        return clsa_fail(err, CLSA_EUNSUPPORTED, "%s: store version %lld; this clsa knows up to %d",
                         path, (long long)version, CLSA_STORE_VERSION);
    if (version < 1)
        return clsa_fail(err, CLSA_EFORMAT, "%s: store version %lld", path, (long long)version);
    status = check_schema(db, path, err);
    if (status)
        return status;
    sqlite3_stmt *stmt = NULL;
    status = clsa_db_prepare(db, path, "PRAGMA quick_check(1)", &stmt, err);
    if (status)
        return status;
    if (sqlite3_step(stmt) != SQLITE_ROW)
        status = clsa_db_fail(db, path, "check", err);
    else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
        status = clsa_fail(err, CLSA_EFORMAT, "%s: damaged database: %s", path,
                           (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return status;
}

/* Settings of every connection: nothing in a file's schema may run more than plain SQL. */
static int configure(sqlite3 *db, const char *path, struct clsa_err *err)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, (int *)NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 64 << 20);
    return clsa_db_exec(db, path, "PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;", err);
}

int clsa_db_open(const char *path, enum clsa_db_mode mode, sqlite3 **out, struct clsa_err *err)
{
    int status = check_header(path, err);
    if (status)
        return status;
    sqlite3 *db = NULL;
    const int flags = mode == CLSA_DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK) {
        status = clsa_db_fail(db, path, "open", err);
        goto fail;
    }
    if (mode == CLSA_DB_APPEND && sqlite3_db_readonly(db, "main") == 1) {
        status = clsa_fail(err, CLSA_EIO, "%s: read-only", path);
        goto fail;
    }
    status = configure(db, path, err);
    if (!status)
        status = check_store(db, path, err);
    if (status)
        goto fail;
    *out = db;
    return CLSA_OK;
fail:
    sqlite3_close(db);
    return status;
}

int clsa_db_create(const char *file, const char *path, sqlite3 **out, struct clsa_err *err)
{
    sqlite3 *db = NULL;
    int status = CLSA_OK;
    if (sqlite3_open_v2(file ? file : ":memory:", &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        status = clsa_db_fail(db, path, "open", err);
        goto fail;
    }
    status = configure(db, path, err);
    if (!status)
        status = clsa_db_exec(db, path, "BEGIN IMMEDIATE", err);
    if (!status)
        status = clsa_db_exec(db, path, clsa_schema_sql, err);
    if (!status)
        status = clsa_db_exec(db, path, "COMMIT", err);
    if (status)
        goto fail;
    *out = db;
    return CLSA_OK;
fail:
    sqlite3_close(db);
    return status;
}
