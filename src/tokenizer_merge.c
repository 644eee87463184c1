/* tokenizer_merge.c: see tokenizer_merge.h. Pieces are a linked list in an array; a
 * heap holds the pairs that can merge, lowest rank first, then leftmost. A pair that
 * has changed since it went in is known by its rank and skipped, so n bytes cost n log
 * n whatever they are. */
#include "src/tokenizer_merge.h"

#include <stdlib.h>
#include <string.h>

#include "src/utf8.h"

enum { no_rank = -1 }; /* as uint32_t: above every rank */

struct piece {
    int32_t id; /* -1: no token yet */
    uint32_t at, n_bytes;
    uint32_t prev, next; /* n_pieces at both ends */
    uint32_t rank;       /* of merging with the next */
    int32_t merged;      /* what that gives */
};

void merger_free(struct merger *m)
{
    free(m->pieces);
    free(m->heap);
    *m = (struct merger){0};
}

bool ids_add(struct bitnet_ids *ids, int32_t id)
{
    if (ids->n_ids == ids->n_alloc) {
        size_t n_alloc = ids->n_alloc == 0 ? 64 : 2 * ids->n_alloc;
        int32_t *grown = realloc(ids->ids, n_alloc * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        ids->ids = grown;
        ids->n_alloc = n_alloc;
    }
    ids->ids[ids->n_ids++] = id;
    return true;
}

static void push(struct merger *m, uint64_t entry)
{
    if (m->n_heap == m->n_heap_alloc) {
        size_t n_alloc = m->n_heap_alloc == 0 ? 256 : 2 * m->n_heap_alloc;
        uint64_t *heap = realloc(m->heap, n_alloc * sizeof *heap);
        if (heap == NULL) {
            m->failed = true;
            return;
        }
        m->heap = heap;
        m->n_heap_alloc = n_alloc;
    }
    size_t i = m->n_heap++;
    for (; i > 0 && m->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) {
        m->heap[i] = m->heap[(i - 1) / 2];
    }
    m->heap[i] = entry;
}

static uint64_t pop(struct merger *m)
{
    uint64_t first = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < m->n_heap; i = child) {
        child += child + 1 < m->n_heap && m->heap[child + 1] < m->heap[child];
        if (last <= m->heap[child]) {
            break;
        }
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = last;
    return first;
}

/* Rank and result of merging two tokens. */
static uint32_t pair_rank(const struct bitnet_tokenizer *t, int32_t left, int32_t right,
                          int32_t *merged)
{
    if (left < 0 || right < 0 || t->n_merge_slots == 0) {
        return (uint32_t)no_rank;
    }
    uint64_t hash = pair_hash((uint32_t)left, (uint32_t)right);
    uint32_t mask = t->n_merge_slots - 1, tag = (uint32_t)(hash >> 56);
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        uint32_t slot = tokenizer_word(t->pairs, i);
        if (slot == 0) {
            return (uint32_t)no_rank;
        }
        uint32_t rank = (slot & 0xffffff) - 1;
        if (slot >> 24 == tag &&
            tokenizer_word(t->merges, 3 * (size_t)rank) == (uint32_t)left &&
            tokenizer_word(t->merges, 3 * (size_t)rank + 1) == (uint32_t)right) {
            *merged = (int32_t)tokenizer_word(t->merges, 3 * (size_t)rank + 2);
            return rank;
        }
    }
}

/* A token that text may become by merging. */
static int32_t text_token(const struct bitnet_tokenizer *t, const char *text,
                          size_t n_bytes)
{
    int32_t id = tokenizer_lookup(t, text, n_bytes, hash64(text, n_bytes));
    bool usable = id >= 0 && (t->types[id] == TOKEN_NORMAL || t->types[id] == TOKEN_USER);
    return usable ? id : -1;
}

/* Scores as ranks: the highest score is the lowest number. */
static uint32_t score_rank(const struct bitnet_tokenizer *t, const char *text,
                           size_t n_bytes, int32_t *merged)
{
    *merged = text_token(t, text, n_bytes);
    if (*merged < 0) {
        return (uint32_t)no_rank;
    }
    /* Ordered like the floats when read as signed magnitude; finite, so never no_rank. */
    uint32_t bits = tokenizer_word(t->scores, (size_t)*merged);
    return bits >> 31 != 0 ? bits : ~bits & 0x7fffffff;
}

static void consider(struct merger *m, const struct bitnet_tokenizer *t, const char *text,
                     uint32_t left)
{
    struct piece *a = &m->pieces[left], *b = &m->pieces[a->next];
    a->rank =
        t->kind == TOKENIZER_BPE
            ? pair_rank(t, a->id, b->id, &a->merged)
            : score_rank(t, text + a->at, (size_t)a->n_bytes + b->n_bytes, &a->merged);
    if (a->rank != (uint32_t)no_rank) {
        push(m, (uint64_t)a->rank << 32 | left);
    }
}

/* The first pieces: bytes or characters. Returns how many. */
static uint32_t split(struct merger *m, const struct bitnet_tokenizer *t,
                      const char *text, size_t n_bytes)
{
    uint32_t n_pieces = 0;
    for (size_t at = 0, n; at < n_bytes; at += n, n_pieces++) {
        int32_t id;
        uint32_t code;
        if (t->kind == TOKENIZER_BPE) {
            n = 1;
            id = (int32_t)tokenizer_word(t->byte_ids, (uint8_t)text[at]);
        } else {
            n = utf8_decode(text + at, n_bytes - at, &code);
            n = n == 0 ? 1 : n;
            id = text_token(t, text + at, n);
        }
        m->pieces[n_pieces] = (struct piece){.id = id,
                                             .at = (uint32_t)at,
                                             .n_bytes = (uint32_t)n,
                                             .prev = n_pieces - 1,
                                             .next = n_pieces + 1,
                                             .rank = (uint32_t)no_rank};
    }
    return n_pieces;
}

/* A piece without a token: its bytes' tokens if all have one, else the unknown token. */
static bool add_unknown(struct merger *m, const struct bitnet_tokenizer *t,
                        const char *text, const struct piece *p, struct bitnet_ids *ids)
{
    size_t n_known = 0;
    while (n_known < p->n_bytes &&
           tokenizer_word(t->byte_ids, (uint8_t)text[p->at + n_known]) != UINT32_MAX) {
        n_known++;
    }
    if (n_known < p->n_bytes) {
        m->failed = m->failed || (t->unk >= 0 && !ids_add(ids, t->unk));
        return t->unk >= 0;
    }
    for (size_t i = 0; i < p->n_bytes; i++) {
        uint32_t id = tokenizer_word(t->byte_ids, (uint8_t)text[p->at + i]);
        m->failed = m->failed || !ids_add(ids, (int32_t)id);
    }
    return true;
}

static bool make_room(struct merger *m, size_t n_bytes)
{
    if (n_bytes > m->n_pieces_alloc) {
        size_t n_alloc = n_bytes < 256 ? 256 : n_bytes;
        struct piece *pieces = realloc(m->pieces, n_alloc * sizeof *pieces);
        if (pieces == NULL) {
            m->failed = true;
            return false;
        }
        m->pieces = pieces;
        m->n_pieces_alloc = n_alloc;
    }
    return true;
}

bool merge_chunk(struct merger *m, const struct bitnet_tokenizer *t, const char *text,
                 size_t n_bytes, struct bitnet_ids *ids, size_t *at)
{
    if (!make_room(m, n_bytes)) {
        return true;
    }
    uint32_t n_pieces = split(m, t, text, n_bytes);
    m->n_heap = 0;
    for (uint32_t i = 0; i + 1 < n_pieces; i++) {
        consider(m, t, text, i);
    }
    while (m->n_heap > 0) {
        uint64_t entry = pop(m);
        uint32_t left = (uint32_t)entry;
        struct piece *a = &m->pieces[left];
        if (a->rank == (uint32_t)no_rank || a->rank != entry >> 32) {
            continue;
        }
        struct piece *b = &m->pieces[a->next];
        a->id = a->merged;
        a->n_bytes += b->n_bytes;
        a->next = b->next;
        a->rank = b->rank = (uint32_t)no_rank;
        if (a->next < n_pieces) {
            m->pieces[a->next].prev = left;
            consider(m, t, text, left);
        }
        if (left > 0) {
            consider(m, t, text, a->prev);
        }
    }
    for (uint32_t i = 0; i < n_pieces; i = m->pieces[i].next) {
        const struct piece *p = &m->pieces[i];
        if (p->id >= 0) {
            m->failed = m->failed || !ids_add(ids, p->id);
        } else if (!add_unknown(m, t, text, p, ids)) {
            *at = p->at;
            return false;
        }
    }
    return true;
}
