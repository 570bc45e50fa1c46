check_PROGRAMS += tests/unit/test_store
TESTS += tests/unit/test_store
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_LDADD = libclsa_store.a libclsa_base.a $(SQLITE_LIBS) $(CSV_LIBS) \
  $(JANSSON_LIBS) $(CLSA_TEST_LIBS)
