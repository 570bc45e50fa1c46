#!/bin/sh
# Every header compiles alone, in C and with the project's own include path only.
cd "${CLSA_SRC:-.}" || exit 99
headers=$(find kernels traces hwmodels sim reports -name '*.h' ! -path 'kernels/examples/*' \
    ! -path 'kernels/x86/*' | sort)
echo "1..$(printf '%s\n' "$headers" | wc -l)"
n=0
for h in $headers; do
    n=$((n + 1))
    if out=$(printf '#include "%s"\n' "$h" | ${CC:-gcc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror \
        -fsyntax-only -I. -I"${CLSA_BUILD:-.}" -x c - 2>&1); then
        echo "ok $n - $h"
    else
        echo "not ok $n - $h"
        printf '%s\n' "$out" | sed 's/^/# /'
    fi
done
