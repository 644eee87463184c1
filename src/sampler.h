/* sampler.h: the inside of bitnet_sampler (contract in include/bitnet.h): opened on a tokenizer, so
 * that it needs no model. */
#ifndef BITNET_SAMPLER_H
#define BITNET_SAMPLER_H

#include "src/base.h"

bool sampler_open(struct bitnet_sampler **out, const struct bitnet_tokenizer *t, size_t n_vocab,
                  const struct bitnet_sampling *p, struct bitnet_error *err);

#endif
