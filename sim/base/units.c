#include "sim/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/status.h"

static const struct unit {
    const char *name;
    enum clsa_dimension dimension;
    double factor;
} units[] = {
    {"", CLSA_DIM_COUNT, 1},
    {"-", CLSA_DIM_COUNT, 1},
    {"count", CLSA_DIM_COUNT, 1},
    {"%", CLSA_DIM_COUNT, 0.01},
    {"B", CLSA_DIM_BYTES, 1},
    {"KB", CLSA_DIM_BYTES, 1e3},
    {"MB", CLSA_DIM_BYTES, 1e6},
    {"GB", CLSA_DIM_BYTES, 1e9},
    {"TB", CLSA_DIM_BYTES, 1e12},
    {"KiB", CLSA_DIM_BYTES, 0x1p10},
    {"MiB", CLSA_DIM_BYTES, 0x1p20},
    {"GiB", CLSA_DIM_BYTES, 0x1p30},
    {"TiB", CLSA_DIM_BYTES, 0x1p40},
    {"B/s", CLSA_DIM_BYTES_PER_S, 1},
    {"KB/s", CLSA_DIM_BYTES_PER_S, 1e3},
    {"MB/s", CLSA_DIM_BYTES_PER_S, 1e6},
    {"GB/s", CLSA_DIM_BYTES_PER_S, 1e9},
    {"TB/s", CLSA_DIM_BYTES_PER_S, 1e12},
    {"KiB/s", CLSA_DIM_BYTES_PER_S, 0x1p10},
    {"MiB/s", CLSA_DIM_BYTES_PER_S, 0x1p20},
    {"GiB/s", CLSA_DIM_BYTES_PER_S, 0x1p30},
    {"TiB/s", CLSA_DIM_BYTES_PER_S, 0x1p40},
    {"Hz", CLSA_DIM_HZ, 1},
    {"kHz", CLSA_DIM_HZ, 1e3},
    {"MHz", CLSA_DIM_HZ, 1e6},
    {"GHz", CLSA_DIM_HZ, 1e9},
    {"s", CLSA_DIM_SECONDS, 1},
    {"ms", CLSA_DIM_SECONDS, 1e-3},
    {"us", CLSA_DIM_SECONDS, 1e-6},
    {"ns", CLSA_DIM_SECONDS, 1e-9},
    {"ps", CLSA_DIM_SECONDS, 1e-12},
    {"FLOP/s", CLSA_DIM_FLOPS, 1},
    {"MFLOP/s", CLSA_DIM_FLOPS, 1e6},
    {"GFLOP/s", CLSA_DIM_FLOPS, 1e9},
    {"TFLOP/s", CLSA_DIM_FLOPS, 1e12},
    {"PFLOP/s", CLSA_DIM_FLOPS, 1e15},
    {"OP/s", CLSA_DIM_FLOPS, 1},
    {"GOP/s", CLSA_DIM_FLOPS, 1e9},
    {"TOP/s", CLSA_DIM_FLOPS, 1e12},
    {"cycles", CLSA_DIM_CYCLES, 1},
    {"B/cycle", CLSA_DIM_BYTES_PER_CYCLE, 1},
    {"/cycle", CLSA_DIM_COUNT_PER_CYCLE, 1},
    {"text", CLSA_DIM_TEXT, 1},
};

const char *clsa_dimension_name(enum clsa_dimension dimension)
{
    static const char *const names[] = {
        "a count", "a whole number", "bytes", "bytes per second", "hertz", "seconds", "FLOP/s",
        "cycles", "bytes per cycle", "a count per cycle", "text"};
    return (size_t)dimension < sizeof names / sizeof *names ? names[dimension] : "unknown";
}

int clsa_unit_find(const char *unit, enum clsa_dimension *dimension, double *factor)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(units[i].name, unit) == 0) {
            *dimension = units[i].dimension;
            *factor = units[i].factor;
            return CLSA_OK;
        }
    return CLSA_ENOTFOUND;
}

/* strtod accepts hex floats, "nan" and "inf"; a quantity starts with a digit, sign or point. */
static int parse_number(const char *text, double *out, const char **rest)
{
    const char *p = text + strspn(text, " ");
    const char *digits = p + (*p == '-' || *p == '+');
    if (!((*digits >= '0' && *digits <= '9') || *digits == '.') || digits[1] == 'x' ||
        digits[1] == 'X')
        return CLSA_EFORMAT;
    char *end;
    errno = 0;
    const double value = strtod(p, &end);
    if (end == p || errno == ERANGE || !isfinite(value))
        return CLSA_EFORMAT;
    *out = value;
    *rest = end;
    return CLSA_OK;
}

int clsa_quantity_parse(const char *text, enum clsa_dimension wanted, double *out)
{
    double value;
    const char *rest;
    if (parse_number(text, &value, &rest))
        return CLSA_EFORMAT;
    rest += strspn(rest, " ");
    enum clsa_dimension dimension;
    double factor;
    if (clsa_unit_find(rest, &dimension, &factor))
        return CLSA_EFORMAT;
    if (*rest == '\0' && (wanted == CLSA_DIM_BYTES || wanted == CLSA_DIM_CYCLES))
        dimension = wanted;
    if (dimension != (wanted == CLSA_DIM_WHOLE ? CLSA_DIM_COUNT : wanted))
        return CLSA_EMISMATCH;
    if (wanted == CLSA_DIM_WHOLE && value * factor != floor(value * factor))
        return CLSA_ERANGE;
    *out = value * factor;
    return CLSA_OK;
}

int clsa_size_parse(const char *text, uint64_t *out)
{
    double value;
    const char *rest;
    if (parse_number(text, &value, &rest))
        return CLSA_EFORMAT;
    rest += strspn(rest, " ");
    double factor = 1;
    if (strcmp(rest, "K") == 0 || strcmp(rest, "k") == 0) {
        factor = 0x1p10;
    } else if (strcmp(rest, "M") == 0) {
        factor = 0x1p20;
    } else if (strcmp(rest, "G") == 0) {
        factor = 0x1p30;
    } else if (*rest) {
        enum clsa_dimension dimension;
        if (clsa_unit_find(rest, &dimension, &factor) || dimension != CLSA_DIM_BYTES)
            return CLSA_EFORMAT;
    }
    value *= factor;
    if (!(value >= 0))
        return CLSA_ERANGE;
    if (value >= 0x1p63)
        return CLSA_ERANGE;
    if (value != floor(value))
        return CLSA_EFORMAT;
    /* Above 2^53 a double skips integers: a plain number is read as an integer instead. */
    if (factor == 1) {
        char *end;
        const unsigned long long exact = strtoull(text, &end, 10);
        if (*end == '\0') {
            *out = exact;
            return CLSA_OK;
        }
    }
    *out = (uint64_t)value;
    return CLSA_OK;
}

int clsa_size_list_parse(const char *text, size_t limit, uint64_t **out, size_t *count)
{
    size_t n = 1;
    for (const char *p = text; *p; p++)
        n += *p == ',';
    if (n > limit)
        return CLSA_ELIMIT;
    uint64_t *list = clsa_malloc(n, sizeof *list);
    char *copy = clsa_strdup(text);
    int status = list && copy ? CLSA_OK : CLSA_ENOMEM;
    char *p = copy;
    for (size_t i = 0; status == CLSA_OK && i < n; i++) {
        char *comma = strchr(p, ',');
        if (comma)
            *comma = '\0';
        status = clsa_size_parse(p, &list[i]);
        if (comma)
            p = comma + 1;
    }
    free(copy);
    if (status) {
        free(list);
        return status;
    }
    *out = list;
    *count = n;
    return CLSA_OK;
}

const char *clsa_bytes_print(uint64_t bytes, char *buf, size_t buf_bytes)
{
    static const char *const suffix[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t i = 0;
    while (value >= 1024 && i + 1 < sizeof suffix / sizeof *suffix) {
        value /= 1024;
        i++;
    }
    if (i == 0)
        snprintf(buf, buf_bytes, "%" PRIu64 " B", bytes);
    else
        snprintf(buf, buf_bytes, "%.4g %s", value, suffix[i]);
    return buf;
}
