/* plan: the ops of a step, with flops and bytes. */
#include <stdlib.h>

#include "sim/base/alloc.h"
#include "sim/cli/commands.h"
#include "sim/cli/common.h"

static int print_plan(const struct clsa_step *step, enum clsa_format format, struct clsa_err *err)
{
    static const char *const columns[] = {"op",  "layer", "rows",  "m",          "n",
                                          "k",   "heads", "keys",  "top_k",      "set",
                                          "flops", "read_bytes", "write_bytes"};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    struct clsa_printer *printer;
    int status = clsa_printer_open(stdout, format, columns, COLUMNS, &printer, err);
    if (status)
        return status;
    uint64_t flops = 0, read = 0, written = 0;
    for (size_t i = 0; status == CLSA_OK && i < step->n_ops; i++) {
        const struct clsa_op *op = &step->ops[i];
        char name[32];
        const bool has_keys = op->kind == CLSA_OP_ATTN_WINDOW || op->kind == CLSA_OP_ATTN_DENSE ||
                              op->kind == CLSA_OP_ATTN_SPARSE || op->kind == CLSA_OP_INDEX_SCORE ||
                              op->kind == CLSA_OP_TOPK;
        const struct clsa_value row[COLUMNS] = {
            clsa_text(clsa_op_name(op, name, sizeof name)),
            {.type = CLSA_CELL_INTEGER, .integer = op->layer},
            clsa_whole(clsa_op_rows(step, op)),
            clsa_whole(op->m),
            clsa_whole(op->n),
            clsa_whole(op->k),
            clsa_whole(op->heads),
            clsa_whole(has_keys ? clsa_op_keys_total(step, op) : 0),
            clsa_whole(op->topk),
            {.type = CLSA_CELL_INTEGER, .integer = op->set},
            clsa_whole(op->flops),
            clsa_whole(op->read_bytes),
            clsa_whole(op->write_bytes)};
        status = clsa_printer_row(printer, row, err);
        flops += op->flops;
        read += op->read_bytes;
        written += op->write_bytes;
    }
    if (status == CLSA_OK && format == CLSA_FORMAT_TABLE) {
        struct clsa_value row[COLUMNS] = {clsa_text("sum")};
        for (int c = 1; c < COLUMNS; c++)
            row[c].type = CLSA_CELL_NULL;
        row[COLUMNS - 3] = clsa_whole(flops);
        row[COLUMNS - 2] = clsa_whole(read);
        row[COLUMNS - 1] = clsa_whole(written);
        status = clsa_printer_row(printer, row, err);
    }
    const int closed = clsa_printer_close(printer, status ? NULL : err);
    return status ? status : closed;
}

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_model_ref model = {0};
    struct clsa_step step = {0};
    struct clsa_plan_request request;
    uint64_t batch = 1, context = 8192, new_tokens = 0, group, top_k = 0, ranks = 1;
    uint64_t *past = NULL;
    int phase, format;
    int status = clsa_open_model(args, "clsa-byte-5m", &model, err);
    if (status)
        return status;
    group = model.geometry.index_group;
    if ((status = clsa_arg_choice(args, "phase", "prefill|decode", "decode", &phase, err)) ||
        (status = clsa_arg_format(args, &format, err)) ||
        (status = clsa_arg_size(args, "batch", 1, 1 << 20, &batch, err)) ||
        (status = clsa_arg_size(args, "context", 1, (uint64_t)1 << 40, &context, err)) ||
        (status = clsa_arg_size(args, "new-tokens", 1, (uint64_t)1 << 32, &new_tokens, err)) ||
        (status = clsa_arg_size(args, "group", 0, CLSA_LAYERS_MAX, &group, err)) ||
        (status = clsa_arg_size(args, "top-k", 1, (uint64_t)1 << 32, &top_k, err)) ||
        (status = clsa_arg_size(args, "ranks", 1, 1024, &ranks, err)))
        goto done;
    past = clsa_calloc(batch, sizeof *past);
    if (!past) {
        status = clsa_fail(err, CLSA_ENOMEM, "out of memory");
        goto done;
    }
    clsa_plan_decode(&model.geometry, (uint32_t)batch, context, (uint32_t)group, past, &request);
    if (phase == CLSA_PREFILL) {
        request.phase = CLSA_PREFILL;
        request.new_tokens = new_tokens ? new_tokens : context;
        if (request.new_tokens > context) {
            status = clsa_fail(err, CLSA_EUSAGE, "plan: --new-tokens is beyond --context");
            goto done;
        }
        for (uint64_t s = 0; s < batch; s++)
            past[s] = context - request.new_tokens;
    }
    if (top_k)
        request.top_k = (uint32_t)top_k;
    request.per_layer_kv |= clsa_arg_given(args, "per-layer-kv");
    request.tensor_parallel = (uint32_t)ranks;
    status = clsa_plan_build(&model.geometry, &request, &step, err);
    if (status == CLSA_OK)
        status = print_plan(&step, (enum clsa_format)format, err);
done:
    clsa_plan_destroy(&step);
    free(past);
    clsa_close_model(&model);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MODEL,
    {"phase", "P", "prefill or decode (default decode)"},
    {"batch", "B", "sequences (default 1)"},
    {"context", "S", "tokens a sequence, the new ones included (default 8K)"},
    {"new-tokens", "N", "prefill: tokens that are new (default: all)"},
    {"group", "G", "layers that share an index; 0 is dense (default: the model's)"},
    {"top-k", "K", "keys selected (default: the model's)"},
    {"per-layer-kv", NULL, "every cross layer keeps K/V of its own"},
    {"ranks", "R", "tensor parallel ranks (default 1)"},
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_plan = {
    .name = "plan",
    .synopsis = "--model M --phase decode --batch B --context S [--group G]",
    .summary = "the ops of a step, with flops and bytes",
    .options = options,
    .run = run};
