/* Pieces of the HTML page that know no section's meaning: frame, tables of rows, legends,
 * setups. */
#ifndef CLSA_REPORTS_PAGE_H
#define CLSA_REPORTS_PAGE_H

#include <stdio.h>

#include "reports/rows.h"
#include "reports/study.h"

enum clsa_as {
    CLSA_AS_TEXT,
    CLSA_AS_COUNT,
    CLSA_AS_TOKENS,
    CLSA_AS_GROUP,
    CLSA_AS_TIME,   /* from microseconds */
    CLSA_AS_BYTES,
    CLSA_AS_FACTOR, /* 1.27x */
    CLSA_AS_TENTH,  /* one digit after the point */
    CLSA_AS_SIGNED,
    CLSA_AS_FOUR,
    CLSA_AS_FOUR_SIGNED
};

struct clsa_column {
    const char *name, *title;
    enum clsa_as as;
};

/* Sections met so far; text is borrowed. */
#define CLSA_PAGE_SECTIONS 16
struct clsa_page {
    FILE *f;
    struct {
        const char *id, *title;
    } sections[CLSA_PAGE_SECTIONS];
    size_t n_sections;
};

/* A heading, remembered for the list at the top of the page. */
void clsa_page_section(struct clsa_page *page, const char *id, const char *title);
/* Head, title and list of sections; written when the sections are known. */
void clsa_page_begin(FILE *f, const struct clsa_page *page);
/* How to read the page, and its end. */
void clsa_page_end(struct clsa_page *page);
/* A table of the rows listed, or of the first n when list is NULL. */
void clsa_page_rows(FILE *f, struct clsa_pool *pool, const struct clsa_rows *rows,
                    const size_t *list, size_t n, const struct clsa_column *columns,
                    size_t n_columns);
void clsa_page_legend(FILE *f, const struct clsa_legend *legend);
/* Machines and implementations, folded, with the source of every value. */
int clsa_page_setups(struct clsa_page *page, struct clsa_reader *reader, struct clsa_err *err);

extern const char clsa_page_css[]; /* page.css */

#endif
