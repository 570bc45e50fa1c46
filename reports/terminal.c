/* The report for a terminal: findings, wrapped, and per setting the best groups and one chart. */
#include <math.h>
#include <string.h>

#include "reports/canvas.h"
#include "reports/print.h"
#include "reports/query.h"
#include "reports/report.h"
#include "reports/study.h"

/* Settings that get a chart of their own: more would scroll the answers away. */
#define CHARTED_SETTINGS 2

static size_t width_of(const char *word, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)word[i] & 0xc0) != 0x80;
    return n;
}

static void put_wrapped(FILE *f, const char *text, unsigned columns)
{
    size_t at = 2;
    fputs("* ", f);
    for (const char *p = text; *p;) {
        const size_t bytes = strcspn(p, " "), width = width_of(p, bytes);
        if (at > 2 && at + 1 + width > columns) {
            fputs("\n  ", f);
            at = 2;
        } else if (at > 2) {
            fputc(' ', f);
            at++;
        }
        for (size_t i = 0; i < bytes; i++)
            fputc((unsigned char)p[i] < 0x20 || p[i] == 0x7f ? '?' : p[i], f);
        at += width;
        p += bytes;
        p += strspn(p, " ");
    }
    fputc('\n', f);
}

static int put_chart(struct clsa_study *study, const struct clsa_setting *s, FILE *f,
                     unsigned columns, struct clsa_err *err)
{
    struct clsa_canvas *canvas = clsa_canvas_text(f, columns);
    if (!canvas)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    const int64_t batch = s->batches[s->n_batches - 1];
    fputc('\n', f);
    put_wrapped(f, clsa_pool_printf(&study->pool, "%s: %s", s->title, s->notes), columns);
    int status = clsa_figure_speedup(study, s, batch, "t", canvas, err);
    if (!status) {
        fputc('\n', f);
        status = clsa_figure_ops(study, s, batch, s->contexts[s->n_contexts - 1], "t", canvas, NULL,
                                 err);
        fputs("  █ attention  ▓ index  ░ other\n", f);
    }
    clsa_canvas_destroy(canvas);
    return status;
}

static void put_findings(struct clsa_study *study, FILE *stream, unsigned columns)
{
    for (size_t i = 0; i < study->n_findings; i++)
        put_wrapped(stream,
                    clsa_pool_printf(&study->pool, "%s: %s", study->findings[i].subject,
                                     study->findings[i].text), columns);
    if (study->n_findings == 0)
        fputs("No finding: the store holds no point with two group sizes, and no evaluation.\n",
              stream);
}

/* Findings, and the charts of the first settings when `charts` says so. */
static int report(struct clsa_reader *reader, FILE *stream, unsigned columns, bool charts,
                  struct clsa_err *err)
{
    struct clsa_study study = {0};
    int status = clsa_study_load(reader, &study, err);
    if (status)
        return status;
    columns = columns ? columns : 80;
    put_findings(&study, stream, columns);
    size_t charted = 0;
    for (size_t i = 0; charts && i < study.n_settings && !status && charted < CHARTED_SETTINGS; i++)
        if (study.settings[i].top_k && study.settings[i].n_groups > 1) {
            status = put_chart(&study, &study.settings[i], stream, columns, err);
            charted++;
        }
    if (!status && study.pool.failed)
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
    if (!status && (fflush(stream) != 0 || ferror(stream)))
        status = clsa_fail(err, CLSA_EIO, "output: write failed");
    clsa_study_destroy(&study);
    return status;
}

int clsa_report_terminal(struct clsa_reader *reader, FILE *stream, unsigned columns,
                         struct clsa_err *err)
{
    return report(reader, stream, columns, true, err);
}

int clsa_report_findings(struct clsa_reader *reader, FILE *stream, unsigned columns,
                         struct clsa_err *err)
{
    return report(reader, stream, columns, false, err);
}
