/* A deterministic stand-in for libFuzzer: mutates the target's seeds with a seeded generator. The
 * number of inputs is CLSA_FUZZ_RUNS (6000). A crash or a sanitizer's report is the failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/rng.h"
#include "tests/fuzz/fuzz.h"

#define SEEDS_MAX 16
#define GROWTH_MAX 64

struct input {
    uint8_t *data;
    size_t bytes;
};

static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x40, 0x20};

static void mutate(struct clsa_rng *rng, uint8_t *data, size_t *bytes)
{
    const size_t at = *bytes ? (size_t)clsa_rng_below(rng, *bytes) : 0;
    const size_t length =
        *bytes ? 1 + (size_t)clsa_rng_below(rng, *bytes - at < 32 ? *bytes - at : 32) : 0;
    if (*bytes == 0)
        return;
    switch (clsa_rng_below(rng, 6)) {
    case 0:
        data[at] ^= (uint8_t)(1u << clsa_rng_below(rng, 8));
        break;
    case 1:
        data[at] = extremes[clsa_rng_below(rng, sizeof extremes)];
        break;
    case 2:
        data[at] = (uint8_t)(data[at] + clsa_rng_below(rng, 9) - 4);
        break;
    case 3: /* drop a piece */
        memmove(data + at, data + at + length, *bytes - at - length);
        *bytes -= length;
        break;
    case 4: /* say a piece twice, over what follows */
        memmove(data + at, data + clsa_rng_below(rng, *bytes - length + 1), length);
        break;
    case 5: /* insert large bytes: long varints */
        if (length <= GROWTH_MAX / 4) {
            memmove(data + at + length, data + at, *bytes - at);
            memset(data + at, 0xff, length);
            *bytes += length;
        }
        break;
    }
}

/* `fuzz_trace DIR` writes the seeds there, as a corpus for libFuzzer. */
static int write_corpus(const char *dir, const struct input *seeds, unsigned n)
{
    int status = EXIT_SUCCESS;
    for (unsigned i = 0; i < n && status == EXIT_SUCCESS; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/seed-%u", dir, i);
        FILE *out = fopen(path, "wb");
        if (!out || fwrite(seeds[i].data, 1, seeds[i].bytes, out) != seeds[i].bytes)
            status = EXIT_FAILURE;
        if (out && fclose(out) != 0)
            status = EXIT_FAILURE;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct input seeds[SEEDS_MAX];
    struct clsa_rng rng;
    unsigned n = 0;
    const char *wanted = getenv("CLSA_FUZZ_RUNS");
    const unsigned long runs = wanted ? strtoul(wanted, NULL, 10) : 6000;

    while (n < SEEDS_MAX && (seeds[n].data = clsa_fuzz_seed(n, &seeds[n].bytes)) != NULL)
        n++;
    if (n == 0)
        return 99;
    if (argc > 1)
        return write_corpus(argv[1], seeds, n);
    clsa_rng_seed(&rng, 1);
    for (unsigned long i = 0; i < runs; i++) {
        const struct input *seed = &seeds[i % n];
        size_t bytes = seed->bytes;
        uint8_t *data = malloc(bytes + GROWTH_MAX);
        if (!data)
            return 99;
        memcpy(data, seed->data, bytes);
        for (uint64_t m = clsa_rng_below(&rng, 4); m; m--)
            if (bytes < seed->bytes + GROWTH_MAX / 2)
                mutate(&rng, data, &bytes);
        LLVMFuzzerTestOneInput(data, bytes);
        free(data);
    }
    for (unsigned i = 0; i < n; i++)
        free(seeds[i].data);
    printf("1..1\nok 1 - %lu inputs from %u seeds\n", runs, n);
    return EXIT_SUCCESS;
}
