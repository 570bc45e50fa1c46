noinst_LIBRARIES += libclsa_replay.a
libclsa_replay_a_SOURCES =

# The closed form, the mapping of ops to kernels, predictions against tables.
libclsa_replay_a_SOURCES += sim/replay/closed.c sim/replay/closed.h \
  sim/replay/map.c sim/replay/map.h sim/replay/map_small.c sim/replay/map_triton.c \
  sim/replay/reuse.c sim/replay/reuse.h \
  sim/replay/chance.c sim/replay/chance.h \
  sim/replay/validate_rows.c sim/replay/validate_table.c sim/replay/validate_table.h
libclsa_replay_a_SOURCES += sim/replay/calibrate.c sim/replay/calibrate.h

# Products and attention.
libclsa_replay_a_SOURCES += sim/replay/map_attention.c sim/replay/map_attention.h \
  sim/replay/map_gemm.c sim/replay/map_gemm.h
libclsa_replay_a_SOURCES += sim/replay/map_cpu.c sim/replay/map_cpu.h
libclsa_replay_a_SOURCES += sim/replay/interval.c sim/replay/interval.h

# Replay of traces through exact memory state.
libclsa_replay_a_SOURCES += sim/replay/replay.c sim/replay/replay.h \
  sim/replay/replay_cpu.c sim/replay/replay_gpu.c sim/replay/replay_work.c \
  sim/replay/replay_work.h sim/replay/replay_units.c sim/replay/replay_units.h \
  sim/replay/timeline.c sim/replay/timeline.h \
  sim/replay/bench_replay.c sim/replay/bench_replay.h

# Sparse attention of DSA models: index scores, selection, latent rows.
libclsa_replay_a_SOURCES += sim/replay/map_dsa.h sim/replay/map_index.c sim/replay/map_mla.c \
  sim/replay/map_topk.c
libclsa_replay_a_SOURCES += sim/replay/validate_case.h sim/replay/validate_dsa.c sim/replay/validate_cpu.c
