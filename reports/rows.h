/* The result of a query held in memory, and a pool for what a page makes out of it. */
#ifndef CLSA_REPORTS_ROWS_H
#define CLSA_REPORTS_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/status.h"
#include "sim/store/store.h"

struct clsa_datum {
    enum clsa_cell type;
    double real; /* also of an integer; NaN for anything else */
    int64_t integer;
    char *text; /* of text; else NULL */
};

struct clsa_rows {
    size_t n, columns;
    char **names;
    struct clsa_datum *cells;
};

/* Runs a named query (it must exist). prediction < 0 leaves :prediction unbound. */
int clsa_rows_load(struct clsa_reader *reader, const char *query, int64_t prediction,
                   struct clsa_rows *rows, struct clsa_err *err);
void clsa_rows_destroy(struct clsa_rows *rows); /* takes NULL and zeroed structs */

/* Cells by row and column name, which must exist. Text of a number or NULL is "". */
const char *clsa_rows_text(const struct clsa_rows *rows, size_t row, const char *column);
double clsa_rows_f64(const struct clsa_rows *rows, size_t row, const char *column);
int64_t clsa_rows_i64(const struct clsa_rows *rows, size_t row, const char *column);

/* Memory that lives as long as a page. A failed allocation sets `failed`; text then is "" and
 * memory NULL. */
struct clsa_pool {
    void **items;
    size_t n, room;
    bool failed;
};

void *clsa_pool_alloc(struct clsa_pool *pool, size_t count, size_t size); /* zeroed */
const char *clsa_pool_printf(struct clsa_pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void clsa_pool_destroy(struct clsa_pool *pool);

/* "8K", "128K", "1M" for whole multiples of 1024, digits otherwise. */
const char *clsa_text_tokens(struct clsa_pool *pool, int64_t tokens);
/* Three significant digits and a unit: "4.26 ms", "291 µs". "-" for NaN. */
const char *clsa_text_time(struct clsa_pool *pool, double us);
/* "dense" for 0, else "g=4". */
const char *clsa_text_group(struct clsa_pool *pool, int64_t group);

#endif
