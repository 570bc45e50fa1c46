/* Named queries: the .sql files of reports/queries, built into the program.
 *
 * The first comment line of a file says what the query answers; the file's name is the query's. */
#ifndef CLSA_REPORTS_QUERY_H
#define CLSA_REPORTS_QUERY_H

#include <stddef.h>

#include "sim/base/status.h"
#include "sim/store/store.h"

struct clsa_named_query {
    const char *name, *title, *sql;
};

extern const struct clsa_named_query clsa_named_queries[]; /* sorted by name */
extern const size_t clsa_named_query_count;

/* NULL when there is none of that name. */
const struct clsa_named_query *clsa_named_query_find(const char *name);

/* What `clsa query DB TEXT` means: a named query, a table or view of the store, or SQL. A single
 * word that is none of the first two is CLSA_ENOTFOUND, with the names there are. */
int clsa_query_open(struct clsa_reader *reader, const char *text, struct clsa_cursor **out,
                    struct clsa_err *err);

#endif
