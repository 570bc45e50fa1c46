# Unit tests are one program a room, written with Check, which speaks TAP; shell tests speak TAP too.
# A unit test's main is CLSA_TEST_MAIN of tests/unit/test.h.
TEST_EXTENSIONS = .sh .tap
LOG_DRIVER = $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
AM_TESTS_ENVIRONMENT = \
  OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS; \
  OMP_WAIT_POLICY=passive; export OMP_WAIT_POLICY; \
  CLSA="$(abs_builddir)/clsa"; export CLSA; \
  CLSA_SRC="$(abs_top_srcdir)"; export CLSA_SRC; \
  CLSA_BUILD="$(abs_builddir)"; export CLSA_BUILD; \
  CLSA_DATA_PATH="$(abs_top_srcdir)"; export CLSA_DATA_PATH; \
  ASAN_OPTIONS="$${ASAN_OPTIONS:-allocator_may_return_null=1:detect_leaks=1}"; export ASAN_OPTIONS;
EXTRA_DIST += build-aux/tap-driver.sh
CLSA_TEST_LIBS = $(CHECK_LIBS)
if HAVE_CHECK
include tests/unit/local.mk
endif
TESTS += tests/lint/includes.sh tests/lint/headers.sh tests/lint/text.sh
EXTRA_DIST += tests/lint/includes.sh tests/lint/headers.sh tests/lint/text.sh
TESTS += tests/cli/own_steps.sh
EXTRA_DIST += tests/cli/own_steps.sh
include tests/fault/local.mk
include tests/fuzz/local.mk
cli_tests = tests/cli/help.sh tests/cli/bad_input.sh tests/cli/signature.sh tests/cli/turns.sh
TESTS += $(cli_tests)
EXTRA_DIST += $(cli_tests) tests/cli/lib.sh tests/cli/signature.txt
EXTRA_DIST += tests/bench/h100_plugin/README.md tests/bench/h100_plugin/plugin_check.csv \
  tests/bench/h100_plugin/plugin_check.log tests/bench/h100_plugin/plugin_device.txt \
  tests/bench/h100_plugin/plugin_run.csv tests/bench/h100_plugin/plugin_time.csv
TESTS += tests/cli/accuracy.sh
EXTRA_DIST += tests/cli/accuracy.sh reports/accuracy/README.md reports/accuracy/accuracy.csv \
  reports/accuracy/own_steps.csv reports/accuracy/ratio.awk reports/accuracy/regenerate.sh \
  reports/accuracy/refit.sh reports/accuracy/fits.csv reports/accuracy/frontier.csv \
  reports/accuracy/limits
