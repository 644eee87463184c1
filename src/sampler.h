/* sampler.h: the inside of bitnet_sampler (contract in include/bitnet.h): opened on a tokenizer, so
 * that it needs no model. */
#ifndef BITNET_SAMPLER_H
#define BITNET_SAMPLER_H

#include "src/base.h"

bool sampler_open(struct bitnet_sampler **out, const struct bitnet_tokenizer *t, size_t n_vocab,
                  const struct bitnet_sampling *p, struct bitnet_error *err);

/* What the next draw without a mask can depend on: all logits of ids whose bit in *exact is set,
 * which it changes, and the best so many of the rest, 0 for all, but for ids whose bit in *banned
 * is. Both bit sets are the sampler's. */
size_t sampler_needs(struct bitnet_sampler *s, const uint32_t **banned, const uint32_t **exact);

#endif
