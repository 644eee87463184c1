#!/bin/sh
# Runs every test program and script; the last line is "N passed, N failed, N skipped".
# OUT: the build folder. RUN: a prefix such as qemu-aarch64. ONLY: a name to run alone.
set -u
cd "$(dirname "$0")/.." || exit 1
export OUT="${OUT:?}" RUN="${RUN:-}"
export BITNET="${BITNET:-$RUN $OUT/bitnet}"
n_passed=0 n_failed=0 n_skipped=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

one() { # name, command...
    name=$1
    shift
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    counts=$(printf '%s\n' "$line" | tr -dc '0-9 ')
    # shellcheck disable=SC2086
    set -- $counts
    [ $# -ge 2 ] || set -- 0 1 0
    [ "$1" -gt 0 ] || [ "$2" -gt 0 ] || [ "${3:-0}" -gt 0 ] || set -- 0 1 0 # tested nothing
    [ "$status" -eq 0 ] || [ "$2" -gt 0 ] || set -- "$1" 1 "${3:-0}"
    n_passed=$((n_passed + $1)) n_failed=$((n_failed + $2)) n_skipped=$((n_skipped + ${3:-0}))
    printf '%-24s %s\n' "$name" "${line:-no closing line, exit status $status}"
    [ "$2" -eq 0 ] || grep -v '^ok' "$log" | tail -n 40
    [ "${3:-0}" -eq 0 ] || grep '^skip' "$log" | head -n 5
}

for t in "$OUT"/tests/test_* "$OUT"/tests/check_* "$OUT"/tests/fuzz_*; do
    case $t in *.o | *.d | *'*' | */fuzz_main) continue ;; esac
    name=$(basename "$t")
    [ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || continue
    # shellcheck disable=SC2086
    one "$name" $RUN "$t"
done
for t in tests/*.sh; do
    name=$(basename "$t")
    case $name in run.sh | lib*.sh | long_*.sh) continue ;; esac
    [ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || continue
    one "$name" sh "$t"
done
echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
[ "$n_failed" -eq 0 ]
