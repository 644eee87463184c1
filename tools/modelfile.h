/* modelfile.h: a model file opened by its name, for the offline commands. */
#ifndef TOOLS_MODELFILE_H
#define TOOLS_MODELFILE_H

#include "src/bnp.h"
#include "src/map.h"

struct model_file {
    struct map map;
    struct bnp bnp;
};

/* Does path, "-" for standard input, begin as a .bnp file, whatever a transfer as text did to its
 * first byte? A pipe stays mapped for who opens it; where it cannot be read the answer is yes, and
 * err has the reason, which stays when opening it fails too. */
bool is_bnp_file(const char *path, struct bitnet_error *err);
/* path NULL: the model that the binary carries. */
bool model_file_open(struct model_file *f, const char *path, struct bitnet_error *err);
void model_file_close(struct model_file *f);

#endif
