/* tokenizer_merge.h: one chunk of text to ids by merging neighbours, best pair first. */
#ifndef BITNET_TOKENIZER_MERGE_H
#define BITNET_TOKENIZER_MERGE_H

#include "src/tokenizer.h"

/* Memory that is kept from chunk to chunk. Zero at first. */
struct merger {
    struct piece *pieces;
    uint64_t *heap;
    size_t n_pieces_alloc, n_heap, n_heap_alloc;
    bool failed; /* out of memory: the ids are not whole */
};
void merger_free(struct merger *m);

/* Appends the ids of text, at least one byte, by merges of rank (BPE, from single
 * bytes) or of score (SPM, from single characters, with byte tokens for those that have
 * none). False, with *at the offset of it, when a byte has no token and the vocabulary
 * no unknown token. */
bool merge_chunk(struct merger *m, const struct bitnet_tokenizer *t, const char *text,
                 size_t n_bytes, struct bitnet_ids *ids, size_t *at);

/* The hash of a pair of ids in the section's table of merges. */
static inline uint64_t pair_hash(uint32_t left, uint32_t right)
{
    uint64_t x = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 32) * 0xbf58476d1ce4e5b9;
    return x ^ x >> 29;
}

#endif
