/* safetensors.c: reads headers; every number in them is checked against the file. */
#include "tools/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/json.h"

enum { MAX_SHARDS = 1000 };
static const uint64_t max_header_bytes = 100000000;

static const struct {
    const char *name;
    size_t n_bytes;
} DTYPES[] = {
    [DTYPE_F32] = {"F32", 4}, [DTYPE_F16] = {"F16", 2}, [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_U8] = {"U8", 1},   [DTYPE_I8] = {"I8", 1},   [DTYPE_I32] = {"I32", 4},
    [DTYPE_I64] = {"I64", 8}, [DTYPE_BOOL] = {"BOOL", 1},
};

size_t dtype_bytes(enum dtype d)
{
    return DTYPES[d].n_bytes;
}

const char *dtype_name(enum dtype d)
{
    return DTYPES[d].name;
}

static bool get_u64(const struct json *v, uint64_t *out)
{
    int64_t i;
    if (!json_i64(v, &i) || i < 0)
        return false;
    *out = (uint64_t)i;
    return true;
}

static bool read_dtype(struct safetensor *t, const struct json *v, struct bitnet_error *err)
{
    const char *text = json_text(json_get(v, "dtype"));
    for (size_t i = 0; text && i < sizeof DTYPES / sizeof *DTYPES; i++) {
        if (strcmp(DTYPES[i].name, text) == 0) {
            t->dtype = (enum dtype)i;
            return true;
        }
    }
    return fail(err, BITNET_BAD, "%s: tensor '%s': dtype %.20s is unknown, wanted F32, F16, BF16, "
                "U8, I8, I32, I64 or BOOL", t->file->path, t->name, text ? text : "(none)");
}

static bool read_shape(struct safetensor *t, const struct json *v, uint64_t *n_bytes,
                       struct bitnet_error *err)
{
    const struct json *shape = json_array(v, "shape");
    if (!shape || shape->n_items > 4)
        return fail(err, BITNET_BAD, "%s: tensor '%s': shape is no array of up to 4 numbers",
                    t->file->path, t->name);
    *n_bytes = dtype_bytes(t->dtype);
    for (const struct json *d = json_first(shape); d; d = json_next(d)) {
        uint64_t n;
        if (!get_u64(d, &n) || n == 0 || !mul_u64(*n_bytes, n, n_bytes))
            return fail(err, BITNET_BAD, "%s: tensor '%s': dimension %u is not a size",
                        t->file->path, t->name, t->n_dims);
        t->shape[t->n_dims++] = n;
    }
    return true;
}

/* data: where the data begin in the file. */
static bool read_tensor(struct safetensor *t, const struct json *v, uint64_t data,
                        struct bitnet_error *err)
{
    const char *path = t->file->path;
    uint64_t begin, end, n_bytes;
    if (!read_dtype(t, v, err) || !read_shape(t, v, &n_bytes, err))
        return false;
    const struct json *range = json_array(v, "data_offsets");
    const struct json *first = json_first(range);
    if (!range || range->n_items != 2 || !get_u64(first, &begin) ||
        !get_u64(json_next(first), &end) || begin > end || end > INT64_MAX - data)
        return fail(err, BITNET_BAD, "%s: tensor '%s': data_offsets are not two ascending numbers",
                    path, t->name);
    if (end - begin != n_bytes)
        return fail(err, BITNET_BAD, "%s: tensor '%s': data_offsets span %llu bytes, its shape "
                    "takes %llu", path, t->name, (unsigned long long)(end - begin),
                    (unsigned long long)n_bytes);
    t->off = data + begin;
    t->n_bytes = n_bytes;
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    return x->off < y->off ? -1 : x->off > y->off;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct safetensor *)a)->name, ((const struct safetensor *)b)->name);
}

/* The tensors of one file cover its data exactly. */
static bool check_cover(struct safetensor *tensors, size_t n, uint64_t data,
                        const struct infile *file, struct bitnet_error *err)
{
    uint64_t at = data;
    qsort(tensors, n, sizeof *tensors, by_place);
    for (size_t i = 0; i < n; i++) {
        if (tensors[i].off != at)
            return fail(err, BITNET_BAD, "%s: tensor '%s' begins at byte %llu, the one before it "
                        "ends at %llu", file->path, tensors[i].name,
                        (unsigned long long)tensors[i].off, (unsigned long long)at);
        at += tensors[i].n_bytes;
    }
    if (at > file->n_bytes)
        return fail(err, BITNET_BAD, "%s: cut short: %llu bytes of %llu are missing", file->path,
                    (unsigned long long)(at - file->n_bytes), (unsigned long long)at);
    if (at < file->n_bytes)
        return fail(err, BITNET_BAD, "%s: %llu bytes after the last tensor", file->path,
                    (unsigned long long)(file->n_bytes - at));
    return true;
}

static bool read_entries(struct safetensors *st, const struct infile *file,
                         const struct json *root, uint64_t data, struct bitnet_error *err)
{
    size_t first = st->n_tensors, n = st->n_tensors + root->n_items;
    struct safetensor *moved = realloc(st->tensors, (n + 1) * sizeof *moved);
    if (!moved)
        return fail(err, BITNET_FAILED, "%s: out of memory", file->path);
    st->tensors = moved;
    for (const struct json *v = json_first(root); v; v = json_next(v)) {
        if (strcmp(v->key, "__metadata__") == 0)
            continue;
        struct safetensor *t = &st->tensors[st->n_tensors];
        *t = (struct safetensor){.file = file, .shape = {1, 1, 1, 1}};
        t->name = strdup(v->key);
        if (!t->name)
            return fail(err, BITNET_FAILED, "%s: out of memory", file->path);
        st->n_tensors++;
        if (strlen(v->key) != v->key_bytes || v->key_bytes >= 160)
            return fail(err, BITNET_BAD, "%s: tensor '%.60s': improper name", file->path, t->name);
        if (!read_tensor(t, v, data, err))
            return false;
    }
    if (st->n_tensors == first)
        return fail(err, BITNET_BAD, "%s: holds no tensors", file->path);
    return check_cover(st->tensors + first, st->n_tensors - first, data, file, err);
}

static bool read_header(struct safetensors *st, const struct infile *file, struct bitnet_error *err)
{
    uint8_t head[9];
    if (file->n_bytes < 10 || !infile_read(file, 0, head, 9, err))
        return fail(err, BITNET_BAD, "%s: not a safetensors file: %llu bytes", file->path,
                    (unsigned long long)file->n_bytes);
    uint64_t n = load_u64(head);
    if (n < 2 || n > max_header_bytes || head[8] != '{')
        return fail(err, BITNET_BAD, "%s: not a safetensors file: header of %llu bytes", file->path,
                    (unsigned long long)n);
    if (n > file->n_bytes - 8)
        return fail(err, BITNET_BAD, "%s: cut short in its header: %llu bytes of %llu are missing",
                    file->path, (unsigned long long)(n - (file->n_bytes - 8)),
                    (unsigned long long)n);
    char *text = malloc(n);
    if (!text)
        return fail(err, BITNET_FAILED, "%s: out of memory", file->path);
    struct json_doc doc = {0};
    bool ok = infile_read(file, 8, text, n, err) && json_parse(&doc, text, n, file->path, err);
    free(text);
    if (ok && doc.root->kind != JSON_OBJECT)
        ok = fail(err, BITNET_BAD, "%s: header is no JSON object", file->path);
    ok = ok && read_entries(st, file, doc.root, 8 + n, err);
    json_free(&doc);
    return ok;
}

static bool add_file(struct safetensors *st, const char *path, struct bitnet_error *err)
{
    /* Tensors point to their file, so the array never moves. */
    if (!st->files) {
        st->files = calloc(MAX_SHARDS, sizeof *st->files);
        if (!st->files)
            return fail(err, BITNET_FAILED, "%s: out of memory", path);
    }
    if (st->n_files == MAX_SHARDS)
        return fail(err, BITNET_BAD, "%s: more than %d shards", path, MAX_SHARDS);
    if (!infile_open(&st->files[st->n_files], path, err))
        return false;
    st->n_files++;
    return read_header(st, &st->files[st->n_files - 1], err);
}

static bool seal(struct safetensors *st, const char *path, struct bitnet_error *err)
{
    qsort(st->tensors, st->n_tensors, sizeof *st->tensors, by_name);
    for (size_t i = 1; i < st->n_tensors; i++)
        if (strcmp(st->tensors[i - 1].name, st->tensors[i].name) == 0)
            return fail(err, BITNET_BAD, "%s: tensor '%s' stands in two shards", path,
                        st->tensors[i].name);
    return true;
}

/* Opens every file that the map names, once; then every tensor must be where the map says. */
static bool open_shards(struct safetensors *st, const char *dir, const char *index,
                        const struct json *map, struct bitnet_error *err)
{
    for (const struct json *v = json_first(map); v; v = json_next(v)) {
        const char *name = json_text(v);
        if (!name || strchr(name, '/') || name[0] == '.' || !name[0])
            return fail(err, BITNET_BAD, "%s: tensor '%.60s': improper file name", index, v->key);
        bool known = false;
        for (size_t i = 0; i < st->n_files && !known; i++)
            known = strcmp(path_base(st->files[i].path), name) == 0;
        char *path = known ? NULL : path_join(dir, name);
        bool ok = known || (path ? add_file(st, path, err)
                                 : fail(err, BITNET_FAILED, "%s: out of memory", index));
        free(path);
        if (!ok)
            return false;
    }
    if (!seal(st, index, err))
        return false;
    for (const struct json *v = json_first(map); v; v = json_next(v)) {
        const struct safetensor *t = safetensors_find(st, v->key);
        if (!t || strcmp(path_base(t->file->path), json_text(v)) != 0)
            return fail(err, BITNET_BAD, "%s: tensor '%.60s' is not in '%.60s'", index, v->key,
                        json_text(v));
    }
    return true;
}

static bool open_index(struct safetensors *st, const char *dir, const char *index,
                       struct bitnet_error *err)
{
    struct json_doc doc = {0};
    bool ok = json_read(&doc, index, err);
    const struct json *map = ok ? json_object(doc.root, "weight_map") : NULL;
    if (ok && (!map || map->n_items == 0))
        ok = fail(err, BITNET_BAD, "%s: 'weight_map' is missing", index);
    ok = ok && open_shards(st, dir, index, map, err);
    json_free(&doc);
    return ok;
}

bool safetensors_open_file(struct safetensors *st, const char *path, struct bitnet_error *err)
{
    *st = (struct safetensors){0};
    if (add_file(st, path, err) && seal(st, path, err))
        return true;
    safetensors_close(st);
    return false;
}

bool safetensors_open(struct safetensors *st, const char *dir, struct bitnet_error *err)
{
    *st = (struct safetensors){0};
    char *one = path_join(dir, "model.safetensors");
    char *index = path_join(dir, "model.safetensors.index.json");
    bool ok;
    if (!one || !index)
        ok = fail(err, BITNET_FAILED, "%s: out of memory", dir);
    else if (path_is_file(one))
        ok = safetensors_open_file(st, one, err);
    else if (path_is_file(index))
        ok = open_index(st, dir, index, err);
    else
        ok = fail(err, BITNET_BAD, "%s: holds neither model.safetensors nor "
                  "model.safetensors.index.json", dir);
    free(one);
    free(index);
    if (!ok)
        safetensors_close(st);
    return ok;
}

void safetensors_close(struct safetensors *st)
{
    for (size_t i = 0; i < st->n_tensors; i++)
        free(st->tensors[i].name);
    for (size_t i = 0; i < st->n_files; i++)
        infile_close(&st->files[i]);
    free(st->tensors);
    free(st->files);
    *st = (struct safetensors){0};
}

struct safetensor *safetensors_find(const struct safetensors *st, const char *name)
{
    size_t low = 0, high = st->n_tensors;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(name, st->tensors[mid].name);
        if (order == 0)
            return &st->tensors[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}
