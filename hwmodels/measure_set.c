/* A set of measured figures: found, read and printed. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hwmodels/cpu.h"
#include "hwmodels/measure.h"
#include "sim/base/alloc.h"
#include "sim/base/csv.h"

void clsa_measurement_destroy(struct clsa_measurement_set *set)
{
    if (!set)
        return;
    free(set->rows);
    for (size_t i = 0; i < set->n_texts; i++)
        free(set->texts[i]);
    free(set->texts);
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

static int read_row(const struct clsa_csv *csv, size_t r, const int *at, struct clsa_measured *m,
                    struct clsa_err *err)
{
    uint64_t threads = 0;
    uint64_t *const whole[] = {&threads, &m->footprint_bytes, &m->row_bytes, &m->page_bytes};
    double *const figures[] = {&m->value, &m->fastest, &m->usual};
    int status = 0;
    for (int c = 0; c < 4 && !status; c++)
        status = clsa_csv_u64(csv, r, at[2 + c], whole[c], err);
    for (int c = 0; c < 3 && !status; c++)
        status = clsa_csv_f64(csv, r, at[6 + c], figures[c], err);
    m->threads = threads < UINT32_MAX ? (uint32_t)threads : UINT32_MAX;
    return status;
}

int clsa_measurement_read(const char *path, struct clsa_measurement_set *set, struct clsa_err *err)
{
    static const char *const names[] = {"what",  "unit",  "threads", "footprint_bytes", "row_bytes",
                                        "page_bytes", "value", "fastest", "usual"};
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
    struct clsa_measured *rows = clsa_realloc(set->rows, set->n_rows + csv.rows + 1, sizeof *rows);
    if (rows)
        set->rows = rows;
    char **texts = clsa_realloc(set->texts, set->n_texts + 1, sizeof *texts);
    if (texts)
        set->texts = texts;
    char *text = clsa_malloc(bytes, 1);
    if (!status && (!rows || !texts || !text))
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
    char *end = text;
    for (size_t r = 0; r < csv.rows && !status; r++) {
        struct clsa_measured *m = &set->rows[set->n_rows + r];
        *m = (struct clsa_measured){.what = strcpy(end, clsa_csv_cell(&csv, r, at[0]))};
        end += strlen(end) + 1;
        m->unit = strcpy(end, clsa_csv_cell(&csv, r, at[1]));
        end += strlen(end) + 1;
        status = read_row(&csv, r, at, m, err);
    }
    if (status) {
        free(text);
    } else {
        set->texts[set->n_texts++] = text;
        set->n_rows += csv.rows;
    }
    clsa_csv_destroy(&csv);
    return status;
}

static bool same_figure(const struct clsa_measured *a, const struct clsa_measured *b)
{
    return a->threads == b->threads && a->footprint_bytes == b->footprint_bytes &&
           a->row_bytes == b->row_bytes && a->page_bytes == b->page_bytes &&
           strcmp(a->what, b->what) == 0;
}

static bool is_rate(const struct clsa_measured *m)
{
    return strchr(m->unit, '/') || strcmp(m->unit, "GHz") == 0;
}

/* The slowest first. */
static int by_speed(const void *a, const void *b)
{
    const struct clsa_measured *x = a, *y = b;
    const int order = (x->value > y->value) - (x->value < y->value);
    return is_rate(x) ? order : -order;
}

/* The mean (of logarithms) of n > 0 rounds: where a figure has two states that take turns, one round alone is one of
 * them by chance. */
static double mean(const struct clsa_measured *rows, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].value <= 0)
            return rows[n / 2].value;
        sum += log(rows[i].value);
    }
    return exp(sum / (double)n);
}

/* Figures that ask for what others do: that they leave idle data, and even threads; what of the last cache they leave,
 * beyond what looks go through, which find the rest; and what cores hand over, which at times are one. */
static bool of_others(const struct clsa_measured *m, double last_bytes)
{
    static const char *const always[] = {"again", "once", "slowest", "first", "handed"};
    static const char *const around_caches[] = {"read", "unsettled", "gather", "fetch"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strcmp(m->what, always[i]) == 0)
            return true;
    /* Streams name the footprint of one thread, gathers that of all. */
    for (size_t i = 0; i < sizeof around_caches / sizeof *around_caches; i++)
        if (strcmp(m->what, around_caches[i]) == 0)
            return (double)m->footprint_bytes > clsa_probe_stream_bytes[CLSA_PROBE_STREAMS - 2] &&
                   (double)m->footprint_bytes * (i < 2 ? m->threads : 1) <= 2 * last_bytes;
    return false;
}

void clsa_measurement_settle(struct clsa_measurement_set *set)
{
    struct clsa_measured *rows = set->rows;
    const struct clsa_measured *last = clsa_measured_find(set, "size_l3", 0, 0, 0, 0);
    const double last_bytes = last ? last->value : 0;
    size_t settled = 0;
    for (size_t from = 0; from < set->n_rows; from++) {
        /* All rows of this figure follow each other at `from`. */
        size_t n = 1;
        for (size_t i = from + 1; i < set->n_rows; i++)
            if (same_figure(&rows[i], &rows[from])) {
                const struct clsa_measured found = rows[i];
                memmove(&rows[from + n + 1], &rows[from + n], (i - from - n) * sizeof *rows);
                rows[from + n++] = found;
            }
        qsort(rows + from, n, sizeof *rows, by_speed);
        const bool own = rows[from].footprint_bytes <= CLSA_MEASURED_OWN &&
                         (rows[from].threads <= 1 || strcmp(rows[from].what, "mixed") == 0);
        const bool others = of_others(&rows[from], last_bytes);
        struct clsa_measured one = rows[from + (own ? n - 1 : n / 2)];
        if (!own)
            one.value = others ? mean(rows + from + n / 4, n - 2 * (n / 4)) : mean(rows + from + n / 2, n - n / 2);
        for (size_t i = from; i < from + n; i++)
            if (is_rate(&one) ? rows[i].fastest > one.fastest : rows[i].fastest < one.fastest)
                one.fastest = rows[i].fastest;
        rows[settled++] = one;
        from += n - 1;
    }
    set->n_rows = settled;
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
