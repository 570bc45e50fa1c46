/* Reader of .safetensors files (the format of huggingface/safetensors, README "Format"):
 *
 *   8 bytes    N, little endian
 *   N bytes    JSON: {"name": {"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}, ...,
 *              "__metadata__": {..}}; may end in blanks
 *   the rest   tensor data, little endian, row major; offsets count from here
 *
 * The file is mapped; everything in the header is checked before any tensor can be seen: dtypes
 * known, shapes times element size equal to the span of the offsets, spans inside the file, without
 * overlap and without holes, as the format demands. */
#ifndef CLSA_MODEL_SAFETENSORS_H
#define CLSA_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "sim/base/file.h"
#include "sim/base/op.h"
#include "sim/base/status.h"

#define CLSA_SAFETENSORS_RANK 8

struct clsa_safetensor {
    const char *name;
    unsigned dtype; /* enum clsa_dtype */
    unsigned rank;
    uint64_t shape[CLSA_SAFETENSORS_RANK];
    uint64_t elements;
    const unsigned char *data; /* may be unaligned: copy, or read by bytes */
    uint64_t bytes;
};

struct clsa_safetensors {
    char *path;
    struct clsa_map map;
    size_t count;
    struct clsa_safetensor *tensors; /* by name, ascending */
    void *json;                      /* owns the names */
};

/* Returns 0, CLSA_ENOTFOUND, CLSA_EIO, CLSA_EFORMAT (message with file, and tensor or byte) or
 * CLSA_ENOMEM. Release with clsa_safetensors_close. */
int clsa_safetensors_open(const char *path, struct clsa_safetensors *out, struct clsa_err *err);
/* Takes NULL and zeroed structs. */
void clsa_safetensors_close(struct clsa_safetensors *file);

/* The tensor of that name, or NULL. */
const struct clsa_safetensor *clsa_safetensors_find(const struct clsa_safetensors *file,
                                                    const char *name);
/* As find; a missing tensor is CLSA_ENOTFOUND, another dtype or shape is CLSA_EFORMAT, both with
 * file and tensor in the message. A dimension of 0 in `shape` accepts any length. */
int clsa_safetensors_need(const struct clsa_safetensors *file, const char *name, unsigned dtype,
                          unsigned rank, const uint64_t *shape,
                          const struct clsa_safetensor **out, struct clsa_err *err);

#endif
