noinst_LIBRARIES += libclsa_reports.a
libclsa_reports_a_SOURCES =
