#!/bin/sh
# tests/bench/cpu_compare.sh on another machine that has neither network nor development packages. The
# program is carried there, linked statically:
#   mkdir -p build/static && cd build/static && ../../configure --enable-static-clsa && make clsa && strip clsa
# There, in the top of the source tree:
#   OUT=cpu-results tests/bench/cpu_remote.sh
#   CLSA: the program (default build/static/clsa)     THREADS: default 1, a quarter of the cores, all
# Writes into OUT what cpu_compare.sh writes, beside what the system says of its processor and pages.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-cpu-results}
CLSA=${CLSA:-$top/build/static/clsa}
cores=$(getconf _NPROCESSORS_ONLN)
quarter=$((cores / 4))
default="1 $cores"
[ "$quarter" -le 1 ] || default="1 $quarter $cores"
THREADS=${THREADS:-$default}
CLSA_DATA_PATH=$top
export CLSA THREADS CLSA_DATA_PATH
mkdir -p "$out"
{
    date -u
    uname -srm
    cat /proc/loadavg
    lscpu || sed -n '/^$/q;p' /proc/cpuinfo
    free -m || :
    for f in enabled defrag; do
        printf 'transparent_hugepage/%s: ' "$f"
        cat "/sys/kernel/mm/transparent_hugepage/$f" || echo unknown
    done
} >"$out/system.txt" 2>&1
"$(dirname "$0")/cpu_compare.sh" "$out" 2>&1 | tee "$out/summary.txt"
