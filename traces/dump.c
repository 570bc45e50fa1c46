#include "traces/dump.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/json.h"

static const char *const tensor_kinds[] = {"weight", "kv", "index_keys", "activation", "tokens"};
static const char *const axes[] = {"none", "m", "n", "keys", "selected", "new", "table"};

static int dump_init(void *state, const struct clsa_trace_header *h, struct clsa_err *err)
{
    struct clsa_trace_dump *d = state;
    (void)err;
    fprintf(d->out, "trace %" PRIu32 "\n", h->version);
    for (size_t i = 0; i < h->n_provenance; i++) {
        fputs("provenance ", d->out);
        clsa_json_put_string(d->out, h->provenance[i].key);
        fputc(' ', d->out);
        clsa_json_put_string(d->out, h->provenance[i].value);
        fputc('\n', d->out);
    }
    return 0;
}

static void put(FILE *out, const char *name, uint64_t value)
{
    if (value)
        fprintf(out, " %s %" PRIu64, name, value);
}

static int dump_tensors(struct clsa_trace_dump *d, const struct clsa_step *s, struct clsa_err *err)
{
    const size_t bytes = s->n_tensors * sizeof *s->tensors;
    if (s->n_tensors == d->n_table && (bytes == 0 || memcmp(d->table, s->tensors, bytes) == 0))
        return 0;
    if (s->n_tensors > d->table_room) {
        struct clsa_tensor *table = clsa_realloc(d->table, s->n_tensors, sizeof *table);
        if (!table)
            return clsa_fail(err, CLSA_ENOMEM, "out of memory");
        d->table = table;
        d->table_room = s->n_tensors;
    }
    if (bytes)
        memcpy(d->table, s->tensors, bytes);
    d->n_table = s->n_tensors;
    for (uint32_t i = 0; i < s->n_tensors; i++) {
        const struct clsa_tensor *t = &s->tensors[i];
        fprintf(d->out, "tensor %" PRIu32 " ", i);
        clsa_json_put_string(d->out, t->name);
        fprintf(d->out, " %s %s", tensor_kinds[t->kind], clsa_dtype_text(t->dtype));
        if (t->layer >= 0)
            fprintf(d->out, " layer %" PRId32, t->layer);
        fprintf(d->out, " at 0x%" PRIx64 " bytes %" PRIu64 "\n", t->address, t->bytes);
    }
    return 0;
}

static void dump_operand(const struct clsa_trace_dump *d, const struct clsa_step *s,
                         const struct clsa_operand *o, uint32_t i)
{
    fprintf(d->out, "operand %" PRIu32 " %s ", i, o->access == CLSA_READ ? "read" : "write");
    clsa_json_put_string(d->out, s->tensors[o->tensor].name);
    fprintf(d->out, " axis %s", axes[o->axis]);
    put(d->out, "offset", o->offset);
    put(d->out, "row_bytes", o->row_bytes);
    put(d->out, "row_stride", o->row_stride);
    put(d->out, "seq_stride", o->seq_stride);
    put(d->out, "head_stride", o->head_stride);
    put(d->out, "ring", o->ring_rows);
    fputc('\n', d->out);
}

static void dump_op(const struct clsa_trace_dump *d, const struct clsa_step *s, size_t i)
{
    const struct clsa_op *op = &s->ops[i];
    char name[64];
    fprintf(d->out, "op %zu %s", i, clsa_op_name(op, name, sizeof name));
    if (op->layer >= 0)
        fprintf(d->out, " layer %" PRId32, op->layer);
    if (op->set >= 0)
        fprintf(d->out, " set %" PRId32, op->set);
    fprintf(d->out, " rows %s weight %s input %s", op->over_queries ? "queries" : "tokens",
            clsa_dtype_text(op->weight_dtype), clsa_dtype_text(op->input_dtype));
    put(d->out, "m", op->m);
    put(d->out, "n", op->n);
    put(d->out, "k", op->k);
    put(d->out, "heads", op->heads);
    put(d->out, "kv_heads", op->kv_heads);
    put(d->out, "head_dim", op->head_dim);
    put(d->out, "value_dim", op->value_dim);
    put(d->out, "window", op->window);
    put(d->out, "topk", op->topk);
    put(d->out, "flops", op->flops);
    put(d->out, "read", op->read_bytes);
    put(d->out, "write", op->write_bytes);
    fputc('\n', d->out);
    if (d->operands)
        for (uint32_t j = 0; j < op->n_operands; j++)
            dump_operand(d, s, &op->operands[j], j);
}

static void dump_set(const struct clsa_trace_dump *d, const struct clsa_index_set *set)
{
    fprintf(d->out, "set %" PRIu32 " query %" PRIu32 " count %" PRIu32 ":", set->set, set->query,
            set->count);
    for (uint32_t i = 0; i < set->count;) {
        uint32_t j = i;
        while (j + 1 < set->count && set->positions[j + 1] == set->positions[j] + 1)
            j++;
        fprintf(d->out, j > i ? " %" PRIu32 "-%" PRIu32 : " %" PRIu32, set->positions[i],
                set->positions[j]);
        i = j + 1;
    }
    fputc('\n', d->out);
}

static int dump_record(void *state, const struct clsa_trace_step *trace, struct clsa_err *err)
{
    struct clsa_trace_dump *d = state;
    const struct clsa_step *s = &trace->step;
    if (d->tensors) {
        const int status = dump_tensors(d, s, err);
        if (status)
            return status;
    }
    fprintf(d->out,
            "step %" PRIu64 " %s group %" PRIu32 " top_k %" PRIu32 " seqs %" PRIu32 " new %" PRIu64
            " kv %s sets %" PRIu32 " queries %" PRIu32 " ops %zu\n",
            trace->number, s->phase == CLSA_DECODE ? "decode" : "prefill", s->group, s->top_k,
            s->n_seqs, s->new_tokens, s->per_layer_kv ? "own" : "shared", s->n_sets, s->n_queries,
            s->n_ops);
    for (uint32_t i = 0; i < s->n_seqs; i++)
        fprintf(d->out, "seq %" PRIu32 " past %" PRIu64 "\n", i, s->past[i]);
    for (uint32_t i = 0; i < s->n_queries; i++)
        fprintf(d->out, "query %" PRIu32 " seq %" PRIu32 " keys %" PRIu64 "\n", i,
                s->queries[i].seq, s->queries[i].keys);
    for (size_t i = 0; d->ops && i < s->n_ops; i++)
        dump_op(d, s, i);
    for (size_t i = 0; d->sets && i < trace->n_index_sets; i++)
        dump_set(d, &trace->index_sets[i]);
    if (ferror(d->out))
        return clsa_fail(err, CLSA_EIO, "cannot write the dump");
    return 0;
}

struct clsa_trace_tool clsa_trace_dump_tool(struct clsa_trace_dump *dump)
{
    return (struct clsa_trace_tool){.state = dump, .init = dump_init, .record = dump_record};
}

int clsa_trace_dump(const char *path, uint64_t first, uint64_t last,
                    const struct clsa_trace_dump *what, struct clsa_err *err)
{
    struct clsa_trace_dump d = *what;
    d.table = NULL;
    d.n_table = d.table_room = 0;
    const struct clsa_trace_tool tool = clsa_trace_dump_tool(&d);
    const int status = clsa_trace_walk_file(path, first, last, &tool, 1, err);
    free(d.table);
    return status;
}
