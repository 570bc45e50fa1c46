noinst_LIBRARIES += libclsa_model.a
libclsa_model_a_SOURCES =
