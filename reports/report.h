/* The reports: one self-contained HTML file, and the same headline in a terminal. Both read the
 * store and nothing else, and give the same bytes for the same store. */
#ifndef CLSA_REPORTS_REPORT_H
#define CLSA_REPORTS_REPORT_H

#include <stdio.h>

#include "sim/base/status.h"
#include "sim/store/store.h"

/* Writes the HTML report of a store to `path` ("-": standard output); under a temporary name, then
 * renamed. A store without any run of interest gives a page that says so.
 * Returns 0, CLSA_EIO, CLSA_EFORMAT (a damaged store) or CLSA_ENOMEM. */
int clsa_report_html(struct clsa_reader *reader, const char *path, struct clsa_err *err);

/* The headline answers and a chart of speed-up against group size, as text `columns` wide (0:
 * 80; at least 60). */
int clsa_report_terminal(struct clsa_reader *reader, FILE *stream, unsigned columns,
                         struct clsa_err *err);
/* The headline answers alone. */
int clsa_report_findings(struct clsa_reader *reader, FILE *stream, unsigned columns,
                         struct clsa_err *err);

#endif
