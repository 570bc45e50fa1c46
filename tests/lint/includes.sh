#!/bin/sh
# Who may include whom. One row a room: its folder, then the folders (or files) it may include from.
cd "${CLSA_SRC:-.}" || exit 99
table='
kernels            kernels
traces             traces sim/base
hwmodels           hwmodels sim/base
sim/base           sim/base
sim/model          sim/model sim/base kernels/traffic.h
sim/engine         sim/engine sim/base sim/model kernels
sim/routing        sim/routing sim/base traces
sim/record         sim/record sim/base sim/engine/observer.h sim/model/plan.h sim/routing traces
sim/replay         sim/replay sim/base traces hwmodels sim/model/plan.h sim/model/geometry.h
sim/store          sim/store sim/base
reports            reports sim/base sim/store
'
# A system header and the only file that may include it.
owners='
sqlite3.h   sim/store
cblas.h     sim/engine/blas.c
jansson.h   sim/base/json.c
csv.h       sim/base/csv.c
zstd.h      traces
'
n=0
result() {
    n=$((n + 1))
    if [ -z "$2" ]; then echo "ok $n - $1"; else
        echo "not ok $n - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}
echo "1..$(printf '%s' "$table$owners" | grep -c .)"
printf '%s' "$table" | grep . >"${TMPDIR:-/tmp}/clsa-includes.$$"
while read -r room allowed; do
    bad=$(find "$room" -name '*.[ch]' ! -path 'kernels/examples/*' -exec \
        grep -n '^#include "' {} + | grep -v '"config.h"' | while IFS= read -r hit; do
        target=$(printf '%s' "$hit" | sed 's/.*#include "\(.*\)".*/\1/')
        good=no
        for a in $allowed; do
            case $target in "$a" | "$a"/*) good=yes ;; esac
        done
        [ $good = yes ] || printf '%s\n' "$hit"
    done)
    result "$room includes only from: $allowed" "$bad"
done <"${TMPDIR:-/tmp}/clsa-includes.$$"
printf '%s' "$owners" | grep . >"${TMPDIR:-/tmp}/clsa-includes.$$"
while read -r header owner; do
    bad=$(grep -rln "^#include <$header>" kernels traces hwmodels sim reports --include='*.[ch]' |
        grep -v "^$owner")
    result "only $owner includes $header" "$bad"
done <"${TMPDIR:-/tmp}/clsa-includes.$$"
rm -f "${TMPDIR:-/tmp}/clsa-includes.$$"
