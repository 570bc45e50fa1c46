#include "sim/replay/replay_units.h"

#include <stdbool.h>
#include <stdlib.h>

#include "sim/base/rng.h"

#define PIECES 256
#define BUFFER 2048
/* Runs of one stream that are walked one by one; more is no step that anybody ran, but a file that
 * lies. */
#define RUNS_MAX (UINT64_C(1) << 30)

struct piece {
    uint64_t offset, bytes;
};

struct walk {
    const struct clsa_trace_step *trace;
    const struct clsa_op *op;
    const struct clsa_operand *operand; /* the first of the group: strides and axis are shared */
    uint64_t base;                      /* address of the tensor */
    unsigned n_pieces;
    struct piece pieces[PIECES]; /* of a row, ascending, none touching another */
    unsigned planes;             /* heads that lie beyond a row's stride, walked one by one */
    uint64_t left;               /* bytes that may still be emitted */
    clsa_units_emit emit;
    void *user;
    size_t n;
    struct clsa_byte_run buffer[BUFFER];
    uint64_t rows, runs;
    bool counting;
};

/* K and V of a token share a row of the cache. */
static bool joins(const struct clsa_operand *a, const struct clsa_operand *b)
{
    return a->tensor == b->tensor && a->axis == b->axis && a->access == b->access &&
           a->row_stride == b->row_stride && a->seq_stride == b->seq_stride &&
           a->ring_rows == b->ring_rows && a->head_stride == b->head_stride &&
           a->head_stride <= a->row_stride && a->row_stride > 0 &&
           (a->offset < b->offset ? b->offset - a->offset : a->offset - b->offset) < a->row_stride;
}

void clsa_units_join(const struct clsa_op *op, unsigned first, unsigned wanted,
                     struct clsa_units_group *group)
{
    group->n = 1;
    group->operands[0] = first;
    for (unsigned i = 0; i < op->n_operands; i++)
        if (i != first && (wanted >> i & 1) && joins(&op->operands[first], &op->operands[i]))
            group->operands[group->n++] = i;
}

/* ---- emission ---- */

static int flush(struct walk *w)
{
    const size_t n = w->n;
    w->n = 0;
    return n ? w->emit(w->user, w->buffer, n) : 0;
}

static int put(struct walk *w, uint64_t address, uint64_t bytes)
{
    if (bytes > w->left)
        bytes = w->left;
    if (!bytes)
        return 0;
    w->left -= bytes;
    if (++w->runs > RUNS_MAX)
        return CLSA_ELIMIT;
    struct clsa_byte_run *last = w->n ? &w->buffer[w->n - 1] : NULL;
    if (last && last->address + last->bytes == address) {
        last->bytes += bytes;
        return 0;
    }
    if (w->n == BUFFER) {
        const int status = flush(w);
        if (status)
            return status;
    }
    w->buffer[w->n++] = (struct clsa_byte_run){address, bytes};
    return 0;
}

/* `count` rows from slot `first` on, at `at` + slot * stride. */
static int put_rows(struct walk *w, uint64_t at, uint64_t first, uint64_t count)
{
    const uint64_t stride = w->operand->row_stride;
    w->rows += count;
    if (w->counting)
        return 0;
    if (w->n_pieces == 1 && w->pieces[0].bytes == stride)
        return put(w, at + w->pieces[0].offset + first * stride, count * stride);
    for (uint64_t r = first; r < first + count; r++)
        for (unsigned p = 0; p < w->n_pieces; p++) {
            const int status =
                put(w, at + w->pieces[p].offset + r * stride, w->pieces[p].bytes);
            if (status)
                return status;
        }
    return 0;
}

/* Rows first .. first + count - 1 of one plane, through the ring where there is one. */
static int put_span(struct walk *w, uint64_t at, uint64_t first, uint64_t count)
{
    const uint64_t ring = w->operand->ring_rows;
    if (!ring)
        return put_rows(w, at, first, count);
    if (count >= ring)
        return put_rows(w, at, 0, ring);
    const uint64_t slot = first % ring;
    const uint64_t straight = count < ring - slot ? count : ring - slot;
    const int status = put_rows(w, at, slot, straight);
    return status || straight == count ? status : put_rows(w, at, 0, count - straight);
}

static int put_planes(struct walk *w, uint64_t at, uint64_t first, uint64_t count)
{
    for (unsigned plane = 0; plane < w->planes; plane++) {
        const int status = put_span(w, at + plane * w->operand->head_stride, first, count);
        if (status)
            return status;
    }
    return 0;
}

/* ---- axes ---- */

static uint64_t sequence_base(const struct walk *w, uint64_t s)
{
    return w->base + s * w->operand->seq_stride;
}

/* The keys that the op's rows of one sequence see, as one span. */
static int keys_of_sequence(struct walk *w, uint32_t s)
{
    const struct clsa_step *step = &w->trace->step;
    uint64_t first = UINT64_MAX, end = 0;
    if (w->op->over_queries) {
        for (uint32_t q = 0; q < step->n_queries; q++)
            if (step->queries[q].seq == s) {
                const uint64_t keys = step->queries[q].keys;
                const uint64_t seen = clsa_op_keys(step, w->op, q);
                first = keys - seen < first ? keys - seen : first;
                end = keys > end ? keys : end;
            }
    } else {
        end = step->past[s] + step->new_tokens;
        first = step->past[s] + 1;
        first = w->op->window && w->op->window < first ? first - w->op->window : 0;
    }
    return end > first ? put_planes(w, sequence_base(w, s), first, end - first) : 0;
}

static int keys_axis(struct walk *w)
{
    const struct clsa_step *step = &w->trace->step;
    int status = 0;
    if (w->op->over_queries && step->n_queries > step->n_seqs) {
        for (uint32_t s = 0; !status && s < step->n_seqs; s++)
            status = keys_of_sequence(w, s);
        return status;
    }
    /* at most a query a sequence: no search */
    for (uint32_t i = 0; !status && w->op->over_queries && i < step->n_queries; i++) {
        const uint64_t keys = step->queries[i].keys, seen = clsa_op_keys(step, w->op, i);
        status = put_planes(w, sequence_base(w, step->queries[i].seq), keys - seen, seen);
    }
    for (uint32_t s = 0; !status && !w->op->over_queries && s < step->n_seqs; s++)
        status = keys_of_sequence(w, s);
    return status;
}

static int selected_axis(struct walk *w, struct clsa_err *err)
{
    const struct clsa_step *step = &w->trace->step;
    for (uint32_t q = 0; q < step->n_queries; q++) {
        const struct clsa_index_set *set =
            w->op->set < 0 ? NULL : clsa_trace_find_set(w->trace, q, (uint32_t)w->op->set);
        if (!set)
            return clsa_fail(err, CLSA_EFORMAT,
                             "step %llu: no index set %d for query %u, which an op reads",
                             (unsigned long long)w->trace->number, (int)w->op->set, q);
        const uint64_t at = sequence_base(w, step->queries[q].seq);
        for (uint32_t i = 0; i < set->count; i++) {
            const int status = put_planes(w, at, set->positions[i], 1);
            if (status)
                return status;
        }
    }
    return 0;
}

/* Which rows of a table tokens name is not in a trace: rows at random, the same every time. */
static int table_axis(struct walk *w)
{
    const struct clsa_tensor *tensor = &w->trace->step.tensors[w->operand->tensor];
    const uint64_t rows = w->operand->row_stride ? tensor->bytes / w->operand->row_stride : 0;
    struct clsa_rng rng;
    clsa_rng_seed(&rng, w->trace->number);
    for (uint64_t i = 0; rows && i < w->op->m; i++) {
        const int status = put_rows(w, w->base, clsa_rng_below(&rng, rows), 1);
        if (status)
            return status;
    }
    return 0;
}

static int walk_axis(struct walk *w, struct clsa_err *err)
{
    const struct clsa_step *step = &w->trace->step;
    int status = 0;
    switch (w->operand->axis) {
    case CLSA_AXIS_NONE:
        return put_planes(w, w->base, 0, 1);
    case CLSA_AXIS_M:
        return put_planes(w, w->base, 0, w->op->m);
    case CLSA_AXIS_N:
        return put_planes(w, w->base, 0, w->op->n);
    case CLSA_AXIS_KEYS:
        return keys_axis(w);
    case CLSA_AXIS_SELECTED:
        return selected_axis(w, err);
    case CLSA_AXIS_NEW:
        for (uint32_t s = 0; !status && s < step->n_seqs; s++)
            status = put_planes(w, sequence_base(w, s), step->past[s], step->new_tokens);
        return status;
    case CLSA_AXIS_TABLE:
        return table_axis(w);
    }
    return 0;
}

/* ---- rows ---- */

static int by_offset(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The pieces of one row over all operands of the group and their heads. Offsets are from the
 * tensor's address. */
static void gather_pieces(struct walk *w, const struct clsa_units_group *group)
{
    const struct clsa_op *op = w->op;
    const uint64_t head_stride = w->operand->head_stride;
    const unsigned heads = head_stride && op->kv_heads ? op->kv_heads : 1;
    const bool dense = heads == 1 || head_stride == w->operand->row_bytes;
    /* one by one: heads beyond the row, or more than the list holds */
    const bool apart =
        heads > 1 && (head_stride > w->operand->row_stride ||
                      (!dense && heads > PIECES / CLSA_OP_OPERANDS));
    struct piece all[PIECES];
    unsigned n = 0;
    w->planes = apart ? heads : 1;
    for (unsigned i = 0; i < group->n; i++) {
        const struct clsa_operand *o = &op->operands[group->operands[i]];
        if (apart || heads == 1 || head_stride == o->row_bytes) {
            all[n++] = (struct piece){o->offset, apart ? o->row_bytes : o->row_bytes * heads};
            continue;
        }
        for (unsigned h = 0; h < heads && n < PIECES; h++)
            all[n++] = (struct piece){o->offset + h * head_stride, o->row_bytes};
    }
    qsort(all, n, sizeof *all, by_offset);
    for (unsigned i = 0; i < n; i++) {
        struct piece *last = w->n_pieces ? &w->pieces[w->n_pieces - 1] : NULL;
        if (last && last->offset + last->bytes == all[i].offset)
            last->bytes += all[i].bytes;
        else
            w->pieces[w->n_pieces++] = all[i];
    }
}

static void begin(struct walk *w, const struct clsa_trace_step *trace, const struct clsa_op *op,
                  const struct clsa_units_group *group)
{
    w->trace = trace;
    w->op = op;
    w->operand = &op->operands[group->operands[0]];
    w->base = trace->step.tensors[w->operand->tensor].address;
    w->left = UINT64_MAX;
    w->n = 0;
    w->n_pieces = 0;
    w->rows = w->runs = 0;
    w->counting = false;
    gather_pieces(w, group);
}

int clsa_units_walk(const struct clsa_trace_step *trace, const struct clsa_op *op,
                    const struct clsa_units_group *group, uint64_t limit_bytes,
                    clsa_units_emit emit, void *user, struct clsa_err *err)
{
    struct walk w;
    begin(&w, trace, op, group);
    if (w.operand->axis == CLSA_AXIS_N)
        w.left = limit_bytes;
    w.emit = emit;
    w.user = user;
    const int status = walk_axis(&w, err);
    if (status == CLSA_ELIMIT)
        return clsa_fail(err, status, "step %llu: an operand of %s has over 2^30 rows apart",
                         (unsigned long long)trace->number, clsa_op_kind_text(op->kind));
    return status ? status : flush(&w);
}

uint64_t clsa_units_rows(const struct clsa_trace_step *trace, const struct clsa_op *op,
                         const struct clsa_units_group *group)
{
    struct walk w;
    begin(&w, trace, op, group);
    w.counting = true;
    return walk_axis(&w, NULL) ? 0 : w.rows;
}
