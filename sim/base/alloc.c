#include "sim/base/alloc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory from 256 KiB on is whole huge pages and asked for as such: rows gathered at random from it then stay
 * within reach of the TLB, and streams lose nothing at page ends. */
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM (HUGE_PAGE / 8)

bool clsa_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool clsa_add_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool clsa_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool clsa_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static atomic_ulong countdown;
static atomic_bool reached;

bool clsa_alloc_fail_at(unsigned long n)
{
    atomic_store(&countdown, n);
    return atomic_exchange(&reached, false);
}

static bool must_fail(void)
{
    unsigned long left = atomic_load_explicit(&countdown, memory_order_relaxed);
    if (left == 0)
        return false;
    if (atomic_fetch_sub(&countdown, 1) == 1) {
        atomic_store(&reached, true);
        return true;
    }
    return false;
}

void *clsa_malloc(size_t count, size_t size)
{
    size_t bytes;
    if (!clsa_mul_size(count, size, &bytes) || must_fail())
        return NULL;
    return malloc(bytes ? bytes : 1);
}

void *clsa_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!clsa_mul_size(count, size, &bytes) || must_fail())
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *clsa_realloc(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (!clsa_mul_size(count, size, &bytes) || must_fail())
        return NULL;
    return realloc(old, bytes ? bytes : 1);
}

bool clsa_grow(void *array, size_t *room, size_t wanted, size_t size)
{
    void *old;
    if (wanted <= *room)
        return true;
    size_t more = *room + *room / 2 + 64;
    if (more < wanted)
        more = wanted;
    memcpy(&old, array, sizeof old);
    void *fresh = clsa_realloc(old, more, size);
    if (!fresh)
        return false;
    memcpy(array, &fresh, sizeof fresh);
    *room = more;
    return true;
}

void *clsa_aligned(size_t align, size_t count, size_t size)
{
    size_t bytes;
    void *p = NULL;
    if (!clsa_mul_size(count, size, &bytes) || must_fail())
        return NULL;
    const bool huge = bytes >= HUGE_FROM;
    if (huge && !clsa_add_size(bytes, -bytes % HUGE_PAGE, &bytes))
        return NULL;
    if (posix_memalign(&p, huge && align < HUGE_PAGE ? HUGE_PAGE : align, bytes ? bytes : 1) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (huge) /* advice only: a system without such pages gives small ones */
        madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

char *clsa_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = clsa_malloc(n, 1);
    return copy ? memcpy(copy, text, n) : NULL;
}

char *clsa_asprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : clsa_malloc((size_t)n + 1, 1);
    if (text) {
        va_start(args, format);
        vsnprintf(text, (size_t)n + 1, format, args);
        va_end(args);
    }
    return text;
}

uint64_t clsa_memory_available_bytes(void)
{
    uint64_t available = UINT64_MAX;
    char line[256];
    FILE *f = fopen("/proc/meminfo", "r");
    if (f) {
        uint64_t kib;
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1)
                available = kib * 1024;
        fclose(f);
    }
    f = fopen("/sys/fs/cgroup/memory.max", "r");
    if (f) {
        uint64_t limit;
        if (fscanf(f, "%" SCNu64, &limit) == 1 && limit < available)
            available = limit;
        fclose(f);
    }
    return available;
}
