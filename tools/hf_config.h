/* hf_config.h: config.json of a Hugging Face folder -> struct net. */
#ifndef TOOLS_HF_CONFIG_H
#define TOOLS_HF_CONFIG_H

#include "tools/source.h"

struct hf_config {
    bool bitnet;        /* trained with int8 activations per token */
    bool scale_divides; /* packed weights: W = t / weight_scale, not t * weight_scale */
    bool tied, untied;  /* tie_word_embeddings is there and true, there and false */
};

bool hf_config_read(struct source *s, const char *path, struct hf_config *c,
                    struct bitnet_error *err);

#endif
