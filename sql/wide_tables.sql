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
