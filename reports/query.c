#include "reports/query.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const struct clsa_named_query *clsa_named_query_find(const char *name)
{
    for (size_t i = 0; i < clsa_named_query_count; i++)
        if (strcmp(clsa_named_queries[i].name, name) == 0)
            return &clsa_named_queries[i];
    return NULL;
}

/* A word is a name; SQL has at least two. */
static bool is_word(const char *text)
{
    const char *p = text;
    while (isalnum((unsigned char)*p) || *p == '_' || *p == '-')
        p++;
    return p != text && *p == '\0';
}

static int unknown_name(struct clsa_reader *reader, const char *text, struct clsa_err *err)
{
    char names[512];
    int n = 0;
    for (size_t i = 0; i < clsa_named_query_count && n < (int)sizeof names; i++)
        n += snprintf(names + n, sizeof names - (size_t)n, " %s", clsa_named_queries[i].name);
    struct clsa_cursor *cursor = NULL;
    if (clsa_cursor_open(reader, "SELECT name FROM sqlite_schema WHERE type = 'view' "
                         "ORDER BY name", &cursor, NULL) == CLSA_OK)
        while (n < (int)sizeof names && clsa_cursor_next(cursor, NULL) == 1)
            n += snprintf(names + n, sizeof names - (size_t)n, " %s", clsa_cursor_text(cursor, 0));
    clsa_cursor_destroy(cursor);
    return clsa_fail(err, CLSA_ENOTFOUND, "no query or table '%s'; there are:%s", text, names);
}

int clsa_query_open(struct clsa_reader *reader, const char *text, struct clsa_cursor **out,
                    struct clsa_err *err)
{
    const struct clsa_named_query *named = clsa_named_query_find(text);
    if (named)
        return clsa_cursor_open(reader, named->sql, out, err);
    if (!is_word(text))
        return clsa_cursor_open(reader, text, out, err);
    if (!clsa_reader_has(reader, text))
        return unknown_name(reader, text, err);
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT * FROM \"%.100s\"", text);
    return clsa_cursor_open(reader, sql, out, err);
}
