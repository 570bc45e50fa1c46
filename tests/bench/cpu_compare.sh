#!/bin/sh
# Measured beside predicted on this host: decode steps of the embedded model and of a synthetic 0.6 B
# model, at 8K and 64K tokens of context, dense and for each group size, on one and on all threads.
#   cpu_compare.sh [OUT]      CLSA: the program (default ./clsa)     THREADS: default "1 all cores"
#   MODELS, CONTEXTS: subsets or others     KV: type of K and V (default: f32, bf16 of the synthetic model)
#   ROUNDS: how often each point is run (default 4)
#   NAME: title of the machine file
#   PASSES: how often the host is measured in each round (default 2)
#   LIMIT: seconds after which no further round starts (default: none)
#   MORE: add rounds to those that are in OUT
#   AGAIN: measure nothing, derive and predict again from the figures.csv and ops.csv in OUT
# A guest's neighbours come and go: what they take of cores, memory and cache changes within seconds, and is no
# property of a model. So the host is measured in the same rounds as the points, one machine file comes of all
# rounds, group sizes decode in turns of a few steps, and looks between the turns say how fast the host computes,
# streams and forks, which predictions allow for. Errors are medians over rounds. Random rows are held against the
# machine at footprints that it was not derived from.
# Writes OUT/host.csv (the machine), OUT/figures.csv (what it was derived from), OUT/gathers.csv (random rows),
# OUT/ops.csv (ops of every run), OUT/steps.csv (steps and speed-ups), and prints a summary; OUT/held.csv and
# OUT/runs.csv keep the rest of what was measured. Run it on an idle host.
set -eu
out=${1:-cpu}
clsa=${CLSA:-./clsa}
cores=$(getconf _NPROCESSORS_ONLN)
threads=${THREADS:-"1 $cores"}
[ "$cores" != 1 ] || threads=${THREADS:-1}
mkdir -p "$out"
rounds=${ROUNDS:-4}
started=$(date +%s)
[ -n "${MORE:-}" ] || [ -n "${AGAIN:-}" ] || rm -f "$out"/runs.csv "$out"/figures.csv "$out"/held.csv

# One thread stays on one core, another one each round: its neighbours are its own.
pin() { # threads
    if [ "$1" = 1 ] && taskset -c 0 true 2>/dev/null; then echo "taskset -c $((round % cores))"; fi
}

add() { # file, to one of all rounds
    [ -s "$2" ] || sed 1q "$1" >"$2"
    sed 1d "$1" >>"$2"
}

point() { # model kv_dtype options context groups threads steps
    # shellcheck disable=SC2086
    $(pin "$6") "$clsa" run --model "$1" $3 --kv-dtype "$2" --fill --prompt "$4" --group "$5" --threads "$6" --decode "$7" \
        --looks "$out/looks.csv" --quiet --format csv >"$out/one.tmp"
    # the step, and the ops above a hundredth of it
    awk -F, -v OFS=, -v threads="$6" -v kv="$2" -v round="$round" '
        FNR == 1 { file++; next }
        file == 1 { sub(/^[^,]*,/, ""); found = $0; next }
        $10 > 1 { print threads, kv, $1, $2, $3, $4, $5, $6, round, $7, sprintf("%.2f", $10), found }' \
        "$out/looks.csv" "$out/one.tmp" >>"$out/runs.csv"
}

all_points() {
    for t in $threads; do
        for context in ${CONTEXTS:-8K 64K}; do
            for model in ${MODELS:-clsa-byte-5m clsa-0.6b}; do
                case $model in
                clsa-byte-5m) point "$model" "${KV:-f32}" '' "$context" 0,1,4,8 "$t" 96 ;;
                *) point "$model" "${KV:-bf16}" --synthetic "$context" 0,1,4,16 "$t" 32 ;;
                esac
            done
        done
    done
}

measure_all() {
    round=$(($(awk -F, 'END { print $9 + 0 }' "$out/runs.csv" 2>/dev/null || echo 0) + 1))
    last=$((round + rounds))
    while [ "$round" -lt "$last" ] && [ $(($(date +%s) - started)) -lt "${LIMIT:-86400}" ]; do
        "$clsa" machine measure --rounds "${PASSES:-2}" --figures "$out/one.tmp" --held-out "$out/two.tmp" \
            -o "$out/host.csv"
        add "$out/one.tmp" "$out/figures.csv"
        add "$out/two.tmp" "$out/held.csv"
        all_points
        round=$((round + 1))
    done
}

head='threads,kv_dtype,model,batch,context,group,op,count,round,measured_us,share_percent'
if [ -n "${AGAIN:-}" ]; then
    sed 's/^\(\([^,]*,\)*\)predicted_us.*/\1/; q' "$out/ops.csv" | tr -cd , >"$out/one.tmp"
    cut -d, -f1-"$(wc -c <"$out/one.tmp")" "$out/ops.csv" >"$out/measured.tmp"
else
    measure_all
    { echo "$head$(sed '1!d; s/^threads//; s/,/,probe_/g' "$out/looks.csv")"; cat "$out/runs.csv"; } >"$out/measured.tmp"
fi
"$clsa" machine measure --from "$out/figures.csv" --name "${NAME:-this host}" -o "$out/host.csv"
[ ! -s "$out/held.csv" ] ||
    "$clsa" machine measure --from "$out/held.csv" --against "$out/host.csv" --gathers "$out/gathers.csv"
"$clsa" validate --machine "$out/host.csv" --op cpu_ops --measured "$out/measured.tmp" \
    --predictions "$out/ops.csv" >/dev/null

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
NR == 1 { for (i = 1; i <= NF; i++) if ($i == "predicted_us") p = i; next }
{
    # decode steps count on from the prompt: the context is told apart by its size in K
    point = $1 "," $3 "," int($5 / 1024 + 0.5) "," $6
    key = point SUBSEP $7
    if (!(key in times)) { order[++n] = key; at[key] = point; op[key] = $7 }
    times[key] = times[key] " " $10
    predicted[key] = predicted[key] " " $p
    errors[key] = errors[key] " " ($p / $10 - 1) * 100
    shares[key] = shares[key] " " $11
    if ($7 == "(step)") {
        sharing = $1 SUBSEP $3 SUBSEP $5 SUBSEP $9
        # dense runs come first
        if ($6 == 0) { dense[sharing] = $10; dense_foreseen[sharing] = $p }
        foreseen = dense_foreseen[sharing] / $p
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
}' "$out/ops.csv"
awk -F, 'NR > 1 { n++; e = $8 < 0 ? -$8 : $8; if (e <= 20) good++; sum += e }
    END { if (n) printf "gathers: %d of %d within 20 %%, mean %.1f %%\n", good, n, sum / n }' "$out/gathers.csv"
rm -f "$out"/*.tmp "$out"/looks.csv
