/* The parts of the demo (cmd_demo.c tells the story, demo.c does the work). */
#ifndef CLSA_CLI_DEMO_H
#define CLSA_CLI_DEMO_H

#include <unistd.h>

#include "reports/query.h"
#include "sim/cli/common.h"
#include "sim/cli/measured.h"
#include "sim/cli/runner.h"

struct clsa_demo {
    const char *out;
    char *database, *page, *trace, *tasks; /* paths */
    uint64_t trace_steps;                  /* recorded */
    struct clsa_model_ref ref;             /* the embedded model */
    struct clsa_model *model;
    struct clsa_target host;
    struct clsa_store *store;
};

/* Generates as n requests ask, in turns with each other and with looks at the host, and records a trace of one of
 * them at d->trace. */
int clsa_demo_run(struct clsa_demo *d, struct clsa_generation_request *requests, size_t n, size_t recorded,
                  struct clsa_prober *prober, struct clsa_generation *generations, struct clsa_err *err);
/* Recall tasks of 1024 bytes, into the store. */
int clsa_demo_tasks(struct clsa_demo *d, struct clsa_err *err);
/* Replays the last step of d->trace on GPUs and CPUs, into the store. */
int clsa_demo_replay(struct clsa_demo *d, struct clsa_err *err);
/* CLSA-4B at 128K on GPUs, into the store. */
int clsa_demo_large(struct clsa_demo *d, struct clsa_err *err);

#endif
