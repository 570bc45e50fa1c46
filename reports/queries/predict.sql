-- Predicted steps with the columns of clsa predict; :run limits them to one run
SELECT s.model, s.machine, s.implementation, s.phase, s.batch, s.context_tokens AS context,
       s.group_size AS "group", s.kv_shared, s.top_k,
       s.step_ps / 1e6 AS step_us, s.step_lo_ps / 1e6 AS step_us_lo,
       s.step_hi_ps / 1e6 AS step_us_hi,
       s.attention_ps / 1e6 AS attention_us, s.index_ps / 1e6 AS index_us,
       s.other_ps / 1e6 AS other_us, s.speedup_vs_dense, s.speedup_vs_group1
FROM speedup s
WHERE :run IS NULL OR s.run_id = :run
ORDER BY s.model, s.machine, s.implementation, s.method, s.phase DESC, s.batch, s.context_tokens,
         s.kv_shared DESC, s.ranks, s.threads, s.group_size, s.top_k;
