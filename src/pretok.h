/* pretok.h: cuts a text into the chunks that merges never cross, one hand-written
 * scanner for each family of vocabularies. The patterns that these scanners stand for
 * (\s is White_Space):
 *
 *     gpt2     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *     llama3   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *              | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *     qwen2    llama3 with \p{N} for \p{N}{1,3}
 *     qwen35   qwen2 with [\p{L}\p{M}]+ for \p{L}+ and [^\s\p{L}\p{M}\p{N}] for
 *              [^\s\p{L}\p{N}]
 *     falcon   cut at runs of punctuation; gpt2 on each piece; cut at each three digits
 *     default  the same, with one pass more that cuts at runs of \p{N}, before the last
 *
 * The case of contractions is ASCII's alone. A byte that is not UTF-8 counts as U+FFFD,
 * a symbol.
 */
#ifndef BITNET_PRETOK_H
#define BITNET_PRETOK_H

#include <stddef.h>

enum pretokenizer { /* numbers of the file format */
    PRETOK_NONE = 0, /* SPM */
    PRETOK_GPT2 = 1,
    PRETOK_LLAMA3 = 2,
    PRETOK_QWEN2 = 3,
    PRETOK_QWEN35 = 4,
    PRETOK_FALCON = 5,
    PRETOK_DEFAULT = 6,
};

/* Walks the chunks of one text. */
struct pretok {
    const char *text;
    size_t at;         /* where the next chunk starts */
    size_t ends[4];    /* where each pass's piece ends; the last one's is the chunk */
    size_t n_bytes;
    enum pretokenizer family;
};

void pretok_start(struct pretok *p, enum pretokenizer family, const char *text,
                  size_t n_bytes);
/* The length of the next chunk, which starts at text + at before the call; 0 at the
 * end. */
size_t pretok_next(struct pretok *p);

#endif
