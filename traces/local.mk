noinst_LIBRARIES += libclsa_traces.a
libclsa_traces_a_SOURCES = \
  traces/bounds.c traces/bounds.h \
  traces/compare.c traces/compare.h \
  traces/decode.c traces/decode.h \
  traces/dump.c traces/dump.h \
  traces/encode.c traces/encode.h \
  traces/format.h \
  traces/import.c traces/import.h traces/import_parse.h \
  traces/import_array.c traces/import_jsonl.c \
  traces/info.c traces/info.h \
  traces/reader.c traces/reader.h \
  traces/stream.c traces/stream.h \
  traces/tool.c traces/tool.h \
  traces/validate.c traces/validate.h \
  traces/wire.c traces/wire.h \
  traces/writer.c traces/writer.h
EXTRA_DIST += traces/legacy/README.md traces/legacy/v1-mock.clsat \
  traces/legacy/v1-engine.clsat
