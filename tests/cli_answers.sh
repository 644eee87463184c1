#!/bin/sh
# Answers: sampling, ends, limits, JSON, choices, chat, and the commands that score texts.
# shellcheck disable=SC2154,SC2086
. "$(dirname "$0")/lib_cli.sh"
story='Once upon a time'
words() { # a JSON key of the last output
    sed -n "s/.*\"$1\":\"\\{0,1\\}\\([^,\"}]*\\).*/\\1/p" "$out" | head -n 1
}

# The same command, the same bytes; what may not change them does not.
bn -p "$story" -n 40
want 0 'a story'
cp "$out" "$work/story"
for same_as in '-t 1' '-t 3' '--seed 1' '--temp 0.8' '--tier scalar' '-c 300'; do
    bn -p "$story" -n 40 $same_as
    same "$same_as changes nothing" "$out" "$work/story"
done
for other in '-s 2' '--temp 1.5' '--top-k 2' '--top-p 0.3' '--min-p 0.4' '--repeat-penalty 2' \
    '--presence-penalty 5' '--frequency-penalty 5' '--kv i8 --temp 3' '--logit-bias 44-inf'; do
    bn -p "$story" -n 40 $other
    want 0 "$other"
    if cmp -s "$out" "$work/story"; then flunk "$other changes nothing"; else pass; fi
done
bn -p "$story" -n 40 --temp 0
cp "$out" "$work/greedy"
bn -p "$story" -n 40 --top-k 1
same 'top-k 1 is greedy' "$out" "$work/greedy"
bn -p "$story" -n 40 --temp 0 -s 99
same 'greedy knows no seed' "$out" "$work/greedy"
bn -p "$story" -n 0
is '-n 0' ''
bn -p "$story" -n 0 --strict
want 4 '-n 0 --strict'

# Ends. The greedy story is ", there was a little girl named ...".
bn -p "$story" --temp 0 --stop little
is 'a stop text' ', there was a '
bn -p "$story" --temp 0 --stop 'ittle gi' --stop nowhere
is 'a stop text across tokens' ', there was a l'
bn -p "$story" --temp 0 -r little --json
check 'finish: stop' test "$(words finish)" = stop
bn -p "$story" --temp 0 --stop 'a\x20' --stop 'th\\ere' -e -n 5
want 0 'escapes'
bn -p "$story" --until sentence
check 'one sentence' grep -Eqx '.*[.!?]["]?' "$out"
check 'no newline in a sentence' test "$(wc -l <"$out")" -eq 0
bn -p "$story" --until newline
check 'one line' test "$(wc -l <"$out")" -eq 0
bn -p "$story" --until newline --json
check 'finish: until' test "$(words finish)" = until
bn -p "$story" --temp 0 --max-bytes 7
is 'seven bytes' ', there'
bn -p "$story" --max-bytes 7 --strict
want 4 'bytes --strict'
bn -p "$story" -n 5 --strict
want 4 'length --strict'
bn -p "$story" --until sentence --strict
want 0 'a sentence is no limit'
bn -p "$story" --ignore-eos -c 64 --json
check 'finish: context' test "$(words finish)" = context
says 'the context is full' 'context of 64'
bn -p "$story" --ignore-eos -c 64 --strict
want 4 'context --strict'
bn -p "$story" --time-limit 1ms --ignore-eos --tier scalar --json
check 'finish: time' test "$(words finish)" = time
bn -p "$story" --time-limit 1ms --ignore-eos --tier scalar --strict
want 4 'time --strict'
bn -p "$story" -q --ignore-eos -c 64
silent '-q'
bn -p "$story" -n 4 -v
says '-v tells speed' 'tokens/s'

# No token may be drawn.
none=$(seq 0 2047 | sed 's/.*/--logit-bias &-inf/')
bn -p "$story" -n 1 $none --json --logprobs 1
want 2 'every token forbidden'
says 'every token forbidden' 'no token is left to draw'
is 'every token forbidden' ''
in=$work/story_line
echo "$story" >"$in"
bn chat $none
want 2 'every token forbidden in a chat'
unset in

# Too long a text.
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "word%d and ", i; print "the end" }' >"$work/long"
bn -f "$work/long"
want 1 'a text too long'
says 'a text too long' 'as many as the model was trained for; --fit'
bn -f "$work/long" -c 64
says 'a text too long for -c' '; --ctx-size makes it larger, --fit'
bn logits -p "$(head -c 4000 "$work/long")" -o "$work/none"
says 'logits of a text too long' 'the model was trained for: shorten'
bn logits -c 64 -p "$(head -c 2000 "$work/long")" -o "$work/none"
says 'logits of a text too long for -c' '; --ctx-size makes it larger'
for how in head tail middle; do
    bn -f "$work/long" --fit $how -n 20
    want 0 "--fit $how"
    says "--fit $how" 'was cut'
    bn -f "$work/long" -p 'Sum up: {} In short:' --fit $how -n 20 --dry-run
    has "--fit $how keeps the instruction" 'In short:'
    bn -f "$work/long" --fit $how -n 20 --strict
    want 4 "--fit $how --strict"
done
bn -f "$work/long" --fit head -n 20 --dry-run
has 'the head' 'word0 and'
has 'it fills the context' 'tokens: 492 of 512'
bn -f "$work/long" --fit tail -n 20 --dry-run
has 'the tail' 'the end'
bn -f "$work/long" --fit middle -n 20 --dry-run
has 'both ends' 'word0 and'
has 'both ends' 'the end'
bn -p a --fit head -n 600
want 2 'no room for a prompt'
says 'no room for a prompt' 'trained for: give a smaller -n'
bn -p a --fit head -n 70 -c 64
says 'no room for a prompt under -c' 'a smaller -n or a larger -c'
bn synth --with yarn -q -o "$work/yarn.bnp"
bn -m "$work/yarn.bnp" -f "$work/long"
says 'a model that scales its positions' '; --ctx-size makes it larger'

# JSON, dry run, template.
bn -p "$story" -n 5 --json --logprobs 2
want 0 --json
check 'version 1' test "$(words version)" = 1
check 'counts' test "$(words n_generated)" = 5
if command -v python3 >/dev/null; then
    check 'it is JSON' python3 -c 'import json, sys
o = json.load(open(sys.argv[1]))
assert o["version"] == 1 and len(o["ids"]) == 5 == len(o["logprobs"]) and o["finish"] == "length"
assert all(len(t["top"]) == 2 and t["logprob"] <= t["top"][0]["logprob"] <= 0 for t in o["logprobs"])
' "$out"
else
    skip 'python3 is not installed'
fi
bn -p 'a "b" \ 	c' -n 1 --json
want 0 'JSON of odd text'
bn -p "$story" --dry-run
has 'dry run: ids' 'ids: 2045'
has 'dry run: memory' 'MB for the session'
bn -p hello --template chatml --system 'Be brief.' --dry-run
has 'a template' '<|im_start|>system'
bn -p hello --template chatml --raw --dry-run
has 'raw' 'template: none'
bn -p '<|eot_id|>' --dry-run
if grep -q '^ids: 2045 2047$' "$out"; then flunk 'typed marks are text'; else pass; fi
bn -p hello --template chatml --dry-run
says 'marks that the model lacks are told' "no token '<|im_start|>'"
bn -p hello --template bitnet --dry-run
silent 'marks that the model has'
bn -p hello --template llama3 --dry-run
has 'marks of the template are tokens' ' 2047 '
check 'as the last mark says' grep -q '^ids: 2045 .* 2047 ' "$out"

# Choices.
bn -p "$story there was a little" --choices girl,banana
want 0 --choices
is --choices 'girl
'
bn -p "$story there was a little" --choices 'banana,girl'
is 'the order does not matter' 'girl
'
bn -p "$story there was a little" --choices banana --choices girl
is 'given one by one' 'girl
'
bn -p 'x' --choices 'a\,b,c' --json
has 'a comma in a choice' '"text":"a,b"'
bn -p "$story there was a little" --choices girl,banana --margin 999
want 3 'undecided'
is 'undecided' ''
bn -p "$story there was a little" --choices girl,banana --margin 999 --json
want 3 'undecided as JSON'
has 'undecided as JSON' '"answer":null'
bn -p "$story there was a little" --choices girl,banana --margin 0.001
want 0 'a small margin'
bn -p 'Is it?' --yesno
yesno=$status
check 'yes is 0 and no is 1' test "$(cat "$out")" = "$([ $yesno -eq 0 ] && echo yes || echo no)"
bn -p 'Is it?' --yesno -q
quiet=1 want $yesno 'yesno -q by exit code'
is 'yesno -q prints nothing' ''
# Exit 1 is an answer: what keeps --yesno from one ends with another code.
in=$work/long bn -q --yesno -p 'Adds a secret?'
want 5 'yesno of a text too long'
bn -q --yesno -p 'Is it?' -m /no/such/file
want 5 'yesno of a missing model'
bn -q --yesno -p 'Is it?' -f /no/such/file
want 5 'yesno of a missing text'
bn -q --yesno -p 'Is it?' -t 0
want 2 'yesno of a wrong command line'
in=$work/long bn -q --yesno -p 'Is it?' --fit head --strict
quiet=1 want 4 'yesno of a text that was cut, --strict'
bn grep 'is it' -m /no/such/file "$work/long"
want 2 'grep with a missing model'
bn -p "$story there was a little" --choices girl,boy,banana -v
says 'one reading of the prompt' 'read in all'

# Chat without a terminal: lines in, answers out.
printf '%s\nThen\n' "$story" >"$work/turns"
in=$work/turns bn chat -n 12
want 0 'chat by a pipe'
silent 'chat by a pipe'
check 'two answers' test "$(wc -l <"$out")" -ge 2
printf '%s\nThen\n/save %s\n' "$story" "$work/saved" >"$work/turns"
in=$work/turns bn chat -n 12
check 'saved messages' test "$(wc -l <"$work/saved")" -eq 4
has_role=$(grep -c '"role":"assistant"' "$work/saved")
check 'saved roles' test "$has_role" -eq 2
printf '/load %s\n/save %s\n' "$work/saved" "$work/saved2" >"$work/turns"
in=$work/turns bn chat
same 'load and save' "$work/saved" "$work/saved2"
in=$work/turns bn chat --system 'Be kind.'
check 'a loaded chat gets the system message' \
    test "$(head -n 1 "$work/saved2")" = '{"role":"system","content":"Be kind."}'
sed 1d "$work/saved2" >"$work/loaded"
same 'before its own messages' "$work/saved" "$work/loaded"
cp "$work/saved2" "$work/with_system"
printf '/load %s\n/save %s\n' "$work/with_system" "$work/saved2" >"$work/turns"
in=$work/turns bn chat --system 'Be brief.'
same 'and keeps the one it has' "$work/with_system" "$work/saved2"
printf '%s\nThen\nAnd\n' "$story" >"$work/turns"
in=$work/turns bn chat -n 12 -v
check 'what was read is not read again' test "$(grep -c 'read 3 of' "$err")" -ge 1
printf '/reset\n/system Be kind.\n/stats\n/nonsense\n/help\n' >"$work/turns"
in=$work/turns bn chat
want 2 'a command that is none'
says '/stats' 'messages'
says '/help' '/save FILE'
printf 'one\\\ntwo\n"""\nthree\nfour\n"""\n/save %s\n' "$work/multi" >"$work/turns"
in=$work/turns bn chat -n 2
check 'lines joined' grep -q 'one\\ntwo' "$work/multi"
check 'lines quoted' grep -q 'three\\nfour' "$work/multi"
printf '"""\n/reset\n"""\n/bin/sh \\\nfails\n/save %s\n' "$work/slash" >"$work/turns"
in=$work/turns bn chat -n 2
want 0 'messages that start with a slash'
check 'a quoted line is no command' grep -q '"user","content":"/reset"' "$work/slash"
check 'nor are joined lines' grep -q '"/bin/sh \\nfails"' "$work/slash"
for c in /save '/load  '; do
    echo "$c" >"$work/turns"
    in=$work/turns bn chat
    want 2 "$c without a file"
    says "$c without a file" 'needs the name of a file'
done
awk 'BEGIN { for (i = 0; i < 30; i++) print "Then the cat and the dog went to the park" }' >"$work/turns"
in=$work/turns bn chat -n 30 -c 128
want 0 'a chat longer than its context'
says 'a chat longer than its context' 'oldest'
check 'thirty answers' test "$(wc -l <"$out")" -ge 30
# When the older turns go, what stays is again the start of what the cache holds.
printf '%s\n%s\n' "$story" "$story" >"$work/turns"
in=$work/turns bn chat --temp 0 --ignore-eos -c 64
want 0 'a chat whose newest message is its first'
head -n 3 "$out" >"$work/first3"
tail -n +4 "$out" >"$work/next3"
check 'it says something' test "$(wc -c <"$work/first3")" -gt 100
same 'the same message, the same answer' "$work/first3" "$work/next3"
printf '{"role":"nobody","content":"x"}\n' >"$work/badchat"
bn chat --load "$work/badchat"
want 5 'a bad chat'

# Scores and vectors.
bn logits --ids '2045 442 466' -o "$work/l1"
want 0 logits
check 'three rows' test "$(wc -c <"$work/l1")" -eq 24576
bn logits --ids '2045,442,466' --one-by-one -t 1 --tier scalar
same 'one by one, on the scalar tier' "$out" "$work/l1"
printf '\375\007\000\000\272\001\000\000\322\001\000\000' >"$work/ids"
bn logits --ids-file "$work/ids"
same 'ids from a file' "$out" "$work/l1"
bn logits --ids ' 2045 , 442,	466 '
same 'blanks around commas' "$out" "$work/l1"
printf 'x' >>"$work/ids"
bn logits --ids-file "$work/ids"
want 5 'ids cut short'
printf '\001\000\000\000\000\000\001\000' >"$work/ids"
bn logits --ids-file "$work/ids"
want 5 'a bad id in a file'
says 'a bad id in a file' 'id 65536 at byte 4'
bn logits --ids-file "$work"
want 1 'a folder of ids'
bn perplexity -f "$work/story"
want 0 perplexity
has perplexity 'perplexity '
bn perplexity --jsonl -f "$work/saved"
want 1 'records without text'
printf '{"text":"%s"}\n{"text":"The cat sat."}\n' "$story" >"$work/texts"
bn perplexity --jsonl -f "$work/texts"
check 'records and total' test "$(wc -l <"$out")" -eq 3
tail -n 1 "$out" >"$work/total"
printf 'no JSON\n{"text":"%s"}\n\n{"txt":1}\n{"text":"The cat sat."}' "$story" >"$work/texts"
bn perplexity --jsonl -f "$work/texts"
want 1 'bad records among texts'
check 'a line for each and the total' test "$(wc -l <"$out")" -eq 6
check 'their errors in their places' test "$(sed -n 's/^{"i":\([0-9]\),"error":.*/\1/p' "$out" | tr -d '\n')" = 023
says 'which record it was' "record 4: the record has no string 'text'"
tail -n 1 "$out" >"$work/total.good"
same 'the total is of the good ones' "$work/total.good" "$work/total"
bn perplexity
want 5 'perplexity of nothing'
bn synth --arch qwen3 -q -o "$work/qwen.bnp"
bn perplexity -m "$work/qwen.bnp" -f "$work/story"
want 0 'perplexity without a token at the start'
printf 'one\ntwo\n' >"$work/lines"
in=$work/lines bn embed
check 'a vector for each line' test "$(wc -l <"$out")" -eq 2
# shellcheck disable=SC2016
check 'of length one' awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i
    if (s < 0.99999 || s > 1.00001 || NF != 192) exit 1 }' "$out"
in=$work/lines bn embed --format raw
check 'raw vectors' test "$(wc -c <"$out")" -eq 1536
bn embed -p one --format json
check 'a JSON vector' grep -q '^\[.*\]$' "$out"

# doctor
bn doctor
want 0 doctor
has doctor 'read speed'
bn doctor -t 1
check 'doctor of one thread' grep -qE '^read speed  [0-9.]+ GB/s with one thread$' "$out"
check 'doctor of one thread' grep -q '; 1 thread$' "$out"
bn doctor -t 2
check 'doctor of two' grep -qE '^read speed  [0-9.]+ GB/s with 2 threads, [0-9.]+ with one$' "$out"
bn doctor --json
has 'doctor --json' '"read_gb_per_s"'
bn doctor -m /no/such/file
want 1 'doctor of a missing model'
finish
