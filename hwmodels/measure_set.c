/* A set of measured figures: found, read and printed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/measure.h"
#include "sim/base/alloc.h"
#include "sim/base/csv.h"

void clsa_measurement_destroy(struct clsa_measurement_set *set)
{
    if (!set)
        return;
    free(set->rows);
    free(set->text);
    *set = (struct clsa_measurement_set){0};
}

const struct clsa_measured *clsa_measured_find(const struct clsa_measurement_set *set,
                                               const char *what, uint32_t threads,
                                               uint64_t footprint_bytes, uint64_t row_bytes,
                                               uint64_t page_bytes)
{
    const struct clsa_measured *best = NULL;
    double nearest = INFINITY;
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct clsa_measured *r = &set->rows[i];
        if (strcmp(r->what, what) || (threads && r->threads != threads) ||
            (row_bytes && r->row_bytes != row_bytes) || (page_bytes && r->page_bytes != page_bytes))
            continue;
        const double distance =
            footprint_bytes ? fabs(log((double)r->footprint_bytes / (double)footprint_bytes)) : 0;
        if (distance < nearest) {
            nearest = distance;
            best = r;
        }
    }
    return best;
}

int clsa_measurement_read(const char *path, struct clsa_measurement_set *out, struct clsa_err *err)
{
    static const char *const names[] = {"what",  "unit",  "threads", "footprint_bytes", "row_bytes",
                                        "page_bytes", "value", "fastest", "usual"};
    struct clsa_measurement_set set = {0};
    struct clsa_csv csv;
    int at[9];
    size_t bytes = 1;
    int status = clsa_csv_read(path, &csv, err);
    if (status)
        return status;
    for (size_t c = 0; c < 9 && !status; c++)
        status = clsa_csv_need(&csv, names[c], &at[c], err);
    for (size_t r = 0; r < csv.rows && !status; r++)
        bytes += strlen(clsa_csv_cell(&csv, r, at[0])) + strlen(clsa_csv_cell(&csv, r, at[1])) + 2;
    set.rows = clsa_calloc(csv.rows + 1, sizeof *set.rows);
    char *text = set.text = clsa_malloc(bytes, 1);
    if (!status && (!set.rows || !text))
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
    for (size_t r = 0; r < csv.rows && !status; r++) {
        struct clsa_measured *m = &set.rows[set.n_rows++];
        uint64_t threads = 0;
        uint64_t *const whole[] = {&threads, &m->footprint_bytes, &m->row_bytes, &m->page_bytes};
        double *const figures[] = {&m->value, &m->fastest, &m->usual};
        for (int c = 0; c < 4 && !status; c++)
            status = clsa_csv_u64(&csv, r, at[2 + c], whole[c], err);
        for (int c = 0; c < 3 && !status; c++)
            status = clsa_csv_f64(&csv, r, at[6 + c], figures[c], err);
        m->threads = threads < UINT32_MAX ? (uint32_t)threads : UINT32_MAX;
        m->what = strcpy(text, clsa_csv_cell(&csv, r, at[0]));
        text += strlen(text) + 1;
        m->unit = strcpy(text, clsa_csv_cell(&csv, r, at[1]));
        text += strlen(text) + 1;
    }
    clsa_csv_destroy(&csv);
    if (status) {
        clsa_measurement_destroy(&set);
        return status;
    }
    *out = set;
    return CLSA_OK;
}

void clsa_measurement_print(FILE *out, const struct clsa_measurement_set *set)
{
    fputs("what,threads,footprint_bytes,row_bytes,page_bytes,value,fastest,usual,unit\n", out);
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct clsa_measured *r = &set->rows[i];
        fprintf(out, "%s,%u,%llu,%llu,%llu,%.7g,%.7g,%.7g,%s\n", r->what, r->threads,
                (unsigned long long)r->footprint_bytes, (unsigned long long)r->row_bytes,
                (unsigned long long)r->page_bytes, r->value, r->fastest, r->usual, r->unit);
    }
}
