noinst_LIBRARIES += libclsa_hwmodels.a
libclsa_hwmodels_a_SOURCES =
