# What configure asks of a machine: features, warnings, libraries, instruction sets.

AC_DEFUN([CLSA_ARG_FEATURES], [
AC_ARG_ENABLE([asan], [AS_HELP_STRING([--enable-asan], [build with AddressSanitizer])],
  [], [enable_asan=no])
AC_ARG_ENABLE([ubsan], [AS_HELP_STRING([--enable-ubsan], [build with UndefinedBehaviorSanitizer])],
  [], [enable_ubsan=no])
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [treat warnings as errors])],
  [], [enable_werror=no])
AC_ARG_ENABLE([static-clsa], [AS_HELP_STRING([--enable-static-clsa],
  [link the clsa program statically, to carry it to another machine])],
  [], [enable_static_clsa=no])
AM_CONDITIONAL([STATIC_CLSA], [test "x$enable_static_clsa" = xyes])
])

AC_DEFUN([CLSA_COMPILER_FLAGS], [
clsa_warn=
for flag in -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wpointer-arith -Wwrite-strings; do
  clsa_save="$CFLAGS"; CFLAGS="$CFLAGS $flag"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [clsa_warn="$clsa_warn $flag"])
  CFLAGS="$clsa_save"
done
AS_IF([test "x$enable_werror" = xyes], [clsa_warn="$clsa_warn -Werror"])
clsa_sanitizers=
CLSA_SANITIZE=
AS_IF([test "x$enable_asan" = xyes],
  [CLSA_SANITIZE="$CLSA_SANITIZE -fsanitize=address"; clsa_sanitizers="$clsa_sanitizers address"])
AS_IF([test "x$enable_ubsan" = xyes],
  [CLSA_SANITIZE="$CLSA_SANITIZE -fsanitize=undefined -fno-sanitize-recover=undefined"
   clsa_sanitizers="$clsa_sanitizers undefined"])
AS_IF([test "x$CLSA_SANITIZE" != x], [CLSA_SANITIZE="$CLSA_SANITIZE -fno-omit-frame-pointer -g"])
# ISO C without contraction: a*b+c must round twice wherever a kernel does not say otherwise.
CLSA_CFLAGS="-std=c11 -ffp-contract=off$clsa_warn $CLSA_SANITIZE"
AC_SUBST([CLSA_CFLAGS])
AC_SUBST([CLSA_SANITIZE])
AC_OPENMP
])

# CLSA_NEED(VARIABLE, HEADER, LIBRARY, FUNCTION, DEBIAN PACKAGE): a library without a .pc file, or
# with one that adds nothing.
AC_DEFUN([CLSA_NEED], [
clsa_ok=yes
clsa_save_libs="$LIBS"
AC_CHECK_HEADER([$2], [], [clsa_ok=no])
AC_CHECK_LIB([$3], [$4], [$1="-l$3"], [clsa_ok=no], [$6])
LIBS="$clsa_save_libs"
AS_IF([test "x$clsa_ok" = xno], [clsa_missing="$clsa_missing $5"])
AC_SUBST([$1])
])

AC_DEFUN([CLSA_CHECK_LIBRARIES], [
clsa_missing=
AC_CHECK_LIB([m], [sqrt])
CLSA_NEED([SQLITE_LIBS], [sqlite3.h], [sqlite3], [sqlite3_open_v2], [libsqlite3-dev])
CLSA_NEED([JANSSON_LIBS], [jansson.h], [jansson], [json_loadb], [libjansson-dev])
CLSA_NEED([ZSTD_LIBS], [zstd.h], [zstd], [ZSTD_compressCCtx], [libzstd-dev])
CLSA_NEED([CSV_LIBS], [csv.h], [csv], [csv_parse], [libcsv-dev])
CLSA_NEED([OPENBLAS_LIBS], [cblas.h], [openblas], [cblas_sgemm], [libopenblas-dev])
AS_IF([test "x$clsa_missing" != x],
  [AC_MSG_ERROR([missing libraries; on Debian: apt-get install$clsa_missing])])
AC_CHECK_FUNC([openblas_set_num_threads])
have_check=yes
clsa_save_libs="$LIBS"
AC_CHECK_HEADER([check.h], [], [have_check=no])
AC_CHECK_LIB([check], [srunner_create], [CHECK_LIBS="-lcheck -lsubunit -lrt -lpthread -lm"],
  [have_check=no], [-lsubunit -lrt -lpthread -lm])
LIBS="$clsa_save_libs"
AC_SUBST([CHECK_LIBS])
AM_CONDITIONAL([HAVE_CHECK], [test "x$have_check" = xyes])
AS_IF([test "x$have_check" = xno],
  [AC_MSG_WARN([unit tests are left out; on Debian: apt-get install check])
   have_check="no: unit tests are left out (apt-get install check)"])
])

# The x86 rungs are built when the compiler can; the processor is asked at run time.
AC_DEFUN([CLSA_CHECK_ISA], [
clsa_rungs=
AS_CASE([$host_cpu], [x86_64], [clsa_x86=yes], [clsa_x86=no])
AM_CONDITIONAL([HAVE_X86], [test $clsa_x86 = yes])
AS_IF([test $clsa_x86 = yes], [
  AC_DEFINE([CLSA_HAVE_X86], [1], [the x86 rungs are built])
  clsa_rungs=" avx2 avx512"])
CLSA_AVX512BF16_CFLAGS=
clsa_save="$CFLAGS"; CFLAGS="$CFLAGS -mavx512f -mavx512bf16"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [clsa_bf16=$clsa_x86], [clsa_bf16=no])
CFLAGS="$clsa_save"
AM_CONDITIONAL([HAVE_AVX512BF16], [test $clsa_bf16 = yes])
AS_IF([test $clsa_bf16 = yes], [
  AC_DEFINE([CLSA_HAVE_AVX512BF16], [1], [the avx512bf16 rung is built])
  clsa_rungs="$clsa_rungs avx512bf16"])
])
