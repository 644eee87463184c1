#!/bin/sh
# Dependencies run one way: a file includes only modules that stand to the left of its own in the
# order below (| separates groups; within a group none includes another). Preprocessor conditions
# stay in the few files that know the platform.
set -u
cd "$(dirname "$0")/.." || exit 1
order='base fmath utf8 scan | pool map json unicode | arena bnp bnp_write pretok progress read_speed | model tokenizer template | kv rope project | attention head | forward sampler | bitnet | machine args lineedit | cmd | main'
may_use_if='kernels/dispatch.c kernels/half.h src/map.c src/pool.c src/machine.c'
n_passed=0 n_failed=0
bad() {
    echo "FAIL $*"
    n_failed=$((n_failed + 1))
}

for f in src/*.[ch]; do
    lines=$(awk -v order="$order" -v file="$f" '
        function rank(name,  base) {
            base = name; sub(/^src\//, "", base); sub(/\.[ch]$/, "", base)
            if (base in r) return r[base]
            while (sub(/_[a-z0-9]*$/, "", base)) if (base in r) return r[base]
            return -1
        }
        BEGIN {
            n = split(order, groups, "|")
            for (i = 1; i <= n; i++) { m = split(groups[i], names, " "); for (j = 1; j <= m; j++) r[names[j]] = i }
            me = rank(file)
            if (me < 0) print file ": not in the order of tests/check_layers.sh"
            own = file; sub(/\.[ch]$/, "", own); stem = own; sub(/_[a-z0-9]*$/, "", stem)
        }
        /^#include "/ {
            split($0, part, "\""); other = part[2]
            if (other ~ /^(kernels|include)\//) next
            if (file ~ /main|cmd_/ && other ~ /^tools\//) next
            if (other !~ /^src\//) { print file ": includes " other; next }
            name = other; sub(/\.h$/, "", name); oth = name; sub(/_[a-z0-9]*$/, "", oth)
            if (name == own || name == stem || oth == own || oth == stem) next
            if (rank(other) >= me) print file ": includes " other ", which does not stand below it"
        }' "$f")
    if [ -n "$lines" ]; then bad "$lines"; else n_passed=$((n_passed + 1)); fi
done
for f in kernels/*.[ch]; do
    if grep -n '^#include "' "$f" | grep -v '"kernels/'; then bad "$f includes upward"; else n_passed=$((n_passed + 1)); fi
done
for f in src/*.c kernels/*.c tools/*.c; do
    case " $may_use_if " in *" $f "*) continue ;; esac
    if grep -nE '^# *(if|ifdef|ifndef)\b' "$f"; then bad "$f has a preprocessor condition"; else n_passed=$((n_passed + 1)); fi
done
for f in src/*.[ch] kernels/*.[ch] tools/*.[ch] tests/*.[ch]; do
    [ -f "$f" ] || continue
    case $f in kernels/*.c) most=900 ;; src/unicode_tables.c) most=100000 ;; *) most=600 ;; esac
    n=$(wc -l <"$f")
    if [ "$n" -gt "$most" ]; then bad "$f: $n lines, at most $most"; else n_passed=$((n_passed + 1)); fi
done
echo "$n_passed passed, $n_failed failed, 0 skipped"
[ "$n_failed" -eq 0 ]
