-- How well predictions did on tables of measurements, rows used in fitting apart
SELECT machine, implementation, measured, rows_used, rows, mean_error_percent,
       median_error_percent, p90_error_percent, max_error_percent, bias_percent, rank_correlation,
       coverage_percent, roofline_mean_error_percent
FROM accuracy
ORDER BY measured, machine, implementation, rows_used DESC, id;
