/* Captures of selections that may be anything: npy, base64, JSON, JSON lines. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "traces/import_parse.h"

const unsigned long clsa_fuzz_runs = 6000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct clsa_import options = {.layers = 2, .top_k = 3};
    for (int kind = 0; kind < 2; kind++) {
        struct clsa_capture capture = {.path = "fuzz", .place = ":"};
        struct clsa_err err;
        char *text = malloc(bytes + 1);
        if (!text)
            abort();
        if (bytes)
            memcpy(text, data, bytes);
        text[bytes] = '\0';
        if (kind)
            clsa_import_jsonl(&options, text, bytes, &capture, &err);
        else
            clsa_import_array(&options, text, bytes, &capture, &err);
        clsa_capture_destroy(&capture);
        free(text);
    }
    return 0;
}

uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    static const char npy[] =
        "\x93NUMPY\x01\x00\x46\x00{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2, 1), }"
        "      \n\0\0\0\0\0\0\0\0";
    static const struct {
        const char *text;
        size_t bytes;
    } seeds[] = {
        {npy, sizeof npy - 1},
#define TEXT(text) {text, sizeof text - 1}
        TEXT("AAAAAAEAAAACAAAAAAAAAAEAAAACAAAA"),
        TEXT("{\"meta_info\": {\"indexer_topk\": \"AAAAAP////////8AAAAA////////////\"}}"),
        TEXT("{\"request_id\": \"a\", \"layer_id\": 0, \"step_idx\": 0, \"seq_len_current\": 4, "
             "\"selected_token_pos\": [0, 3, -1]}\n{\"request_id\": 7, \"layer_id\": 1, "
             "\"step_idx\": "
             "0, \"seq_len_current\": 4, \"selected_token_pos\": [2]}\n"),
#undef TEXT
    };
    if (i >= sizeof seeds / sizeof *seeds)
        return NULL;
    uint8_t *copy = malloc(seeds[i].bytes);
    if (!copy)
        abort();
    memcpy(copy, seeds[i].text, seeds[i].bytes);
    *bytes = seeds[i].bytes;
    return copy;
}
