/* kernels_element.c: check_kernels for struct element_kernels. */
#include "tests/kernel_cases.h"

void check_element(struct harness *h)
{
    (void)h;
}
