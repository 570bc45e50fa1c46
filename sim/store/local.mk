noinst_LIBRARIES += libclsa_store.a
libclsa_store_a_SOURCES =
