-- Measured ops of decode steps beside their prediction, if there is one; :run limits them to one run
SELECT m.model, m.batch, m.context_tokens AS context, m.group_size AS "group",
       CASE m.op WHEN '' THEN '(step)' ELSE m.op END AS op, m.count, m.time_ps / 1e6 AS measured_us,
       p.time_ps / 1e6 AS predicted_us, 100.0 * (p.time_ps - m.time_ps) / m.time_ps AS error_percent,
       100.0 * m.time_ps / s.time_ps AS share_percent
FROM measured m
JOIN measured s USING (run_id, model, machine, implementation, phase, batch, context_tokens,
                       new_tokens, group_size, top_k, kv_shared, ranks, threads)
LEFT JOIN predicted p USING (model, machine, implementation, phase, batch, context_tokens,
                             new_tokens, group_size, top_k, kv_shared, ranks, threads, op)
WHERE s.op = '' AND (:run IS NULL OR m.run_id = :run)
ORDER BY m.model, m.batch, m.context_tokens, m.group_size, m.op <> '', m.time_ps DESC, m.op;
