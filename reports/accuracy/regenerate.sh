#!/bin/sh
# Predicts every measured table and writes reports/accuracy/accuracy.csv and README.md: how far off the
# model is, by table and machine, with a plain roofline's error beside it. "judged" rows took no part in
# fitting (four of five, chosen by seed 1); "fitted" rows did.
#   reports/accuracy/regenerate.sh [CLSA] [OUT_DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
clsa=${1:-$top/build/clsa}
out=${2:-$here}
measured=$top/hwmodels/measured
csv=$out/accuracy.csv.tmp
: >"$csv"
for file in "$measured"/*.csv; do
    name=$(basename "$file" .csv)
    case $name in
    h100_own_micro | *_cpu_*) continue ;;
    h100_*) machine=h100-sxm ;;
    a100_*) machine=a100-sxm-80g ;;
    *) continue ;;
    esac
    fit=20
    [ $machine = h100-sxm ] || fit=0 # nothing was fitted on other machines
    "$clsa" validate --machine $machine --op "${name#*_}" --measured "$file" --fit-percent $fit \
        --seed 1 --format csv >"$out/one.tmp"
    [ -s "$csv" ] || head -n 1 "$out/one.tmp" >"$csv"
    sed 1d "$out/one.tmp" >>"$csv"
done
rm -f "$out/one.tmp"
mv "$csv" "$out/accuracy.csv"
# The decode steps of CLSA-4B row by row, and what sharing gains in a layer of GLM-5.2.
"$clsa" validate --machine h100-sxm --op own_steps --measured "$measured/h100_own_steps.csv" \
    --predictions "$out/own_steps.csv" >/dev/null
"$clsa" validate --machine h100-sxm --op dsa_layer_decode \
    --measured "$measured/h100_dsa_layer_decode.csv" --predictions "$out/dsa.tmp" >/dev/null
ratio=$(awk -f "$here/ratio.awk" "$out/dsa.tmp")
rm -f "$out/dsa.tmp"
{
    echo "# Accuracy"
    echo
    echo "Mean absolute error of predicted against measured times, in percent, by table. Rows marked"
    echo "*judged* took no part in fitting; *fitted* rows did (one of five, chosen by seed); *all* is"
    echo "both. The A100 was never fitted: it uses the H100's constants with its own machine file. The"
    echo "last column is what a plain roofline (bytes over bandwidth, FLOP over peak) gets."
    echo "Made by \`reports/accuracy/regenerate.sh\`; the full table is accuracy.csv."
    echo
    echo "| table | machine | rows | number | mean | median | p90 | bias | rank | in 80 % interval | roofline |"
    echo "|---|---|---|---|---|---|---|---|---|---|---|"
    sed 1d "$out/accuracy.csv" | tr -d '"' |
        awk -F, '{ printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
                   $1, $2, $3, $4, $5, $6, $7, $9, $10, $11, $12 }'
    echo
    echo "What sharing an index gains in one layer (GLM-5 full against GLM-5.2 shared, equal shape, batch"
    echo "up to 256): $ratio."
    echo "Decode steps of CLSA-4B, row by row: own_steps.csv."
    echo
    echo "## Fits"
    echo
    echo "\`refit.sh\` fits all constants and intervals again, on one row of five; fits.csv lists them with the"
    echo "errors of the rows fitted, of rows left out in turn (cross-validated) and of the rows that no fit saw."
    echo "Intervals are set so that of the fitted rows a tenth lies on either side, and are judged on the others."
    echo
    echo "Beyond what was measured (\`refit.sh --frontier\`): constants fitted on at most 16 sequences of 16K keys,"
    echo "a fifth of those rows, judged on all rows beyond. Mean absolute error, percent:"
    echo
    echo "| table | rows within | error | rows beyond | error | limit |"
    echo "|---|---|---|---|---|---|"
    sed 1d "$here/frontier.csv" |
        awk -F, '{ printf "| %s | %s | %s | %s | %s | %s |\n", $1, $3, $4, $5, $6, $7 }'
} >"$out/README.md.tmp"
mv "$out/README.md.tmp" "$out/README.md"
