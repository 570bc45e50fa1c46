#include "sim/base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static bool quiet_notes;

static void say(const char *format, va_list args)
{
    fputs("clsa: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void clsa_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void clsa_note(const char *format, ...)
{
    if (quiet_notes)
        return;
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void clsa_log_quiet(bool quiet)
{
    quiet_notes = quiet;
}

uint64_t clsa_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool progress_wanted(void)
{
    const char *forced = getenv("CLSA_PROGRESS");
    return forced ? forced[0] == '1' : isatty(STDERR_FILENO) && !quiet_notes;
}

static void draw(struct clsa_progress *p)
{
    if (p->total)
        fprintf(stderr, "\r\033[K%s: %" PRIu64 " of %" PRIu64, p->what, p->done, p->total);
    else
        fprintf(stderr, "\r\033[K%s: %" PRIu64, p->what, p->done);
    fflush(stderr);
    p->drawn = true;
}

void clsa_progress_begin(struct clsa_progress *p, const char *what, uint64_t total)
{
    *p = (struct clsa_progress){.what = what, .total = total};
    p->next_ns = progress_wanted() ? clsa_now_ns() + 300000000u : UINT64_MAX;
}

void clsa_progress_step(struct clsa_progress *p, uint64_t done)
{
    p->done = done;
    if (p->next_ns == UINT64_MAX)
        return;
    const uint64_t now = clsa_now_ns();
    if (now >= p->next_ns) {
        p->next_ns = now + 100000000u;
        draw(p);
    }
}

void clsa_progress_end(struct clsa_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
