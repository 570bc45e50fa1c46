/* JSON documents (jansson underneath) with errors that name file and field.
 *
 * Nodes are borrowed from their document and live as long as it does. */
#ifndef CLSA_BASE_JSON_H
#define CLSA_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/base/status.h"

struct clsa_json; /* an owned document */
struct clsa_node; /* a borrowed value in it */

/* Reads and parses a file of at most 256 MiB; a syntax error is CLSA_EFORMAT "file:line:column: ...". */
int clsa_json_read(const char *path, struct clsa_json **doc, struct clsa_err *err);
int clsa_json_parse(const char *name, const char *text, size_t bytes, struct clsa_json **doc,
                    struct clsa_err *err);
void clsa_json_destroy(struct clsa_json *doc);

const struct clsa_node *clsa_json_root(const struct clsa_json *doc);
const char *clsa_json_name(const struct clsa_json *doc);

/* Member of an object, or NULL when absent (or JSON null, or not an object). */
const struct clsa_node *clsa_node_get(const struct clsa_node *object, const char *key);
bool clsa_node_is_object(const struct clsa_node *node);
bool clsa_node_is_array(const struct clsa_node *node);
bool clsa_node_is_string(const struct clsa_node *node);
bool clsa_node_is_number(const struct clsa_node *node);
size_t clsa_node_count(const struct clsa_node *node); /* members or elements; 0 for scalars */
const struct clsa_node *clsa_node_at(const struct clsa_node *array, size_t i);
/* i-th member in file order: its key and value. */
const struct clsa_node *clsa_node_member(const struct clsa_node *object, size_t i,
                                         const char **key);
/* NULL when the node is not a string. */
const char *clsa_node_text(const struct clsa_node *node);
/* false when the node is no such number (integers must be exact and in range). */
bool clsa_node_f64(const struct clsa_node *node, double *out);
bool clsa_node_u64(const struct clsa_node *node, uint64_t *out);
bool clsa_node_bool(const struct clsa_node *node, bool *out);

/* Member readers with messages "file: field 'key' ...". `required` false leaves *out as it was when
 * the member is absent. u64 checks lo <= value <= hi. */
int clsa_json_u64(const struct clsa_json *doc, const struct clsa_node *object, const char *key,
                  bool required, uint64_t lo, uint64_t hi, uint64_t *out, struct clsa_err *err);
int clsa_json_f64(const struct clsa_json *doc, const struct clsa_node *object, const char *key,
                  bool required, double *out, struct clsa_err *err);

/* Writes text as a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void clsa_json_put_string(FILE *out, const char *text);

#endif
