/* unicode.h: the few properties of characters that tokenizers ask for, and normal form
 * C. */
#ifndef BITNET_UNICODE_H
#define BITNET_UNICODE_H

#include "src/base.h"

enum { UNICODE_LETTER = 1, UNICODE_NUMBER = 2, UNICODE_MARK = 4, UNICODE_PUNCT = 8,
       UNICODE_SPACE = 16 }; /* categories L, N, M, P and the property White_Space */

unsigned unicode_class(uint32_t code); /* 0 for none of them */

/* Appends the text in normal form C to out. Bytes that are not UTF-8 stay as they are
 * and combine with nothing. Unicode's version is that of unicode_classes.c. */
void unicode_nfc(const char *text, size_t n_bytes, struct buffer *out);

#endif
