/* What sharing an index does to a model's answers: recall tasks, bits per byte, how much of the
 * dense softmax the selections cover, how alike they are.
 *
 * Tasks file (models/README.md): `s{S}.task_tokens` [T,S] and `s{S}.two_hop` [T,8], uint8, and
 * `s{S}.text_tokens` [U,S], for any sizes S. The self-decoder reads each text once; all policies
 * then ask about the same positions through the cross-decoder alone. */
#ifndef CLSA_ENGINE_EVAL_H
#define CLSA_ENGINE_EVAL_H

#include "sim/engine/engine.h"

struct clsa_eval_row {
    uint64_t tokens; /* S */
    uint32_t group;  /* 0: dense */
    uint32_t top_k;  /* 0 when dense */
    uint32_t hop1_right, hop1_asked, hop2_right, hop2_asked;
    /* Mean of -log2 p(next byte) over every text_stride-th position of texts; NaN without texts. */
    double bits_per_byte;
    uint64_t bits_positions; /* how many positions that was */
    /* Share of the dense softmax's mass that lies on the selected keys, with the queries of this
     * policy's own run: mean over answers (the position that predicts the first byte), cross layers
     * and heads. 1 when dense. */
    double mass_covered;
    /* Share of a group's selection that the group before it selected too, mean over answers and
     * neighbouring groups; NaN with fewer than two groups. */
    double overlap;
};

struct clsa_eval_options {
    const struct clsa_kernels *kernels; /* NULL: best */
    const struct clsa_engine_hooks *hooks; /* NULL: none */
    const uint32_t *groups;             /* 0 is dense, evaluated once */
    size_t n_groups;
    const uint32_t *top_ks;
    size_t n_top_ks;
    uint32_t text_stride; /* 0: 8 */
    void (*progress)(void *user, uint64_t done, uint64_t total); /* texts read; NULL: none */
    void *user;
};

/* One row for each size of the file, ascending, and each policy in the order given. *rows is the
 * caller's to free. Returns 0, CLSA_EFORMAT or CLSA_ENOTFOUND (the file), or what the engine
 * returns. */
int clsa_eval(struct clsa_model *model, const char *tasks, const struct clsa_eval_options *options,
              struct clsa_eval_row **rows, size_t *n_rows, struct clsa_err *err);

#endif
