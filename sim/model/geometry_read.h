/* How a family's config.json becomes a geometry. Private to sim/model (geometry*.c). */
#ifndef CLSA_MODEL_GEOMETRY_READ_H
#define CLSA_MODEL_GEOMETRY_READ_H

#include <stddef.h>

#include "sim/base/json.h"
#include "sim/model/geometry.h"

enum clsa_field_type {
    CLSA_FIELD_U32,    /* a count in [lo, hi] at a uint32_t */
    CLSA_FIELD_F64,    /* a finite number in [lo, hi] at a double */
    CLSA_FIELD_DTYPE,  /* a dtype's name at an unsigned */
    CLSA_FIELD_BOOL,   /* at a bool */
    CLSA_FIELD_IGNORED /* known, but no business of ours: token ids, versions, training settings */
};

struct clsa_field {
    const char *key;
    enum clsa_field_type type;
    size_t offset; /* into struct clsa_geometry */
    bool required;
    double lo, hi;
};

/* Reads the members of the document's root by a table that ends with a NULL key. A member that is
 * not in the table, a required one that is missing and a value out of range are errors that name
 * the file and the field. Returns 0, CLSA_EFORMAT or CLSA_ERANGE; touches only the fields it reads.
 * */
int clsa_geometry_read_fields(const struct clsa_json *doc, const struct clsa_field *fields,
                              struct clsa_geometry *g, struct clsa_err *err);

/* A family: what it is called in "model_type" and how its sizes are read and counted. Counts are of
 * one parameter each, whatever its dtype; bytes as in geometry.h. */
struct clsa_family_ops {
    const char *model_type;
    int (*read)(const struct clsa_json *doc, struct clsa_geometry *g, struct clsa_err *err);
    uint64_t (*parameters)(const struct clsa_geometry *g);
    uint64_t (*cache_bytes_per_token)(const struct clsa_geometry *g, uint32_t group);
};

/* The DSA family (geometry_dsa.c). */
int clsa_geometry_read_dsa(const struct clsa_json *doc, struct clsa_geometry *g,
                           struct clsa_err *err);
uint64_t clsa_geometry_parameters_dsa(const struct clsa_geometry *g);
uint64_t clsa_geometry_cache_bytes_dsa(const struct clsa_geometry *g, uint32_t group);

#endif
