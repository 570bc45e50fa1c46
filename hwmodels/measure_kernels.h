/* The loops that clsa_measure_host times. Each runs its work once and returns something that depends
 * on all of it, so that no compiler can leave it out. */
#ifndef CLSA_HWMODELS_MEASURE_KERNELS_H
#define CLSA_HWMODELS_MEASURE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Follows `hops` links through 64-byte nodes whose first word is the next node's address. */
const void *clsa_host_chase(const void *node, uint64_t hops);
/* Sums `bytes` (a multiple of 512, 64-byte aligned) with the widest loads the processor has. `ahead`: each line is
 * asked for 6 KiB before its use, as products do; which way is faster is up to the processor and what shares its
 * core. */
uint64_t clsa_host_read(const void *data, uint64_t bytes, bool ahead);
/* Sums rows of row_bytes (a multiple of 64) that start at base + offsets[i]. With `ahead` > 0 the lines of the first
 * `ahead` rows are asked for at once, and those of row i + ahead before row i is summed, as the attention kernels do. */
uint64_t clsa_host_gather(const void *base, const uint64_t *offsets, size_t rows,
                          uint64_t row_bytes, size_t ahead);
/* What the system says of the data cache of a level: `name` is its sysfs file ("size", "coherency_line_size",
 * "ways_of_associativity"), `fallback` the sysconf constant asked where there is none. 0: not said. */
double clsa_host_cache(int level, const char *name, int fallback);
/* How many processors share the last cache, as sysfs lists them; 0: not said. */
unsigned clsa_host_sharers(void);
/* Processors that are online. */
unsigned clsa_host_cores(void);
/* Whether large blocks get huge pages when they ask. */
bool clsa_host_huge_pages(void);
/* Whether its cores are Intel's since Golden Cove (Sapphire, Emerald and Granite Rapids). */
bool clsa_host_golden_cove(void);
/* The second level of the data TLB and the page walkers of this processor, as its maker and family have
 * them; false when unknown. */
bool clsa_host_translation(uint32_t *entries, uint32_t *walkers);
/* `rounds` rounds of independent multiply-adds; returns float operations done through *flops. */
float clsa_host_fma(uint64_t rounds, uint64_t *flops);
/* The same with bf16 dot products; *flops is 0 where the processor has none. */
float clsa_host_dot_bf16(uint64_t rounds, uint64_t *flops);
/* Sum of products of n_values bfloat16 values (a multiple of CLSA_MIXED_ROW) with 2 CLSA_MIXED_ROW float32 values
 * again and again, all at multiples of 64 bytes: loads, widening and multiply-adds in the mix that products of a
 * matrix with a vector have. */
#define CLSA_MIXED_ROW 256
float clsa_host_mixed(const void *data, uint64_t n_values, const float *x);
/* A chain of `adds` dependent integer adds: one cycle each. */
uint64_t clsa_host_chain(uint64_t adds);
/* Nothing, but through a call. */
void clsa_host_call(void);

#endif
