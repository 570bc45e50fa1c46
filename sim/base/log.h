/* Messages to people, on standard error, and progress of long work. stdout is data and never used. */
#ifndef CLSA_BASE_LOG_H
#define CLSA_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* "clsa: message\n" on standard error. */
void clsa_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* As clsa_error, but silent after clsa_log_quiet(true). */
void clsa_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void clsa_log_quiet(bool quiet);

/* A progress line, drawn only when standard error is a terminal (or CLSA_PROGRESS=1), at most ten
 * times a second, and erased at the end. */
struct clsa_progress {
    const char *what;
    uint64_t total;
    uint64_t done;
    uint64_t next_ns;
    bool drawn;
};

void clsa_progress_begin(struct clsa_progress *p, const char *what, uint64_t total);
void clsa_progress_step(struct clsa_progress *p, uint64_t done);
void clsa_progress_end(struct clsa_progress *p);

/* Monotonic clock in nanoseconds. */
uint64_t clsa_now_ns(void);

#endif
