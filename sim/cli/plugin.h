/* --plugin: kernels of a shared object in the engine's place, and under check. */
#ifndef CLSA_CLI_PLUGIN_H
#define CLSA_CLI_PLUGIN_H

#include "kernels/plugin_host.h"
#include "sim/cli/cli.h"
#include "sim/cli/common.h"
#include "sim/engine/engine.h"

/* A plugin that runs, as hooks of an engine. Zeroed: none. */
struct clsa_cli_plugin {
    const char *path;
    struct clsa_plugin_host *host;
    const struct clsa_kernels *kernels; /* of kinds that the plugin lacks */
    int kernel[CLSA_PLUGIN_ATTN_SPARSE + 1]; /* by kind: its number, or -1 */
    struct clsa_engine_hooks hooks;
};

#define CLSA_OPT_PLUGIN                                                                            \
    {"plugin", "F.so", "kernels of this shared object (kernels/plugin.h), in a process of their own"}
#define CLSA_OPT_DEADLINE                                                                          \
    {"deadline", "SECONDS", "end a plugin whose call takes longer (default 30)"}

/* Starts the plugin that --plugin names; without the option *out stays as it is. Call it before threads
 * exist. Returns 0, CLSA_EMISMATCH (it cannot be used: the message says why) or CLSA_EUSAGE. */
int clsa_cli_plugin_open(const struct clsa_args *args, struct clsa_cli_plugin *out,
                         struct clsa_err *err);
void clsa_cli_plugin_close(struct clsa_cli_plugin *plugin);

/* Its hooks, or NULL when there is none. `kernels` (NULL: best) do what it lacks. The plugin may not
 * move afterwards. */
const struct clsa_engine_hooks *clsa_cli_plugin_hooks(struct clsa_cli_plugin *plugin,
                                                      const struct clsa_kernels *kernels);

/* `check --plugin`: every kernel (or --kernel) on random shapes and on what the embedded model feeds
 * its own kernels; with --bench the times of those that passed. Exit code 0 or 1, or a status. */
int clsa_cli_plugin_check(const struct clsa_args *args, uint64_t seed, enum clsa_format format,
                          struct clsa_store *store, struct clsa_err *err);

#endif
