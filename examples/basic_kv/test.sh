#!/usr/bin/env bash
# test.sh EXECUTABLE: runs the example as a user would and compares what it says.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: test.sh EXECUTABLE" >&2; exit 2; }
program=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# expect EXIT-CODE OUTPUT ARGUMENT...: runs the example on app.ns.
expect()
{
    local want_code=$1 want=$2 got code=0
    shift 2
    got=$("$program" app.ns "$@" 2>"$work/stderr") || code=$?
    if [ "$code" != "$want_code" ] || [ "$got" != "$want" ]; then
        printf 'basic_kv app.ns %s\nwanted (%s):\n%s\ngot (%s):\n%s\n%s\n' "$*" "$want_code" \
            "$want" "$code" "$got" "$(cat "$work/stderr")" >&2
        exit 1
    fi
}

expect 1 "" get user name
[ ! -e app.ns ] || { echo "reading created the file" >&2; exit 1; }

expect 0 "" set user name "Ada Lovelace"
expect 0 "" set user mail ada@example.org
expect 0 "" set core editor vi
expect 0 "Ada Lovelace" get user name
expect 0 "" set core editor ed
expect 0 "ed" get core editor
expect 1 "" get core pager

expect 0 "core/editor = ed
user/mail = ada@example.org
user/name = Ada Lovelace" list
expect 0 "core/editor = ed" list core
expect 0 "" list nobody

expect 0 "" unset user mail
expect 1 "" unset user mail
expect 1 "" get user mail
expect 0 "user/name = Ada Lovelace" list user

# The refused unset left no record.
expect 0 "1 set user/name
2 set user/mail
3 set core/editor
4 set core/editor
5 unset user/mail" history

expect 3 "" set "a/b" key value
expect 2 "" frobnicate
echo "basic_kv: ok"
