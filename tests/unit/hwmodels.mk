check_PROGRAMS += tests/unit/test_hwmodels
TESTS += tests/unit/test_hwmodels
tests_unit_test_hwmodels_SOURCES = tests/unit/test_hwmodels.c
tests_unit_test_hwmodels_LDADD = libclsa_hwmodels.a libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) \
  $(CLSA_TEST_LIBS) -lm

check_PROGRAMS += tests/unit/test_closed
TESTS += tests/unit/test_closed
tests_unit_test_closed_SOURCES = tests/unit/test_closed.c
tests_unit_test_closed_LDADD = libclsa_replay.a libclsa_model.a libclsa_kernels.a \
  libclsa_hwmodels.a libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) $(CLSA_TEST_LIBS) -lm
