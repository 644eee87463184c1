#!/bin/sh
# synth, info and verify as their users see them. BITNET: the command.
set -u
cd "$(dirname "$0")/.." || exit 1
BITNET=${BITNET:-./bitnet}
n_passed=0 n_failed=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
m=$folder/m.bnp

check() { # what, expected, found
    if [ "$2" = "$3" ]; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        printf 'FAIL %s: wanted %s, found %s\n' "$1" "$2" "$3"
    fi
}

has() { # what, pattern, text
    if printf '%s\n' "$3" | grep -q -e "$2"; then found=yes; else found="no, but: $3"; fi
    check "$1" yes "$found"
}

run() { # arguments: status in $status, output in $out, complaints in $err
    # shellcheck disable=SC2086
    out=$($BITNET "$@" 2>"$folder/err")
    status=$?
    err=$(cat "$folder/err")
}

# Every network and every encoding: opens, is whole, and makes text where activations allow it.
for arch in bitnet-b1.58 bitnet llama qwen3; do
    for body in t2 t1.6 b1 t2g32 t2g64 t2g128 t2g256 b1g32 b1g64 b1g128 b1g256 i8 i6 i4 f16; do
        run synth --arch $arch --body $body -o "$m"
        check "synth $arch $body" 0: "$status:$err"
        run verify -q "$m"
        check "verify $arch $body" 0: "$status:$out$err"
        [ $arch != qwen3 ] || [ $body != t1.6 ] || continue # takes no grouped activations
        run run -m "$m" -p 'in the beginning' -n 3 --temp 0 --ignore-eos
        check "run $arch $body" 0: "$status:$err"
    done
done
for head in i8 i8x2 i6 i4 f16 t2 b1 t2g128 b1g128; do
    run synth --head $head --with untied --with yarn --with norm-in --with in-bias -o "$m"
    check "synth head $head" 0: "$status:$err"
    run run -m "$m" -p 'in the beginning' -n 3 --temp 0 --ignore-eos
    check "run head $head" 0: "$status:$err"
done
for act in i8 i8g32 i8g128 f32 i4 sign; do
    for scale in tensor row column; do
        run synth --body b1 --act $act --scale $scale -o "$m"
        check "synth $act $scale" 0: "$status:$err"
        run run -m "$m" -p 'in the beginning' -n 3 --temp 0 --ignore-eos
        check "run $act $scale" 0: "$status:$err"
    done
done

# The same seed gives the same bytes, another seed others; two ternary encodings the same text.
run synth -o "$m"
run synth -o "$folder/again.bnp"
cmp -s "$m" "$folder/again.bnp"
check "same seed" 0 $?
run synth --seed 2 -o "$folder/again.bnp"
cmp -s "$m" "$folder/again.bnp"
check "other seed" 1 $?
[ "$(wc -c <"$m")" -lt 1000000 ]
check "tiny is small" 0 $?
run run -m "$m" -p 'in the beginning' -n 20 --temp 0 --ignore-eos
t2=$out
run synth --body t1.6 -o "$folder/again.bnp"
run run -m "$folder/again.bnp" -p 'in the beginning' -n 20 --temp 0 --ignore-eos
check "t1.6 as t2" "$t2" "$out"

# Wrong use.
run synth
check "no output named" 2 "$status"
run synth --shape huge -o "$m"
check "unknown shape" 2 "$status"
run synth --body b1g128 --scale row -o "$m"
check "two kinds of scale" 2 "$status"
mkfifo "$folder/pipe"
run synth -o "$folder/pipe"
check "a pipe" 1 "$status"
run synth -o "$folder"
check "a folder" 1 "$status"
run synth -o "$folder/none/m.bnp"
check "a folder that is not there" 1 "$status"

# info
run info "$m"
check "info" 0: "$status:$err"
has "info: architecture" '^architecture *bitnet-b1.58$' "$out"
has "info: encodings" 't2 .*21 tensors' "$out"
has "info: tokenizer" '^tokenizer .*530 tokens' "$out"
has "info: memory" '^memory .*-c 256' "$out"
run info -c 77 "$m"
has "info -c" '^memory .*-c 77:' "$out"
run info -v "$m"
has "info -v" '^blk.2.ffn_down .*108 x 234' "$out"
run info --json "$m"
check "info --json" 0: "$status:$err"
check "info --json: one line" 1 "$(printf '%s\n' "$out" | wc -l | tr -d ' ')"
has "info --json: version" '^{"version": 1, ' "$out"
has "info --json: tensors" '"name": "blk.2.ffn_down", "encoding": "t2"' "$out"
if command -v python3 >/dev/null; then
    printf '%s\n' "$out" | python3 -c 'import json, sys; d = json.load(sys.stdin)
assert len(d["tensors"]) == 35 and d["memory"]["n_ctx"] == 256 and d["meta"]["arch.n_ff"] == 234
assert sum(k["bytes"] for k in d["encodings"]) == sum(t["bytes"] for t in d["tensors"])'
    check "info --json parses" 0 $?
else
    echo "skip info --json by another reader: no python3"
fi
run info "$folder/none.bnp"
check "info: no file" 1 "$status"
run info "$0"
check "info: no model" 5 "$status"

# verify: a flipped bit in each tensor is found in that tensor.
run verify "$m"
check "verify" 0: "$status:$err"
run info -v "$m"
printf '%s\n' "$out" | awk '/ bytes at /{print $1, $(NF - 1)}' >"$folder/tensors"
while read -r name off; do
    cp "$m" "$folder/bad.bnp"
    printf 'x' | dd of="$folder/bad.bnp" bs=1 seek=$((off + 5)) conv=notrunc 2>"$folder/dd"
    run verify "$folder/bad.bnp"
    check "verify $name" 5: "$status:$out"
    has "verify names $name" "bad.bnp: tensor '$name' " "$err"
done <"$folder/tensors"
check "verify: tensors tried" 35 "$(wc -l <"$folder/tensors" | tr -d ' ')"
run verify "$m" "$folder/bad.bnp" "$m"
check "verify: the worst of three" 5 "$status"
check "verify: two good ones" 2 "$(printf '%s\n' "$out" | grep -c ': good, ')"
head -c 70000 "$m" >"$folder/bad.bnp"
run verify "$folder/bad.bnp"
check "verify: cut short" 5 "$status"
has "verify: cut short, says so" 'cut short' "$err"
run verify "$folder/none.bnp"
check "verify: no file" 1 "$status"

# bench: what it says, not how fast.
run bench -m "$m" -p 8 -n 4 -r 2 -t 1,2
check "bench" 0: "$status:$err"
has "bench: settings" '^2 runs of 8 prompt tokens and 4 more' "$out"
has "bench: two threads" '^2 threads$' "$out"
check "bench: two answers" 2 "$(printf '%s\n' "$out" | grep -c '^  answer .* tok/s ')"
run bench -m "$m" -n 200 -r 1 -t 1 --json
check "bench --json" 0: "$status:$err"
has "bench: the prompt fits the context" '"prompt_tokens": 56, "predict_tokens": 200' "$out"
for key in version model cpu tier load open_ms rows threads prefill_tok_per_s decode_tok_per_s \
    first_token_ms weight_bytes cache_bytes gb_per_s read_gb_per_s pct_read; do
    has "bench --json: $key" "\"$key\": " "$out"
done
for bad in '-t 0' '-t 1,' '-t 1,x' '-t 257' '-p 0' '-n 0' '-r 101' '-p 200 -n 200' '--tier vax'; do
    # shellcheck disable=SC2086
    run bench -m "$m" $bad
    check "bench $bad" 2: "$status:$out"
done

echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
