#include "traces/decode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"

/* Fewest bytes that one record of a list takes in a payload. */
#define TENSOR_LEAST_BYTES 6u
#define QUERY_LEAST_BYTES 2u
#define OP_LEAST_BYTES 20u
#define SET_LEAST_BYTES 4u

static int malformed(struct clsa_err *err, const char *what)
{
    return clsa_fail(err, CLSA_EFORMAT, "%s", what);
}

static uint64_t used_bytes(const struct clsa_step_arrays *a)
{
    return a->past_capacity * sizeof *a->past + a->queries_capacity * sizeof *a->queries +
           a->tensors_capacity * sizeof *a->tensors + a->ops_capacity * sizeof *a->ops +
           a->sets_capacity * sizeof *a->sets + a->positions_capacity * sizeof *a->positions;
}

/* Makes *array hold `need` elements, growing by half so that chunk after chunk costs little. */
static int grow(struct clsa_step_arrays *a, void *array, size_t *capacity, size_t need, size_t size,
                struct clsa_err *err)
{
    void *old;
    if (need <= *capacity)
        return 0;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < need)
        wanted = need;
    const uint64_t used = used_bytes(a) - (uint64_t)*capacity * size;
    if (used > a->limit_bytes || (a->limit_bytes - used) / size < need)
        return clsa_fail(err, CLSA_ELIMIT,
                         "the step needs more than the limit of %" PRIu64 " bytes", a->limit_bytes);
    if ((a->limit_bytes - used) / size < wanted)
        wanted = need;
    memcpy(&old, array, sizeof old);
    void *fresh = clsa_realloc(old, wanted, size);
    if (!fresh)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    memcpy(array, &fresh, sizeof fresh);
    *capacity = wanted;
    return 0;
}

static int number_of(enum clsa_word_list list, const char *text, size_t bytes)
{
    static const unsigned counts[] = {CLSA_DTYPE_COUNT, CLSA_OP_KINDS, CLSA_ROLES};
    for (unsigned i = 0; i < counts[list]; i++) {
        const char *known = list == CLSA_WORDS_DTYPE  ? clsa_dtype_text(i)
                            : list == CLSA_WORDS_KIND ? clsa_op_kind_text(i)
                                                      : clsa_role_text(i);
        if (strlen(known) == bytes && memcmp(known, text, bytes) == 0)
            return (int)i;
    }
    return -1;
}

int clsa_decode_words(struct clsa_wire_cursor *c, struct clsa_words *words, struct clsa_err *err)
{
    for (int list = 0; list < CLSA_WORD_LISTS; list++) {
        words->count[list] = (unsigned)clsa_wire_cursor_up_to(c, CLSA_TRACE_WORDS_MAX);
        for (unsigned i = 0; i < words->count[list]; i++) {
            size_t bytes = 0;
            const char *text = clsa_wire_cursor_text(c, CLSA_TENSOR_NAME_BYTES, &bytes);
            if (!text)
                return malformed(err, "a word of the vocabulary is cut off or not UTF-8");
            words->text[list][i] = text;
            words->bytes[list][i] = bytes;
            words->number[list][i] = (int16_t)number_of((enum clsa_word_list)list, text, bytes);
        }
    }
    if (c->bad || clsa_wire_cursor_left(c))
        return malformed(err, "the vocabulary does not fill its chunk");
    return 0;
}

/* Reads a number of a vocabulary list and turns it into this version's. */
static int get_word(struct clsa_wire_cursor *c, const struct clsa_words *words,
                    enum clsa_word_list list, unsigned *out, struct clsa_err *err)
{
    static const char *const names[] = {"dtype", "op kind", "op role"};
    const uint64_t i = clsa_wire_cursor_varint(c);
    if (c->bad || i >= words->count[list])
        return clsa_fail(err, CLSA_EFORMAT, "a %s that the vocabulary does not have", names[list]);
    if (words->number[list][i] < 0)
        return clsa_fail(err, CLSA_EUNSUPPORTED, "%s '%.*s' is not known to this version",
                         names[list], (int)words->bytes[list][i], words->text[list][i]);
    *out = (unsigned)words->number[list][i];
    return 0;
}

int clsa_decode_tensors(struct clsa_wire_cursor *c, const struct clsa_words *words,
                        struct clsa_step_arrays *a, struct clsa_err *err)
{
    const uint64_t n = clsa_wire_cursor_up_to(c, UINT32_MAX);
    unsigned dtype;
    if (c->bad || n > clsa_wire_cursor_left(c) / TENSOR_LEAST_BYTES)
        return malformed(err, "more tensors announced than the chunk can hold");
    int status = grow(a, &a->tensors, &a->tensors_capacity, (size_t)n, sizeof *a->tensors, err);
    if (status)
        return status;
    for (uint64_t i = 0; i < n; i++) {
        struct clsa_tensor *t = &a->tensors[i];
        size_t bytes = 0;
        const char *name = clsa_wire_cursor_text(c, CLSA_TENSOR_NAME_BYTES - 1, &bytes);
        if (!name)
            return clsa_fail(err, CLSA_EFORMAT, "tensor %" PRIu64 ": name cut off or not UTF-8", i);
        memset(t, 0, sizeof *t);
        memcpy(t->name, name, bytes);
        t->kind = (uint8_t)clsa_wire_cursor_up_to(c, CLSA_TENSOR_KINDS - 1);
        status = get_word(c, words, CLSA_WORDS_DTYPE, &dtype, err);
        if (status)
            return status;
        t->dtype = (uint8_t)dtype;
        t->layer = clsa_wire_cursor_signed(c);
        t->address = clsa_wire_cursor_varint(c);
        t->bytes = clsa_wire_cursor_varint(c);
        if (c->bad)
            return clsa_fail(err, CLSA_EFORMAT, "tensor %" PRIu64 ": cut off or unknown kind", i);
    }
    if (clsa_wire_cursor_left(c))
        return malformed(err, "bytes left over after the last tensor");
    a->step.n_tensors = (uint32_t)n;
    return 0;
}

int clsa_decode_step(struct clsa_wire_cursor *c, struct clsa_step_arrays *a, struct clsa_err *err)
{
    struct clsa_step *s = &a->step;
    int status;
    a->number = clsa_wire_cursor_varint(c);
    s->phase = (uint8_t)clsa_wire_cursor_up_to(c, CLSA_DECODE);
    s->per_layer_kv = (uint8_t)clsa_wire_cursor_up_to(c, 1);
    s->group = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    s->top_k = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    s->n_seqs = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    s->new_tokens = clsa_wire_cursor_varint(c);
    if (c->bad || s->n_seqs > clsa_wire_cursor_left(c))
        return malformed(err, "more sequences announced than the chunk can hold");
    status = grow(a, &a->past, &a->past_capacity, s->n_seqs, sizeof *a->past, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < s->n_seqs; i++)
        a->past[i] = clsa_wire_cursor_varint(c);
    s->n_queries = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    if (c->bad || s->n_queries > clsa_wire_cursor_left(c) / QUERY_LEAST_BYTES)
        return malformed(err, "more queries announced than the chunk can hold");
    status = grow(a, &a->queries, &a->queries_capacity, s->n_queries, sizeof *a->queries, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < s->n_queries; i++) {
        a->queries[i].seq = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
        a->queries[i].keys = clsa_wire_cursor_varint(c);
    }
    s->n_sets = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    a->ops_announced = clsa_wire_cursor_varint(c);
    a->sets_announced = clsa_wire_cursor_varint(c);
    if (c->bad || clsa_wire_cursor_left(c))
        return malformed(err, "the step record does not fill its chunk");
    s->n_ops = 0;
    a->n_sets_read = 0;
    a->n_positions = 0;
    return 0;
}

static int get_op(struct clsa_wire_cursor *c, const struct clsa_words *words, struct clsa_op *op,
                  struct clsa_err *err)
{
    unsigned kind, role, weight, input;
    memset(op, 0, sizeof *op);
    int status = get_word(c, words, CLSA_WORDS_KIND, &kind, err);
    if (!status)
        status = get_word(c, words, CLSA_WORDS_ROLE, &role, err);
    if (!status)
        status = get_word(c, words, CLSA_WORDS_DTYPE, &weight, err);
    if (!status)
        status = get_word(c, words, CLSA_WORDS_DTYPE, &input, err);
    if (status)
        return status;
    op->kind = (uint16_t)kind;
    op->role = (uint16_t)role;
    op->weight_dtype = (uint8_t)weight;
    op->input_dtype = (uint8_t)input;
    op->over_queries = (uint8_t)clsa_wire_cursor_up_to(c, 1);
    op->layer = clsa_wire_cursor_signed(c);
    op->set = clsa_wire_cursor_signed(c);
    op->m = clsa_wire_cursor_varint(c);
    op->n = clsa_wire_cursor_varint(c);
    op->k = clsa_wire_cursor_varint(c);
    op->heads = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    op->kv_heads = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    op->head_dim = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    op->value_dim = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
    op->window = clsa_wire_cursor_varint(c);
    op->topk = clsa_wire_cursor_varint(c);
    op->flops = clsa_wire_cursor_varint(c);
    op->read_bytes = clsa_wire_cursor_varint(c);
    op->write_bytes = clsa_wire_cursor_varint(c);
    op->n_operands = (uint32_t)clsa_wire_cursor_up_to(c, CLSA_OP_OPERANDS);
    for (uint32_t i = 0; i < op->n_operands; i++) {
        struct clsa_operand *o = &op->operands[i];
        o->tensor = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
        const uint64_t mixed = clsa_wire_cursor_up_to(c, 2 * CLSA_AXES - 1);
        o->access = mixed & 1;
        o->axis = (uint8_t)(mixed >> 1);
        o->offset = clsa_wire_cursor_varint(c);
        o->row_bytes = clsa_wire_cursor_varint(c);
        o->row_stride = clsa_wire_cursor_varint(c);
        o->seq_stride = clsa_wire_cursor_varint(c);
        o->head_stride = clsa_wire_cursor_varint(c);
        o->ring_rows = clsa_wire_cursor_varint(c);
    }
    return c->bad ? malformed(err, "cut off, or a number out of range") : 0;
}

/* The head that OPS and SETS chunks share: step number and how many records follow. */
static int get_list_head(struct clsa_wire_cursor *c, const struct clsa_step_arrays *a, size_t least,
                         uint64_t have, uint64_t announced, size_t *n, struct clsa_err *err)
{
    const uint64_t number = clsa_wire_cursor_varint(c);
    const uint64_t count = clsa_wire_cursor_varint(c);
    if (c->bad || number != a->number)
        return malformed(err, "belongs to another step");
    if (count == 0 || count > clsa_wire_cursor_left(c) / least || count > announced - have)
        return malformed(err, "more records than announced, or than the chunk can hold");
    *n = (size_t)count;
    return 0;
}

int clsa_decode_ops(struct clsa_wire_cursor *c, const struct clsa_words *words,
                    struct clsa_step_arrays *a, struct clsa_err *err)
{
    char where[48];
    size_t n;
    int status = get_list_head(c, a, OP_LEAST_BYTES, a->step.n_ops, a->ops_announced, &n, err);
    if (!status)
        status = grow(a, &a->ops, &a->ops_capacity, a->step.n_ops + n, sizeof *a->ops, err);
    for (size_t i = 0; i < n && !status; i++) {
        status = get_op(c, words, &a->ops[a->step.n_ops], err);
        if (status) {
            snprintf(where, sizeof where, "op %zu", a->step.n_ops);
            return clsa_fail_prefix(err, status, where);
        }
        a->step.n_ops++;
    }
    if (!status && clsa_wire_cursor_left(c))
        return malformed(err, "bytes left over after the last op");
    return status;
}

int clsa_decode_sets(struct clsa_wire_cursor *c, struct clsa_step_arrays *a, struct clsa_err *err)
{
    size_t n;
    int status = get_list_head(c, a, SET_LEAST_BYTES, a->n_sets_read, a->sets_announced, &n, err);
    if (!status)
        status = grow(a, &a->sets, &a->sets_capacity, a->n_sets_read + n, sizeof *a->sets, err);
    for (size_t i = 0; i < n && !status; i++) {
        struct clsa_index_set *s = &a->sets[a->n_sets_read];
        s->set = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
        s->query = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
        s->count = (uint32_t)clsa_wire_cursor_up_to(c, UINT32_MAX);
        s->positions = NULL;
        if (c->bad || s->count == 0 || s->count > clsa_wire_cursor_left(c))
            return clsa_fail(err, CLSA_EFORMAT,
                             "index set %zu: more positions than the chunk holds", a->n_sets_read);
        status = grow(a, &a->positions, &a->positions_capacity, a->n_positions + s->count,
                      sizeof *a->positions, err);
        if (status)
            return status;
        uint32_t *positions = a->positions + a->n_positions;
        uint64_t at = clsa_wire_cursor_up_to(c, UINT32_MAX);
        positions[0] = (uint32_t)at;
        for (uint32_t j = 1; j < s->count; j++) {
            at += clsa_wire_cursor_up_to(c, UINT32_MAX) + 1;
            if (at > UINT32_MAX)
                c->bad = true;
            positions[j] = (uint32_t)at;
            if (c->bad)
                break;
        }
        if (c->bad)
            return clsa_fail(err, CLSA_EFORMAT, "index set %zu: cut off, or positions beyond 2^32",
                             a->n_sets_read);
        a->n_positions += s->count;
        a->n_sets_read++;
    }
    if (!status && clsa_wire_cursor_left(c))
        return malformed(err, "bytes left over after the last index set");
    return status;
}

void clsa_decode_link(struct clsa_step_arrays *a, struct clsa_trace_step *out)
{
    size_t at = 0;
    for (size_t i = 0; i < a->n_sets_read; i++) {
        a->sets[i].positions = a->positions + at;
        at += a->sets[i].count;
    }
    a->step.past = a->past;
    a->step.queries = a->queries;
    a->step.tensors = a->tensors;
    a->step.ops = a->ops;
    *out = (struct clsa_trace_step){.number = a->number,
                                    .step = a->step,
                                    .n_index_sets = a->n_sets_read,
                                    .index_sets = a->sets};
}

void clsa_step_arrays_destroy(struct clsa_step_arrays *a)
{
    free(a->past);
    free(a->queries);
    free(a->tensors);
    free(a->ops);
    free(a->sets);
    free(a->positions);
    *a = (struct clsa_step_arrays){0};
}
