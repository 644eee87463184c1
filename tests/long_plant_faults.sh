#!/bin/sh
# Is check_kernels able to fail? Plants one fault at a time in a copy of the kernels, builds, and
# demands that check_kernels reports it. A fault whose pattern no longer matches the source fails
# too. CC as for make; a tier that this machine cannot run is skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
n_passed=0 n_failed=0 n_skipped=0
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/src" "$tree/tests" "$tree/tools"
cp -r Makefile include kernels "$tree" && cp src/base.[ch] "$tree/src" &&
    cp tests/check.h tests/check_kernels.c tests/kernel*.[ch] "$tree/tests" || exit 1
check="$tree/out/tests/check_kernels"

build() {
    make -s -C "$tree" CC="${CC:-cc}" OUT=out out/tests/check_kernels >"$tree/log" 2>&1
}

# fault WHAT TIER KERNEL FILE SED-SCRIPT
fault() {
    if ! "$check" --tier "$2" --kernel "$3" >/dev/null 2>&1; then
        echo "skip $1: $2 cannot run $3 here"
        n_skipped=$((n_skipped + 1))
        return
    fi
    cp "$tree/$4" "$tree/whole"
    sed "$5" "$tree/whole" >"$tree/$4"
    if cmp -s "$tree/whole" "$tree/$4"; then
        result="FAIL: the pattern is not in $4"
    elif ! build; then
        result="FAIL: does not compile: $(grep -m 1 error "$tree/log")"
    elif "$check" --tier "$2" --kernel "$3" >"$tree/log" 2>&1; then
        result='FAIL: not noticed'
    else
        result="caught: $(grep -m 1 '^FAIL' "$tree/log" | cut -c 6-)"
    fi
    case $result in
    caught:*FAIL* | FAIL*) n_failed=$((n_failed + 1)) ;;
    *) n_passed=$((n_passed + 1)) ;;
    esac
    printf '%s\n    %s\n' "$1" "$result"
    cp "$tree/whole" "$tree/$4"
    build # the sound object again, for the next fault
}

build || {
    cat "$tree/log"
    exit 1
}
runs=kernels/runs.h a2=kernels/avx2_ternary.c a5=kernels/avx512_ternary.c
fault 'swapped maddubs operands' avx2 t2_i8 $a2 's/vpmaddubsw %3, %2/vpmaddubsw %2, %3/'
fault 'int16 overflow, one token' avx2 t2_i8 $a2 's/T2_PAIR_LINES = 8/T2_PAIR_LINES = 9/'
fault 'int16 overflow, few tokens' avx2 t2_i8 $a2 's/T2_LINES = 16/T2_LINES = 17/'
fault 'int16 overflow, 1.6 bits' avx2 t1_6_i8 $a2 's/T1_6_LINES = 12/T1_6_LINES = 13/'
fault 'int16 overflow, many tokens' avx2 t2_i8 $a2 's/TILE_STEPS = 64/TILE_STEPS = 65/'
fault 'missing tail of columns' avx2 t2_i8 $runs 's/\* r.cols + r.line_cols - 1)/* r.cols)/'
fault 'missing tail of columns, 1.6 bits' avx512 t1_6_i8 $runs \
    's/\* r.cols + r.line_cols - 1)/* r.cols)/'
fault 'missing tail of tokens' avx512 t2_i8 kernels/avx512_gemm.c \
    's/^\( *\)case 5: gemm_tile.*/\1case 5: break;/'
fault 'one line read too many' avx512 t2_i8 $a5 's/\*end = w0 + 64 \* n/*end = w0 + 64 * (n + 1)/'
fault 'wrong fold of the fields' avx512 t2_i8 $a5 's/(unsigned)(2 \* a)/(unsigned)a/'
fault 'escaped bytes from 193 on' avx512 t1_6_i8 $a5 's/set1_epi8((char)192)/set1_epi8((char)193)/'
z4=kernels/zen4_ternary.c
fault 'int16 overflow, words' zen4 t2_i8 $z4 's/SEGMENT_LINES = 8/SEGMENT_LINES = 10/'
fault 'words of the wrong block' zen4 t2_i8 $z4 's/= 0xaaaaaaaa/= 0x55555555/'
fault 'sixteenth bits in the wrong order' zen4 t2_i8 $z4 's/{q\[13\], q\[15\]/{q[15], q[13]/'
fault 'rest of tokens at the wrong scale' zen4 t2_i8 $z4 's/x.scale += t0/x.scale += 0/'
fault 'wrong group of activations' avx2 t2_i8 $runs 's/i >> r->act_log/0/'
fault 'wrong group of weights' avx2 b1_i8 $runs 's/i >> r->group_log;/0;/'
b2=kernels/avx2_binary.c b5=kernels/avx512_binary.c bits=kernels/avx512_bits.c
fault 'byte overflow, tables' avx512 b1_i8 $b5 's/SEGMENT_LINES = 4/SEGMENT_LINES = 5/'
fault 'byte overflow, tables of 256 bits' avx2 b1_i8 $b2 \
    's/by_tables(m, 4, 2, true/by_tables(m, 5, 2, true/'
fault 'byte overflow, int4' avx2 b1_i8 $b2 's/ACT_I4 ? 4 :/ACT_I4 ? 5 :/'
fault 'byte overflow, xnor' avx512 b1_sign $bits 's/? 20 : 31/? 20 : 32/'
fault 'byte overflow, planes' avx2 b1_planes $b2 's/? 20 : 31/? 20 : 32/'
fault 'top plane not negative' avx512 b1_planes $bits 's/: -(1 << plane);/: 1 << plane;/'
fault 'scales of a chunk swapped' avx2 b1_i8 $runs 's/g % 2 \* (2/(1 - g % 2) * (2/'
i8x2=kernels/avx2_i8x2.c
fault 'swapped maddubs operands, planes of bytes' avx2 i8x2_i8 $i8x2 \
    's/maddubs_epi16(code\[j\], load(at + 32 \* j))/maddubs_epi16(load(at + 32 * j), code[j])/'
fault 'halves of a line exchanged' avx2 i8x2_i8 $i8x2 's/load(at + 32 \* j)/load(at + 32 * (j ^ 1))/'
fault 'last tokens left out' avx2 i8x2_i8 kernels/i8x2.h 's/t + 2 <= n_tok/t + 2 < n_tok/'
fault 'fused multiply-add' avx512 t2_i8 kernels/avx512_rows.h \
    's/_mm512_add_ps(total, sum)/_mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), d * a, total)/'
fault 'neighbours summed in place of halves' avx512 rmsnorm kernels/avx512_math.h \
    's/_mm_add_ps(_mm256_castps256_ps128(sum8)/_mm_hadd_ps(_mm256_castps256_ps128(sum8)/'
fault 'contraction left on' avx512 rmsnorm Makefile 's/-ffp-contract=off/-ffp-contract=fast/'
echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
[ "$n_failed" -eq 0 ]
