check_PROGRAMS += tests/unit/test_cpu
TESTS += tests/unit/test_cpu
tests_unit_test_cpu_SOURCES = tests/unit/test_cpu.c tests/unit/cpu_test.h
tests_unit_test_cpu_LDADD = libclsa_hwmodels.a libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) $(CLSA_TEST_LIBS) -lm

check_PROGRAMS += tests/unit/test_cpu_ops
TESTS += tests/unit/test_cpu_ops
tests_unit_test_cpu_ops_SOURCES = tests/unit/test_cpu_ops.c tests/unit/cpu_test.h
tests_unit_test_cpu_ops_LDADD = libclsa_replay.a libclsa_model.a libclsa_kernels.a libclsa_hwmodels.a \
  libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) $(CLSA_TEST_LIBS) -lm

check_PROGRAMS += tests/unit/test_cpu_host
TESTS += tests/unit/test_cpu_host
tests_unit_test_cpu_host_SOURCES = tests/unit/test_cpu_host.c tests/unit/cpu_test.h
tests_unit_test_cpu_host_LDADD = libclsa_replay.a libclsa_model.a libclsa_kernels.a libclsa_hwmodels.a \
  libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) $(CLSA_TEST_LIBS) -lm

check_PROGRAMS += tests/unit/test_reuse
TESTS += tests/unit/test_reuse
tests_unit_test_reuse_SOURCES = tests/unit/test_reuse.c
tests_unit_test_reuse_LDADD = libclsa_replay.a libclsa_model.a libclsa_hwmodels.a libclsa_base.a $(CSV_LIBS) \
  $(JANSSON_LIBS) $(CLSA_TEST_LIBS) -lm

EXTRA_DIST += tests/bench/cpu_compare.sh tests/bench/cpu_remote.sh
