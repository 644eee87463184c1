#!/bin/sh
# The command line as such: commands, options, bad values, help, man pages, completions.
# shellcheck disable=SC2154
. "$(dirname "$0")/lib_cli.sh"

# Commands.
bn --version
want 0 version
has version 'bitnet 0.'
bn --version -v
want 0 'version -v'
cp "$out" "$work/version"
for c in '-v --version' 'run --version -v' 'grep -v -V'; do
    # shellcheck disable=SC2086
    bn $c
    same "$c" "$out" "$work/version"
done
bn -p --version -n 1 --dry-run
has 'a prompt of that name' 'prompt:'
for c in --help -h help; do
    bn $c
    want 0 "$c"
    has "$c" 'Usage: bitnet'
    check "$c starts with examples" sh -c "sed -n 2p '$out' | grep -q '^  bitnet '"
    check "$c fits a screen" test "$(wc -l <"$out")" -le 25
done
bn chta
want 2 'unknown command'
says 'suggestion' "did you mean 'chat'?"
bn help chta
want 2 'help of an unknown command'
bn zzzzzzz
want 2 'unknown command without a neighbour'
bn run info
want 2 'two commands'
says 'two commands' 'goes first'

# Every command explains itself, on stdout, with examples first.
bn help --list
cp "$out" "$work/list"
while read -r c; do
    # shellcheck disable=SC2086
    bn $c --help
    want 0 "$c --help"
    cp "$out" "$work/one"
    # shellcheck disable=SC2086
    bn help $c
    same "help $c" "$out" "$work/one"
    check "$c: examples" sh -c "sed -n 2p '$out' | grep -q 'bitnet'"
    # shellcheck disable=SC2086
    bn $c --no-such-option
    want 2 "$c --no-such-option"
    says "$c --no-such-option" "unknown option '--no-such-option'"
done <"$work/list"

# Every option that wants a value refuses bad ones: numbers and words, out of the completions.
bn help --completion fish
cp "$out" "$work/fish"
for o in predict ctx-size threads top-k repeat-last-n seed batch max-bytes logprobs temp top-p \
    min-p repeat-penalty presence-penalty frequency-penalty margin time-limit fit until color kv act; do
    for v in '' x 1x 1e999 -5000; do
        bn run -p a "--$o=$v"
        want 2 "--$o=$v"
    done
    bn run -p a "--$o"
    want 2 "--$o without a value"
done
for v in 0 257 1.5; do
    bn -p a -t $v
    want 2 "-t $v"
done
bn -p a --logit-bias nonsense
want 2 'bad bias'
bn -p a --logit-bias 999999+1
want 2 'bias of no token'
bn -p a --logit-bias 5+inf
want 2 'infinite bias'
bn -p a --template nosuch
want 2 'bad template'
says 'bad template' 'chatml'
bn -p a --tier nosuch
want 2 'bad tier'
bn -p a --stop ''
want 2 'empty stop'
bn -p a --choices one
want 2 'one choice'
bn -p a --choices a,,b
want 2 'empty choice'
bn -p a --choices a,a
want 2 'a choice twice'
bn -p a --choices a,b --yesno
want 2 'choices and yesno'
bn -p a --margin 1
want 2 'margin alone'
bn -p a --logprobs 3
want 2 'logprobs without json'
bn -p a --json --each-line
want 2 'json with records'
bn -p a b
want 2 'two prompts'
bn -p a -m ''
want 2 'empty model name'
bn logits
want 2 'logits of nothing'
bn logits --ids '1 x'
want 2 'bad ids'
bn logits --ids '1 99999'
want 2 'id out of range'
for ids in '1,,2' ',1' '1,' '1 , ,2'; do
    bn logits --ids "$ids"
    want 2 "ids $ids"
done
bn perplexity --eos -f models/stories.md
want 2 'perplexity --eos of a text'
bn grep
want 2 'grep without a question'

# Forms of options.
bn -p 'Once' -n 3 --temp 0
cp "$out" "$work/three"
for form in '-n3' '-n=3' '--predict=3' '--n-predict 3' '--predict 9 -n 3'; do
    # shellcheck disable=SC2086
    bn $form --temp 0 -p Once
    same "form $form" "$out" "$work/three"
done
bn --temp=0 -n 3 -- Once upon
want 2 'one operand only'
bn --temp=0 -n 3 -- Once
same 'prompt behind --' "$out" "$work/three"
bn run Once --temp 0 -n 3
same 'options behind the prompt' "$out" "$work/three"
bn -e -p 'Once\nupon' --dry-run
cp "$out" "$work/escaped"
check '-e' grep -qx upon "$out"
bn run -e 'Once\nupon' --dry-run
same '-e for a prompt without -p' "$out" "$work/escaped"
echo >"$work/line"
bn run -e --each-line -f "$work/line" -n 3 -p 'Once\nupon'
cp "$out" "$work/escaped"
bn run -e --each-line -f "$work/line" -n 3 'Once\nupon'
same '-e for a prompt without -p of records' "$out" "$work/escaped"
bn -p Once --temp 0 --n-predict 3 --no-display-prompt -no-cnv
same "llama.cpp's spellings" "$out" "$work/three"
bn -p Once -ngl 99
want 2 -ngl
says -ngl 'no GPU layers'

# The model: flag before environment before the built-in one.
bn -m /no/such/file -p a
want 1 'missing model'
BITNET_MODEL=/no/such/file
export BITNET_MODEL
bn -p a
want 1 'missing model in the environment'
says 'missing model in the environment' /no/such/file
for c in info verify tokenize; do
    bn $c
    want 1 "$c: missing model in the environment"
    says "$c: missing model in the environment" /no/such/file
done
bn info models/stories.bnp
want 0 'info: a file beats the environment'
bn verify models/stories.bnp
want 0 'verify: a file beats the environment'
bn -m models/stories.bnp -p Once --temp 0 -n 3
same 'flag beats environment' "$out" "$work/three"
BITNET_MODEL=
bn -p Once --temp 0 -n 3
same 'an empty variable is none' "$out" "$work/three"
unset BITNET_MODEL
printf 'this is no model\n' >"$work/bad.bnp"
bn -m "$work/bad.bnp" -p a
want 5 'a file that is no model'
head -c 5000 models/stories.bnp >"$work/cut.bnp"
bn -m "$work/cut.bnp" -p a
want 5 'a cut model'
: >"$work/empty.bnp"
bn -m "$work/empty.bnp" -p a
want 5 'an empty model'
bn -m "$work" -p a
check 'a folder as model' test "$status" -ne 0

# Man pages and completions, from the table.
mkdir "$work/man"
bn help --man
cp "$out" "$work/man/bitnet.1"
while read -r c; do
    name=$(echo "$c" | tr ' ' -)
    bn help --man "$name"
    want 0 "man page of $c"
    cp "$out" "$work/man/bitnet-$name.1"
done <"$work/list"
check 'a default is a sentence' grep -qx 'The default is 0.8.' "$work/man/bitnet-run.1"
bn help --all tokenize
has '-v of tokenize' "with the token's piece"
bn help --all info
has '-v of info' 'also every tensor'
check 'grep tells its own exit codes' grep -q 'No line matched' "$work/man/bitnet-grep.1"
check 'other commands tell the common ones' grep -q 'a record failed' "$work/man/bitnet-embed.1"
if command -v mandoc >/dev/null; then
    (cd "$work/man" && mandoc -Tlint ./*.1 | grep -v 'referenced manual not found') >"$out"
    check 'mandoc finds nothing' test ! -s "$out"
else
    skip 'mandoc is not installed'
fi

# make install: what it puts down can be read by everyone, under any umask and into any folder.
tree=$work/tree
mkdir -p "$tree/src" && cp Makefile "$tree" && cp "$OUT/bitnet" "$tree/bitnet"
build() { # words of make
    (umask 077 && unset MAKEFLAGS && cd "$tree" && make "$@") >"$out" 2>"$err"
    status=$?
}
build -o bitnet install "RUN=$RUN" "DESTDIR=$work/a folder" PREFIX=/usr
want 0 'make install'
find "$work/a folder/usr" \( -type d ! -perm 755 \) -o \( -type f ! -name bitnet ! -perm 644 \) >"$out"
is 'installed files can be read by all' ''
check 'the program can be run by all' test "$(find "$work/a folder/usr/bin/bitnet" -perm 755)"
check 'a man page for each command' \
    test "$(find "$work/a folder" -name '*.1' | wc -l)" -eq $(($(wc -l <"$work/list") + 1))

# CFLAGS: what would change results or CPUs is refused; a change of the others builds anew.
for flag in -ffast-math -Ofast -funsafe-math-optimizations -fassociative-math -freciprocal-math \
    -ffinite-math-only -fno-signed-zeros -march=native -march=x86-64-v3 -mcpu=native -mavx2 \
    -mavx512f -mfma -mfpmath=387; do
    build -n clean "CFLAGS=-O2 $flag"
    check "CFLAGS=$flag is refused" test "$status" -eq 2
    says "CFLAGS=$flag is refused" "leave out $flag"
done
build -n -p
check 'make alone makes the program' grep -qx '.DEFAULT_GOAL := bitnet' "$out"
build -n clean 'CFLAGS=-O3 -g -march=x86-64 -fno-math-errno'
want 0 'other CFLAGS'
echo 'int nothing(void); int nothing(void) { return 0; }' >"$tree/src/a.c"
made() { # status of make -q
    build -q CC=cc SAN= OUT=o o/src/a.o "$@"
    check "make -q $*: $status" test "$status" -eq "$want_status"
}
for flags in "-O2 -DA='\"a b\"'" '-O1 -g'; do
    want_status=1 made "CFLAGS=$flags"
    build CC=cc SAN= OUT=o o/src/a.o "CFLAGS=$flags"
    want 0 "make CFLAGS=$flags"
    want_status=0 made "CFLAGS=$flags"
done

for shell in bash zsh fish; do
    bn help --completion $shell
    want 0 "completion $shell"
    cp "$out" "$work/completion.$shell"
    if command -v $shell >/dev/null; then
        check "$shell parses its completion" $shell -n "$work/completion.$shell"
    else
        skip "$shell is not installed"
    fi
done
if command -v bash >/dev/null; then
    # shellcheck disable=SC2016
    bash -c '. "$1"; COMP_WORDS=(bitnet run --tem); COMP_CWORD=2; _bitnet; echo "${COMPREPLY[*]}"
        COMP_WORDS=(bitnet gr); COMP_CWORD=1; _bitnet; echo "${COMPREPLY[*]}"
        COMP_WORDS=(bitnet run --fit mi); COMP_CWORD=3; _bitnet; echo "${COMPREPLY[*]}"' \
        bash "$work/completion.bash" >"$out"
    is 'bash completes' '--template --temp --temperature
grep
middle
'
fi
if command -v zsh >/dev/null; then
    # shellcheck disable=SC2016
    zsh -fc 'autoload -Uz compinit; compinit -u -d "$2"; . "$1"; echo $_comps[bitnet]' \
        zsh "$work/completion.zsh" "$work/dump" >"$out" 2>"$err"
    is 'zsh registers' '_bitnet
'
fi
if command -v fish >/dev/null; then
    HOME=$work fish -c "source $work/completion.fish; complete -C'bitnet run --until '" >"$out" 2>"$err"
    has 'fish completes' newline
    HOME=$work fish -c "source $work/completion.fish; complete -C'bitnet perp'" >"$out" 2>"$err"
    has 'fish completes commands' perplexity
fi
if command -v shellcheck >/dev/null; then
    check 'shellcheck' shellcheck -x -P tests tests/cli*.sh tests/lib_cli.sh tests/run.sh
    check 'shellcheck of the completion' shellcheck -s bash "$work/completion.bash"
else
    skip 'shellcheck is not installed'
fi
finish
