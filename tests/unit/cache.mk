check_PROGRAMS += tests/unit/test_cache
TESTS += tests/unit/test_cache
tests_unit_test_cache_SOURCES = tests/unit/test_cache.c
tests_unit_test_cache_LDADD = libclsa_hwmodels.a libclsa_base.a $(CLSA_TEST_LIBS)

check_PROGRAMS += tests/unit/test_dram
TESTS += tests/unit/test_dram
tests_unit_test_dram_SOURCES = tests/unit/test_dram.c
tests_unit_test_dram_LDADD = libclsa_hwmodels.a libclsa_base.a $(CLSA_TEST_LIBS) -lm
