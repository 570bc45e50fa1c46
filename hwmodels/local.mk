noinst_LIBRARIES += libclsa_hwmodels.a
libclsa_hwmodels_a_SOURCES =

# Exact state: caches, translation, DRAM.
libclsa_hwmodels_a_SOURCES += hwmodels/access.h \
  hwmodels/cache.c hwmodels/cache.h hwmodels/cache_lanes.h

# Machines, implementations and the timing cores.
libclsa_hwmodels_a_SOURCES += hwmodels/gpu.c hwmodels/gpu.h \
  hwmodels/implementation.c hwmodels/implementation.h \
  hwmodels/machine.c hwmodels/machine.h \
  hwmodels/sheet.c hwmodels/sheet.h

nobase_dist_pkgdata_DATA += \
  hwmodels/machines/a100-pcie-40g.csv \
  hwmodels/machines/a100-sxm-80g.csv \
  hwmodels/machines/apple-m4-max.csv \
  hwmodels/machines/b200-hbm4.csv \
  hwmodels/machines/b200-sxm.csv \
  hwmodels/machines/b300-sxm.csv \
  hwmodels/machines/epyc-rome.csv \
  hwmodels/machines/epyc-turin.csv \
  hwmodels/machines/gb200.csv \
  hwmodels/machines/gb300.csv \
  hwmodels/machines/gh200.csv \
  hwmodels/machines/grace.csv \
  hwmodels/machines/graviton4.csv \
  hwmodels/machines/h100-4xl2.csv \
  hwmodels/machines/h100-pcie.csv \
  hwmodels/machines/h100-sxm.csv \
  hwmodels/machines/h20.csv \
  hwmodels/machines/h200-sxm.csv \
  hwmodels/machines/h800.csv \
  hwmodels/machines/l40s.csv \
  hwmodels/machines/mi300x.csv \
  hwmodels/machines/mi325x.csv \
  hwmodels/machines/mi355x.csv \
  hwmodels/machines/rtx-4090.csv \
  hwmodels/machines/rtx-pro-6000-server.csv \
  hwmodels/machines/ryzen-7950x.csv \
  hwmodels/machines/sram-512.csv \
  hwmodels/machines/xeon-emr.csv \
  hwmodels/machines/xeon-gnr.csv \
  hwmodels/machines/xeon-max-9480-hbm.csv \
  hwmodels/machines/xeon-spr.csv \
  hwmodels/implementations/triton-own.csv

# Measuring the host.
libclsa_hwmodels_a_SOURCES += hwmodels/measure.c hwmodels/measure.h hwmodels/measure_bench.c \
  hwmodels/measure_bench.h hwmodels/measure_set.c hwmodels/measure_kernels.c hwmodels/measure_kernels.h \
  hwmodels/measure_gathers.c hwmodels/measure_machine.c hwmodels/measure_probe.c

nobase_dist_pkgdata_DATA += \
  hwmodels/implementations/cublas.csv \
  hwmodels/implementations/flash-attention-3.csv \
  hwmodels/implementations/sglang-0.5.14.csv
libclsa_hwmodels_a_SOURCES += hwmodels/dram.c hwmodels/dram.h \
  hwmodels/dram_channel.c hwmodels/dram_channel.h \
  hwmodels/hierarchy.c hwmodels/hierarchy.h hwmodels/tlb.c hwmodels/tlb.h
nobase_dist_pkgdata_DATA += hwmodels/machines/epyc-genoa.csv
nobase_dist_pkgdata_DATA += hwmodels/machines/toy-gpu.csv
nobase_dist_pkgdata_DATA += hwmodels/machines/toy-cpu.csv
nobase_dist_pkgdata_DATA += hwmodels/implementations/native.csv
nobase_dist_pkgdata_DATA += hwmodels/implementations/native-golden-cove.csv
libclsa_hwmodels_a_SOURCES += hwmodels/cpu.c hwmodels/cpu.h

# Measured times, with where they come from.
EXTRA_DIST += hwmodels/measured/README.md \
  hwmodels/measured/a100_attention_decode.csv \
  hwmodels/measured/a100_attention_prefill.csv \
  hwmodels/measured/a100_gemm.csv \
  hwmodels/measured/h100_attention_decode.csv \
  hwmodels/measured/h100_attention_prefill.csv \
  hwmodels/measured/h100_dsa_layer_decode.csv \
  hwmodels/measured/h100_dsa_layer_prefill.csv \
  hwmodels/measured/h100_gemm.csv \
  hwmodels/measured/h100_index_scores.csv \
  hwmodels/measured/h100_index_scores_paged.csv \
  hwmodels/measured/h100_own_kernels.csv \
  hwmodels/measured/h100_own_micro.csv \
  hwmodels/measured/h100_own_step_ops.csv \
  hwmodels/measured/h100_own_steps.csv \
  hwmodels/measured/h100_sparse_attention.csv \
  hwmodels/measured/h100_topk.csv \
  hwmodels/measured/zen5x2_cpu_figures.csv \
  hwmodels/measured/zen5x2_cpu_gathers.csv \
  hwmodels/measured/zen5x2_cpu_host.csv \
  hwmodels/measured/zen5x2_cpu_ops.csv \
  hwmodels/measured/zen5x2_cpu_steps.csv \
  hwmodels/measured/emerald2_cpu_contexts.csv \
  hwmodels/measured/emerald2_cpu_figures.csv \
  hwmodels/measured/emerald2_cpu_gathers.csv \
  hwmodels/measured/emerald2_cpu_host.csv \
  hwmodels/measured/emerald2_cpu_ops.csv \
  hwmodels/measured/emerald2_cpu_steps.csv \
  hwmodels/measured/xeon16_cpu_figures.csv hwmodels/measured/xeon16_cpu_gathers.csv \
  hwmodels/measured/xeon16_cpu_host.csv \
  hwmodels/measured/xeon16_cpu_ops.csv \
  hwmodels/measured/xeon16_cpu_steps.csv
nobase_dist_pkgdata_DATA += hwmodels/implementations/tuned.csv
