check_PROGRAMS += tests/unit/test_kernels
TESTS += tests/unit/test_kernels
tests_unit_test_kernels_SOURCES = tests/unit/test_kernels.c tests/kernels/mutants.c \
  tests/kernels/mutants.h
tests_unit_test_kernels_LDADD = libclsa_kernels.a $(CLSA_KERNEL_ARCHIVES) $(CLSA_TEST_LIBS)
# Benches run on demand: make tests/bench/bench_kernels tests/bench/bench_model, then run them.
EXTRA_PROGRAMS += tests/bench/bench_kernels tests/bench/bench_model
tests_bench_bench_kernels_SOURCES = tests/bench/bench.c tests/bench/bench.h tests/bench/bench_kernels.c
tests_bench_bench_kernels_LDADD = libclsa_engine.a libclsa_model.a libclsa_kernels.a \
  $(CLSA_KERNEL_ARCHIVES) libclsa_base.a $(JANSSON_LIBS) $(CSV_LIBS) $(OPENBLAS_LIBS)
tests_bench_bench_model_SOURCES = tests/bench/bench.c tests/bench/bench.h tests/bench/bench_model.c
tests_bench_bench_model_LDADD = libclsa_kernels.a $(CLSA_KERNEL_ARCHIVES) $(OPENBLAS_LIBS)
check_PROGRAMS += tests/unit/test_plugin
TESTS += tests/unit/test_plugin
tests_unit_test_plugin_SOURCES = tests/unit/test_plugin.c
tests_unit_test_plugin_LDADD = libclsa_kernels.a $(CLSA_KERNEL_ARCHIVES) $(CLSA_TEST_LIBS)
EXTRA_DIST += tests/kernels/faulty_plugin.c tests/bench/plugin_h100.sh \
  tests/bench/signature.sh tests/bench/README.md tests/bench/ratios.csv
