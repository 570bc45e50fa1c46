noinst_LIBRARIES += libclsa_cli.a
libclsa_cli_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLSA_GIT_ID="\"$(CLSA_GIT_ID)\""
libclsa_cli_a_SOURCES = \
  sim/cli/answers.c sim/cli/answers.h \
  sim/cli/cli.c sim/cli/cli.h \
  sim/cli/cmd_bench.c \
  sim/cli/cmd_calibrate.c \
  sim/cli/cmd_check.c \
  sim/cli/cmd_demo.c \
  sim/cli/cmd_eval.c \
  sim/cli/cmd_help.c \
  sim/cli/cmd_machine.c \
  sim/cli/cmd_measure.c \
  sim/cli/cmd_probe.c \
  sim/cli/cmd_plan.c \
  sim/cli/cmd_predict.c \
  sim/cli/cmd_replay.c \
  sim/cli/cmd_run.c \
  sim/cli/cmd_store.c \
  sim/cli/cmd_trace.c \
  sim/cli/cmd_trace_import.c \
  sim/cli/cmd_trace_make.c \
  sim/cli/cmd_validate.c \
  sim/cli/cmd_verify.c \
  sim/cli/commands.h \
  sim/cli/common.c sim/cli/common.h \
  sim/cli/demo.c sim/cli/demo.h \
  sim/cli/help.c \
  sim/cli/measured.c sim/cli/measured.h \
  sim/cli/playback.c sim/cli/playback.h \
  sim/cli/plugin.c sim/cli/plugin.h \
  sim/cli/plugin_check.c \
  sim/cli/pricing.c sim/cli/pricing.h \
  sim/cli/prompt.c \
  sim/cli/runner.c sim/cli/runner.h

# The commit a build came from, for the store; empty in a source tarball.
CLSA_GIT_ID = $$(git -C $(top_srcdir) describe --always --dirty --abbrev=12 2>/dev/null)

bin_PROGRAMS += clsa
clsa_SOURCES = sim/cli/main.c
clsa_LDADD = $(CLSA_ARCHIVES) $(CLSA_ARCHIVES) $(CLSA_LIBS)
if STATIC_CLSA
clsa_LDFLAGS = $(AM_LDFLAGS) -static
endif
