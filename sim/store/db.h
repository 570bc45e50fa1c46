/* One SQLite connection of the store: opening with every check a file from outside needs, and
 * errors in the project's own words. Private to sim/store. */
#ifndef CLSA_STORE_DB_H
#define CLSA_STORE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/base/status.h"

enum clsa_db_mode { CLSA_DB_READ, CLSA_DB_APPEND };

/* Opens an existing file that must be a whole store of this version: a regular file, SQLite's
 * magic, not shorter than its header says, our application id and version, the tables and views
 * of schema.sql and no triggers, pages that hang together. Returns 0, CLSA_ENOTFOUND, CLSA_EIO,
 * CLSA_EFORMAT, CLSA_EUNSUPPORTED or CLSA_ENOMEM. */
int clsa_db_open(const char *path, enum clsa_db_mode mode, sqlite3 **out, struct clsa_err *err);
/* Makes an empty store in an empty file, or in memory (file NULL); `path` is the name in
 * messages. */
int clsa_db_create(const char *file, const char *path, sqlite3 **out, struct clsa_err *err);
/* True for a regular file of no bytes. */
bool clsa_db_is_empty(const char *path);

/* The status and message of the connection's last error; `what` says what was tried. */
int clsa_db_fail(sqlite3 *db, const char *path, const char *what, struct clsa_err *err);
/* Runs statements without rows. */
int clsa_db_exec(sqlite3 *db, const char *path, const char *sql, struct clsa_err *err);
int clsa_db_prepare(sqlite3 *db, const char *path, const char *sql, sqlite3_stmt **out,
                    struct clsa_err *err);
/* The first column of the first row of a query. */
int clsa_db_integer(sqlite3 *db, const char *path, const char *sql, int64_t *out,
                    struct clsa_err *err);

#endif
