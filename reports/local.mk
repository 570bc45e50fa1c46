# Reports: named queries (built in and installed), tables, charts, the HTML page.
noinst_LIBRARIES += libclsa_reports.a
libclsa_reports_a_SOURCES = \
  reports/print.c reports/print.h \
  reports/query.c reports/query.h \
  reports/report.h
nodist_libclsa_reports_a_SOURCES = reports/queries_sql.c
clsa_queries = \
  reports/queries/accuracy.sql \
  reports/queries/best.sql \
  reports/queries/errors.sql \
  reports/queries/eval.sql \
  reports/queries/kernels.sql \
  reports/queries/ops.sql \
  reports/queries/predict.sql \
  reports/queries/routing.sql \
  reports/queries/run_ops.sql \
  reports/queries/runs.sql \
  reports/queries/sources.sql
nobase_dist_pkgdata_DATA += $(clsa_queries)
EXTRA_DIST += reports/embed.awk
CLEANFILES += reports/queries_sql.c

reports/queries_sql.c: $(clsa_queries) reports/embed.awk reports/local.mk
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	  (cd $(srcdir) && $(AWK) -f reports/embed.awk $(clsa_queries)) > $@.tmp && mv $@.tmp $@
