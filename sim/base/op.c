#include "sim/base/op.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *text;
    unsigned bits;
} dtypes[] = {
#define X(name, text, bits) {text, bits},
    CLSA_DTYPE_LIST(X)
#undef X
};

const char *clsa_dtype_text(unsigned dtype)
{
    return dtype < CLSA_DTYPE_COUNT ? dtypes[dtype].text : "unknown";
}

int clsa_dtype_find(const char *text)
{
    static const struct {
        const char *text;
        enum clsa_dtype dtype;
    } aliases[] = {{"bf16", CLSA_BF16}, {"BF16", CLSA_BF16}, {"f32", CLSA_F32},
                   {"F32", CLSA_F32},   {"float", CLSA_F32}, {"f16", CLSA_F16},
                   {"F16", CLSA_F16},   {"half", CLSA_F16},  {"fp8", CLSA_FP8},
                   {"fp8_block", CLSA_FP8}, {"fp4", CLSA_FP4}};
    for (size_t i = 0; i < CLSA_DTYPE_COUNT; i++)
        if (strcmp(dtypes[i].text, text) == 0)
            return (int)i;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(aliases[i].text, text) == 0)
            return (int)aliases[i].dtype;
    return -1;
}

unsigned clsa_dtype_bits(unsigned dtype)
{
    assert(dtype < CLSA_DTYPE_COUNT);
    return dtypes[dtype].bits;
}

uint64_t clsa_dtype_bytes(unsigned dtype, uint64_t n)
{
    return (n * clsa_dtype_bits(dtype) + 7) / 8;
}

const char *clsa_op_kind_text(unsigned kind)
{
    static const char *const texts[] = {
#define X(name, text) text,
        CLSA_OP_LIST(X)
#undef X
    };
    return kind < CLSA_OP_KINDS ? texts[kind] : "unknown";
}

const char *clsa_role_text(unsigned role)
{
    static const char *const texts[] = {
#define X(name, text) text,
        CLSA_ROLE_LIST(X)
#undef X
    };
    return role < CLSA_ROLES ? texts[role] : "unknown";
}

const char *clsa_op_name(const struct clsa_op *op, char *buf, size_t buf_bytes)
{
    const char *role = clsa_role_text(op->role);
    snprintf(buf, buf_bytes, *role ? "%s_%s" : "%s%s", clsa_op_kind_text(op->kind), role);
    return buf;
}

uint64_t clsa_op_rows(const struct clsa_step *step, const struct clsa_op *op)
{
    return op->over_queries ? step->n_queries : step->n_seqs * step->new_tokens;
}

uint64_t clsa_op_keys(const struct clsa_step *step, const struct clsa_op *op, uint64_t r)
{
    uint64_t keys;
    if (op->over_queries) {
        keys = step->queries[r].keys;
    } else {
        const uint64_t s = r / step->new_tokens;
        keys = step->past[s] + r % step->new_tokens + 1;
    }
    return op->window && op->window < keys ? op->window : keys;
}

/* Sum over t = 1..n of min(past + t, window): the arithmetic series, cut where the window fills. */
static uint64_t triangle(uint64_t past, uint64_t n, uint64_t window)
{
    uint64_t growing = n;
    if (window)
        growing = past >= window ? 0 : (window - past < n ? window - past : n);
    return growing * past + growing * (growing + 1) / 2 + (n - growing) * window;
}

uint64_t clsa_op_keys_total(const struct clsa_step *step, const struct clsa_op *op)
{
    uint64_t total = 0;
    if (op->over_queries)
        for (uint32_t q = 0; q < step->n_queries; q++)
            total += clsa_op_keys(step, op, q);
    else
        for (uint32_t s = 0; s < step->n_seqs; s++)
            total += triangle(step->past[s], step->new_tokens, op->window);
    return total;
}

/* Keys rows of sequence s that at least one row of the op sees. */
static uint64_t seq_rows(const struct clsa_step *step, const struct clsa_op *op, uint32_t s)
{
    if (!op->over_queries) {
        const uint64_t last = step->past[s] + step->new_tokens;
        const uint64_t span = op->window ? op->window + step->new_tokens - 1 : last;
        return span < last ? span : last;
    }
    uint64_t most = 0;
    for (uint32_t q = 0; q < step->n_queries; q++)
        if (step->queries[q].seq == s && step->queries[q].keys > most)
            most = step->queries[q].keys;
    return most;
}

uint64_t clsa_operand_rows(const struct clsa_step *step, const struct clsa_op *op,
                           const struct clsa_operand *operand)
{
    uint64_t rows = 0;
    switch (operand->axis) {
    case CLSA_AXIS_NONE:
        return 1;
    case CLSA_AXIS_M:
    case CLSA_AXIS_TABLE:
        return op->m;
    case CLSA_AXIS_N:
        return op->n;
    case CLSA_AXIS_NEW:
        return step->n_seqs * step->new_tokens;
    case CLSA_AXIS_KEYS:
        if (op->over_queries && step->n_queries > step->n_seqs) {
            for (uint32_t s = 0; s < step->n_seqs; s++)
                rows += seq_rows(step, op, s);
            return rows;
        }
        if (op->over_queries)
            return clsa_op_keys_total(step, op);
        for (uint32_t s = 0; s < step->n_seqs; s++)
            rows += seq_rows(step, op, s);
        return rows;
    case CLSA_AXIS_SELECTED:
        for (uint32_t q = 0; q < step->n_queries; q++) {
            const uint64_t keys = step->queries[q].keys;
            rows += keys < op->topk ? keys : op->topk;
        }
        return rows;
    }
    return 0;
}
