#include "src/cmd.h"
int cmd_run(int argc, char **argv)
{
    struct args a;
    int status;
    if (!cmd_begin(&a, "run", argc, argv, &status))
        return status;
    args_free(&a);
    return 0;
}
