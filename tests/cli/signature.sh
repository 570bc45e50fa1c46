#!/bin/sh
# The integer workload ends in the number committed beside this file, whatever compiler, optimisation
# or sanitizer built it; `make bless` writes a new one when the model is meant to change.
. "${CLSA_SRC:-.}/tests/cli/lib.sh"
plan 4
file=$SRC/tests/cli/signature.txt
wanted=$(cat "$file")
equal "clsa bench ends in the signature" "$("$CLSA" bench 2>/dev/null)" "$wanted"
equal "threads do not change it" "$(OMP_NUM_THREADS=3 "$CLSA" bench 2>/dev/null)" "$wanted"
equal "another seed ends elsewhere" \
    "$([ "$("$CLSA" bench --seed 2 2>/dev/null)" = "$wanted" ] && echo same)" ""
if [ "$(git -C "$SRC" rev-parse --is-shallow-repository 2>/dev/null)" = false ] &&
    git -C "$SRC" ls-files --error-unmatch "$file" >/dev/null 2>&1 &&
    git -C "$SRC" diff --quiet HEAD -- "$file"; then
    said=$(git -C "$SRC" log -1 --format=%B -- "$file" | sed -n 's/^Signature: //p')
    equal "the commit that changed it says so" "$said" "$wanted"
else
    pass "the commit that changed it says so # SKIP no history here"
fi
