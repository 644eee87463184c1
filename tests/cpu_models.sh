#!/bin/sh
# The same program under other processors, by emulation: the right tier is chosen, instructions
# that trap are survived, and the text is the same.
set -u
cd "$(dirname "$0")/.." || exit 1
n_passed=0 n_failed=0 RUN=${RUN:-}
case $(basename "$OUT") in
x86_64*) emulator=qemu-x86_64 models='Nehalem:scalar Haswell-noTSX:avx2 Opteron_G5:scalar' ;;
aarch64*)
    emulator=qemu-aarch64
    models='cortex-a53:neon cortex-a76:neon-dotprod max:neon-i8mm'
    export QEMU_LD_PREFIX="${QEMU_LD_PREFIX:-/usr/aarch64-linux-gnu}"
    ;;
*) emulator=none models= ;;
esac
case $(basename "$OUT") in
*address* | *thread*) emulator=none ;; # the sanitizers' memory does not fit the emulator
esac
if ! command -v "$emulator" >/dev/null; then
    echo "skip: no emulator for $(basename "$OUT")"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
check() { # what, got, want
    if [ "$2" = "$3" ]; then
        n_passed=$((n_passed + 1))
    else
        echo "FAIL $1: '$2', want '$3'"
        n_failed=$((n_failed + 1))
    fi
}
want=$($RUN "$OUT/bitnet" -p "Once upon a time" -n 8 --temp 0)
for model in $models; do
    cpu=${model%:*} tier=${model#*:}
    check "$cpu" "$($emulator -cpu "$cpu" "$OUT/tests/test_dispatch" --print 2>/dev/null)" "$tier"
    got=$($emulator -cpu "$cpu" "$OUT/tests/test_dispatch" 2>/dev/null | tail -n 1)
    check "$cpu, claims that are not true" "${got#* passed, }" "0 failed, 0 skipped"
    check "$cpu, text" \
        "$($emulator -cpu "$cpu" "$OUT/bitnet" -p "Once upon a time" -n 8 --temp 0 2>/dev/null)" \
        "$want"
done
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
