#!/bin/sh
# The AVX-512 kernels under Bochs, for machines without them: qemu has no AVX-512. Boots Debian's
# cloud kernel with static programs of ours as its whole system, on two processors: one with all
# that the tier needs, and one that has AVX-512 but not VNNI. EVERY: one case in so many, as an
# emulated one takes about a hundred times as long.
#
# Bochs 2.7 itself is wrong about one instruction: vcvtps2ph does not round as processors do, so
# to_f16 is left out here (the AVX2 tier's, the same instruction, is checked where tests run), and
# the start-up self-test refuses the tiers that use it.
set -u
cd "$(dirname "$0")/.." || exit 1
n_passed=0 n_failed=0
for tool in bochs-bin xorriso cpio dpkg-deb; do
    if ! command -v "$tool" >/dev/null; then
        echo "skip: no $tool"
        echo "0 passed, 0 failed, 1 skipped"
        exit 0
    fi
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
out=build/x86_64-static

check() { # what, text, pattern
    if printf '%s\n' "$2" | grep -qE "$3"; then
        n_passed=$((n_passed + 1))
    else
        echo "FAIL $1: wanted $3 in:"
        printf '%s\n' "$2" | tail -n 30
        n_failed=$((n_failed + 1))
    fi
}

prepare() {
    make -s -j2 CC=gcc OUT=$out CFLAGS='-O2 -static' $out/bitnet $out/tests/check_kernels &&
        gcc -O2 -static -o "$work/init" tests/emulated_init.c || return 1
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
    (cd "$work" && apt-get download -q "$package" && dpkg-deb -x linux-image-*.deb kernel) || return 1
    mkdir -p "$work/root/proc" "$work/root/dev" "$work/iso"
    cp "$work/init" $out/bitnet $out/tests/check_kernels "$work/root"
    cp "$work"/kernel/boot/vmlinuz-* "$work/iso/linux"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso"
    cat >"$work/iso/isolinux.cfg" <<EOF
default t
prompt 0
timeout 0
label t
kernel linux
append initrd=initrd console=ttyS0,115200 mitigations=off nokaslr tsc=reliable lpj=1000000 clearcpuid=pku,xsavec,xsaves,fsrm
EOF
}

# boot CPU SECONDS: runs $work/root/jobs; leaves what they print in $work/jobs.out.
boot() {
    (cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/iso/initrd"
    xorriso -as mkisofs -quiet -o "$work/t.iso" -b isolinux.bin -c boot.cat -no-emul-boot \
        -boot-load-size 4 -boot-info-table "$work/iso" 2>/dev/null || return 1
    cat >"$work/rc" <<EOF
config_interface: textconfig
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=$1, ips=50000000, reset_on_triple_fault=0
memory: guest=1024, host=1024
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=t.iso, status=inserted
boot: cdrom
log: bochs.log
panic: action=fatal
com1: enabled=1, mode=file, dev=com1
com2: enabled=1, mode=file, dev=com2
clock: sync=none
EOF
    (cd "$work" && rm -f com1 com2 && echo c |
        TERM=vt100 timeout -s KILL "$2" bochs-bin -q -f rc >/dev/null 2>&1)
    tr -d '\r' <"$work/com2" >"$work/jobs.out" 2>/dev/null
    grep -q '^== end' "$work/jobs.out" || tail -n 5 "$work/com1"
}

# What job number $1 printed, with its closing mark.
job() {
    sed -n "/^== begin $1\$/,/^== end $1 /p" "$work/jobs.out"
}

prepare >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}
printf '%s\n' /check_kernels --tier avx512 --without to_f16 --every "${EVERY:-20}" '' \
    /check_kernels --tier zen4 --kernel t2_i8 --every "${EVERY:-20}" >"$work/root/jobs"
boot corei7_icelake_u 1200
job 1 | grep -E '^(FAIL|avx512)'
check 'kernels with VNNI' "$(job 1)" '^== end 1 0$'
check 'kernels with VBMI2' "$(job 2)" '^== end 2 0$'
check 'zen4' "$(job 2)" '^zen4 +t2_i8 +[1-9][0-9]* cases'
for kernel in t2_i8 t1_6_i8 b1_i8 b1_sign b1_planes t2_planes i8_i8 i8x2_i8 i6_i8 i4_i8 qk_f16 rmsnorm; do
    check "$kernel" "$(job 1)" "^avx512 +$kernel +[1-9][0-9]* cases"
done

printf '%s\n' /bitnet --tier avx512 -p x -n 1 '' /bitnet --tier avx2 -p x -n 1 >"$work/root/jobs"
boot corei7_skylake_x 600
check 'without VNNI' "$(job 1)" "this machine cannot run tier 'avx512'"
check 'exit status' "$(job 1)" '^== end 1 2$'
check 'AVX2 beside it' "$(job 2)" "'avx2' gives wrong numbers here \(to_f16\)"
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
