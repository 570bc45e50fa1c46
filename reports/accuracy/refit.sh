#!/bin/sh
# Fits every fitted constant and interval of hwmodels/implementations again with `clsa calibrate`, on a
# fifth of the rows of hwmodels/measured chosen by seed 1, writes them into the implementations' rows and
# lists them in reports/accuracy/fits.csv with their errors: of the rows fitted, cross-validated over
# three folds of those, and of the rows that no fit saw. Takes some minutes. Constants that another op or
# implementation carries (source "as NAME") follow at the end. Run regenerate.sh afterwards.
#   reports/accuracy/refit.sh [CLSA] [OUT_DIR]     writes OUT_DIR/*.csv where given, else in place
# With --frontier in front the constants are fitted on at most 16 sequences of 16K keys only, a fifth of
# those rows, and judged on all rows beyond: reports/accuracy/frontier.csv. No implementation changes.
set -eu
frontier=
if [ "${1:-}" = --frontier ]; then
    frontier=1
    shift
fi
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
clsa=${1:-$top/build/clsa}
out=${2:-}
measured=$top/hwmodels/measured
work=$(mktemp -d "${TMPDIR:-/tmp}/clsa-refit.XXXXXX")
trap 'rm -rf "$work"' EXIT
for impl in cublas flash-attention-3 sglang-0.5.14 triton-own tuned; do
    cp "$top/hwmodels/implementations/$impl.csv" "$work"
done
fits=$work/fits
echo "implementation,machine,tables,constant,value,unit,rows_fitted,error_fitted_percent,error_cross_validated_percent,rows_judged,error_judged_percent,coverage_judged_percent" >"$fits"

# Puts the fitted rows of a calibrated implementation into a file that keeps its comments and order.
merge() { # FITTED CONSTANTS FILE
    awk -v constants="$2" -v fitted="$1" '
        function cells(line) { # op, parameter, value, unit and what is left
            split(line, cell, ",")
            rest = line
            for (i = 0; i < 4; i++)
                rest = substr(rest, index(rest, ",") + 1)
        }
        BEGIN {
            while ((getline line < constants) > 0) {
                split(line, cell, ",")
                wanted[cell[1]] = 1
            }
            while ((getline line < fitted) > 0) {
                cells(line)
                name = cell[1] "." cell[2]
                if (name in wanted)
                    row[name] = line
            }
        }
        /^#/ { print; next }
        { cells($0); name = cell[1] "." cell[2]; print name in row ? row[name] : $0 }
    ' "$3" >"$3.new"
    mv "$3.new" "$3"
}

# One fit: constants and ops whose interval is set are lists, "-" for none.
fit() { # IMPLEMENTATION MACHINE TABLES GROUPS CONSTANTS INTERVALS
    impl=$1 machine=$2 tables=$3 groups=$4 constants=$5 intervals=$6
    files=
    for t in $(echo "$tables" | tr , ' '); do
        files=$files,$measured/${machine%%-*}_$t.csv
    done
    set -- --implementation "$work/$impl.csv" --machine "$machine" --op "$tables" \
        --measured "${files#,}" --fit-percent 20 --seed 1 --evaluations 100 --format csv
    if [ -n "$frontier" ]; then
        [ "$constants" = - ] && return 0
        intervals=-
        set -- "$@" --frontier
    else
        set -- "$@" --folds 3
    fi
    [ "$groups" = - ] || set -- "$@" --rows "$groups"
    set -f
    if [ "$constants" = - ]; then
        set -- "$@" --keep-constants
    else
        for c in $constants; do set -- "$@" --constant "$c"; done
    fi
    [ "$intervals" = - ] || for i in $intervals; do set -- "$@" --interval "$i"; done
    set +f
    echo "$impl on $machine $tables $groups" >&2
    "$clsa" calibrate "$@" -o "$work/fitted" >"$work/constants" 2>"$work/said"
    cat "$work/said" >&2
    merge "$work/fitted" "$work/constants" "$work/$impl.csv"
    tr -d '"' <"$work/constants" |
        awk -F, -v impl="$impl" -v machine="$machine" -v tables="$tables" -v said="$work/said" '
        BEGIN {
            while ((getline line < said) > 0) {
                n = split(line, w, " ")
                if (line ~ /rows fitted:/) {
                    rows = w[1]; after = w[9]; held = w[12]; judged = w[16]
                } else if (line ~ /^cross/) {
                    crossed = w[n - 1]
                } else if (line ~ /^inside/) {
                    for (i = n; i && w[i] != "%"; i--) continue
                    covered = w[i - 1]
                }
            }
            gsub(",", " ", tables)
        }
        NR > 1 { printf "%s,%s,%s,%s,%.4g,%s,%s,%s,%s,%s,%s,%s\n", impl, machine, tables, $1, $3, $4,
                 rows, after, crossed, held, judged, covered }' >>"$fits"
}

fit cublas h100-sxm gemm - \
    "gemm.prologue gemm.step_cycles gemm.element_cycles gemm.overlap gemm.combine_prologue" gemm
fit cublas a100-sxm-80g gemm - - gemm
fit flash-attention-3 h100-sxm attention_decode,attention_prefill - \
    "attn_*.plan attn_*.prologue attn_*.element_cycles attn_*.combine_prologue attn_*.step_cycles
     attn_*.tensor_efficiency kv_append.prologue" "attn_*"
fit flash-attention-3 a100-sxm-80g attention_decode,attention_prefill - - "attn_*"
fit sglang-0.5.14 h100-sxm index_scores - \
    "index_score.prologue index_score.epilogue index_score.element_cycles index_score.scratch_part" \
    index_score
fit sglang-0.5.14 h100-sxm index_scores_paged - \
    "index_score_kv.prologue index_score_kv.epilogue index_score_kv.element_cycles
     index_score_kv.pass_cycles" index_score_kv
fit sglang-0.5.14 h100-sxm topk flat \
    "topk.overlap topk.prologue topk.pass_cycles topk.element_cycles topk.conflict_cycles
     topk.epilogue" topk
fit sglang-0.5.14 h100-sxm topk top_last \
    "topk_final.prologue topk_final.pass_cycles topk_final.element_cycles topk_final.overlap" topk_final
fit sglang-0.5.14 h100-sxm sparse_attention - \
    "attn_sparse_q.prologue attn_sparse_q.tensor_efficiency attn_sparse_q.step_cycles" attn_sparse_q
fit sglang-0.5.14 h100-sxm dsa_layer_decode - \
    "attn_sparse.step_cycles attn_sparse.l2_efficiency attn_sparse_kv.prologue
     attn_sparse_kv.step_cycles attn_sparse_kv.l2_efficiency attn_sparse_kv.overlap
     attn_sparse_kv.combine_prologue quant.prologue rope.prologue" -
fit sglang-0.5.14 h100-sxm dsa_layer_prefill - \
    "*.host_time quant.host_time index_score.host_time" -
fit sglang-0.5.14 h100-sxm dsa_layer_decode,dsa_layer_prefill - - "* gemm bmm attn_sparse"
fit triton-own h100-sxm own_kernels,own_step_ops \
    gemm,gemm_down,gemm_head,gemm_kv,gemm_o,gemm_q,gemm_qkv,gemm_up,gemm_iq \
    "gemm.memory_efficiency gemm.prologue" gemm
fit triton-own h100-sxm own_kernels attn_dense,attn_sparse,attn_sparse_sorted \
    "attn_*.prologue attn_sparse.prologue attn_*.epilogue attn_*.step_cycles attn_*.l2_efficiency
     attn_*.memory_efficiency attn_*.combine_prologue attn_*.combine_issue" \
    "attn_dense attn_sparse attn_window"
fit triton-own h100-sxm own_kernels index_score \
    "index_score.memory_efficiency index_score.l2_efficiency index_score.prologue
     index_score.step_cycles index_score.element_cycles" index_score
fit triton-own h100-sxm own_kernels,own_step_ops topk_torch,topk \
    "topk.prologue topk.pass_cycles topk.step_cycles topk.element_cycles" topk
fit triton-own h100-sxm own_kernels topk_radix \
    "topk_index.prologue topk_index.step_cycles topk_index.pass_cycles" topk_index
fit triton-own h100-sxm own_step_ops norm,silu,add,q_copy \
    "rope.copy_plain rope.copy_strided norm.prologue silu.prologue add.prologue" "norm silu add rope"
fit triton-own h100-sxm own_steps - - step

if [ -n "$frontier" ]; then
    mkdir -p "${out:-$here}"
    csv=${out:-$here}/frontier.csv
    echo "table,machine,rows_within,error_within_percent,rows_beyond,error_beyond_percent,limit_percent" >"$csv.tmp"
    while read -r table impl limit; do
        "$clsa" calibrate --implementation "$work/$impl.csv" --machine h100-sxm --op "$table" \
            --measured "$measured/h100_$table.csv" --frontier --fit-percent 100 --keep-constants \
            2>"$work/said" >/dev/null
        awk -v table="$table" -v limit="$limit" '/rows fitted:/ {
            if ($12 > 0)
                printf "%s,h100-sxm,%s,%s,%s,%s,%s\n", table, $1, $9, $12, $16, 1.3 * limit }' \
            "$work/said" >>"$csv.tmp"
    done <"$here/limits"
    mv "$csv.tmp" "$csv"
    exit 0
fi

# "as NAME": what the op NAME of the same file has, or the implementation NAME for the same op.
for file in "$work"/*.csv; do
    awk -v dir="$work" '
        function cells(line) {
            split(line, cell, ",")
            rest = line
            for (i = 0; i < 4; i++)
                rest = substr(rest, index(rest, ",") + 1)
        }
        function learn(file, name,    line) {
            if (file in known)
                return
            known[file] = 1
            while ((getline line < file) > 0) {
                cells(line)
                value[name, cell[1], cell[2]] = cell[3]
            }
            close(file)
        }
        BEGIN { learn(FILENAME = ARGV[1], "") }
        /^#/ { print; next }
        {
            cells($0)
            op = cell[1]; parameter = cell[2]; was = cell[3]; unit = cell[4]; from = rest
            if (match(rest, /^"?as [a-z0-9_.*-]+/)) {
                name = substr(rest, RSTART, RLENGTH)
                sub(/^"?as /, "", name)
                any = op; sub(/_.*/, "_*", any)
                learn(dir "/" name ".csv", name)
                if (("", name, parameter) in value) was = value["", name, parameter]
                else if ((name, op, parameter) in value) was = value[name, op, parameter]
                else if ((name, any, parameter) in value) was = value[name, any, parameter]
            }
            print op "," parameter "," was "," unit "," from
        }' "$file" >"$file.new"
    mv "$file.new" "$file"
done
if [ -n "$out" ]; then
    mkdir -p "$out"
    cp "$work"/*.csv "$out"
    cp "$fits" "$out/fits.csv"
else
    for file in "$work"/*.csv; do
        cmp -s "$file" "$top/hwmodels/implementations/${file##*/}" ||
            cp "$file" "$top/hwmodels/implementations/${file##*/}"
    done
    cp "$fits" "$here/fits.csv"
fi
