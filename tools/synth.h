/* synth.h: the made-up vocabulary of `bitnet synth`. */
#ifndef TOOLS_SYNTH_H
#define TOOLS_SYNTH_H

#include "src/base.h"

/* Appends the tokenizer section of n_vocab tokens: the 256 bytes, then strings of letters with
 * the merges that make them, then n_special >= 3 control tokens: the first is BOS, the second EOS
 * and the tenth, or third if there are fewer, <|eot_id|>. pretok: enum pretokenizer. */
bool synth_tokenizer(struct buffer *section, size_t n_vocab, size_t n_special, int pretok,
                     struct bitnet_error *err);

#endif
