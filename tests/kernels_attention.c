/* kernels_attention.c: check_kernels for struct attention_kernels. */
#include "tests/kernel_cases.h"

void check_attention(struct harness *h)
{
    (void)h;
}
