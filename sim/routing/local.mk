noinst_LIBRARIES += libclsa_routing.a
libclsa_routing_a_SOURCES = \
  sim/routing/overlap.c sim/routing/overlap.h \
  sim/routing/reuse.c sim/routing/reuse.h \
  sim/routing/stats.c sim/routing/stats.h \
  sim/routing/synthetic.c sim/routing/synthetic.h
