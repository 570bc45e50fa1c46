#include "reports/study.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"

static bool same_text(const struct clsa_rows *rows, size_t r, const char *column, const char *text)
{
    return strcmp(clsa_rows_text(rows, r, column), text) == 0;
}

static bool row_fits(const struct clsa_rows *rows, size_t r, const struct clsa_setting *s)
{
    return same_text(rows, r, "machine", s->machine) && same_text(rows, r, "model", s->model) &&
           same_text(rows, r, "implementation", s->implementation) &&
           same_text(rows, r, "method", s->method) && same_text(rows, r, "phase", s->phase) &&
           clsa_rows_i64(rows, r, "kv_shared") == s->kv_shared &&
           clsa_rows_i64(rows, r, "ranks") == s->ranks &&
           clsa_rows_i64(rows, r, "threads") == s->threads;
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Distinct values of a column over the setting's rows. */
static int64_t *distinct(struct clsa_study *study, const struct clsa_setting *s,
                         const char *column, size_t *n)
{
    int64_t *list = clsa_pool_alloc(&study->pool, s->n_rows + 1, sizeof *list);
    size_t count = 0;
    if (!list)
        return NULL;
    for (size_t i = 0; i < s->n_rows; i++)
        list[i] = clsa_rows_i64(&study->steps, s->rows[i], column);
    qsort(list, s->n_rows, sizeof *list, ascending);
    for (size_t i = 0; i < s->n_rows; i++)
        if (count == 0 || list[count - 1] != list[i])
            list[count++] = list[i];
    *n = count;
    return list;
}

static void name_setting(struct clsa_study *study, struct clsa_setting *s)
{
    struct clsa_pool *pool = &study->pool;
    s->title = clsa_pool_printf(pool, "%s on %s, %s", s->model, s->machine, s->phase);
    const char *top_k =
        s->top_k ? clsa_pool_printf(pool, ", top-k %s", clsa_text_tokens(pool, s->top_k)) : "";
    const char *ranks = s->ranks > 1 ? clsa_pool_printf(pool, ", %lld GPUs", (long long)s->ranks)
                                     : "";
    const char *threads =
        s->threads ? clsa_pool_printf(pool, ", %lld thread%s", (long long)s->threads,
                                      s->threads == 1 ? "" : "s")
                   : "";
    s->notes = clsa_pool_printf(pool, "%s, %s%s, K/V %s%s%s", s->implementation,
                                strcmp(s->method, "closed") == 0 ? "closed form" : "replay", top_k,
                                s->kv_shared ? "shared" : "of each layer's own", ranks, threads);
}

/* Every (key, top-k) of the rows with groups is a setting; dense rows of the key join it. Keys
 * that hold dense rows only are settings of top-k 0. */
static int group_steps(struct clsa_study *study, struct clsa_err *err)
{
    const struct clsa_rows *rows = &study->steps;
    study->settings = clsa_pool_alloc(&study->pool, rows->n + 1, sizeof *study->settings);
    if (!study->settings)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    for (int dense = 0; dense < 2; dense++)
        for (size_t r = 0; r < rows->n; r++) {
            if ((clsa_rows_i64(rows, r, "group") == 0) != dense)
                continue;
            const int64_t top_k = clsa_rows_i64(rows, r, "top_k");
            size_t k = study->n_settings;
            while (k-- > 0)
                if (row_fits(rows, r, &study->settings[k]) &&
                    (dense || study->settings[k].top_k == top_k))
                    break;
            if (k != SIZE_MAX)
                continue;
            struct clsa_setting *s = &study->settings[study->n_settings++];
            *s = (struct clsa_setting){
                .model = clsa_rows_text(rows, r, "model"),
                .machine = clsa_rows_text(rows, r, "machine"),
                .implementation = clsa_rows_text(rows, r, "implementation"),
                .method = clsa_rows_text(rows, r, "method"),
                .phase = clsa_rows_text(rows, r, "phase"),
                .kv_shared = clsa_rows_i64(rows, r, "kv_shared"),
                .ranks = clsa_rows_i64(rows, r, "ranks"),
                .threads = clsa_rows_i64(rows, r, "threads"),
                .top_k = top_k};
        }
    for (size_t k = 0; k < study->n_settings; k++) {
        struct clsa_setting *s = &study->settings[k];
        s->rows = clsa_pool_alloc(&study->pool, rows->n, sizeof *s->rows);
        for (size_t r = 0; r < rows->n && s->rows; r++)
            if (row_fits(rows, r, s) && (clsa_rows_i64(rows, r, "group") == 0 ||
                                         clsa_rows_i64(rows, r, "top_k") == s->top_k))
                s->rows[s->n_rows++] = r;
        if (s->rows) {
            s->batches = distinct(study, s, "batch", &s->n_batches);
            s->contexts = distinct(study, s, "context", &s->n_contexts);
            s->groups = distinct(study, s, "group", &s->n_groups);
        }
        name_setting(study, s);
    }
    return study->pool.failed ? clsa_fail(err, CLSA_ENOMEM, "out of memory") : CLSA_OK;
}

size_t clsa_study_step(const struct clsa_study *study, const struct clsa_setting *s,
                       int64_t batch, int64_t context, int64_t group)
{
    for (size_t i = 0; i < s->n_rows; i++)
        if (clsa_rows_i64(&study->steps, s->rows[i], "batch") == batch &&
            clsa_rows_i64(&study->steps, s->rows[i], "context") == context &&
            clsa_rows_i64(&study->steps, s->rows[i], "group") == group)
            return s->rows[i];
    return CLSA_NO_ROW;
}

size_t clsa_study_best(const struct clsa_study *study, const struct clsa_setting *s,
                       int64_t batch, int64_t context)
{
    const struct clsa_rows *rows = &study->best;
    for (size_t r = 0; r < rows->n; r++)
        if (clsa_rows_i64(rows, r, "batch") == batch &&
            clsa_rows_i64(rows, r, "context") == context &&
            clsa_rows_i64(rows, r, "top_k") == s->top_k && row_fits(rows, r, s))
            return r;
    return CLSA_NO_ROW;
}

int clsa_study_load(struct clsa_reader *reader, struct clsa_study *out, struct clsa_err *err)
{
    struct clsa_study study = {.reader = reader};
    int status = clsa_rows_load(reader, "steps", -1, &study.steps, err);
    if (!status)
        status = clsa_rows_load(reader, "best", -1, &study.best, err);
    if (!status)
        status = clsa_rows_load(reader, "pairs", -1, &study.pairs, err);
    if (!status)
        status = clsa_rows_load(reader, "errors", -1, &study.errors, err);
    if (!status)
        status = clsa_rows_load(reader, "quality_by_group", -1, &study.quality, err);
    if (!status)
        status = group_steps(&study, err);
    if (!status)
        status = clsa_study_find(&study, err);
    if (status) {
        clsa_study_destroy(&study);
        return status;
    }
    *out = study;
    return CLSA_OK;
}

void clsa_study_destroy(struct clsa_study *study)
{
    if (!study)
        return;
    clsa_rows_destroy(&study->steps);
    clsa_rows_destroy(&study->best);
    clsa_rows_destroy(&study->pairs);
    clsa_rows_destroy(&study->errors);
    clsa_rows_destroy(&study->quality);
    clsa_pool_destroy(&study->pool);
    *study = (struct clsa_study){0};
}
