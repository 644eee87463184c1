#include "src/cmd_each.h"
int chat_main(const struct args *a) { (void)a; return 0; }
