/* plugin_host.h: runs a plugin's kernels (kernels/plugin.h) in a process of their own.
 *
 * A host is a child process that loaded the shared object, and a region of memory shared with it. A
 * call copies inputs into the region, lets the child run the kernel, checks what it wrote where, and
 * copies the named outputs back. In the child inputs are read-only and everything around the buffers
 * of the call is unmapped. Whatever the plugin does becomes a fault: a line of text, never our crash.
 *
 * After a fault all calls fail at once until clsa_plugin_host_restart. A host is used by one thread at
 * a time. Jobs and their memory are as in kernels/parallel.h. */
#ifndef CLSA_KERNELS_PLUGIN_HOST_H
#define CLSA_KERNELS_PLUGIN_HOST_H

#include "kernels/parallel.h"
#include "kernels/plugin.h"

enum { CLSA_PLUGIN_TEXT = 256, CLSA_PLUGIN_NAME = 40 };

struct clsa_plugin_host;

struct clsa_plugin_offer {
    char name[CLSA_PLUGIN_NAME];
    uint32_t kind, flags;
};

/* Starts the child and loads the object there. A call that takes longer than deadline_ms (also the
 * loading) is ended. Returns 0, or -1 with what is wrong in `text`, *out untouched. Best called before
 * the process has started threads that a fork would leave behind half-way; OpenMP's are released. */
int clsa_plugin_host_open(const char *path, unsigned deadline_ms, struct clsa_plugin_host **out,
                          char text[CLSA_PLUGIN_TEXT]);
/* Ends the child. Takes NULL. */
void clsa_plugin_host_close(struct clsa_plugin_host *host);

/* The plugin's name for itself, and its kernels: i < count. */
const char *clsa_plugin_host_name(const struct clsa_plugin_host *host);
size_t clsa_plugin_host_count(const struct clsa_plugin_host *host);
const struct clsa_plugin_offer *clsa_plugin_host_offer(const struct clsa_plugin_host *host,
                                                       size_t i);
/* The first kernel of a kind, or -1. */
int clsa_plugin_host_find(const struct clsa_plugin_host *host, uint32_t kind);

/* Odd pitches and unaligned buffers from call to call (for checks), or tight and aligned ones. */
void clsa_plugin_host_vary(struct clsa_plugin_host *host, int vary);

/* One kernel on jobs, as few calls as their shared keys allow. Returns 0, CLSA_PLUGIN_UNSUPPORTED (then
 * jobs may be partly done) or -1 (fault). Top-k: `count` and ascending positions in `out`, which has
 * room for min(k, n); their range, number and uniqueness are checked here. */
int clsa_plugin_index_score(struct clsa_plugin_host *host, size_t kernel,
                            const struct clsa_par_index_job *jobs, size_t jobs_count);
int clsa_plugin_topk(struct clsa_plugin_host *host, size_t kernel, struct clsa_par_topk_job *jobs,
                     size_t jobs_count);
int clsa_plugin_attn_sparse(struct clsa_plugin_host *host, size_t kernel,
                            const struct clsa_par_attn_job *jobs, size_t jobs_count);

/* What went wrong, "" if nothing. */
const char *clsa_plugin_host_fault(const struct clsa_plugin_host *host);
/* A fresh child without fault. Returns 0, or -1 with a fault. */
int clsa_plugin_host_restart(struct clsa_plugin_host *host);
/* Time that the kernel itself took in the last call, and calls made so far. */
double clsa_plugin_host_ns(const struct clsa_plugin_host *host);
size_t clsa_plugin_host_calls(const struct clsa_plugin_host *host);

#endif
