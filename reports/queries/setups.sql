-- Machines and implementations used, the latest of each name
SELECT 'machine' AS kind, id, name, kind AS class, base, overrides, path FROM machine
WHERE id IN (SELECT max(id) FROM machine GROUP BY name)
UNION ALL
SELECT 'implementation', id, name, '', base, overrides, path FROM implementation
WHERE id IN (SELECT max(id) FROM implementation GROUP BY name)
ORDER BY 1 DESC, 3;
