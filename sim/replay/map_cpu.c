#include "sim/replay/map_cpu.h"

#include <math.h>
#include <string.h>

/* How kernels/parallel.h cuts work and when the engine hands a product to the BLAS; a test compares. */
enum {
    SPLIT_KEYS = 256,
    SPLITS_MAX = 64,
    QUERY_BLOCK = 32,
    INDEX_KEYS = 1024,
    FEW_ROWS = 16,
    STREAM_BYTES = 1 << 16,
    STREAM_COLUMNS = 16,
    ROW_BLOCK = 192,
    COLUMN_BLOCK = 192,
    ROW_SLICE = 64,
    SCORE_ROWS = 8,
    START_BYTES = 6144, /* [F] until a thread's stream of weights runs */
    COLD_KEYS = 64, /* a block of keys, the first of which nobody asked for ahead */
    DIRECT_LANES = 32, /* kernels/x86/attention_direct.c: heads are multiples of it, */
    DIRECT_GROUP = 12  /* and a K/V head has at most so many query heads */
};

/* Of its due a thread takes this part of a product at once. */
#define FIRST_TAKEN 0.75

/* kernels/x86/topk.c: room for candidates beside twice the wanted, the sample that many scores are judged by first, and
 * what part of a pass over candidates its coarser bisection takes (timed by itself). */
#define TOPK_BUFFER 4096.0
#define TOPK_SAMPLE 4096.0
#define TOPK_SAMPLE_PASS 0.4

static double units_of_product(double m, double n)
{
    return m <= FEW_ROWS ? n / STREAM_COLUMNS : ceil(m / ROW_BLOCK) * ceil(n / COLUMN_BLOCK);
}

static double splits(double keys)
{
    const double each = fmax(1, ceil(ceil(keys / SPLITS_MAX) / SPLIT_KEYS)) * SPLIT_KEYS;
    return keys / each;
}

/* Keys that one query of an attention or index op works on, on average. */
static double keys_of(const struct clsa_step *step, const struct clsa_op *op)
{
    const double rows = (double)clsa_op_rows(step, op);
    const double keys = (double)clsa_op_keys_total(step, op) / fmax(1, rows);
    return op->kind == CLSA_OP_ATTN_SPARSE ? fmin(keys, (double)op->topk) : keys;
}

/* Decode attention, and prefill where the queries are few: one query a job. */
static bool alone(const struct clsa_step *step, const struct clsa_op *op)
{
    return step->phase == CLSA_DECODE ? op->over_queries || step->new_tokens == 1
                                      : op->over_queries && step->n_queries <= step->n_seqs;
}

/* Units of work, the last of which may be a part of one. */
static double parts_of(const struct clsa_step *step, const struct clsa_op *op)
{
    const double rows = (double)clsa_op_rows(step, op);
    switch (op->kind) {
    case CLSA_OP_GEMM:
    case CLSA_OP_BMM:
    case CLSA_OP_MOE_GEMM:
        return units_of_product((double)op->m, (double)op->n) * fmax(1, (double)op->heads);
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        return alone(step, op) ? rows * splits(keys_of(step, op))
                               : ceil(rows / QUERY_BLOCK) * fmax(1, (double)op->kv_heads);
    case CLSA_OP_INDEX_SCORE:
        return rows / (double)step->n_seqs >= SCORE_ROWS
                   ? units_of_product(rows, keys_of(step, op))
                   : rows * keys_of(step, op) / INDEX_KEYS;
    case CLSA_OP_TOPK:
        return rows;
    default:
        return ceil(rows / ROW_SLICE);
    }
}

/* Elements that element_cycles counts. */
static double elements_of(const struct clsa_step *step, const struct clsa_op *op)
{
    const double rows = (double)clsa_op_rows(step, op);
    switch (op->kind) {
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        return rows * keys_of(step, op) * (double)op->heads;
    case CLSA_OP_INDEX_SCORE:
    case CLSA_OP_TOPK:
        return (double)clsa_op_keys_total(step, op);
    case CLSA_OP_GEMM:
    case CLSA_OP_BMM:
    case CLSA_OP_MOE_GEMM:
        return (double)op->m * (double)op->n * fmax(1, (double)op->heads);
    default:
        return rows * (double)op->n;
    }
}

/* What the search for the k best of n scores works on: candidates of all its cuts together, and positions that cuts keep. */
struct search {
    double candidates, kept;
};

static struct search search_of(double n, double k)
{
    if (n >= 4 * TOPK_SAMPLE && k <= n / 8) {
        /* Those stay that reach the score that four standard deviations more of a sample reach than should, or an eighth
         * more at most. */
        const double expected = k * TOPK_SAMPLE / n, reach = (expected + 4 * sqrt(expected) + 4) * 17 / 16;
        return (struct search){reach * n / TOPK_SAMPLE + TOPK_SAMPLE_PASS * TOPK_SAMPLE, k};
    }
    /* All until the buffer is full, and then those above the k-th of the seen. */
    const double room = fmin(n, 2 * k + TOPK_BUFFER);
    struct search out = {room, k};
    double seen = room, left = n - room;
    while (left > 0) {
        const double more = fmin(left, (room - k) * seen / k);
        out.candidates += k + more * k / seen;
        out.kept += k;
        seen += more;
        left -= more;
    }
    return out;
}

static bool is_attention(const struct clsa_op *op)
{
    return op->kind == CLSA_OP_ATTN_WINDOW || op->kind == CLSA_OP_ATTN_DENSE ||
           op->kind == CLSA_OP_ATTN_SPARSE;
}

/* Rows that attention uses where they lie; others are copied to float32 first. */
static bool direct(const struct clsa_op *op)
{
    return op->weight_dtype != CLSA_FP8 && op->head_dim % DIRECT_LANES == 0 &&
           op->value_dim % DIRECT_LANES == 0 && op->heads <= DIRECT_GROUP * op->kv_heads;
}

/* Bytes from one row's start that lie together: all heads where they follow each other. */
static double run_bytes(const struct clsa_op *op, const struct clsa_operand *o)
{
    const double heads = o->head_stride && op->kv_heads ? op->kv_heads : 1;
    return o->head_stride == o->row_bytes ? heads * (double)o->row_bytes : (double)o->row_bytes;
}

/* V lies behind K in the same row. */
static bool behind(const struct clsa_op *op, const struct clsa_operand *k,
                   const struct clsa_operand *v)
{
    return k->tensor == v->tensor && k->axis == v->axis && k->row_stride == v->row_stride &&
           v->offset == k->offset + (uint64_t)run_bytes(op, k);
}

void clsa_map_cpu(const struct clsa_step *step, const struct clsa_op *op,
                  const struct clsa_machine *machine, const struct clsa_implementation *impl,
                  struct clsa_cpu_call *out)
{
    memset(out, 0, sizeof *out);
    if (clsa_impl_get(impl, op, CLSA_IMPL_LAUNCH) == CLSA_LAUNCH_FUSED || op->m == 0)
        return;
    const double passes = fmax(1, clsa_impl_get(impl, op, CLSA_IMPL_PASSES));
    out->parts = fmax(1, parts_of(step, op));
    if (op->kind == CLSA_OP_GEMM && op->m <= FEW_ROWS) {
        out->first = FIRST_TAKEN;
        out->share = fmax(1, floor(STREAM_BYTES / (2.0 * fmax(1, (double)op->k)) / STREAM_COLUMNS));
    }
    if (clsa_impl_get(impl, op, CLSA_IMPL_METHOD) == CLSA_METHOD_BF16 && machine->matrix_bf16 > 0 &&
        op->weight_dtype == CLSA_BF16)
        out->matrix_flops = (double)op->flops;
    else if (op->kind != CLSA_OP_TOPK)
        out->vector_flops = (double)op->flops * passes;
    out->cycles = elements_of(step, op) * clsa_impl_get(impl, op, CLSA_IMPL_ELEMENT_CYCLES);
    out->vector_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_VECTOR_EFFICIENCY);
    out->matrix_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_TENSOR_EFFICIENCY);
    out->memory_efficiency = clsa_impl_get(impl, op, CLSA_IMPL_MEMORY_EFFICIENCY);
    out->inflight_lines = clsa_impl_get(impl, op, CLSA_IMPL_INFLIGHT) / machine->l2_line;
    out->apart = 1 - clsa_impl_get(impl, op, CLSA_IMPL_SIBLING);
    out->exposed = 1 - clsa_impl_get(impl, op, CLSA_IMPL_OVERLAP);
    out->fixed_cycles = clsa_impl_get(impl, op, CLSA_IMPL_PROLOGUE);
    if (op->kind == CLSA_OP_TOPK) {
        const double rows = fmax(1, (double)clsa_op_rows(step, op)), n = (double)clsa_op_keys_total(step, op) / rows;
        const struct search search = search_of(n, fmin(n, fmax(1, (double)op->topk)));
        out->cycles += rows * (search.candidates * clsa_impl_get(impl, op, CLSA_IMPL_PASS_CYCLES) +
                               search.kept * clsa_impl_get(impl, op, CLSA_IMPL_EPILOGUE));
    }
    if (is_attention(op)) {
        /* Blocks of keys that are copied first, and computed with then: the one waits for the other. */
        const bool copied = !direct(op);
        if (copied)
            out->exposed = 1;
        out->cycles += elements_of(step, op) / fmax(1, op->heads) * fmax(1, op->kv_heads) *
                       clsa_impl_get(impl, op, copied ? CLSA_IMPL_PASS_CYCLES : CLSA_IMPL_ROW_CYCLES);
    }
    const bool parted = is_attention(op) && alone(step, op);
    if (parted) {
        const double rows = (double)clsa_op_rows(step, op);
        /* Sums that a part leaves, for each query head a value row in float32; lines of all parts. */
        const double part_bytes = (double)op->heads * (double)op->value_dim * sizeof(float);
        const double lines = ceil(out->parts) * part_bytes / machine->l2_line;
        const double joins = ceil(out->parts) * (double)op->heads * clsa_impl_get(impl, op, CLSA_IMPL_COMBINE_STEP) +
                             lines * clsa_impl_get(impl, op, CLSA_IMPL_COMBINE_ISSUE);
        /* A part's queries are laid out, its maxima rise over its first blocks, and sums so far are scaled. */
        out->cycles += lines * clsa_impl_get(impl, op, CLSA_IMPL_EPILOGUE);
        if (rows > 1) {
            out->cycles += joins;
        } else {
            out->tail_cycles = joins;
            out->part_bytes = part_bytes;
        }
    }
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        const double heads = o->head_stride && op->kv_heads ? op->kv_heads : 1;
        struct clsa_cpu_stream *s = &out->streams[out->n_streams++];
        s->operand = (int)i;
        s->write = o->access == CLSA_WRITE;
        s->bytes = (double)clsa_operand_rows(step, op, o) * (double)o->row_bytes * heads;
        s->distance = INFINITY;
        if (op->kind == CLSA_OP_TOPK && !s->write)
            s->again_bytes = s->bytes * (passes - 1);
        if (op->kind == CLSA_OP_GEMM && op->m <= FEW_ROWS && o->axis == CLSA_AXIS_N && !s->write) {
            s->cold_row_bytes = machine->l2_line;
            s->cold_bytes = START_BYTES;
        }
        if (parted && (o->axis == CLSA_AXIS_KEYS || o->axis == CLSA_AXIS_SELECTED)) {
            s->cold_row_bytes = run_bytes(op, o);
            s->cold_bytes = COLD_KEYS * s->cold_row_bytes;
            if (direct(op))
                out->cycles += s->bytes / machine->l2_line * clsa_impl_get(impl, op, CLSA_IMPL_STEP_CYCLES);
        }
        s->handed = op->kind == CLSA_OP_TOPK && !s->write;
        if (o->axis == CLSA_AXIS_SELECTED || o->axis == CLSA_AXIS_TABLE) {
            s->row_bytes = run_bytes(op, o);
            s->pool_bytes = (double)step->tensors[o->tensor].bytes;
            if (i > 0 && behind(op, &op->operands[i - 1], o)) {
                /* one row of K and V, met once */
                s[-1].bytes += s->bytes;
                s[-1].row_bytes += s->row_bytes;
                s[-1].cold_bytes += s->cold_bytes;
                s[-1].cold_row_bytes += s->cold_row_bytes;
                s->bytes = 0;
            }
        }
    }
}
