-- Every predicted step with all that tells it apart, its parts and its speed-ups
SELECT model, machine, implementation, method, phase, kv_shared, ranks, threads, batch,
       context_tokens AS context, new_tokens, group_size AS "group", top_k,
       step_ps / 1e6 AS step_us,
       step_lo_ps / 1e6 AS step_us_lo, step_hi_ps / 1e6 AS step_us_hi,
       attention_ps / 1e6 AS attention_us, index_ps / 1e6 AS index_us, other_ps / 1e6 AS other_us,
       speedup_vs_dense, speedup_vs_group1, launches, dram_bytes, prediction_id
FROM speedup
ORDER BY model, machine, implementation, method, phase DESC, kv_shared DESC, ranks, threads, batch,
         context_tokens, group_size, top_k;
