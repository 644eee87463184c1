/* convert.c: `bitnet convert SOURCE -o FILE`. */
#include <string.h>

#include "src/cmd.h"
#include "tools/import.h"
#include "tools/tools.h"

static int encoding_of(const char *name)
{
    enum encoding e;
    uint32_t group;
    return layout_parse(name, &e, &group) ? (int)e : 0; /* "auto": 0 */
}

int tool_convert(int argc, char **argv)
{
    struct bitnet_error err = {0};
    struct args a;
    int status;
    if (!cmd_begin(&a, "convert", argc, argv, &status))
        return status;
    struct import_job j = {.in = a.operands[0], .out = args_text(&a, "--output")};
    j.import.i2s_layout = args_text(&a, "--i2s-layout");
    j.import.ffn_act = args_text(&a, "--ffn-act");
    j.import.act = args_text(&a, "--act");
    j.encode.body = encoding_of(args_text(&a, "--body"));
    j.encode.head = encoding_of(args_text(&a, "--head"));
    j.head_given = args_given(&a, "--head");
    j.n_threads = args_given(&a, "--threads") ? (int)args_int(&a, "--threads") : 0;
    j.quiet = args_flag(&a, "--quiet");
    j.verbose = args_flag(&a, "--verbose");
    j.report = j.quiet ? NULL : stdout;
    if (!j.out)
        fail(&err, BITNET_USAGE, "convert: -o FILE is needed (bitnet help convert)");
    else
        import_model(&j, &err);
    args_free(&a);
    return err.code == BITNET_OK ? BITNET_OK : cmd_fail(&err);
}
