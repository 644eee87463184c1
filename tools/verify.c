/* verify.c: `bitnet verify FILE...` compares every checksum of a model file with its bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/progress.h"
#include "tools/modelfile.h"
#include "tools/tools.h"

static bool verify_tensors(const struct model_file *f, bool quiet, struct bitnet_error *err)
{
    struct progress bar;
    bool good = true;
    map_advise(&f->map, 0, f->map.n_bytes, MAP_USE_ONCE);
    progress_start(&bar, "verify", "B", f->map.n_bytes, quiet);
    for (size_t i = 0; i < f->bnp.n_tensors && good; i++) {
        progress_set(&bar, f->bnp.tensors[i].off);
        good = bnp_verify(&f->bnp, i, err);
    }
    progress_clear(&bar);
    return good;
}

static int verify_file(const char *path, bool quiet)
{
    struct bitnet_error err = {0};
    struct model_file f;
    uint64_t start = now_ns();
    if (model_file_open(&f, path, &err)) {
        if (verify_tensors(&f, quiet, &err) && !quiet) {
            double s = (double)(now_ns() - start) / 1e9;
            printf("%s: good: %zu tensors, %" PRIu64 " bytes, %.2f s, %.1f GB/s\n", f.bnp.path,
                   f.bnp.n_tensors, f.bnp.n_bytes, s, (double)f.bnp.n_bytes / s / 1e9);
        }
        model_file_close(&f);
    }
    if (err.code != BITNET_OK)
        fprintf(stderr, "bitnet: %s\n", err.msg);
    return err.code;
}

int tool_verify(int argc, char **argv)
{
    bool quiet = false;
    int worst = BITNET_OK, n_files = 0;
    for (int i = 1; i < argc; i++)
        quiet |= strcmp(argv[i], "-q") == 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-q") == 0)
            continue;
        int code = verify_file(argv[i], quiet);
        worst = code > worst ? code : worst;
        n_files++;
    }
    return n_files ? worst : verify_file(NULL, quiet);
}
