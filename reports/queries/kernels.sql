-- Kernels held against the reference, with their rates where they were timed
SELECT run_id AS run, kernel, rung, shape, cases, failures, worst_error,
       time_ps / 1e6 AS time_us, 1e3 * bytes / nullif(time_ps, 0) AS gbytes_per_s,
       1e3 * flops / nullif(time_ps, 0) AS gflops_per_s, message
FROM kernel_check
ORDER BY run_id, kernel, rung, shape, id;
