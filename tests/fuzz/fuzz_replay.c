/* Replays steps that are nearly right. An input is a list of edits of 12 bytes to the ops and
 * tensors of a planned step: which one, which field, how, and a value. What passes the rules of
 * traces/validate.h must be replayed, on a GPU or a CPU, or refused with a message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/model/plan.h"
#include "sim/replay/replay.h"
#include "sim/routing/synthetic.h"
#include "tests/fuzz/fuzz.h"

#define EDIT_BYTES 12
#define EDITS_MAX 64

const unsigned long clsa_fuzz_runs = 3000;

static struct {
    bool ready;
    struct clsa_geometry geometry;
    uint64_t past[1];
    struct clsa_trace_step trace;
    struct clsa_synthetic *synthetic;
    struct clsa_machine machines[2];
    struct clsa_implementation impls[2];
    struct clsa_replay *replays[2];
    struct clsa_op *ops; /* copies to edit */
    struct clsa_tensor *tensors;
} bed;

static void need(int status, const struct clsa_err *err)
{
    if (status) {
        fprintf(stderr, "fuzz_replay: %s\n", err->text);
        exit(EXIT_FAILURE);
    }
}

static void make_bed(void)
{
    static const char *const machines[] = {"toy-gpu", "toy-cpu"};
    static const char *const impls[] = {"triton-own", "native"};
    struct clsa_plan_request request;
    struct clsa_synthetic_params params;
    struct clsa_err err;
    char *config = NULL, *weights = NULL;
    need(clsa_model_find("clsa-byte-5m", &config, &weights, &err), &err);
    need(clsa_geometry_read(config, &bed.geometry, &err), &err);
    free(config);
    free(weights);
    clsa_plan_decode(&bed.geometry, 1, 100, 4, bed.past, &request);
    need(clsa_plan_build(&bed.geometry, &request, &bed.trace.step, &err), &err);
    clsa_synthetic_defaults(&params);
    need(clsa_synthetic_create(&params, &bed.synthetic, &err), &err);
    need(clsa_synthetic_step(bed.synthetic, &bed.trace.step, &bed.trace.index_sets,
                             &bed.trace.n_index_sets, &err), &err);
    for (int i = 0; i < 2; i++) {
        need(clsa_machine_read(machines[i], NULL, 0, &bed.machines[i], &err), &err);
        need(clsa_impl_read(impls[i], NULL, 0, &bed.impls[i], &err), &err);
        const struct clsa_replay_request wanted = {.machine = &bed.machines[i],
                                                   .impl = &bed.impls[i]};
        need(clsa_replay_create(&wanted, &bed.replays[i], &err), &err);
    }
    bed.ops = clsa_malloc(bed.trace.step.n_ops, sizeof *bed.ops);
    bed.tensors = clsa_malloc(bed.trace.step.n_tensors, sizeof *bed.tensors);
    need(bed.ops && bed.tensors ? 0 : CLSA_ENOMEM, &err);
    bed.ready = true;
}

static uint64_t edited(uint64_t old, uint8_t how, uint64_t value)
{
    switch (how % 6) {
    case 0:
        return value;
    case 1:
        return value & 0xff;
    case 2:
        return old + (value & 7) - 3;
    case 3:
        return old << (value % 8);
    case 4:
        return old >> (value % 8);
    default:
        return 0;
    }
}

static void edit_operand(struct clsa_operand *o, uint8_t field, uint8_t how, uint64_t value)
{
    uint64_t *const fields[] = {&o->offset,     &o->row_bytes,   &o->row_stride,
                                &o->seq_stride, &o->head_stride, &o->ring_rows};
    if (field % 8 < 6)
        *fields[field % 8] = edited(*fields[field % 8], how, value);
    else if (field % 8 == 6)
        o->axis = (uint8_t)(value % CLSA_AXES);
    else
        o->tensor = (uint32_t)(value % bed.trace.step.n_tensors);
}

static void edit_op(struct clsa_op *op, uint8_t field, uint8_t how, uint64_t value)
{
    uint64_t *const wide[] = {&op->m, &op->n, &op->k, &op->window, &op->topk, &op->flops,
                              &op->read_bytes, &op->write_bytes};
    uint32_t *const narrow[] = {&op->heads, &op->kv_heads, &op->head_dim, &op->value_dim};
    const unsigned f = field % 16;
    if (f < 8)
        *wide[f] = edited(*wide[f], how, value);
    else if (f < 12)
        *narrow[f - 8] = (uint32_t)edited(*narrow[f - 8], how, value);
    else if (f == 12)
        op->kind = (uint16_t)(value % CLSA_OP_KINDS);
    else if (f == 13)
        op->weight_dtype = (uint8_t)(value % CLSA_DTYPE_COUNT);
    else if (f == 14)
        op->over_queries = value & 1;
    else
        op->set = (int32_t)(value % 5) - 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!bed.ready)
        make_bed();
    struct clsa_trace_step trace = bed.trace;
    memcpy(bed.ops, trace.step.ops, trace.step.n_ops * sizeof *bed.ops);
    memcpy(bed.tensors, trace.step.tensors, trace.step.n_tensors * sizeof *bed.tensors);
    for (size_t i = 0; i + EDIT_BYTES <= bytes && i < EDITS_MAX * EDIT_BYTES; i += EDIT_BYTES) {
        const uint8_t *e = data + i;
        uint64_t value;
        memcpy(&value, e + 4, sizeof value);
        struct clsa_op *op = &bed.ops[(e[0] | (unsigned)e[1] << 8) % trace.step.n_ops];
        if (e[2] < 100)
            edit_op(op, e[2], e[3], value);
        else if (e[2] < 230 && op->n_operands)
            edit_operand(&op->operands[e[2] % op->n_operands], (uint8_t)(e[2] >> 2), e[3], value);
        else
            bed.tensors[e[0] % trace.step.n_tensors].bytes = value >> 2;
    }
    trace.step.ops = bed.ops;
    trace.step.tensors = bed.tensors;
    struct clsa_prediction p;
    struct clsa_err err = {""};
    const int status = clsa_replay_step(bed.replays[bytes && data[0] & 1], &trace, &p, &err);
    if (status == 0)
        clsa_prediction_destroy(&p);
    else if (!err.text[0])
        abort(); /* refused without a word */
    return 0;
}

/* Seeds: nothing; one edit of each op field that may well pass; operands and tensors. */
uint8_t *clsa_fuzz_seed(unsigned i, size_t *bytes)
{
    if (i >= 16)
        return NULL;
    *bytes = i * EDIT_BYTES;
    uint8_t *data = clsa_calloc(*bytes + 1, 1);
    for (unsigned e = 0; data && e < i; e++) {
        uint8_t *at = data + e * EDIT_BYTES;
        at[0] = (uint8_t)(7 * e + i);
        at[2] = (uint8_t)(17 * e + 11 * i);
        at[3] = (uint8_t)(e + i);
        at[4] = (uint8_t)(e + 1);
    }
    return data;
}
