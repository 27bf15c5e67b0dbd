-- Any stock index method finds the rows: fresh, updated, deleted, flushed, vacuumed, rebuilt.
SET default_table_access_method = omendb;

CREATE TABLE indexed (id int, h int, words text[], box box, day date, name text, r int4range, v int);
INSERT INTO indexed SELECT g, g % 100, ARRAY['w' || g % 10, 'x' || g % 7],
  box(point(g % 50, g / 50), point(g % 50 + 1, g / 50 + 1)), date '2020-01-01' + g / 10,
  'n' || lpad(g::text, 5, '0'), int4range(g, g + 3), g FROM generate_series(1, 2000) g;
CREATE UNIQUE INDEX by_id ON indexed (id) INCLUDE (v);
CREATE INDEX by_h ON indexed USING hash (h);
CREATE INDEX by_words ON indexed USING gin (words);
CREATE INDEX by_box ON indexed USING gist (box);
CREATE INDEX by_day ON indexed USING brin (day);
CREATE INDEX by_name ON indexed USING spgist (name);
CREATE INDEX by_range ON indexed USING gist (r);
CREATE INDEX partial ON indexed (v) WHERE h = 5;
CREATE INDEX expression ON indexed (lower(name) DESC, (v % 10));
CREATE FUNCTION ask() RETURNS TABLE (what text, found bigint, total bigint) LANGUAGE sql
  SET enable_seqscan = off AS $$
  SELECT 'btree', count(*), sum(v) FROM indexed WHERE id BETWEEN 100 AND 300
  UNION ALL SELECT 'hash', count(*), sum(v) FROM indexed WHERE h = 42
  UNION ALL SELECT 'gin', count(*), sum(v) FROM indexed WHERE words @> '{w3,x2}'
  UNION ALL SELECT 'gist', count(*), sum(v) FROM indexed WHERE box && box '(10,10),(12,12)'
  UNION ALL SELECT 'brin', count(*), sum(v) FROM indexed WHERE day = '2020-03-01'
  UNION ALL SELECT 'spgist', count(*), sum(v) FROM indexed WHERE name ^@ 'n0012'
  UNION ALL SELECT 'range', count(*), sum(v) FROM indexed WHERE r @> 777
  UNION ALL SELECT 'partial', count(*), sum(v) FROM indexed WHERE h = 5 AND v > 1000
  UNION ALL SELECT 'expression', count(*), sum(v) FROM indexed WHERE lower(name) = 'n00077' AND v % 10 = 7
  UNION ALL SELECT 'or', count(*), sum(v) FROM indexed WHERE id < 10 OR h = 7
  UNION ALL SELECT 'none', count(*), sum(v) FROM indexed $$;
SELECT * FROM ask();
SELECT omendb.flush();
SELECT * FROM ask();
UPDATE indexed SET v = v + 1000000 WHERE id % 3 = 0;
UPDATE indexed SET h = (h + 1) % 100, words = words || 'w3'::text WHERE id % 4 = 0;
UPDATE indexed SET day = day - 5, name = upper(name), r = int4range(777, 778), box = box '(11,11),(11,11)'
  WHERE id % 50 = 0;
DELETE FROM indexed WHERE id % 7 = 0;
SELECT * FROM ask();
SELECT omendb.flush();
SELECT * FROM ask();
VACUUM indexed;
SELECT * FROM ask();
BEGIN;
DELETE FROM indexed WHERE id < 1000;
UPDATE indexed SET h = 42, v = 0 WHERE id > 1990;
SELECT * FROM ask();
ROLLBACK;
SELECT * FROM ask();
REINDEX TABLE indexed;
SELECT * FROM ask();
REINDEX INDEX CONCURRENTLY by_words;
REINDEX TABLE CONCURRENTLY indexed;
SELECT * FROM ask();
DROP INDEX by_id, by_h;
CREATE UNIQUE INDEX CONCURRENTLY by_id ON indexed (id) INCLUDE (v);
CREATE INDEX CONCURRENTLY by_h ON indexed (h);
SELECT * FROM ask();
SELECT brin_summarize_new_values('by_day') >= 0 AS summarized;
INSERT INTO indexed SELECT g, g % 100, '{w3,x2}', box(point(10, 10), point(11, 11)), '2020-03-01', 'n0012' || g,
  int4range(700, 800), g FROM generate_series(5001, 5400) g;
SELECT * FROM ask();

-- Index-only scans, also of rows that changed since VACUUM.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id, v FROM indexed WHERE id BETWEEN 10 AND 15 ORDER BY id;
SELECT id, v FROM indexed WHERE id BETWEEN 10 AND 15 ORDER BY id;
UPDATE indexed SET v = -v WHERE id = 12;
DELETE FROM indexed WHERE id = 13;
SELECT id, v FROM indexed WHERE id BETWEEN 10 AND 15 ORDER BY id DESC;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- Uniqueness: duplicates are found whatever happened to the row in the way.
CREATE TABLE uniq (a int UNIQUE, b text, c int);
CREATE UNIQUE INDEX uniq_lower ON uniq (lower(b)) WHERE c > 0;
INSERT INTO uniq VALUES (1, 'A', 1), (2, 'B', 2);
INSERT INTO uniq VALUES (1, 'C', 1);
INSERT INTO uniq VALUES (3, 'a', 1);
INSERT INTO uniq VALUES (3, 'a', 0);
UPDATE uniq SET c = 1 WHERE a = 3;
BEGIN;
DELETE FROM uniq WHERE a = 1;
INSERT INTO uniq VALUES (1, 'A', 5);
UPDATE uniq SET a = 10 WHERE a = 1;
INSERT INTO uniq VALUES (1, 'D', 6);
SAVEPOINT s;
INSERT INTO uniq VALUES (10, 'E', 6);
ROLLBACK TO s;
SELECT omendb.flush();
UPDATE uniq SET a = 11 WHERE a = 10;
INSERT INTO uniq VALUES (10, 'F', 6);
COMMIT;
INSERT INTO uniq VALUES (1, 'x', 6);
INSERT INTO uniq VALUES (10, 'x', 6);
INSERT INTO uniq VALUES (11, 'x', 6);
SELECT * FROM uniq ORDER BY a;
-- An aborted insert is not in the way.
BEGIN;
INSERT INTO uniq VALUES (77, 'q', 1);
ROLLBACK;
INSERT INTO uniq VALUES (77, 'q', 1);
SELECT omendb.flush();
INSERT INTO uniq VALUES (77, 'r', 1);
DELETE FROM uniq WHERE a = 77;
INSERT INTO uniq VALUES (77, 'q', 2);
CREATE UNIQUE INDEX ON uniq (c);
DELETE FROM uniq WHERE c = 6 AND a = 1;
DELETE FROM uniq WHERE a = 77;
CREATE UNIQUE INDEX ON uniq (c);
SELECT * FROM uniq ORDER BY a;
ALTER TABLE uniq ADD PRIMARY KEY (a);
CREATE TABLE ranges (room int, during int4range, EXCLUDE USING gist (during WITH &&));
INSERT INTO ranges VALUES (1, '[1,5)'), (2, '[5,9)');
INSERT INTO ranges VALUES (3, '[8,10)');
UPDATE ranges SET during = '[1,6)' WHERE room = 1;
UPDATE ranges SET during = '[1,4)' WHERE room = 1;
UPDATE ranges SET room = room + 10;
INSERT INTO ranges VALUES (3, '[4,5)');
SELECT * FROM ranges ORDER BY during;

-- An index built in the transaction that changed the rows, used by it and after it.
CREATE TABLE late (id int, v int);
INSERT INTO late SELECT g, 0 FROM generate_series(1, 1000) g;
BEGIN;
UPDATE late SET v = id % 10;
DELETE FROM late WHERE id > 900;
INSERT INTO late VALUES (5000, 5);
CREATE INDEX late_v ON late (v);
SET LOCAL enable_seqscan = off;
SELECT count(*) FROM late WHERE v = 5;
UPDATE late SET v = 5 WHERE id < 100;
SELECT count(*) FROM late WHERE v = 5;
COMMIT;
SET enable_seqscan = off;
SELECT count(*) FROM late WHERE v = 5;
SELECT count(*) FROM late WHERE v = 0;
RESET enable_seqscan;

DROP FUNCTION ask();
DROP TABLE indexed, uniq, ranges, late;
