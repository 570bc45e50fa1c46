check_PROGRAMS += tests/unit/test_traces
TESTS += tests/unit/test_traces
tests_unit_test_traces_SOURCES = tests/unit/test_traces.c tests/unit/mock_step.c \
  tests/unit/mock_step.h
tests_unit_test_traces_LDADD = libclsa_traces.a libclsa_base.a $(ZSTD_LIBS) $(JANSSON_LIBS) \
  $(CSV_LIBS) $(CLSA_TEST_LIBS)

check_PROGRAMS += tests/unit/test_trace_tools
TESTS += tests/unit/test_trace_tools
tests_unit_test_trace_tools_SOURCES = tests/unit/test_trace_tools.c tests/unit/mock_step.c
tests_unit_test_trace_tools_LDADD = libclsa_traces.a libclsa_base.a $(ZSTD_LIBS) $(JANSSON_LIBS) \
  $(CSV_LIBS) $(CLSA_TEST_LIBS)

check_PROGRAMS += tests/unit/test_routing
TESTS += tests/unit/test_routing
tests_unit_test_routing_SOURCES = tests/unit/test_routing.c tests/unit/mock_step.c
tests_unit_test_routing_LDADD = libclsa_routing.a libclsa_traces.a libclsa_base.a $(ZSTD_LIBS) \
  $(JANSSON_LIBS) $(CSV_LIBS) $(CLSA_TEST_LIBS)

check_PROGRAMS += tests/unit/test_record
TESTS += tests/unit/test_record
tests_unit_test_record_SOURCES = tests/unit/test_record.c tests/unit/mock_step.c
tests_unit_test_record_LDADD = libclsa_record.a libclsa_routing.a libclsa_engine.a libclsa_model.a \
  libclsa_kernels.a $(CLSA_KERNEL_ARCHIVES) libclsa_traces.a libclsa_base.a $(OPENBLAS_LIBS) \
  $(ZSTD_LIBS) $(JANSSON_LIBS) $(CSV_LIBS) $(CLSA_TEST_LIBS)

check_PROGRAMS += tests/unit/test_import
TESTS += tests/unit/test_import
tests_unit_test_import_SOURCES = tests/unit/test_import.c
tests_unit_test_import_LDADD = libclsa_traces.a libclsa_base.a $(ZSTD_LIBS) $(JANSSON_LIBS) \
  $(CSV_LIBS) $(CLSA_TEST_LIBS)
