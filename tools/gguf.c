/* gguf.c: reads a GGUF header with a cursor that never trusts a length: each is compared with what
 * the file still holds before anything is allocated or read. The header is read into memory as
 * the cursor advances, since nothing says in advance how long it is. */
#include "tools/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY_BYTES = 1 << 16, MAX_PARTS = 1000, PIECE_BYTES = 1 << 20 };
static const uint64_t max_header_bytes = 1ull << 29;

struct cursor {
    struct gguf_part *part;
    uint64_t at;      /* next byte */
    uint64_t n_alloc; /* of part->header; header_bytes of it are read */
    struct bitnet_error *err;
};

/* Makes the next n_bytes present; *p is their offset, since the buffer may move later. */
static bool take(struct cursor *c, uint64_t n_bytes, uint64_t *off)
{
    struct gguf_part *part = c->part;
    if (n_bytes > part->file.n_bytes - c->at)
        return fail(c->err, BITNET_BAD,
                    "%s: cut short in its header: %llu bytes wanted at byte %llu of %llu",
                    part->file.path, (unsigned long long)n_bytes, (unsigned long long)c->at,
                    (unsigned long long)part->file.n_bytes);
    uint64_t end = c->at + n_bytes;
    if (end > max_header_bytes)
        return fail(c->err, BITNET_BAD, "%s: header is longer than %llu bytes", part->file.path,
                    (unsigned long long)max_header_bytes);
    if (end > part->header_bytes) {
        uint64_t want = end + PIECE_BYTES;
        if (want > part->file.n_bytes)
            want = part->file.n_bytes;
        if (want > c->n_alloc) {
            uint64_t grown = c->n_alloc * 2 > want ? c->n_alloc * 2 : want;
            uint8_t *moved = realloc(part->header, grown);
            if (!moved)
                return fail(c->err, BITNET_FAILED, "%s: out of memory", part->file.path);
            part->header = moved;
            c->n_alloc = grown;
        }
        if (!infile_read(&part->file, part->header_bytes, part->header + part->header_bytes,
                         want - part->header_bytes, c->err))
            return false;
        part->header_bytes = want;
    }
    *off = c->at;
    c->at = end;
    return true;
}

static bool take_u32(struct cursor *c, uint32_t *out)
{
    uint64_t off = 0;
    if (!take(c, 4, &off))
        return false;
    *out = load_u32(c->part->header + off);
    return true;
}

static bool take_u64(struct cursor *c, uint64_t *out)
{
    uint64_t off = 0;
    if (!take(c, 8, &off))
        return false;
    *out = load_u64(c->part->header + off);
    return true;
}

/* A short string (key, tensor name) as an allocated, NUL-terminated copy. */
static char *take_name(struct cursor *c, const char *what)
{
    uint64_t n, off;
    if (!take_u64(c, &n))
        return NULL;
    if (n == 0 || n >= MAX_KEY_BYTES) {
        fail(c->err, BITNET_BAD, "%s: %s at byte %llu has %llu bytes, 1..%d allowed",
             c->part->file.path, what, (unsigned long long)c->at, (unsigned long long)n,
             MAX_KEY_BYTES - 1);
        return NULL;
    }
    if (!take(c, n, &off))
        return NULL;
    const uint8_t *bytes = c->part->header + off;
    for (uint64_t i = 0; i < n; i++) {
        if (bytes[i] < 0x20 || bytes[i] == 0x7f) {
            fail(c->err, BITNET_BAD, "%s: %s at byte %llu holds a control character",
                 c->part->file.path, what, (unsigned long long)off);
            return NULL;
        }
    }
    char *name = malloc(n + 1);
    if (!name) {
        fail(c->err, BITNET_FAILED, "%s: out of memory", c->part->file.path);
        return NULL;
    }
    memcpy(name, bytes, n);
    name[n] = 0;
    return name;
}

static size_t kind_bytes(uint32_t kind)
{
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return kind < sizeof bytes ? bytes[kind] : 0;
}

static bool skip_text(struct cursor *c)
{
    uint64_t n, off;
    return take_u64(c, &n) && take(c, n, &off);
}

static bool take_array(struct cursor *c, struct gguf_kv *kv)
{
    uint32_t kind;
    uint64_t n;
    if (!take_u32(c, &kind) || !take_u64(c, &n))
        return false;
    if (kind != GGUF_TEXT && kind_bytes(kind) == 0)
        return fail(c->err, BITNET_BAD, "%s: key '%.60s': array of elements of unknown type %u",
                    c->part->file.path, kv->key, kind);
    kv->item_kind = (enum gguf_kind)kind;
    kv->n_items = n;
    kv->off = c->at;
    if (kind != GGUF_TEXT) {
        uint64_t n_bytes, off;
        if (!mul_u64(n, kind_bytes(kind), &n_bytes))
            return fail(c->err, BITNET_BAD, "%s: key '%.60s': array of %llu elements",
                        c->part->file.path, kv->key, (unsigned long long)n);
        return take(c, n_bytes, &off);
    }
    for (uint64_t i = 0; i < n; i++)
        if (!skip_text(c))
            return false;
    return true;
}

static bool take_kv(struct cursor *c, struct gguf_kv *kv)
{
    *kv = (struct gguf_kv){0};
    kv->key = take_name(c, "a key");
    uint32_t kind;
    if (!kv->key || !take_u32(c, &kind))
        return false;
    kv->kind = (enum gguf_kind)kind;
    kv->off = c->at;
    uint64_t off = 0;
    if (kind == GGUF_TEXT)
        return skip_text(c);
    if (kind == GGUF_ARRAY)
        return take_array(c, kv);
    if (kind_bytes(kind) == 0)
        return fail(c->err, BITNET_BAD, "%s: key '%.60s' has unknown type %u", c->part->file.path,
                    kv->key, kind);
    return take(c, kind_bytes(kind), &off);
}

static bool take_tensor(struct cursor *c, struct gguf_tensor *t, size_t part)
{
    *t = (struct gguf_tensor){.ne = {1, 1, 1, 1}, .part = part, .n_items = 1};
    char *name = take_name(c, "a tensor's name");
    if (!name)
        return false;
    bool fits = strlen(name) < sizeof t->name;
    snprintf(t->name, sizeof t->name, "%s", name);
    free(name);
    const char *path = c->part->file.path;
    if (!fits)
        return fail(c->err, BITNET_BAD, "%s: tensor '%.40s...': name is too long", path, t->name);
    if (!take_u32(c, &t->n_dims))
        return false;
    if (t->n_dims < 1 || t->n_dims > 4)
        return fail(c->err, BITNET_BAD, "%s: tensor '%s' has %u dimensions, 1..4 allowed", path,
                    t->name, t->n_dims);
    for (uint32_t d = 0; d < t->n_dims; d++) {
        if (!take_u64(c, &t->ne[d]))
            return false;
        if (t->ne[d] == 0 || !mul_u64(t->n_items, t->ne[d], &t->n_items) ||
            t->n_items > 1ull << 48)
            return fail(c->err, BITNET_BAD, "%s: tensor '%s': dimension %u is %llu", path, t->name,
                        d, (unsigned long long)t->ne[d]);
    }
    return take_u32(c, &t->type) && take_u64(c, &t->off);
}

/* Grows an array by n items of the given size, refusing counts that the file cannot hold. */
static bool grow(void **items, size_t n_now, uint64_t n_more, size_t item_bytes,
                 const struct cursor *c, const char *what)
{
    /* the smallest key/value takes 14 bytes, the smallest tensor 33 */
    if (n_more > c->part->file.n_bytes / 14)
        return fail(c->err, BITNET_BAD, "%s: %llu %s cannot be in %llu bytes", c->part->file.path,
                    (unsigned long long)n_more, what, (unsigned long long)c->part->file.n_bytes);
    void *moved = realloc(*items, (n_now + n_more + 1) * item_bytes);
    if (!moved)
        return fail(c->err, BITNET_FAILED, "%s: out of memory", c->part->file.path);
    *items = moved;
    return true;
}

static bool check_magic(struct cursor *c, uint64_t *n_tensors, uint64_t *n_kvs)
{
    const char *path = c->part->file.path;
    uint64_t off = 0;
    uint32_t version;
    if (!take(c, 4, &off))
        return false;
    const uint8_t *magic = c->part->header + off;
    if (memcmp(magic, "FUGG", 4) == 0)
        return fail(c->err, BITNET_BAD, "%s: big-endian GGUF; only little-endian is read", path);
    if (memcmp(magic, "lmgg", 4) == 0 || memcmp(magic, "tjgg", 4) == 0)
        return fail(c->err, BITNET_BAD, "%s: GGML format from before GGUF; fetch a GGUF file",
                    path);
    if (memcmp(magic, "GGUF", 4) != 0)
        return fail(c->err, BITNET_BAD,
                    "%s: neither a .bnp nor a GGUF file: starts with %02x %02x %02x %02x", path,
                    magic[0], magic[1], magic[2], magic[3]);
    if (!take_u32(c, &version))
        return false;
    if (version == 0x02000000 || version == 0x03000000)
        return fail(c->err, BITNET_BAD, "%s: big-endian GGUF; only little-endian is read", path);
    if (version == 1)
        return fail(c->err, BITNET_BAD, "%s: GGUF version 1 is obsolete; fetch a newer file", path);
    if (version != 2 && version != 3)
        return fail(c->err, BITNET_BAD, "%s: GGUF version %u, 2 and 3 are known", path, version);
    return take_u64(c, n_tensors) && take_u64(c, n_kvs);
}

static bool read_kvs(struct gguf *g, struct cursor *c, uint64_t n_kvs)
{
    if (!grow((void **)&g->kvs, 0, n_kvs, sizeof *g->kvs, c, "keys"))
        return false;
    while (g->n_kvs < n_kvs)
        if (!take_kv(c, &g->kvs[g->n_kvs++]))
            return false;
    return true;
}

static void free_kvs(struct gguf *g)
{
    for (size_t i = 0; i < g->n_kvs; i++)
        free(g->kvs[i].key);
    free(g->kvs);
    g->kvs = NULL;
    g->n_kvs = 0;
}

/* general.alignment of the part whose keys were read last. */
static bool alignment(struct gguf *g, const struct cursor *c, uint64_t *align)
{
    const struct gguf_kv *kv = gguf_find(g, "general.alignment");
    *align = 32;
    if (kv)
        *align = kv->kind == GGUF_U32 ? load_u32(c->part->header + kv->off) : 0;
    if (*align == 0 || *align > 1 << 20 || (*align & (*align - 1)))
        return fail(c->err, BITNET_BAD, "%s: general.alignment is not a power of two of type u32",
                    c->part->file.path);
    return true;
}

/* Later parts have keys of their own; those of the first stay. */
static bool open_part(struct gguf *g, size_t i, const char *path, struct bitnet_error *err)
{
    struct gguf_part *part = &g->parts[i];
    if (!infile_open(&part->file, path, err))
        return false;
    struct cursor c = {.part = part, .err = err};
    struct gguf own = {0}, *holder = i == 0 ? g : &own;
    uint64_t n_tensors = 0, n_kvs = 0, align = 32;
    bool ok = check_magic(&c, &n_tensors, &n_kvs) && read_kvs(holder, &c, n_kvs) &&
              alignment(holder, &c, &align);
    free_kvs(&own);
    if (!ok || !grow((void **)&g->tensors, g->n_tensors, n_tensors, sizeof *g->tensors, &c,
                     "tensors"))
        return false;
    size_t first = g->n_tensors;
    for (; g->n_tensors < first + n_tensors; g->n_tensors++)
        if (!take_tensor(&c, &g->tensors[g->n_tensors], i))
            return false;
    part->data_off = round_up(c.at, align);
    for (size_t k = first; k < g->n_tensors; k++) {
        struct gguf_tensor *t = &g->tensors[k];
        if (t->off % align || t->off > 1ull << 60)
            return fail(err, BITNET_BAD, "%s: tensor '%s': offset %llu is not a multiple of %llu",
                        path, t->name, (unsigned long long)t->off, (unsigned long long)align);
        t->off += part->data_off;
    }
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(struct gguf_tensor *const *)a;
    const struct gguf_tensor *y = *(struct gguf_tensor *const *)b;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return x->off < y->off ? -1 : x->off > y->off;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct gguf_kv *)a)->key, ((const struct gguf_kv *)b)->key);
}

/* Sorts names for look-up, refuses duplicates, and finds out how far each tensor may reach. */
static bool index_all(struct gguf *g, struct bitnet_error *err)
{
    if (g->n_kvs)
        qsort(g->kvs, g->n_kvs, sizeof *g->kvs, by_key);
    for (size_t i = 1; i < g->n_kvs; i++)
        if (strcmp(g->kvs[i - 1].key, g->kvs[i].key) == 0)
            return fail(err, BITNET_BAD, "%s: key '%.60s' stands twice", g->path, g->kvs[i].key);
    if (g->n_tensors == 0)
        return true; /* a vocabulary alone */
    qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_name);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i - 1].name, g->tensors[i].name) == 0)
            return fail(err, BITNET_BAD, "%s: tensor '%s' stands twice", g->path,
                        g->tensors[i].name);
    struct gguf_tensor **placed = malloc(g->n_tensors * sizeof *placed);
    if (!placed)
        return fail(err, BITNET_FAILED, "%s: out of memory", g->path);
    for (size_t i = 0; i < g->n_tensors; i++)
        placed[i] = &g->tensors[i];
    qsort(placed, g->n_tensors, sizeof *placed, by_place);
    bool ok = true;
    for (size_t i = 0; ok && i < g->n_tensors; i++) {
        struct gguf_tensor *t = placed[i];
        t->last = i + 1 == g->n_tensors || placed[i + 1]->part != t->part;
        uint64_t end = t->last ? g->parts[t->part].file.n_bytes : placed[i + 1]->off;
        t->span_bytes = end > t->off ? end - t->off : 0;
        if (!t->last && end == t->off)
            ok = fail(err, BITNET_BAD, "%s: tensors '%s' and '%s' overlap", g->path, t->name,
                      placed[i + 1]->name);
    }
    free(placed);
    return ok;
}

char *gguf_part_number(char *path)
{
    static const char like[] = "-00000-of-00000.gguf";
    size_t n = strlen(path), n_like = sizeof like - 1;
    if (n < n_like)
        return NULL;
    char *tail = path + n - n_like;
    for (size_t i = 0; i < n_like; i++) {
        bool digit = tail[i] >= '0' && tail[i] <= '9';
        if (like[i] == '0' ? !digit : tail[i] != like[i])
            return NULL;
    }
    return tail + 1;
}

static bool open_parts(struct gguf *g, char *path, struct bitnet_error *err)
{
    char *number = gguf_part_number(path);
    if (number)
        memcpy(number, "00001", 5);
    g->parts = calloc(MAX_PARTS, sizeof *g->parts);
    if (!g->parts)
        return fail(err, BITNET_FAILED, "%s: out of memory", path);
    for (size_t i = 0; i < MAX_PARTS; i++)
        g->parts[i].file.fd = -1;
    g->n_parts = 1;
    uint64_t n_parts = 1, n_all = 0;
    if (!open_part(g, 0, path, err))
        return false;
    gguf_get_u64(g, "split.count", &n_parts);
    if (n_parts > MAX_PARTS || (n_parts > 1 && !number))
        return fail(err, BITNET_BAD, "%s: is one of %llu parts, but is not named like "
                    "NAME-00001-of-%05llu.gguf", path, (unsigned long long)n_parts,
                    (unsigned long long)n_parts);
    for (uint64_t i = 1; i < n_parts; i++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%05llu", (unsigned long long)(i + 1));
        memcpy(number, digits, 5);
        g->n_parts++;
        if (!open_part(g, i, path, err))
            return false;
    }
    if (gguf_get_u64(g, "split.tensors.count", &n_all) && n_all != g->n_tensors)
        return fail(err, BITNET_BAD, "%s: the parts hold %zu tensors, split.tensors.count is %llu",
                    path, g->n_tensors, (unsigned long long)n_all);
    return index_all(g, err);
}

bool gguf_open(struct gguf *g, const char *path, struct bitnet_error *err)
{
    *g = (struct gguf){.path = path};
    char *own = strdup(path);
    bool ok = own ? open_parts(g, own, err) : fail(err, BITNET_FAILED, "%s: out of memory", path);
    free(own);
    if (!ok)
        gguf_close(g);
    return ok;
}

void gguf_close(struct gguf *g)
{
    free_kvs(g);
    for (size_t i = 0; i < g->n_parts; i++) {
        free(g->parts[i].header);
        infile_close(&g->parts[i].file);
    }
    free(g->tensors);
    free(g->parts);
    *g = (struct gguf){0};
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_kvs; i++)
        if (strcmp(g->kvs[i].key, key) == 0)
            return &g->kvs[i];
    return NULL;
}

struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    struct gguf_tensor wanted;
    snprintf(wanted.name, sizeof wanted.name, "%s", name);
    return g->n_tensors == 0
               ? NULL
               : bsearch(&wanted, g->tensors, g->n_tensors, sizeof wanted, by_name);
}

static bool number_i64(uint32_t kind, const uint8_t *p, int64_t *out)
{
    switch (kind) {
    case GGUF_U8: *out = *p; return true;
    case GGUF_I8: *out = (int8_t)*p; return true;
    case GGUF_U16: *out = load_u16(p); return true;
    case GGUF_I16: *out = (int16_t)load_u16(p); return true;
    case GGUF_U32: *out = load_u32(p); return true;
    case GGUF_I32: *out = (int32_t)load_u32(p); return true;
    case GGUF_I64: *out = (int64_t)load_u64(p); return true;
    case GGUF_U64: *out = (int64_t)load_u64(p); return load_u64(p) <= INT64_MAX;
    default: return false;
    }
}

static bool number_f64(uint32_t kind, const uint8_t *p, double *out)
{
    int64_t i;
    if (kind == GGUF_F32)
        *out = load_f32(p);
    else if (kind == GGUF_F64)
        *out = load_f64(p);
    else if (number_i64(kind, p, &i))
        *out = (double)i;
    else
        return false;
    return true;
}

bool gguf_get_text(const struct gguf *g, const char *key, struct gguf_text *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv || kv->kind != GGUF_TEXT)
        return false;
    const uint8_t *p = g->parts[0].header + kv->off;
    *out = (struct gguf_text){(const char *)p + 8, (size_t)load_u64(p)};
    return true;
}

bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    int64_t i;
    if (!kv || !number_i64(kv->kind, g->parts[0].header + kv->off, &i) || i < 0)
        return false;
    *out = (uint64_t)i;
    return true;
}

bool gguf_get_f64(const struct gguf *g, const char *key, double *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && number_f64(kv->kind, g->parts[0].header + kv->off, out);
}

bool gguf_get_bool(const struct gguf *g, const char *key, bool *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv || kv->kind != GGUF_BOOL)
        return false;
    *out = g->parts[0].header[kv->off] != 0;
    return true;
}

bool gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv || kv->kind != GGUF_ARRAY)
        return false;
    const uint8_t *items = g->parts[0].header + kv->off;
    *out = (struct gguf_array){kv->item_kind, kv->n_items, 0, items, items};
    return true;
}

bool gguf_text_is(struct gguf_text t, const char *text)
{
    return strlen(text) == t.n_bytes && memcmp(t.bytes, text, t.n_bytes) == 0;
}

bool gguf_next_text(struct gguf_array *a, struct gguf_text *out)
{
    if (a->kind != GGUF_TEXT || a->n_given == a->n_items)
        return false;
    *out = (struct gguf_text){(const char *)a->next + 8, (size_t)load_u64(a->next)};
    a->next += 8 + out->n_bytes;
    a->n_given++;
    return true;
}

bool gguf_item_i64(const struct gguf_array *a, uint64_t i, int64_t *out)
{
    return i < a->n_items && kind_bytes(a->kind) != 0 &&
           number_i64(a->kind, a->items + i * kind_bytes(a->kind), out);
}

bool gguf_item_f64(const struct gguf_array *a, uint64_t i, double *out)
{
    return i < a->n_items && kind_bytes(a->kind) != 0 &&
           number_f64(a->kind, a->items + i * kind_bytes(a->kind), out);
}
