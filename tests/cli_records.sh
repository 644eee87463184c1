#!/bin/sh
# Many records: --each-line, -0, --jsonl and grep. Answers equal those of a record alone, in order,
# whatever the batch, the split or the neighbours. RECORDS: how many, 1000 by default.
# shellcheck disable=SC2154,SC2086
. "$(dirname "$0")/lib_cli.sh"

# All records: together, one by one, split over processes and joined again.
n=${RECORDS:-1000}
[ -z "$RUN" ] || n=100 # an emulator is slow
awk -v n=$n 'BEGIN { srand(3)
    split("the cat dog ran home Lily was happy sad to play with ball She said no big red tree", w, " ")
    for (i = 0; i < n; i++) {
        line = "Once"
        for (k = int(rand() * 9); k >= 0; k--) line = line " " w[1 + int(rand() * 19)]
        print line " " i % 300
    } }' >"$work/records"
options='--each-line -n 6'
in=$work/records bn $options --batch 8
want 0 'many records'
silent 'many records'
cp "$out" "$work/all"
check 'one line for each' test "$(wc -l <"$out")" -eq $n
in=$work/records bn $options --batch 1
same 'one by one' "$out" "$work/all"
in=$work/records bn $options --batch 64 -t 1
same 'another batch and thread count' "$out" "$work/all"
bn $options -f "$work/records"
same 'from a file' "$out" "$work/all"
if command -v split >/dev/null; then
    (cd "$work" && split -l 31 records part.)
    : >"$work/joined"
    for part in "$work"/part.*; do
        in=$part bn $options --batch 3
        cat "$out" >>"$work/joined"
    done
    same 'split and joined' "$work/joined" "$work/all"
fi
sed -n 70p "$work/records" >"$work/one"
in=$work/one bn $options
sed -n 70p "$work/all" >"$work/one.want"
same 'a record alone' "$out" "$work/one.want"
sort "$work/records" | uniq >"$work/sorted"
in=$work/sorted bn $options
sort -u "$out" >"$work/sorted.out"
sort -u "$work/all" | cmp -s - "$work/sorted.out"
check 'sorted input, the same answers' test $? -eq 0

# A prefix that all share is read once and changes nothing.
long='Once upon a time there was a little girl named Lily who loved to play with her red ball. One day she saw'
head -n 40 "$work/records" >"$work/forty"
in=$work/forty bn $options -p "$long: {}"
cp "$out" "$work/shared"
: >"$work/alone"
while read -r line; do
    printf '%s\n' "$line" >"$work/one"
    in=$work/one bn $options -p "$long: {}" --batch 1
    cat "$out" >>"$work/alone"
done <<END
$(head -n 10 "$work/forty")
END
head -n 10 "$work/shared" >"$work/shared10"
same 'the shared prefix' "$work/alone" "$work/shared10"

# Forms of records and answers.
printf 'a\n\nb' >"$work/three"
in=$work/three bn --each-line -n 3
check 'an empty line and a last line without newline' test "$(wc -l <"$out")" -eq 3
want 1 'an empty record without a prompt'
says 'an empty record without a prompt' 'record 2: no prompt: give -p'
in=$work/empty
: >"$in"
bn
says 'the same words alone' 'bitnet: no prompt: give -p'
echo >"$work/blank"
echo '{"text":""}' >"$work/blank.jsonl"
in=$work/blank.jsonl bn --jsonl
want 1 'an empty JSON record without a prompt'
has 'an empty JSON record without a prompt' '"error":"no prompt: give -p'
for p in Once 'Once {} upon'; do
    : | $BITNET -p "$p" --json -n 6 --temp 0 >"$out" 2>"$err"
    alone=$(sed -n 's/.*\("text":.*"n_prompt":[0-9]*\).*/\1/p' "$out")
    in=$work/blank.jsonl bn --jsonl -p "$p" -n 6 --temp 0
    has "an empty record is read as alone: $p" "${alone:-nothing}"
done
unset in
# A line ends with \n or \r\n and nothing else is taken off, be it alone, one of many or JSON.
while read -r name ended json; do
    printf '%b' "$ended" >"$work/ended"
    in=$work/ended bn -n 6 --temp 0 --json
    alone=$(sed -n 's/.*\("ids":.*"n_prompt":[0-9]*\).*/\1/p' "$out")
    in=$work/ended bn --each-line -n 6 --temp 0
    cp "$out" "$work/line"
    printf '%s\n' "$json" >"$work/ended.jsonl"
    in=$work/ended.jsonl bn --jsonl -n 6 --temp 0
    has "JSON as alone: $name" "${alone:-nothing}"
    in=$work/ended bn -n 6 --temp 0
    echo >>"$out"
    same "a line as alone: $name" "$out" "$work/line"
done <<'END'
CR+LF Once\0040upon\r\n {"text":"Once upon"}
CR Once\0040upon\r {"text":"Once upon\r"}
CR+CR+LF Once\0040upon\r\r\n {"text":"Once upon\r"}
blank+LF Once\0040upon\0040\n {"text":"Once upon "}
END
printf 'one\0two\nlines\0' >"$work/nul"
in=$work/nul bn -0 -n 3
check 'NUL records' test "$(tr -dc '\0' <"$out" | wc -c)" -eq 2
in=/dev/null bn --each-line
want 0 'no record'
is 'no record' ''
printf 'bad \377 bytes\n' >"$work/bytes"
in=$work/bytes bn --each-line -n 3
want 0 'invalid UTF-8'
bn --each-line -n 60 -s 5 -f "$work/forty"
check 'newlines are escaped' test "$(wc -l <"$out")" -eq 40
(head -c 17000000 /dev/zero | tr '\0' 'x' && printf '\nOnce\n') >"$work/monster"
in=$work/monster bn --each-line -n 3
want 1 'a record of 17 MB'
says 'a record of 17 MB' 'longer than 16 MiB'
check 'the next one goes on' test "$(wc -l <"$out")" -eq 2
rm "$work/monster"
awk 'BEGIN { for (i = 0; i < 3000; i++) printf "word "; print ""; print "Once" }' >"$work/wide"
in=$work/wide bn --each-line -n 3
want 1 'a record that does not fit'
says 'a record that does not fit' 'record 1:'
check 'the others are answered' test "$(sed -n 2p "$out" | wc -c)" -gt 1
in=$work/wide bn --each-line -n 3 --fit tail
want 0 'a record that is cut'
in=$work/wide bn --each-line -n 3 --fit tail --strict
quiet=1 want 4 'a record that is cut, --strict'
# Room is kept for the record's own n.
awk 'BEGIN { for (i = 0; i < 999; i++) printf "word "; print "" }' >"$work/words"
sed 's/.*/{"text":"&","n":5,"seed":3}/' "$work/words" >"$work/words.jsonl"
for fit in head tail middle; do
    bn -f "$work/words" --fit $fit -n 5 --seed 3 --json
    alone=$(sed -n 's/.*\("text":.*"seed":3\).*/\1/p' "$out")
    in=$work/words.jsonl bn --jsonl --fit $fit
    has "a record is cut as one alone: $fit" "${alone:-nothing}"
done
in=$work/words.jsonl bn --jsonl --fit tail -c 5
want 1 'no room for the prompt of a record'
has 'no room for the prompt of a record' '"error":"-n 5 leaves no room'

# Endless input streams, in bounded memory, and ends with its reader.
yes 'Once upon a time' | head -n 3000 | $BITNET --each-line -n 2 >"$out" 2>"$err"
check '3,000 equal records' test "$(sort -u "$out" | wc -l)" -eq 1

# Its cache is made of small pages, so that what is not used costs nothing, also where the system
# makes huge ones unasked.
if [ -z "$RUN" ] && [ -d /sys/kernel/mm/transparent_hugepage ] &&
    grep -q '^VmFlags' /proc/self/smaps 2>/dev/null; then
    mkfifo "$work/feed"
    $BITNET --each-line --batch 16 -n 2 <"$work/feed" >"$work/fed" 2>"$err" &
    reader=$!
    exec 9>"$work/feed"
    echo 'Once upon a time' >&9
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -s "$work/fed" ] || sleep 0.5
    done
    # Larger than a thread's stack, which may be so too.
    # shellcheck disable=SC2016
    check 'pages of the cache' awk '/^Size:/ { kb = $2 } /^VmFlags:.* nh/ && kb > 10000 { n++ }
        END { exit n == 0 }' "/proc/$reader/smaps"
    exec 9>&-
    wait $reader
else
    skip 'pages of the cache: no way to look at them'
fi

# JSON records.
cat >"$work/records.jsonl" <<'END'
{"text":"Once upon a time","id":"first","n":5}
{"prompt":"Once upon a time","id":7,"temp":0,"n":5}
{"text":"Once upon a time","n":5,"seed":9,"top_k":3,"top_p":0.9,"min_p":0.01}
{"text":"Once upon a time","temp":0,"stop":"little"}
{"text":"Once upon a time","temp":0,"stop":["nowhere","there"]}
{"text":"hello","system":"Be kind.","n":2}
END
in=$work/records.jsonl bn --jsonl
want 0 'JSON records'
check 'six objects' test "$(grep -c '^{"version":1,"i":[0-9],.*}$' "$out")" -eq 6
has 'ids come back' '"i":0,"id":"first"'
has 'ids come back' '"i":1,"id":7'
has 'its own seed' '"seed":9'
has 'its own stop' '"text":", there was a ","'
has 'its own stops' '"text":", ","'
cp "$out" "$work/json"
in=$work/records.jsonl bn --jsonl --batch 1
same 'JSON one by one' "$out" "$work/json"
# Under a template, with a system message: what run says with the record's seed.
printf '{"text":"tell me"}\n{"text":"tell us"}\n{"text":"tell her"}\n' >"$work/tell"
in=$work/tell bn --jsonl --template bitnet --system 'Be kind.' -n 9 --logprobs 1
want 0 'records under a template'
has 'log-probabilities of records' '"logprobs":[{"id":'
cp "$out" "$work/told"
for i in 1 2 3; do
    text=$(sed -n "${i}s/.*:\"\(.*\)\"}/\1/p" "$work/tell")
    seed=$(sed -n "${i}s/.*\"seed\":\([0-9]*\).*/\1/p" "$work/told")
    bn -p "$text" --template bitnet --system 'Be kind.' -n 9 --seed "$seed" --json
    ids=$(sed -n 's/.*"ids":\(\[[^]]*\]\).*/\1/p' "$out")
    check "record $i is what run says" grep -qF "\"i\":$((i - 1)),\"text\"" "$work/told"
    check "record $i is what run says" sh -c "sed -n ${i}p '$work/told' | grep -qF '\"ids\":$ids'"
done
cat >"$work/bad.jsonl" <<'END'
{"text":"Once","n":2}
not json
{"txet":"Once"}
{"text":5}
{"text":"Once","temp":-1}
{"text":"Once","n":"5"}
{"text":"Once","seed":1.5}
{"text":"Once","stop":[""]}
{"text":"Once","id":[1]}
[1]
{"text":"Once","n":2}
END
in=$work/bad.jsonl bn --jsonl
want 1 'bad JSON records'
check 'nine error objects' test "$(grep -c '"error":"' "$out")" -eq 9
check 'the good ones are answered' test "$(grep -c '"finish":"length"' "$out")" -eq 2
check 'all in order' test "$(sed -n 's/.*"i":\([0-9]*\).*/\1/p' "$out" | tr '\n' ' ')" = '0 1 2 3 4 5 6 7 8 9 10 '
if command -v python3 >/dev/null; then
    check 'they are JSON' python3 -c 'import json, sys
[json.loads(l) for l in open(sys.argv[1])]' "$out"
fi
says 'where a record is no JSON' "bitnet: record 2: JSON: line 1 column 1: expected a value"
printf '%s\n' '{"text":"a","stop":"a\u0000z"}' >"$work/nul.jsonl"
in=$work/nul.jsonl bn --jsonl
says 'a stop with a NUL' "bitnet: record 1: 'stop' must not have a \\u0000"
echo '{"temp":-1,"id":"x","text":"a"}' >"$work/late.jsonl"
in=$work/late.jsonl bn --jsonl
has 'the id behind a bad key' "{\"version\":1,\"i\":0,\"id\":\"x\",\"error\":\"'temp' must be"
in=$work/forty bn --each-line -p 'Mood of {}:' --choices up,down --jsonl
want 1 'text is no JSON'

# Where every token is forbidden, a record that asks for none goes through.
printf '{"text":"Once"}\n{"text":"Once","n":0}\n{"text":"a"}\n' >"$work/none.jsonl"
none=$(seq 0 2047 | sed 's/.*/--logit-bias &-inf/')
in=$work/none.jsonl bn --jsonl --logprobs 1 $none
want 1 'records with every token forbidden'
check 'two error objects' test "$(grep -c '"error":".*no token is left to draw' "$out")" -eq 2
check 'one answer' test "$(sed -n 2p "$out" | grep -c '"text":""')" -eq 1

# Choices for each record: as for one.
in=$work/forty bn --each-line -p 'Mood of {}:' --choices up,down,red
want 0 'choices of records'
cp "$out" "$work/moods"
check 'one of the choices each' test "$(grep -cxE 'up|down|red' "$out")" -eq 40
: >"$work/moods.alone"
head -n 12 "$work/forty" | while read -r line; do
    $BITNET -p "Mood of $line:" --choices up,down,red </dev/null >>"$work/moods.alone"
done
head -n 12 "$work/moods" >"$work/moods12"
same 'as one by one' "$work/moods.alone" "$work/moods12"
in=$work/forty bn --each-line -p 'Mood of {}:' --choices up,down --margin 500
want 3 'undecided records'
check 'empty lines' test "$(grep -c . "$out")" -eq 0

# grep agrees with --yesno on the same question.
question='is it about Lily'
in=$work/forty bn --each-line --yesno -p "Question: $question
Text: {}
Answer with yes or no.
Answer:"
paste -d' ' "$out" "$work/forty" | sed -n 's/^yes //p' >"$work/yes"
paste -d' ' "$out" "$work/forty" | sed -n 's/^no //p' >"$work/no"
n_yes=$(wc -l <"$work/yes") n_no=$(wc -l <"$work/no")
in=$work/forty bn grep "$question"
quiet=1 want "$([ "$n_yes" -gt 0 ] && echo 0 || echo 1)" grep
same grep "$out" "$work/yes"
in=$work/forty bn grep -v "$question"
same 'grep -v' "$out" "$work/no"
quiet=1 want "$([ "$n_no" -gt 0 ] && echo 0 || echo 1)" 'grep -v'
in=$work/forty bn grep -c "$question"
is 'grep -c' "$((n_yes))
"
in=$work/forty bn grep -vc "$question" -
is 'grep -vc -' "$((n_no))
"
bn grep -n -v "$question" "$work/forty"
check 'grep -n' test "$(head -n 1 "$out" | cut -d: -f2-)" = "$(head -n 1 "$work/no")"
bn grep -v "$question" "$work/forty" "$work/one"
check 'names in front' grep -q "^$work/forty:" "$out"
bn grep -vh "$question" "$work/forty" "$work/forty"
check 'grep -h' test "$(wc -l <"$out")" -eq $((2 * n_no))
bn grep -vl "$question" "$work/forty" "$work/one"
check 'grep -l' grep -qx "$work/forty" "$out"
cp "$out" "$work/listed"
bn grep -vlc "$question" "$work/forty" "$work/one"
same 'grep -l before -c' "$out" "$work/listed"
bn grep -lc "$question" "$work/no"
is 'grep -l of a file without a match' ''
bn grep -vq "$question" "$work/forty"
want 0 'grep -q'
is 'grep -q' ''
bn grep -v --margin 500 "$question" "$work/forty"
want 3 'grep --margin'
bn grep -v "$question" /no/such/file "$work/forty"
want 2 'grep of a missing file'
check 'the other file is searched' test -s "$out"
bn grep -m /no/such/model "$question" "$work/forty"
want 2 'grep with a missing model'
bn grep -m "$work/forty" "$question" "$work/forty"
want 5 'grep with a model that is none'
if [ -e /dev/full ]; then
    $BITNET grep -v "$question" "$work/forty" >/dev/full 2>"$err"
    status=$?
    want 2 'grep on a full disk'
fi
bn grep -q "$question" /no/such/file
want 2 'grep -q of a missing file'
printf 'the cat ran\nLily was happy\nyes yes yes yes\nno no no\n' >"$work/mixed"
in=$work/mixed bn --each-line --yesno -p '{}'
paste -d' ' "$out" "$work/mixed" | sed -n 's/^yes //p' >"$work/yes"
check 'both answers occur' test -s "$work/yes" -a "$(grep -c '^no$' "$out")" -gt 0
bn grep '{}' "$work/mixed"
want 0 'grep with {}'
same 'grep with {}' "$out" "$work/yes"
# 500 random lines; test_choose holds the scores behind --yesno against brute force.
awk 'BEGIN { n = split("cat dog Lily happy sad yes no was ran the a and said big red not", w, " "); srand(3)
    for (i = 0; i < 500; i++) { s = ""; for (j = 0; j < 3 + i % 5; j++) s = s " " w[1 + int(rand() * n)]; print substr(s, 2) } }' \
    >"$work/random"
in=$work/random bn --each-line --yesno -p '{}'
paste -d' ' "$out" "$work/random" | sed -n 's/^yes //p' >"$work/yes"
paste -d' ' "$out" "$work/random" | sed -n 's/^no //p' >"$work/no"
check '500 lines, both answers' test -s "$work/yes" -a -s "$work/no"
bn grep '{}' "$work/random"
same '500 lines, grep' "$out" "$work/yes"
bn grep -v '{}' "$work/random"
same '500 lines, grep -v' "$out" "$work/no"
awk '{ printf "%s\r\n", $0 }' "$work/random" >"$work/crlf"
awk '{ printf "%s\r\n", $0 }' "$work/no" >"$work/no.crlf"
bn grep -v '{}' "$work/crlf"
same 'grep of lines with CR, printed as they stand' "$out" "$work/no.crlf"
bn grep "$question" "$work/wide" "$work/forty"
want 2 'grep of a line that does not fit'
says 'grep of a line that does not fit' 'as many as the model was trained for: shorten the text'
check 'the advice is none for run' test "$(grep -cE -- '-c |--fit' "$err")" -eq 0
bn grep --ctx-size 8 "$question" "$work/forty"
says 'grep in a small context' '--ctx-size makes it larger'
in=/dev/null bn grep "$question"
quiet=1 want 1 'grep of nothing'
finish
