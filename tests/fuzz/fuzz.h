/* Fuzz targets: LLVMFuzzerTestOneInput as libFuzzer has it, plus seeds of their own, so that the
 * same target runs under libFuzzer (tests/fuzz/run.sh) and in a deterministic loop of `make check`
 * (fuzz_loop.c). Inputs that once broke something are kept in tests/fuzz/found/TARGET and run first. */
#ifndef CLSA_TESTS_FUZZ_H
#define CLSA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Input number i (0 ..) in fresh memory, or NULL when there are no more. */
uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes);
/* Inputs that the loop of `make check` tries. */
extern const unsigned long clsa_fuzz_runs;

/* For targets that read files (fuzz_file.c). The input under a name of its own, valid until the next
 * call; `suffix` as ".json". The folder goes away at exit. */
const char *clsa_fuzz_file(const char *suffix, const uint8_t *data, size_t bytes);
/* A path in that folder. */
const char *clsa_fuzz_path(const char *name);
/* Fresh memory with the content of a file of the source tree; the program ends if there is none. */
uint8_t *clsa_fuzz_source(const char *path, size_t *bytes);
/* A text as a seed. */
uint8_t *clsa_fuzz_text(const char *text, size_t *bytes);

#endif
