/* bnp.c: opens a model file; every rule of bnp.h's drawing is checked here and nowhere else. */
#include "src/bnp.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/utf8.h"

const uint8_t bnp_magic[8] = {0x8b, 'B', 'N', 'P', '\r', '\n', 0x1a, '\n'};

struct section {
    uint64_t off, n_bytes, hash;
};

struct entry { /* of the metadata */
    const char *key;
    const uint8_t *value;
    uint32_t n_bytes;
    uint8_t type, key_len;
};

static struct section load_section(const uint8_t *p)
{
    return (struct section){load_u64(p), load_u64(p + 8), load_u64(p + 16)};
}

static bool all_zero(const uint8_t *p, uint64_t n_bytes)
{
    for (uint64_t i = 0; i < n_bytes; i++)
        if (p[i])
            return false;
    return true;
}

bool bnp_name_ok(const char *name, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        char c = name[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
                  c == '-';
        if (!ok)
            return false;
    }
    return n_bytes >= 1 && n_bytes < BNP_NAME_BYTES;
}

bool bnp_text_ok(const char *text, size_t n_bytes)
{
    uint32_t c;
    for (size_t i = 0, n; i < n_bytes; i += n) {
        n = utf8_decode(text + i, n_bytes - i, &c);
        bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7f && c < 0xa0);
        if (n == 0 || control)
            return false;
    }
    return true;
}

/* What a file that has not our magic may be, and what its owner can do. */
static bool fail_magic(const uint8_t *b, uint64_t n_bytes, const char *path,
                       struct bitnet_error *err)
{
    static const struct {
        const char *start, *says;
    } known[] = {
        {"GGUF", "is a GGUF file; convert it: bitnet convert FILE -o model.bnp"},
        {"version https://git-lfs", "is a Git LFS pointer, not the model; fetch it: git lfs pull"},
        {"<", "is a web page, not a model; download the file itself"},
        {"{", "is JSON, not a model; a folder is converted so: bitnet convert DIR -o model.bnp"},
        {"PK\3\4", "is a zip archive, not a model"},
        {"\x0b" "BNP", "was damaged by a transfer as 7-bit text; copy it in binary mode"},
        {"\x8b" "BNP", "was damaged by a transfer as text; copy it in binary mode"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].start);
        if (n_bytes >= n && memcmp(b, known[i].start, n) == 0)
            return fail(err, BITNET_BAD, "%s: %s", path, known[i].says);
    }
    if (n_bytes > 9 && b[8] == '{' && load_u64(b) < n_bytes)
        return fail(err, BITNET_BAD, "%s: is a safetensors file; convert its folder: "
                    "bitnet convert DIR -o model.bnp", path);
    return fail(err, BITNET_BAD, "%s: not a .bnp model file (it starts with %02x %02x %02x %02x)",
                path, b[0], b[1], b[2], b[3]);
}

static bool check_header(const uint8_t *b, uint64_t n_bytes, const char *path,
                         struct bitnet_error *err)
{
    size_t n_magic = n_bytes < 8 ? (size_t)n_bytes : 8;
    if (memcmp(b, bnp_magic, n_magic) != 0 && n_bytes >= 4)
        return fail_magic(b, n_bytes, path, err);
    if (n_bytes < BNP_HEADER_BYTES)
        return fail(err, BITNET_BAD, "%s: has %" PRIu64 " bytes, a .bnp header has %d (cut short?)",
                    path, n_bytes, BNP_HEADER_BYTES);
    uint32_t version = load_u32(b + 8);
    if (version != BNP_VERSION)
        return fail(err, BITNET_BAD, "%s: .bnp version %" PRIu32 ", this bitnet reads version %d",
                    path, version, BNP_VERSION);
    if (load_u64(b + 184) != hash64(b, 184))
        return fail(err, BITNET_BAD, "%s: header checksum is %016" PRIx64 ", its bytes give %016"
                    PRIx64 " (damaged file)", path, load_u64(b + 184), hash64(b, 184));
    uint64_t file_bytes = load_u64(b + 16), flags = load_u64(b + 24);
    if (file_bytes != n_bytes)
        return fail(err, BITNET_BAD, "%s: has %" PRIu64 " bytes, its header says %" PRIu64 " (%s)",
                    path, n_bytes, file_bytes,
                    n_bytes < file_bytes ? "cut short?" : "something was appended?");
    if (flags != 0)
        return fail(err, BITNET_BAD, "%s: flags %#" PRIx64 ", this bitnet knows none", path, flags);
    if (!all_zero(b + 120, 64))
        return fail(err, BITNET_BAD, "%s: header bytes 120..183 are not zero", path);
    return true;
}

/* The section begins where it must after prev_end, lies inside the file, has its checksum. */
static bool check_section(const struct bnp *f, const struct section *s, const char *name,
                          uint64_t prev_end, struct bitnet_error *err)
{
    uint64_t want = round_up(prev_end, BNP_ALIGN);
    if (s->off != want)
        return fail(err, BITNET_BAD, "%s: %s begins at byte %" PRIu64 ", must begin at %" PRIu64,
                    f->path, name, s->off, want);
    if (s->off > f->n_bytes || s->n_bytes > f->n_bytes - s->off)
        return fail(err, BITNET_BAD, "%s: %s has %" PRIu64 " bytes from byte %" PRIu64
                    ", the file ends at %" PRIu64, f->path, name, s->n_bytes, s->off, f->n_bytes);
    if (!all_zero(f->bytes + prev_end, s->off - prev_end))
        return fail(err, BITNET_BAD, "%s: bytes before the %s are not zero", f->path, name);
    uint64_t hash = hash64(f->bytes + s->off, (size_t)s->n_bytes);
    if (hash != s->hash)
        return fail(err, BITNET_BAD, "%s: %s checksum is %016" PRIx64 ", its bytes give %016" PRIx64
                    " (damaged file)", f->path, name, s->hash, hash);
    return true;
}

/* Reads the entry at *off and moves on; false, err filled, when it is not right. */
static bool next_entry(const struct bnp *f, uint64_t *off, struct entry *e,
                       struct bitnet_error *err)
{
    const uint8_t *p = f->meta + *off;
    uint64_t left = f->meta_bytes - *off, at = *off;
    if (left < 16)
        return fail(err, BITNET_BAD, "%s: metadata ends inside its entry at byte %" PRIu64, f->path,
                    at);
    *e = (struct entry){(const char *)p + 8, NULL, load_u32(p + 4), p[0], p[1]};
    uint64_t key_end = 8 + (uint64_t)e->key_len, value_off = round_up(key_end + 1, 8);
    uint64_t value_end = value_off + e->n_bytes;
    uint64_t end = e->type == BNP_TEXT ? round_up(value_end + 1, 8) : value_end;
    if (e->type < BNP_TEXT || e->type > BNP_F64)
        return fail(err, BITNET_BAD, "%s: metadata at byte %" PRIu64 " has type %u, known are 1..3",
                    f->path, at, e->type);
    if (end > left)
        return fail(err, BITNET_BAD, "%s: metadata entry at byte %" PRIu64 " needs %" PRIu64
                    " bytes, %" PRIu64 " are left", f->path, at, end, left);
    if (load_u16(p + 2) != 0 || !bnp_name_ok(e->key, e->key_len) ||
        !all_zero(p + key_end, value_off - key_end))
        return fail(err, BITNET_BAD, "%s: metadata at byte %" PRIu64 " has no proper key", f->path,
                    at);
    e->value = p + value_off;
    if (e->type == BNP_TEXT) {
        if (!all_zero(p + value_end, end - value_end) ||
            !bnp_text_ok((const char *)e->value, e->n_bytes))
            return fail(err, BITNET_BAD, "%s: metadata '%s' is not proper text", f->path, e->key);
    } else if (e->n_bytes != 8 || (e->type == BNP_F64 && !isfinite(load_f64(e->value)))) {
        return fail(err, BITNET_BAD, "%s: metadata '%s' is not a proper number", f->path, e->key);
    }
    *off += end;
    return true;
}

static bool check_meta(const struct bnp *f, struct bitnet_error *err)
{
    const char *keys[BNP_MAX_KEYS];
    size_t n_keys = 0;
    struct entry e = {0};
    for (uint64_t off = 0; off < f->meta_bytes;) {
        if (!next_entry(f, &off, &e, err))
            return false;
        if (n_keys == BNP_MAX_KEYS)
            return fail(err, BITNET_BAD, "%s: metadata has more than %d keys", f->path,
                        BNP_MAX_KEYS);
        for (size_t i = 0; i < n_keys; i++)
            if (strcmp(keys[i], e.key) == 0)
                return fail(err, BITNET_BAD, "%s: metadata '%s' stands twice", f->path, e.key);
        keys[n_keys++] = e.key;
    }
    return true;
}

static bool bad_tensor(const struct bnp *f, const struct bnp_tensor *t, struct bitnet_error *err,
                       const char *what, uint64_t found, uint64_t wanted)
{
    return fail(err, BITNET_BAD, "%s: tensor '%s' %s %" PRIu64 ", must be %" PRIu64, f->path,
                t->name, what, found, wanted);
}

/* Reads and checks directory entry i; *end is where the tensor before it ends. */
static bool load_tensor(struct bnp *f, const uint8_t *p, size_t i, uint64_t *end,
                        struct bitnet_error *err)
{
    struct bnp_tensor *t = &f->tensors[i];
    size_t n_name = strnlen((const char *)p, BNP_NAME_BYTES);
    if (!bnp_name_ok((const char *)p, n_name) || !all_zero(p + n_name, BNP_NAME_BYTES - n_name))
        return fail(err, BITNET_BAD, "%s: tensor %zu has no proper name", f->path, i);
    memcpy(t->name, p, BNP_NAME_BYTES);
    uint32_t encoding = load_u32(p + 64), scale_kind = load_u32(p + 68), group = load_u32(p + 72);
    uint64_t n_rows = load_u64(p + 80), n_cols = load_u64(p + 88);
    t->off = load_u64(p + 96), t->n_bytes = load_u64(p + 104), t->hash = load_u64(p + 112);
    if (!layout_known(encoding, scale_kind, group))
        return fail(err, BITNET_BAD, "%s: tensor '%s' has encoding %" PRIu32 " with scale kind %"
                    PRIu32 " and group %" PRIu32 ", which this bitnet does not know", f->path,
                    t->name, encoding, scale_kind, group);
    if (n_rows < 1 || n_cols < 1 || n_rows > UINT32_MAX || n_cols > UINT32_MAX)
        return fail(err, BITNET_BAD, "%s: tensor '%s' is %" PRIu64 " x %" PRIu64
                    ", both must be 1..%" PRIu32, f->path, t->name, n_rows, n_cols, UINT32_MAX);
    uint64_t lines, scales, want;
    if (!layout_bytes((enum encoding)encoding, (enum scale_kind)scale_kind, group, n_rows, n_cols,
                      &lines, &scales) || !add_u64(lines, scales, &want))
        return fail(err, BITNET_BAD, "%s: tensor '%s' of %" PRIu64 " x %" PRIu64
                    " passes all bounds", f->path, t->name, n_rows, n_cols);
    if (t->n_bytes != want)
        return bad_tensor(f, t, err, "has length", t->n_bytes, want);
    if (t->off != round_up(*end, BNP_ALIGN))
        return bad_tensor(f, t, err, "begins at byte", t->off, round_up(*end, BNP_ALIGN));
    if (t->off > f->n_bytes || t->n_bytes > f->n_bytes - t->off)
        return fail(err, BITNET_BAD, "%s: tensor '%s' has %" PRIu64 " bytes from byte %" PRIu64
                    ", the file ends at %" PRIu64, f->path, t->name, t->n_bytes, t->off,
                    f->n_bytes);
    if (load_u32(p + 76) != 0 || load_u64(p + 120) != 0)
        return fail(err, BITNET_BAD, "%s: tensor '%s' has reserved bytes that are not zero",
                    f->path, t->name);
    *end = t->off + t->n_bytes;
    t->data = f->bytes + t->off;
    t->matrix = (struct matrix){
        .lines = t->data,
        .scale = scales ? (const float *)(const void *)(t->data + lines) : NULL,
        .n_rows = (size_t)n_rows,
        .n_cols = (size_t)n_cols,
        .group = group,
        .encoding = (uint8_t)encoding,
        .scale_kind = (uint8_t)scale_kind,
    };
    return true;
}

/* Sorts the heap's indices by name: heapsort, for it has no bad case and needs no context. */
static void sift_down(const struct bnp *f, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        uint32_t *v = f->by_name;
        if (child + 1 < n && strcmp(f->tensors[v[child]].name, f->tensors[v[child + 1]].name) < 0)
            child++;
        if (strcmp(f->tensors[v[i]].name, f->tensors[v[child]].name) >= 0)
            return;
        uint32_t swap = v[i];
        v[i] = v[child], v[child] = swap;
    }
}

static bool sort_names(struct bnp *f, struct bitnet_error *err)
{
    size_t n = f->n_tensors;
    for (size_t i = 0; i < n; i++)
        f->by_name[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;)
        sift_down(f, i, n);
    for (size_t last = n; last-- > 1;) {
        uint32_t swap = f->by_name[0];
        f->by_name[0] = f->by_name[last], f->by_name[last] = swap;
        sift_down(f, 0, last);
    }
    for (size_t i = 1; i < n; i++) {
        const char *name = f->tensors[f->by_name[i]].name;
        if (strcmp(f->tensors[f->by_name[i - 1]].name, name) == 0)
            return fail(err, BITNET_BAD, "%s: tensor '%s' stands twice", f->path, name);
    }
    return true;
}

static bool load_directory(struct bnp *f, const struct section *dir, struct bitnet_error *err)
{
    uint64_t data_off = load_u64(f->bytes + 104), data_bytes = load_u64(f->bytes + 112);
    uint64_t dir_end = dir->off + dir->n_bytes, want = round_up(dir_end, BNP_DATA_ALIGN);
    if (data_off != want)
        return fail(err, BITNET_BAD, "%s: data begins at byte %" PRIu64 ", must begin at %" PRIu64,
                    f->path, data_off, want);
    if (data_off > f->n_bytes || data_bytes != f->n_bytes - data_off)
        return fail(err, BITNET_BAD, "%s: data has %" PRIu64 " bytes from byte %" PRIu64
                    ", the file has %" PRIu64, f->path, data_bytes, data_off, f->n_bytes);
    if (!all_zero(f->bytes + dir_end, data_off - dir_end))
        return fail(err, BITNET_BAD, "%s: bytes before the data are not zero", f->path);
    f->tensors = calloc(f->n_tensors, sizeof *f->tensors);
    f->by_name = calloc(f->n_tensors, sizeof *f->by_name);
    if (!f->tensors || !f->by_name)
        return fail(err, BITNET_FAILED, "%s: out of memory", f->path);
    uint64_t end = data_off;
    for (size_t i = 0; i < f->n_tensors; i++)
        if (!load_tensor(f, f->bytes + dir->off + i * BNP_ENTRY_BYTES, i, &end, err))
            return false;
    if (round_up(end, BNP_ALIGN) != f->n_bytes)
        return fail(err, BITNET_BAD, "%s: the last tensor ends at byte %" PRIu64
                    ", the file at %" PRIu64, f->path, end, f->n_bytes);
    return sort_names(f, err);
}

static bool open_sections(struct bnp *f, struct bitnet_error *err)
{
    const uint8_t *b = f->bytes;
    if (!check_header(b, f->n_bytes, f->path, err))
        return false;
    struct section meta = load_section(b + 32), tok = load_section(b + 56);
    struct section dir = load_section(b + 80);
    uint32_t n_tensors = load_u32(b + 12);
    if (n_tensors < 1 || n_tensors > BNP_MAX_TENSORS)
        return fail(err, BITNET_BAD, "%s: %" PRIu32 " tensors, must be 1..%d", f->path, n_tensors,
                    BNP_MAX_TENSORS);
    if (dir.n_bytes != (uint64_t)n_tensors * BNP_ENTRY_BYTES)
        return fail(err, BITNET_BAD, "%s: directory has %" PRIu64 " bytes, %" PRIu32
                    " tensors need %" PRIu64, f->path, dir.n_bytes, n_tensors,
                    (uint64_t)n_tensors * BNP_ENTRY_BYTES);
    if (!check_section(f, &meta, "metadata", BNP_HEADER_BYTES, err) ||
        !check_section(f, &tok, "tokenizer", meta.off + meta.n_bytes, err) ||
        !check_section(f, &dir, "directory", tok.off + tok.n_bytes, err))
        return false;
    f->meta = b + meta.off, f->meta_bytes = meta.n_bytes;
    f->tokenizer = b + tok.off, f->tokenizer_bytes = tok.n_bytes;
    f->n_tensors = n_tensors;
    return check_meta(f, err) && load_directory(f, &dir, err);
}

bool bnp_open(struct bnp *f, const uint8_t *bytes, uint64_t n_bytes, const char *path,
              struct bitnet_error *err)
{
    *f = (struct bnp){.path = path, .bytes = bytes, .n_bytes = n_bytes};
    uint8_t one[4];
    uint32_t one_here = 1;
    store_u32(one, 1);
    if (memcmp(one, &one_here, 4) != 0)
        return fail(err, BITNET_FAILED, "%s: this machine is big-endian, which .bnp files do not "
                    "support", path);
    if (open_sections(f, err))
        return true;
    bnp_close(f);
    return false;
}

void bnp_close(struct bnp *f)
{
    free(f->tensors);
    free(f->by_name);
    *f = (struct bnp){0};
}

const struct bnp_tensor *bnp_find(const struct bnp *f, const char *name)
{
    size_t begin = 0, end = f->n_tensors;
    while (begin < end) {
        size_t mid = begin + (end - begin) / 2;
        const struct bnp_tensor *t = &f->tensors[f->by_name[mid]];
        int order = strcmp(name, t->name);
        if (order == 0)
            return t;
        if (order < 0)
            end = mid;
        else
            begin = mid + 1;
    }
    return NULL;
}

/* The entry called key, with this type. The metadata were checked when the file was opened. */
static bool find_entry(const struct bnp *f, const char *key, enum bnp_type type, struct entry *e)
{
    struct bitnet_error ignored = {0};
    for (uint64_t off = 0; off < f->meta_bytes && next_entry(f, &off, e, &ignored);)
        if (strcmp(e->key, key) == 0)
            return e->type == type;
    return false;
}

const char *bnp_text(const struct bnp *f, const char *key)
{
    struct entry e = {0};
    return find_entry(f, key, BNP_TEXT, &e) ? (const char *)e.value : NULL;
}

bool bnp_u64(const struct bnp *f, const char *key, uint64_t *out)
{
    struct entry e = {0};
    bool found = find_entry(f, key, BNP_U64, &e);
    if (found)
        *out = load_u64(e.value);
    return found;
}

bool bnp_f64(const struct bnp *f, const char *key, double *out)
{
    struct entry e = {0};
    bool found = find_entry(f, key, BNP_F64, &e);
    if (found)
        *out = load_f64(e.value);
    return found;
}

const char *bnp_meta_key(const struct bnp *f, size_t i)
{
    struct bitnet_error ignored = {0};
    struct entry e = {0};
    for (uint64_t off = 0; off < f->meta_bytes && next_entry(f, &off, &e, &ignored);)
        if (i-- == 0)
            return e.key;
    return NULL;
}

bool bnp_verify(const struct bnp *f, size_t i, struct bitnet_error *err)
{
    const struct bnp_tensor *t = &f->tensors[i];
    uint64_t hash = hash64(t->data, (size_t)t->n_bytes), end = t->off + t->n_bytes;
    if (hash != t->hash)
        return fail(err, BITNET_BAD, "%s: tensor '%s' (bytes %" PRIu64 "..%" PRIu64
                    "): checksum is %016" PRIx64 ", its bytes give %016" PRIx64 " (damaged file)",
                    f->path, t->name, t->off, end - 1, t->hash, hash);
    if (!all_zero(f->bytes + end, round_up(end, BNP_ALIGN) - end))
        return fail(err, BITNET_BAD, "%s: bytes after tensor '%s' are not zero", f->path, t->name);
    return true;
}

bool bnp_verify_codes(const struct bnp *f, size_t i, struct bitnet_error *err)
{
    const struct bnp_tensor *t = &f->tensors[i];
    size_t bad = layout_bad_block(&t->matrix), row = bad * BLOCK_ROWS, n_rows = t->matrix.n_rows;
    if (bad == layout_blocks(n_rows))
        return true;
    size_t last = n_rows - row < BLOCK_ROWS ? n_rows - 1 : row + BLOCK_ROWS - 1;
    return fail(err, BITNET_BAD, "%s: tensor '%s', rows %zu..%zu: %s; convert the model again from "
                "its source", f->path, t->name, row, last,
                t->matrix.encoding == ENC_I8X2 ? "a norm that is not its row's"
                                               : "a code without meaning");
}
