/* gguf_model.h: GGUF files as models: architectures bitnet-b1.58 (also called bitnet-25), bitnet,
 * llama and qwen3. */
#ifndef TOOLS_GGUF_MODEL_H
#define TOOLS_GGUF_MODEL_H

#include "tools/gguf.h"
#include "tools/gguf_types.h"
#include "tools/source.h"

bool gguf_model_open(struct source *s, const char *path, const struct import_options *o,
                     struct bitnet_error *err);

/* The keys of the architecture -> s->net, all but the vocabulary's size. */
bool gguf_read_net(struct source *s, const struct gguf *g, struct bitnet_error *err);

/* What the weights of an I2_S file say of its layout: the likeliest, and whether that is beyond
 * doubt. */
bool i2s_look(const struct gguf *g, enum i2s_layout *likely, bool *sure, struct bitnet_error *err);

#endif
