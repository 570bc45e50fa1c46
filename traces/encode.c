#include "traces/encode.h"

void clsa_encode_tensors(struct clsa_buffer *b, const struct clsa_step *step)
{
    clsa_buffer_put_varint(b, step->n_tensors);
    for (uint32_t i = 0; i < step->n_tensors; i++) {
        const struct clsa_tensor *t = &step->tensors[i];
        clsa_buffer_put_text(b, t->name);
        clsa_buffer_put_varint(b, t->kind);
        clsa_buffer_put_varint(b, t->dtype);
        clsa_buffer_put_signed(b, t->layer);
        clsa_buffer_put_varint(b, t->address);
        clsa_buffer_put_varint(b, t->bytes);
    }
}

void clsa_encode_step(struct clsa_buffer *b, const struct clsa_trace_step *trace)
{
    const struct clsa_step *s = &trace->step;
    clsa_buffer_put_varint(b, s->phase);
    clsa_buffer_put_varint(b, s->per_layer_kv);
    clsa_buffer_put_varint(b, s->group);
    clsa_buffer_put_varint(b, s->top_k);
    clsa_buffer_put_varint(b, s->n_seqs);
    clsa_buffer_put_varint(b, s->new_tokens);
    for (uint32_t i = 0; i < s->n_seqs; i++)
        clsa_buffer_put_varint(b, s->past[i]);
    clsa_buffer_put_varint(b, s->n_queries);
    for (uint32_t i = 0; i < s->n_queries; i++) {
        clsa_buffer_put_varint(b, s->queries[i].seq);
        clsa_buffer_put_varint(b, s->queries[i].keys);
    }
    clsa_buffer_put_varint(b, s->n_sets);
    clsa_buffer_put_varint(b, s->n_ops);
    clsa_buffer_put_varint(b, trace->n_index_sets);
}

void clsa_encode_op(struct clsa_buffer *b, const struct clsa_op *op)
{
    clsa_buffer_put_varint(b, op->kind);
    clsa_buffer_put_varint(b, op->role);
    clsa_buffer_put_varint(b, op->weight_dtype);
    clsa_buffer_put_varint(b, op->input_dtype);
    clsa_buffer_put_varint(b, op->over_queries);
    clsa_buffer_put_signed(b, op->layer);
    clsa_buffer_put_signed(b, op->set);
    const uint64_t sizes[] = {op->m,         op->n,        op->k,          op->heads,
                              op->kv_heads,  op->head_dim, op->value_dim,  op->window,
                              op->topk,      op->flops,    op->read_bytes, op->write_bytes,
                              op->n_operands};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        clsa_buffer_put_varint(b, sizes[i]);
    for (uint32_t i = 0; i < op->n_operands; i++) {
        const struct clsa_operand *o = &op->operands[i];
        clsa_buffer_put_varint(b, o->tensor);
        clsa_buffer_put_varint(b, o->access + 2u * o->axis);
        clsa_buffer_put_varint(b, o->offset);
        clsa_buffer_put_varint(b, o->row_bytes);
        clsa_buffer_put_varint(b, o->row_stride);
        clsa_buffer_put_varint(b, o->seq_stride);
        clsa_buffer_put_varint(b, o->head_stride);
        clsa_buffer_put_varint(b, o->ring_rows);
    }
}

void clsa_encode_set(struct clsa_buffer *b, const struct clsa_index_set *set)
{
    clsa_buffer_put_varint(b, set->set);
    clsa_buffer_put_varint(b, set->query);
    clsa_buffer_put_varint(b, set->count);
    clsa_buffer_put_varint(b, set->positions[0]);
    for (uint32_t i = 1; i < set->count; i++)
        clsa_buffer_put_varint(b, set->positions[i] - set->positions[i - 1] - 1);
}
