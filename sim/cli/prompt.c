/* Where prompts come from. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/rng.h"
#include "sim/cli/runner.h"
#include "sim/model/safetensors.h"

#define PROMPT_BYTES_MAX ((size_t)1 << 30)

static int make(uint64_t n, uint32_t batch, struct clsa_prompt *out, struct clsa_err *err)
{
    uint64_t total;
    if (!clsa_mul_u64(n, batch, &total) || total > PROMPT_BYTES_MAX)
        return clsa_fail(err, CLSA_ELIMIT, "a prompt of %" PRIu64 " tokens for %u sequences", n,
                         batch);
    out->tokens = clsa_malloc(total, sizeof *out->tokens);
    out->batch = batch;
    out->n = n;
    return out->tokens ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "out of memory");
}

/* Sequence 0 is filled: the others get the same. */
static void repeat_first(struct clsa_prompt *p)
{
    for (uint32_t b = 1; b < p->batch; b++)
        memcpy(p->tokens + b * p->n, p->tokens, p->n * sizeof *p->tokens);
}

int clsa_prompt_text(const char *path, uint64_t limit, uint32_t batch, const struct clsa_geometry *g,
                     struct clsa_prompt *out, struct clsa_err *err)
{
    char *text;
    size_t bytes;
    if (g->vocab != 256)
        return clsa_fail(err, CLSA_EUNSUPPORTED,
                         "%s: %s has a vocabulary of %u, not bytes; give --tokens", path, g->name,
                         g->vocab);
    int status = clsa_file_read(path, PROMPT_BYTES_MAX, &text, &bytes, err);
    if (status)
        return status;
    if (limit && limit < bytes)
        bytes = limit;
    if (bytes == 0)
        status = clsa_fail(err, CLSA_EFORMAT, "%s: no text", path);
    if (status == CLSA_OK)
        status = make(bytes, batch, out, err);
    if (status == CLSA_OK) {
        for (size_t i = 0; i < bytes; i++)
            out->tokens[i] = (unsigned char)text[i];
        repeat_first(out);
    }
    free(text);
    return status;
}

int clsa_prompt_tensor(const char *path, const char *name, uint64_t limit, uint32_t batch,
                       struct clsa_prompt *out, struct clsa_err *err)
{
    struct clsa_safetensors file;
    int status = clsa_safetensors_open(path, &file, err);
    if (status)
        return status;
    const struct clsa_safetensor *t = clsa_safetensors_find(&file, name);
    if (!t || t->rank != 2 ||
        (t->dtype != CLSA_I32 && t->dtype != CLSA_I64 && t->dtype != CLSA_U8)) {
        status = clsa_fail(err, CLSA_EFORMAT, "%s: no tensor '%s' [B, S] of integers", path,
                           name);
    } else if (batch > t->shape[0]) {
        status = clsa_fail(err, CLSA_ERANGE, "%s: '%s' has %" PRIu64 " rows, not %u", path, name,
                           t->shape[0], batch);
    } else {
        const uint64_t n = limit && limit < t->shape[1] ? limit : t->shape[1];
        status = n ? make(n, batch, out, err) : clsa_fail(err, CLSA_EFORMAT, "%s: no tokens", path);
        for (uint32_t b = 0; status == CLSA_OK && b < batch; b++)
            for (uint64_t i = 0; i < n; i++) {
                const uint64_t at = b * t->shape[1] + i;
                int64_t wide = 0;
                int32_t narrow;
                if (t->dtype == CLSA_I64) {
                    memcpy(&wide, t->data + at * 8, 8);
                } else if (t->dtype == CLSA_I32) {
                    memcpy(&narrow, t->data + at * 4, 4);
                    wide = narrow;
                } else {
                    wide = t->data[at];
                }
                out->tokens[b * n + i] =
                    wide < 0 || wide > INT32_MAX ? -1 : (int32_t)wide; /* the engine refuses -1 */
            }
    }
    clsa_safetensors_close(&file);
    return status;
}

static int from_numbers(const char *path, uint64_t limit, uint32_t batch, struct clsa_prompt *out,
                        struct clsa_err *err)
{
    char *text;
    size_t bytes, line = 1;
    int status = clsa_file_read(path, PROMPT_BYTES_MAX, &text, &bytes, err);
    if (status)
        return status;
    uint64_t n = 0;
    status = make(bytes / 2 + 1, batch, out, err); /* a number and a separator take two bytes */
    for (char *p = text; status == CLSA_OK && *p && (!limit || n < limit);) {
        line += *p == '\n';
        if (strchr(" \t\r\n,", *p)) {
            p++;
            continue;
        }
        char *end;
        const long value = strtol(p, &end, 10);
        if (end == p || value < 0 || value > INT32_MAX)
            status = clsa_fail(err, CLSA_EFORMAT, "%s:%zu: not a token number", path, line);
        else
            out->tokens[n++] = (int32_t)value;
        p = end;
    }
    free(text);
    if (status == CLSA_OK && n == 0)
        status = clsa_fail(err, CLSA_EFORMAT, "%s: no tokens", path);
    if (status == CLSA_OK) {
        out->n = n;
        repeat_first(out);
    }
    return status;
}

int clsa_prompt_tokens(const char *path, uint64_t limit, uint32_t batch,
                       const struct clsa_geometry *g, struct clsa_prompt *out,
                       struct clsa_err *err)
{
    struct clsa_prompt p = {0};
    const char *dot = strrchr(path, '.');
    int status = dot && strcmp(dot, ".safetensors") == 0
                     ? clsa_prompt_tensor(path, "tokens", limit, batch, &p, err)
                     : from_numbers(path, limit, batch, &p, err);
    for (uint64_t i = 0; status == CLSA_OK && i < p.n * p.batch; i++)
        if (p.tokens[i] < 0 || (uint32_t)p.tokens[i] >= g->vocab)
            status = clsa_fail(err, CLSA_ERANGE,
                               "%s: token %" PRIu64 " is not in the vocabulary of %u", path, i % p.n,
                               g->vocab);
    if (status) {
        clsa_prompt_destroy(&p);
        return status;
    }
    *out = p;
    return CLSA_OK;
}

int clsa_prompt_random(uint64_t n, uint32_t batch, uint64_t seed, const struct clsa_geometry *g,
                       struct clsa_prompt *out, struct clsa_err *err)
{
    struct clsa_rng rng;
    int status = make(n, batch, out, err);
    clsa_rng_seed(&rng, seed);
    for (uint64_t i = 0; status == CLSA_OK && i < n * batch; i++)
        out->tokens[i] = (int32_t)clsa_rng_below(&rng, g->vocab);
    return status;
}

void clsa_prompt_destroy(struct clsa_prompt *prompt)
{
    free(prompt->tokens);
    *prompt = (struct clsa_prompt){0};
}
