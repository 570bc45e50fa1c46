/* Files for fuzz targets of readers that take a path. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static char folder[] = "/tmp/clsa-fuzz-XXXXXX";
static char used[16][80]; /* paths handed out */
static size_t n_used;

static void remove_folder(void)
{
    for (size_t i = 0; i < n_used; i++)
        unlink(used[i]);
    rmdir(folder);
}

const char *clsa_fuzz_path(const char *name)
{
    char path[sizeof used[0]];
    if (n_used == 0) {
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (size_t i = 0; i < n_used; i++)
        if (strcmp(used[i], path) == 0)
            return used[i];
    if (n_used == sizeof used / sizeof *used)
        abort();
    return strcpy(used[n_used++], path);
}

const char *clsa_fuzz_file(const char *suffix, const uint8_t *data, size_t bytes)
{
    char name[32];
    snprintf(name, sizeof name, "input%s", suffix);
    const char *path = clsa_fuzz_path(name);
    unlink(path); /* cutting a file short makes some file systems write it out */
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0)
        abort();
    return path;
}

uint8_t *clsa_fuzz_source(const char *path, size_t *bytes)
{
    const size_t limit = (size_t)1 << 22;
    const char *source = getenv("CLSA_SRC");
    char full[512];
    snprintf(full, sizeof full, "%s/%s", source ? source : ".", path);
    FILE *f = fopen(full, "rb");
    uint8_t *data = malloc(limit);
    if (!f || !data) {
        fprintf(stderr, "%s: no such file; set CLSA_SRC\n", full);
        exit(99);
    }
    *bytes = fread(data, 1, limit, f);
    fclose(f);
    return data;
}

uint8_t *clsa_fuzz_text(const char *text, size_t *bytes)
{
    *bytes = strlen(text);
    uint8_t *copy = malloc(*bytes + 1);
    if (!copy)
        abort();
    memcpy(copy, text, *bytes + 1);
    return copy;
}
