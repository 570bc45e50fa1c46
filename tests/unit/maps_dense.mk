check_PROGRAMS += tests/unit/test_map_gemm tests/unit/test_map_attention
TESTS += tests/unit/test_map_gemm tests/unit/test_map_attention
noinst_HEADERS += tests/unit/maps_dense.h
maps_dense_libs = libclsa_replay.a libclsa_hwmodels.a libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) \
  $(CLSA_TEST_LIBS) -lm
tests_unit_test_map_gemm_SOURCES = tests/unit/test_map_gemm.c
tests_unit_test_map_gemm_LDADD = $(maps_dense_libs)
tests_unit_test_map_attention_SOURCES = tests/unit/test_map_attention.c
tests_unit_test_map_attention_LDADD = $(maps_dense_libs)
