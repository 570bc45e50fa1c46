#!/bin/bash
# The signature of `clsa bench` from different compilers, optimisations and sanitizers, each built
# out of tree one after another. On demand: it builds the program seven times.
#   tests/bench/signature.sh [CC,CFLAGS[,CONFIGURE OPTION] ...]
# Prints a line a build and "N passed, N failed"; a compiler that is not there is skipped.
set -u
source=$(cd "$(dirname "$0")/../.." && pwd)
wanted=$(tail -n 1 "$source/tests/cli/signature.txt")
passed=0 failed=0
[ $# -gt 0 ] || set -- 'gcc,-O0' 'gcc,-O2' 'gcc,-O3' 'clang,-O0' 'clang,-O2' 'clang,-O3' \
    'gcc,-O1 -g,--enable-asan --enable-ubsan'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for flavour; do
    IFS=, read -r compiler flags options <<<"$flavour"
    found=$(command -v "$compiler" || command -v "$compiler-14") || {
        printf 'skip  %s: no such compiler\n' "$flavour"
        continue
    }
    mkdir "$work/build"
    # options are several words
    # shellcheck disable=SC2086
    said=$(cd "$work/build" && "$source/configure" -q CC="$found" CFLAGS="$flags" $options \
        >log 2>&1 && make -j2 clsa >>log 2>&1 && ./clsa bench 2>>log)
    got=$(printf '%s\n' "$said" | tail -n 1)
    if [ -n "$got" ] && [ "$got" = "$wanted" ]; then
        passed=$((passed + 1))
        printf 'ok    %s: %s\n' "$flavour" "$got"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s: "%s", not "%s"\n' "$flavour" "$got" "$wanted"
        tail -n 5 "$work/build/log"
    fi
    rm -rf "$work/build"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
