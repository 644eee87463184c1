/* hf.h: Hugging Face folders: config.json, safetensors, tokenizer.json.
 *
 * Classes: BitNetForCausalLM (packed or master weights), LlamaForCausalLM and Qwen3ForCausalLM
 * (packed BitNet, or weights that are low-bit already but stored as floats), Qwen3Model with
 * input norms (BitNet embedding models), and Llama with FBI's column scales. */
#ifndef TOOLS_HF_H
#define TOOLS_HF_H

#include "tools/source.h"

bool hf_open(struct source *s, const char *dir, const struct import_options *o,
             struct bitnet_error *err);

#endif
