/* Plans of DSA models and their predictions, for the tests of both. */
#ifndef CLSA_TESTS_MAPS_DSA_H
#define CLSA_TESTS_MAPS_DSA_H

#include <stdio.h>

#include "sim/model/plan.h"
#include "tests/unit/test.h"

static inline void model_read(const char *name, struct clsa_geometry *g)
{
    struct clsa_err err = {{0}};
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s.json", clsa_test_source(), name);
    ck_assert_msg(!clsa_geometry_read(path, g, &err), "%s", err.text);
}

#define SEQS_MOST 256

struct planned {
    uint64_t past[SEQS_MOST];
    struct clsa_plan_request request;
    struct clsa_step step;
};

/* Decode of `seqs` sequences at `context`, or with fresh > 1 prefill of so many tokens behind it. */
static inline void plan_of(struct planned *p, const struct clsa_geometry *g, uint32_t seqs,
                           uint64_t context, uint64_t fresh, uint32_t group)
{
    struct clsa_err err = {{0}};
    clsa_plan_decode(g, seqs, context, group, p->past, &p->request);
    p->request.phase = fresh > 1 ? CLSA_PREFILL : CLSA_DECODE;
    p->request.new_tokens = fresh;
    ck_assert_msg(!clsa_plan_build(g, &p->request, &p->step, &err), "%s", err.text);
}

static inline unsigned count_ops(const struct clsa_step *step, unsigned kind, int32_t layer)
{
    unsigned n = 0;
    for (size_t i = 0; i < step->n_ops; i++)
        n += step->ops[i].kind == kind && (layer < 0 || step->ops[i].layer == layer);
    return n;
}

#endif
