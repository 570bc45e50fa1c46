# Reports: named queries (built in and installed), tables, charts, the HTML page.
noinst_LIBRARIES += libclsa_reports.a
libclsa_reports_a_SOURCES = \
  reports/canvas.h \
  reports/chart.c reports/chart.h \
  reports/figures.c \
  reports/findings.c \
  reports/page.c reports/page.h \
  reports/print.c reports/print.h \
  reports/query.c reports/query.h \
  reports/report.c reports/report.h \
  reports/rows.c reports/rows.h \
  reports/study.c reports/study.h \
  reports/svg.c \
  reports/term.c \
  reports/terminal.c
nodist_libclsa_reports_a_SOURCES = reports/queries_sql.c reports/page_css.c
clsa_queries = \
  reports/queries/best.sql \
  reports/queries/errors.sql \
  reports/queries/eval.sql \
  reports/queries/kernels.sql \
  reports/queries/measured_steps.sql \
  reports/queries/ops.sql \
  reports/queries/pairs.sql \
  reports/queries/predict.sql \
  reports/queries/quality_by_group.sql \
  reports/queries/routing.sql \
  reports/queries/run_ops.sql \
  reports/queries/runs.sql \
  reports/queries/setups.sql \
  reports/queries/sources.sql \
  reports/queries/step_ops.sql \
  reports/queries/steps.sql \
  reports/queries/validation.sql
nobase_dist_pkgdata_DATA += $(clsa_queries)
EXTRA_DIST += reports/embed.awk reports/page.css
CLEANFILES += reports/queries_sql.c reports/page_css.c

reports/queries_sql.c: $(clsa_queries) reports/embed.awk reports/local.mk
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	  (cd $(srcdir) && $(AWK) -f reports/embed.awk $(clsa_queries)) > $@.tmp && mv $@.tmp $@

reports/page_css.c: reports/page.css reports/local.mk
	$(AM_V_GEN)$(MKDIR_P) $(@D) && { \
	  echo '/* Made from reports/page.css. */' && \
	  echo '#include "reports/page.h"' && \
	  echo 'const char clsa_page_css[] =' && \
	  $(SED) -e 's/[\\"]/\\&/g' -e 's/^/    "/' -e 's/$$/\\n"/' $(srcdir)/reports/page.css && \
	  echo '    ;'; } > $@.tmp && mv $@.tmp $@
