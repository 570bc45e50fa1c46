noinst_LIBRARIES += libclsa_hwmodels.a
libclsa_hwmodels_a_SOURCES =

# Exact state: caches, translation, DRAM.
libclsa_hwmodels_a_SOURCES += hwmodels/access.h \
  hwmodels/cache.c hwmodels/cache.h hwmodels/cache_lanes.h
