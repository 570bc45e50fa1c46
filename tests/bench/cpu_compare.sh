#!/bin/sh
# Measured beside predicted on this host: decode steps of the embedded model and of a synthetic 0.6 B
# model, at 8K and 64K tokens of context, dense and for each group size, on one and on all threads.
#   cpu_compare.sh [OUT]      CLSA: the program (default ./clsa)     THREADS: default "1 all cores"
#   MODELS, CONTEXTS: subsets     ROUNDS: how often each point is run (default 4)
#   NAME: title of the machine file
#   PASSES: how often the host is measured in each round (default 4)
#   LIMIT: seconds after which no further round starts (default: none)
#   AGAIN: measure nothing, derive and predict again from the figures.csv and ops.csv in OUT
# A guest's neighbours come and go: what they take of cores, memory and cache changes within seconds, and is no
# property of a model. So the host is measured in the same rounds as the points, one machine file comes of all
# rounds, every point is the median of its runs, and each run is paired with a look at how fast the host computes
# and streams right before and after, which its prediction allows for. Of the passes over the host the machine file
# comes of every other one, and the random rows that it is held against of the rest.
# Writes OUT/host.csv (the machine), OUT/figures.csv (what it was derived from), OUT/gathers.csv (random rows),
# OUT/ops.csv (every op), OUT/steps.csv (steps and speed-ups), and prints a summary. Run it on an idle host.
set -eu
out=${1:-cpu}
clsa=${CLSA:-./clsa}
cores=$(getconf _NPROCESSORS_ONLN)
threads=${THREADS:-"1 $cores"}
[ "$cores" != 1 ] || threads=${THREADS:-1}
mkdir -p "$out"
rounds=${ROUNDS:-4}
started=$(date +%s)
rm -f "$out"/runs.tmp "$out"/rounds.tmp

look() { # threads
    "$clsa" machine probe --threads "$1" --format csv | sed 1d
}

point() { # model kv_dtype options context group threads steps
    before=$(look "$6")
    # shellcheck disable=SC2086
    "$clsa" run --model "$1" $3 --fill --prompt "$4" --group "$5" --threads "$6" --decode "$7" \
        --quiet --format csv >"$out/one.tmp"
    found=$(printf '%s\n' "$before" "$(look "$6")" |
        awk -F, '{ c += $2 / 2; m += $3 / 2 } END { printf "%.1f,%.2f", c, m }')
    sed -e 1d -e "s/^/$6,$2,$found,/" "$out/one.tmp" >>"$out/runs.tmp"
}

all_points() {
    for t in $threads; do
        for context in ${CONTEXTS:-8K 64K}; do
            for model in ${MODELS:-clsa-byte-5m clsa-0.6b}; do
                case $model in
                clsa-byte-5m) kv=f32 options='' groups='0 1 4 8' steps=48 ;;
                *) kv=bf16 options='--synthetic --kv-dtype bf16' groups='0 1 4 16' steps=16 ;;
                esac
                for group in $groups; do
                    point "$model" "$kv" "$options" "$context" "$group" "$t" "$steps"
                done
            done
        done
    done
}

measure_all() {
round=1
while [ "$round" -le "$rounds" ] && [ $(($(date +%s) - started)) -lt "${LIMIT:-86400}" ]; do
    "$clsa" machine measure --rounds "${PASSES:-4}" --figures "$out/one.tmp" -o "$out/host.csv"
    if [ "$round" = 1 ]; then cat "$out/one.tmp"; else sed 1d "$out/one.tmp"; fi >>"$out/rounds.tmp"
    all_points
    round=$((round + 1))
done

# Every other pass, and the rest; what the system says stands in both.
awk -F, -v first="$out/figures.csv" -v second="$out/second.tmp" '
NR == 1 { print >first; print >second; next }
{
    key = $1 FS $2 FS $3 FS $4 FS $5
    if ($2 == 0) { print >first; print >second }
    else print >(seen[key]++ % 2 ? second : first)
}' "$out/rounds.tmp"
"$clsa" machine measure --from "$out/figures.csv" --name "${NAME:-this host}" -o "$out/host.csv"
"$clsa" machine measure --from "$out/second.tmp" --against "$out/host.csv" --gathers "$out/gathers.csv"

# Medians over rounds, in the order of the first: of the times, and of what the looks at the host found.
awk -F, -v OFS=, '
function middle(list,   v, i, j, t) {
    size = split(list, v, " ")
    for (i = 2; i <= size; i++)
        for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    least = v[1]
    most = v[size]
    return size % 2 ? v[(size + 1) / 2] : (v[size / 2] + v[size / 2 + 1]) / 2
}
{
    point = $1 OFS $2 OFS $5 OFS $6 OFS $7 OFS $8
    key = point OFS $9 OFS $10
    if (!(key in all)) { order[++n] = key; of[key] = point; step[key] = $9 == "(step)" }
    all[key] = all[key] " " $11
    if (step[key]) {
        sharing = $1 OFS $2 OFS $5 OFS $6 OFS $7
        if ($8 == 0) dense[sharing] = $11
        if (sharing in dense) gain[key] = gain[key] " " dense[sharing] / $11
    }
    gflops[key] = gflops[key] " " $3
    gbps[key] = gbps[key] " " $4
}
END {
    print "threads,kv_dtype,model,batch,context,group,op,count,low_us,high_us,measured_us,share_percent,speedup,probe_gflops,probe_gbps"
    for (i = 1; i <= n; i++) {
        key = order[i]
        found = sprintf("%.1f,%.2f", middle(gflops[key]), middle(gbps[key]))
        m = middle(all[key])
        if (step[key]) whole[of[key]] = m
        printf "%s,%.3f,%.3f,%.3f,%.2f", key, least, most, m, m / whole[of[key]] * 100
        printf ",%s,%s\n", key in gain ? sprintf("%.4f", middle(gain[key])) : "", found
    }
}' "$out/runs.tmp" >"$out/measured.tmp"
}

if [ -n "${AGAIN:-}" ]; then
    "$clsa" machine measure --from "$out/figures.csv" --name "${NAME:-this host}" -o "$out/host.csv"
    cut -d, -f1-15 "$out/ops.csv" >"$out/measured.tmp"
else
    measure_all
fi
"$clsa" validate --machine "$out/host.csv" --op cpu_ops --measured "$out/measured.tmp" \
    --predictions "$out/ops.csv" >/dev/null
# What sharing gains is a ratio of runs seconds apart, whatever the host was like then: predicted for the host as
# its file has it.
cut -d, -f1-13 "$out/measured.tmp" >"$out/plain.tmp"
"$clsa" validate --machine "$out/host.csv" --op cpu_ops --measured "$out/plain.tmp" \
    --predictions "$out/gains.tmp" >/dev/null

awk -F, -v steps="$out/steps.csv" '
function abs(x) { return x < 0 ? -x : x }
FNR == 1 { file++; next }
{
    # decode steps count on from the prompt: the context is told apart by its size in K
    k = int($5 / 1024 + 0.5)
    point = $1 "," $3 "," k
}
file == 1 { if ($7 == "(step)") plain[point, $6] = $14; next }
$7 == "(step)" {
    m[point, $6] = $11
    gain[point, $6] = $13
    p[point, $6] = $16
    spread[point, $6] = $9 "," $10
    if (!(point in seen)) { order[++n] = point; seen[point] = "" }
    seen[point] = seen[point] " " $6
    next
}
$12 > 2 {
    e = abs($16 / $11 - 1) * 100
    ops++
    if (e > 20) { bad++; worst = worst sprintf("  %s threads %s %sK group %s: %s %+.0f %%\n", $1, $3, k, $6, $7, ($16 / $11 - 1) * 100) }
}
END {
    print "threads,model,context_k,group,low_us,high_us,measured_us,predicted_us,error_percent,speedup_measured,speedup_predicted,speedup_error_percent" >steps
    for (i = 1; i <= n; i++) {
        c = split(seen[order[i]], g, " ")
        for (j = 1; j <= c; j++) {
            a = m[order[i], g[j]]; b = p[order[i], g[j]]
            sa = gain[order[i], g[j]]; sb = plain[order[i], g[1]] / plain[order[i], g[j]]
            printf "%s,%s,%s,%.1f,%.1f,%.1f,%.3f,%.3f,%.1f\n", order[i], g[j], spread[order[i], g[j]], a, b, (b / a - 1) * 100, sa, sb, (sb / sa - 1) * 100 >steps
            x = abs(b / a - 1) * 100; total++; if (x <= 12) good++; if (x <= 20) fair++; if (x > most) most = x
            if (j > 1) { y = abs(sb / sa - 1) * 100; pairs++; if (y <= 6) close_++; if (y <= 20) near++; if (y > far) far = y }
        }
    }
    printf "steps: %d of %d within 12 %%, %d within 20 %%, worst %.1f %%\n", good, total, fair, most
    printf "speed-ups: %d of %d within 6 %%, %d within 20 %%, worst %.1f %%\n", close_, pairs, near, far
    printf "ops above 2 %% of a step: %d of %d within 20 %%\n%s", ops - bad, ops, worst
}' "$out/gains.tmp" "$out/ops.csv"
awk -F, 'NR > 1 { n++; e = $8 < 0 ? -$8 : $8; if (e <= 20) good++; sum += e }
    END { printf "gathers: %d of %d within 20 %%, mean %.1f %%\n", good, n, sum / n }' "$out/gathers.csv"
rm -f "$out"/*.tmp
