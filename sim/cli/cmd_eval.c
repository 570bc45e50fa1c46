/* eval: what sharing an index does to answers. */
#include <stdlib.h>

#include "sim/base/alloc.h"
#include "sim/base/file.h"
#include "sim/base/log.h"
#include "sim/cli/answers.h"
#include "sim/cli/commands.h"
#include "sim/cli/plugin.h"

static int run(const struct clsa_args *args, struct clsa_err *err)
{
    struct clsa_answers a = {0};
    struct clsa_cli_plugin plugin = {0};
    char kernels[96];
    struct clsa_store *store = NULL;
    uint64_t stride = 0;
    char *found = NULL;
    int status = clsa_open_model(args, "clsa-byte-5m", &a.ref, err);
    if (status)
        return status;
    if ((status = clsa_cli_plugin_open(args, &plugin, err)) ||
        (status = clsa_arg_sizes(args, "group", "0,1,2,4,8", 0, CLSA_LAYERS_MAX, &a.groups,
                                 &a.n_groups, err)) ||
        (status = clsa_arg_sizes(args, "top-k", "64,256", 1, UINT64_C(1) << 31, &a.top_ks,
                                 &a.n_top_ks, err)) ||
        (status = clsa_arg_size(args, "text-stride", 1, 1 << 20, &stride, err)) ||
        (status = clsa_kernels_choose(args, &a.kernels, err)) ||
        (status = clsa_threads_choose(args, err)))
        goto done;
    found = clsa_data_find("models", clsa_arg(args, "tasks", "tasks"), ".safetensors", err);
    a.tasks = found;
    a.hooks = clsa_cli_plugin_hooks(&plugin, a.kernels);
    if (a.hooks) {
        snprintf(kernels, sizeof kernels, "%s, %s", plugin.kernels->name,
                 clsa_plugin_host_name(plugin.host));
        a.kernels_text = kernels;
    }
    a.text_stride = (uint32_t)stride;
    if (!found) {
        status = CLSA_ENOTFOUND;
        goto done;
    }
    if ((status = clsa_begin_run(args, CLSA_NULL, &store, err)) ||
        (status = clsa_answers_store(&a, store, err)) ||
        (status = clsa_print_run(args, store, "eval", err)))
        goto done;
    status = clsa_store_commit(store, err);
done:
    clsa_store_destroy(store);
    free(found);
    clsa_cli_plugin_close(&plugin);
    free(a.groups);
    free(a.top_ks);
    clsa_close_model(&a.ref);
    return status;
}

static const struct clsa_option options[] = {
    CLSA_OPT_MODEL,
    {"tasks", "F", "tasks and texts (.safetensors; default: those of the embedded model)"},
    {"group", "G,...", "layers that share an index; 0 is dense (default 0,1,2,4,8)"},
    {"top-k", "K,...", "keys selected (default 64,256)"},
    {"text-stride", "N", "bits per byte over every N-th position of the texts (default 8)"},
    CLSA_OPT_KERNELS,
    CLSA_OPT_PLUGIN,
    CLSA_OPT_DEADLINE,
    CLSA_OPT_THREADS,
    CLSA_OPT_DB,
    CLSA_OPT_FORMAT,
    CLSA_OPT_END};

const struct clsa_command clsa_command_eval = {
    .name = "eval",
    .synopsis = "[--model M] [--tasks F] [--group 0,1,2,4,8] [--top-k 32,64]",
    .summary = "what sharing does to answers: recall one and two hops away, bits per byte, mass",
    .details =
        "hop1 asks for a fact in the text, hop2 for the fact that another one points to; an answer is\n"
        "right when all its bytes are. mass_covered is the share of dense attention that falls on the\n"
        "selected keys.\n\n"
        "clsa eval --group 1,2,4,8 --top-k 32,64,128,256",
    .options = options,
    .run = run};
