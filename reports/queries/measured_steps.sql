-- Measured decode steps beside their prediction; :run limits them to one run
SELECT m.model, m.machine, m.batch, m.context_tokens AS context, m.group_size AS "group",
       m.time_ps / 1e6 AS measured_us, p.step_ps / 1e6 AS predicted_us,
       100.0 * (p.step_ps - m.time_ps) / m.time_ps AS error_percent,
       1.0 * d.time_ps / m.time_ps AS speedup_measured,
       1.0 * e.step_ps / p.step_ps AS speedup_predicted
FROM measured m
LEFT JOIN predicted_step p USING (model, machine, implementation, phase, batch, context_tokens,
                                  new_tokens, group_size, top_k, kv_shared, ranks, threads)
LEFT JOIN measured d ON d.run_id = m.run_id AND d.op = '' AND d.group_size = 0
     AND d.model = m.model AND d.machine = m.machine AND d.batch = m.batch
     AND d.context_tokens = m.context_tokens AND d.phase = m.phase
LEFT JOIN predicted_step e ON e.run_id = p.run_id AND e.group_size = 0 AND e.model = p.model
     AND e.machine = p.machine AND e.batch = p.batch AND e.context_tokens = p.context_tokens
     AND e.phase = p.phase AND e.method = p.method
WHERE m.op = '' AND (:run IS NULL OR m.run_id = :run)
ORDER BY m.model, m.machine, m.batch, m.context_tokens, m.group_size;
