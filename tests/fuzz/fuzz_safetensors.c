/* Weights files: what the reader lets through must lie inside the file, byte for byte. */
#include <stdlib.h>
#include <string.h>

#include "sim/model/safetensors.h"
#include "tests/fuzz/fuzz.h"

static volatile unsigned sum; /* what was read, so that it is read */

const unsigned long clsa_fuzz_runs = 6000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct clsa_safetensors file;
    struct clsa_err err;
    if (clsa_safetensors_open(clsa_fuzz_file(".safetensors", data, bytes), &file, &err) != 0)
        return 0;
    for (size_t i = 0; i < file.count; i++) {
        const struct clsa_safetensor *t = &file.tensors[i];
        if (clsa_safetensors_find(&file, t->name) != t)
            abort();
        for (uint64_t j = 0; j < t->bytes; j++)
            sum += t->data[j];
    }
    clsa_safetensors_close(&file);
    return 0;
}

static uint8_t *with_header(const char *json, size_t data_bytes, size_t *bytes)
{
    const size_t n = strlen(json);
    uint8_t *file = calloc(1, 8 + n + data_bytes);
    if (!file)
        abort();
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(file + 8, json, n);
    *bytes = 8 + n + data_bytes;
    return file;
}

uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    static const struct {
        const char *json;
        size_t data_bytes;
    } files[] = {
        {"{}", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", 24},
        {"{\"__metadata__\":{\"format\":\"pt\"},"
         "\"a\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]},"
         "\"b.c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]},"
         "\"d\":{\"dtype\":\"U8\",\"shape\":[0,7],\"data_offsets\":[16,16]},"
         "\"e\":{\"dtype\":\"F8_E4M3\",\"shape\":[1,1,3],\"data_offsets\":[16,19]}}   ",
         19},
    };
    if (i >= sizeof files / sizeof *files)
        return NULL;
    return with_header(files[i].json, files[i].data_bytes, bytes);
}
