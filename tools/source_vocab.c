/* source_vocab.c: the tokenizer of a foreign model, checked against its embedding. */
#include <stdio.h>

#include "src/template.h"
#include "tools/source.h"
#include "tools/vocab.h"

bool source_take_vocab(struct source *s, const struct vocab_file *v, struct bitnet_error *err)
{
    if (v->vocab.n_tokens > s->net.n_vocab)
        return fail(err, BITNET_BAD, "%s: the vocabulary has %zu tokens, the embedding %llu rows: "
                    "they are of different models", v->path, v->vocab.n_tokens,
                    (unsigned long long)s->net.n_vocab);
    const char *name = v->chat_template ? template_detect(v->chat_template) : NULL;
    if (name)
        snprintf(s->net.chat_template, sizeof s->net.chat_template, "%s", name);
    return tokenizer_pack(&v->vocab, &s->tokenizer, err);
}
