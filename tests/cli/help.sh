#!/bin/sh
# --help, man page and completion come from the same tables and say the same.
. "${CLSA_SRC:-.}/tests/cli/lib.sh"
plan 11
ok "help exits 0" "$CLSA" --help
fails 2 "unknown command 'nonsense'" "an unknown command is a usage error" "$CLSA" nonsense
fails 2 "unknown option '--nonsense'" "an unknown option is a usage error" "$CLSA" plan --nonsense
fails 2 "wants a value" "a missing value is a usage error" "$CLSA" plan --batch
"$CLSA" help --man >"$SCRATCH/clsa.1"
missing=
for option in $("$CLSA" --help | sed -n 's/^  \([a-z]*\( [a-z]*\)\{0,1\}\)  .*/\1/p' | tr ' ' '+'); do
    command=$(printf '%s' "$option" | tr '+' ' ')
    # every option that a command's --help names is in the man page
    for o in $("$CLSA" $command --help | sed -n 's/^  --\([a-z0-9-]*\).*/\1/p'); do
        grep -qF -- "$(printf '%s' "$o" | sed 's/-/\\-/g')" "$SCRATCH/clsa.1" ||
            missing="$missing $command:--$o"
    done
done
equal "the man page names every option of every command" "$missing" ""
"$CLSA" help --completion >"$SCRATCH/completion"
ok "the completion script is bash" bash -n "$SCRATCH/completion"
words=$(bash -c ". '$SCRATCH/completion'; COMP_WORDS=(clsa pre); COMP_CWORD=1; _clsa; echo \"\${COMPREPLY[*]}\"")
equal "completion completes a command" "$words" "predict"
for word in "bench re:replay" "trace inf:info" "bench replay --sec:--seconds"; do
    line=${word%:*}
    words=$(bash -c ". '$SCRATCH/completion'; read -ra COMP_WORDS <<<\"clsa $line\"
        COMP_CWORD=\$((\${#COMP_WORDS[@]} - 1)); cd '$SCRATCH'; _clsa; echo \"\${COMPREPLY[*]}\"")
    equal "completion completes: clsa $line" "$words" "${word#*:}"
done
same="$(cmp "$SCRATCH/clsa.1" "$SRC/man/clsa.1" 2>&1; cmp "$SCRATCH/completion" "$SRC/man/completions/clsa" 2>&1)"
equal "the man page and completion committed are the program's (make bless)" "$same" ""
