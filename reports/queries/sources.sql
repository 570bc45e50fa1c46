-- Every machine and implementation parameter used, with its unit and source
SELECT kind, name, op, parameter, value, unit, source, origin
FROM (SELECT 'machine' AS kind, h.name, '' AS op, p.parameter, p.value, p.unit, p.source, p.origin,
             p.ordinal
      FROM machine h JOIN machine_parameter p ON p.machine_id = h.id
      WHERE h.id IN (SELECT max(id) FROM machine GROUP BY name)
      UNION ALL
      SELECT 'implementation', i.name, p.op, p.parameter, p.value, p.unit, p.source, p.origin,
             p.ordinal
      FROM implementation i JOIN implementation_parameter p ON p.implementation_id = i.id
      WHERE i.id IN (SELECT max(id) FROM implementation GROUP BY name))
ORDER BY kind DESC, name, ordinal;
