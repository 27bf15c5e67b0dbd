-- Wide values: compressed, moved out of line, updated, shared with old snapshots, deleted.
SET default_table_access_method = omendb;

CREATE FUNCTION noise(seed int, size int) RETURNS text LANGUAGE sql AS $$
  SELECT left(string_agg(md5(seed::text || g), '' ORDER BY g), size) FROM generate_series(1, size / 32 + 1) g $$;
CREATE TABLE wide (id int PRIMARY KEY, v text, w text, b bytea);
SELECT relname LIKE 'pg_toast%' AS toasted, amname FROM pg_class t JOIN pg_am ON pg_am.oid = t.relam
  WHERE t.oid = (SELECT reltoastrelid FROM pg_class WHERE relname = 'wide');
INSERT INTO wide VALUES
  (1, repeat('compressible ', 10000), 'small', NULL),
  (2, noise(2, 100000), NULL, decode(noise(3, 2000), 'hex')),
  (3, noise(4, 1500), noise(5, 1500), NULL),
  (4, 'plain', '', '\x'),
  (5, noise(6, 7000), noise(7, 7000), decode(noise(8, 7000), 'hex'));
CREATE VIEW digest AS SELECT id, length(v) AS v, md5(v) AS v_md5, length(w) AS w, md5(w) AS w_md5,
  length(b) AS b, md5(b) AS b_md5 FROM wide ORDER BY id;
SELECT * FROM digest;
SELECT omendb.flush();
SELECT * FROM digest;
-- The other columns change, the wide value stays.
UPDATE wide SET w = 'other' WHERE id = 2;
UPDATE wide SET b = NULL;
SELECT * FROM digest;
-- The wide value changes; rolled back, too.
BEGIN;
UPDATE wide SET v = noise(20, 50000) WHERE id = 2;
UPDATE wide SET v = v || 'tail' WHERE id IN (1, 2);
SELECT * FROM digest;
SAVEPOINT s;
UPDATE wide SET v = 'short';
DELETE FROM wide WHERE id = 5;
ROLLBACK TO s;
SELECT omendb.flush();
SELECT * FROM digest;
ROLLBACK;
SELECT * FROM digest;
UPDATE wide SET v = v || 'tail' WHERE id IN (1, 2);
UPDATE wide SET v = reverse(v) WHERE id = 5;
SELECT * FROM digest;
-- A cursor reads what has been replaced meanwhile.
BEGIN;
DECLARE c CURSOR FOR SELECT id, length(v), md5(v) FROM wide ORDER BY id;
FETCH 1 FROM c;
UPDATE wide SET v = noise(id + 100, 30000);
DELETE FROM wide WHERE id = 3;
SELECT omendb.flush();
FETCH ALL FROM c;
COMMIT;
SELECT * FROM digest;
-- Values travel between tables.
CREATE TABLE copied AS SELECT * FROM wide;
DELETE FROM wide;
SELECT id, length(v), md5(v) FROM copied ORDER BY id;
INSERT INTO wide SELECT * FROM copied;
DROP TABLE copied;
SELECT * FROM digest;
VACUUM wide;
SELECT * FROM digest;

-- How a column is stored.
CREATE TABLE storage (id int, p text, x text, e text, m text);
ALTER TABLE storage ALTER p SET STORAGE PLAIN, ALTER x SET STORAGE EXTERNAL, ALTER m SET STORAGE MAIN;
INSERT INTO storage SELECT g, repeat('p', 500), repeat('x', 5000), repeat('e', 5000), repeat('m', 5000)
  FROM generate_series(1, 3) g;
SELECT id, pg_column_size(p) AS p, pg_column_size(x) AS x, pg_column_size(e) < 200 AS e,
  pg_column_size(m) < 200 AS m FROM storage ORDER BY id;
SELECT omendb.flush();
SELECT id, pg_column_size(p) AS p, pg_column_size(x) AS x, pg_column_size(e) < 200 AS e,
  pg_column_size(m) < 200 AS m, substr(x, 4990), substr(e, 4998), right(m, 2) FROM storage ORDER BY id;
UPDATE storage SET p = repeat('q', id * 1000), m = noise(id, 3000) WHERE id > 1;
SELECT id, length(p), md5(p), length(x), length(e), length(m), md5(m) FROM storage ORDER BY id;

-- Arrays, JSON and composites that are wide; expanded values written as they are.
CREATE TYPE pair AS (a int, b text);
CREATE TABLE nested (id int PRIMARY KEY, list int[], doc jsonb, p pair, ps pair[]);
INSERT INTO nested SELECT 1, array_agg(g), jsonb_object_agg('k' || g, md5(g::text)),
  ROW(1, noise(1, 9000))::pair, array_agg(ROW(g, md5(g::text))::pair) FROM generate_series(1, 2000) g;
DO $$
DECLARE a int[]; p pair;
BEGIN
  SELECT list INTO a FROM nested;
  FOR i IN 1..3000 LOOP a[i] := i; END LOOP;
  p.a := 5; p.b := noise(5, 4000);
  INSERT INTO nested (id, list, p, ps) VALUES (2, a, p, ARRAY[p, p]);
  UPDATE nested SET list = a || 1 WHERE id = 1;
END $$;
SELECT id, md5(list::text), md5(doc::text), md5(p::text), md5(ps::text) FROM nested ORDER BY id;
SELECT omendb.flush();
UPDATE nested SET list[5] = 0, p.a = 77, doc = doc - 'k5' WHERE id = 1;
SELECT id, md5(list::text), md5(doc::text), md5(p::text), md5(ps::text) FROM nested ORDER BY id;
SELECT omendb.flush();
SELECT id, md5(list::text), md5(doc::text), md5(p::text), md5(ps::text) FROM nested ORDER BY id;

DROP VIEW digest;
DROP TABLE wide, storage, nested;
DROP TYPE pair;
DROP FUNCTION noise(int, int);
