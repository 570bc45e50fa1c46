/* Selections that inference engines recorded, as traces without ops: `clsa trace import`.
 *
 * Every token becomes one decode step of one sequence; the indexer layers become its groups. A
 * layer that repeats the layer before it for every token (engines report a reused selection again)
 * is stored once; provenance "set_layers" names the layer that each group came from. */
#ifndef CLSA_TRACES_IMPORT_H
#define CLSA_TRACES_IMPORT_H

#include "sim/base/status.h"
#include "traces/writer.h"

enum clsa_import_kind {
    CLSA_IMPORT_AUTO,  /* JSONL when the first line has selected_token_pos, an array otherwise */
    CLSA_IMPORT_ARRAY, /* [tokens, layers, k]: SGLang's JSON response with meta_info.indexer_topk in
                        * base64 (bare int32, or a .npy as vLLM has it), that base64 alone, or a
                        * .npy file (int32 or int64) */
    CLSA_IMPORT_JSONL  /* DeepSeek-V3.2-Exp forks: a line a (request, layer, step) */
};

struct clsa_import {
    enum clsa_import_kind kind;
    const char *tool;        /* provenance: name and version of the program */
    uint64_t layers, top_k;  /* shape where the file does not say it (bare base64); 0: unknown */
    uint64_t first_position; /* position in its sequence of an array's first token */
};

/* Reads `path` ("-": standard input) and writes the trace `out_path` ("-": standard output).
 * Entries below 0 are padding. Positions that repeat, or that the token could not see (beyond its
 * own), are CLSA_EFORMAT with token and layer; arrays whose size is no multiple of layers * top_k
 * are CLSA_EFORMAT, an unknown shape CLSA_EUSAGE. A JSON array of responses gives their sequences
 * one after another. Returns 0 or a negative status with `path:line` or `path: token T, layer L` in
 * err. */
int clsa_trace_import(const struct clsa_import *options, const char *path, const char *out_path,
                      struct clsa_err *err);

#endif
