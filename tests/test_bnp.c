/* test_bnp.c: reading model files: what is whole opens, everything else is refused in one line. */
#include <unistd.h>

#include "tests/bnp_sample.h"
#include "tests/check.h"
#include "tools/tools.h"

static uint8_t *sample; /* a good file */
static size_t n_sample, n_front; /* its length; where its directory ends */
static const char *const path = "sample.bnp";

/* Opens a copy of exactly n_bytes, so that a sanitizer sees one byte too many. */
static int open_copy(const uint8_t *bytes, size_t n_bytes, struct bitnet_error *err)
{
    uint8_t *copy = malloc(n_bytes ? n_bytes : 1);
    struct bnp f;
    *err = (struct bitnet_error){0};
    memcpy(copy, bytes, n_bytes);
    if (bnp_open(&f, copy, n_bytes, "x.bnp", err)) {
        err->code = BITNET_OK;
        sample_walk(&f);
        bnp_close(&f);
    }
    free(copy);
    return err->code;
}

static bool one_line(const char *msg)
{
    for (const char *p = msg; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            return false;
    return strncmp(msg, "x.bnp: ", 7) == 0 && msg[7];
}

static bool refused(const uint8_t *bytes, size_t n_bytes, struct bitnet_error *err)
{
    return open_copy(bytes, n_bytes, err) == BITNET_BAD && one_line(err->msg);
}

static void test_round_trip(void)
{
    struct bitnet_error err = {0};
    struct bnp f;
    uint64_t u = 0;
    double d = 0;
    CHECK(bnp_open(&f, sample, n_sample, path, &err), "%s", err.msg);
    CHECK(f.n_tensors == N_SAMPLE, "%zu", f.n_tensors);
    for (size_t i = 0; i < N_SAMPLE; i++) {
        const struct sample_tensor *s = &sample_tensors[i];
        const struct bnp_tensor *t = bnp_find(&f, s->name);
        CHECK(t == &f.tensors[i] && t->matrix.n_rows == s->n_rows &&
              t->matrix.n_cols == s->n_cols && t->matrix.encoding == s->encoding &&
              t->matrix.group == s->group && t->matrix.scale_kind == s->scale_kind,
              "%s", s->name);
        CHECK(t->off % 64 == 0 && t->data == sample + t->off && t->matrix.lines == t->data,
              "%s", s->name);
        bool own = s->scale_kind != SCALE_NONE && s->scale_kind != SCALE_GROUP;
        CHECK(own == (t->matrix.scale != NULL), "%s", s->name);
        CHECK(bnp_verify(&f, i, &err), "%s", err.msg);
        for (size_t j = 0; j < t->n_bytes; j++)
            if (t->data[j] != j % 1000 % 31 + 1) {
                CHECK(false, "%s byte %zu", s->name, j);
                break;
            }
    }
    CHECK(!bnp_find(&f, "") && !bnp_find(&f, "zzz") && !bnp_find(&f, "blk.0.t"), "found");
    CHECK(strcmp(bnp_text(&f, "info.source"), "gr\xc3\xbc\xc3\x9f\n\tdich") == 0, "text");
    CHECK(strcmp(bnp_text(&f, "e"), "") == 0, "empty text");
    CHECK(strcmp(bnp_text(&f, "info.name"), "8 bytes!") == 0, "text of eight bytes");
    CHECK(bnp_u64(&f, "arch.n_layers", &u) && u == UINT64_MAX, "u64");
    CHECK(bnp_f64(&f, "rope.base", &d) && d == 1.0 / 3, "f64");
    CHECK(!bnp_f64(&f, "arch.n_layers", &d) && !bnp_text(&f, "rope.base") &&
          !bnp_u64(&f, "nowhere", &u), "wrong type");
    CHECK(strcmp(bnp_meta_key(&f, 5), "rope.base") == 0 && !bnp_meta_key(&f, 6), "walk");
    CHECK(f.tokenizer_bytes == 45 && memcmp(f.tokenizer, "a tokenizer", 11) == 0, "tokenizer");
    CHECK(n_sample % 64 == 0 && f.tensors[0].off % BNP_DATA_ALIGN == 0, "alignment");
    bnp_close(&f);
}

static void test_truncation(void)
{
    struct bitnet_error err;
    size_t n_bad = 0;
    uint8_t *b = malloc(n_sample);
    for (size_t n = 0; n < n_sample; n += n < n_front + 64 ? 1 : 61) {
        n_bad += !refused(sample, n, &err);
        if (n < BNP_HEADER_BYTES)
            continue;
        memcpy(b, sample, n); /* and when the header tells the new length */
        store_u64(b + 16, n);
        sample_repair(b, n);
        n_bad += !refused(b, n, &err);
    }
    CHECK(n_bad == 0, "%zu cut files opened or gave a bad message", n_bad);
    uint8_t *longer = calloc(n_sample + 64, 1);
    memcpy(longer, sample, n_sample);
    CHECK(refused(longer, n_sample + 1, &err) && strstr(err.msg, "appended"), "%s", err.msg);
    store_u64(longer + 16, n_sample + 64);
    store_u64(longer + 112, load_u64(longer + 112) + 64);
    sample_repair(longer, n_sample + 64);
    CHECK(refused(longer, n_sample + 64, &err) && strstr(err.msg, "last tensor"), "%s", err.msg);
    free(longer);
    free(b);
}

static void store(uint8_t *p, size_t n_bytes, uint64_t v)
{
    for (size_t i = 0; i < n_bytes; i++)
        p[i] = (uint8_t)(i < 8 ? v >> 8 * i : v >> 56);
}

/* Sets a field to v, with wrong and with right checksums. Returns the code with right ones. */
static int edit(size_t off, size_t n_bytes, uint64_t v, bool keep_hash, struct bitnet_error *err)
{
    uint8_t *b = malloc(n_sample);
    memcpy(b, sample, n_sample);
    store(b + off, n_bytes, v);
    int code = BITNET_OK;
    if (memcmp(b, sample, n_sample) != 0) {
        CHECK(refused(b, n_sample, err), "byte %zu = %llx, checksums as they were: %s", off,
              (unsigned long long)v, err->msg);
        if (keep_hash)
            store_u64(b + 184, hash64(b, 184));
        else
            sample_repair(b, n_sample);
        code = open_copy(b, n_sample, err);
        CHECK(code == BITNET_OK || one_line(err->msg), "byte %zu: %s", off, err->msg);
    } else {
        *err = (struct bitnet_error){.code = -1};
        code = -1;
    }
    free(b);
    return code;
}

static void test_header_fields(void)
{
    static const struct {
        size_t off, n_bytes;
        const char *says;
    } fields[] = {
        {0, 8, NULL},           {8, 4, "version"},     {12, 4, "tensors"},
        {16, 8, "bytes"},       {24, 8, "flags"},      {32, 8, "metadata"},
        {40, 8, NULL},          {48, 8, "checksum"},   {56, 8, "tokenizer"},
        {64, 8, NULL},          {72, 8, "checksum"},   {80, 8, "directory"},
        {88, 8, "directory"},   {96, 8, "checksum"},   {104, 8, "data"},
        {112, 8, "data"},       {120, 8, "not zero"},  {176, 8, "not zero"},
        {183, 1, "not zero"},   {120, 64, "not zero"},
    };
    struct bitnet_error err;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t now = load_u64(sample + fields[i].off);
        const uint64_t values[] = {0, 1, UINT64_MAX, now + 1, now - 1, now + 64, now - 64,
                                   1ull << 63, now ^ 1ull << 31, n_sample};
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            int code = edit(fields[i].off, fields[i].n_bytes, values[j], true, &err);
            CHECK(code == BITNET_BAD || code == -1, "header byte %zu = %llx opened",
                  fields[i].off, (unsigned long long)values[j]);
            CHECK(code == -1 || !fields[i].says || strstr(err.msg, fields[i].says), "%s, not %s",
                  err.msg, fields[i].says);
            /* A section elsewhere or of another length, its checksum right. */
            bool may_open = fields[i].off == 48 || fields[i].off == 72 || fields[i].off == 96;
            may_open |= fields[i].off == 64 && j == 3; /* the tokenizer takes in a byte of padding */
            code = edit(fields[i].off, fields[i].n_bytes, values[j], false, &err);
            CHECK(may_open || code == BITNET_BAD || code == -1, "header byte %zu = %llx opened",
                  fields[i].off, (unsigned long long)values[j]);
            bool moved = fields[i].off == 32 || fields[i].off == 56 || fields[i].off == 80 ||
                         fields[i].off == 104;
            CHECK(!moved || strstr(err.msg, "must begin at"), "%s", err.msg);
        }
    }
    CHECK(edit(12, 4, 0, false, &err) == BITNET_BAD && strstr(err.msg, "must be 1.."), "%s",
          err.msg);
    CHECK(edit(184, 8, 0, false, &err) == BITNET_OK, "a repaired checksum is not right: %s",
          err.msg);
}

static void test_directory_fields(void)
{
    static const size_t fields[][2] = {{0, 64}, {64, 4}, {68, 4}, {72, 4}, {76, 4}, {80, 8},
                                       {88, 8}, {96, 8}, {104, 8}, {112, 8}, {120, 8}};
    struct bitnet_error err;
    for (size_t i = 0; i < N_SAMPLE; i++) {
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
            size_t off = (size_t)load_u64(sample + 80) + i * BNP_ENTRY_BYTES + fields[f][0];
            uint64_t now = load_u64(sample + off);
            const uint64_t values[] = {0, 1, UINT64_MAX, now + 64, now - 64, 1ull << 31,
                                       1ull << 32, 1ull << 62, 1ull << 63};
            for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
                int code = edit(off, fields[f][1], values[j], false, &err);
                /* The hash is compared later; another name is a name; rows of one block and
                 * columns of one chunk have one length, and so may two kinds of scale. */
                size_t field = fields[f][0];
                bool may_open = field == 112 || (field == 0 && j > 2) ||
                                ((field == 80 || field == 88 || field == 68) && j > 0 && j != 2);
                CHECK(code == BITNET_BAD || code == -1 || (may_open && code == BITNET_OK),
                      "tensor %zu byte %zu = %llx opened", i, fields[f][0],
                      (unsigned long long)values[j]);
            }
        }
    }
}

static void test_names(void)
{
    static const char *const bad[] = {"",    "A",   "a b", "a/b", "\xc3\xa9", "a\x7f", "a\n",
                                      "a\0b"};
    struct bitnet_error err;
    size_t dir = (size_t)load_u64(sample + 80);
    uint8_t *b = malloc(n_sample);
    for (size_t i = 0; i < sizeof bad / sizeof *bad + 3; i++) {
        char name[BNP_NAME_BYTES + 1] = {0};
        if (i < sizeof bad / sizeof *bad)
            memcpy(name, bad[i], i + 1 == sizeof bad / sizeof *bad ? 3 : strlen(bad[i]));
        else /* 62, 63 and 64 letters: the last has no room for its NUL */
            memset(name, 'a', 62 + i - sizeof bad / sizeof *bad);
        memcpy(b, sample, n_sample);
        memcpy(b + dir, name, BNP_NAME_BYTES);
        sample_repair(b, n_sample);
        int code = open_copy(b, n_sample, &err);
        CHECK((code == BITNET_OK) == (strlen(name) == 62 || strlen(name) == 63), "%zu: %s", i,
              err.msg);
        CHECK(code == BITNET_OK || strstr(err.msg, "proper name"), "%s", err.msg);
    }
    free(b);
}

/* Sizes that no file can have, with lengths to match. */
static void test_sizes(void)
{
    struct bitnet_error err;
    uint64_t lines, scales;
    uint8_t *b = malloc(n_sample);
    memcpy(b, sample, n_sample);
    uint8_t *last = b + n_front - BNP_ENTRY_BYTES;
    CHECK(layout_bytes(ENC_F32, SCALE_NONE, 0, UINT32_MAX, 7, &lines, &scales), "no length");
    store_u64(last + 80, UINT32_MAX);
    store_u64(last + 104, lines);
    sample_repair(b, n_sample);
    CHECK(refused(b, n_sample, &err) && strstr(err.msg, "the file ends at"), "%s", err.msg);
    store_u64(last + 80, 0);
    store_u64(last + 104, 0);
    sample_repair(b, n_sample);
    CHECK(refused(b, n_sample, &err) && strstr(err.msg, "both must be"), "%s", err.msg);
    free(b);
}

/* The sample with other metadata, all checksums right. */
static uint8_t *with_meta(const uint8_t *meta, size_t n_meta, size_t *n_bytes)
{
    struct bnp f;
    struct bitnet_error err = {0};
    bnp_open(&f, sample, n_sample, path, &err);
    uint64_t tok = round_up(BNP_HEADER_BYTES + n_meta, 64);
    uint64_t dir = round_up(tok + f.tokenizer_bytes, 64), n_dir = f.n_tensors * BNP_ENTRY_BYTES;
    uint64_t data = round_up(dir + n_dir, BNP_DATA_ALIGN), old = load_u64(sample + 104);
    *n_bytes = (size_t)(data + n_sample - old);
    uint8_t *b = calloc(*n_bytes, 1);
    memcpy(b, sample, BNP_HEADER_BYTES);
    memcpy(b + BNP_HEADER_BYTES, meta, n_meta);
    memcpy(b + tok, f.tokenizer, (size_t)f.tokenizer_bytes);
    memcpy(b + dir, sample + load_u64(sample + 80), (size_t)n_dir);
    memcpy(b + data, sample + old, n_sample - (size_t)old);
    for (size_t i = 0; i < f.n_tensors; i++)
        store_u64(b + dir + i * BNP_ENTRY_BYTES + 96, f.tensors[i].off - old + data);
    store_u64(b + 16, *n_bytes);
    store_u64(b + 40, n_meta);
    store_u64(b + 56, tok);
    store_u64(b + 80, dir);
    store_u64(b + 104, data);
    sample_repair(b, *n_bytes);
    bnp_close(&f);
    return b;
}

static void test_metadata(void)
{
    static const struct {
        const char *says; /* NULL: good */
        size_t n_bytes;
        const char *bytes;
    } cases[] = {
        {NULL, 0, ""},
        {NULL, 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {NULL, 24, "\2\1\0\0\10\0\0\0k\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"},
        {NULL, 32, "\2\10\0\0\10\0\0\0abcdefg-\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"},
        {"type 0", 24, "\0\1\0\0\2\0\0\0k\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"type 4", 24, "\4\1\0\0\10\0\0\0k\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"ends inside", 8, "\1\1\0\0\0\0\0\0"},
        {"ends inside", 15, "\1\1\0\0\0\0\0\0k\0\0\0\0\0\0"},
        {"are left", 16, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0"},
        {"are left", 24, "\1\1\0\0\10\0\0\0k\0\0\0\0\0\0\0hihihihi"},
        {"are left", 24, "\1\1\0\0\xff\xff\xff\xffk\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"proper key", 24, "\1\1\1\0\2\0\0\0k\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"proper key", 24, "\1\1\0\0\2\0\0\0K\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"proper key", 24, "\1\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"proper key", 24, "\1\1\0\0\2\0\0\0k\0\0x\0\0\0\0hi\0\0\0\0\0\0"},
        {"proper text", 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0hi\0\0\0\0\0x"},
        {"proper text", 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0hi!\0\0\0\0\0"},
        {"proper text", 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0h\0\0\0\0\0\0\0"},
        {"proper text", 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0h\33\0\0\0\0\0\0"},
        {"proper text", 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0h\x7f\0\0\0\0\0\0"},
        {"proper text", 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0\xc2\x9b\0\0\0\0\0\0"},
        {"proper text", 24, "\1\1\0\0\2\0\0\0k\0\0\0\0\0\0\0h\xc3\0\0\0\0\0\0"},
        {"proper number", 24, "\2\1\0\0\7\0\0\0k\0\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"proper number", 32,
         "\3\1\0\0\20\0\0\0k\0\0\0\0\0\0\0hi\0\0\0\0\0\0hi\0\0\0\0\0\0"},
        {"proper number", 24, "\3\1\0\0\10\0\0\0k\0\0\0\0\0\0\0\0\0\0\0\0\0\xf0\x7f"},
    };
    struct bitnet_error err;
    size_t n_bytes, n_all = 1025 * 24;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *b = with_meta((const uint8_t *)cases[i].bytes, cases[i].n_bytes, &n_bytes);
        int code = open_copy(b, n_bytes, &err);
        CHECK(cases[i].says ? code == BITNET_BAD && strstr(err.msg, cases[i].says) != NULL
                            : code == BITNET_OK, "case %zu, not '%s': %s", i,
              cases[i].says ? cases[i].says : "", err.msg);
        free(b);
    }
    uint8_t *many = calloc(n_all, 1); /* k1000, k1001, ...: one more than may be */
    for (size_t i = 0; i < 1025; i++) {
        memcpy(many + i * 24, "\2\5\0\0\10\0\0\0", 8);
        snprintf((char *)many + i * 24 + 8, 8, "k%u", 1000 + (unsigned)i);
    }
    for (size_t n = 1024; n <= 1025; n++) {
        uint8_t *b = with_meta(many, n * 24, &n_bytes);
        int code = open_copy(b, n_bytes, &err);
        CHECK(n == 1024 ? code == BITNET_OK : strstr(err.msg, "more than 1024") != NULL, "%s",
              err.msg);
        free(b);
    }
    free(many);
}

static void test_twice(void)
{
    struct bitnet_error err;
    uint8_t *b = malloc(n_sample);
    memcpy(b, sample, n_sample);
    uint8_t *dir = b + load_u64(b + 80);
    memcpy(dir + 4 * BNP_ENTRY_BYTES, dir, BNP_NAME_BYTES);
    sample_repair(b, n_sample);
    CHECK(refused(b, n_sample, &err) && strstr(err.msg, "'norm' stands twice"), "%s", err.msg);
    memcpy(b, sample, n_sample);
    uint8_t *meta = b + load_u64(b + 32);
    memcpy(meta + 8, "rope.base", 9);
    sample_repair(b, n_sample);
    CHECK(refused(b, n_sample, &err) && strstr(err.msg, "'rope.base' stands twice"), "%s",
          err.msg);
    free(b);
}

/* Any byte in front of the data is covered by a checksum or a rule. */
static void test_flips(void)
{
    struct bitnet_error err;
    size_t n_missed = 0, data = (size_t)load_u64(sample + 104);
    uint8_t *b = malloc(n_sample);
    memcpy(b, sample, n_sample);
    for (size_t i = 0; i < data; i += i < n_front + 64 ? 1 : 501) {
        b[i] ^= (uint8_t)(1 << i % 8);
        n_missed += !refused(b, n_sample, &err);
        b[i] = sample[i];
    }
    CHECK(n_missed == 0, "%zu flipped bits went unnoticed", n_missed);
    free(b);
}

/* Random damage with right checksums: refused or harmless, and never a crash. */
static void test_random(void)
{
    struct bitnet_error err;
    uint64_t state = 1;
    size_t n_opened = 0, n_bad = 0;
    uint8_t *b = malloc(n_sample);
    for (size_t round = 0; round < 3000; round++) {
        memcpy(b, sample, n_sample);
        for (size_t n = 1 + round % 3; n > 0; n--) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            static const uint8_t values[] = {0, 1, 2, 7, 0x7f, 0x80, 0xff};
            b[BNP_HEADER_BYTES + (state >> 33) % (n_front - BNP_HEADER_BYTES)] =
                values[(state >> 20) % sizeof values];
        }
        sample_repair(b, n_sample);
        int code = open_copy(b, n_sample, &err);
        n_opened += code == BITNET_OK;
        n_bad += code != BITNET_OK && (code != BITNET_BAD || !one_line(err.msg));
    }
    CHECK(n_bad == 0, "%zu bad messages", n_bad);
    CHECK(n_opened > 0 && n_opened < 3000, "%zu opened: the test reaches nothing", n_opened);
    free(b);
}

static void test_verify(void)
{
    struct bitnet_error err;
    struct bnp f;
    uint8_t *b = malloc(n_sample);
    memcpy(b, sample, n_sample);
    err = (struct bitnet_error){0};
    CHECK(bnp_open(&f, b, n_sample, "x.bnp", &err), "%s", err.msg);
    for (size_t i = 0; i < f.n_tensors; i++) {
        const struct bnp_tensor *t = &f.tensors[i];
        for (size_t at = 0; at < t->n_bytes; at += t->n_bytes / 5 + 1) {
            b[t->off + at] ^= 16;
            for (size_t j = 0; j < f.n_tensors; j++) {
                err = (struct bitnet_error){0};
                bool good = bnp_verify(&f, j, &err);
                CHECK(good == (i != j), "tensor %zu, damaged %zu", j, i);
                CHECK(good || (one_line(err.msg) && strstr(err.msg, t->name)), "%s", err.msg);
            }
            b[t->off + at] ^= 16;
        }
        if (t->n_bytes % 64 != 0) {
            b[t->off + t->n_bytes] = 1;
            err = (struct bitnet_error){0};
            CHECK(!bnp_verify(&f, i, &err) && strstr(err.msg, "not zero"), "%s", err.msg);
            b[t->off + t->n_bytes] = 0;
        }
    }
    bnp_close(&f);
    free(b);
}

/* Codes without meaning under right checksums. The sample's bytes are such in two tensors. */
static void test_codes(void)
{
    struct bitnet_error err = {0};
    struct bnp f;
    uint8_t *b = malloc(n_sample);
    int8_t values[BLOCK_ROWS * 131] = {0};
    memcpy(b, sample, n_sample);
    CHECK(bnp_open(&f, b, n_sample, "x.bnp", &err), "%s", err.msg);
    for (size_t i = 0; i < f.n_tensors; i++) {
        const struct matrix *m = &f.tensors[i].matrix;
        enum encoding e = (enum encoding)m->encoding;
        size_t bytes = layout_block_bytes(e, m->group, m->n_cols);
        bool may_be_bad = e == ENC_T2 || e == ENC_T1_6 || e == ENC_I8X2;
        bool is_bad = e == ENC_T2 || e == ENC_I8X2;
        err = (struct bitnet_error){0};
        CHECK(bnp_verify_codes(&f, i, &err) == !is_bad, "%s: %s", f.tensors[i].name, err.msg);
        for (size_t n = 0; may_be_bad && n < layout_blocks(m->n_rows); n++)
            layout_pack(b + f.tensors[i].off + n * bytes, e, 0, values, NULL, m->n_cols);
        err = (struct bitnet_error){0};
        CHECK(bnp_verify_codes(&f, i, &err), "%s", err.msg);
        if (!may_be_bad)
            continue;
        b[f.tensors[i].off + bytes] = 0xff; /* of five trits, of four codes or of a norm */
        CHECK(!bnp_verify_codes(&f, i, &err) && err.code == BITNET_BAD && one_line(err.msg) &&
              strstr(err.msg, f.tensors[i].name) && strstr(err.msg, ", rows 16.."), "%s", err.msg);
    }
    bnp_close(&f);
    free(b);
    char *argv[] = {"verify", "--quiet", "sample.bnp", NULL};
    CHECK(tool_verify(3, argv) == BITNET_BAD, "the command finds them good");
}

static void test_strangers(void)
{
    static const struct {
        const char *bytes, *says;
    } files[] = {
        {"GGUF\3\0\0\0 and so on", "bitnet convert"},
        {"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
        {"<!DOCTYPE html>", "web page"},
        {"{\"a\": 1}", "JSON"},
        {"\x8b" "BNP\n\x1a\n", "as text"},
        {"\x0b" "BNP\r\n\x1a\n", "7-bit"},
        {"MZ\x90\3", "4d 5a 90 03"},
        {"\x8b" "B", "cut short"},
    };
    struct bitnet_error err;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t n = strlen(files[i].bytes);
        CHECK(refused((const uint8_t *)files[i].bytes, n, &err), "%zu: %s", i, err.msg);
        CHECK(strstr(err.msg, files[i].says), "%s, not %s", err.msg, files[i].says);
    }
    const char tensors[] = "\x0a\0\0\0\0\0\0\0{\"a\":null}";
    CHECK(refused((const uint8_t *)tensors, sizeof tensors, &err) &&
          strstr(err.msg, "safetensors"), "%s", err.msg);
}

int main(void)
{
    struct bitnet_error err = {0};
    char folder[] = "/tmp/test_bnp.XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0 || !sample_write(path, &err) ||
        !(sample = sample_load(path, &n_sample))) {
        CHECK(false, "no sample: %s", err.msg);
        return check_done();
    }
    n_front = (size_t)(load_u64(sample + 80) + load_u64(sample + 88));
    test_round_trip();
    test_truncation();
    test_header_fields();
    test_directory_fields();
    test_names();
    test_sizes();
    test_metadata();
    test_twice();
    test_flips();
    test_random();
    test_verify();
    test_codes();
    test_strangers();
    free(sample);
    unlink(path);
    CHECK(chdir("/") == 0 && rmdir(folder) == 0, "%s is not empty", folder);
    return check_done();
}
