-- Index-only scans skip the fetch of rows in blocks that VACUUM found visible to everyone, and only
-- of these.
CREATE EXTENSION IF NOT EXISTS omendb;
CREATE TABLE ios (id int PRIMARY KEY, v int, note text) USING omendb WITH (autovacuum_enabled = off);
INSERT INTO ios SELECT g, g, 'note' FROM generate_series(1, 2000) g;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
CREATE FUNCTION heap_fetches(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) ' || query INTO plan;
  RETURN plan -> 0 -> 'Plan' ->> 'Heap Fetches';
END $$;
SELECT heap_fetches('SELECT id FROM ios') > 0 AS fetches;
VACUUM ANALYZE ios;
SELECT relpages = relallvisible AS all_visible FROM pg_class WHERE relname = 'ios';
SELECT heap_fetches('SELECT id FROM ios');
-- An update of other columns changes nothing that the index says.
UPDATE ios SET v = v + 1 WHERE id <= 300;
SELECT heap_fetches('SELECT id FROM ios');
SELECT count(*), sum(v) FROM ios;
-- A delete, an insert and a new key touch the blocks that they are in, rolled back or not.
DELETE FROM ios WHERE id = 1;
SELECT heap_fetches('SELECT id FROM ios WHERE id < 200'), heap_fetches('SELECT id FROM ios WHERE id > 1000');
BEGIN;
UPDATE ios SET id = id + 10000 WHERE id = 1900;
ROLLBACK;
SELECT heap_fetches('SELECT id FROM ios WHERE id > 1900') > 0 AS fetches;
SELECT count(*), min(id), max(id) FROM (SELECT id FROM ios) s;
-- Entries of rolled-back inserts are gone before their block counts as visible.
BEGIN;
INSERT INTO ios SELECT g, g, 'never' FROM generate_series(3001, 3050) g;
ROLLBACK;
VACUUM ios;
SELECT heap_fetches('SELECT id FROM ios');
SELECT count(*), min(id), max(id) FROM (SELECT id FROM ios) s;
-- Without cleaning the indexes VACUUM promises nothing.
DELETE FROM ios WHERE id BETWEEN 500 AND 510;
VACUUM (INDEX_CLEANUP off) ios;
SELECT heap_fetches('SELECT id FROM ios WHERE id BETWEEN 490 AND 520') > 0 AS fetches;
SELECT count(*) FROM (SELECT id FROM ios WHERE id BETWEEN 490 AND 520) s;
-- TRUNCATE in the transaction that created the table begins its blocks anew.
BEGIN;
TRUNCATE ios;
INSERT INTO ios SELECT g, g, 'second' FROM generate_series(1, 300) g;
TRUNCATE ios;
INSERT INTO ios SELECT g, g, 'third' FROM generate_series(1, 10) g;
COMMIT;
SELECT heap_fetches('SELECT id FROM ios') > 0 AS fetches;
VACUUM ios;
SELECT heap_fetches('SELECT id FROM ios');
-- Temporary and unlogged tables have a map too.
CREATE TEMP TABLE ios_temp (id int PRIMARY KEY) USING omendb ON COMMIT DELETE ROWS;
INSERT INTO ios_temp SELECT generate_series(1, 100);
SELECT count(*) FROM ios_temp;
CREATE UNLOGGED TABLE ios_unlogged (id int PRIMARY KEY) USING omendb;
INSERT INTO ios_unlogged SELECT generate_series(1, 300);
VACUUM ios_unlogged;
SELECT heap_fetches('SELECT id FROM ios_unlogged');
DELETE FROM ios_unlogged WHERE id = 7;
SELECT count(*) FROM (SELECT id FROM ios_unlogged WHERE id < 10) s;
-- All pages of a relation are looked at if asked for.
VACUUM (DISABLE_PAGE_SKIPPING) ios_unlogged;
SELECT reltuples FROM pg_class WHERE relname = 'ios_unlogged';
DROP TABLE ios, ios_unlogged;
DROP FUNCTION heap_fetches;
