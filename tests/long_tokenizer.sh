#!/bin/sh
# 100,000 random strings through every small vocabulary of ours, and the real ones that are here.
# OUT: the build folder.
cd "$(dirname "$0")/.." || exit 1
set --
for file in ../shared/vocab/llama3 ../shared/vocab/gpt2 ../shared/vocab/llama2; do
    [ ! -e "$file" ] || set -- "$@" "$file"
done
# shellcheck disable=SC2086
exec ${RUN:-} "${OUT:?}/tests/test_tokenizer" 100000 "$@"
