#include "sim/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *clsa_status_text(int status)
{
    switch (status) {
#define X(name, value, text)                                                                       \
    case CLSA_##name:                                                                              \
        return text;
        CLSA_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

/* Messages quote user input; control bytes in it must not reach a terminal. */
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

int clsa_fail(struct clsa_err *err, int status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        make_printable(err->text);
    }
    return status;
}

int clsa_fail_prefix(struct clsa_err *err, int status, const char *prefix)
{
    if (err) {
        char old[CLSA_ERR_TEXT_BYTES];
        memcpy(old, err->text, sizeof old);
        snprintf(err->text, sizeof err->text, "%.250s: %.500s", prefix, old);
        make_printable(err->text);
    }
    return status;
}
