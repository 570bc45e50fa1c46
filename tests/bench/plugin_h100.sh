#!/bin/sh
# The CUDA example on a machine with a GPU: builds it, checks every kernel, times them.
#
#   tests/bench/plugin_h100.sh pack [BUILD]   here: .carry/ gets clsa of that build folder and its libraries
#   tests/bench/plugin_h100.sh run [OUT]      there (nvcc, gcc, no network): log and CSV files in OUT
#
# The pack is a dynamic program with its libraries beside it: a static one could not load plugins.
set -u
cd "$(dirname "$0")/../.." || exit 1

pack() {
    build=${1:-.}
    rm -rf .carry
    mkdir -p .carry/lib || exit 1
    cp "$build/clsa" .carry/clsa || exit 1
    strip .carry/clsa 2>/dev/null
    # all but the C library and the loader, which belong to the machine it runs on
    ldd "$build/clsa" | awk '$3 ~ /^\// { print $3 }' |
        grep -vE '/(libc|libm|libdl|libpthread|librt)\.so' | while read -r so; do
        cp -L "$so" .carry/lib/ || exit 1
    done
    strip --strip-unneeded .carry/lib/* 2>/dev/null
    du -sm .carry
}

run() {
    out=${1:-.}
    mkdir -p "$out" || exit 1
    log=$out/plugin_check.log
    root=$(pwd)
    LD_LIBRARY_PATH=$root/.carry/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    CLSA_DATA_PATH=$root
    OMP_WAIT_POLICY=passive
    export LD_LIBRARY_PATH CLSA_DATA_PATH OMP_WAIT_POLICY
    failed=0
    say() {
        echo "\$ $*" >>"$log"
    }
    # step FILE COMMAND...: standard output to FILE, the rest to the log
    step() {
        file=$1
        shift
        say "$@"
        "$@" >"$out/$file" 2>>"$log"
        rc=$?
        cat "$out/$file" >>"$log"
        echo "exit $rc" >>"$log"
        [ $rc -eq 0 ] || failed=1
    }
    : >"$log"
    {
        date -u
        uname -srm
        nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv 2>&1
        nvcc --version 2>&1 | tail -2
    } >>"$log"
    say make -C kernels/examples all cuda
    make -C kernels/examples all cuda >>"$log" 2>&1 || failed=1
    cuda=kernels/examples/cuda_kernels.so
    step plugin_check.csv .carry/clsa check --plugin $cuda --format csv
    step plugin_time.csv env CLSA_PLUGIN_TIME=1 .carry/clsa check --quick --bench --plugin $cuda \
        --format csv
    step plugin_run.csv .carry/clsa run --model "$CLSA_DATA_PATH/models/clsa-byte-5m.json" \
        --plugin $cuda --prompt 512 --decode 8 --quiet --format csv
    # what the device alone took at the timed shapes (the others belong to the checks)
    grep -E '^device: .*(131072|2048)' "$log" | sort | uniq -c | sort -k2 | tail -n 40 \
        >"$out/plugin_device.txt"
    tail -n 400 "$log" | grep -v '^device:'
    [ $failed -eq 0 ] && echo "all steps passed" || echo "some steps failed"
    return $failed
}

case ${1-} in
pack | run)
    verb=$1
    shift
    $verb "$@"
    ;;
*)
    echo "usage: $0 pack [BUILD] | run [OUT]" >&2
    exit 2
    ;;
esac
