/* head_search.h: scores of an i8 or i8x2 head where the best rows are enough; see head.h. */
#ifndef BITNET_HEAD_SEARCH_H
#define BITNET_HEAD_SEARCH_H

#include "src/head.h"

/* Tokens [0, n_tok) of the quantized buffers, two terms each: h->logits[t] as h->wishes[t] asks.
 * whole: of i8x2 both planes are read at once. Returns the share of the logits that were scored
 * whole; where it passes `most` the search was given up, and h->logits hold nothing. */
double head_search(struct head *h, size_t n_tok, bool whole, double most);

#endif
