/* The store: one SQLite file of runs, their inputs and what came out (schema.sql says what the
 * columns mean). Nothing else in the project includes sqlite3.h.
 *
 * Writing. clsa_store_open begins one run; add functions append rows; commit makes all of them
 * visible at once. Rows gather in a new file under a temporary name; at commit it takes the name
 * asked for, or its run joins the store of that name in one transaction. Without commit nothing
 * remains. Any failure of an add leaves the run to be destroyed, not committed.
 *
 * Row structs hold borrowed text, copied at the call. Text may be NULL where "" is meant. A double
 * that is NaN and an int64 that is CLSA_NULL are stored as NULL: "not known".
 *
 * Errors, everywhere: 0 or CLSA_EIO (read-only, disk full, locked by another program),
 * CLSA_EFORMAT (not a store, damaged, truncated), CLSA_EUNSUPPORTED (made by a newer version),
 * CLSA_ERANGE (a row the schema forbids), CLSA_ENOMEM; messages name the file. */
#ifndef CLSA_STORE_STORE_H
#define CLSA_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/status.h"

#define CLSA_NULL INT64_MIN
#define CLSA_STORE_VERSION 1
#define CLSA_GUID_BYTES 37

struct clsa_store;

/* guid NULL: a fresh random one. Seed and start time may be CLSA_NULL. */
struct clsa_run_row {
    const char *guid, *command, *command_line, *tool_version, *git_id, *host;
    int64_t seed, started_unix_s;
};

/* A file the run read: role "trace", "weights", "tokens", "tasks", "golden", "measured". */
struct clsa_input_row {
    const char *role, *path, *digest;
    int64_t bytes;
};

struct clsa_model_row {
    const char *name, *geometry_json;
};

/* One CSV row of a machine (op unused) or an implementation, as the run used it. */
struct clsa_parameter_row {
    const char *op, *parameter, *value, *unit, *source, *origin;
};

/* A machine or an implementation as the run used it (machine.h has a clsa_machine_row of its
 * own). `kind` is unused for implementations. The name carries the overrides: "h100-sxm
 * l2.size=128MiB". Where parameters repeat a name (an inherited row and the row that replaces
 * it), the later row wins. */
struct clsa_setup_row {
    const char *name, *kind, *base, *overrides, *path;
    const struct clsa_parameter_row *parameters;
    size_t n_parameters;
};

/* What a step is, in predictions and measurements alike. phase is "prefill" or "decode";
 * new_tokens, ranks 0 mean 1; threads 0 the whole machine. top_k of a dense step (group 0) is
 * stored as 0. */
struct clsa_point {
    int64_t model_id;
    const char *phase;
    uint64_t batch, context_tokens, new_tokens;
    uint32_t group, top_k;
    bool kv_shared;
    uint32_t ranks, threads;
};

/* method is "closed" or "replay"; part times add up to about step_ps; lo and hi bound 80 %. */
struct clsa_prediction_row {
    struct clsa_point point;
    int64_t machine_id, implementation_id;
    const char *method;
    int64_t step_ps, step_lo_ps, step_hi_ps;
    int64_t attention_ps, index_ps, other_ps;
    int64_t launches, launch_ps, flops, l1_bytes, l2_bytes, dram_bytes;
};

/* `count` ops of one name in one layer, or over all layers (layer -1). part: "attention", "index"
 * (scores, top-k and the indexer's projections) or "other". */
struct clsa_op_row {
    const char *op, *part, *bound;
    int32_t layer;
    int64_t count;
    int64_t time_ps, lo_ps, hi_ps;
    int64_t launches, launch_ps, flops, operand_bytes, l1_bytes, l2_bytes, dram_bytes;
};

/* op "" is the whole step; an op's time is that of all `count` ops of that name in one step. */
struct clsa_measurement_row {
    struct clsa_point point;
    const char *machine, *implementation, *op, *source;
    int64_t count, time_ps, lo_ps, hi_ps, samples;
};

struct clsa_quality_row {
    int64_t model_id;
    const char *kernels;
    uint64_t tokens;
    uint32_t group, top_k;
    uint64_t hop1_right, hop1_asked, hop2_right, hop2_asked;
    double bits_per_byte, mass_covered, overlap;
};

struct clsa_selection_row {
    int64_t model_id;
    const char *source;
    uint32_t group, top_k, set_index;
    uint64_t queries;
    double mean_keys, mean_selected, overlap_previous_set, overlap_previous_step, mass_covered;
    double reuse_distance_rows;
};

/* rows_used: "all", "fitted" or "judged". */
struct clsa_accuracy_row {
    const char *machine, *implementation, *measured, *rows_used;
    uint64_t rows;
    double mean_error_percent, median_error_percent, p90_error_percent, max_error_percent;
    double bias_percent, rank_correlation, coverage_percent, roofline_mean_error_percent;
};

struct clsa_kernel_check_row {
    const char *kernel, *rung, *shape, *message;
    uint64_t cases, failures;
    double worst_error; /* in units of the derived bound */
    int64_t time_ps, bytes, flops;
};

/* Opens `path` for a new run; NULL is a store in memory, which commit does not write anywhere.
 * A path that does not exist is created at commit. */
int clsa_store_open(const char *path, const struct clsa_run_row *run, struct clsa_store **out,
                    struct clsa_err *err);
/* Makes the run visible and ends writing; readers of an in-memory store (clsa_store_reader) go on
 * until destroy. */
int clsa_store_commit(struct clsa_store *store, struct clsa_err *err);
/* Forgets the run unless it was committed. Takes NULL. */
void clsa_store_destroy(struct clsa_store *store);
/* GUID of the run; valid until destroy. */
const char *clsa_store_guid(const struct clsa_store *store);

int clsa_store_add_input(struct clsa_store *store, const struct clsa_input_row *row,
                         struct clsa_err *err);
/* These return the id that other rows refer to in *id. A name that the run has already given
 * returns the id of the first row and adds nothing. */
int clsa_store_add_model(struct clsa_store *store, const struct clsa_model_row *row, int64_t *id,
                         struct clsa_err *err);
int clsa_store_add_machine(struct clsa_store *store, const struct clsa_setup_row *row,
                           int64_t *id, struct clsa_err *err);
int clsa_store_add_implementation(struct clsa_store *store, const struct clsa_setup_row *row,
                                  int64_t *id, struct clsa_err *err);
/* *id may be NULL. Ops belong to the prediction named by its id, in the order they are added. */
int clsa_store_add_prediction(struct clsa_store *store, const struct clsa_prediction_row *row,
                              int64_t *id, struct clsa_err *err);
int clsa_store_add_ops(struct clsa_store *store, int64_t prediction_id,
                       const struct clsa_op_row *rows, size_t n_rows, struct clsa_err *err);
int clsa_store_add_measurement(struct clsa_store *store, const struct clsa_measurement_row *row,
                               struct clsa_err *err);
int clsa_store_add_quality(struct clsa_store *store, const struct clsa_quality_row *row,
                           struct clsa_err *err);
int clsa_store_add_selection(struct clsa_store *store, const struct clsa_selection_row *row,
                             struct clsa_err *err);
int clsa_store_add_accuracy(struct clsa_store *store, const struct clsa_accuracy_row *row,
                            struct clsa_err *err);
int clsa_store_add_kernel_check(struct clsa_store *store, const struct clsa_kernel_check_row *row,
                                struct clsa_err *err);

/* Copies every run of the files named into `out` (made if it does not exist) in one transaction;
 * runs that are there already, by GUID, are left alone, so that merging twice changes nothing.
 * *added, if not NULL, is the number of runs copied. */
int clsa_store_merge(const char *out, const char *const *paths, size_t n_paths, size_t *added,
                     struct clsa_err *err);

/* Reading. A reader answers one statement at a time through cursors; it cannot change the file. */
struct clsa_reader;
struct clsa_cursor;

enum clsa_cell { CLSA_CELL_NULL, CLSA_CELL_INTEGER, CLSA_CELL_REAL, CLSA_CELL_TEXT };

/* Opens an existing store read-only; CLSA_ENOTFOUND when there is no such file. */
int clsa_reader_open(const char *path, struct clsa_reader **out, struct clsa_err *err);
/* A reader on a store being written: sees the rows of its run alone; in queries the parameter :run
 * stands for the run's id. Belongs to the store: do not destroy it. */
struct clsa_reader *clsa_store_reader(struct clsa_store *store);
/* Takes NULL. Cursors of the reader must have been destroyed. */
void clsa_reader_destroy(struct clsa_reader *reader);
const char *clsa_reader_path(const struct clsa_reader *reader);
/* A statement that works for longer than this stops with CLSA_ELIMIT; 0 is no limit (the
 * default). */
void clsa_reader_time_limit(struct clsa_reader *reader, unsigned seconds);

/* Prepares one SELECT (or WITH, VALUES, EXPLAIN); anything that writes, attaches or sets is refused
 * with CLSA_EUSAGE, as is wrong SQL. :run is NULL unless the reader belongs to a store. */
int clsa_cursor_open(struct clsa_reader *reader, const char *sql, struct clsa_cursor **out,
                     struct clsa_err *err);
/* Binds a named parameter (":model"); unknown names are CLSA_EUSAGE. Before the first next. */
int clsa_cursor_bind_text(struct clsa_cursor *cursor, const char *name, const char *value,
                          struct clsa_err *err);
int clsa_cursor_bind_i64(struct clsa_cursor *cursor, const char *name, int64_t value,
                         struct clsa_err *err);
/* 1: a row is there; 0: no more rows; negative: error. */
int clsa_cursor_next(struct clsa_cursor *cursor, struct clsa_err *err);
void clsa_cursor_destroy(struct clsa_cursor *cursor); /* takes NULL */

/* Columns count from 0; values belong to the cursor until the next row. */
int clsa_cursor_columns(const struct clsa_cursor *cursor);
const char *clsa_cursor_name(const struct clsa_cursor *cursor, int column);
int clsa_cursor_find(const struct clsa_cursor *cursor, const char *name); /* -1: no such column */
enum clsa_cell clsa_cursor_type(const struct clsa_cursor *cursor, int column);
const char *clsa_cursor_text(const struct clsa_cursor *cursor, int column); /* "" for NULL */
int64_t clsa_cursor_i64(const struct clsa_cursor *cursor, int column); /* CLSA_NULL for NULL */
double clsa_cursor_f64(const struct clsa_cursor *cursor, int column);  /* NaN for NULL */

/* True when the store holds a table or view of that name. */
bool clsa_reader_has(struct clsa_reader *reader, const char *name);
/* The schema itself, as it is created (schema.sql). */
const char *clsa_store_schema(void);

#endif
