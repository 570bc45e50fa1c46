# The store: schema.sql is built into the program and installed beside it.
noinst_LIBRARIES += libclsa_store.a
libclsa_store_a_SOURCES = \
  sim/store/db.c sim/store/db.h \
  sim/store/merge.c \
  sim/store/private.h \
  sim/store/reader.c \
  sim/store/rows.c \
  sim/store/schema.h \
  sim/store/store.c sim/store/store.h
nodist_libclsa_store_a_SOURCES = sim/store/schema_sql.c
nobase_dist_pkgdata_DATA += sim/store/schema.sql
CLEANFILES += sim/store/schema_sql.c

# A line of SQL becomes a line of a C string.
sim/store/schema_sql.c: sim/store/schema.sql sim/store/local.mk
	$(AM_V_GEN)$(MKDIR_P) $(@D) && { \
	  echo '/* Made from sim/store/schema.sql. */' && \
	  echo '#include "sim/store/schema.h"' && \
	  echo 'const char clsa_schema_sql[] =' && \
	  $(SED) -e 's/[\\"]/\\&/g' -e 's/^/    "/' -e 's/$$/\\n"/' $(srcdir)/sim/store/schema.sql && \
	  echo '    ;'; } > $@.tmp && mv $@.tmp $@
