#!/bin/sh
# Group sizes that decode in turns: each says what it would say alone, all are timed, and the looks at the host
# between the turns are written.
. "$(dirname "$0")/lib.sh"
cd "$SCRATCH" || exit 1
head -c 300 "$SRC/COPYING" >text
DECODE=20 # turns of eight, eight and four steps, before which steps are made that nobody hears of
plan 9

run() { "$CLSA" run --text text --prompt 256 --decode $DECODE --threads 2 "$@"; }
said() { sed -n "s/^$1: //p" "$2"; }

ok "four group sizes in turns" sh -c "$(cat <<END
'$CLSA' run --text text --prompt 256 --decode $DECODE --threads 2 --group 0,1,4,8 --db a.db --looks looks.csv \
    --format csv >all.csv 2>all.txt
END
)"
for g in 0 1 4 8; do
    run --group $g >/dev/null 2>one.txt
    alone=$(said continuation one.txt)
    if [ -n "$alone" ] && [ "$alone" = "$(said "group $g" all.txt)" ]; then
        pass "group $g says what it says alone"
    else
        fail "group $g says what it says alone" "$alone
$(cat all.txt)"
    fi
done
timed=$("$CLSA" query a.db --format csv \
    "SELECT group_size, samples FROM measured WHERE op = '' ORDER BY group_size" | sed 1d | tr '\n' ' ')
if [ "$timed" = "0,20 1,20 4,20 8,20 " ]; then pass "each step counts once"; else fail "each step counts once" "$timed"; fi
if awk -F, 'NR == 1 { good = /^threads,gflops,stream_gbps,fork_join_us,/ && NF == 12 }
    NR == 2 { for (i = 1; i <= NF; i++) good = good && $i > 0 }
    END { exit !(good && NR == 2) }' looks.csv; then
    pass "what looks found"
else
    fail "what looks found" "$(cat looks.csv)"
fi
fails 2 'trace' "a trace of several group sizes" "$CLSA" run --text text --group 0,4 --trace t.clsat
fails 1 'absent' "looks at a place that is none" "$CLSA" run --text text --decode 2 --quiet --looks absent/looks.csv
