#!/bin/sh
# Mean errors on measured tables stay within what the project holds itself to: rows that took no part in
# fitting (the A100: all rows, with the H100's constants). Then what sharing gains in a layer.
. "${CLSA_SRC:-.}/tests/cli/lib.sh"
limits='
h100-sxm gemm 9
h100-sxm attention_decode 10
h100-sxm attention_prefill 10
h100-sxm index_scores 10
h100-sxm index_scores_paged 10
h100-sxm topk 15
h100-sxm sparse_attention 10
h100-sxm dsa_layer_decode 6
h100-sxm dsa_layer_prefill 8
h100-sxm own_kernels 10
h100-sxm own_steps 5
a100-sxm-80g gemm 14
a100-sxm-80g attention_decode 14
'
plan 14
while read -r machine op limit; do
    [ -n "$machine" ] || continue
    used=judged fit=20
    [ "$machine" = h100-sxm ] || { used=all fit=0; }
    "$CLSA" validate --machine "$machine" --op "$op" --fit-percent $fit --seed 1 --format csv \
        --measured "$SRC/hwmodels/measured/${machine%%-*}_$op.csv" >"$SCRATCH/rows" 2>"$SCRATCH/err"
    mean=$(awk -F, -v used=$used '$3 == used { print $5; exit }' "$SCRATCH/rows")
    if awk -v m="${mean:-100}" -v l="$limit" 'BEGIN { exit !(m <= l) }'; then
        pass "$machine $op: mean error $mean % of at most $limit %"
    else
        fail "$machine $op: mean error $mean % of at most $limit %" "$(cat "$SCRATCH/rows" "$SCRATCH/err")"
    fi
done <<LIMITS
$limits
LIMITS
"$CLSA" validate --machine h100-sxm --op dsa_layer_decode --predictions "$SCRATCH/dsa" \
    --measured "$SRC/hwmodels/measured/h100_dsa_layer_decode.csv" >"$SCRATCH/rows"
said=$(awk -f "$SRC/reports/accuracy/ratio.awk" "$SCRATCH/dsa")
if printf '%s' "$said" | awk '{ sub(/.*full\/shared /, ""); exit !($1 <= 4) }'; then
    pass "a shared layer against a full one: $said"
else
    fail "a shared layer against a full one" "$said"
fi
