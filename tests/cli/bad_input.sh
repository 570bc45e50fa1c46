#!/bin/sh
# Damaged and hostile input: one message that names file and place, exit 1 or 2, nothing half written.
. "${CLSA_SRC:-.}/tests/cli/lib.sh"
plan 63
M=$SRC/models
cd "$SCRATCH" || exit 99
head -c 600 "$SRC/COPYING" >text
cp "$M/clsa-byte-5m.json" m.json
flip() { # flip FILE OFFSET: the byte there becomes another
    old=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "$(printf '\\%03o' $((old ^ 0x41)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
run() { "$CLSA" run --model m.json --text text --decode 1 "$@"; }

# --- model files
fails 1 'm.json' "a config without weights cannot run" run
: >m.safetensors
fails 1 'm.safetensors' "an empty model file" run
head -c 5000 "$M/clsa-byte-5m.safetensors" >m.safetensors
fails 1 'm.safetensors' "a model file cut in its header" run
head -c 5000000 "$M/clsa-byte-5m.safetensors" >m.safetensors
fails 1 'm.safetensors.*' "a model file cut in its data" run
cp "$M/clsa-byte-5m.safetensors" m.safetensors
flip m.safetensors 3
fails 1 'm.safetensors' "a header length beyond the file" run
cp "$M/clsa-byte-5m.safetensors" m.safetensors
flip m.safetensors 8
fails 1 'm.safetensors' "a header that is not JSON" run
sed 's/"kv_norm"/"kv_norX"/' "$M/clsa-byte-5m.safetensors" >m.safetensors
fails 1 'kv_norm' "a missing tensor is named" run
sed 's/"embed.weight":{"dtype":"BF16","shape":\[256,192\]/"embed.weight":{"dtype":"BF16","shape":[192,256]/' \
    "$M/clsa-byte-5m.safetensors" >m.safetensors
fails 1 'embed.weight' "a wrong shape is named" run
cp "$M/clsa-byte-5m.safetensors" m.safetensors
sed 's/"hidden_size": *192/"hidden_size": 191/' "$M/clsa-byte-5m.json" >m.json
fails 1 'm.json|embed.weight|m.safetensors' "geometry and weights that disagree" run
sed 's/"hidden_size"/"hidden_sizes"/' "$M/clsa-byte-5m.json" >m.json
fails 1 'hidden_sizes' "an unknown field is named" "$CLSA" plan --model m.json
sed 's/"num_attention_heads": *6/"num_attention_heads": 99999999999999/' "$M/clsa-byte-5m.json" >m.json
fails 1 'num_attention_heads' "a hostile size is named" "$CLSA" plan --model m.json
head -c 100 "$M/clsa-byte-5m.json" >m.json
fails 1 'm.json:[0-9]+' "a config cut short names its line" "$CLSA" plan --model m.json
fails 1 'nowhere' "a model that does not exist" "$CLSA" plan --model nowhere
fails 1 'is a directory|not a regular|config.json' "a folder without a model" "$CLSA" plan --model "$SCRATCH"
rm -f m.json m.safetensors

printf '{"model_type": "clsa", "name": "\377\376"}' >m.json
fails 1 'm.json:1' "a config that is not UTF-8" "$CLSA" plan --model m.json
head -c 100000 /dev/zero | tr '\0' '[' >m.json
fails 1 'm.json:1' "a config of brackets alone" "$CLSA" plan --model m.json
: >m.json
fails 1 'm.json' "an empty config" "$CLSA" plan --model m.json
rm -f m.json

# --- prompts, tasks, golden values
B="$M/clsa-byte-5m.json"
: >empty
fails 1 'empty: no text' "an empty prompt" "$CLSA" run --text empty
fails 1 'absent' "a prompt that does not exist" "$CLSA" run --text absent
printf '5 7\n9 x\n' >numbers
fails 1 'numbers:2' "a token that is no number" "$CLSA" run --tokens numbers
echo '5 256' >numbers
fails 1 'numbers.*256' "a token beyond the vocabulary" "$CLSA" run --tokens numbers
head -c 3000 "$M/tasks.safetensors" >cut.safetensors
fails 1 'cut.safetensors' "a task set cut short" "$CLSA" eval --tasks ./cut.safetensors
head -c 90000 "$SRC/tests/golden/golden.safetensors" >cut.safetensors
fails 1 'cut.safetensors' "golden values cut short" "$CLSA" verify --model "$B" --golden cut.safetensors
fails 1 'tasks.safetensors' "golden values that are none" \
    "$CLSA" verify --model "$B" --golden "$M/tasks.safetensors"

# --- contexts and groups
fails 1 'memory|bytes' "a context longer than memory" \
    "$CLSA" run --model clsa-4b --synthetic --prompt 64M --decode 1
fails 2 'group' "a group that does not fit" "$CLSA" run --text text --group 3
fails 2 'context' "a context of nonsense" "$CLSA" predict --model clsa-4b --machine h100-sxm --context 8Q
fails 1 '2\^6|range|beyond' "a step larger than 64-bit sizes" \
    "$CLSA" plan --model clsa-4b --batch 1048576 --context 1099511627776

# --- machines
fails 1 'h101' "an unknown machine" "$CLSA" predict --model clsa-4b --machine h101 --fast
cp "$SRC/hwmodels/machines/toy-gpu.csv" toy.csv
sed 's/^sm.clock,\([0-9.]*\),[A-Za-z]*/sm.clock,\1,MiB/' toy.csv >unit.csv
fails 1 'unit.csv:[0-9]+' "a wrong unit names file and line" "$CLSA" machine check unit.csv
echo 'sm.colour,3,-,nobody' | cat toy.csv - >unknown.csv
fails 1 'unknown.csv:[0-9]+.*sm.colour' "an unknown parameter" "$CLSA" machine check unknown.csv
grep -v '^l2.size' toy.csv >missing.csv
fails 1 'missing.csv.*l2.size' "a missing parameter" "$CLSA" machine check missing.csv
sed 's/^l2.ways,[0-9]*/l2.ways,-4/' toy.csv >impossible.csv
fails 1 'impossible.csv:[0-9]+.*l2.ways' "an impossible value" "$CLSA" machine check impossible.csv
printf 'parameter,value,unit,source\nbase,loop,-,-\n' >loop.csv
sed 's/base,loop/base,.\/loop.csv/' loop.csv >loop2.csv && mv loop2.csv loop.csv
fails 1 'loop.csv' "a machine that is its own base" "$CLSA" machine check ./loop.csv
fails 2 'l2.size' "an override with a wrong unit" \
    "$CLSA" predict --model clsa-4b --machine toy-gpu --set l2.size=3GHz --fast

fails 1 'directory' "a folder as a machine" "$CLSA" machine check "$SCRATCH"
head -c 100000 /dev/urandom >noise.csv
fails 1 'noise.csv:[0-9]+' "noise as a machine" "$CLSA" machine check noise.csv

# --- implementations and measurements
P="$CLSA predict --fast --model clsa-4b --machine h100-sxm"
fails 1 'nobody' "an unknown implementation" $P --implementation nobody
printf 'op,parameter,value,unit,source\n*,launch.colour,1,-,t\n' >i.csv
fails 1 'i.csv:2.*launch.colour' "an unknown constant" $P --implementation ./i.csv
printf 'op,parameter,value,unit,source\nfrobnicate,tile.m,64,-,t\n' >i.csv
fails 1 'i.csv:2.*frobnicate' "an unknown op" $P --implementation ./i.csv
printf 'op,parameter,value,unit\n*,tile.m,64,-\n' >i.csv
fails 1 'i.csv.*source' "a missing column" $P --implementation ./i.csv
V="$CLSA validate --machine h100-sxm --op topk --measured"
printf 'score_mode,batch,new_tokens,past\nflat,1,1,2048\n' >r.csv
fails 1 'r.csv.*latency_us' "measurements without times" $V r.csv
printf 'score_mode,batch,new_tokens,past,latency_us\nflat,1,1,2048,quick\n' >r.csv
fails 1 'r.csv:2.*latency_us' "a time that is no number" $V r.csv
printf 'score_mode,batch,new_tokens,past,latency_us\nflat,1,1,2048,5,6\n' >r.csv
fails 1 'r.csv:2' "more cells than columns" $V r.csv
fails 2 'nonsense' "an unknown table" \
    "$CLSA" validate --machine h100-sxm --op nonsense --measured r.csv

# --- traces
"$CLSA" trace generate t.clsat --model clsa-byte-5m --context 512 --decode 2 || exit 99
head -c 2000 t.clsat >cut.clsat
fails 1 'cut.clsat: offset [0-9]+' "a trace cut short" "$CLSA" trace info cut.clsat
cp t.clsat flipped.clsat
flip flipped.clsat 1500
fails 1 'flipped.clsat: offset [0-9]+' "a trace with a flipped bit" "$CLSA" trace info flipped.clsat
fails 1 'text' "a file that is no trace" "$CLSA" trace info text
fails 1 'No space|write failed' "a full disk while a trace is written" \
    "$CLSA" trace generate /dev/full --model clsa-byte-5m --context 64
fails 1 'absent' "a trace written to a folder that is not there" \
    "$CLSA" trace generate absent/t.clsat --model clsa-byte-5m --context 64
fails 1 'cut.clsat: offset [0-9]+' "a replay of a trace cut short stores nothing" \
    "$CLSA" replay cut.clsat --machine toy-gpu --db none.db
fails 1 'text' "a capture that is none" \
    "$CLSA" trace import none.clsat text --from sglang --layers 2 --top-k 8

# --- stores
"$CLSA" predict --fast --model clsa-4b --machine h100-sxm --group 0,1 --db s.db >/dev/null || exit 99
head -c 3000 s.db >cut.db
fails 1 'cut.db' "a store cut short" "$CLSA" query cut.db runs
cp s.db flipped.db
flip flipped.db 20
fails 1 'flipped.db' "a store with a flipped bit in its header" "$CLSA" query flipped.db runs
fails 1 'text' "a file that is no store" "$CLSA" predict --fast --model clsa-4b --machine h100-sxm --db text
fails 2 's.db|DROP|read' "a query that would change the store" "$CLSA" query s.db 'DROP TABLE run'
fails 1 'absent.db' "a store that does not exist is not made by a question" \
    "$CLSA" query absent.db runs
fails 1 'text' "a report of a file that is no store" "$CLSA" report text -o none.html
fails 1 'absent' "a report to a folder that is not there" "$CLSA" report s.db -o absent/r.html
fails 1 'cut.db' "a merge with a store cut short makes nothing" "$CLSA" merge none.db s.db cut.db
fails 1 '/dev/full: (No space|write failed)' "a full disk while a report is written" "$CLSA" report s.db -o /dev/full
fails 1 'No space|write failed' "a full disk behind standard output" \
    sh -c '"$0" plan --model clsa-4b >/dev/full' "$CLSA"
fails 1 'No space|write failed' "a full disk behind an answer" \
    sh -c '"$0" query s.db runs >/dev/full' "$CLSA"
