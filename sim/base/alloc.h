/* Checked sizes and allocation. Shapes come from files, so every product is checked. */
#ifndef CLSA_BASE_ALLOC_H
#define CLSA_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b (or a + b); false and *out untouched on overflow. */
bool clsa_mul_size(size_t a, size_t b, size_t *out);
bool clsa_add_size(size_t a, size_t b, size_t *out);
bool clsa_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool clsa_add_u64(uint64_t a, uint64_t b, uint64_t *out);

/* As malloc, calloc, realloc of count * size bytes; NULL on overflow or lack of memory. A count of 0
 * yields a unique pointer. All allocations of the project come through here, so that tests can make
 * the n-th one fail. Free with free(). */
void *clsa_malloc(size_t count, size_t size);
void *clsa_calloc(size_t count, size_t size);
void *clsa_realloc(void *old, size_t count, size_t size);
/* Makes an array hold `wanted` elements of `size` bytes: `array` points to the pointer to its first (NULL: none yet),
 * *room says how many it has place for. Grows by half at least, so that one more again and again costs little. False
 * when out of memory; the array is then as it was. */
bool clsa_grow(void *array, size_t *room, size_t wanted, size_t size);
/* count * size bytes at an address divisible by `align` (a power of two); free() releases it. Blocks
 * from 256 KiB on are whole huge pages (2 MiB), advised to be such. */
void *clsa_aligned(size_t align, size_t count, size_t size);
char *clsa_strdup(const char *text);
/* printf into fresh memory; NULL when out of memory. */
char *clsa_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fault injection: the n-th allocation from now on fails (1 = the next one), 0 switches it off.
 * Returns whether the previous countdown had reached its failure. */
bool clsa_alloc_fail_at(unsigned long n);

/* Bytes of physical memory that a new allocation may hope for: MemAvailable of /proc/meminfo, or the
 * cgroup limit where that is lower; UINT64_MAX where neither can be read. */
uint64_t clsa_memory_available_bytes(void);

#endif
