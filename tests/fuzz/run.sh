#!/bin/sh
# libFuzzer on the targets of this folder: tests/fuzz/run.sh BUILD SECONDS [TARGET...]
# Configures BUILD with clang, sanitizers and coverage if it is not there yet. Crashing inputs land in
# BUILD/TARGET.found; small ones that showed a defect go to tests/fuzz/found/TARGET, once mended.
set -eu
src=$(cd "$(dirname "$0")/../.." && pwd)
build=$1 seconds=$2
shift 2
mkdir -p "$build"
cd "$build"
[ -f Makefile ] || "$src/configure" -q CC=clang CFLAGS='-O1 -g -fsanitize=fuzzer-no-link' \
    --enable-asan --enable-ubsan
[ $# -gt 0 ] || set -- trace import safetensors config sheet table store replay
export CLSA_SRC="$src" CLSA_DATA_PATH="$src" OMP_NUM_THREADS=1
export ASAN_OPTIONS=allocator_may_return_null=1
bad=0
for target; do
    make -s "tests/fuzz/fuzz_$target"
    objects=$(ls tests/fuzz/fuzz_"$target".o tests/fuzz/fuzz_file.o tests/unit/mock_step.o 2>/dev/null || :)
    clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -fopenmp \
        -o "fuzz_$target" $objects \
        libclsa_reports.a libclsa_store.a libclsa_replay.a libclsa_routing.a libclsa_model.a \
        libclsa_kernels*.a libclsa_traces.a libclsa_hwmodels.a libclsa_base.a \
        -lsqlite3 -ljansson -lzstd -lcsv -lm
    mkdir -p "$target.corpus" "$target.found"
    tests/fuzz/fuzz_"$target" corpus "$target.corpus"
    "./fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -malloc_limit_mb=65536 \
        -max_len=65536 -artifact_prefix="$target.found/" -print_final_stats=1 "$target.corpus" \
        >"$target.log" 2>&1 || bad=1
    grep -E 'stat::(number_of_executed|average)|ERROR|SUMMARY' "$target.log" | sed "s/^/$target: /"
done
exit $bad
