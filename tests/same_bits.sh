#!/bin/sh
# The same bytes from every tier, thread count and cutting of the prompt, and from every kind of
# machine: golden/bits.txt holds checksums of the scalar tier's logits and text, which test_engine holds
# against another implementation. RECORD=1 writes that file anew.
set -u
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n_passed=0 n_failed=0
prompt='One day, a little dog named Max went to the park. He saw 3 birds!'

same() { # what, file, file
    if cmp -s "$2" "$3"; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        echo "FAIL $1 differs"
    fi
}
logits() { # file, options...
    out=$1
    shift
    $BITNET logits -p "$prompt" -o "$out" "$@" || echo "FAIL logits $*"
}

# The scalar tier's bytes against those of other machines.
recorded() { # label, file
    if [ -n "${RECORD:-}" ]; then
        echo "$1: $(cksum <"$2")" >>tests/golden/bits.txt
    elif grep -qxF "$1: $(cksum <"$2")" tests/golden/bits.txt; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        echo "FAIL $1: not the bytes that other machines gave"
    fi
}

all() { # label, options naming a model and its mode
    label=$1
    shift
    logits "$dir/want" --tier scalar -t 1 "$@"
    $BITNET -p "$prompt" -n 24 --seed 7 --tier scalar -t 1 "$@" >"$dir/text"
    recorded "$label logits" "$dir/want"
    recorded "$label text" "$dir/text"
    for tier in $tiers; do
        for t in 1 2 3 7; do
            logits "$dir/got" --tier "$tier" -t "$t" "$@"
            same "$label logits, $tier, $t threads" "$dir/want" "$dir/got"
        done
        logits "$dir/got" --tier "$tier" -t 2 --one-by-one "$@"
        same "$label logits, $tier, one by one" "$dir/want" "$dir/got"
        $BITNET -p "$prompt" -n 24 --seed 7 --tier "$tier" -t 3 "$@" >"$dir/got"
        same "$label text, $tier" "$dir/text" "$dir/got"
    done
}

[ -z "${RECORD:-}" ] || : >tests/golden/bits.txt
tiers=$($BITNET --version -v | sed -n 's/^tiers: *//p')
[ -n "$tiers" ] || echo "FAIL --version -v lists no tiers"
all 'default model'
all 'default model, int8 cache' --kv i8
all 'default model, f32 activations' --act f32
for kind in \
    '--arch llama --body t2 --act i8g32' '--arch qwen3 --body b1g128 --act i8g128' \
    '--arch bitnet --body t1.6 --head f16' '--arch qwen3 --body t2g128 --act f32 --head i4' \
    '--body t2 --head i8x2' '--body b1 --act sign' '--body b1 --act i4' '--body t2 --act i4 --head i6'; do
    # shellcheck disable=SC2086
    if $BITNET synth --shape tiny $kind -o "$dir/tiny.bnp"; then
        all "tiny $kind" -m "$dir/tiny.bnp"
    else
        n_failed=$((n_failed + 1))
        echo "FAIL synth $kind"
    fi
done

# An i8x2 head says what the i8 head of the same bytes says, however few rows it scores whole.
$BITNET synth --shape tiny --with untied -o "$dir/i8.bnp"
$BITNET convert "$dir/i8.bnp" --head i8x2 -q -o "$dir/i8x2.bnp"
$BITNET convert "$dir/i8x2.bnp" --head i8 -q -o "$dir/back.bnp"
same 'i8 out of i8x2' "$dir/i8.bnp" "$dir/back.bnp"
logits "$dir/want" -m "$dir/i8.bnp"
logits "$dir/got" -m "$dir/i8x2.bnp"
same 'logits of i8x2' "$dir/want" "$dir/got"
printf '%s\n' "$prompt" 'Once upon a time' 'a' 'The cat' >"$dir/records"
for how in '--temp 0' '--seed 1' '--top-k 3 --seed 2' '--top-k 0 --seed 3' \
    '--temp 0 --repeat-penalty 1.5 --presence-penalty 1' '--seed 4 --logit-bias 65+9 --logit-bias 66-inf'; do
    for head in i8 i8x2; do
        # shellcheck disable=SC2086
        $BITNET -m "$dir/$head.bnp" --each-line --batch 3 -n 9 --ignore-eos $how <"$dir/records" >"$dir/text.$head"
    done
    same "i8x2 with $how" "$dir/text.i8" "$dir/text.i8x2"
done
for head in i8 i8x2; do
    $BITNET -m "$dir/$head.bnp" -p "$prompt" -n 9 --temp 0 --logprobs 3 --json |
        sed 's/.*"logprobs"//' >"$dir/text.$head"
done
same 'log-probabilities of i8x2' "$dir/text.i8" "$dir/text.i8x2"
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
