/* A model that can run: a geometry and its weights, in the fused layout that plans speak of. */
#ifndef CLSA_MODEL_MODEL_H
#define CLSA_MODEL_MODEL_H

#include "sim/base/op.h"
#include "sim/model/geometry.h"

struct clsa_model;

/* Opens a checkpoint: `name` as in clsa_model_find. Only headers are read; weights are bound on
 * demand.
 * Returns what clsa_geometry_read and clsa_safetensors_open return, CLSA_ENOTFOUND when there are
 * no weights, CLSA_EUNSUPPORTED for families that the engine does not run. */
int clsa_model_open(const char *name, struct clsa_model **out, struct clsa_err *err);

/* A model of random weights for timing: matrices [n, k] uniform in +-sqrt(3 / k), so that
 * activations keep their size, norms 1, each tensor from `seed` and its name alone. `weight_dtype`
 * of the geometry is float32 or bfloat16. Returns 0, CLSA_EUNSUPPORTED or CLSA_ENOMEM. */
int clsa_model_synthetic(const struct clsa_geometry *geometry, uint64_t seed,
                         struct clsa_model **out, struct clsa_err *err);
void clsa_model_destroy(struct clsa_model *model);

const struct clsa_geometry *clsa_model_geometry(const struct clsa_model *model);

/* Finds the data of each weight tensor of a step: pointers[t] for tensors of kind WEIGHT (the
 * others are left alone), rows as the plan says, 64-byte aligned, owned by the model and alive as
 * long as it is. Parts of fused tensors (q, k, v; gate, up; the index keys of all groups) are
 * joined when first asked for. Threads may call it side by side on one model once all that they ask
 * for has been bound.
 * Returns 0, CLSA_ENOTFOUND (a missing tensor, named), CLSA_EFORMAT (a wrong dtype or shape,
 * named), CLSA_ELIMIT (more than the memory available) or CLSA_ENOMEM. */
int clsa_model_bind(struct clsa_model *model, const struct clsa_step *step, const void **pointers,
                    struct clsa_err *err);

#endif
