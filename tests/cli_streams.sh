#!/bin/sh
# Streams, signals and exit codes: pipes, closed and full outputs, terminals, Ctrl-C.
# shellcheck disable=SC2154,SC2086
. "$(dirname "$0")/lib_cli.sh"
story='Once upon a time'
TERM=xterm
export TERM

# Where the prompt comes from.
bn -p "$story" -n 8 --temp 0
want 0 'prompt by -p'
silent 'prompt by -p'
cp "$out" "$work/eight"
printf '%s' "$story" >"$work/story"
printf '%s\n' "$story" >"$work/story_line"
in=$work/story bn -n 8 --temp 0
same 'prompt by stdin' "$out" "$work/eight"
in=$work/story_line bn -n 8 --temp 0
same 'the last newline is dropped' "$out" "$work/eight"
bn -f "$work/story" -n 8 --temp 0
same 'prompt by -f' "$out" "$work/eight"
in=$work/story bn -f - -n 8 --temp 0
same 'prompt by -f -' "$out" "$work/eight"
# shellcheck disable=SC2002
cat "$work/story" | $BITNET -n 8 --temp 0 >"$out" 2>"$err"
same 'prompt by a pipe' "$out" "$work/eight"
printf 'upon a' >"$work/part"
in=$work/part bn -p 'Once {} time' -n 8 --temp 0
same '{} is the place of the text' "$out" "$work/eight"
bn -f "$work/part" -p 'Once {} time' -n 8 --temp 0
same '{} with -f' "$out" "$work/eight"
bn -p "$story" --dry-run
cp "$out" "$work/dry"
: | $BITNET -p "{}$story" --dry-run >"$out" 2>"$err"
same 'nothing in the place of {}' "$out" "$work/dry"
bn -f /dev/null -p "$story" --dry-run
same 'an empty text is none' "$out" "$work/dry"
bn -p '{}' --dry-run
has '{} stays where no text is given' '{}'
printf 'Text' >"$work/text"
in=$work/text bn -p 'Do it' --dry-run
has 'text, empty line, instruction' 'prompt:
Text'
check 'instruction last' grep -qx 'Do it' "$out"
bn
want 2 'no prompt at all'
bn -p ''
want 0 'an empty prompt'
in=$work/empty
: >"$in"
bn
want 2 'an empty pipe'
bn -p "$story" -n 8 --temp 0
same '-p with an empty pipe' "$out" "$work/eight"
unset in
bn -f /no/such/file
want 1 'a missing file'
bn -f "$work"
want 1 'a folder as prompt'
# Root may read everything, so it takes another user's place.
: >"$work/secret" && chmod 0 "$work/secret" && chmod 755 "$work"
if [ "$(id -u)" -ne 0 ]; then
    bn -f "$work/secret"
    want 1 'an unreadable file'
elif command -v setpriv >/dev/null && [ -z "$RUN" ] && cp "$OUT/bitnet" "$work/bitnet"; then
    setpriv --reuid=65534 --clear-groups "$work/bitnet" -f "$work/secret" >"$out" 2>"$err" </dev/null
    status=$?
    want 1 'an unreadable file'
    says 'an unreadable file' 'Permission denied'
else
    skip 'an unreadable file: this user may read all'
fi
printf 'one\0two' >"$work/nul"
in=$work/nul bn -n 4 --json
want 0 'NUL bytes in the prompt'
in=$work/nul bn --dry-run
tr '\0' 0 <"$out" >"$work/dry"
check 'NUL bytes in a dry run' grep -qx one0two "$work/dry"
printf 'caf\351 \377\376' >"$work/latin"
in=$work/latin bn -n 4
want 0 'invalid UTF-8 in the prompt'
head -c 300000 /dev/zero | tr '\0' 'a' >"$work/huge"
in=$work/huge bn -n 4
want 1 'a huge prompt'
says 'a huge prompt' '--fit'

# The model by standard input; then nothing else can be read from there.
model=models/stories.bnp
in=$model
bn -m - -p "$story" -n 8 --temp 0
same 'the model by stdin' "$out" "$work/eight"
bn info -
want 0 'info -'
bn verify -
want 0 'verify -'
bn tokenize -m - -p "$story"
want 0 'tokenize -m -'
BITNET_MODEL=-
export BITNET_MODEL
bn -p "$story" -n 8 --temp 0
same 'the model by stdin, from the environment' "$out" "$work/eight"
bn chat
want 2 'a chat whose model comes by stdin, from the environment'
unset BITNET_MODEL
mkdir ./- && bn -m - -p "$story" -n 8 --temp 0
rmdir ./-
same 'the model by stdin beside a folder of that name' "$out" "$work/eight"
check 'nothing of it is kept' test ! -e "$work/cache"
in=tests/data/bpe/tokenizer.json bn tokenize -m - -p a
want 2 'a bare vocabulary by stdin'
bn convert - -o "$work/again.bnp" -q
same 'convert -' "$work/again.bnp" $model
bn -m - --each-line
want 2 'records from where the model came'
for words in '-f - -p x' '--yesno -p x -f -' '--jsonl -f -' 'perplexity' 'perplexity --jsonl' 'embed' \
    'logits --ids-file -' 'tokenize' 'tokenize --jsonl' 'grep x' "grep x $work/story -"; do
    case $words in
    -*) bn -m - $words ;;
    *) bn $words -m - ;;
    esac
    want 2 "standard input twice: $words"
    says "standard input twice: $words" 'used twice'
done
bn chat -m -
want 2 'chat -m -'
bn bench -m - -p 4 -n 4 -r 1
want 0 'bench -m -'
unset in
# shellcheck disable=SC2002
cat $model | $BITNET -m - -p "$story" -n 8 --temp 0 >"$out" 2>"$err"
same 'the model by a pipe' "$out" "$work/eight"
cat $model | $BITNET tokenize -m - -p "$story" >"$out" 2>"$err"
status=$?
want 0 'tokenize with a model by a pipe'
$BITNET tokenize -p "$story" >"$work/ids" </dev/null
same 'tokenize with a model by a pipe' "$out" "$work/ids"
: | $BITNET tokenize -m - -p "$story" >"$out" 2>"$err"
status=$?
want 5 'tokenize with nothing by a pipe'
says 'tokenize with nothing by a pipe' 'is empty'
# shellcheck disable=SC2002
cat tests/data/bpe/tokenizer.json | $BITNET tokenize -m - -p a >"$out" 2>"$err"
status=$?
want 2 'a bare vocabulary by a pipe'
cat $model $model $model | $BITNET -m - -p a >"$out" 2>"$err"
status=$?
want 5 'three models by a pipe'
# shellcheck disable=SC2002
cat $model | $BITNET convert - -o "$work/piped.bnp" -q >"$out" 2>"$err"
status=$?
want 0 'a model to convert by a pipe'
same 'a model to convert by a pipe' "$work/piped.bnp" $model
# shellcheck disable=SC2002
cat tests/data/bpe.gguf | $BITNET convert - -o "$work/piped.bnp" >"$out" 2>"$err"
status=$?
want 1 'a foreign model to convert by a pipe'
says 'a foreign model to convert by a pipe' 'save it to one first'
: | $BITNET -m - -p a >"$out" 2>"$err"
status=$?
want 5 'no model by a pipe'
bn -m - -p a
want 5 'the model by /dev/null'
bn convert $model -o -
want 2 'a model to stdout'
check 'no file of that name' test ! -e ./-

# Standard output.
check 'answers are UTF-8' sh -c "$BITNET -p 'caf' -n 60 --temp 2 --top-k 0 -s 7 | iconv -f utf-8 -t utf-8 >/dev/null"
if [ -e /dev/full ]; then
    $BITNET -p "$story" -n 8 >/dev/full 2>"$err" </dev/null
    status=$?
    want 1 'a full disk'
    says 'a full disk' 'No space left'
    printf 'a\nb\n' | $BITNET --each-line -n 3 >/dev/full 2>"$err"
    status=$?
    want 1 'a full disk under --each-line'
    $BITNET help >/dev/full 2>"$err"
    status=$?
    want 1 'a full disk for help'
    bn logits --ids '1 2' -o /dev/full
    want 1 'a full disk for logits'
    $BITNET -p a --yesno >/dev/full 2>"$err" </dev/null
    status=$?
    want 5 'a full disk for yesno'
    # One write of more than the buffer holds fails before the last flush, which has nothing left.
    awk 'BEGIN { for (i = 0; i < 4096; i++) printf "%d%s", i % 1000, i % 5 ? "" : " " }' >"$work/4096"
    $BITNET -p a --yesno --json >/dev/full 2>"$err" </dev/null
    status=$?
    want 5 'a full disk for yesno as JSON'
    for c in '-p a --choices a,b --json' "info --json $model" selftest \
        "--dry-run --json -c 16000 -f $work/4096" "bench kernels --kernel t2_i8 --seconds 1ms"; do
        $BITNET $c >/dev/full 2>"$err" </dev/null
        status=$?
        want 1 "a full disk: $c"
        says "a full disk: $c" 'No space left'
    done
fi
$BITNET -p "$story" -n 8 >&- 2>"$err" </dev/null
status=$?
want 1 'closed stdout'
$BITNET -p "$story" -n 8 --temp 0 >"$out" 2>"$err" <&-
status=$?
want 0 'closed stdin'
same 'closed stdin' "$out" "$work/eight"
$BITNET -p "$story" -n 8 --temp 0 >"$out" 2>&- </dev/null
status=$?
want 0 'closed stderr'
$BITNET <&- >"$out" 2>"$err"
status=$?
want 2 'closed stdin and no prompt'
# A closed pipe ends the run: --ignore-eos in a small context would else go on; no word on stderr.
: >"$err"
(
    $BITNET -p "$story" --ignore-eos 2>"$err" </dev/null
    echo $? >"$work/code"
) | head -c1 >/dev/null
status=$(cat "$work/code")
check 'a closed pipe' test "$status" -eq 141 -o "$status" -eq 0
silent 'a closed pipe'
yes | (
    $BITNET --each-line -n 2 2>"$err"
    echo $? >"$work/code"
) | head -n 3 >"$out"
status=$(cat "$work/code")
want 141 'a closed pipe under --each-line'
check 'three answers came' test "$(wc -l <"$out")" -eq 3
(
    trap '' PIPE
    $BITNET -p "$story" --ignore-eos 2>"$err" </dev/null
    echo $? >"$work/code"
) | head -c1 >/dev/null
status=$(cat "$work/code")
check 'a closed pipe with SIGPIPE ignored' test "$status" -eq 141 -o "$status" -eq 0
silent 'a closed pipe with SIGPIPE ignored'
(
    trap '' PIPE
    sleep 0.3
    $BITNET -p a --choices a,b --json 2>"$err" </dev/null
    echo $? >"$work/code"
) | true
status=$(cat "$work/code")
want 141 'a closed pipe under --choices'

# Signals. The endless input keeps the process alive until it is stopped.
stop_with() { # signal, code
    : >"$out"
    mkfifo "$work/fifo"
    $BITNET --each-line -n 4 <"$work/fifo" >"$out" 2>"$err" &
    pid=$!
    exec 9>"$work/fifo"
    echo "$story" >&9
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -s "$out" ] && break
        sleep 0.2
    done
    check "a record that came is answered at once" test "$(wc -l <"$out")" -eq 1
    kill "-$1" $pid
    wait $pid
    status=$?
    exec 9>&-
    rm "$work/fifo"
    want "$2" "SIG$1"
}
# A shell starts background jobs with SIGINT ignored, so Ctrl-C is tested on a terminal.
stop_with TERM 143
# Scoring ends between two passes over the weights, without an answer. Each of these takes seconds.
awk 'BEGIN { for (i = 0; i < 15; i++) { printf "%s%d", i ? "," : "", i
    for (j = 0; j < 50; j++) printf " and %d", j } }' >"$work/choices"
for records in '' "--each-line -f $work/story_line"; do
    $BITNET -p "$story {}" --choices "$(cat "$work/choices")" --tier scalar -t 1 $records \
        >"$out" 2>"$err" </dev/null &
    pid=$!
    sleep 0.5
    kill -TERM $pid
    wait $pid
    status=$?
    want 143 "SIGTERM while it scores $records"
    is "SIGTERM while it scores $records" ''
    silent "SIGTERM while it scores $records"
done
awk 'BEGIN { printf "{\"text\": \"a"; for (i = 0; i < 480; i++) printf " dog"; print "\"}" }' >"$work/record"
$BITNET perplexity --jsonl -f "$work/record" --tier scalar -t 1 >"$out" 2>"$err" </dev/null &
pid=$!
sleep 0.3
kill -TERM $pid
wait $pid
status=$?
want 143 'SIGTERM while perplexity scores a record'
is 'SIGTERM while perplexity scores a record' ''
silent 'SIGTERM while perplexity scores a record'
$BITNET -p "$story" -n 200 --ignore-eos >"$out" 2>"$err" </dev/null
cp "$out" "$work/full"

# Terminals.
pty="$RUN $OUT/tests/pty_run"
if [ -x "$OUT/tests/pty_run" ]; then
    $pty -- $BITNET logits -p "$story" >"$out" 2>"$err"
    status=$?
    quiet=1 want 2 'logits on a terminal'
    has 'logits on a terminal' '-o FILE'
    $pty -- $BITNET -p "$story" -n 8 --temp 0 >"$out" 2>"$err"
    status=$?
    want 0 'on a terminal'
    check 'the terminal shows the answer' grep -qF "$(cat "$work/eight")" "$out"
    $pty 2004h 'Once\r' 2004h '\cd' -- $BITNET chat -n 5 >"$out" 2>"$err"
    status=$?
    want 0 'chat, Ctrl-D'
    $pty 2004h '\ck\cu\cw\cd' -- $BITNET chat >"$out" 2>"$err"
    status=$?
    want 0 'chat, an empty line erased'
    $pty 'help lists' '' 2004h '\cd' -- $BITNET >"$out" 2>"$err"
    status=$?
    want 0 'no prompt on a terminal starts chat'
    has 'no prompt on a terminal starts chat' '/help lists commands'
    $pty 2004h '\cc' 'again' '\cc' -- $BITNET chat >"$out" 2>"$err"
    status=$?
    quiet=1 want 130 'chat, Ctrl-C twice'
    $pty 2004h '\e\cc' 'again' '\e[\cc' -- $BITNET chat >"$out" 2>"$err"
    status=$?
    quiet=1 want 130 'chat, Ctrl-C behind ESC'
    $pty 2004h '/help\r' 2004h '/quit\r' -- $BITNET chat >"$out" 2>"$err"
    status=$?
    want 0 '/help and /quit'
    $pty 2004h 'ac\e[Db\x7f\ca\cfX\e[F!\r' 2004h '/save '"$work"'/edited\r' 2004h '\cd' -- \
        $BITNET chat -n 1 >"$out" 2>"$err"
    check 'cursor keys edit the line' grep -q '"aX.*c!"' "$work/edited"
    $pty 2004h '\e[A\e[A\r' 2004h '/save '"$work"'/recalled\r' 2004h '\cd' -- \
        $BITNET chat -n 1 >"$out" 2>"$err"
    check 'the history is kept' grep -q aX "$work/recalled"
    $pty 2004h '\e[200~/quit\e[201~\r' 2004h '\e[200~/a\nb\e[201~\r' 2004h \
        '/save '"$work"'/pasted\r' 2004h '\cd' -- $BITNET chat -n 1 >"$out" 2>"$err"
    check 'what is pasted is no command' grep -q '"/quit"' "$work/pasted"
    check 'nor is it in several lines' grep -q '"/a\\nb"' "$work/pasted"
    TERM=dumb $pty '> ' 'Once\r' '> ' '\cd' -- $BITNET chat -n 5 >"$out" 2>"$err"
    status=$?
    want 0 'chat on a dumb terminal'
    if grep -q "$(printf '\033')" "$out"; then flunk 'a dumb terminal gets no escapes'; else pass; fi
    NO_COLOR=1 $pty 2004h '\cd' -- $BITNET chat >"$out" 2>"$err"
    if grep -q "$(printf '\033\\[1m')" "$out"; then flunk 'NO_COLOR'; else pass; fi
    $pty '@' "$story"'\r\cd' -- sh -c "echo @; exec $BITNET -f - -n 8 --temp 0" >"$out" 2>"$err"
    status=$?
    want 0 'one Ctrl-D ends the prompt'
    check 'one Ctrl-D ends the prompt' grep -qF "$(cat "$work/eight")" "$out"
    $pty '@' 'ab\r\cd' -- sh -c "echo @; exec $BITNET tokenize -v" >"$out" 2>"$err"
    status=$?
    want 0 'one Ctrl-D ends the text'
    $pty '@' '\cc' -- sh -c "echo @; exec $BITNET -p '$story' --tier scalar -t 1 --ignore-eos" \
        >"$out" 2>"$err"
    status=$?
    quiet=1 want 130 'Ctrl-C while it answers'
    check 'Ctrl-C cut the answer' test "$(wc -c <"$out")" -lt "$(wc -c <"$work/full")"
    $pty '@' '\cc' -- sh -c "echo @; sleep 9 | $BITNET -m - -p a" >"$out" 2>"$err"
    status=$?
    quiet=1 want 130 'Ctrl-C while the model comes'
    $pty 2004h 'Once\r' upon '\cc' 2004h '/stats\r' 'messages' '' 2004h '\cd' -- \
        $BITNET chat --tier scalar -t 1 --ignore-eos >"$out" 2>"$err"
    status=$?
    want 0 'Ctrl-C stops the turn, chat goes on'
    has 'Ctrl-C stops the turn, chat goes on' 'messages'
    $pty -- sh -c "$BITNET -p '$story' -n 8 --temp 0 >$work/redirected" >"$out" 2>"$err"
    same 'stdin a terminal, stdout a file' "$work/redirected" "$work/eight"
else
    skip 'terminals: tests/pty_run is not built'
fi
finish
