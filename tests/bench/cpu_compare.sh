#!/bin/sh
# Measured beside predicted on this host: decode steps of the embedded model and of a synthetic 0.6 B
# model, at 8K and 64K tokens of context, dense and for each group size, on one and on all threads.
#   cpu_compare.sh [OUT]      CLSA: the program (default ./clsa)     THREADS: default "1 all cores"
#   HOST: a machine file of this host instead of measuring one       MODELS, CONTEXTS: subsets
# Writes OUT/host.csv (the machine), OUT/figures.csv (every figure), OUT/gathers.csv (random rows, measured
# and as the model has them), OUT/ops.csv (every op) and OUT/steps.csv (steps, speed-ups), and prints a
# summary. Run it on an idle host.
set -eu
out=${1:-cpu}
clsa=${CLSA:-./clsa}
cores=$(getconf _NPROCESSORS_ONLN)
threads=${THREADS:-"1 $cores"}
[ "$cores" != 1 ] || threads=${THREADS:-1}
mkdir -p "$out"
if [ -n "${HOST:-}" ]; then
    [ "$HOST" = "$out/host.csv" ] || cp "$HOST" "$out/host.csv"
else
    "$clsa" machine measure -o "$out/host.csv" --figures "$out/figures.csv" \
        --gathers "$out/gathers.csv"
fi

echo threads,model,batch,context,group,op,count,measured_us,predicted_us,error_percent,share_percent \
    >"$out/ops.csv"
one() { # model options context group threads steps
    # shellcheck disable=SC2086
    "$clsa" run --model "$1" $2 --fill --prompt "$3" --group "$4" --threads "$5" --decode "$6" \
        --predict "$out/host.csv" --quiet --format csv | sed -e 1d -e "s/^/$5,/" >>"$out/ops.csv"
}
for t in $threads; do
    for context in ${CONTEXTS:-8K 64K}; do
        for model in ${MODELS:-clsa-byte-5m clsa-0.6b}; do
            case $model in
            clsa-byte-5m) options= groups='0 1 4 8' steps=48 ;;
            *) options='--synthetic --kv-dtype bf16' groups='0 1 4 16' steps=16 ;;
            esac
            for group in $groups; do
                one "$model" "$options" "$context" "$group" "$t" "$steps"
            done
        done
    done
done

awk -F, -v steps="$out/steps.csv" '
function abs(x) { return x < 0 ? -x : x }
NR == 1 { next }
{
    key = $1 "," $2 "," $4
    sub(/,[0-9]+$/, "", key)
    # decode steps count on from the prompt: the context is told apart by its size in K
    k = int($4 / 1024 + 0.5)
    point = $1 "," $2 "," k
}
$6 == "(step)" {
    m[point, $5] = $8
    p[point, $5] = $9
    if (!(point in seen)) { order[++n] = point; seen[point] = "" }
    seen[point] = seen[point] " " $5
    next
}
$11 > 2 {
    e = abs($9 / $8 - 1) * 100
    ops++
    if (e > 20) { bad++; worst = worst sprintf("  %s threads %s %sK group %s: %s %+.0f %%\n", $1, $2, k, $5, $6, ($9 / $8 - 1) * 100) }
}
END {
    print "threads,model,context_k,group,measured_us,predicted_us,error_percent,speedup_measured,speedup_predicted,speedup_error_percent" >steps
    for (i = 1; i <= n; i++) {
        split(order[i], f, ",")
        c = split(seen[order[i]], g, " ")
        for (j = 1; j <= c; j++) {
            a = m[order[i], g[j]]; b = p[order[i], g[j]]
            sa = m[order[i], g[1]] / a; sb = p[order[i], g[1]] / b
            printf "%s,%s,%.1f,%.1f,%.1f,%.3f,%.3f,%.1f\n", order[i], g[j], a, b, (b / a - 1) * 100, sa, sb, (sb / sa - 1) * 100 >steps
            x = abs(b / a - 1) * 100; total++; if (x <= 12) good++; if (x > most) most = x
            if (j > 1) { y = abs(sb / sa - 1) * 100; pairs++; if (y <= 6) close_++; if (y > far) far = y }
        }
    }
    printf "steps: %d of %d within 12 %%, worst %.1f %%\n", good, total, most
    printf "speed-ups: %d of %d within 6 %%, worst %.1f %%\n", close_, pairs, far
    printf "ops above 2 %% of a step: %d of %d within 20 %%\n%s", ops - bad, ops, worst
}' "$out/ops.csv"
if [ -f "$out/gathers.csv" ]; then
    awk -F, 'NR > 1 { n++; e = $8 < 0 ? -$8 : $8; if (e <= 20) good++; sum += e }
        END { printf "gathers: %d of %d within 20 %%, mean %.1f %%\n", good, n, sum / n }' "$out/gathers.csv"
fi
