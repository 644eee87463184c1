#!/bin/sh
# Every fuzz target under libFuzzer with address and undefined-behaviour sanitizers.
# SECONDS_EACH: how long each, 300 by default. ONLY: one target, such as fuzz_bnp.
set -u
cd "$(dirname "$0")/.." || exit 1
arch=$(clang -dumpmachine | cut -d- -f1)
plain=build/$arch-clang-address-undefined
fuzz=build/$arch-clang-address-undefined-fuzzer-no-link
n_passed=0 n_failed=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
make -s -j2 CC=clang CFLAGS='-O1 -g' SAN=address,undefined fuzzers &&
    make -s -j2 CC=clang CFLAGS='-O1 -g' SAN=address,undefined,fuzzer-no-link fuzzers || exit 1
for source in tests/fuzz_*.c; do
    name=$(basename "$source" .c)
    [ "$name" != fuzz_main ] || continue
    [ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || continue
    mkdir "$folder/$name" && "$plain/tests/$name" --seeds "$folder/$name" || exit 1
    if "$fuzz/tests/$name" -seed=1 -max_total_time="${SECONDS_EACH:-300}" -timeout=10 -rss_limit_mb=1500 \
        -max_len=262144 -verbosity=0 -print_final_stats=1 -artifact_prefix="$folder/" \
        "$folder/$name" >"$folder/log" 2>&1; then
        n_passed=$((n_passed + 1))
        echo "$name: $(grep -o 'number_of_executed_units: .*' "$folder/log")"
    else
        n_failed=$((n_failed + 1))
        echo "FAIL $name"
        grep -v 'NEW_FUNC\|^INFO\|^stat::' "$folder/log" | head -n 30
        for finding in "$folder"/crash-* "$folder"/timeout-* "$folder"/oom-* "$folder"/leak-*; do
            [ ! -e "$finding" ] || { echo "$(basename "$finding").gz:" && gzip -c9 "$finding" | base64; }
        done
    fi
done
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
