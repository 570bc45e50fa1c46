noinst_HEADERS += tests/unit/test.h
include tests/unit/base.mk
include tests/unit/kernels.mk
include tests/unit/hwmodels.mk
include tests/unit/cache.mk
include tests/unit/maps_dense.mk
include tests/unit/maps_dsa.mk
include tests/unit/model.mk
include tests/unit/traces.mk
include tests/unit/store.mk
include tests/unit/cpu.mk
