/* Fuzz targets: LLVMFuzzerTestOneInput as libFuzzer has it, plus seeds of their own, so that the
 * same target runs under libFuzzer and in a deterministic loop of `make check` (fuzz_loop.c).
 *
 *   clang -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_trace.c ... && ./a.out */
#ifndef CLSA_TESTS_FUZZ_H
#define CLSA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Input number i (0 ..) in fresh memory, or NULL when there are no more. */
uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes);

#endif
