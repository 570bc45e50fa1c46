noinst_LIBRARIES += libclsa_replay.a
libclsa_replay_a_SOURCES =
