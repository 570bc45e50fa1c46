noinst_LIBRARIES += libclsa_traces.a
libclsa_traces_a_SOURCES =
