-- Time by op of every predicted step, dearest first
SELECT model, machine, implementation, phase, batch, context_tokens AS context,
       group_size AS "group", place, op, part, count, time_ps / 1e6 AS time_us, time_percent,
       launches, flops, dram_bytes
FROM top_ops
ORDER BY model, machine, implementation, method, phase DESC, batch, context_tokens,
         kv_shared DESC, ranks, threads, group_size, top_k, prediction_id, place;
