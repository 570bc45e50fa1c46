check_PROGRAMS += tests/unit/test_model tests/unit/test_plan tests/unit/test_engine
TESTS += tests/unit/test_model tests/unit/test_plan tests/unit/test_engine
tests_unit_test_model_SOURCES = tests/unit/test_model.c
tests_unit_test_model_LDADD = libclsa_model.a libclsa_kernels.a $(CLSA_KERNEL_ARCHIVES) \
  libclsa_base.a $(JANSSON_LIBS) $(CSV_LIBS) $(CLSA_TEST_LIBS)
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c
tests_unit_test_plan_LDADD = $(tests_unit_test_model_LDADD)
tests_unit_test_engine_SOURCES = tests/unit/test_engine.c
tests_unit_test_engine_LDADD = libclsa_engine.a $(tests_unit_test_model_LDADD) $(OPENBLAS_LIBS)
