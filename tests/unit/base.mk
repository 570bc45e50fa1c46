check_PROGRAMS += tests/unit/test_base
TESTS += tests/unit/test_base
tests_unit_test_base_SOURCES = tests/unit/test_base.c
tests_unit_test_base_LDADD = libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) $(CLSA_TEST_LIBS)
