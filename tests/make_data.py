#!/usr/bin/env python3
"""Writes tests/data: two small vocabularies of our own in every form that carries one, and what a
naive second implementation (regular expressions, quadratic merging) makes of many texts.

    python3 tests/make_data.py tests/data        needs the package "regex"
"""
import base64
import json
import os
import random
import struct
import sys
import unicodedata
import zlib

import regex

CORPUS = """Once upon a time there was a little dog who lived near the river. Every day the dog
went to the water and looked at the fish. "I'll catch you," said the dog; the fish didn't answer.
They're quick, and it's not easy: in 1999 he caught 12, in 2024 only 3. The others weren't there.
Naïve cafés über Straßen, déjà vu; привет мир, как дела? 你好,世界。 for (i = 0; i < 100; i++) {
    x += i * 2;    // the sum of the numbers
}\r\n\tthe end of the day, the end of the river, the water and the fish and the dog\n\n\n"""
PIECES = [" ", "  ", "    ", "\n", "\r\n", "\t", "\r", "the", "dog", " the", "water", "'s", "'S", "'ll",
          "'LL", "'Re", "'ve", "'m", "'D", "'", "''", "1", "12", "123", "1234", "12345", "٣", "²", "Ⅷ",
          "é", "e\u0301", "a\u0323\u0307", "\u0301", "ſ", "привет", "мир", "你好", "世", "한글",
          "\u1112\u1161\u11ab", "ก็", "ที่", "$", "+", "`", "~", "<|", "!", "...", "“", "—", "/*", "_",
          "\u00a0", "\u3000", "\u2028", "\u0085", "\x0b", "\x1f", "\x00", "😀", "👨\u200d👩", "\u200b",
          "ﬁ", "Å", "\u212b", "½", "i=0;", "//", "<think>", "<|eot_id|>", "<|begin_of_text|>", "x" * 9,
          "\u0939\u093f", "ß", "K", "‿"]
LETTERS, SPACES = r"\p{L}", r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
NO_SPACES = "[^" + SPACES[1:]
END = r"|" + SPACES + r"+(?!" + NO_SPACES + ")|" + SPACES + "+"


def llama3(letters, marks, digits):
    no = SPACES[1:-1] + r"\p{L}\p{N}" + marks
    return (r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?" + letters
            + "+|" + digits + "| ?[^" + no + r"]+[\r\n]*|" + SPACES + r"*[\r\n]+" + END)


GPT2 = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^" + SPACES[1:-1] + r"\p{L}\p{N}]+" + END)
PASSES = {
    "gpt2": [GPT2],
    "llama3": [llama3(LETTERS, "", r"\p{N}{1,3}")],
    "qwen2": [llama3(LETTERS, "", r"\p{N}")],
    "qwen35": [llama3(r"[\p{L}\p{M}]", r"\p{M}", r"\p{N}")],
    "falcon": [r"[\p{P}$+<=>^~|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "default": [r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
}
FAMILIES = {"gpt2": 1, "llama3": 2, "qwen2": 3, "qwen35": 4, "falcon": 5, "default": 6}


def chunks(family, text):
    parts = [text]
    for pattern in PASSES[family]:
        cut = []
        for part in parts:
            at = 0
            for match in regex.finditer(pattern, part):
                cut += [part[at:match.start()], match.group()]
                at = match.end()
            cut.append(part[at:])
        parts = [c for c in cut if c]
    return parts


def glyph(byte):
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(byte) if byte in plain else chr(256 + [b for b in range(256) if b not in plain].index(byte))


def mapped(data):
    return "".join(glyph(b) for b in data)


class Bpe:
    specials = {"<|begin_of_text|>": 3, "<|end_of_text|>": 3, "<|eot_id|>": 3, "<think>": 4}

    def __init__(self):
        self.tokens = [bytes([b]) for b in range(256)]
        self.merges = []
        words = [[self.tokens[b] for b in c.encode()] for c in chunks("llama3", CORPUS)]
        while len(self.merges) < 180:
            counts = {}
            for word in words:
                for pair in zip(word, word[1:]):
                    counts[pair] = counts.get(pair, 0) + 1
            pair = max(counts, key=lambda p: (counts[p], p))
            self.merges.append(pair)
            self.tokens.append(pair[0] + pair[1])
            words = [join(word, pair) for word in words]
        # A token that merging alone never makes, only taking a whole chunk as it is.
        self.tokens.append(b" xxxxxxxxx")
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.ids = {t: i for i, t in enumerate(self.tokens)}

    def scramble(self, seed):
        """Merges that no text suggests: ranks and lengths compete at every place."""
        rng = random.Random(seed)
        self.tokens, self.merges = self.tokens[:256], []
        known = [b"a", b"b", b"c"]
        while len(self.merges) < 250:
            pair = (rng.choice(known), rng.choice(known))
            if pair in self.merges or len(pair[0] + pair[1]) > 6:
                continue
            self.merges.append(pair)
            if pair[0] + pair[1] not in known:
                self.tokens.append(pair[0] + pair[1])
                known.append(pair[0] + pair[1])
        rng.shuffle(self.merges)
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.ids = {t: i for i, t in enumerate(self.tokens)}

    def merge(self, chunk, rank_of):
        word = [bytes([b]) for b in chunk]
        while True:
            ranks = [(rank_of(a, b), i) for i, (a, b) in enumerate(zip(word, word[1:]))]
            ranks = [r for r in ranks if r[0] is not None]
            if not ranks:
                return [self.ids[p] for p in word]
            i = min(ranks)[1]
            word[i:i + 2] = [word[i] + word[i + 1]]

    def encode(self, family, text, ignore=False, nfc=False, tiktoken=False):
        ids = []
        for chunk in chunks(family, unicodedata.normalize("NFC", text) if nfc else text):
            data = chunk.encode()
            if (ignore or tiktoken) and data in self.ids:
                ids.append(self.ids[data])
            elif tiktoken:
                ids += self.merge(data, lambda a, b: self.ids.get(a + b))
            else:
                ids += self.merge(data, lambda a, b: self.rank.get((a, b)))
        return ids

    def encode_special(self, family, text, special, **how):
        """Cut at special tokens; without `special` at user tokens alone."""
        names = [n for n, t in self.specials.items() if special or t == 4]
        ids = []
        for part in regex.split("(" + "|".join(map(regex.escape, names)) + ")", text):
            if part in names:
                ids.append(len(self.tokens) + list(self.specials).index(part))
            elif part:
                ids += self.encode(family, part, **how)
        return ids


def join(word, pair):
    out = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] = out[-1] + piece
        else:
            out.append(piece)
    return out


class Spm:
    """Pieces with scores; texts are in the form with the glyph for a space."""

    def __init__(self, bpe):
        words = [t.decode("utf-8", "ignore") for t in bpe.tokens[256:]]
        words = [w.replace(" ", "▁") for w in words if w and w.isprintable() and "�" not in w]
        words = [w for w in words if "▁" not in w[1:]]
        self.pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
        self.pieces += [("<0x%02X>" % b, 0.0, 6) for b in range(256)]
        made = [w for w in dict.fromkeys(words + ["▁▁", "▁▁▁▁", "▁t", "▁th"]) if len(w) > 1]
        parts, rank = {c for w in made for c in w}, 0
        for word in sorted(made, key=len):  # only what merges reach
            if any(word[:i] in parts and word[i:] in parts for i in range(1, len(word))):
                parts.add(word)
        made = [w for w in made if w in parts]
        for rank, word in enumerate(made):
            self.pieces.append((word, -float(rank), 1))
        for char in sorted({c for w in made for c in w}):
            rank += 1
            self.pieces.append((char, -float(rank), 1))
        self.ids = {p[0]: i for i, p in enumerate(self.pieces)}
        self.score = {p[0]: p[1] for p in self.pieces if p[2] == 1}

    def encode(self, text):
        if not text:
            return []
        word = list("▁" + text.replace(" ", "▁"))
        while True:
            pairs = [(-self.score[a + b], i) for i, (a, b) in enumerate(zip(word, word[1:]))
                     if a + b in self.score]
            if not pairs:
                break
            i = min(pairs)[1]
            word[i:i + 2] = [word[i] + word[i + 1]]
        ids = []
        for piece in word:
            ids += [self.ids[piece]] if piece in self.score else [3 + b for b in piece.encode()]
        return ids

    def merges(self):
        known, out = self.score, []
        for word in sorted((w for w in known if len(w) > 1), key=lambda w: -known[w]):
            out += [[word[:i], word[i:]] for i in range(1, len(word))
                    if word[:i] in known and word[i:] in known]
        return out


def texts(seed, n):
    rng = random.Random(seed)
    fixed = ["", " ", "a", "\n", "  the dog  ", "'s", " 's", "1234567", "don't DON'T", "xxxxxxxxx xxxxxxxxx"]
    return fixed + ["".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 14))) for _ in range(n)]


def letters(seed, n):
    """Words in which merges compete."""
    rng = random.Random(seed)
    return ["".join(rng.choice("theodgwarifs nd") for _ in range(rng.randrange(20, 60)))
            for _ in range(n)]


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=0, separators=(",", ":"))
        f.write("\n")


def added(first, specials):
    return [{"id": first + i, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": kind == 3} for i, (name, kind) in enumerate(specials.items())]


def write_scrambled(folder, bpe):
    write_json(folder + "/scrambled.json", {
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "model": {"type": "BPE", "vocab": {mapped(t): i for i, t in enumerate(bpe.tokens)},
                  "merges": [[mapped(a), mapped(b)] for a, b in bpe.merges]}})
    rng = random.Random(3)
    with open(folder + "/cases.jsonl", "a", encoding="ascii") as f:
        for i in range(200):
            text = "".join(rng.choice("abc") for _ in range(rng.randrange(10, 50)))
            row = {"kind": "scrambled", "text": text, "ids": bpe.encode("gpt2", text)}
            f.write(json.dumps(row, separators=(",", ":")) + "\n")


LLAMA3_TEXT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def write_bpe(folder, bpe):
    n = len(bpe.tokens)
    config = {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>"},
              "chat_template": "{{ 'User: ' + text }}"}
    write_json(folder + "/bpe/tokenizer.json", {
        "version": "1.0", "added_tokens": added(n, bpe.specials), "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": LLAMA3_TEXT}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "model": {"type": "BPE", "ignore_merges": True, "byte_fallback": False,
                  "vocab": {mapped(t): i for i, t in enumerate(bpe.tokens)},
                  "merges": [mapped(a) + " " + mapped(b) for a, b in bpe.merges]}})
    write_json(folder + "/bpe/tokenizer_config.json", config)
    write_json(folder + "/bpe/generation_config.json", {"eos_token_id": [n + 1, n + 2]})
    config["added_tokens_decoder"] = {str(a["id"]): a for a in added(n, bpe.specials)}
    write_json(folder + "/tiktoken/tokenizer_config.json", config)
    with open(folder + "/tiktoken/tokenizer.model", "wb") as f:
        for i, token in enumerate(bpe.tokens):
            f.write(base64.b64encode(token) + b" %d\n" % i)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def write_spm(folder, spm):
    vocab = {p[0]: i for i, p in enumerate(spm.pieces)}
    specials = {"<unk>": 3, "<s>": 3, "</s>": 3}
    write_json(folder + "/spm/tokenizer.json", {
        "version": "1.0", "added_tokens": added(0, specials), "pre_tokenizer": None,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
        "model": {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True,
                  "vocab": vocab, "merges": spm.merges()}})
    with open(folder + "/spm.model", "wb") as f:
        for text, score, kind in spm.pieces:
            body = field(1, text.encode()) + b"\x15" + struct.pack("<f", score)
            f.write(field(1, body + (b"\x18" + varint(kind) if kind != 1 else b"")))
        f.write(field(2, b"\x18\x02" + b"".join(varint(k << 3) + varint(v)
                                               for k, v in ((40, 0), (41, 1), (42, 2)))))
        f.write(field(3, field(1, b"identity") + b"\x18\x01\x20\x00"))


def gguf_text(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(path, pairs):
    """pairs: key, kind, value; a list is an array of that kind."""
    forms = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}
    out = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs))
    for key, kind, value in pairs:
        one = gguf_text if kind == 8 else lambda v, k=kind: struct.pack(forms[k], v)
        out += gguf_text(key)
        if isinstance(value, list):
            out += struct.pack("<IIQ", 9, kind, len(value)) + b"".join(map(one, value))
        else:
            out += struct.pack("<I", kind) + one(value)
    with open(path, "wb") as f:
        f.write(out + b"\0" * (-len(out) % 32))


def write_gguf(folder, bpe, spm):
    n = len(bpe.tokens)
    t = "tokenizer.ggml."
    gguf(folder + "/bpe.gguf", [
        ("general.architecture", 8, "llama"), (t + "model", 8, "gpt2"), (t + "pre", 8, "llama-bpe"),
        (t + "tokens", 8, [mapped(x) for x in bpe.tokens] + list(bpe.specials)),
        (t + "token_type", 5, [1] * n + list(bpe.specials.values())),
        (t + "merges", 8, [mapped(a) + " " + mapped(b) for a, b in bpe.merges]),
        (t + "bos_token_id", 4, n), (t + "eos_token_id", 4, n + 1), (t + "eot_token_id", 4, n + 2),
        ("tokenizer.chat_template", 8, "{{ 'User: ' + text }}")])
    gguf(folder + "/spm.gguf", [
        ("general.architecture", 8, "llama"), (t + "model", 8, "llama"),
        (t + "tokens", 8, [p[0] for p in spm.pieces]), (t + "scores", 6, [p[1] for p in spm.pieces]),
        (t + "token_type", 5, [p[2] for p in spm.pieces])])


def write_cases(path, bpe, spm):
    rows = []
    for family, number in FAMILIES.items():
        for text in texts(number, 30):
            nfc = family.startswith("qwen")
            rows.append({"kind": family, "text": text,
                         "ids": bpe.encode_special(family, text, False, nfc=nfc)})
    for text in texts(77, 40) + letters(78, 80):
        rows.append({"kind": "whole", "text": text,
                     "ids": bpe.encode_special("llama3", text, False, ignore=True)})
        rows.append({"kind": "special", "text": text,
                     "ids": bpe.encode_special("llama3", text, True, ignore=True)})
        rows.append({"kind": "tiktoken", "text": text,
                     "ids": bpe.encode_special("llama3", text, False, tiktoken=True)})
    for text in texts(99, 60) + letters(98, 100):
        rows.append({"kind": "spm", "text": text, "ids": spm.encode(text)})
    with open(path, "w", encoding="ascii") as f:
        for row in rows:
            f.write(json.dumps(row, separators=(",", ":")) + "\n")


def write_chunks(path):
    """Lengths of the chunks, in bytes."""
    with open(path, "w", encoding="ascii") as f:
        for family in FAMILIES:
            for text in texts(11, 200):
                row = {"family": family, "text": text,
                       "chunks": [len(c.encode()) for c in chunks(family, text)]}
                f.write(json.dumps(row, separators=(",", ":")) + "\n")


def write_unicode(path):
    """Checksums over all code points, and over texts that both sides draw with one generator."""
    spaces = regex.compile(SPACES)
    bits = {"L": 1, "N": 2, "M": 4, "P": 8}
    classes = bytes(bits.get(unicodedata.category(chr(c))[0], 0) | (16 if spaces.match(chr(c)) else 0)
                    for c in range(0x110000))
    scalars = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    singles = "\n".join(unicodedata.normalize("NFC", chr(c)) for c in scalars).encode()
    # Characters that decompose, combine or compose, in random order.
    busy = [c for c in scalars if unicodedata.combining(chr(c)) or unicodedata.decomposition(chr(c))
            or 0x1100 <= c < 0x1200 or 0xAC00 <= c < 0xAC40 or 0x41 <= c < 0x7B]
    busy = random.Random(5).sample(busy, 1500)
    state, drawn = 1, []
    for i in range(200000):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        drawn.append(busy[(state >> 33) % len(busy)])
    mixed = unicodedata.normalize("NFC", "".join(map(chr, drawn))).encode()
    with open(path, "w", encoding="ascii") as f:
        f.write("version %s\n" % unicodedata.unidata_version)
        f.write("classes %d %08x\n" % (len(classes), zlib.crc32(classes)))
        f.write("singles %d %08x\n" % (len(singles), zlib.crc32(singles)))
        f.write("busy %d %s\n" % (len(busy), " ".join("%x" % c for c in busy)))
        f.write("mixed %d %08x\n" % (len(mixed), zlib.crc32(mixed)))


def main():
    folder = sys.argv[1]
    bpe = Bpe()
    spm = Spm(bpe)
    write_bpe(folder, bpe)
    write_spm(folder, spm)
    write_gguf(folder, bpe, spm)
    write_cases(folder + "/cases.jsonl", bpe, spm)
    bpe.scramble(1)
    write_scrambled(folder, bpe)
    write_chunks(folder + "/chunks.jsonl")
    write_unicode(folder + "/unicode.txt")


main()
