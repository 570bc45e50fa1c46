-- Predicted beside measured: how far off, by op, over all points
SELECT machine, implementation, CASE op WHEN '' THEN '(step)' ELSE op END AS op, method,
       count(*) AS points, avg(abs(error_percent)) AS mean_error_percent,
       max(abs(error_percent)) AS max_error_percent, avg(error_percent) AS bias_percent,
       100.0 * avg(inside_interval) AS coverage_percent, sum(measured_ps) / 1e6 AS measured_us,
       sum(predicted_ps) / 1e6 AS predicted_us
FROM error_by_op
GROUP BY machine, implementation, error_by_op.op, method
ORDER BY machine, implementation, method, error_by_op.op <> '', sum(measured_ps) DESC,
         error_by_op.op;
