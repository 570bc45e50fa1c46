check_PROGRAMS += tests/unit/test_plan_dsa tests/unit/test_map_dsa
TESTS += tests/unit/test_plan_dsa tests/unit/test_map_dsa
noinst_HEADERS += tests/unit/maps_dsa.h
maps_dsa_libs = libclsa_replay.a libclsa_hwmodels.a libclsa_model.a libclsa_kernels.a \
  libclsa_base.a $(CSV_LIBS) $(JANSSON_LIBS) $(CLSA_TEST_LIBS) -lm
tests_unit_test_plan_dsa_SOURCES = tests/unit/test_plan_dsa.c
tests_unit_test_plan_dsa_LDADD = $(maps_dsa_libs)
tests_unit_test_map_dsa_SOURCES = tests/unit/test_map_dsa.c
tests_unit_test_map_dsa_LDADD = $(maps_dsa_libs)
