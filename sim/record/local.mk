noinst_LIBRARIES += libclsa_record.a
libclsa_record_a_SOURCES = \
  sim/record/record.c sim/record/record.h \
  sim/record/shape.c sim/record/shape.h
