noinst_LIBRARIES += libclsa_record.a
libclsa_record_a_SOURCES =
