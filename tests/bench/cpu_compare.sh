#!/bin/sh
# Measured beside predicted on this host: decode steps of the embedded model and of a synthetic 0.6 B
# model, at 8K and 64K tokens of context, dense and for each group size, on one and on all threads.
#   cpu_compare.sh [OUT]      CLSA: the program (default ./clsa)     THREADS: default "1 all cores"
#   MODELS, CONTEXTS: subsets     ROUNDS: how often each point is run (default 4)
#   NAME: title of the machine file
#   PASSES: how often the host is measured in each round (default 4)
#   LIMIT: seconds after which no further round starts (default: none)
#   MORE: add rounds to those that are in OUT
#   AGAIN: measure nothing, derive and predict again from the figures.csv and ops.csv in OUT
# A guest's neighbours come and go: what they take of cores, memory and cache changes within seconds, and is no
# property of a model. So the host is measured in the same rounds as the points, one machine file comes of all
# rounds, and each run is paired with a look at how fast the host computes, streams and forks right before and after,
# which its prediction allows for. A point's error is the median over its pairs, that of what sharing gains the
# median over rounds of a ratio of two pairs. Of the passes over the host the machine file comes of every other one,
# and the random rows that it is held against of the rest.
# Writes OUT/host.csv (the machine), OUT/figures.csv (what it was derived from), OUT/gathers.csv (random rows),
# OUT/ops.csv (ops of every run), OUT/steps.csv (steps and speed-ups), and prints a summary; OUT/rounds.csv and OUT/runs.csv
# keep everything that was measured. Run it on an idle host.
set -eu
out=${1:-cpu}
clsa=${CLSA:-./clsa}
cores=$(getconf _NPROCESSORS_ONLN)
threads=${THREADS:-"1 $cores"}
[ "$cores" != 1 ] || threads=${THREADS:-1}
mkdir -p "$out"
rounds=${ROUNDS:-4}
started=$(date +%s)
[ -n "${MORE:-}" ] || [ -n "${AGAIN:-}" ] || rm -f "$out"/runs.csv "$out"/rounds.csv

# One thread stays on one core, another one each round: its neighbours are its own.
pin() { # threads
    if [ "$1" = 1 ] && taskset -c 0 true 2>/dev/null; then echo "taskset -c $((round % cores))"; fi
}

look() { # threads
    $(pin "$1") "$clsa" machine probe --threads "$1" --format csv | sed 1d
}

point() { # model kv_dtype options context group threads steps
    before=$(look "$6")
    # shellcheck disable=SC2086
    $(pin "$6") "$clsa" run --model "$1" $3 --fill --prompt "$4" --group "$5" --threads "$6" --decode "$7" \
        --quiet --format csv >"$out/one.tmp"
    found=$(printf '%s\n' "$before" "$(look "$6")" |
        awk -F, '{ c += $2 / 2; m += $3 / 2; f += $4 / 2 } END { printf "%.1f,%.2f,%.3f", c, m, f }')
    # the step, and the ops above a hundredth of it
    awk -F, -v OFS=, -v threads="$6" -v kv="$2" -v round="$round" -v found="$found" 'NR > 1 && $10 > 1 {
        print threads, kv, $1, $2, $3, $4, $5, $6, round, $7, sprintf("%.2f", $10), found }' \
        "$out/one.tmp" >>"$out/runs.csv"
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
round=$(($(awk -F, 'END { print $9 + 0 }' "$out/runs.csv" 2>/dev/null || echo 0) + 1))
last=$((round + rounds))
while [ "$round" -lt "$last" ] && [ $(($(date +%s) - started)) -lt "${LIMIT:-86400}" ]; do
    "$clsa" machine measure --rounds "${PASSES:-4}" --figures "$out/one.tmp" -o "$out/host.csv"
    [ -s "$out/rounds.csv" ] || sed 1q "$out/one.tmp" >"$out/rounds.csv"
    sed 1d "$out/one.tmp" >>"$out/rounds.csv"
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
}' "$out/rounds.csv"
"$clsa" machine measure --from "$out/figures.csv" --name "${NAME:-this host}" -o "$out/host.csv"
"$clsa" machine measure --from "$out/second.tmp" --against "$out/host.csv" --gathers "$out/gathers.csv"
}

head='threads,kv_dtype,model,batch,context,group,op,count,round,measured_us,share_percent,probe_gflops,probe_gbps,probe_fork_us'
if [ -n "${AGAIN:-}" ]; then
    "$clsa" machine measure --from "$out/figures.csv" --name "${NAME:-this host}" -o "$out/host.csv"
    cut -d, -f1-14 "$out/ops.csv" >"$out/measured.tmp"
else
    measure_all
    { echo "$head"; cat "$out/runs.csv"; } >"$out/measured.tmp"
fi
"$clsa" validate --machine "$out/host.csv" --op cpu_ops --measured "$out/measured.tmp" \
    --predictions "$out/ops.csv" >/dev/null
# What sharing gains is a ratio of runs seconds apart: predicted for the host as all looks beside them found it.
awk -F, -v OFS=, '
NR == 1 { print; next }
$7 == "(step)" {
    # dense runs come first
    if ($6 == 0) set++
    line[++n] = $0
    of[n] = set
    for (i = 12; i <= 14; i++) sum[set, i] += $i
    size[set]++
}
END {
    for (l = 1; l <= n; l++) {
        $0 = line[l]
        for (i = 12; i <= 14; i++) $i = sprintf("%.3f", sum[of[l], i] / size[of[l]])
        print
    }
}' "$out/measured.tmp" >"$out/near.tmp"
"$clsa" validate --machine "$out/host.csv" --op cpu_ops --measured "$out/near.tmp" \
    --predictions "$out/gains.tmp" >/dev/null

awk -F, -v steps="$out/steps.csv" '
function abs(x) { return x < 0 ? -x : x }
function middle(list,   v, i, j, t, size) {
    size = split(list, v, " ")
    for (i = 2; i <= size; i++)
        for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    least = v[1]
    most = v[size]
    return size % 2 ? v[(size + 1) / 2] : (v[size / 2] + v[size / 2 + 1]) / 2
}
FNR == 1 { file++; next }
file == 1 { around[$1, $3, $5, $6, $9] = $15; next }
{
    # decode steps count on from the prompt: the context is told apart by its size in K
    point = $1 "," $3 "," int($5 / 1024 + 0.5) "," $6
    key = point SUBSEP $7
    if (!(key in times)) { order[++n] = key; at[key] = point; op[key] = $7 }
    times[key] = times[key] " " $10
    predicted[key] = predicted[key] " " $15
    errors[key] = errors[key] " " ($15 / $10 - 1) * 100
    shares[key] = shares[key] " " $11
    if ($7 == "(step)") {
        sharing = $1 SUBSEP $3 SUBSEP $5 SUBSEP $9
        if ($6 == 0) dense[sharing] = $10
        foreseen = around[$1, $3, $5, 0, $9] / around[$1, $3, $5, $6, $9]
        gain[key] = gain[key] " " dense[sharing] / $10
        gain_foreseen[key] = gain_foreseen[key] " " foreseen
        gain_error[key] = gain_error[key] " " (foreseen / (dense[sharing] / $10) - 1) * 100
    }
}
END {
    print "threads,model,context_k,group,low_us,high_us,measured_us,predicted_us,error_percent,speedup_measured,speedup_predicted,speedup_error_percent" >steps
    for (i = 1; i <= n; i++) {
        k = order[i]
        e = middle(errors[k])
        if (op[k] != "(step)") {
            if (middle(shares[k]) <= 2) continue
            ops++
            if (abs(e) > 20) { bad++; worst = worst sprintf("  %s: %s %+.0f %%\n", at[k], op[k], e) }
            continue
        }
        m = middle(times[k])
        low = least
        high = most
        y = middle(gain_error[k])
        printf "%s,%.1f,%.1f,%.1f,%.1f,%.1f,%.3f,%.3f,%.1f\n", at[k], low, high, m, middle(predicted[k]), e, middle(gain[k]), middle(gain_foreseen[k]), y >steps
        total++; x = abs(e); if (x <= 12) good++; if (x <= 20) fair++; if (x > most_off) most_off = x
        if (at[k] !~ /,0$/) { pairs++; y = abs(y); if (y <= 6) close_++; if (y <= 20) near++; if (y > far) far = y }
    }
    printf "steps: %d of %d within 12 %%, %d within 20 %%, worst %.1f %%\n", good, total, fair, most_off
    printf "speed-ups: %d of %d within 6 %%, %d within 20 %%, worst %.1f %%\n", close_, pairs, near, far
    printf "ops above 2 %% of a step: %d of %d within 20 %%\n%s", ops - bad, ops, worst
}' "$out/gains.tmp" "$out/ops.csv"
awk -F, 'NR > 1 { n++; e = $8 < 0 ? -$8 : $8; if (e <= 20) good++; sum += e }
    END { if (n) printf "gathers: %d of %d within 20 %%, mean %.1f %%\n", good, n, sum / n }' "$out/gathers.csv"
rm -f "$out"/*.tmp
