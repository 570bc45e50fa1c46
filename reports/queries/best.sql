-- The fastest group size at each point, and the smallest group within 5 % of it
SELECT model, machine, implementation, method, phase, batch, context_tokens AS context, top_k,
       kv_shared, best_group, near_group, step_ps / 1e6 AS step_us, step_lo_ps / 1e6 AS step_us_lo,
       step_hi_ps / 1e6 AS step_us_hi, speedup_vs_dense, speedup_vs_group1, threads, ranks
FROM best_group
ORDER BY model, machine, implementation, method, phase DESC, batch, context_tokens, kv_shared DESC,
         ranks, threads, top_k;
