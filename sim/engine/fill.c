#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/rng.h"
#include "sim/engine/exec.h"

/* Values that all rows are cut from, at random places: standard normal, as normed keys are. */
#define VALUES 65536u
/* Bytes copied from one place. */
#define PIECE 1024u

int clsa_engine_fill(struct clsa_engine *e, uint64_t n, uint64_t seed, struct clsa_err *err)
{
    struct clsa_rng rng;
    float *values;
    char *rows[2]; /* in the dtype of K/V, and of index keys */
    size_t width[2];

    if (n > e->options.capacity)
        return clsa_fail(err, CLSA_ERANGE,
                         "%s: %" PRIu64 " tokens exceed the capacity of %" PRIu64, e->g->name, n,
                         e->options.capacity);
    values = clsa_malloc(VALUES, sizeof *values);
    rows[0] = clsa_malloc(VALUES, sizeof *values);
    rows[1] = clsa_malloc(VALUES, sizeof *values);
    if (!values || !rows[0] || !rows[1]) {
        free(values);
        free(rows[0]);
        free(rows[1]);
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", e->g->name);
    }
    clsa_rng_seed(&rng, seed);
    for (size_t i = 0; i < VALUES; i++)
        values[i] = (float)clsa_rng_normal(&rng);
    for (int i = 0; i < 2; i++) {
        const unsigned dtype = i ? e->options.index_dtype : e->options.kv_dtype;
        width[i] = clsa_dtype_bytes(dtype, 1);
        if (dtype == CLSA_F32)
            memcpy(rows[i], values, VALUES * sizeof *values);
        else
            e->kernels->from_f32(rows[i], (ptrdiff_t)(VALUES * width[i]), clsa_engine_dtype(dtype),
                                 values, VALUES, 1, VALUES);
    }
    for (uint32_t c = 0; c < e->n_caches; c++) {
        const int index = c == e->g->self_layers; /* the order of caches: engine.c, bind */
        for (uint64_t at = 0; at < e->caches[c].bytes; at += PIECE) {
            const uint64_t left = e->caches[c].bytes - at;
            const uint64_t from = clsa_rng_below(&rng, VALUES - PIECE);
            memcpy((char *)e->caches[c].data + at, rows[index] + from * width[index],
                   left < PIECE ? left : PIECE);
        }
    }
    for (uint32_t s = 0; s < e->options.n_seqs; s++)
        e->past[s] = n;
    e->whole = false;
    e->retracted = false;
    free(values);
    free(rows[0]);
    free(rows[1]);
    return CLSA_OK;
}
