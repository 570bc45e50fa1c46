-- The runs of the store and how much each left
SELECT r.id AS run, r.command, r.tool_version, r.git_id, r.seed, r.host, r.started_unix_s,
       (SELECT count(*) FROM prediction p WHERE p.run_id = r.id) AS predictions,
       (SELECT count(*) FROM measurement m WHERE m.run_id = r.id) AS measurements,
       (SELECT count(*) FROM eval_result e WHERE e.run_id = r.id) AS evals,
       r.command_line, r.guid
FROM run r
ORDER BY r.id;
