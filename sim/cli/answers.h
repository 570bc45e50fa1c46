/* Recall and text quality as rows of the store: `eval` and `demo`. */
#ifndef CLSA_CLI_ANSWERS_H
#define CLSA_CLI_ANSWERS_H

#include "sim/cli/common.h"
#include "sim/cli/measured.h"

struct clsa_answers {
    struct clsa_model_ref ref;
    const char *tasks;
    const struct clsa_kernels *kernels; /* NULL: best */
    const struct clsa_engine_hooks *hooks; /* NULL: none */
    const char *kernels_text;           /* how the store calls both; NULL: the rung's name */
    uint64_t *groups, *top_ks;
    size_t n_groups, n_top_ks;
    uint32_t text_stride; /* 0: the default */
};

/* Evaluates and adds a row for each text size, group and top-k. */
int clsa_answers_store(const struct clsa_answers *answers, struct clsa_store *store,
                       struct clsa_err *err);

#endif
