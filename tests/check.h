/* check.h: the few macros that every test program uses. A program ends with check_done(), which
 * prints "N passed, N failed, N skipped" and gives the exit status. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdio.h>

static int check_n_passed, check_n_failed, check_n_skipped;

#define CHECK(condition, ...)                                          \
    do {                                                               \
        if (condition) {                                               \
            check_n_passed++;                                          \
        } else {                                                       \
            check_n_failed++;                                          \
            printf("FAIL %s:%d: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                       \
            printf("\n");                                              \
        }                                                              \
    } while (0)

#define SKIP(...)              \
    do {                       \
        check_n_skipped++;     \
        printf("skip ");       \
        printf(__VA_ARGS__);   \
        printf("\n");          \
    } while (0)

static inline int check_done(void)
{
    printf("%d passed, %d failed, %d skipped\n", check_n_passed, check_n_failed, check_n_skipped);
    return check_n_failed != 0;
}

#endif
