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

/* Row o of a packed matrix [R][n_cols], R = ceil(rows / 4): bytes is its row o % R, plane is o / R.
 * false: code 3 is among them. */
bool hf_unpack(int8_t *codes, const uint8_t *bytes, uint64_t plane, size_t n_cols);

#endif
