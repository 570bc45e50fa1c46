/* The structs behind store.h. Private to sim/store. */
#ifndef CLSA_STORE_PRIVATE_H
#define CLSA_STORE_PRIVATE_H

#include "sim/store/db.h"
#include "sim/store/store.h"

struct clsa_reader {
    sqlite3 *db;
    char *path;
    int64_t run_id; /* 0: none */
    unsigned limit_seconds;
    uint64_t deadline_ns; /* of the statement under way; 0: none */
};

/* Prepared statements of the writer, each made when first needed. */
enum clsa_insert {
    CLSA_INSERT_RUN,
    CLSA_INSERT_INPUT,
    CLSA_INSERT_MODEL,
    CLSA_INSERT_MACHINE,
    CLSA_INSERT_MACHINE_PARAMETER,
    CLSA_INSERT_IMPLEMENTATION,
    CLSA_INSERT_IMPLEMENTATION_PARAMETER,
    CLSA_INSERT_PREDICTION,
    CLSA_INSERT_OP,
    CLSA_INSERT_MEASUREMENT,
    CLSA_INSERT_QUALITY,
    CLSA_INSERT_SELECTION,
    CLSA_INSERT_ACCURACY,
    CLSA_INSERT_KERNEL_CHECK,
    CLSA_INSERTS
};

struct clsa_store {
    sqlite3 *db;
    char *path;      /* where the run goes; "(memory)" for a store in memory */
    char *temporary; /* the file being built, or NULL */
    bool in_memory, committed, failed;
    int64_t run_id;
    char guid[CLSA_GUID_BYTES];
    sqlite3_stmt *inserts[CLSA_INSERTS];
    int64_t ops_prediction; /* the prediction that ops were last added to, and how many it has */
    int64_t ops_count;
    struct clsa_reader reader; /* for clsa_store_reader */
};

/* Writes the run's own row and sets run_id. */
int clsa_store_add_run(struct clsa_store *store, const struct clsa_run_row *row,
                       struct clsa_err *err);
/* Opens `path` (NULL: memory) and begins the transaction, without a run. In place, an existing
 * store is written to itself; else rows gather in a new file, which joins it at commit. */
int clsa_store_start(const char *path, bool in_place, struct clsa_store **out,
                     struct clsa_err *err);

#endif
