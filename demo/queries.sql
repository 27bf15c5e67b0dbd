\pset footer off
\pset null '-'
\echo
\echo What is there
SELECT 'package' AS "table", count(*) AS rows, am.amname AS "access method"
FROM package, pg_class c JOIN pg_am am ON am.oid = c.relam
WHERE c.relname = 'package' GROUP BY 1, 3
UNION ALL
SELECT 'dependency', count(*), am.amname
FROM dependency, pg_class c JOIN pg_am am ON am.oid = c.relam
WHERE c.relname = 'dependency' GROUP BY 1, 3
ORDER BY 1;

\echo The largest package of each of the ten largest sections
SELECT section, packages, pg_size_pretty(total_kb * 1024) AS "all of it", name AS "largest package",
       pg_size_pretty(installed_kb * 1024) AS "its size"
FROM (
  SELECT section, name, installed_kb,
         count(*) OVER (PARTITION BY section) AS packages,
         sum(installed_kb) OVER (PARTITION BY section)::bigint AS total_kb,
         row_number() OVER (PARTITION BY section ORDER BY installed_kb DESC NULLS LAST) AS place
  FROM package
) ranked
WHERE place = 1 ORDER BY total_kb DESC NULLS LAST LIMIT 10;

\echo What most packages depend on
SELECT needs AS package, count(DISTINCT package_id) AS "packages that need it"
FROM dependency GROUP BY needs ORDER BY 2 DESC, 1 LIMIT 8;

\echo One package, through the index on its name
SELECT name, version, section, installed_kb, left(description, 50) AS description
FROM package WHERE name = 'postgresql-15' ORDER BY version;

\echo Who needs RocksDB, two indexes joined
SELECT DISTINCT p.name, p.version
FROM dependency d JOIN package p ON p.id = d.package_id
WHERE d.needs LIKE 'librocksdb%' ORDER BY 1, 2 LIMIT 8;
