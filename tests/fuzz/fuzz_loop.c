/* A deterministic stand-in for libFuzzer: inputs found earlier, then the target's seeds mutated with a
 * seeded generator (CLSA_FUZZ_RUNS of them). A crash or a sanitizer's report is the failure.
 *
 *   fuzz_X              the loop
 *   fuzz_X corpus DIR   writes the seeds there, as a corpus for libFuzzer
 *   fuzz_X FILE...      runs these inputs */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/rng.h"
#include "tests/fuzz/fuzz.h"

#define SEEDS_MAX 24
#define GROWTH_MAX 64

struct input {
    uint8_t *data;
    size_t bytes;
};

static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x40, 0x20};

/* What a number in a text may become. */
static const char *const numbers[] = {"0",   "-1",   "1",     "4294967296", "18446744073709551615",
                                      "nan", "1e99", "1e-99", "-0.0",       "9007199254740993"};

/* The digits at or after `at` become another number. */
static void other_number(struct clsa_rng *rng, uint8_t *data, size_t *bytes, size_t at)
{
    while (at < *bytes && !isdigit(data[at]))
        at++;
    size_t end = at;
    while (end < *bytes && isdigit(data[end]))
        end++;
    const char *text = numbers[clsa_rng_below(rng, sizeof numbers / sizeof *numbers)];
    const size_t length = strlen(text);
    if (at == end)
        return;
    memmove(data + at + length, data + end, *bytes - end);
    memcpy(data + at, text, length);
    *bytes += length - (end - at);
}

static void mutate(struct clsa_rng *rng, uint8_t *data, size_t *bytes)
{
    const size_t at = *bytes ? (size_t)clsa_rng_below(rng, *bytes) : 0;
    const size_t length =
        *bytes ? 1 + (size_t)clsa_rng_below(rng, *bytes - at < 32 ? *bytes - at : 32) : 0;
    if (*bytes == 0)
        return;
    switch (clsa_rng_below(rng, 7)) {
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
    case 5:
        other_number(rng, data, bytes, at);
        break;
    case 6: /* insert large bytes: long varints */
        if (length <= GROWTH_MAX / 4) {
            memmove(data + at + length, data + at, *bytes - at);
            memset(data + at, 0xff, length);
            *bytes += length;
        }
        break;
    }
}

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

/* One input in memory of exactly its size, so that a sanitizer sees a read past its end. */
static void try_input(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy)
        exit(99);
    if (bytes)
        memcpy(copy, data, bytes);
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
}

static int try_file(const char *path)
{
    static uint8_t data[1 << 22];
    FILE *in = fopen(path, "rb");
    if (!in)
        return EXIT_FAILURE;
    const size_t bytes = fread(data, 1, sizeof data, in);
    fclose(in);
    try_input(data, bytes);
    return EXIT_SUCCESS;
}

/* Runs what lies in tests/fuzz/found/TARGET; returns how many. */
static unsigned try_found(const char *program)
{
    const char *source = getenv("CLSA_SRC"), *slash = strrchr(program, '/');
    char folder[512], path[800];
    unsigned n = 0;
    snprintf(folder, sizeof folder, "%s/tests/fuzz/found/%s", source ? source : ".",
             slash ? slash + 1 : program);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            n += try_file(path) == EXIT_SUCCESS;
        }
    if (dir)
        closedir(dir);
    return n;
}

static void try_mutants(const struct input *seeds, unsigned n, unsigned long runs)
{
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 1);
    for (unsigned long i = 0; i < runs; i++) {
        const struct input *seed = &seeds[i % n];
        size_t bytes = seed->bytes;
        uint8_t *data = malloc(bytes + GROWTH_MAX);
        if (!data)
            exit(99);
        memcpy(data, seed->data, bytes);
        for (uint64_t m = clsa_rng_below(&rng, 4); m; m--)
            if (bytes < seed->bytes + GROWTH_MAX / 2)
                mutate(&rng, data, &bytes);
        try_input(data, bytes);
        free(data);
    }
}

int main(int argc, char **argv)
{
    struct input seeds[SEEDS_MAX];
    unsigned n = 0, found = 0;
    const char *wanted = getenv("CLSA_FUZZ_RUNS");
    const unsigned long runs = wanted ? strtoul(wanted, NULL, 10) : clsa_fuzz_runs;
    int status = EXIT_SUCCESS;

    while (n < SEEDS_MAX && (seeds[n].data = clsa_fuzz_seed(n, &seeds[n].bytes)) != NULL)
        n++;
    if (n == 0)
        return 99;
    if (argc == 3 && strcmp(argv[1], "corpus") == 0) {
        status = write_corpus(argv[2], seeds, n);
    } else if (argc > 1) {
        for (int i = 1; i < argc && status == EXIT_SUCCESS; i++)
            status = try_file(argv[i]);
    } else {
        found = try_found(argv[0]);
        try_mutants(seeds, n, runs);
        printf("1..1\nok 1 - %lu inputs from %u seeds, %u found before\n", runs, n, found);
    }
    for (unsigned i = 0; i < n; i++)
        free(seeds[i].data);
    return status;
}
