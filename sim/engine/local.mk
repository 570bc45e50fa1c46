noinst_LIBRARIES += libclsa_engine.a
libclsa_engine_a_SOURCES =
