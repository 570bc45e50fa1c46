if HAVE_CHECK
check_PROGRAMS += tests/fault/test_fault
TESTS += tests/fault/test_fault
tests_fault_test_fault_SOURCES = tests/fault/test_fault.c
tests_fault_test_fault_LDADD = libclsa_store.a libclsa_replay.a libclsa_record.a libclsa_routing.a \
  libclsa_engine.a libclsa_model.a libclsa_kernels.a $(CLSA_KERNEL_ARCHIVES) libclsa_traces.a \
  libclsa_hwmodels.a libclsa_base.a $(CLSA_TEST_LIBS) $(CLSA_LIBS)
endif
