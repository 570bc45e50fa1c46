noinst_LIBRARIES += libclsa_kernels.a
libclsa_kernels_a_SOURCES = \
	kernels/half.h kernels/kernels.h kernels/parallel.c kernels/parallel.h kernels/rungs.h \
	kernels/table.c kernels/traffic.c kernels/traffic.h \
	kernels/ref/attention.c kernels/ref/elementwise.c kernels/ref/linear.c kernels/ref/ref.h \
	kernels/ref/select.c kernels/ref/table.c
libclsa_kernels_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLSA_KERNELS_REF_ONLY
libclsa_kernels_a_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
