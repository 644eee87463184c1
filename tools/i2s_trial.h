/* i2s_trial.h: which layout the I2_S weights of a GGUF file are in, by how well the model then
 * predicts a plain text. */
#ifndef TOOLS_I2S_TRIAL_H
#define TOOLS_I2S_TRIAL_H

#include "tools/import.h"

/* Converts j->in under each layout into a file beside j->out, which it removes again, and reads a
 * text of some 64 tokens with each. *layout, a name of --i2s-layout, becomes the one with the least
 * loss; where none makes the text likelier than the others do (a model of embeddings, say), it stays
 * what it was: what the weights look like. remark says how it came. */
bool i2s_trial(const struct import_job *j, const char **layout, char remark[128],
               struct bitnet_error *err);

#endif
