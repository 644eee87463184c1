#!/bin/sh
# 100,000 random strings through every small vocabulary of ours, and back.
# OUT: the build folder.
cd "$(dirname "$0")/.." || exit 1
exec ${RUN:-} "${OUT:?}/tests/test_tokenizer" 100000
