noinst_LIBRARIES += libclsa_engine.a
libclsa_engine_a_SOURCES = \
  sim/engine/blas.c sim/engine/blas.h \
  sim/engine/engine.c sim/engine/engine.h \
  sim/engine/eval.c sim/engine/eval.h \
  sim/engine/exec.c sim/engine/exec.h \
  sim/engine/fill.c \
  sim/engine/noise.c sim/engine/noise.h \
  sim/engine/observer.h \
  sim/engine/sample.c sim/engine/sample.h \
  sim/engine/verify.c sim/engine/verify.h
