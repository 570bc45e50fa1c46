#include "sim/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/base/alloc.h"
#include "sim/store/private.h"
#include "sim/store/schema.h"

const char *clsa_store_schema(void)
{
    return clsa_schema_sql;
}

static int io_error(const char *path, struct clsa_err *err)
{
    return clsa_fail(err, CLSA_EIO, "%s: %s", path, strerror(errno));
}

/* A random version 4 UUID (RFC 9562). */
static int make_guid(char out[CLSA_GUID_BYTES], struct clsa_err *err)
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return clsa_fail(err, CLSA_EIO, "no random bytes: %s", strerror(errno));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, CLSA_GUID_BYTES,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    return CLSA_OK;
}

/* An empty store under a temporary name beside the path. No journal: nobody else sees the file, and
 * if anything fails it is removed. */
static int begin_new(struct clsa_store *store, struct clsa_err *err)
{
    store->temporary = clsa_asprintf("%s.tmp-XXXXXX", store->path);
    if (!store->temporary)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", store->path);
    const int fd = mkstemp(store->temporary);
    if (fd < 0) {
        free(store->temporary);
        store->temporary = NULL;
        return io_error(store->path, err);
    }
    const bool good = fchmod(fd, 0644) == 0;
    close(fd);
    if (!good)
        return io_error(store->path, err);
    int status = clsa_db_create(store->temporary, store->path, &store->db, err);
    if (!status)
        status = clsa_db_exec(store->db, store->path,
                              "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", err);
    return status;
}

int clsa_store_start(const char *path, bool in_place, struct clsa_store **out,
                     struct clsa_err *err)
{
    int status = CLSA_OK;
    struct clsa_store *store = clsa_calloc(1, sizeof *store);
    if (!store || !(store->path = clsa_strdup(path ? path : "(memory)"))) {
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path ? path : "store");
        goto fail;
    }
    store->in_memory = path == NULL;
    struct stat st;
    if (store->in_memory) {
        status = clsa_db_create(NULL, store->path, &store->db, err);
    } else {
        const bool there = !((stat(path, &st) != 0 && errno == ENOENT) || clsa_db_is_empty(path));
        if (there)
            status = clsa_db_open(path, CLSA_DB_APPEND, &store->db, err);
        if (!status && there && !in_place) { /* it will do; nobody waits while the run goes on */
            sqlite3_close(store->db);
            store->db = NULL;
        }
        if (!status && !store->db)
            status = begin_new(store, err);
    }
    if (!status)
        status = clsa_db_exec(store->db, store->path, "BEGIN IMMEDIATE", err);
    if (status)
        goto fail;
    *out = store;
    return CLSA_OK;
fail:
    clsa_store_destroy(store);
    return status;
}

int clsa_store_open(const char *path, const struct clsa_run_row *run, struct clsa_store **out,
                    struct clsa_err *err)
{
    struct clsa_store *store = NULL;
    int status = clsa_store_start(path, false, &store, err);
    if (status)
        return status;
    if (run->guid)
        snprintf(store->guid, sizeof store->guid, "%s", run->guid);
    else
        status = make_guid(store->guid, err);
    if (!status)
        status = clsa_store_add_run(store, run, err);
    if (status) {
        clsa_store_destroy(store);
        return status;
    }
    store->reader = (struct clsa_reader){
        .db = store->db, .path = store->path, .run_id = store->run_id};
    *out = store;
    return CLSA_OK;
}

static void close_db(struct clsa_store *store)
{
    for (int i = 0; i < CLSA_INSERTS; i++) {
        sqlite3_finalize(store->inserts[i]);
        store->inserts[i] = NULL;
    }
    sqlite3_close(store->db);
    store->db = NULL;
}

/* Gives the finished file its name, or lets the run join the store that has that name: the one
 * found at open, or one that another process made since. */
static int publish(struct clsa_store *store, struct clsa_err *err)
{
    const int fd = open(store->temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return io_error(store->path, err);
    const bool synced = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    if (!synced)
        return io_error(store->path, err);

    if (link(store->temporary, store->path) == 0) {
        unlink(store->temporary);
    } else if (errno == EEXIST && !clsa_db_is_empty(store->path)) {
        const char *from = store->temporary;
        int status = clsa_store_merge(store->path, &from, 1, NULL, err);
        if (status)
            return status;
        unlink(store->temporary);
    } else if (rename(store->temporary, store->path) != 0) { /* empty, or no hard links here */
        return io_error(store->path, err);
    }
    free(store->temporary);
    store->temporary = NULL;
    return CLSA_OK;
}

int clsa_store_commit(struct clsa_store *store, struct clsa_err *err)
{
    if (store->failed)
        return clsa_fail(err, CLSA_EMISMATCH, "%s: a row was refused; nothing is kept",
                         store->path);
    int status = clsa_db_exec(store->db, store->path, "COMMIT", err);
    if (status)
        return status;
    store->committed = true;
    if (store->in_memory)
        return CLSA_OK;
    close_db(store);
    store->reader.db = NULL;
    return store->temporary ? publish(store, err) : CLSA_OK;
}

void clsa_store_destroy(struct clsa_store *store)
{
    if (!store)
        return;
    /* Closing rolls back what was not committed. */
    close_db(store);
    if (store->temporary)
        unlink(store->temporary);
    free(store->temporary);
    free(store->path);
    free(store);
}

const char *clsa_store_guid(const struct clsa_store *store)
{
    return store->guid;
}

struct clsa_reader *clsa_store_reader(struct clsa_store *store)
{
    return &store->reader;
}
