#!/bin/sh
# The tree speaks of itself alone: no paths of a build machine, no marks of unfinished work, no file
# that has outgrown one job.
cd "${CLSA_SRC:-.}" || exit 99
files=$(find . \( -name .git -o -name build -o -name build-aux -o -name autom4te.cache \) -prune -o \
    -type f \( -name '*.[ch]' -o -name '*.md' -o -name '*.mk' -o -name '*.sql' -o -name '*.csv' \
    -o -name '*.sh' -o -name '*.cu' -o -name '*.py' \) ! -path './tests/lint/text.sh' -print)
echo 1..3
report() {
    if [ -z "$3" ]; then echo "ok $1 - $2"; else
        echo "not ok $1 - $2"
        printf '%s\n' "$3" | head -20 | sed 's/^/# /'
    fi
}
report 1 "no path of a machine it was written on" \
    "$(printf '%s\n' "$files" | xargs grep -nE '(/home/[a-z]|/work/|/tmp/[a-z]+_jobs|\.\./shared)')"
report 2 "no marks of unfinished work" \
    "$(printf '%s\n' "$files" | grep -E '\.([chm][ku]?|sql|sh)$' | xargs grep -nwE 'TODO|FIXME|XXX|HACK')"
report 3 "no source file over 700 lines" \
    "$(printf '%s\n' "$files" | grep -E '\.[ch]$' | xargs wc -l | awk '$2 != "total" && $1 > 700')"
