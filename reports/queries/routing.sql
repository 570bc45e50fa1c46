-- What selections look like: overlap between groups of layers and between steps
SELECT m.name AS model, s.source, s.group_size AS "group", s.top_k, s.set_index, s.queries,
       s.mean_keys, s.mean_selected, 100.0 * s.overlap_previous_set AS overlap_set_percent,
       100.0 * s.overlap_previous_step AS overlap_step_percent,
       100.0 * s.mass_covered AS mass_percent, s.reuse_distance_rows
FROM selection s JOIN model m ON m.id = s.model_id
ORDER BY m.name, s.source, s.group_size, s.top_k, s.set_index, s.id;
