#!/bin/sh
# convert, and foreign models given to -m, as their users see them. BITNET: the command; OUT: the
# build folder, whose fuzz_gguf writes small GGUF files of our own.
set -u
cd "$(dirname "$0")/.." || exit 1
BITNET=${BITNET:-./bitnet}
n_passed=0 n_failed=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/seeds" "$folder/tmp"
# shellcheck disable=SC2086
${RUN:-} "${OUT:?}/tests/fuzz_gguf" --seeds "$folder/seeds" >/dev/null || exit 1
m=$folder/m.gguf
export XDG_CACHE_HOME="$folder/cache" TMPDIR="$folder/tmp"

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

entries() {
    find "$folder/cache" -name '*.bnp' 2>/dev/null | wc -l | tr -d ' '
}

first=$(find "$folder/seeds" -type f | sort | head -n 1)
second=$(find "$folder/seeds" -type f | sort | sed -n 2p)
cp "$first" "$m"

# The command itself.
run convert "$m"
check 'without -o' 2 "$status"
has 'without -o' '-o FILE is needed' "$err"
run convert -o "$folder/a.bnp"
check 'without a source' 2 "$status"
run convert "$m" -o "$folder/a.bnp"
check 'convert' 0: "$status:$err"
has 'report' 'matrices .*lossless' "$out"
run convert "$m" -o "$folder/b.bnp" -v
has 'report of each tensor' 'blk.0.ffn_down .*-> .*lossless' "$out"
run convert "$m" -o "$folder/b.bnp" -q -t 1
check 'quiet' 0:: "$status:$out:$err"
check 'the same on one thread' same "$(cmp -s "$folder/a.bnp" "$folder/b.bnp" && echo same)"
run verify -q "$folder/a.bnp"
check 'verify' 0: "$status:$err"
run convert "$folder/a.bnp" --body t1.6 -o "$folder/b.bnp" -q
check 'to 1.6 bits' 0: "$status:$err"
run convert "$folder/b.bnp" --body t2 -o "$folder/c.bnp" -q
check 'and back' same "$(cmp -s "$folder/a.bnp" "$folder/c.bnp" && echo same)"
run convert "$folder/a.bnp" --act f32 -o "$folder/c.bnp"
check 'another regime for a .bnp file' 2 "$status"
run convert "$folder/nothing" -o "$folder/c.bnp"
check 'no such file' 1 "$status"
run convert "$m" -o "$folder/no/such/place.bnp"
check 'no such folder' 1 "$status"
run convert "$m" -o "$folder"
check 'a folder for the output' 1 "$status"
for blocks in 20 500; do # of 512 bytes: no more fit on the disk
    rm -f "$folder/c.bnp"
    # shellcheck disable=SC2086
    err=$(trap '' XFSZ && ulimit -f "$blocks" && $BITNET convert "$m" -o "$folder/c.bnp" -q 2>&1)
    check "a full disk, $blocks" 1 "$?"
    has "a full disk, $blocks" 'c.bnp: cannot write: ' "$err"
    check "a full disk, $blocks: nothing left" '' "$(find "$folder" -name 'c.bnp*')"
done
run convert "$m" --body t3 -o "$folder/c.bnp"
check 'unknown body' 2 "$status"
head -c 100000 "$m" >"$folder/cut.gguf"
run convert "$folder/cut.gguf" -o "$folder/cut.bnp"
check 'cut short' 5 "$status"
has 'cut short' 'cut.gguf: cut short: [0-9]* bytes of [0-9]* are missing' "$err"
check 'nothing left behind' '' "$(find "$folder" -name 'cut.bnp*')"

# A foreign model where a .bnp file is wanted.
ask() {
    run run -m "$m" -p abc -n 4 --temp 0 --ignore-eos "$@"
}
ask
check 'run a GGUF file' 0 "$status"
has 'says where it is kept' "converting once, into $folder/cache/bitnet/m.gguf-" "$err"
text=$out
check 'one entry' 1 "$(entries)"
ask
check 'the second time' "0:$text:" "$status:$out:$err"
ask --no-cache
check 'without the cache' "0:$text" "$status:$out"
check 'no temporary file stays' '' "$(ls "$folder/tmp")"
run run -m "$folder/a.bnp" -p abc -n 4 --temp 0 --ignore-eos
check 'as its conversion' "0:$text:" "$status:$out:$err"
ask -q --no-cache
check 'quiet conversion' "0:$text:" "$status:$out:$err"

# An entry that is not whole is made again.
entry=$(find "$folder/cache" -name '*.bnp')
head -c 5000 "$entry" >"$folder/part" && cat "$folder/part" >"$entry"
ask
check 'a damaged entry' "0:$text" "$status:$out"
check 'is made again' 0 "$($BITNET verify -q "$entry" >/dev/null 2>&1; echo $?)"

# Another model under the old name is another entry.
cp "$second" "$m"
ask
check 'another model' 0 "$status"
check 'two entries' 2 "$(entries)"
cp "$folder/cut.gguf" "$m"
ask
check 'a broken model' 5: "$status:$out"
check 'leaves no entry' 2 "$(entries)"

# Two at once convert once.
cp "$first" "$m"
rm -rf "$folder/cache"
for i in 1 2 3; do
    # shellcheck disable=SC2086
    $BITNET run -m "$m" -p abc -n 4 --temp 0 --ignore-eos >"$folder/out.$i" 2>"$folder/err.$i" &
done
wait
for i in 1 2 3; do
    check "racer $i" "$text" "$(cat "$folder/out.$i")"
done
check 'one of them converts' 1 "$(cat "$folder"/err.[123] | grep -c 'converting once')"
check 'one entry after the race' 1 "$(entries)"

# No place for the cache.
: >"$folder/file"
XDG_CACHE_HOME="$folder/file" ask
check 'no place for the cache' 1 "$status"
has 'says what helps' 'no-cache' "$err"
XDG_CACHE_HOME="$folder/file" ask --no-cache
check 'works without it' "0:$text" "$status:$out"

echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
