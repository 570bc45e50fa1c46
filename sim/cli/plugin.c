#include "sim/cli/plugin.h"

#include <math.h>
#include <string.h>

/* A kernel that did not do its work, as a status. */
static int failed(const struct clsa_cli_plugin *p, uint32_t kind, int rc, struct clsa_err *err)
{
    const char *name = clsa_plugin_host_offer(p->host, (size_t)p->kernel[kind])->name;
    if (rc == CLSA_PLUGIN_UNSUPPORTED)
        return clsa_fail(err, CLSA_EUNSUPPORTED,
                         "%s: %s does not support these shapes or types (--kv-dtype sets what "
                         "caches hold)", p->path, name);
    return clsa_fail(err, CLSA_EMISMATCH, "%s: %s", p->path, clsa_plugin_host_fault(p->host));
}

static int no_nan(const struct clsa_cli_plugin *p, uint32_t kind, const float *x, size_t n,
                  size_t query, struct clsa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]))
            return clsa_fail(err, CLSA_EMISMATCH, "%s: %s: value %zu of query %zu is NaN", p->path,
                             clsa_plugin_host_offer(p->host, (size_t)p->kernel[kind])->name, i,
                             query);
    return CLSA_OK;
}

static int index_score(void *user, const struct clsa_par_index_job *jobs, size_t n,
                       struct clsa_err *err)
{
    const struct clsa_cli_plugin *p = user;
    const uint32_t kind = n && jobs->w ? CLSA_PLUGIN_INDEX_SCORE_HEADS : CLSA_PLUGIN_INDEX_SCORE;
    int status = CLSA_OK;
    if (p->kernel[kind] < 0) {
        clsa_par_index_score(p->kernels, jobs, n);
        return CLSA_OK;
    }
    const int rc = clsa_plugin_index_score(p->host, (size_t)p->kernel[kind], jobs, n);
    if (rc)
        return failed(p, kind, rc, err);
    for (size_t i = 0; status == CLSA_OK && i < n; i++)
        status = no_nan(p, kind, jobs[i].out, jobs[i].count, i, err);
    return status;
}

static int topk(void *user, struct clsa_par_topk_job *jobs, size_t n, struct clsa_err *err)
{
    const struct clsa_cli_plugin *p = user;
    const int rc = clsa_plugin_topk(p->host, (size_t)p->kernel[CLSA_PLUGIN_TOPK], jobs, n);
    return rc ? failed(p, CLSA_PLUGIN_TOPK, rc, err) : CLSA_OK;
}

static int attn_sparse(void *user, const struct clsa_par_attn_job *jobs, size_t n,
                       struct clsa_err *err)
{
    const struct clsa_cli_plugin *p = user;
    const uint32_t kind = CLSA_PLUGIN_ATTN_SPARSE;
    int status = CLSA_OK;
    const int rc = clsa_plugin_attn_sparse(p->host, (size_t)p->kernel[kind], jobs, n);
    if (rc)
        return failed(p, kind, rc, err);
    for (size_t i = 0; status == CLSA_OK && i < n; i++)
        status = no_nan(p, kind, jobs[i].out, jobs[i].attn->q_heads * jobs[i].attn->dv, i, err);
    return status;
}

int clsa_cli_plugin_open(const struct clsa_args *args, struct clsa_cli_plugin *out,
                         struct clsa_err *err)
{
    const char *path = clsa_arg(args, "plugin", NULL);
    char text[CLSA_PLUGIN_TEXT];
    double deadline = 30;
    int status = clsa_arg_f64(args, "deadline", 0.01, 86400, &deadline, err);
    if (status || !path)
        return status;
    struct clsa_cli_plugin p = {.path = path};
    if (clsa_plugin_host_open(path, (unsigned)(deadline * 1000), &p.host, text))
        return clsa_fail(err, CLSA_EMISMATCH, "%s: %s", path, text);
    for (uint32_t kind = 0; kind <= CLSA_PLUGIN_ATTN_SPARSE; kind++)
        p.kernel[kind] = clsa_plugin_host_find(p.host, kind);
    *out = p;
    return CLSA_OK;
}

void clsa_cli_plugin_close(struct clsa_cli_plugin *plugin)
{
    clsa_plugin_host_close(plugin->host);
    *plugin = (struct clsa_cli_plugin){0};
}

const struct clsa_engine_hooks *clsa_cli_plugin_hooks(struct clsa_cli_plugin *p,
                                                      const struct clsa_kernels *kernels)
{
    if (!p->host)
        return NULL;
    p->kernels = kernels ? kernels : clsa_kernels_best();
    p->hooks = (struct clsa_engine_hooks){.user = p};
    if (p->kernel[CLSA_PLUGIN_INDEX_SCORE] >= 0 || p->kernel[CLSA_PLUGIN_INDEX_SCORE_HEADS] >= 0)
        p->hooks.index_score = index_score;
    if (p->kernel[CLSA_PLUGIN_TOPK] >= 0)
        p->hooks.topk = topk;
    if (p->kernel[CLSA_PLUGIN_ATTN_SPARSE] >= 0)
        p->hooks.attn_sparse = attn_sparse;
    return &p->hooks;
}
