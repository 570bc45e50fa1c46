#include "traces/validate.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"

struct clsa_trace_validator {
    FILE *out;
    size_t limit;
    uint64_t findings, steps;
    uint64_t number; /* of the step being looked at */
    char name[64];   /* header name, for the last line */
    struct clsa_err first;
    struct clsa_tensor *kept; /* weights and caches seen so far, by name */
    size_t n_kept, kept_room;
    const struct clsa_tensor **order; /* scratch: tensors by address, then by name */
    size_t order_room;
    struct clsa_tensor *table; /* the tensor table last looked at */
    uint32_t n_table;
    bool have_table;
    uint8_t *made; /* scratch: groups whose selection has been made in this step */
    size_t made_room;
};

struct clsa_trace_validator *clsa_trace_validator_create(FILE *out, size_t limit)
{
    struct clsa_trace_validator *v = clsa_calloc(1, sizeof *v);
    if (v) {
        v->out = out;
        v->limit = limit;
    }
    return v;
}

void clsa_trace_validator_destroy(struct clsa_trace_validator *v)
{
    if (!v)
        return;
    free(v->kept);
    free(v->order);
    free(v->table);
    free(v->made);
    free(v);
}

uint64_t clsa_trace_validator_findings(const struct clsa_trace_validator *v)
{
    return v->findings;
}

uint64_t clsa_trace_validator_steps(const struct clsa_trace_validator *v)
{
    return v->steps;
}

static void find(struct clsa_trace_validator *v, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void find(struct clsa_trace_validator *v, const char *rule, const char *format, ...)
{
    struct clsa_err line;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* clsa_fail makes names out of a file printable. */
    clsa_fail(&line, CLSA_EMISMATCH, "step %" PRIu64 ": %s: %s", v->number, rule, text);
    if (v->findings == 0)
        v->first = line;
    if (v->out && v->findings < v->limit)
        fprintf(v->out, "%s\n", line.text);
    v->findings++;
}

static int no_memory(struct clsa_err *err)
{
    return clsa_fail(err, CLSA_ENOMEM, "out of memory");
}

/* ---- tensors ---- */

static int by_address(const void *a, const void *b)
{
    const uint64_t x = (*(const struct clsa_tensor *const *)a)->address;
    const uint64_t y = (*(const struct clsa_tensor *const *)b)->address;
    return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct clsa_tensor *const *)a)->name,
                  (*(const struct clsa_tensor *const *)b)->name);
}

static int compare_name(const void *a, const void *b)
{
    return strcmp(((const struct clsa_tensor *)a)->name, ((const struct clsa_tensor *)b)->name);
}

static bool is_kept(const struct clsa_tensor *t)
{
    return t->kind == CLSA_TENSOR_WEIGHT || t->kind == CLSA_TENSOR_KV ||
           t->kind == CLSA_TENSOR_INDEX_KEYS;
}

/* Holds weights and caches against where earlier steps had them, and remembers new ones. */
static int check_kept(struct clsa_trace_validator *v, const struct clsa_step *s,
                      struct clsa_err *err)
{
    const size_t known = v->n_kept;
    for (uint32_t i = 0; i < s->n_tensors; i++) {
        const struct clsa_tensor *t = &s->tensors[i];
        if (!is_kept(t))
            continue;
        const struct clsa_tensor *old =
            known ? bsearch(t, v->kept, known, sizeof *v->kept, compare_name) : NULL;
        if (old) {
            if (old->address != t->address)
                find(v, "tensor-moved", "%s is at 0x%" PRIx64 ", was at 0x%" PRIx64, t->name,
                     t->address, old->address);
            continue;
        }
        if (!clsa_grow(&v->kept, &v->kept_room, v->n_kept + 1, sizeof *v->kept))
            return no_memory(err);
        v->kept[v->n_kept++] = *t;
    }
    if (v->n_kept > known)
        qsort(v->kept, v->n_kept, sizeof *v->kept, compare_name);
    return 0;
}

static int check_tensors(struct clsa_trace_validator *v, const struct clsa_step *s,
                         struct clsa_err *err)
{
    if (v->have_table && v->n_table == s->n_tensors &&
        (s->n_tensors == 0 || memcmp(v->table, s->tensors, s->n_tensors * sizeof *s->tensors) == 0))
        return 0; /* looked at already */
    if (v->order_room < s->n_tensors) {
        const struct clsa_tensor **order = clsa_realloc(v->order, s->n_tensors, sizeof *order);
        if (!order)
            return no_memory(err);
        v->order = order;
        struct clsa_tensor *table = clsa_realloc(v->table, s->n_tensors, sizeof *table);
        if (!table)
            return no_memory(err);
        v->table = table;
        v->order_room = s->n_tensors;
    }
    if (s->n_tensors)
        memcpy(v->table, s->tensors, s->n_tensors * sizeof *s->tensors);
    v->n_table = s->n_tensors;
    v->have_table = true;
    for (uint32_t i = 0; i < s->n_tensors; i++) {
        const struct clsa_tensor *t = &s->tensors[i];
        v->order[i] = t;
        if ((t->bytes == 0 && is_kept(t)) || t->name[0] == '\0')
            find(v, "tensor-empty", "tensor %" PRIu32 " (%s) has no bytes or no name", i, t->name);
        if (t->address % 256 || t->address == 0)
            find(v, "tensor-align", "%s is at 0x%" PRIx64, t->name, t->address);
    }
    if (s->n_tensors)
        qsort(v->order, s->n_tensors, sizeof *v->order, by_address);
    for (uint32_t i = 1; i < s->n_tensors; i++) {
        const struct clsa_tensor *a = v->order[i - 1], *b = v->order[i];
        if (a->address + a->bytes > b->address)
            find(v, "tensor-overlap", "%s ends at 0x%" PRIx64 ", %s begins at 0x%" PRIx64, a->name,
                 a->address + a->bytes, b->name, b->address);
    }
    if (s->n_tensors)
        qsort(v->order, s->n_tensors, sizeof *v->order, by_name);
    for (uint32_t i = 1; i < s->n_tensors; i++) {
        const char *name = v->order[i]->name;
        if (*name && strcmp(name, v->order[i - 1]->name) == 0)
            find(v, "tensor-empty", "two tensors are called %s", name);
    }
    return check_kept(v, s, err);
}

/* ---- ops ---- */

struct op_place {
    const struct clsa_step *step;
    const struct clsa_op *op;
    char text[96]; /* "op 12 (gemm_q)" */
};

/* Rows of an operand that can be touched in one sequence: one more than the largest row number. */
static uint64_t row_extent(const struct clsa_step *s, const struct clsa_op *op,
                           const struct clsa_operand *o)
{
    uint64_t most = 0;
    switch (o->axis) {
    case CLSA_AXIS_M:
        return op->m;
    case CLSA_AXIS_N:
        return op->n;
    case CLSA_AXIS_KEYS:
    case CLSA_AXIS_SELECTED:
        if (op->over_queries) {
            for (uint32_t q = 0; q < s->n_queries; q++)
                most = s->queries[q].keys > most ? s->queries[q].keys : most;
            break;
        }
        /* fall through */
    case CLSA_AXIS_NEW:
        for (uint32_t i = 0; i < s->n_seqs; i++)
            most = s->past[i] + s->new_tokens > most ? s->past[i] + s->new_tokens : most;
        break;
    default:
        return 1; /* NONE; TABLE rows are data, only the first is known */
    }
    return o->ring_rows && o->ring_rows < most ? o->ring_rows : most;
}

static bool by_sequence(const struct clsa_operand *o)
{
    return o->axis == CLSA_AXIS_KEYS || o->axis == CLSA_AXIS_SELECTED || o->axis == CLSA_AXIS_NEW;
}

static uint64_t operand_heads(const struct clsa_op *op, const struct clsa_operand *o)
{
    return o->head_stride && op->kv_heads ? op->kv_heads : 1;
}

static void check_operand(struct clsa_trace_validator *v, const struct op_place *at, uint32_t i)
{
    const struct clsa_op *op = at->op;
    const struct clsa_operand *o = &op->operands[i];
    const struct clsa_tensor *t = &at->step->tensors[o->tensor];
    const uint64_t rows = row_extent(at->step, op, o), heads = operand_heads(op, o);
    unsigned __int128 end = (unsigned __int128)o->offset + o->row_bytes;

    if (by_sequence(o))
        end += (unsigned __int128)(at->step->n_seqs - 1) * o->seq_stride;
    if (rows)
        end += (unsigned __int128)(rows - 1) * o->row_stride;
    end += (unsigned __int128)(heads - 1) * o->head_stride;
    if (end > t->bytes)
        find(v, "extent",
             "%s operand %" PRIu32 ": reaches byte %" PRIu64 " of the %" PRIu64 " of %s", at->text,
             i, end > UINT64_MAX ? UINT64_MAX : (uint64_t)end, t->bytes, t->name);
    if (o->access == CLSA_WRITE && t->kind == CLSA_TENSOR_WEIGHT)
        find(v, "access", "%s writes the weight %s", at->text, t->name);
    if (o->axis == CLSA_AXIS_SELECTED && op->set < 0)
        find(v, "axis", "%s reads selected rows but names no index set", at->text);
    if (o->axis == CLSA_AXIS_TABLE && op->kind != CLSA_OP_EMBED && op->kind != CLSA_OP_MOE_GEMM)
        find(v, "axis", "%s reads rows of a table but is no look-up", at->text);
    if (o->axis == CLSA_AXIS_NEW && t->kind != CLSA_TENSOR_KV && t->kind != CLSA_TENSOR_INDEX_KEYS)
        find(v, "axis", "%s appends to %s, which is no cache", at->text, t->name);
    if (o->ring_rows && !by_sequence(o))
        find(v, "axis", "%s operand %" PRIu32 ": only a cache can be a ring", at->text, i);
}

static void check_bytes(struct clsa_trace_validator *v, const struct op_place *at)
{
    const struct clsa_op *op = at->op;
    unsigned __int128 read = 0, write = 0;
    bool writes = false;
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        const unsigned __int128 bytes = (unsigned __int128)clsa_operand_rows(at->step, op, o) *
                                        o->row_bytes * operand_heads(op, o);
        if (o->access == CLSA_READ) {
            read += bytes;
        } else {
            write += bytes;
            writes = true;
        }
    }
    if (read != op->read_bytes)
        find(v, "bytes", "%s reads %" PRIu64 " bytes, its operands add up to %" PRIu64, at->text,
             op->read_bytes, (uint64_t)read);
    if (write != op->write_bytes)
        find(v, "bytes", "%s writes %" PRIu64 " bytes, its operands add up to %" PRIu64, at->text,
             op->write_bytes, (uint64_t)write);
    if (!writes)
        find(v, "access", "%s writes nothing", at->text);
}

/* Flops that an op needs at least, and how many more a value it may count for scaling, exponentials
 * and the like: attention 2 (d + dv) a pair and head, scores 2 d, products 2 m n k. */
static void check_flops(struct clsa_trace_validator *v, const struct op_place *at)
{
    const struct clsa_op *op = at->op;
    unsigned __int128 least = 0, extra = 0, pairs;
    switch (op->kind) {
    case CLSA_OP_GEMM:
        least = (unsigned __int128)2 * op->m * op->n * op->k;
        break;
    case CLSA_OP_BMM:
        least = (unsigned __int128)2 * op->m * op->n * op->k * op->heads;
        break;
    case CLSA_OP_ATTN_WINDOW:
    case CLSA_OP_ATTN_DENSE:
    case CLSA_OP_ATTN_SPARSE:
        pairs = clsa_op_keys_total(at->step, op);
        if (op->kind == CLSA_OP_ATTN_SPARSE) {
            const struct clsa_operand selected = {.axis = CLSA_AXIS_SELECTED};
            if (!op->over_queries)
                return; /* pairs of many rows follow from a top-k per row, which op.h does not sum
                         */
            pairs = clsa_operand_rows(at->step, op, &selected);
        }
        least = pairs * op->heads * 2 * ((uint64_t)op->head_dim + op->value_dim);
        extra = (pairs * 12 + (unsigned __int128)op->m * (2 * (uint64_t)op->value_dim + 12)) *
                op->heads;
        break;
    case CLSA_OP_INDEX_SCORE:
        pairs = clsa_op_keys_total(at->step, op);
        least = pairs * op->heads * 2 * op->head_dim;
        extra = pairs * 6 * op->heads;
        break;
    case CLSA_OP_MOE_GEMM:
    case CLSA_OP_MOE_ROUTE:
    case CLSA_OP_TOPK:
        return; /* what they count depends on data or implementation */
    default:    /* element-wise work on m rows of n values, or of heads x head_dim */
        extra = (unsigned __int128)op->m * 16 *
                (op->n ? op->n : (unsigned __int128)op->heads * op->head_dim) *
                (op->kind == CLSA_OP_ALL_REDUCE && op->heads ? op->heads : 1);
    }
    if (op->flops < least || op->flops > least + extra)
        find(v, "flops", "%s counts %" PRIu64 " flops, its shape needs %" PRIu64 " to %" PRIu64,
             at->text, op->flops, (uint64_t)least, (uint64_t)(least + extra));
}

static void check_shape(struct clsa_trace_validator *v, const struct op_place *at)
{
    const struct clsa_op *op = at->op;
    const bool attention = op->kind == CLSA_OP_ATTN_WINDOW || op->kind == CLSA_OP_ATTN_DENSE ||
                           op->kind == CLSA_OP_ATTN_SPARSE;
    const bool experts = op->kind == CLSA_OP_MOE_ROUTE || op->kind == CLSA_OP_MOE_GEMM;
    /* what lies between two grouped products has the rows of the first */
    const bool between = op > at->step->ops && op[-1].kind == CLSA_OP_MOE_GEMM && op[-1].m == op->m;
    const uint64_t rows = clsa_op_rows(at->step, op);

    if (!experts && !between && op->m != rows)
        find(v, "rows", "%s has m %" PRIu64 ", the step has %" PRIu64 " such rows", at->text, op->m,
             rows);
    if (attention && (!op->heads || !op->kv_heads || op->heads % op->kv_heads || !op->head_dim))
        find(v, "shape", "%s: %" PRIu32 " heads over %" PRIu32 " K/V heads of %" PRIu32, at->text,
             op->heads, op->kv_heads, op->head_dim);
    if (op->kind == CLSA_OP_ATTN_WINDOW && !op->window)
        find(v, "shape", "%s has no window", at->text);
    if (op->kind == CLSA_OP_GEMM) {
        bool weight = false;
        for (uint32_t i = 0; i < op->n_operands; i++) {
            const struct clsa_operand *o = &op->operands[i];
            if (o->axis == CLSA_AXIS_N && o->access == CLSA_READ &&
                at->step->tensors[o->tensor].dtype == op->weight_dtype &&
                o->row_bytes == clsa_dtype_bytes(op->weight_dtype, op->k))
                weight = true;
        }
        if (!weight)
            find(v, "shape", "%s has no weight of n rows of k values of %s", at->text,
                 clsa_dtype_text(op->weight_dtype));
    }
    if ((op->kind == CLSA_OP_ATTN_SPARSE || op->kind == CLSA_OP_TOPK) &&
        (op->set < 0 || op->topk == 0))
        find(v, "axis", "%s names no index set or no top-k", at->text);
}

/* A selection is made once and before it is used. */
static void check_order(struct clsa_trace_validator *v, const struct op_place *at)
{
    const struct clsa_op *op = at->op;
    if (op->set < 0)
        return;
    if ((uint32_t)op->set >= at->step->n_sets) {
        find(v, "set-order", "%s names group %" PRId32 " of %" PRIu32, at->text, op->set,
             at->step->n_sets);
        return;
    }
    if (op->kind == CLSA_OP_TOPK) {
        if (v->made[op->set])
            find(v, "set-order", "%s makes the selection of group %" PRId32 " again", at->text,
                 op->set);
        v->made[op->set] = op->over_queries ? 2 : 1;
    } else if (!v->made[op->set]) {
        find(v, "set-order", "%s uses the selection of group %" PRId32 " before it is made",
             at->text, op->set);
    }
}

/* ---- step and sets ---- */

static void check_scalars(struct clsa_trace_validator *v, const struct clsa_step *s)
{
    if (s->phase == CLSA_DECODE && s->new_tokens != 1)
        find(v, "phase", "decode with %" PRIu64 " new tokens a sequence", s->new_tokens);
    for (uint32_t q = 0; q < s->n_queries; q++)
        if (s->queries[q].keys <= s->past[s->queries[q].seq]) {
            find(v, "phase",
                 "query %" PRIu32 " sees %" PRIu64 " keys: it is not one of the new tokens", q,
                 s->queries[q].keys);
            break;
        }
    if ((s->n_sets > 0) != (s->group > 0 && s->n_queries > 0) || (s->n_sets > 0 && s->top_k == 0))
        find(v, "group", "group %" PRIu32 " with %" PRIu32 " selections a query and top-k %" PRIu32,
             s->group, s->n_sets, s->top_k);
}

static void check_sets(struct clsa_trace_validator *v, const struct clsa_trace_step *trace)
{
    const struct clsa_step *s = &trace->step;
    size_t next = 0;
    for (uint32_t set = 0; set < s->n_sets; set++) {
        size_t have = 0;
        while (next < trace->n_index_sets && trace->index_sets[next].set == set) {
            const struct clsa_index_set *x = &trace->index_sets[next++];
            const uint64_t keys = s->queries[x->query].keys;
            const uint64_t wanted = keys < s->top_k ? keys : s->top_k;
            if (x->count != wanted)
                find(v, "set-count",
                     "group %" PRIu32 ", query %" PRIu32 ": %" PRIu32
                     " positions, expected %" PRIu64,
                     set, x->query, x->count, wanted);
            have++;
        }
        if (s->n_ops && v->made[set] == 2 && have != s->n_queries)
            find(v, "set-missing", "group %" PRIu32 " has index sets of %zu of %" PRIu32 " queries",
                 set, have, s->n_queries);
    }
}

int clsa_trace_validator_step(struct clsa_trace_validator *v, const struct clsa_trace_step *trace,
                              struct clsa_err *err)
{
    const struct clsa_step *s = &trace->step;
    struct op_place at = {.step = s};
    char name[64];
    int status;

    v->number = trace->number;
    v->steps++;
    check_scalars(v, s);
    status = check_tensors(v, s, err);
    if (status)
        return status;
    if (v->made_room < s->n_sets) {
        uint8_t *made = clsa_realloc(v->made, s->n_sets, 1);
        if (!made)
            return no_memory(err);
        v->made = made;
        v->made_room = s->n_sets;
    }
    if (s->n_sets)
        memset(v->made, 0, s->n_sets);
    for (size_t i = 0; i < s->n_ops; i++) {
        at.op = &s->ops[i];
        snprintf(at.text, sizeof at.text, "op %zu (%s)", i, clsa_op_name(at.op, name, sizeof name));
        check_shape(v, &at);
        for (uint32_t j = 0; j < at.op->n_operands; j++)
            check_operand(v, &at, j);
        check_bytes(v, &at);
        check_flops(v, &at);
        check_order(v, &at);
    }
    check_sets(v, trace);
    return 0;
}

static int tool_init(void *state, const struct clsa_trace_header *header, struct clsa_err *err)
{
    struct clsa_trace_validator *v = state;
    (void)err;
    snprintf(v->name, sizeof v->name, "%s", header->name);
    return 0;
}

static int tool_record(void *state, const struct clsa_trace_step *step, struct clsa_err *err)
{
    return clsa_trace_validator_step(state, step, err);
}

static int tool_finish(void *state, struct clsa_err *err)
{
    const struct clsa_trace_validator *v = state;
    if (v->findings == 0)
        return 0;
    return clsa_fail(err, CLSA_EMISMATCH, "%s: %s (%" PRIu64 " findings in all)", v->name,
                     v->first.text, v->findings);
}

struct clsa_trace_tool clsa_trace_validator_tool(struct clsa_trace_validator *v)
{
    return (struct clsa_trace_tool){
        .state = v, .init = tool_init, .record = tool_record, .finish = tool_finish};
}

int clsa_trace_validate(const char *path, FILE *out, struct clsa_err *err)
{
    struct clsa_trace_validator *v = clsa_trace_validator_create(out, 100);
    if (!v)
        return no_memory(err);
    const struct clsa_trace_tool tool = clsa_trace_validator_tool(v);
    const int status = clsa_trace_walk_file(path, 0, UINT64_MAX, &tool, 1, err);
    if (status == 0 || status == CLSA_EMISMATCH)
        fprintf(out, "%s: %" PRIu64 " steps, %" PRIu64 " findings\n", path, v->steps, v->findings);
    clsa_trace_validator_destroy(v);
    return status;
}

int clsa_trace_check_step(const struct clsa_trace_step *step, struct clsa_err *err)
{
    struct clsa_trace_validator *v = clsa_trace_validator_create(NULL, 0);
    if (!v)
        return no_memory(err);
    int status = clsa_trace_validator_step(v, step, err);
    if (!status && v->findings)
        status = clsa_fail(err, CLSA_EMISMATCH, "%s", v->first.text);
    clsa_trace_validator_destroy(v);
    return status;
}
