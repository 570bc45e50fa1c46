noinst_LIBRARIES += libclsa_kernels.a
libclsa_kernels_a_SOURCES = \
	kernels/check.c kernels/check.h kernels/check_attention.c kernels/check_elementwise.c \
	kernels/check_linear.c kernels/check_plugin.c kernels/check_plugin.h \
	kernels/check_plugin_time.c kernels/check_run.h kernels/check_time.c \
	kernels/half.h kernels/kernels.h kernels/parallel.c kernels/parallel.h \
	kernels/plugin_call.h kernels/plugin_host.c kernels/plugin_host.h \
	kernels/plugin_jobs.c kernels/probe.c \
	kernels/probe.h kernels/rungs.h kernels/table.c kernels/traffic.c kernels/traffic.h \
	kernels/ref/attention.c kernels/ref/elementwise.c kernels/ref/linear.c kernels/ref/ref.h \
	kernels/ref/select.c kernels/ref/table.c
libclsa_kernels_a_CPPFLAGS = $(AM_CPPFLAGS)

# One archive per instruction set, from the same sources. -O2 -g and the like of the user come last
# on the command line, these flags before them.
clsa_x86_sources = \
	kernels/x86/attention.c kernels/x86/attention.h kernels/x86/attention_direct.c \
	kernels/x86/elementwise.c kernels/x86/linear.c kernels/x86/table.c \
	kernels/x86/tile.h kernels/x86/topk.c kernels/x86/vec.h kernels/x86/x86.h
clsa_avx512_cflags = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mpopcnt -mprfchw \
	-mprefer-vector-width=512

if HAVE_X86
libclsa_kernels_a_CPPFLAGS += -DCLSA_KERNELS_X86
noinst_LIBRARIES += libclsa_kernels_avx2.a libclsa_kernels_avx512.a
CLSA_KERNEL_ARCHIVES += libclsa_kernels_avx2.a libclsa_kernels_avx512.a
libclsa_kernels_avx2_a_SOURCES = $(clsa_x86_sources) kernels/x86/probe.c
libclsa_kernels_avx2_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLSA_KERNELS_X86
libclsa_kernels_avx2_a_CFLAGS = $(AM_CFLAGS) -mavx2 -mfma -mf16c -mpopcnt
libclsa_kernels_avx512_a_SOURCES = $(clsa_x86_sources) kernels/x86/probe.c
libclsa_kernels_avx512_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLSA_KERNELS_X86
libclsa_kernels_avx512_a_CFLAGS = $(AM_CFLAGS) $(clsa_avx512_cflags)
endif

if HAVE_AVX512BF16
libclsa_kernels_a_CPPFLAGS += -DCLSA_KERNELS_AVX512BF16
noinst_LIBRARIES += libclsa_kernels_avx512bf16.a
CLSA_KERNEL_ARCHIVES += libclsa_kernels_avx512bf16.a
libclsa_kernels_avx512bf16_a_SOURCES = $(clsa_x86_sources) kernels/x86/linear_bf16.c
libclsa_kernels_avx512bf16_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLSA_KERNELS_X86
libclsa_kernels_avx512bf16_a_CFLAGS = $(AM_CFLAGS) $(clsa_avx512_cflags) -mavx512bf16
endif

# What plugins are written against, and examples with a makefile of their own.
pkginclude_HEADERS = kernels/plugin.h
EXTRA_DIST += kernels/examples/Makefile kernels/examples/approx_topk.c \
	kernels/examples/cuda_kernels.cu
