/* Rows of measured tables as steps: one function a table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/replay/validate_case.h"

/* Sizes of measured rows stay far below this; larger ones are mistakes of the file. */
#define SIZE_MOST ((uint64_t)1 << 40)
/* Weights that the published gemm tables take in turn: their times leave what L2 can hold where six
 * times a weight does (h100: between 6.3 and 8.4 MB of weights, against 33 to 50 MB of one buffer). */
#define PUBLISHED_ROTATION 6

int clsa_case_cell(const struct clsa_csv *csv, size_t row, const char *name, bool required,
                uint64_t least, uint64_t fallback, uint64_t *out, struct clsa_err *err)
{
    const int column = clsa_csv_column(csv, name);
    *out = fallback;
    if (column < 0 || !*clsa_csv_cell(csv, row, column)) {
        if (!required)
            return 0;
        return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: no value of '%s'", csv->path, csv->lines[row],
                         name);
    }
    const int status = clsa_csv_u64(csv, row, column, out, err);
    if (status)
        return status;
    if (*out < least || *out > SIZE_MOST)
        return clsa_fail(err, CLSA_ERANGE, "%s:%zu: '%s' is out of range", csv->path,
                         csv->lines[row], name);
    return 0;
}

const char *clsa_case_word(const struct clsa_csv *csv, size_t row, const char *name)
{
    const int column = clsa_csv_column(csv, name);
    return column < 0 ? "" : clsa_csv_cell(csv, row, column);
}

static int need(const struct clsa_csv *csv, size_t row, const char *name, uint64_t *out,
                struct clsa_err *err)
{
    return clsa_case_cell(csv, row, name, true, 0, 0, out, err);
}

int clsa_case_dtype(const struct clsa_csv *csv, size_t row, const char *name, unsigned fallback,
                    unsigned *out, struct clsa_err *err)
{
    const char *text = clsa_case_word(csv, row, name);
    const int found = *text ? clsa_dtype_find(text) : (int)fallback;
    if (found < 0)
        return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: unknown dtype '%s'", csv->path,
                         csv->lines[row], text);
    *out = (unsigned)found;
    return 0;
}

/* A step of one op over `seqs` sequences with `past` cached tokens and `fresh` new ones each. */
static int one_op(const struct clsa_csv *csv, size_t row, uint64_t seqs, uint64_t past,
                  uint64_t fresh, struct clsa_table_case *c, struct clsa_case **out,
                  struct clsa_err *err)
{
    uint64_t rows;
    if (seqs == 0 || fresh == 0 || seqs > UINT32_MAX || !clsa_mul_u64(seqs, fresh, &rows) ||
        rows > CLSA_CASE_QUERIES_MOST)
        return clsa_fail(err, CLSA_ERANGE, "%s:%zu: batch or tokens out of range", csv->path,
                         csv->lines[row]);
    struct clsa_case *s = clsa_calloc(1, sizeof *s);
    c->memory = s;
    if (s) {
        s->past = clsa_calloc((size_t)seqs, sizeof *s->past);
        s->queries = clsa_calloc((size_t)seqs, sizeof *s->queries);
    }
    if (!s || !s->past || !s->queries)
        return clsa_fail(err, CLSA_ENOMEM, "%s:%zu: out of memory", csv->path, csv->lines[row]);
    for (uint64_t i = 0; i < seqs; i++) {
        s->past[i] = past;
        s->queries[i] = (struct clsa_query){(uint32_t)i, past + fresh};
    }
    c->step = (struct clsa_step){.phase = fresh > 1 ? CLSA_PREFILL : CLSA_DECODE,
                                 .n_seqs = (uint32_t)seqs,
                                 .new_tokens = fresh,
                                 .past = s->past,
                                 .n_queries = (uint32_t)seqs,
                                 .queries = s->queries,
                                 .tensors = s->tensors,
                                 .n_ops = 1,
                                 .ops = &s->op};
    s->op.layer = s->op.set = -1;
    c->no_host = true;
    s->op.m = rows;
    *out = s;
    return 0;
}

static struct clsa_operand *operand(struct clsa_table_case *c, struct clsa_case *s,
                                    enum clsa_tensor_kind kind, enum clsa_access access,
                                    enum clsa_axis axis, uint64_t row_bytes)
{
    struct clsa_tensor *t = &s->tensors[s->op.n_operands];
    struct clsa_operand *o = &s->op.operands[s->op.n_operands];
    t->kind = (uint8_t)kind;
    t->layer = -1;
    t->address = (uint64_t)(s->op.n_operands + 1) << 44; /* apart; sizes are below 2^44 */
    o->tensor = s->op.n_operands;
    o->access = (uint8_t)access;
    o->axis = (uint8_t)axis;
    o->row_bytes = o->row_stride = row_bytes;
    t->bytes = clsa_operand_rows(&c->step, &s->op, o) * row_bytes;
    c->step.n_tensors = ++s->op.n_operands;
    return o;
}

static int gemm_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                    struct clsa_err *err)
{
    struct clsa_case *s;
    uint64_t m, n, k, rot;
    unsigned dtype;
    int status = clsa_case_cell(csv, row, "m", true, 1, 1, &m, err);
    if (!status)
        status = clsa_case_cell(csv, row, "n", true, 1, 1, &n, err);
    if (!status)
        status = clsa_case_cell(csv, row, "k", true, 1, 1, &k, err);
    if (!status)
        status = clsa_case_cell(csv, row, "rot", false, 1, PUBLISHED_ROTATION, &rot, err);
    if (!status)
        status = clsa_case_dtype(csv, row, "dtype", CLSA_BF16, &dtype, err);
    if (!status)
        status = one_op(csv, row, 1, 0, m, c, &s, err);
    if (status)
        return status;
    /* The fp8_block rows carry 60-70 us of host time (the measurements' notes). */
    const char *text = clsa_case_word(csv, row, "dtype");
    c->target = strcmp(text, "fp8_block") != 0;
    c->variants = rot > 64 ? 64 : (uint32_t)rot;
    s->op.kind = CLSA_OP_GEMM;
    s->op.m = m;
    s->op.n = n;
    s->op.k = k;
    s->op.weight_dtype = s->op.input_dtype = (uint8_t)dtype;
    s->op.flops = 2 * m * n * k;
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, clsa_dtype_bytes(dtype, k));
    operand(c, s, CLSA_TENSOR_WEIGHT, CLSA_READ, CLSA_AXIS_N, clsa_dtype_bytes(dtype, k));
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_WRITE, CLSA_AXIS_M, clsa_dtype_bytes(CLSA_BF16, n));
    snprintf(c->group, sizeof c->group, "%s", text);
    return 0;
}

struct attention {
    uint64_t seqs, past, fresh, heads, kv_heads, dim, window, topk;
    unsigned kv_dtype;
    bool appends; /* the measured call wrote the new rows to the cache too */
};

/* Attention over a K/V cache of rows [2, kv_heads, dim] a token. */
static int attention(const struct clsa_csv *csv, size_t row, const struct attention *a,
                     struct clsa_table_case *c, struct clsa_err *err)
{
    struct clsa_case *s;
    int status = one_op(csv, row, a->seqs, a->past, a->fresh, c, &s, err);
    if (status)
        return status;
    if (!a->heads || !a->kv_heads || !a->dim || a->heads > 65536 || a->dim > 65536 ||
        a->heads % a->kv_heads)
        return clsa_fail(err, CLSA_ERANGE, "%s:%zu: head counts do not fit", csv->path,
                         csv->lines[row]);
    struct clsa_op *op = &s->op;
    op->kind = a->topk ? CLSA_OP_ATTN_SPARSE : a->window ? CLSA_OP_ATTN_WINDOW : CLSA_OP_ATTN_DENSE;
    op->weight_dtype = (uint8_t)a->kv_dtype;
    op->input_dtype = CLSA_BF16;
    op->over_queries = a->fresh == 1 && !a->appends;
    op->heads = (uint32_t)a->heads;
    op->kv_heads = (uint32_t)a->kv_heads;
    op->head_dim = op->value_dim = (uint32_t)a->dim;
    op->n = op->k = a->heads * a->dim;
    op->window = a->window;
    op->topk = a->topk;
    op->set = a->topk ? 0 : -1;
    c->step.n_sets = a->topk ? 1 : 0;
    c->step.top_k = (uint32_t)a->topk;
    const uint64_t keys = a->topk && a->topk < a->past + 1
                              ? a->topk * op->m
                              : clsa_op_keys_total(&c->step, op);
    op->flops = 4 * keys * a->heads * a->dim;
    const uint64_t part = clsa_dtype_bytes(a->kv_dtype, a->dim);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, a->heads * a->dim * 2);
    for (unsigned v = 0; v < 2; v++) {
        struct clsa_operand *kv =
            operand(c, s, CLSA_TENSOR_KV, CLSA_READ,
                    a->topk ? CLSA_AXIS_SELECTED : CLSA_AXIS_KEYS, part);
        kv->row_stride = 2 * part * a->kv_heads;
        kv->head_stride = part;
        kv->seq_stride = kv->row_stride * (a->past + a->fresh);
    }
    if (a->topk)
        operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, a->topk * 4);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_WRITE, CLSA_AXIS_M, a->heads * a->dim * 2);
    return 0;
}

static int attention_decode_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                                struct clsa_err *err)
{
    struct attention a = {.fresh = 1, .appends = true};
    uint64_t context = 0;
    int status = need(csv, row, "batch", &a.seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "context", true, 1, 1, &context, err);
    if (!status)
        status = need(csv, row, "num_heads", &a.heads, err);
    if (!status)
        status = need(csv, row, "num_kv_heads", &a.kv_heads, err);
    if (!status)
        status = clsa_case_cell(csv, row, "head_dim", false, 1, 128, &a.dim, err);
    if (!status)
        status = clsa_case_cell(csv, row, "window_size", false, 0, 0, &a.window, err);
    if (!status)
        status = clsa_case_dtype(csv, row, "kv_dtype", CLSA_BF16, &a.kv_dtype, err);
    if (status)
        return status;
    a.past = context - 1;
    snprintf(c->group, sizeof c->group, "%s", clsa_case_word(csv, row, "kv_dtype"));
    return attention(csv, row, &a, c, err);
}

static int attention_prefill_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                                 struct clsa_err *err)
{
    struct attention a = {.appends = true};
    int status = need(csv, row, "batch_size", &a.seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "isl", true, 1, 1, &a.fresh, err);
    if (!status)
        status = clsa_case_cell(csv, row, "step", false, 0, 0, &a.past, err);
    if (!status)
        status = need(csv, row, "num_heads", &a.heads, err);
    if (!status)
        status = need(csv, row, "num_key_value_heads", &a.kv_heads, err);
    if (!status)
        status = clsa_case_cell(csv, row, "head_dim", false, 1, 128, &a.dim, err);
    if (!status)
        status = clsa_case_cell(csv, row, "window_size", false, 0, 0, &a.window, err);
    if (!status)
        status = clsa_case_dtype(csv, row, "kv_cache_dtype", CLSA_BF16, &a.kv_dtype, err);
    if (status)
        return status;
    snprintf(c->group, sizeof c->group, "%s", clsa_case_word(csv, row, "kv_cache_dtype"));
    return attention(csv, row, &a, c, err);
}

struct index_shape {
    uint64_t seqs, past, fresh, heads, dim, key_bytes;
    unsigned dtype;
};

static int index_score(const struct clsa_csv *csv, size_t row, const struct index_shape *x,
                       struct clsa_table_case *c, struct clsa_err *err)
{
    struct clsa_case *s;
    int status = one_op(csv, row, x->seqs, x->past, x->fresh, c, &s, err);
    if (status)
        return status;
    struct clsa_op *op = &s->op;
    const uint64_t keys = x->past + x->fresh;
    op->kind = CLSA_OP_INDEX_SCORE;
    op->over_queries = x->fresh == 1;
    op->weight_dtype = op->input_dtype = (uint8_t)x->dtype;
    op->heads = (uint32_t)x->heads;
    op->kv_heads = 1;
    op->head_dim = (uint32_t)x->dim;
    op->n = keys;
    op->k = x->dim;
    op->flops = 2 * clsa_op_keys_total(&c->step, op) * x->heads * x->dim;
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M,
            clsa_dtype_bytes(x->dtype, x->heads * x->dim));
    operand(c, s, CLSA_TENSOR_INDEX_KEYS, CLSA_READ, CLSA_AXIS_KEYS, x->key_bytes)->seq_stride =
        x->key_bytes * keys;
    if (x->heads > 1)
        operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, x->heads * 4);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_WRITE, CLSA_AXIS_M, keys * 4);
    return 0;
}

/* DeepGEMM's fp8 index keys: 128 values and a float32 scale a row. */
#define INDEX_KEY_BYTES 132
/* The column index_heads of h100_index_scores says 64. Times step every 528 queries, 4 a tile of 128 rows
 * of query heads over 132 SMs, and 64 heads would run at 98 % of the fp8 peak: 32 heads ran. */
#define PREFILL_INDEX_HEADS 32

static int index_scores_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                            struct clsa_err *err)
{
    struct index_shape x = {
        .dim = 128, .heads = PREFILL_INDEX_HEADS, .key_bytes = INDEX_KEY_BYTES, .dtype = CLSA_FP8};
    int status = need(csv, row, "batch", &x.seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "new_tokens", false, 1, 1, &x.fresh, err);
    if (!status)
        status = need(csv, row, "past", &x.past, err);
    if (!status)
        status = index_score(csv, row, &x, c, err);
    /* The prefill kernel, whatever the number of new tokens. */
    c->step.phase = CLSA_PREFILL;
    return status;
}

/* The paged kernel takes batch x new_tokens queries as rows of one call; times depend on their product
 * alone. Row i sees (past + i + 1) / ratio keys of a cache that keeps one for `ratio` tokens. */
static int index_scores_paged_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                                  struct clsa_err *err)
{
    struct clsa_case *s;
    uint64_t seqs, fresh, past, heads, ratio, rows = 0;
    int status = need(csv, row, "batch", &seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "new_tokens", false, 1, 1, &fresh, err);
    if (!status)
        status = need(csv, row, "past", &past, err);
    if (!status)
        status = clsa_case_cell(csv, row, "index_heads", false, 1, 64, &heads, err);
    if (!status)
        status = clsa_case_cell(csv, row, "compress_ratio", false, 1, 1, &ratio, err);
    if (!status && (!clsa_mul_u64(seqs, fresh, &rows) || !rows || rows > CLSA_CASE_QUERIES_MOST))
        status = clsa_fail(err, CLSA_ERANGE, "%s:%zu: batch or tokens out of range", csv->path,
                           csv->lines[row]);
    if (status)
        return status;
    const struct index_shape x = {.seqs = 1, .past = (past + rows) / ratio, .fresh = 1,
                                  .heads = heads, .dim = 128, .key_bytes = INDEX_KEY_BYTES,
                                  .dtype = CLSA_FP8};
    status = index_score(csv, row, &x, c, err);
    if (status)
        return status;
    s = c->memory;
    free(s->queries);
    s->queries = clsa_calloc((size_t)rows, sizeof *s->queries);
    if (!s->queries)
        return clsa_fail(err, CLSA_ENOMEM, "%s:%zu: out of memory", csv->path, csv->lines[row]);
    for (uint64_t i = 0; i < rows; i++) {
        const uint64_t keys = (past + i + 1) / ratio;
        s->queries[i].keys = keys ? keys : 1;
    }
    c->step.queries = s->queries;
    c->step.n_queries = (uint32_t)rows;
    s->op.m = rows;
    s->op.over_queries = 1;
    s->op.n = x.past + 1;
    s->op.flops = 2 * clsa_op_keys_total(&c->step, &s->op) * heads * x.dim;
    snprintf(c->group, sizeof c->group, "ratio %u", (unsigned)ratio);
    return 0;
}

static int topk(const struct clsa_csv *csv, size_t row, uint64_t seqs, uint64_t past,
                uint64_t fresh, uint64_t k, struct clsa_table_case *c, struct clsa_err *err)
{
    struct clsa_case *s;
    int status = one_op(csv, row, seqs, past, fresh, c, &s, err);
    if (status)
        return status;
    struct clsa_op *op = &s->op;
    op->kind = CLSA_OP_TOPK;
    op->over_queries = fresh == 1;
    op->input_dtype = CLSA_F32;
    op->n = past + fresh;
    op->topk = k;
    op->set = 0;
    c->step.n_sets = 1;
    op->flops = clsa_op_keys_total(&c->step, op);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, op->n * 4);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_WRITE, CLSA_AXIS_M, k * 4);
    return 0;
}

static int topk_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                    struct clsa_err *err)
{
    uint64_t seqs, past, fresh;
    int status = need(csv, row, "batch", &seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "new_tokens", false, 1, 1, &fresh, err);
    if (!status)
        status = need(csv, row, "past", &past, err);
    if (status)
        return status;
    /* The mode is the data: flat scores share few leading bits, top_last are found in the last tile. */
    const char *mode = clsa_case_word(csv, row, "score_mode");
    snprintf(c->group, sizeof c->group, "%s", mode);
    status = topk(csv, row, seqs, past, fresh, 2048, c, err);
    if (!status && strcmp(mode, "top_last") == 0)
        ((struct clsa_case *)c->memory)->op.role = CLSA_ROLE_FINAL;
    return status;
}

/* Latent rows: 576 values in bf16, or 512 fp8 with four float32 scales and 64 bf16 (656 B). */
static int sparse_attention_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                                struct clsa_err *err)
{
    struct clsa_case *s;
    uint64_t seqs, past, fresh, heads;
    unsigned dtype;
    int status = need(csv, row, "batch", &seqs, err);
    if (!status)
        status = clsa_case_cell(csv, row, "new_tokens", false, 1, 1, &fresh, err);
    if (!status)
        status = need(csv, row, "past", &past, err);
    if (!status)
        status = clsa_case_cell(csv, row, "num_heads", true, 1, 1, &heads, err);
    if (!status)
        status = clsa_case_dtype(csv, row, "kv_dtype", CLSA_BF16, &dtype, err);
    if (!status)
        status = one_op(csv, row, seqs, past, fresh, c, &s, err);
    if (status)
        return status;
    struct clsa_op *op = &s->op;
    op->kind = CLSA_OP_ATTN_SPARSE;
    op->role = CLSA_ROLE_Q; /* the kernel for many queries, whatever their number */
    op->weight_dtype = (uint8_t)dtype;
    op->input_dtype = CLSA_BF16;
    op->heads = (uint32_t)heads;
    op->kv_heads = 1;
    op->head_dim = 576;
    op->value_dim = 512;
    op->n = heads * 512;
    op->k = heads * 576;
    op->topk = 2048;
    op->set = 0;
    c->step.n_sets = 1;
    c->step.top_k = 2048;
    op->flops = 2 * op->m * (past + fresh < 2048 ? past + fresh : 2048) * heads * (576 + 512);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, heads * 576 * 2);
    struct clsa_operand *kv = operand(c, s, CLSA_TENSOR_KV, CLSA_READ, CLSA_AXIS_SELECTED,
                                      dtype == CLSA_FP8 ? 656 : 1152);
    kv->seq_stride = kv->row_bytes * (past + fresh);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_READ, CLSA_AXIS_M, 2048 * 4);
    operand(c, s, CLSA_TENSOR_ACTIVATION, CLSA_WRITE, CLSA_AXIS_M, heads * 512 * 2);
    snprintf(c->group, sizeof c->group, "%s", clsa_case_word(csv, row, "kv_dtype"));
    return 0;
}

/* The graphs of the sparse kernels ran through several selections in turn: gathers of 8 MB a launch
 * are found in L2 and gathers of 17 MB are not, in the micro benchmark at 8 and in attention at 4. */
#define OWN_SELECTIONS 4

static int own_kernels_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                           struct clsa_err *err)
{
    const char *what = clsa_case_word(csv, row, "what");
    uint64_t b = 1, s = 1;
    int status = 0;
    if (strcmp(what, "gemm") == 0) {
        status = gemm_row(csv, row, c, err);
        snprintf(c->group, sizeof c->group, "%s", what);
        return status;
    }
    status = need(csv, row, "b", &b, err);
    if (!status)
        status = clsa_case_cell(csv, row, "s", true, 1, 1, &s, err);
    if (status)
        return status;
    if (strncmp(what, "attn_", 5) == 0) {
        struct attention a = {.seqs = b, .past = s - 1, .fresh = 1, .kv_dtype = CLSA_BF16};
        status = need(csv, row, "hq", &a.heads, err);
        if (!status)
            status = need(csv, row, "hkv", &a.kv_heads, err);
        if (!status)
            status = need(csv, row, "d", &a.dim, err);
        if (!status)
            status = clsa_case_cell(csv, row, "topk", false, 0, 0, &a.topk, err);
        if (!status)
            status = attention(csv, row, &a, c, err);
        c->variants = a.topk ? OWN_SELECTIONS : 1;
    } else if (strcmp(what, "index_score") == 0) {
        struct index_shape x = {.seqs = b, .past = s - 1, .fresh = 1, .dtype = CLSA_BF16};
        status = need(csv, row, "hi", &x.heads, err);
        if (!status)
            status = need(csv, row, "di", &x.dim, err);
        x.key_bytes = 2 * x.dim;
        if (!status)
            status = index_score(csv, row, &x, c, err);
    } else if (strcmp(what, "topk_torch") == 0 || strcmp(what, "topk_radix") == 0) {
        uint64_t k;
        status = clsa_case_cell(csv, row, "k", true, 1, 1, &k, err);
        if (!status)
            status = topk(csv, row, b, s - 1, 1, k, c, err);
        /* One implementation file names both kernels: torch's as topk, ours as topk_index. */
        if (!status && strcmp(what, "topk_radix") == 0)
            ((struct clsa_case *)c->memory)->op.role = CLSA_ROLE_INDEX;
    } else {
        return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: unknown kernel '%s'", csv->path,
                         csv->lines[row], what);
    }
    snprintf(c->group, sizeof c->group, "%s", what);
    return status;
}

struct own {
    uint32_t top_k;
    bool per_layer_kv;
};

static void as_own(struct clsa_plan_request *request, const void *user)
{
    const struct own *own = user;
    request->top_k = own->top_k;
    request->per_layer_kv = own->per_layer_kv;
}

/* CLSA-4B as the paper gives it (arXiv 2606.06467), from the models of this project. */
static int own_step(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                    struct clsa_err *err)
{
    uint64_t b, s, group, k, shared;
    int status = clsa_case_cell(csv, row, "b", true, 1, 1, &b, err);
    if (!status)
        status = clsa_case_cell(csv, row, "s", true, 1, 1, &s, err);
    if (!status)
        status = need(csv, row, "group", &group, err);
    if (!status)
        status = clsa_case_cell(csv, row, "k", false, 1, 2048, &k, err);
    if (!status)
        status = clsa_case_cell(csv, row, "shared_kv", false, 0, 1, &shared, err);
    if (status)
        return status;
    if (b > 65536 || group > CLSA_LAYERS_MAX)
        return clsa_fail(err, CLSA_ERANGE, "%s:%zu: out of range", csv->path, csv->lines[row]);
    const struct own own = {(uint32_t)k, !shared};
    return clsa_case_decode_step("clsa-4b", b, s, group, as_own, &own, c, err);
}

/* An op of a step by the name that the profile gives it. */
static int own_step_op_row(const struct clsa_csv *csv, size_t row, struct clsa_table_case *c,
                           struct clsa_err *err)
{
    static const struct {
        const char *name;
        unsigned kind, role;
    } names[] = {{"add", CLSA_OP_ADD, 0},
                 {"norm", CLSA_OP_NORM, 0},
                 {"silu", CLSA_OP_SILU_MUL, 0},
                 {"q_copy", CLSA_OP_ROPE, 0},
                 {"topk", CLSA_OP_TOPK, 0},
                 {"index_score", CLSA_OP_INDEX_SCORE, 0},
                 {"attn_window", CLSA_OP_ATTN_WINDOW, 0},
                 {"attn_dense", CLSA_OP_ATTN_DENSE, 0},
                 {"attn_sparse", CLSA_OP_ATTN_SPARSE, 0},
                 {"gemm_qkv", CLSA_OP_GEMM, CLSA_ROLE_QKV},
                 {"gemm_q", CLSA_OP_GEMM, CLSA_ROLE_Q},
                 {"gemm_kv", CLSA_OP_GEMM, CLSA_ROLE_KV},
                 {"gemm_o", CLSA_OP_GEMM, CLSA_ROLE_O},
                 {"gemm_up", CLSA_OP_GEMM, CLSA_ROLE_UP},
                 {"gemm_down", CLSA_OP_GEMM, CLSA_ROLE_DOWN},
                 {"gemm_head", CLSA_OP_GEMM, CLSA_ROLE_HEAD},
                 {"gemm_iq", CLSA_OP_GEMM, CLSA_ROLE_IQ}};
    const char *op = clsa_case_word(csv, row, "op");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, op) == 0)
            c->only = (int)(names[i].kind << 8 | names[i].role);
    c->no_launch_gap = true;
    if (c->only < 0)
        return clsa_fail(err, CLSA_EFORMAT, "%s:%zu: unknown op '%s'", csv->path, csv->lines[row],
                         op);
    snprintf(c->group, sizeof c->group, "%s", op);
    return own_step(csv, row, c, err);
}

int clsa_table_case(enum clsa_table table, const struct clsa_csv *csv, size_t row,
                    struct clsa_table_case *out, struct clsa_err *err)
{
    static int (*const makers[CLSA_TABLES])(const struct clsa_csv *, size_t,
                                            struct clsa_table_case *, struct clsa_err *) = {
        [CLSA_TABLE_GEMM] = gemm_row,
        [CLSA_TABLE_ATTENTION_DECODE] = attention_decode_row,
        [CLSA_TABLE_ATTENTION_PREFILL] = attention_prefill_row,
        [CLSA_TABLE_INDEX_SCORES] = index_scores_row,
        [CLSA_TABLE_INDEX_SCORES_PAGED] = index_scores_paged_row,
        [CLSA_TABLE_TOPK] = topk_row,
        [CLSA_TABLE_DSA_LAYER_DECODE] = clsa_case_dsa_layer_decode,
        [CLSA_TABLE_DSA_LAYER_PREFILL] = clsa_case_dsa_layer_prefill,
        [CLSA_TABLE_SPARSE_ATTENTION] = sparse_attention_row,
        [CLSA_TABLE_OWN_KERNELS] = own_kernels_row,
        [CLSA_TABLE_OWN_STEPS] = own_step,
        [CLSA_TABLE_OWN_STEP_OPS] = own_step_op_row,
        [CLSA_TABLE_CPU_OPS] = clsa_case_cpu_op,
    };
    struct clsa_table_case c = {.target = true, .variants = 1, .only = -1};
    const char *time = clsa_csv_column(csv, "median") >= 0        ? "median"
                       : clsa_csv_column(csv, "measured_us") >= 0 ? "measured_us"
                                                                  : "latency_us";
    int column, status = clsa_csv_need(csv, time, &column, err);
    if (!status)
        status = clsa_csv_f64(csv, row, column, &c.measured_us, err);
    if (!status && !(c.measured_us > 0))
        status = clsa_fail(err, CLSA_ERANGE, "%s:%zu: '%s' is not above 0", csv->path,
                           csv->lines[row], time);
    if (!status && !makers[table])
        status = clsa_fail(err, CLSA_EUNSUPPORTED, "no predictions for tables of %s",
                           clsa_table_name(table));
    if (!status)
        status = makers[table](csv, row, &c, err);
    if (status) {
        clsa_table_case_destroy(&c);
        return status;
    }
    *out = c;
    return 0;
}

void clsa_table_case_destroy(struct clsa_table_case *c)
{
    if (!c || !c->memory)
        return;
    struct clsa_case *s = c->memory;
    if (s->planned.ops)
        clsa_plan_destroy(&s->planned);
    free(s->past);
    free(s->queries);
    free(s);
    memset(c, 0, sizeof *c);
}
