#!/bin/sh
# A kernel that computes wrong numbers must cost speed and nothing else: the program is linked anew
# with one object built from a changed copy of a kernel, and has to print the same text, with a
# warning that names tier and kernel. Each change is checked to be one.
set -u
cd "$(dirname "$0")/.." || exit 1
n_passed=0 n_failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
run=${RUN:-}
good() { n_passed=$((n_passed + 1)); }
bad() {
    echo "FAIL $*"
    n_failed=$((n_failed + 1))
}
skip() {
    echo "skip $*"
    echo "$n_passed passed, $n_failed failed, 1 skipped"
    exit 0
}
text() { $run "$1" -p "Once upon a time" -n 8 --temp 0 --seed 1 2>"$dir/err"; }

best=$($run "$OUT/bitnet" --version -v | sed -n '1s/.*(\(.*\)).*/\1/p')
if [ "$best" = scalar ] || [ -z "$best" ]; then skip "scalar is the only tier here"; fi
compiler=${CC:-$(basename "$OUT" | sed 's/^[^-]*-//; s/-address.*//; s/-undefined.*//')}
command -v "$compiler" >/dev/null || skip "no compiler '$compiler'"
want=$(text "$OUT/bitnet")
if [ -z "$want" ] || [ -s "$dir/err" ]; then bad "the unchanged program: $(cat "$dir/err")"; fi

# change FILE SED: puts a changed object of kernels/FILE.c into the link
objects=
ln -s "$PWD"/src "$PWD"/tools "$PWD"/include "$PWD"/models "$PWD"/Makefile "$dir"
cp -r kernels "$dir/kernels"
change() {
    sed "$2" "kernels/$1.c" >"$dir/kernels/$1.c"
    if cmp -s "kernels/$1.c" "$dir/kernels/$1.c"; then bad "$1: '$2' changes nothing"; fi
    make -s -C "$dir" CC="$compiler" SAN="${SAN:-}" OUT=out "out/kernels/$1.o" || bad "$1 does not build"
    objects="$objects $dir/out/kernels/$1.o"
}
# expect TIER KERNEL WHAT: the same text, a warning with both names
expect() {
    # shellcheck disable=SC2086
    "$compiler" ${SAN:+-fsanitize=$SAN} -o "$dir/bitnet" "$OUT/src/main.o" $objects \
        "$OUT/libbitnet.a" -lm -pthread || bad "does not link"
    got=$(text "$dir/bitnet")
    if [ "$got" = "$want" ]; then good; else bad "$3: other text: $got"; fi
    if grep -q "$1.*$2" "$dir/err"; then good; else bad "$3: no warning: $(cat "$dir/err")"; fi
    if [ "$(wc -l <"$dir/err")" -eq 1 ]; then good; else bad "$3: not one line: $(cat "$dir/err")"; fi
    if $run "$dir/bitnet" --version -v | grep -q "$1.*$2"; then good; else bad "$3: --version -v"; fi
    if $run "$dir/bitnet" selftest | grep -q "^$1 .*WRONG.*$2"; then good; else bad "$3: selftest"; fi
}

case $best in
zen4)
    change zen4_ternary 's/{q\[13\], q\[15\]/{q[15], q[13]/'
    expect zen4 t2_i8 "bits in the wrong order"
    change avx512_element 's/_mm512_sub_ps(_mm512_mul_ps(a, c)/_mm512_add_ps(_mm512_mul_ps(a, c)/'
    expect avx512 rope_half "a wrong sign, one tier lower"
    ;;
avx512)
    change avx512_element 's/_mm512_sub_ps(_mm512_mul_ps(a, c)/_mm512_add_ps(_mm512_mul_ps(a, c)/'
    expect avx512 rope_half "a wrong sign"
    change avx2_head 's/_mm256_sign_epi8(dword, value)/dword/'
    expect avx2 i8_i8 "a dropped sign, one tier lower"
    ;;
avx2)
    change avx2_head 's/_mm256_sign_epi8(dword, value)/dword/'
    expect avx2 i8_i8 "a dropped sign"
    ;;
neon*)
    change neon_element 's/vsubq_f32(vmulq_f32(a, c)/vaddq_f32(vmulq_f32(a, c)/'
    expect neon rope_half "a wrong sign"
    ;;
esac
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
