-- As many columns as PostgreSQL allows, and as few.
SET default_table_access_method = omendb;

DO $$
BEGIN
  EXECUTE 'CREATE TABLE ints (' || (SELECT string_agg('c' || g || ' int', ', ' ORDER BY g) FROM generate_series(1, 1600) g) || ')';
  EXECUTE 'CREATE TABLE mixed (' || (SELECT string_agg('c' || g || ' ' ||
    (ARRAY['int2', 'text', 'bool', 'int8', '"char"', 'numeric', 'float4'])[g % 7 + 1], ', ' ORDER BY g)
    FROM generate_series(1, 1600) g) || ')';
END $$;
DO $$
BEGIN
  FOR r IN 1..3 LOOP
    EXECUTE 'INSERT INTO ints VALUES (' || (SELECT string_agg((g * r)::text, ', ' ORDER BY g) FROM generate_series(1, 1600) g) || ')';
    EXECUTE 'INSERT INTO mixed VALUES (' || (SELECT string_agg(CASE WHEN g % r = 1 THEN 'NULL' ELSE
      quote_literal((ARRAY[(g % 100)::text, 't' || g, 't', (g * 1000000007::bigint)::text, 'x', g || '.5', '0.25'])[g % 7 + 1]) END,
      ', ' ORDER BY g) FROM generate_series(1, 1600) g(g)) || ')';
  END LOOP;
END $$;
SELECT c1, c800, c1600 FROM ints ORDER BY c1;
SELECT c1, c2, c1597, c1599, c1600 FROM mixed ORDER BY c1600 NULLS FIRST, c2 NULLS FIRST;
SELECT omendb.flush();
SELECT c1, c800, c1600 FROM ints ORDER BY c1;
SELECT md5(string_agg(i::text, ',' ORDER BY c1)) FROM ints i;
SELECT md5(string_agg(m::text, ',' ORDER BY m::text)) FROM mixed m;
UPDATE ints SET c1600 = -c1600, c5 = NULL WHERE c1 = 2;
UPDATE mixed SET c2 = NULL, c1597 = 'changed' WHERE c1600 IS NULL;
SELECT md5(string_agg(i::text, ',' ORDER BY c1)) FROM ints i;
SELECT md5(string_agg(m::text, ',' ORDER BY m::text)) FROM mixed m;
SELECT omendb.flush();
SELECT md5(string_agg(i::text, ',' ORDER BY c1)) FROM ints i;
SELECT md5(string_agg(m::text, ',' ORDER BY m::text)) FROM mixed m;
ALTER TABLE ints ADD COLUMN c1601 int;
DROP TABLE ints, mixed;

-- Enough rows of many columns that COPY makes blocks of them.
DO $$
BEGIN
  EXECUTE 'CREATE TABLE sheet (' || (SELECT string_agg('c' || g || ' int', ', ' ORDER BY g) FROM generate_series(1, 300) g) || ')';
  EXECUTE 'INSERT INTO sheet SELECT ' || (SELECT string_agg('r * ' || g, ', ' ORDER BY g) FROM generate_series(1, 300) g)
    || ' FROM generate_series(1, 700) r';
END $$;
SELECT count(*), sum(c1), sum(c150), sum(c300) FROM sheet;
SELECT omendb.flush();
SELECT count(*), sum(c1), sum(c150), sum(c300) FROM sheet;
DROP TABLE sheet;

-- COPY makes row images of many columns: 300 of mixed types, and 1600. NULLs, constant columns and
-- columns of few values among them; what must come out stands in a heap table.
CREATE FUNCTION make_wide(name text, columns int, kinds text[], rows int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (%s) USING heap', 'heap_' || name,
    (SELECT string_agg(format('c%s %s', g, kinds[g % cardinality(kinds) + 1]), ', ' ORDER BY g)
     FROM generate_series(1, columns) g));
  EXECUTE format('CREATE TABLE %I (LIKE %I) USING omendb', name, 'heap_' || name);
  EXECUTE format('INSERT INTO %I SELECT %s FROM generate_series(1, %s) r', 'heap_' || name,
    (SELECT string_agg(CASE WHEN g % 97 = 5 THEN 'NULL'
       WHEN g % 89 = 7 THEN quote_literal('1')
       ELSE format('CASE WHEN (%s + r) %% 11 <> 0 THEN %s END', g,
         replace(CASE kinds[g % cardinality(kinds) + 1]
           WHEN 'int8' THEN 'G::int8 * 1000000007 * r' WHEN 'int4' THEN 'G * 1000 + r'
           WHEN 'int2' THEN '(G * r % 30000)::int2' WHEN 'bool' THEN '(G + r) % 2 = 0'
           WHEN '"char"' THEN 'chr(65 + (G + r) % 26)::"char"' WHEN 'text' THEN 'repeat(''x'', r % 9) || G'
           WHEN 'numeric' THEN 'G + r / 4.0' ELSE '(G % 1000 + 0.5)::float4' END, 'G', g::text)) END,
       ', ' ORDER BY g) FROM generate_series(1, columns) g), rows);
END $$;
SELECT make_wide('wide', 300, '{int8,int2,bool,"\"char\"",text,numeric,float4,int4}', 700);
SELECT make_wide('widest', 1600, '{int2,bool,"\"char\"",int4}', 300);
\o results/wide_tables_wide.copy
COPY heap_wide TO STDOUT;
\o results/wide_tables_widest.copy
COPY heap_widest TO STDOUT;
\o
\copy wide FROM results/wide_tables_wide.copy
\copy widest FROM results/wide_tables_widest.copy
CREATE FUNCTION wide_differences() RETURNS TABLE (wide bigint, widest bigint) LANGUAGE sql AS $$
  SELECT (SELECT count(*) FROM ((SELECT w::text FROM wide w EXCEPT ALL SELECT h::text FROM heap_wide h)
      UNION ALL (SELECT h::text FROM heap_wide h EXCEPT ALL SELECT w::text FROM wide w)) d),
    (SELECT count(*) FROM ((SELECT w::text FROM widest w EXCEPT ALL SELECT h::text FROM heap_widest h)
      UNION ALL (SELECT h::text FROM heap_widest h EXCEPT ALL SELECT w::text FROM widest w)) d)
$$;
SELECT (SELECT count(*) FROM wide), (SELECT count(*) FROM widest), d.* FROM wide_differences() d;
SELECT omendb.flush();
SELECT * FROM wide_differences();
UPDATE wide SET c300 = NULL, c1 = 7 WHERE c8 > 4000000028000;
UPDATE heap_wide SET c300 = NULL, c1 = 7 WHERE c8 > 4000000028000;
UPDATE widest SET c1600 = 3, c1 = NOT c1, c800 = NULL WHERE c3 % 3 = 0;
UPDATE heap_widest SET c1600 = 3, c1 = NOT c1, c800 = NULL WHERE c3 % 3 = 0;
DELETE FROM widest WHERE c3 % 7 = 0;
DELETE FROM heap_widest WHERE c3 % 7 = 0;
SELECT * FROM wide_differences();
SELECT omendb.flush();
SELECT omendb.compact();
SELECT * FROM wide_differences();
SELECT count(*), count(c1600), sum(c1600) FROM widest;
DROP FUNCTION make_wide, wide_differences;
DROP TABLE wide, widest, heap_wide, heap_widest;

-- No columns at all.
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO nothing SELECT FROM generate_series(1, 500);
SELECT count(*) FROM nothing;
SELECT omendb.flush();
SELECT count(*) FROM nothing;
BEGIN;
DELETE FROM nothing;
SELECT count(*) FROM nothing;
ROLLBACK;
SELECT count(*) FROM nothing;
ALTER TABLE nothing ADD COLUMN something int DEFAULT 3;
SELECT count(*), sum(something) FROM nothing;
INSERT INTO nothing VALUES (4);
ALTER TABLE nothing DROP COLUMN something;
SELECT omendb.flush();
SELECT count(*) FROM nothing;
DROP TABLE nothing;
