noinst_LIBRARIES += libclsa_model.a
libclsa_model_a_SOURCES = \
  sim/model/geometry.c sim/model/geometry.h sim/model/geometry_read.h \
  sim/model/model.c sim/model/model.h \
  sim/model/plan.c sim/model/plan.h \
  sim/model/plan_build.h sim/model/plan_clsa.c \
  sim/model/safetensors.c sim/model/safetensors.h
libclsa_model_a_SOURCES += sim/model/geometry_dsa.c sim/model/plan_dsa.c
