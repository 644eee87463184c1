#!/bin/sh
# `bitnet bench kernels`: its rows have the promised keys and sane numbers; wrong options are told.
set -u
cd "$(dirname "$0")/.." || exit 1
n_passed=0 n_failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
check() { # what, command...
    what=$1
    shift
    if "$@"; then
        n_passed=$((n_passed + 1))
    else
        echo "FAIL $what"
        n_failed=$((n_failed + 1))
    fi
}
fails() { # exit status, what stderr says, options...
    want=$1 says=$2
    shift 2
    $BITNET bench kernels "$@" >"$dir/out" 2>"$dir/err"
    [ $? -eq "$want" ] && grep -q -- "$says" "$dir/err" && [ ! -s "$dir/out" ]
}

# the highest tier with kernels of its own for bits, and so for bytes
best=$($BITNET bench kernels --seconds 0.001 -t 1 --kernel b1_sign | awk 'END { print $4 }')
$BITNET bench kernels --json --seconds 0.001 -t 1 --kernel i8_i8,b1_sign --tier "$best" \
    >"$dir/json" 2>"$dir/err"
check "exit status" [ $? -eq 0 ]
check "nothing on stderr" [ ! -s "$dir/err" ]
check "an array" [ "$(head -c 1 "$dir/json")$(tail -n 1 "$dir/json")" = "[]" ]
number='[0-9]+(\.[0-9]+)?'
row="\{\"kernel\": \"[a-z0-9_]+\", \"encoding\": \"[a-z0-9.]+\", \"act\": \"(i8|i4|i2|sign|f32)\""
row="$row, \"tier\": \"$best\", \"tokens\": [0-9]+, \"threads\": 1, \"resident\": \"(cache|dram)\""
for key in gb_per_s pct_read weights_per_ns gop_per_s pct_peak; do
    row="$row, \"$key\": $number"
done
n_rows=$(grep -c '"kernel"' "$dir/json")
check "12 rows" [ "$n_rows" -eq 12 ] # i8; b1 and b1g128; four kinds of run each
check "every row is a row" [ "$(grep -cE "^ $row\},?\$" "$dir/json")" -eq "$n_rows" ]
check "a comma after all but the last" [ "$(grep -c '},$' "$dir/json")" -eq $((n_rows - 1)) ]
$BITNET bench kernels --seconds 0.001 -t 1 --kernel i8_i8 --tier "$best" >"$dir/text" 2>&1
check "the text has four rows" [ "$(grep -c '^i8_i8 ' "$dir/text")" -eq 4 ]
check "and says where" grep -q "load average" "$dir/text"
check "unknown kernel" fails 2 "nonsense" --kernel nonsense
check "unknown tier" fails 2 "no tier 'mmx'" --tier mmx
highest=$($BITNET --version -v | sed -n 's/^tiers: .* //p')
if [ "$highest" = zen4 ]; then
    check "a lower tier's kernel" fails 2 "code of its own" --tier zen4 --kernel b1_sign
fi
check "no threads" fails 2 "1..256" -t 0
check "half a number" fails 2 "1..256" -t 1,x
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
