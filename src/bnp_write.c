/* bnp_write.c: writes model files; bnp.h draws what comes out. What would be refused by the reader
 * is refused here first, so a file that was finished opens. */
#include "src/bnp_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/bnp.h"
#include "src/map.h"

enum { PIECE_BYTES = 1 << 18 };

struct bnp_writer {
    struct output file;
    struct buffer meta, tokenizer, directory, piece;
    struct hasher hasher;
    size_t keys[BNP_MAX_KEYS]; /* where the entries begin in meta */
    size_t n_keys;
    size_t n_tensors, current; /* declared; whose bytes come now */
    uint64_t end;              /* of the last tensor, from the beginning of the data */
    uint64_t n_done;           /* bytes of the current tensor */
    bool begun;
    struct bitnet_error first; /* of the calls that return nothing */
};

bool bnp_writer_open(struct bnp_writer **out, const char *path, struct bitnet_error *err)
{
    struct bnp_writer *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return fail(err, BITNET_FAILED, "%s: out of memory", path);
    if (!output_open(&w->file, path, err)) {
        free(w);
        return false;
    }
    *out = w;
    return true;
}

static void add_entry(struct bnp_writer *w, enum bnp_type type, const char *key,
                      const void *value, size_t n_bytes)
{
    size_t n_key = strlen(key);
    if (!bnp_name_ok(key, n_key) || n_bytes > UINT32_MAX - 8) {
        fail(&w->first, BITNET_BAD, "%s: metadata '%.64s' cannot be written: improper key",
             w->file.path, key);
        return;
    }
    if (w->n_keys == BNP_MAX_KEYS) {
        fail(&w->first, BITNET_BAD, "%s: more than %d metadata keys", w->file.path, BNP_MAX_KEYS);
        return;
    }
    w->keys[w->n_keys++] = w->meta.n_bytes;
    uint8_t head[8] = {(uint8_t)type, (uint8_t)n_key};
    store_u32(head + 4, (uint32_t)n_bytes);
    buffer_add(&w->meta, head, 8);
    buffer_add(&w->meta, key, n_key + 1);
    buffer_pad(&w->meta, 8);
    buffer_add(&w->meta, value, n_bytes);
    if (type == BNP_TEXT)
        buffer_add(&w->meta, "", 1);
    buffer_pad(&w->meta, 8);
}

void bnp_writer_text(struct bnp_writer *w, const char *key, const char *value)
{
    if (bnp_text_ok(value, strlen(value)))
        add_entry(w, BNP_TEXT, key, value, strlen(value));
    else
        fail(&w->first, BITNET_BAD, "%s: metadata '%.64s' cannot be written: the value is not "
             "UTF-8 without control characters", w->file.path, key);
}

void bnp_writer_u64(struct bnp_writer *w, const char *key, uint64_t value)
{
    uint8_t v[8];
    store_u64(v, value);
    add_entry(w, BNP_U64, key, v, 8);
}

void bnp_writer_f64(struct bnp_writer *w, const char *key, double value)
{
    uint8_t v[8];
    store_f64(v, value);
    if (isfinite(value))
        add_entry(w, BNP_F64, key, v, 8);
    else
        fail(&w->first, BITNET_BAD, "%s: metadata '%.64s' cannot be written: not finite",
             w->file.path, key);
}

void bnp_writer_tokenizer(struct bnp_writer *w, const void *section, size_t n_bytes)
{
    buffer_add(&w->tokenizer, section, n_bytes);
}

bool bnp_writer_declare(struct bnp_writer *w, const char *name, enum encoding e,
                        enum scale_kind s, uint32_t group, uint64_t n_rows, uint64_t n_cols,
                        struct bitnet_error *err)
{
    uint8_t entry[BNP_ENTRY_BYTES] = {0};
    uint64_t lines, scales;
    if (!bnp_name_ok(name, strlen(name)))
        return fail(err, BITNET_BAD, "%s: tensor name '%.80s' is improper", w->file.path, name);
    if (!layout_known(e, s, group))
        return fail(err, BITNET_BAD, "%s: tensor '%s': encoding %d with scale kind %d and group %"
                    PRIu32 " is unknown", w->file.path, name, (int)e, (int)s, group);
    if (n_rows < 1 || n_cols < 1 || n_rows > UINT32_MAX || n_cols > UINT32_MAX ||
        !layout_bytes(e, s, group, n_rows, n_cols, &lines, &scales) ||
        lines > INT64_MAX - scales - w->end - BNP_DATA_ALIGN)
        return fail(err, BITNET_BAD, "%s: tensor '%s' of %" PRIu64 " x %" PRIu64 " is too large "
                    "or empty", w->file.path, name, n_rows, n_cols);
    if (w->n_tensors == BNP_MAX_TENSORS)
        return fail(err, BITNET_BAD, "%s: more than %d tensors", w->file.path, BNP_MAX_TENSORS);
    memcpy(entry, name, strlen(name));
    store_u32(entry + 64, (uint32_t)e);
    store_u32(entry + 68, (uint32_t)s);
    store_u32(entry + 72, group);
    store_u64(entry + 80, n_rows);
    store_u64(entry + 88, n_cols);
    store_u64(entry + 96, round_up(w->end, BNP_ALIGN)); /* the data's offset is added later */
    store_u64(entry + 104, lines + scales);
    buffer_add(&w->directory, entry, sizeof entry);
    w->end = round_up(w->end, BNP_ALIGN) + lines + scales;
    w->n_tensors++;
    return true;
}

static uint64_t dir_off(const struct bnp_writer *w)
{
    uint64_t meta_end = BNP_HEADER_BYTES + w->meta.n_bytes;
    return round_up(round_up(meta_end, BNP_ALIGN) + w->tokenizer.n_bytes, BNP_ALIGN);
}

static uint64_t data_off(const struct bnp_writer *w)
{
    return round_up(dir_off(w) + w->directory.n_bytes, BNP_DATA_ALIGN);
}

static bool flush(struct bnp_writer *w, struct bitnet_error *err)
{
    size_t n_bytes = w->piece.n_bytes;
    w->piece.n_bytes = 0;
    if (w->piece.failed)
        return fail(err, BITNET_FAILED, "%s: out of memory", w->file.path);
    return output_write(&w->file, w->piece.data, n_bytes, err);
}

/* Small pieces are gathered, large ones pass through. */
static bool put(struct bnp_writer *w, const void *bytes, size_t n_bytes, struct bitnet_error *err)
{
    if (w->piece.n_bytes + n_bytes > PIECE_BYTES && !flush(w, err))
        return false;
    if (n_bytes >= PIECE_BYTES)
        return output_write(&w->file, bytes, n_bytes, err);
    buffer_add(&w->piece, bytes, n_bytes);
    return true;
}

static bool put_zeros(struct bnp_writer *w, uint64_t n_bytes, struct bitnet_error *err)
{
    static const uint8_t zeros[4096];
    for (; n_bytes > sizeof zeros; n_bytes -= sizeof zeros)
        if (!put(w, zeros, sizeof zeros, err))
            return false;
    return put(w, zeros, (size_t)n_bytes, err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Fails when one of the names, which are reordered, stands twice. */
static bool check_twice(const struct bnp_writer *w, const char **names, size_t n_names,
                        const char *what, struct bitnet_error *err)
{
    qsort(names, n_names, sizeof *names, by_text);
    for (size_t i = 1; i < n_names; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return fail(err, BITNET_BAD, "%s: %s '%s' stands twice", w->file.path, what, names[i]);
    return true;
}

static bool check_names(const struct bnp_writer *w, struct bitnet_error *err)
{
    const char **names = calloc(BNP_MAX_TENSORS, sizeof *names);
    if (!names)
        return fail(err, BITNET_FAILED, "%s: out of memory", w->file.path);
    for (size_t i = 0; i < w->n_tensors; i++)
        names[i] = (const char *)w->directory.data + i * BNP_ENTRY_BYTES;
    bool ok = check_twice(w, names, w->n_tensors, "tensor", err);
    for (size_t i = 0; i < w->n_keys; i++)
        names[i] = (const char *)w->meta.data + w->keys[i] + 8;
    ok = ok && check_twice(w, names, w->n_keys, "metadata key", err);
    free(names);
    return ok;
}

bool bnp_writer_begin(struct bnp_writer *w, struct bitnet_error *err)
{
    if (w->first.code != BITNET_OK)
        return fail(err, w->first.code, "%s", w->first.msg);
    if (w->meta.failed || w->tokenizer.failed || w->directory.failed)
        return fail(err, BITNET_FAILED, "%s: out of memory", w->file.path);
    if (w->n_tensors == 0)
        return fail(err, BITNET_BAD, "%s: no tensors", w->file.path);
    if (!check_names(w, err))
        return false;
    uint64_t tok_off = round_up(BNP_HEADER_BYTES + w->meta.n_bytes, BNP_ALIGN);
    uint64_t tok_end = tok_off + w->tokenizer.n_bytes;
    w->begun = true;
    hasher_init(&w->hasher);
    /* Header and directory are zeros until all is there: a file cut short has no magic. */
    return put_zeros(w, BNP_HEADER_BYTES, err) &&
           put(w, w->meta.data, w->meta.n_bytes, err) &&
           put_zeros(w, tok_off - BNP_HEADER_BYTES - w->meta.n_bytes, err) &&
           put(w, w->tokenizer.data, w->tokenizer.n_bytes, err) &&
           put_zeros(w, data_off(w) - tok_end, err);
}

bool bnp_writer_data(struct bnp_writer *w, const void *bytes, size_t n_bytes,
                     struct bitnet_error *err)
{
    if (!w->begun || w->current == w->n_tensors)
        return fail(err, BITNET_BAD, "%s: data beyond the last declared tensor", w->file.path);
    uint8_t *entry = w->directory.data + w->current * BNP_ENTRY_BYTES;
    uint64_t want = load_u64(entry + 104);
    if (n_bytes > want - w->n_done)
        return fail(err, BITNET_BAD, "%s: tensor '%s' got more than its %" PRIu64 " bytes",
                    w->file.path, (char *)entry, want);
    hasher_add(&w->hasher, bytes, n_bytes);
    w->n_done += n_bytes;
    if (!put(w, bytes, n_bytes, err))
        return false;
    if (w->n_done < want)
        return true;
    store_u64(entry + 112, hasher_value(&w->hasher));
    hasher_init(&w->hasher);
    w->n_done = 0;
    w->current++;
    return put_zeros(w, round_up(want, BNP_ALIGN) - want, err);
}

static void store_section(uint8_t *p, uint64_t off, const struct buffer *b)
{
    store_u64(p, off);
    store_u64(p + 8, b->n_bytes);
    store_u64(p + 16, hash64(b->data, b->n_bytes));
}

static void make_header(const struct bnp_writer *w, uint8_t h[BNP_HEADER_BYTES])
{
    uint64_t data = data_off(w), data_bytes = round_up(w->end, BNP_ALIGN);
    memset(h, 0, BNP_HEADER_BYTES);
    memcpy(h, bnp_magic, sizeof bnp_magic);
    store_u32(h + 8, BNP_VERSION);
    store_u32(h + 12, (uint32_t)w->n_tensors);
    store_u64(h + 16, data + data_bytes);
    store_section(h + 32, BNP_HEADER_BYTES, &w->meta);
    store_section(h + 56, round_up(BNP_HEADER_BYTES + w->meta.n_bytes, BNP_ALIGN),
                  &w->tokenizer);
    store_section(h + 80, dir_off(w), &w->directory);
    store_u64(h + 104, data);
    store_u64(h + 112, data_bytes);
    store_u64(h + 184, hash64(h, 184));
}

bool bnp_writer_finish(struct bnp_writer *w, struct bitnet_error *err)
{
    uint8_t header[BNP_HEADER_BYTES];
    if (!w->begun || w->current < w->n_tensors)
        return fail(err, BITNET_BAD, "%s: tensor '%s' is incomplete", w->file.path,
                    w->begun ? (char *)w->directory.data + w->current * BNP_ENTRY_BYTES : "");
    for (size_t i = 0; i < w->n_tensors; i++) {
        uint8_t *off = w->directory.data + i * BNP_ENTRY_BYTES + 96;
        store_u64(off, load_u64(off) + data_off(w));
    }
    make_header(w, header);
    return flush(w, err) &&
           output_write_at(&w->file, dir_off(w), w->directory.data, w->directory.n_bytes, err) &&
           output_write_at(&w->file, 0, header, sizeof header, err) &&
           output_commit(&w->file, err);
}

void bnp_writer_close(struct bnp_writer *w)
{
    if (!w)
        return;
    output_abandon(&w->file);
    buffer_free(&w->meta);
    buffer_free(&w->tokenizer);
    buffer_free(&w->directory);
    buffer_free(&w->piece);
    free(w);
}
