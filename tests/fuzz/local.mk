# Fuzz targets run in make check in a short deterministic loop; run.sh gives them to libFuzzer.
fuzz_programs = tests/fuzz/fuzz_trace tests/fuzz/fuzz_import tests/fuzz/fuzz_safetensors \
  tests/fuzz/fuzz_config tests/fuzz/fuzz_sheet tests/fuzz/fuzz_table tests/fuzz/fuzz_store
check_PROGRAMS += $(fuzz_programs)
TESTS += $(fuzz_programs)
EXTRA_DIST += tests/fuzz/run.sh tests/fuzz/found

fuzz_model_libs = libclsa_replay.a libclsa_routing.a libclsa_model.a libclsa_kernels.a \
  $(CLSA_KERNEL_ARCHIVES) libclsa_traces.a libclsa_hwmodels.a libclsa_base.a \
  $(ZSTD_LIBS) $(JANSSON_LIBS) $(CSV_LIBS)

tests_fuzz_fuzz_trace_SOURCES = tests/fuzz/fuzz_trace.c tests/fuzz/fuzz_loop.c tests/fuzz/fuzz.h \
  tests/unit/mock_step.c
tests_fuzz_fuzz_trace_LDADD = libclsa_traces.a libclsa_base.a $(ZSTD_LIBS) $(JANSSON_LIBS) \
  $(CSV_LIBS)
tests_fuzz_fuzz_import_SOURCES = tests/fuzz/fuzz_import.c tests/fuzz/fuzz_loop.c
tests_fuzz_fuzz_import_LDADD = $(tests_fuzz_fuzz_trace_LDADD)
tests_fuzz_fuzz_safetensors_SOURCES = tests/fuzz/fuzz_safetensors.c tests/fuzz/fuzz_file.c \
  tests/fuzz/fuzz_loop.c
tests_fuzz_fuzz_safetensors_LDADD = libclsa_model.a libclsa_base.a $(JANSSON_LIBS) $(CSV_LIBS)
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c tests/fuzz/fuzz_file.c \
  tests/fuzz/fuzz_loop.c
tests_fuzz_fuzz_config_LDADD = $(fuzz_model_libs)
tests_fuzz_fuzz_sheet_SOURCES = tests/fuzz/fuzz_sheet.c tests/fuzz/fuzz_file.c tests/fuzz/fuzz_loop.c
tests_fuzz_fuzz_sheet_LDADD = $(fuzz_model_libs)
tests_fuzz_fuzz_table_SOURCES = tests/fuzz/fuzz_table.c tests/fuzz/fuzz_loop.c
tests_fuzz_fuzz_table_LDADD = $(fuzz_model_libs)
tests_fuzz_fuzz_store_SOURCES = tests/fuzz/fuzz_store.c tests/fuzz/fuzz_file.c tests/fuzz/fuzz_loop.c
tests_fuzz_fuzz_store_LDADD = libclsa_reports.a libclsa_store.a libclsa_base.a $(SQLITE_LIBS) \
  $(JANSSON_LIBS) $(CSV_LIBS)
