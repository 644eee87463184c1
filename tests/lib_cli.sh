# lib_cli.sh: what the tests of the command line share. Each case runs the binary as a user does
# and looks at standard output, standard error and the exit code.
# shellcheck shell=sh disable=SC2034
set -u
cd "$(dirname "$0")/.." || exit 1
: "${BITNET:=./bitnet}" "${OUT:=build}" "${RUN:=}"
case $BITNET in
*' '* | /*) ;;
*) BITNET=$PWD/$BITNET ;;
esac
unset BITNET_MODEL NO_COLOR
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" XDG_CACHE_HOME="$work/cache" LC_ALL=C
out=$work/out err=$work/err
n_passed=0 n_failed=0 n_skipped=0

pass() {
    n_passed=$((n_passed + 1))
}
flunk() { # message
    n_failed=$((n_failed + 1))
    echo "FAIL $*"
    echo "  status $status; stdout: $(head -c 200 "$out" | tr '\n\0' '|0'); stderr: $(head -c 300 "$err")"
}
skip() {
    n_skipped=$((n_skipped + 1))
    echo "skip $*"
}
# Runs bitnet with the words given; standard input is empty unless $in names a file.
bn() {
    # shellcheck disable=SC2086
    $BITNET "$@" >"$out" 2>"$err" <"${in:-/dev/null}"
    status=$?
}
# want CODE NAME: the last run ended with this code, and said why in one line where it failed.
want() {
    if [ "$status" -ne "$1" ]; then
        flunk "$2: exit $status, not $1"
    elif [ "$1" -ne 0 ] && [ "$1" -ne 3 ] && [ "$1" -lt 128 ] && [ "${quiet:-}" = "" ] && ! grep -q '^bitnet: ' "$err"; then
        flunk "$2: no message"
    else
        pass
    fi
}
# is NAME TEXT: the last run printed exactly this text.
is() {
    printf '%s' "$2" >"$work/expected"
    if cmp -s "$out" "$work/expected"; then pass; else flunk "$1: not '$2'"; fi
}
# has NAME TEXT, says NAME TEXT: standard output, standard error contain it.
has() {
    if grep -qF -- "$2" "$out"; then pass; else flunk "$1: stdout lacks '$2'"; fi
}
says() {
    if grep -qF -- "$2" "$err"; then pass; else flunk "$1: stderr lacks '$2'"; fi
}
# check NAME COMMAND...: the command succeeds.
check() {
    check_name=$1
    shift
    if "$@"; then pass; else flunk "$check_name"; fi
}
same() {
    if cmp -s "$2" "$3"; then pass; else flunk "$1: $2 and $3 differ"; fi
}
silent() {
    if [ -s "$err" ]; then flunk "$1: stderr is not silent"; else pass; fi
}
finish() {
    echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
    [ "$n_failed" -eq 0 ]
}
