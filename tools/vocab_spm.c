/* vocab_spm.c: SentencePiece's tokenizer.model, a protobuf of which these fields are
 * read:
 *
 *     ModelProto      1 pieces (repeated)   2 trainer   3 normalizer
 *     SentencePiece   1 piece, text   2 score, f32   3 type, numbers of enum token_type
 *     TrainerSpec     3 model type (2: BPE)   40 unk   41 bos   42 eos   43 pad
 *     NormalizerSpec  2 character map   3 prefix with a space   4 remove extra spaces
 */
#include <string.h>

#include "tools/vocab.h"

struct proto {
    const uint8_t *at, *end;
    bool failed;
};

/* One field of a message: a number or bytes. */
struct field {
    uint32_t number;
    enum { FIELD_VARINT = 0, FIELD_64 = 1, FIELD_BYTES = 2, FIELD_32 = 5 } kind;
    uint64_t value;
    struct proto bytes;
};

static uint64_t varint(struct proto *p)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && p->at < p->end; shift += 7) {
        uint8_t byte = *p->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return value;
        }
    }
    p->failed = true;
    return 0;
}

/* The next field; false at the end of the message, or when it is no protobuf. */
static bool next_field(struct proto *p, struct field *f)
{
    if (p->failed || p->at == p->end) {
        return false;
    }
    uint64_t key = varint(p);
    size_t n_left = (size_t)(p->end - p->at);
    *f = (struct field){.number = (uint32_t)(key >> 3)};
    uint64_t n_bytes = 0;
    switch (key & 7) {
    case FIELD_VARINT:
        f->kind = FIELD_VARINT;
        f->value = varint(p);
        return !p->failed;
    case FIELD_64:
        f->kind = FIELD_64;
        n_bytes = 8;
        break;
    case FIELD_32:
        f->kind = FIELD_32;
        n_bytes = 4;
        break;
    case FIELD_BYTES:
        f->kind = FIELD_BYTES;
        n_bytes = varint(p);
        n_left = (size_t)(p->end - p->at);
        break;
    default: p->failed = true;
    }
    if (p->failed || n_bytes > n_left || key >> 3 > UINT32_MAX) {
        p->failed = true;
        return false;
    }
    f->bytes = (struct proto){p->at, p->at + n_bytes, false};
    p->at += n_bytes;
    return true;
}

static bool damaged(const struct vocab_file *f, struct bitnet_error *err)
{
    return fail(err, BITNET_BAD, "%s: is no SentencePiece model, or a damaged one",
                f->path);
}

static bool add_piece(struct vocab_file *f, uint64_t id, struct proto piece,
                      struct buffer *bytes, struct bitnet_error *err)
{
    struct proto text = {0};
    struct field field;
    float score = 0;
    uint64_t type = TOKEN_NORMAL;
    while (next_field(&piece, &field)) {
        if (field.number == 1 && field.kind == FIELD_BYTES) {
            text = field.bytes;
        } else if (field.number == 2 && field.kind == FIELD_32) {
            score = load_f32(field.bytes.at);
        } else if (field.number == 3 && field.kind == FIELD_VARINT) {
            type = field.value;
        }
    }
    if (piece.failed || type < TOKEN_NORMAL || type > TOKEN_BYTE) {
        return damaged(f, err);
    }
    const char *spelled = text.at != NULL ? (const char *)text.at : "";
    size_t n_bytes = text.at != NULL ? (size_t)(text.end - text.at) : 0;
    int byte = type == TOKEN_BYTE ? vocab_byte_piece(spelled, n_bytes) : -1;
    bytes->n_bytes = 0;
    if (type == TOKEN_BYTE && byte < 0) {
        return damaged(f, err);
    }
    if (byte >= 0) {
        buffer_add(bytes, &(uint8_t){(uint8_t)byte}, 1);
    } else if (type == TOKEN_CONTROL || type == TOKEN_UNKNOWN) {
        buffer_add(bytes, spelled, n_bytes);
    } else {
        vocab_unspace(spelled, n_bytes, bytes);
    }
    return vocab_set(f, id, (const char *)bytes->data, bytes->n_bytes,
                     (enum token_type)type, score, err);
}

static bool read_trainer(struct vocab_file *f, struct proto p, struct bitnet_error *err)
{
    struct field field;
    uint64_t model_type = 1; /* Unigram where nothing is said */
    int32_t *const ids[] = {&f->vocab.unk, &f->vocab.bos, &f->vocab.eos, &f->vocab.pad};
    while (next_field(&p, &field)) {
        if (field.number == 3 && field.kind == FIELD_VARINT) {
            model_type = field.value;
        } else if (field.number >= 40 && field.number <= 43 &&
                   field.kind == FIELD_VARINT) {
            int64_t id = (int64_t)field.value;
            *ids[field.number - 40] =
                id >= 0 && (uint64_t)id < f->vocab.n_tokens ? (int32_t)id : -1;
        }
    }
    if (!p.failed && model_type != 2) {
        return fail(err, BITNET_BAD,
                    "%s: SentencePiece model type %llu, only BPE (2) is supported",
                    f->path, (unsigned long long)model_type);
    }
    return !p.failed || damaged(f, err);
}

static bool read_normalizer(struct vocab_file *f, struct proto p,
                            struct bitnet_error *err)
{
    struct field field;
    bool maps = false, removes = true;
    while (next_field(&p, &field)) {
        if (field.number == 2 && field.kind == FIELD_BYTES) {
            maps = field.bytes.at < field.bytes.end;
        } else if (field.number == 3 && field.kind == FIELD_VARINT) {
            f->vocab.add_space_prefix = field.value != 0;
        } else if (field.number == 4 && field.kind == FIELD_VARINT) {
            removes = field.value != 0;
        }
    }
    if (!p.failed && (maps || removes)) {
        return fail(err, BITNET_BAD, "%s: its normalizer %s, which is not supported",
                    f->path, maps ? "maps characters" : "removes extra white space");
    }
    return !p.failed || damaged(f, err);
}

bool vocab_spm(struct vocab_file *f, const uint8_t *bytes, size_t n_bytes,
               struct bitnet_error *err)
{
    struct vocab *v = &f->vocab;
    struct proto p = {bytes, bytes + n_bytes, false}, trainer = {0}, norm = {0};
    struct field field;
    uint64_t n_pieces = 0;
    while (next_field(&p, &field)) {
        n_pieces += field.number == 1 && field.kind == FIELD_BYTES;
        trainer = field.number == 2 && field.kind == FIELD_BYTES ? field.bytes : trainer;
        norm = field.number == 3 && field.kind == FIELD_BYTES ? field.bytes : norm;
    }
    if (p.failed || n_pieces == 0 || trainer.at == NULL || norm.at == NULL) {
        return damaged(f, err);
    }
    v->kind = TOKENIZER_SPM;
    v->add_bos = v->add_space_prefix = true;
    v->unk = 0;
    v->bos = 1;
    v->eos = 2;
    struct buffer text = {0};
    buffer_add(&text, "", 1);
    bool ok = vocab_size(f, n_pieces, err);
    uint64_t id = 0;
    p.at = bytes;
    while (ok && next_field(&p, &field)) {
        if (field.number == 1 && field.kind == FIELD_BYTES) {
            ok = add_piece(f, id++, field.bytes, &text, err);
        }
    }
    buffer_free(&text);
    ok = ok && read_trainer(f, trainer, err) && read_normalizer(f, norm, err) &&
         vocab_seal(f, err);
    if (ok && v->n_tokens < 3) {
        return damaged(f, err);
    }
    return ok && vocab_hf_neighbours(f, f->path, err);
}
