-- Time by op of one predicted step: :prediction, or the latest
SELECT op, part, sum(count) AS count, sum(time_ps) / 1e6 AS time_us, sum(launches) AS launches,
       sum(flops) AS flops, sum(operand_bytes) AS operand_bytes, sum(dram_bytes) AS dram_bytes,
       group_concat(DISTINCT nullif(bound, '')) AS bound
FROM prediction_op
WHERE prediction_id = coalesce(:prediction, (SELECT max(id) FROM prediction))
GROUP BY op, part
ORDER BY sum(time_ps) DESC, op;
