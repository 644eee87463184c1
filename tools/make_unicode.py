#!/usr/bin/env python3
"""Writes src/unicode_classes.c and src/unicode_nfc.c from the tables that Python carries.

    python3 tools/make_unicode.py src
"""
import sys
import unicodedata

N_CODES = 0x110000
WHITE_SPACE = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028,
               0x2029, 0x202F, 0x205F, 0x3000]  # PropList.txt; not a category, but fixed


def classes(code):
    bits = {"L": 1, "N": 2, "M": 4, "P": 8}.get(unicodedata.category(chr(code))[0], 0)
    return bits | (16 if code in WHITE_SPACE else 0)


def runs(value_of):
    """code << 8 | value wherever the value changes."""
    entries, last = [], None
    for code in range(N_CODES):
        value = value_of(code)
        if value != last:
            entries.append(code << 8 | value)
            last = value
    return entries


def decompositions():
    """(code, first, second or 0, composes): one level, canonical, without Hangul."""
    rows = []
    for code in range(N_CODES):
        parts = unicodedata.decomposition(chr(code))
        if parts and not parts.startswith("<"):
            first, *second = [int(p, 16) for p in parts.split()]
            composes = bool(second) and unicodedata.normalize("NFC", chr(code)) == chr(code)
            rows.append((code, first, second[0] if second else 0, composes))
    return rows


def table(kind, name, numbers):
    lines, line = [], "   "
    for number in numbers:
        text = " %s," % number
        if len(line) + len(text) > 90:
            lines.append(line)
            line = "   "
        line += text
    lines.append(line)
    return "const %s %s[] = {\n%s\n};\n" % (kind, name, "\n".join(lines))


def write(path, what, tables):
    version = unicodedata.unidata_version
    with open(path, "w", encoding="ascii") as f:
        f.write("/* %s of Unicode %s. Written by tools/make_unicode.py. */\n" % (what, version))
        f.write('#include "src/unicode_tables.h"\n')
        for kind, name, numbers in tables:
            f.write("\n" + table(kind, name, numbers))
            f.write("const size_t n_%s = sizeof %s / sizeof *%s;\n" % (name, name, name))


def main():
    folder = sys.argv[1]
    rows = decompositions()
    pairs = sorted((r[1], r[2], i) for i, r in enumerate(rows) if r[3])
    combining = runs(lambda code: unicodedata.combining(chr(code)))
    write(folder + "/unicode_classes.c", "Categories and combining classes",
          [("uint32_t", "unicode_class_runs", ["0x%x" % e for e in runs(classes)]),
           ("uint32_t", "unicode_combining_runs", ["0x%x" % e for e in combining])])
    write(folder + "/unicode_nfc.c", "Canonical decompositions and compositions",
          [("uint32_t", "unicode_decompositions", ["%d,%d,%d" % r[:3] for r in rows]),
           ("uint16_t", "unicode_compositions", [p[2] for p in pairs])])


main()
