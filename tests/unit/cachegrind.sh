#!/bin/sh
# Our caches against a tool that others wrote: the same access pattern under valgrind's cachegrind (LRU)
# must miss as often as hwmodels/cache.c says, within 1 %, for several geometries.
walk=${CLSA_BUILD:-.}/tests/unit/cachegrind_walk
if ! command -v valgrind >/dev/null 2>&1; then
    echo "1..0 # SKIP no valgrind"
    exit 0
fi
if nm "$walk" 2>/dev/null | grep -q __asan_init; then
    echo "1..0 # SKIP an AddressSanitizer build does not run under valgrind"
    exit 0
fi
# misses MODE: data misses of the first and the last level, reads and writes
misses() {
    valgrind --tool=cachegrind --cache-sim=yes --cachegrind-out-file=/dev/null \
        --I1=65536,8,64 --D1="$d1,$d1_ways,64" --LL="$ll,$ll_ways,64" "$walk" "$1" 2>&1 |
        sed -n -e 's/.*D1 *misses: *\([0-9,]*\) .*/\1/p' -e 's/.*LLd misses: *\([0-9,]*\) .*/\1/p' |
        tr -d ', ' | tr '\n' ' '
}
echo 1..6
n=0
for geometry in "32768 8 1048576 16" "16384 2 524288 8" "65536 16 4194304 16"; do
    set -- $geometry
    d1=$1 d1_ways=$2 ll=$3 ll_ways=$4
    ran=$(misses run)
    rest=$(misses rest)
    ours=$("$walk" simulate "$d1" "$d1_ways" "$ll" "$ll_ways")
    for level in 1 2; do
        n=$((n + 1))
        seen=$(($(printf '%s' "$ran" | cut -d ' ' -f $level) -
            $(printf '%s' "$rest" | cut -d ' ' -f $level)))
        mine=$(printf '%s' "$ours" | cut -d ' ' -f $level)
        off=$((mine > seen ? mine - seen : seen - mine))
        verdict=ok
        [ "$seen" -gt 0 ] && [ $((off * 100)) -le "$seen" ] || verdict="not ok"
        echo "$verdict $n - level $level of $d1 B, $d1_ways ways over $ll B, $ll_ways ways:" \
            "cachegrind $seen misses, ours $mine"
    done
done
