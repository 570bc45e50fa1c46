-- Predicted beside measured, one row a pair
SELECT model, machine, implementation, method, phase, batch, context_tokens AS context,
       group_size AS "group", top_k, threads, CASE op WHEN '' THEN '(step)' ELSE op END AS op,
       measured_ps / 1e6 AS measured_us, predicted_ps / 1e6 AS predicted_us,
       predicted_lo_ps / 1e6 AS predicted_us_lo, predicted_hi_ps / 1e6 AS predicted_us_hi,
       error_percent, inside_interval
FROM error_by_op
ORDER BY model, machine, implementation, method, phase DESC, threads, batch, context_tokens,
         group_size, top_k, error_by_op.op;
