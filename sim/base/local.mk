noinst_LIBRARIES += libclsa_base.a
libclsa_base_a_SOURCES = \
  sim/base/alloc.c sim/base/alloc.h \
  sim/base/csv.c sim/base/csv.h \
  sim/base/file.c sim/base/file.h \
  sim/base/json.c sim/base/json.h \
  sim/base/log.c sim/base/log.h \
  sim/base/op.c sim/base/op.h \
  sim/base/rng.c sim/base/rng.h \
  sim/base/status.c sim/base/status.h \
  sim/base/units.c sim/base/units.h
