check_PROGRAMS += tests/unit/test_store tests/unit/test_reports
TESTS += tests/unit/test_store tests/unit/test_reports
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_LDADD = libclsa_store.a libclsa_base.a $(SQLITE_LIBS) $(CSV_LIBS) \
  $(JANSSON_LIBS) $(CLSA_TEST_LIBS)
tests_unit_test_reports_SOURCES = tests/unit/test_reports.c
tests_unit_test_reports_LDADD = libclsa_reports.a libclsa_store.a libclsa_base.a $(SQLITE_LIBS) \
  $(CSV_LIBS) $(JANSSON_LIBS) $(CLSA_TEST_LIBS)
