# Shared by the command line tests: TAP counting, a scratch folder, and how a failure must look.
#   plan N; ok NAME COMMAND...; fails CODE PATTERN NAME COMMAND...; done
CLSA=${CLSA:-./clsa}
SRC=${CLSA_SRC:-.}
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
N=0
PLAN=0

plan() { PLAN=$1; echo "1..$1"; }
pass() { N=$((N + 1)); echo "ok $N - $1"; }
fail() {
    N=$((N + 1))
    echo "not ok $N - $1"
    [ -n "${2-}" ] && printf '%s\n' "$2" | sed 's/^/# /'
    return 0
}
# ok NAME COMMAND...: exit status 0
ok() {
    name=$1
    shift
    if out=$("$@" 2>&1); then pass "$name"; else fail "$name" "$* -> $?
$out"; fi
}
# fails CODE PATTERN NAME COMMAND...: that exit status, one line on standard error that starts with
# "clsa: " and matches, and nothing new in the scratch folder
fails() {
    code=$1 pattern=$2 name=$3
    shift 3
    before=$(find "$SCRATCH" | sort)
    "$@" >"$SCRATCH.out" 2>"$SCRATCH.err" </dev/null
    rc=$?
    after=$(find "$SCRATCH" | sort)
    lines=$(grep -c . "$SCRATCH.err")
    if [ $rc -ne "$code" ]; then
        fail "$name" "exit $rc, not $code: $(cat "$SCRATCH.err")"
    elif [ "$lines" -ne 1 ] || ! grep -q "^clsa: " "$SCRATCH.err"; then
        fail "$name" "not one line 'clsa: ...': $(cat "$SCRATCH.err")"
    elif ! grep -qE "$pattern" "$SCRATCH.err"; then
        fail "$name" "no /$pattern/ in: $(cat "$SCRATCH.err")"
    elif [ "$before" != "$after" ]; then
        fail "$name" "files were left: $after"
    else
        pass "$name"
    fi
    rm -f "$SCRATCH.out" "$SCRATCH.err"
}
# equal NAME A B
equal() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "'$2' is not '$3'"; fi; }
