/* mutants.h: tables of kernels with one planted fault each, which the harness must catch. */
#ifndef CLSA_TESTS_MUTANTS_H
#define CLSA_TESTS_MUTANTS_H

#include "kernels/kernels.h"

struct mutant {
    const char *fault;
    const char *kernel; /* the kernel that has it, by its name in check.h */
    struct clsa_kernels table;
};

/* Mutant i, built on the reference; returns 0 beyond the last. */
int mutant_get(int i, struct mutant *m);

#endif
