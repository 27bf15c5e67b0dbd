-- CLUSTER, VACUUM FULL and whatever else gives a table a new relfilenode keep its rows; a heap table
-- that goes the same way is the judge.
SET client_min_messages = warning;
CREATE TABLE made (id int, v int, gone text, wide text, note text);
INSERT INTO made SELECT i, (i * 7919) % 500, 'gone', repeat(md5(i::text), CASE WHEN i % 100 = 0 THEN 200 ELSE 1 END),
    CASE WHEN i % 3 = 0 THEN NULL ELSE 'note ' || i END FROM generate_series(1, 3000) i;
CREATE TABLE h (LIKE made) USING heap;
CREATE TABLE o (LIKE made) USING omendb;
ALTER TABLE h ALTER wide SET STORAGE external;
ALTER TABLE o ALTER wide SET STORAGE external;

-- Runs a statement on both tables.
CREATE FUNCTION both_tables(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE replace(statement, '@', 'h');
  EXECUTE replace(statement, '@', 'o');
END $$;
-- Counts rows that only one of them has, and shows how many there are.
CREATE FUNCTION difference(OUT only_in_one bigint, OUT rows bigint) LANGUAGE plpgsql AS $$
BEGIN
  SELECT count(*) INTO only_in_one FROM
    ((TABLE h EXCEPT ALL TABLE o) UNION ALL (TABLE o EXCEPT ALL TABLE h)) d;
  SELECT count(*) INTO rows FROM o;
END $$;

SELECT both_tables('INSERT INTO @ TABLE made');
SELECT both_tables('CREATE INDEX @_v ON @ (v)');
SELECT both_tables('ALTER TABLE @ ADD PRIMARY KEY (id)');
SELECT both_tables('CREATE INDEX @_lower ON @ (lower(note))');
SELECT both_tables('ALTER TABLE @ DROP gone, ADD added int DEFAULT 7');
SELECT both_tables('DELETE FROM @ WHERE id % 10 = 3');
SELECT both_tables('UPDATE @ SET v = v + 1 WHERE id % 7 = 0');
SELECT both_tables('UPDATE @ SET note = ''changed'' WHERE id % 11 = 0');
SELECT * FROM difference();

-- VACUUM FULL: no gaps are left.
VACUUM FULL o;
SELECT * FROM difference();
SELECT count(*) = 0 AS no_gaps FROM
    (SELECT ctid, lag(ctid) OVER (ORDER BY ctid) AS previous FROM o) s
    WHERE (ctid::text::point)[0] = (previous::text::point)[0]
      AND (ctid::text::point)[1] <> (previous::text::point)[1] + 1;
SET enable_seqscan = off;
SELECT id, v, note, added, md5(wide) FROM o WHERE id IN (77, 500, 2999) ORDER BY id;
SELECT count(*) FROM o WHERE v = 100;
RESET enable_seqscan;

-- CLUSTER: by an index scan, by a sort that does not fit into memory, by an expression.
CLUSTER o USING o_v;
SELECT * FROM difference();
SELECT bool_and(v >= previous) AS in_order FROM
    (SELECT v, lag(v) OVER () AS previous FROM o) s;
SET enable_indexscan = off;
SET maintenance_work_mem = '1MB';
CLUSTER o USING o_pkey;
SELECT * FROM difference();
SELECT bool_and(id > previous) AS in_order FROM
    (SELECT id, lag(id) OVER () AS previous FROM o) s;
CLUSTER o USING o_lower;
SELECT * FROM difference();
SELECT bool_and(note >= previous) AS in_order FROM
    (SELECT lower(note) AS note, lag(lower(note)) OVER () AS previous FROM o) s;
RESET enable_indexscan;
RESET maintenance_work_mem;
ALTER TABLE o CLUSTER ON o_v;
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'o'::regclass AND indisclustered;
CLUSTER o;
CLUSTER;
SELECT bool_and(v >= previous) AS in_order FROM
    (SELECT v, lag(v) OVER () AS previous FROM o) s;
ALTER TABLE o SET WITHOUT CLUSTER;
SELECT * FROM difference();

-- Within a transaction that changed the rows before, and one that is rolled back.
BEGIN;
SELECT both_tables('UPDATE @ SET v = -1 WHERE id = 1');
SAVEPOINT a;
SELECT both_tables('UPDATE @ SET v = -2 WHERE id = 2');
ROLLBACK TO a;
SAVEPOINT b;
SELECT both_tables('UPDATE @ SET note = ''twice'' WHERE id IN (1, 5)');
SELECT both_tables('UPDATE @ SET note = ''thrice'' WHERE id IN (1, 5)');
RELEASE b;
SELECT both_tables('DELETE FROM @ WHERE id = 4');
SELECT both_tables('INSERT INTO @ VALUES (-5, 0, repeat(''w'', 9000), ''own'', 0)');
SELECT both_tables('SELECT id FROM @ WHERE id = 6 FOR UPDATE');
CLUSTER h USING h_v;
CLUSTER o USING o_v;
SELECT * FROM difference();
SELECT both_tables('UPDATE @ SET v = v - 1 WHERE id IN (1, 5, -5)');
SELECT both_tables('DELETE FROM @ WHERE id = 6');
SELECT * FROM difference();
SAVEPOINT c;
CLUSTER o USING o_pkey;
DELETE FROM o;
ROLLBACK TO c;
SELECT * FROM difference();
COMMIT;
SELECT * FROM difference();
BEGIN;
DELETE FROM o WHERE id > 100;
CLUSTER o USING o_v;
ROLLBACK;
SELECT * FROM difference();
SELECT both_tables('INSERT INTO @ SELECT 100000 + i, i, ''later'', ''later'', i FROM generate_series(1, 1000) i');
SELECT * FROM difference();

-- Statistics and limits as for heap.
ANALYZE o;
VACUUM FULL o;
SELECT reltuples = (SELECT count(*) FROM o) AS tuples, relpages > 0 AS pages,
    age(relfrozenxid) >= 0 AS frozen FROM pg_class WHERE relname = 'o';

-- Other rewrites.
SELECT both_tables('ALTER TABLE @ ALTER v TYPE bigint');
SELECT * FROM difference();
SELECT both_tables('ALTER TABLE @ ADD stamped text DEFAULT clock_timestamp() - now() > ''1 hour''::interval');
SELECT * FROM difference();
ALTER TABLE o SET UNLOGGED;
VACUUM FULL o;
SELECT * FROM difference();
ALTER TABLE o SET LOGGED;
SELECT * FROM difference();
ALTER TABLE o SET ACCESS METHOD heap;
CLUSTER o USING o_v;
SELECT * FROM difference();
ALTER TABLE o SET ACCESS METHOD omendb;
SELECT * FROM difference();
SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relname = 'o';
CREATE TEMP TABLE temporary (a int PRIMARY KEY, b text) USING omendb;
INSERT INTO temporary SELECT i, 'b' || i FROM generate_series(300, 1, -1) i;
CLUSTER temporary USING temporary_pkey;
VACUUM FULL temporary;
SELECT count(*), min(a), max(b) FROM temporary;
CREATE TABLE nothing (a int PRIMARY KEY) USING omendb;
CLUSTER nothing USING nothing_pkey;
VACUUM FULL nothing;
INSERT INTO nothing VALUES (1);
VACUUM FULL nothing;
TABLE nothing;

-- Materialized views.
CREATE MATERIALIZED VIEW m USING omendb AS SELECT id, v FROM o WHERE id <= 1000;
CREATE UNIQUE INDEX m_id ON m (id);
CREATE INDEX m_v ON m (v);
UPDATE o SET v = 0 WHERE id <= 10;
REFRESH MATERIALIZED VIEW m;
SELECT count(*), count(*) FILTER (WHERE v = 0 AND id <= 10) FROM m;
UPDATE o SET v = 1 WHERE id <= 10;
DELETE FROM o WHERE id BETWEEN 11 AND 20;
REFRESH MATERIALIZED VIEW CONCURRENTLY m;
SELECT count(*), count(*) FILTER (WHERE v = 1 AND id <= 10) FROM m;
CLUSTER m USING m_v;
SELECT bool_and(v >= previous) AS in_order FROM
    (SELECT v, lag(v) OVER () AS previous FROM m) s;
REFRESH MATERIALIZED VIEW CONCURRENTLY m;
REFRESH MATERIALIZED VIEW m WITH NO DATA;
REFRESH MATERIALIZED VIEW m;
SELECT count(*) FROM m;

-- Partitioned tables are clustered part by part.
CREATE TABLE parts (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (100) USING omendb;
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (100) TO (200) USING heap;
CREATE INDEX parts_b ON parts (b);
INSERT INTO parts SELECT i, (i * 37) % 200 FROM generate_series(0, 199) i;
CLUSTER parts USING parts_b;
SELECT bool_and(b >= previous) AS in_order FROM
    (SELECT b, lag(b) OVER (PARTITION BY tableoid ROWS UNBOUNDED PRECEDING) AS previous FROM part1) s;
SELECT count(*), sum(b) FROM parts;

DROP TABLE made, h, temporary, nothing, parts;
DROP TABLE o CASCADE;
DROP FUNCTION both_tables, difference;
