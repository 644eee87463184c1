#!/bin/sh
# `bitnet tokenize` as people call it.
set -u
cd "$(dirname "$0")/.." || exit 1
n_passed=0 n_failed=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
bpe=tests/data/bpe spm=tests/data/spm.model

tokenize() { # arguments; stdin is the caller's
    # shellcheck disable=SC2086
    $BITNET tokenize "$@"
}
is() { # name, wanted status, wanted stdout, what stderr must contain ("" for silence)
    name=$1 status=$2 want=$3 message=$4
    shift 4
    tokenize "$@" >"$folder/out" 2>"$folder/err" <"$folder/in"
    got=$?
    printf '%s' "$want" >"$folder/want"
    if [ "$got" -ne "$status" ]; then
        echo "FAIL $name: status $got, wanted $status"
    elif ! cmp -s "$folder/out" "$folder/want"; then
        echo "FAIL $name: $(head -c 300 "$folder/out")"
    elif [ -z "$message" ] && [ -s "$folder/err" ]; then
        echo "FAIL $name: stderr: $(cat "$folder/err")"
    elif ! grep -qF -- "$message" "$folder/err" && [ -n "$message" ]; then
        echo "FAIL $name: stderr lacks '$message': $(cat "$folder/err")"
    else
        n_passed=$((n_passed + 1))
        return
    fi
    n_failed=$((n_failed + 1))
}
nl='
'
printf 'the dog' >"$folder/in"
is "ids of stdin" 0 "437 257 267$nl" "" -m $bpe
is "the same from a pipe named" 0 "437 257 267$nl" "" -m $bpe -p -
is "a folder, a file, a GGUF" 0 "437 257 267$nl" "" -m $bpe/tokenizer.json
is "GGUF" 0 "437 257 267$nl" "" -m tests/data/bpe.gguf
is "no BOS" 0 "257 267$nl" "" -m $bpe --no-bos
is "a file" 0 "257 267$nl" "" -m $bpe --no-bos -f "$folder/in"
is "-p" 0 "257 267$nl" "" -m $bpe --no-bos -p "the dog"
is "empty text" 0 "437$nl" "" -m $bpe -p ""
is "SentencePiece puts a space in front" 0 "261 270$nl" "" -m $spm --no-bos -p "the dog"
is "pieces" 0 "   257  \"the\"$nl    10  \"\\n\"$nl   255  \"\\xff\"$nl" "" -m $bpe --no-bos -v \
    -p "$(printf 'the\n\377')"
is "control tokens are text" 0 "60 124 101 384 95 295 124 62$nl" "" -m $bpe --no-bos \
    -p "<|eot_id|>"
is "unless asked for" 0 "439$nl" "" -m $bpe --no-bos --special -p "<|eot_id|>"
is "back" 0 "the dog" "" -m $bpe --decode -p "437 257 267"
is "back, with commas and brackets" 0 "the dog" "" -m $bpe --decode -p "[437,257, 267]"
is "back, control tokens spelled" 0 "<|begin_of_text|>the<|eot_id|>" "" -m $bpe --decode --special \
    -p "437 257 439"
is "back, the space in front goes" 0 "the dog" "" -m $spm --decode -p "1 261 270"
is "no id" 5 "" "'x1' is no token id" -m $bpe --decode -p "1 x1"
is "no such id" 5 "" "id 441, the vocabulary has 0..440" -m $bpe --decode -p "441"
is "a negative id" 5 "" "'-1' is no token id" -m $bpe --decode -p "-1"
is "both texts" 2 "" "not from both" -m $bpe -p x -f "$folder/in"
is "no such file" 1 "" "No such file" -m $bpe -f "$folder/none"
is "no such vocabulary" 1 "" "No such file" -m "$folder/none" -p x
is "a text is no vocabulary" 5 "" "neither SentencePiece nor tiktoken" -m "$folder/in" -p x
is "a folder without one" 5 "" "holds neither tokenizer.json nor tokenizer.model" -m src -p x
is "an unknown option" 2 "" "bitnet help tokenize" -m $bpe --bogus

printf '%s\n' '{"text":"the dog"}' '{"text":""}' '{"text":"\u0000"}' >"$folder/in"
is "records" 0 "{\"ids\":[437,257,267]}$nl{\"ids\":[437]}$nl{\"ids\":[437,0]}$nl" "" -m $bpe --jsonl
is "records with pieces" 0 "{\"ids\":[257,267],\"pieces\":[\"the\",\" dog\"]}$nl{\"ids\":[],\"pieces\":[]}\
$nl{\"ids\":[0],\"pieces\":[\"\\u0000\"]}$nl" "" -m $bpe --jsonl -v --no-bos
is "records come from a file or stdin" 2 "" "not from -p" -m $bpe --jsonl -p x
printf '{"text":"the"}\n{"txt":1}\nnope\n{"text":"dog"}' >"$folder/in"
is "records that fail" 1 "{\"ids\":[257]}$nl{\"error\":\"the record has no string 'text'\"}$nl\
{\"error\":\"JSON: line 1 column 1: expected a value, found 'n'\"}$nl{\"ids\":[100,266]}$nl" \
    "record 2: the record has no string 'text'" -m $bpe --jsonl --no-bos
printf '%s\n' '{"ids":[437,257,267]}' '{"ids":[]}' '{"ids":[255]}' '{"ids":[1.5]}' >"$folder/in"
is "records back" 1 "{\"text\":\"the dog\"}$nl{\"text\":\"\"}$nl{\"text\":\"�\"}$nl\
{\"error\":\"'ids' holds something that is no whole number\"}$nl" "record 4: " -m $bpe --jsonl --decode

# Every byte comes back, the last newline too, over both kinds of vocabulary.
LC_ALL=C awk 'BEGIN { for (i = 1; i < 256; i++) printf "%c%c x\n", i, 256 - i; printf "\n\n" }' \
    >"$folder/bytes"
for m in $bpe $spm tests/data/tiktoken tests/data/spm.gguf; do
    tokenize -m "$m" <"$folder/bytes" | tokenize -m "$m" --decode >"$folder/back"
    if cmp -s "$folder/bytes" "$folder/back"; then
        n_passed=$((n_passed + 1))
    else
        echo "FAIL $m: bytes change" && n_failed=$((n_failed + 1))
    fi
done
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
