#!/bin/sh
# CLSA-4B decode steps on the H100, predicted by replay and by closed form, against those measured:
# every row within 30 %, every speed-up between group sizes within 15 %, and the means much closer
# (reports/accuracy/own_steps.csv is the committed table).
. "${CLSA_SRC:-.}/tests/cli/lib.sh"
plan 8
for method in replay fast; do
    "$CLSA" predict --model "$SRC/models/clsa-4b.json" --machine h100-sxm --implementation triton-own \
        --phase decode --batch 1,8 --context 8K,128K --group 0,1,2,4,8,16 --format csv \
        $([ $method = fast ] && echo --fast) >"$SCRATCH/$method.csv" 2>"$SCRATCH/err" ||
        cat "$SCRATCH/err" >&2
    # batch,context,group,measured_us,predicted_us,lo,hi in the order of the prediction
    awk -F, 'function plain(s) { gsub(/"/, "", s); return s }
        NR == FNR { if (FNR > 1) m[$2 "," $3 "," $5] = $7; next }
        FNR == 1 { for (i = 1; i <= NF; i++) c[plain($i)] = i; next }
        { k = $c["batch"] "," $c["context"] "," $c["group"]
          if (k in m) printf "%s,%s,%.1f,%.1f,%.1f\n", k, m[k], $c["step_us"], $c["step_us_lo"],
                             $c["step_us_hi"] }' \
        "$SRC/hwmodels/measured/h100_own_steps.csv" "$SCRATCH/$method.csv" >"$SCRATCH/$method.rows"
    set -- $(awk -F, '{ e = ($5 - $4) / $4 * 100; if (e < 0) e = -e; if (e > worst) worst = e; sum += e
            p[$1 "," $2 "," $3] = $5; m[$1 "," $2 "," $3] = $4; n++ }
        END { for (k in p) { split(k, a, ",")
                for (g = 0; g <= 16; g++) { o = a[1] "," a[2] "," g
                    if (!(o in p) || g == a[3]) continue
                    e = (p[o] / p[k]) / (m[o] / m[k]) * 100 - 100; if (e < 0) e = -e
                    if (e > ws) ws = e; ss += e; ns++ } }
            printf "%d %.2f %.2f %.2f %.2f\n", n, worst, sum / n, ws, ss / ns }' \
        "$SCRATCH/$method.rows")
    equal "$method: every measured row is predicted" "$1" 24
    within() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a <= b) }'; }
    ok "$method: every row within 30 % (worst $2 %)" within "$2" 30
    ok "$method: rows within 5 % on average ($3 %)" within "$3" 5
    ok "$method: speed-ups between groups within 15 % (worst $4 %), 3 % on average ($5 %)" \
        within "$(awk -v a="$4" -v b="$5" 'BEGIN { print (b <= 3) ? a : 100 }')" 15
done
