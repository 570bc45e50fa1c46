noinst_LIBRARIES += libclsa_routing.a
libclsa_routing_a_SOURCES =
