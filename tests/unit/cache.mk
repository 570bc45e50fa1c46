check_PROGRAMS += tests/unit/test_cache
TESTS += tests/unit/test_cache
tests_unit_test_cache_SOURCES = tests/unit/test_cache.c
tests_unit_test_cache_LDADD = libclsa_hwmodels.a libclsa_base.a $(CLSA_TEST_LIBS)

check_PROGRAMS += tests/unit/test_dram
TESTS += tests/unit/test_dram
tests_unit_test_dram_SOURCES = tests/unit/test_dram.c
tests_unit_test_dram_LDADD = libclsa_hwmodels.a libclsa_base.a $(CLSA_TEST_LIBS) -lm

check_PROGRAMS += tests/unit/test_memory
TESTS += tests/unit/test_memory
tests_unit_test_memory_SOURCES = tests/unit/test_memory.c
tests_unit_test_memory_LDADD = libclsa_hwmodels.a libclsa_base.a $(CLSA_TEST_LIBS) $(CSV_LIBS) \
  $(JANSSON_LIBS) -lm

check_PROGRAMS += tests/unit/test_replay
TESTS += tests/unit/test_replay
tests_unit_test_replay_SOURCES = tests/unit/test_replay.c
tests_unit_test_replay_LDADD = libclsa_replay.a libclsa_routing.a libclsa_model.a libclsa_kernels.a \
  $(CLSA_KERNEL_ARCHIVES) libclsa_traces.a libclsa_hwmodels.a libclsa_base.a $(CLSA_TEST_LIBS) \
  $(ZSTD_LIBS) $(JANSSON_LIBS) $(CSV_LIBS) -lm

check_PROGRAMS += tests/unit/cachegrind_walk
TESTS += tests/unit/cachegrind.sh
EXTRA_DIST += tests/unit/cachegrind.sh
tests_unit_cachegrind_walk_SOURCES = tests/unit/cachegrind_walk.c
tests_unit_cachegrind_walk_LDADD = libclsa_hwmodels.a libclsa_base.a

# On demand: make tests/bench/bench_replay, then run it.
EXTRA_PROGRAMS += tests/bench/bench_replay
tests_bench_bench_replay_SOURCES = tests/bench/bench_replay.c
tests_bench_bench_replay_LDADD = $(tests_unit_test_replay_LDADD)

check_PROGRAMS += tests/fuzz/fuzz_replay
TESTS += tests/fuzz/fuzz_replay
tests_fuzz_fuzz_replay_SOURCES = tests/fuzz/fuzz_replay.c tests/fuzz/fuzz_loop.c
tests_fuzz_fuzz_replay_LDADD = $(tests_unit_test_replay_LDADD)
