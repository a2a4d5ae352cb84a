#!/bin/sh
# Pins requirements/*.txt from requirements/*.in, so that every group installs with every other.
#
# All groups are resolved at once; that one result constrains each group's own file.
# Needs uv (any recent one).  Only names, versions and markers are written: no index, no path.
# To take newer releases, delete requirements/*.txt first.
set -eu
cd "$(dirname "$0")/.."

uv=${UV:-uv}
groups="core envoy console notebooks otlp dev"
all=$(mktemp)
trap 'rm -f "$all"' EXIT INT TERM

# The pins in force are kept where the .in files still allow them.
cat requirements/*.txt 2>/dev/null | grep -v '^ *#' | sort -u >"$all" || true

compile() {  # compile OUTPUT ARGUMENT...
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.12 --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --output-file "$output" "$@" >/dev/null
}

# shellcheck disable=SC2046,SC2086
compile "$all" $(for group in $groups; do echo "requirements/$group.in"; done)
for group in $groups; do
    new="requirements/$group.txt.new"
    rm -f "$new"
    compile "$new" --constraints "$all" "requirements/$group.in"
    {
        echo "# Made by scripts/lock.sh from $group.in; resolves together with every other group."
        cat "$new"
    } >"requirements/$group.txt"
    rm -f "$new"
    echo "requirements/$group.txt: $(grep -c '==' "requirements/$group.txt") pins"
done
