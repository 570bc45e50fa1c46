#include "traces/info.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/csv.h"
#include "sim/base/json.h"
#include "sim/base/units.h"

static void add(uint64_t *total, uint64_t value)
{
    if (!clsa_add_u64(*total, value, total))
        *total = UINT64_MAX;
}

static void add_tensors(struct clsa_trace_totals *t, const struct clsa_step *s)
{
    uint64_t bytes[CLSA_TENSOR_KINDS] = {0};
    for (uint32_t i = 0; i < s->n_tensors; i++)
        add(&bytes[s->tensors[i].kind], s->tensors[i].bytes);
    if (s->n_tensors > t->tensors)
        t->tensors = s->n_tensors;
    for (int k = 0; k < CLSA_TENSOR_KINDS; k++)
        if (bytes[k] > t->tensor_bytes[k])
            t->tensor_bytes[k] = bytes[k];
}

static int totals_record(void *state, const struct clsa_trace_step *trace, struct clsa_err *err)
{
    struct clsa_trace_totals *t = state;
    const struct clsa_step *s = &trace->step;
    (void)err;
    if (t->steps == 0 || s->group < t->group_min)
        t->group_min = s->group;
    if (s->group > t->group_max)
        t->group_max = s->group;
    t->steps++;
    t->prefill_steps += s->phase == CLSA_PREFILL;
    add(&t->rows, s->n_seqs * s->new_tokens);
    t->queries += s->n_queries;
    for (uint32_t q = 0; q < s->n_queries; q++) {
        const uint64_t keys = s->queries[q].keys;
        if (t->keys_min == 0 || keys < t->keys_min)
            t->keys_min = keys;
        if (keys > t->keys_max)
            t->keys_max = keys;
    }
    if (s->n_seqs > t->seqs_max)
        t->seqs_max = s->n_seqs;
    if (s->n_sets > t->groups_max)
        t->groups_max = s->n_sets;
    if (s->top_k > t->top_k_max)
        t->top_k_max = s->top_k;
    add_tensors(t, s);
    t->index_sets += trace->n_index_sets;
    for (size_t i = 0; i < trace->n_index_sets; i++)
        t->positions += trace->index_sets[i].count;
    t->ops += s->n_ops;
    for (size_t i = 0; i < s->n_ops; i++) {
        const struct clsa_op *op = &s->ops[i];
        add(&t->flops, op->flops);
        add(&t->read_bytes, op->read_bytes);
        add(&t->write_bytes, op->write_bytes);
        t->op_count[op->kind]++;
        add(&t->op_flops[op->kind], op->flops);
        add(&t->op_bytes[op->kind], op->read_bytes);
        add(&t->op_bytes[op->kind], op->write_bytes);
    }
    return 0;
}

struct clsa_trace_tool clsa_trace_totals_tool(struct clsa_trace_totals *totals)
{
    return (struct clsa_trace_tool){.state = totals, .record = totals_record};
}

/* One fact after another, in the format asked for. */
struct printer {
    FILE *out;
    enum clsa_trace_format format;
    bool first;
};

static void put_text(struct printer *p, const char *key, const char *value)
{
    if (p->format == CLSA_TRACE_JSON) {
        fputs(p->first ? "{" : ",\n ", p->out);
        clsa_json_put_string(p->out, key);
        fputs(": ", p->out);
        clsa_json_put_string(p->out, value);
    } else if (p->format == CLSA_TRACE_CSV) {
        clsa_csv_put(p->out, 1, key);
        clsa_csv_put(p->out, 0, value);
        fputc('\n', p->out);
    } else {
        /* Provenance is somebody's text: no control byte of it, line ends too, reaches a terminal. */
        bool space = false;
        fprintf(p->out, "%-20s ", key);
        for (const char *c = value; *c; c++) {
            const bool blank = (unsigned char)*c <= ' ' || *c == 0x7f;
            if (!blank || !space)
                fputc(blank ? ' ' : *c, p->out);
            space = blank;
        }
        fputc('\n', p->out);
    }
    p->first = false;
}

static void put_count(struct printer *p, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    if (p->format == CLSA_TRACE_JSON) {
        fputs(p->first ? "{" : ",\n ", p->out);
        clsa_json_put_string(p->out, key);
        fprintf(p->out, ": %s", text);
        p->first = false;
    } else {
        put_text(p, key, text);
    }
}

static void put_bytes(struct printer *p, const char *key, uint64_t value)
{
    char text[64];
    if (p->format == CLSA_TRACE_TABLE)
        put_text(p, key, clsa_bytes_print(value, text, sizeof text));
    else
        put_count(p, key, value);
}

static void print_totals(struct printer *p, const struct clsa_trace_totals *t)
{
    static const char *const tensors[] = {"weight_bytes", "kv_bytes", "index_key_bytes",
                                          "activation_bytes", "token_bytes"};
    char key[64];
    put_count(p, "steps", t->steps);
    put_count(p, "prefill_steps", t->prefill_steps);
    put_count(p, "sequences", t->seqs_max);
    put_count(p, "rows", t->rows);
    put_count(p, "queries", t->queries);
    put_count(p, "keys_min", t->keys_min);
    put_count(p, "keys_max", t->keys_max);
    put_count(p, "group_min", t->group_min);
    put_count(p, "group_max", t->group_max);
    put_count(p, "groups", t->groups_max);
    put_count(p, "top_k", t->top_k_max);
    put_count(p, "index_sets", t->index_sets);
    put_count(p, "positions", t->positions);
    put_count(p, "tensors", t->tensors);
    for (int k = 0; k < CLSA_TENSOR_KINDS; k++)
        put_bytes(p, tensors[k], t->tensor_bytes[k]);
    put_count(p, "ops", t->ops);
    put_count(p, "flops", t->flops);
    put_bytes(p, "read_bytes", t->read_bytes);
    put_bytes(p, "write_bytes", t->write_bytes);
    for (unsigned k = 0; k < CLSA_OP_KINDS; k++) {
        if (t->op_count[k] == 0)
            continue;
        snprintf(key, sizeof key, "%s_count", clsa_op_kind_text(k));
        put_count(p, key, t->op_count[k]);
        snprintf(key, sizeof key, "%s_flops", clsa_op_kind_text(k));
        put_count(p, key, t->op_flops[k]);
        snprintf(key, sizeof key, "%s_bytes", clsa_op_kind_text(k));
        put_bytes(p, key, t->op_bytes[k]);
    }
}

int clsa_trace_info(const char *path, enum clsa_trace_format format, FILE *out,
                    struct clsa_err *err)
{
    struct clsa_trace_totals totals = {0};
    const struct clsa_trace_tool tool = clsa_trace_totals_tool(&totals);
    struct printer p = {.out = out, .format = format, .first = true};
    struct clsa_trace_reader *reader = NULL;
    char key[80];

    int status = clsa_trace_open(path, 0, &reader, err);
    if (status)
        return status;
    status = clsa_trace_walk(reader, &tool, 1, err);
    if (!status) {
        const struct clsa_trace_header *h = clsa_trace_header(reader);
        if (format == CLSA_TRACE_CSV)
            fputs("key,value\n", out);
        put_text(&p, "trace", h->name);
        put_count(&p, "version", h->version);
        for (size_t i = 0; i < h->n_provenance; i++) {
            snprintf(key, sizeof key, "provenance.%s", h->provenance[i].key);
            put_text(&p, format == CLSA_TRACE_TABLE ? h->provenance[i].key : key,
                     h->provenance[i].value);
        }
        print_totals(&p, &totals);
        if (format == CLSA_TRACE_JSON)
            fputs("}\n", out);
    }
    clsa_trace_close(reader);
    return status;
}
