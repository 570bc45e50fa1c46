noinst_LIBRARIES += libclsa_cli.a
libclsa_cli_a_SOURCES =
