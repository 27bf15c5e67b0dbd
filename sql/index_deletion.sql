-- A btree asks for what is dead before it splits a page: an index under many versions stays small,
-- and no entry goes that somebody still needs.
SET default_table_access_method = omendb;
CREATE EXTENSION amcheck;
SET omendb.default_index_method = btree;
-- Without posting lists, which would hide how many entries there are.
CREATE TABLE churn (id int PRIMARY KEY WITH (deduplicate_items = off), hot int, cold text);
CREATE INDEX churn_hot ON churn (hot);
CREATE INDEX churn_cold ON churn (cold) WITH (deduplicate_items = off);
ALTER TABLE churn SET (autovacuum_enabled = off);
INSERT INTO churn SELECT g, 0, 'cold ' || g FROM generate_series(1, 200) g;

-- Every update moves the row: 200 rows leave 40 000 entries in each index.
DO $$
BEGIN
  FOR i IN 1..200 LOOP
    UPDATE churn SET hot = hot + 1;
    COMMIT;
  END LOOP;
END $$;
CREATE FUNCTION pages(index regclass) RETURNS bigint LANGUAGE sql AS
  $$ SELECT pg_relation_size(index) / current_setting('block_size')::bigint $$;
SELECT pages('churn_pkey') < 15 AS pkey_small, pages('churn_cold') < 20 AS cold_small;
CREATE FUNCTION by_index(columns text, condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
  SET LOCAL enable_seqscan = off;
  EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hashtext(r::text)), 0) FROM (SELECT %s FROM churn WHERE %s) r',
    columns, condition) INTO answer;
  RETURN answer;
END $$;
CREATE FUNCTION by_table(columns text, condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
  SET LOCAL enable_indexscan = off;
  SET LOCAL enable_indexonlyscan = off;
  SET LOCAL enable_bitmapscan = off;
  EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hashtext(r::text)), 0) FROM (SELECT %s FROM churn WHERE %s) r',
    columns, condition) INTO answer;
  RETURN answer;
END $$;
CREATE FUNCTION compared() RETURNS TABLE (condition text, same bool, rows text) LANGUAGE sql AS $$
  SELECT c, by_index('*', c) = by_table('*', c), split_part(by_table('*', c), ' ', 1)
  FROM unnest(ARRAY['id > 0', 'id BETWEEN 50 AND 60', 'hot >= 0', 'hot = 0', 'cold > ''''', 'cold = ''cold 7''']) c
$$;
SELECT * FROM compared();
SELECT bt_index_check('churn_pkey', true), bt_index_check('churn_hot', true), bt_index_check('churn_cold', true);

-- Rolled back ones leave entries that were never alive; with savepoints some of each.
DO $$
BEGIN
  FOR i IN 1..100 LOOP
    BEGIN
      UPDATE churn SET hot = -i;
      RAISE EXCEPTION 'no';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    UPDATE churn SET hot = hot + 1 WHERE id % 10 = i % 10;
    IF i % 7 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
  END LOOP;
END $$;
SELECT pages('churn_pkey') < 15 AS pkey_small, pages('churn_cold') < 20 AS cold_small;
SELECT * FROM compared();

-- The same keys deleted and inserted again, many times within one transaction: nothing of it is dead
-- to others yet, and the unique index must still find the living one.
BEGIN;
DO $$
BEGIN
  FOR i IN 1..60 LOOP
    DELETE FROM churn WHERE id <= 50;
    INSERT INTO churn SELECT g, i, 'cold ' || g FROM generate_series(1, 50) g;
  END LOOP;
END $$;
SELECT * FROM compared();
INSERT INTO churn VALUES (25, 0, 'double');
ROLLBACK;
SELECT * FROM compared();
DO $$
BEGIN
  FOR i IN 1..60 LOOP
    DELETE FROM churn WHERE id <= 50;
    INSERT INTO churn SELECT g, i, 'cold ' || g FROM generate_series(1, 50) g;
    COMMIT;
  END LOOP;
END $$;
SELECT omendb.flush();
SELECT * FROM compared();
INSERT INTO churn VALUES (25, 0, 'double');
SELECT omendb.compact('churn');
UPDATE churn SET hot = hot + 1;
SELECT * FROM compared();
SELECT bt_index_parent_check('churn_pkey', true), bt_index_parent_check('churn_hot', true),
  bt_index_parent_check('churn_cold', true);

-- Duplicates of one key: deletion works on posting lists too.
CREATE TABLE same (id int, key int, other int);
CREATE INDEX same_key ON same (key);
CREATE INDEX same_other ON same (other);
INSERT INTO same SELECT g, 1, 0 FROM generate_series(1, 300) g;
DO $$ BEGIN FOR i IN 1..100 LOOP UPDATE same SET other = i; COMMIT; END LOOP; END $$;
SELECT pages('same_key') < 10 AS key_small;
SET enable_seqscan = off;
SELECT count(*), sum(id), min(other), max(other) FROM same WHERE key = 1;
RESET enable_seqscan;
SELECT bt_index_check('same_key', true), bt_index_check('same_other', true);
DROP TABLE churn, same;
DROP FUNCTION pages, by_index, by_table, compared;
DROP EXTENSION amcheck;

-- A scan of an alex index removes the entries of rows that are dead to all; a queue's next reader does not
-- meet them again.
SET omendb.default_index_method = alex;
CREATE TABLE queue (id int PRIMARY KEY, at timestamptz DEFAULT '2026-01-01', body text) WITH (autovacuum_enabled = off);
CREATE INDEX queue_at ON queue USING alex (at) INCLUDE (id);
INSERT INTO queue (id, body) SELECT g, 'body ' || g FROM generate_series(1, 5000) g;
SELECT omendb.flush();
DELETE FROM queue WHERE id <= 3000;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
CREATE FUNCTION entries(index regclass) RETURNS bigint LANGUAGE sql AS
  $$ SELECT omendb.flush(); SELECT stored_entries + buffered_entries FROM omendb.index_stat(index) $$;
SELECT entries('queue_pkey') AS by_id, entries('queue_at') AS by_time;
SELECT id, body FROM queue ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
SELECT id FROM queue WHERE at = '2026-01-01' ORDER BY at LIMIT 1;
SELECT entries('queue_pkey') AS by_id, entries('queue_at') AS by_time;
-- Backwards, by an index-only scan, and of rows that were never there.
DELETE FROM queue WHERE id > 4000;
BEGIN;
INSERT INTO queue (id) SELECT generate_series(10001, 10500);
ROLLBACK;
SELECT id FROM queue ORDER BY id DESC LIMIT 1;
SELECT entries('queue_pkey') AS by_id;
-- Each of many scans finds one.
UPDATE queue SET at = '2026-02-02' WHERE id % 2 = 0;
SELECT count(q.id) FROM generate_series(1, 6000) g, LATERAL (SELECT id FROM queue WHERE id = g OFFSET 0) q;
SELECT entries('queue_pkey') AS by_id;
-- Own changes, and what a cursor may still show, stay.
BEGIN;
DELETE FROM queue WHERE id < 3500;
SELECT min(id) FROM queue;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE old CURSOR FOR SELECT id FROM queue ORDER BY id;
FETCH 1 FROM old;
DELETE FROM queue WHERE id < 3500;
SELECT min(id) FROM queue;
FETCH 1 FROM old;
COMMIT;
SELECT min(id) FROM queue;
SELECT omendb.check_index('queue_pkey') AS by_id, omendb.check_index('queue_at') >= 501 AS by_time, count(*) FROM queue;
VACUUM queue;
SELECT entries('queue_pkey') AS by_id, entries('queue_at') AS by_time;
-- Those of a heap table, which may use a TID again, are VACUUM's.
CREATE TABLE heap_queue (id int) USING heap WITH (autovacuum_enabled = off);
CREATE INDEX heap_queue_id ON heap_queue USING alex (id);
INSERT INTO heap_queue SELECT generate_series(1, 1000);
DELETE FROM heap_queue WHERE id <= 500;
SELECT min(id) FROM heap_queue;
SELECT entries('heap_queue_id');
VACUUM heap_queue;
SELECT entries('heap_queue_id');
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET omendb.default_index_method;
DROP TABLE queue, heap_queue;
DROP FUNCTION entries;
