/* verify.c: `bitnet verify FILE...` compares every checksum of a model file with its bytes, and
 * looks for codes that have no meaning, which no checksum finds. */
#include <inttypes.h>
#include <stdio.h>

#include "src/cmd.h"
#include "src/progress.h"
#include "tools/modelfile.h"
#include "tools/tools.h"

static bool verify_tensors(const struct model_file *f, bool quiet, struct bitnet_error *err)
{
    struct progress bar;
    bool good = true;
    map_read_once(&f->map);
    progress_start(&bar, "verify", "B", f->map.n_bytes, quiet);
    for (size_t i = 0; i < f->bnp.n_tensors && good; i++) {
        progress_set(&bar, f->bnp.tensors[i].off);
        good = bnp_verify(&f->bnp, i, err) && bnp_verify_codes(&f->bnp, i, err);
    }
    progress_clear(&bar);
    return good;
}

static int verify_file(const char *path, bool quiet)
{
    struct bitnet_error err = {0};
    struct model_file f;
    uint64_t start = now_ns();
    if (!model_file_open(&f, path, &err))
        return cmd_fail(&err);
    bool good = verify_tensors(&f, quiet, &err);
    double s = (double)(now_ns() - start) / 1e9;
    if (good && !quiet)
        printf("%s: good, %zu tensors, %" PRIu64 " bytes, %.2f s, %.1f GB/s\n", f.bnp.path,
               f.bnp.n_tensors, f.bnp.n_bytes, s, (double)f.bnp.n_bytes / s / 1e9);
    model_file_close(&f);
    return good ? BITNET_OK : cmd_fail(&err);
}

int tool_verify(int argc, char **argv)
{
    struct args a;
    int worst = BITNET_OK, status;
    if (!cmd_begin(&a, "verify", argc, argv, &status))
        return status;
    bool quiet = args_flag(&a, "--quiet");
    for (size_t i = 0; i < a.n_operands || i == 0; i++) {
        status = verify_file(cmd_model(a.operands[i]), quiet);
        worst = status > worst ? status : worst;
    }
    args_free(&a);
    return worst;
}
