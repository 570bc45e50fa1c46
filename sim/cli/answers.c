#include "sim/cli/answers.h"

#include <stdlib.h>

#include "sim/base/alloc.h"
#include "sim/base/log.h"
#include "sim/engine/eval.h"

static void show_progress(void *user, uint64_t done, uint64_t total)
{
    struct clsa_progress *p = user;
    p->total = total;
    clsa_progress_step(p, done);
}

static uint32_t *narrow(const uint64_t *values, size_t n)
{
    uint32_t *list = clsa_malloc(n, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        list[i] = (uint32_t)values[i];
    return list;
}

static int add_rows(struct clsa_store *store, int64_t model_id, const char *kernels,
                    const struct clsa_eval_row *rows, size_t n_rows, struct clsa_err *err)
{
    int status = CLSA_OK;
    for (size_t i = 0; status == CLSA_OK && i < n_rows; i++) {
        const struct clsa_eval_row *r = &rows[i];
        const struct clsa_quality_row row = {.model_id = model_id,
                                             .kernels = kernels,
                                             .tokens = r->tokens,
                                             .group = r->group,
                                             .top_k = r->top_k,
                                             .hop1_right = r->hop1_right,
                                             .hop1_asked = r->hop1_asked,
                                             .hop2_right = r->hop2_right,
                                             .hop2_asked = r->hop2_asked,
                                             .bits_per_byte = r->bits_per_byte,
                                             .mass_covered = r->mass_covered,
                                             .overlap = r->overlap};
        status = clsa_store_add_quality(store, &row, err);
    }
    return status;
}

int clsa_answers_store(const struct clsa_answers *answers, struct clsa_store *store,
                       struct clsa_err *err)
{
    struct clsa_progress progress;
    struct clsa_model *model = NULL;
    struct clsa_eval_row *rows = NULL;
    size_t n_rows = 0;
    int64_t model_id;
    uint32_t *groups = narrow(answers->groups, answers->n_groups);
    uint32_t *top_ks = narrow(answers->top_ks, answers->n_top_ks);
    int status = groups && top_ks ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
    const struct clsa_kernels *kernels = answers->kernels ? answers->kernels : clsa_kernels_best();
    const struct clsa_eval_options options = {.kernels = kernels,
                                              .hooks = answers->hooks,
                                              .groups = groups,
                                              .n_groups = answers->n_groups,
                                              .top_ks = top_ks,
                                              .n_top_ks = answers->n_top_ks,
                                              .text_stride = answers->text_stride,
                                              .progress = show_progress,
                                              .user = &progress};
    if (status == CLSA_OK)
        status = clsa_model_open(answers->ref.config, &model, err);
    if (status == CLSA_OK)
        status = clsa_store_model(store, &answers->ref, &model_id, err);
    clsa_progress_begin(&progress, "texts read", 0);
    if (status == CLSA_OK)
        status = clsa_eval(model, answers->tasks, &options, &rows, &n_rows, err);
    clsa_progress_end(&progress);
    if (status == CLSA_OK)
        status = add_rows(store, model_id,
                          answers->kernels_text ? answers->kernels_text : kernels->name, rows,
                          n_rows, err);
    free(rows);
    free(groups);
    free(top_ks);
    clsa_model_destroy(model);
    return status;
}
