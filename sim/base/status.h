/* Status codes and the error message that travels with them.
 *
 * Every function that can fail on user input returns 0 or a negative clsa_status and, where it takes
 * a `struct clsa_err *`, writes one line of the form "file:line: what is wrong" into it. `err` may be
 * NULL. Outputs are untouched on failure unless a header says otherwise. */
#ifndef CLSA_BASE_STATUS_H
#define CLSA_BASE_STATUS_H

#define CLSA_STATUS_LIST(X)                                                                        \
    X(OK, 0, "ok")                                                                                 \
    X(ENOMEM, -1, "out of memory")                                                                 \
    X(EIO, -2, "input or output failed")                                                           \
    X(EFORMAT, -3, "malformed input")                                                              \
    X(ERANGE, -4, "value out of range")                                                            \
    X(EUSAGE, -5, "wrong usage")                                                                   \
    X(ENOTFOUND, -6, "not found")                                                                  \
    X(EUNSUPPORTED, -7, "not supported")                                                           \
    X(ELIMIT, -8, "limit exceeded")                                                                \
    X(EMISMATCH, -9, "does not hold")

enum clsa_status {
#define X(name, value, text) CLSA_##name = value,
    CLSA_STATUS_LIST(X)
#undef X
};

#define CLSA_ERR_TEXT_BYTES 768

/* One message, always NUL-terminated, without the leading "clsa: ". */
struct clsa_err {
    char text[CLSA_ERR_TEXT_BYTES];
};

/* The short English text of a status; "unknown status" for any other number. Never NULL. */
const char *clsa_status_text(int status);

/* Formats a message into err (if not NULL) and returns `status`, so that a caller can write
 * `return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: ...", path, line);`. Bytes that are not printable
 * ASCII or UTF-8 continuation are replaced by '?', so that hostile input cannot drive a terminal. */
int clsa_fail(struct clsa_err *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the message already in err. Returns `status` unchanged. */
int clsa_fail_prefix(struct clsa_err *err, int status, const char *prefix);

#endif
