#include "tools/modelfile.h"

bool model_file_open(struct model_file *f, const char *path, struct bitnet_error *err)
{
    *f = (struct model_file){0};
    if (path && !map_open(&f->map, path, err))
        return false;
    if (!path && !map_embedded(&f->map))
        return fail(err, BITNET_USAGE, "no model is named, and this bitnet carries none");
    if (bnp_open(&f->bnp, f->map.bytes, f->map.n_bytes, path ? path : "built-in model", err))
        return true;
    map_close(&f->map);
    return false;
}

void model_file_close(struct model_file *f)
{
    bnp_close(&f->bnp);
    map_close(&f->map);
}
