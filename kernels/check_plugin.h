/* check_plugin.h: holds a plugin's kernels against the reference, with the cases and bounds of check.h,
 * on random shapes and on jobs that somebody captured, and times them.
 *
 * One check at a time in a process: the shapes of check.h call kernels without a context. */
#ifndef CLSA_KERNELS_CHECK_PLUGIN_H
#define CLSA_KERNELS_CHECK_PLUGIN_H

#include "kernels/check.h"
#include "kernels/plugin_host.h"

struct clsa_plugin_check;

/* What became of one kernel on one kind of inputs. */
struct clsa_plugin_verdict {
    struct clsa_check_result result; /* rung: the plugin's name */
    size_t skipped;                  /* cases that the kernel said it does not support */
    /* Approximate top-k: share of the positions taken whose score is among the k best; mean over rows
     * and the worst row. NaN otherwise. */
    double recall, recall_least;
};

/* Begins to check kernel number `kernel`; a host with a fault is restarted. The host is borrowed.
 * Returns 0, or -1 without memory. */
int clsa_plugin_check_begin(struct clsa_plugin_host *host, size_t kernel, uint64_t seed,
                            struct clsa_plugin_check **out);
/* Ends it and fills *verdict. A check whose every case was skipped has failed. */
void clsa_plugin_check_end(struct clsa_plugin_check *check, struct clsa_plugin_verdict *verdict);

/* The random shapes; `quick`: fewer. */
void clsa_plugin_check_random(struct clsa_plugin_check *check, int quick);

/* Captured jobs, called together and judged one by one; `what` names them. Only those that belong to
 * the kernel's kind may be given. Outputs of the jobs are not touched. */
void clsa_plugin_check_index(struct clsa_plugin_check *check, const char *what,
                             const struct clsa_par_index_job *jobs, size_t jobs_count);
void clsa_plugin_check_topk(struct clsa_plugin_check *check, const char *what,
                            const struct clsa_par_topk_job *jobs, size_t jobs_count);
void clsa_plugin_check_attn(struct clsa_plugin_check *check, const char *what,
                            const struct clsa_par_attn_job *jobs, size_t jobs_count);

/* Times a kernel at standard shapes, the time inside its process: the median of `runs` calls after one
 * that is not counted. Shapes that it does not support are left out. Returns 0, or -1 after a fault or
 * without memory. */
int clsa_plugin_check_time(struct clsa_plugin_host *host, size_t kernel, int runs,
                           const struct clsa_check_sink *sink);

#endif
