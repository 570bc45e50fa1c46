/* What a store says, sorted for reading: predicted steps by setting, and the answers in words.
 * The HTML page and the terminal report are both written from this. */
#ifndef CLSA_REPORTS_STUDY_H
#define CLSA_REPORTS_STUDY_H

#include "reports/canvas.h"
#include "reports/rows.h"

#define CLSA_NO_ROW SIZE_MAX

/* Points that differ in batch, context and group size only. `rows` are rows of study.steps;
 * dense rows are in it whatever its top-k. Lists ascend. */
struct clsa_setting {
    const char *model, *machine, *implementation, *method, *phase;
    int64_t kv_shared, ranks, threads, top_k;
    size_t n_rows, n_batches, n_contexts, n_groups;
    size_t *rows;
    int64_t *batches, *contexts, *groups;
    const char *title; /* "clsa-4b on h100-sxm, decode" */
    const char *notes; /* "triton-own, closed form, top-k 2048, K/V shared" */
};

/* What it is about, and one or more sentences. */
struct clsa_finding {
    const char *subject, *text;
};

struct clsa_study {
    struct clsa_reader *reader;
    struct clsa_pool pool;
    struct clsa_rows steps, best, pairs, errors, quality;
    struct clsa_setting *settings;
    size_t n_settings;
    struct clsa_finding *findings;
    size_t n_findings;
};

int clsa_study_load(struct clsa_reader *reader, struct clsa_study *study, struct clsa_err *err);
void clsa_study_destroy(struct clsa_study *study); /* takes NULL and zeroed structs */

/* The row of study.steps at a point of a setting, or CLSA_NO_ROW. */
size_t clsa_study_step(const struct clsa_study *study, const struct clsa_setting *setting,
                       int64_t batch, int64_t context, int64_t group);
/* The row of study.best, likewise. */
size_t clsa_study_best(const struct clsa_study *study, const struct clsa_setting *setting,
                       int64_t batch, int64_t context);
/* Rows of study.quality of one model, kernels and length are adjacent: the end of those from
 * `from`. */
size_t clsa_study_quality_end(const struct clsa_study *study, size_t from);
/* Fills study.findings; called by load. */
int clsa_study_find(struct clsa_study *study, struct clsa_err *err);

/* Figures of one setting at one batch. Ids are "PREFIX-KIND". Those that have nothing to show draw
 * nothing and return 0. */
int clsa_figure_speedup(struct clsa_study *study, const struct clsa_setting *setting,
                        int64_t batch, const char *prefix, struct clsa_canvas *canvas,
                        struct clsa_err *err);
int clsa_figure_time(struct clsa_study *study, const struct clsa_setting *setting, int64_t batch,
                     const char *prefix, struct clsa_canvas *canvas, struct clsa_err *err);
/* Time by op at one context, a bar a group. *legend, if not NULL, is set to the ops drawn, in
 * order. */
struct clsa_legend {
    struct {
        const char *name;
        enum clsa_paint paint;
    } items[16];
    size_t n;
};
int clsa_figure_ops(struct clsa_study *study, const struct clsa_setting *setting, int64_t batch,
                    int64_t context, const char *prefix, struct clsa_canvas *canvas,
                    struct clsa_legend *legend, struct clsa_err *err);
/* Two-hop answers by group and top-k of rows [from, to) of study.quality: one model, one length. */
int clsa_figure_quality(struct clsa_study *study, size_t from, size_t to, const char *prefix,
                        struct clsa_canvas *canvas, struct clsa_err *err);
/* Predicted against measured, all pairs. */
int clsa_figure_pairs(struct clsa_study *study, const char *prefix, struct clsa_canvas *canvas,
                      struct clsa_err *err);

#endif
