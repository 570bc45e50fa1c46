#!/bin/sh
# Mean errors on measured tables stay within what the project holds itself to, and 80 % intervals hold
# between 75 and 85 % of the rows: rows that took no part in fitting (the A100: all rows, with the H100's
# constants). Then what sharing gains in a layer, and predictions beyond what was measured.
. "${CLSA_SRC:-.}/tests/cli/lib.sh"
plan 32
judge() { # MACHINE OP LIMIT
    used=judged fit=20
    [ "$1" = h100-sxm ] || { used=all fit=0; }
    "$CLSA" validate --machine "$1" --op "$2" --fit-percent $fit --seed 1 --format csv \
        --measured "$SRC/hwmodels/measured/${1%%-*}_$2.csv" >"$SCRATCH/rows" 2>"$SCRATCH/err"
    mean=$(awk -F, -v used=$used '$3 == used { print $5; exit }' "$SCRATCH/rows")
    if awk -v m="${mean:-100}" -v l="$3" 'BEGIN { exit !(m <= l) }'; then
        pass "$1 $2: mean error $mean % of at most $3 %"
    else
        fail "$1 $2: mean error $mean % of at most $3 %" "$(cat "$SCRATCH/rows" "$SCRATCH/err")"
    fi
    inside=$(awk -F, -v used=$used '$3 == used { print $11; exit }' "$SCRATCH/rows")
    if awk -v c="${inside:-0}" 'BEGIN { exit !(c >= 75 && c <= 85) }'; then
        pass "$1 $2: $inside % inside 80 % intervals"
    else
        fail "$1 $2: $inside % inside 80 % intervals" "$(cat "$SCRATCH/rows" "$SCRATCH/err")"
    fi
}
while read -r op impl limit; do
    judge h100-sxm "$op" "$limit"
done <"$SRC/reports/accuracy/limits"
judge a100-sxm-80g gemm 14
judge a100-sxm-80g attention_decode 14
judge a100-sxm-80g attention_prefill 14
"$CLSA" validate --machine h100-sxm --op dsa_layer_decode --predictions "$SCRATCH/dsa" \
    --measured "$SRC/hwmodels/measured/h100_dsa_layer_decode.csv" >"$SCRATCH/rows"
said=$(awk -f "$SRC/reports/accuracy/ratio.awk" "$SCRATCH/dsa")
if printf '%s' "$said" | awk '{ sub(/.*full\/shared /, ""); exit !($1 <= 4) }'; then
    pass "a shared layer against a full one: $said"
else
    fail "a shared layer against a full one" "$said"
fi
# Constants fitted on at most 16 sequences of 16K keys predict what lies beyond (reports/accuracy/refit.sh
# --frontier does this for every table): the committed table, and one of its fits made again.
beyond=$(awk -F, 'NR > 1 && $6 > $7 { print $1, $6, "of", $7 }' "$SRC/reports/accuracy/frontier.csv")
rows=$(awk 'END { print NR - 1 }' "$SRC/reports/accuracy/frontier.csv")
if [ -z "$beyond" ] && [ "$rows" -ge 10 ]; then
    pass "beyond the frontier: $rows tables within 1.3 of their limits"
else
    fail "beyond the frontier" "$beyond"
fi
"$CLSA" calibrate --machine h100-sxm --op sparse_attention --frontier --evaluations 100 \
    --measured "$SRC/hwmodels/measured/h100_sparse_attention.csv" \
    --constant attn_sparse_q.prologue --constant attn_sparse_q.tensor_efficiency \
    --constant attn_sparse_q.step_cycles >"$SCRATCH/fit" 2>"$SCRATCH/err"
if awk '/rows fitted:/ { found = $12 > 0 && $16 <= 13 } END { exit !found }' "$SCRATCH/err"; then
    pass "sparse attention fitted within the frontier: $(head -n 1 "$SCRATCH/err")"
else
    fail "sparse attention fitted within the frontier" "$(cat "$SCRATCH/err")"
fi
# A fit of one's own: a table of this layout, the implementation written, then used.
"$CLSA" calibrate --machine h100-sxm --op own_kernels --rows attn_dense --interval attn_dense \
    --measured "$SRC/hwmodels/measured/h100_own_kernels.csv" --constant 'attn_*.step_cycles' \
    --fit-percent 50 --evaluations 60 -o "$SCRATCH/mine.csv" >"$SCRATCH/fit" 2>"$SCRATCH/err"
"$CLSA" validate --machine h100-sxm --op own_kernels --implementation "$SCRATCH/mine.csv" \
    --measured "$SRC/hwmodels/measured/h100_own_kernels.csv" --format csv >"$SCRATCH/rows" 2>>"$SCRATCH/err"
if grep -q '^attn_dense,interval_high,.*fitted on h100_own_kernels.csv; 50 % of rows by seed 1' \
    "$SCRATCH/mine.csv" && grep -q 'own_kernels attn_dense,' "$SCRATCH/rows"; then
    pass "a fit is written with its source and can be used"
else
    fail "a fit is written with its source and can be used" "$(cat "$SCRATCH/err")"
fi
