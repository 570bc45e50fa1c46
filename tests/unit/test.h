/* What every unit test shares: a main that runs one Check suite and speaks TAP.
 *
 *   static Suite *suite(void) { ... }
 *   CLSA_TEST_MAIN(suite)
 *
 * CK_FORK=no is for sanitizers and debuggers; TAP wants exit status 0 whatever failed. */
#ifndef CLSA_TESTS_TEST_H
#define CLSA_TESTS_TEST_H

#include <check.h>
#include <stdlib.h>

#define CLSA_TEST_MAIN(suite_function)                                                             \
    int main(void)                                                                                 \
    {                                                                                              \
        SRunner *runner = srunner_create(suite_function());                                        \
        srunner_set_tap(runner, "-");                                                              \
        srunner_run_all(runner, CK_SILENT);                                                        \
        srunner_free(runner);                                                                      \
        return EXIT_SUCCESS;                                                                       \
    }

/* The source tree, where tests find their data. */
static inline const char *clsa_test_source(void)
{
    const char *dir = getenv("CLSA_SRC");
    return dir ? dir : ".";
}

#endif
