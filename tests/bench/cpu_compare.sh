#!/bin/sh
# Measured beside predicted on this host: decode steps of the embedded model and of a synthetic 0.6 B
# model, at 8K and 64K tokens of context, dense and for each group size, on one and on all threads.
#   cpu_compare.sh [OUT]      CLSA: the program (default ./clsa)     THREADS: default "1 all cores"
#   HOST: a machine file of this host instead of measuring one       MODELS, CONTEXTS: subsets
#   ROUNDS: how often each point is run (default 3)
# A guest's neighbours come and go, and its cores move: what that takes of cores, memory and cache is no property of
# a model. So all points are run in rounds and the tables hold medians; a run counts as steady when `clsa machine
# probe` finds the host as its file says right before and right after. Where a point had steady runs only these
# count, and one without any is run in as many rounds again. A host that the probe does not recognise right after
# it was measured, or at most points of the first round, changed meanwhile: it is measured again, up to three times.
#   LIMIT: seconds after which no further round starts (default: none)
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
rounds=${ROUNDS:-3}
started=$(date +%s)

measure() {
    if [ -n "${HOST:-}" ]; then
        [ "$HOST" = "$out/host.csv" ] || cp "$HOST" "$out/host.csv"
        return
    fi
    tried=0
    while [ $tried -lt 3 ]; do
        tried=$((tried + 1))
        "$clsa" machine measure -o "$out/host.csv" --figures "$out/figures.csv" \
            --gathers "$out/gathers.csv"
        ! as_measured "$cores" || return 0
    done
}

as_measured() { # threads
    "$clsa" machine probe "$out/host.csv" --threads "$1" >/dev/null 2>&1
}

# A run of a point, unless it has had a steady one and this round is only for the others.
one() { # model options context group threads steps round
    if [ "$7" -gt "$rounds" ] && grep -q "^$1 $3 $4 $5\$" "$out/steady.tmp"; then return; fi
    steady=yes
    as_measured "$5" || steady=no
    # shellcheck disable=SC2086
    "$clsa" run --model "$1" $2 --fill --prompt "$3" --group "$4" --threads "$5" --decode "$6" \
        --predict "$out/host.csv" --quiet --format csv >"$out/one.tmp"
    as_measured "$5" || steady=no
    sed -e 1d -e "s/^/$steady,$5,/" "$out/one.tmp" >>"$out/runs.csv"
    points=$((points + 1))
    if [ $steady = yes ]; then
        echo "$1 $3 $4 $5" >>"$out/steady.tmp"
        calm=$((calm + 1))
    fi
}

all_points() { # round
    points=0 calm=0
    for t in $threads; do
        for context in ${CONTEXTS:-8K 64K}; do
            for model in ${MODELS:-clsa-byte-5m clsa-0.6b}; do
                case $model in
                clsa-byte-5m) options='' groups='0 1 4 8' steps=48 ;;
                *) options='--synthetic --kv-dtype bf16' groups='0 1 4 16' steps=16 ;;
                esac
                for group in $groups; do
                    one "$model" "$options" "$context" "$group" "$t" "$steps" "$1"
                done
            done
        done
    done
}

columns=threads,model,batch,context,group,op,count,measured_us,predicted_us,error_percent,share_percent
measured=0
while [ $measured -lt 3 ]; do
    measured=$((measured + 1))
    measure
    : >"$out/runs.csv"
    : >"$out/steady.tmp"
    all_points 1
    if [ $((2 * calm)) -ge $points ] || [ -n "${HOST:-}" ]; then break; fi
done
round=2
while [ $round -le $((2 * rounds)) ] && [ $(($(date +%s) - started)) -lt "${LIMIT:-86400}" ]; do
    all_points $round
    round=$((round + 1))
done
rm -f "$out/one.tmp" "$out/steady.tmp"

# Medians over rounds, in the order of the first.
echo "steady,$columns" >"$out/ops.csv"
awk -F, -v OFS=, '
function median(list, n,   v, i, j, t, m) {
    m = split(list, v, " ")
    for (i = 2; i <= m; i++)
        for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    return m % 2 ? v[(m + 1) / 2] : (v[m / 2] + v[m / 2 + 1]) / 2
}
{
    point = $2 OFS $3 OFS $4 OFS $5 OFS $6
    key = point OFS $7 OFS $8
    if (!(key in predicted)) { order[++n] = key; of[key] = point; step[key] = $7 == "(step)" }
    predicted[key] = $10
    all[key] = all[key] " " $9
    if ($1 == "yes") calm[key] = calm[key] " " $9
}
END {
    for (i = 1; i <= n; i++) {
        key = order[i]
        m = median(key in calm ? calm[key] : all[key])
        if (step[key]) whole[of[key]] = m
        printf "%s,%s,%.3f,%.3f,%.2f,%.2f\n", key in calm ? "yes" : "no", key, m, predicted[key],
            (predicted[key] / m - 1) * 100, m / whole[of[key]] * 100
    }
}' "$out/runs.csv" >>"$out/ops.csv"

awk -F, -v steps="$out/steps.csv" '
function abs(x) { return x < 0 ? -x : x }
NR == 1 { next }
{
    # decode steps count on from the prompt: the context is told apart by its size in K
    k = int($5 / 1024 + 0.5)
    point = $2 "," $3 "," k
}
$7 == "(step)" {
    m[point, $6] = $9
    p[point, $6] = $10
    calm[point, $6] = $1
    if (!(point in seen)) { order[++n] = point; seen[point] = "" }
    seen[point] = seen[point] " " $6
    next
}
$12 > 2 {
    e = abs($10 / $9 - 1) * 100
    ops++
    if (e > 20) { bad++; worst = worst sprintf("  %s threads %s %sK group %s: %s %+.0f %%\n", $2, $3, k, $6, $7, ($10 / $9 - 1) * 100) }
}
END {
    print "steady,threads,model,context_k,group,measured_us,predicted_us,error_percent,speedup_measured,speedup_predicted,speedup_error_percent" >steps
    for (i = 1; i <= n; i++) {
        split(order[i], f, ",")
        c = split(seen[order[i]], g, " ")
        for (j = 1; j <= c; j++) {
            a = m[order[i], g[j]]; b = p[order[i], g[j]]
            sa = m[order[i], g[1]] / a; sb = p[order[i], g[1]] / b
            s = calm[order[i], g[j]]
            printf "%s,%s,%s,%.1f,%.1f,%.1f,%.3f,%.3f,%.1f\n", s, order[i], g[j], a, b, (b / a - 1) * 100, sa, sb, (sb / sa - 1) * 100 >steps
            points++
            if (s == "yes") steady++
            x = abs(b / a - 1) * 100; total++; if (x <= 12) good++; if (x > most) most = x
            if (j > 1) { y = abs(sb / sa - 1) * 100; pairs++; if (y <= 6) close_++; if (y > far) far = y }
        }
    }
    printf "points with steady runs: %d of %d\n", steady, points
    printf "steps: %d of %d within 12 %%, worst %.1f %%\n", good, total, most
    printf "speed-ups: %d of %d within 6 %%, worst %.1f %%\n", close_, pairs, far
    printf "ops above 2 %% of a step: %d of %d within 20 %%\n%s", ops - bad, ops, worst
}' "$out/ops.csv"
if [ -f "$out/gathers.csv" ]; then
    awk -F, 'NR > 1 { n++; e = $8 < 0 ? -$8 : $8; if (e <= 20) good++; sum += e }
        END { printf "gathers: %d of %d within 20 %%, mean %.1f %%\n", good, n, sum / n }' "$out/gathers.csv"
fi
