-- Ways to read a table: backwards, by bitmap, by TID, samples, in parallel, nested in one another.
SET default_table_access_method = omendb;

CREATE TABLE big (id int, k int, t text);
INSERT INTO big SELECT g, g % 97, 'row ' || g FROM generate_series(1, 20000) g;
DELETE FROM big WHERE id % 10 = 3;
UPDATE big SET t = 'updated ' || id WHERE id % 10 = 4;
CREATE INDEX big_k ON big (k);
CREATE INDEX big_id ON big (id);
ANALYZE big;
SELECT omendb.flush();
INSERT INTO big SELECT g, g % 97, 'row ' || g FROM generate_series(20001, 21000) g;
UPDATE big SET t = 'changed ' || id WHERE id % 100 = 5;

-- Bitmaps, exact and lossy.
SET enable_seqscan = off;
SET enable_indexscan = off;
SELECT count(*), sum(id) FROM big WHERE k = 13;
SELECT count(*), sum(id) FROM big WHERE k = 13 OR (k BETWEEN 20 AND 30 AND id < 5000);
SET work_mem = '64kB';
SELECT count(*), sum(id), count(*) FILTER (WHERE t LIKE 'changed%') FROM big WHERE k < 60 AND id > 100;
BEGIN;
DELETE FROM big WHERE k = 20;
UPDATE big SET t = 'own' WHERE k = 21;
SELECT count(*), sum(id), count(*) FILTER (WHERE t = 'own') FROM big WHERE k BETWEEN 10 AND 80;
ROLLBACK;
RESET work_mem;
RESET enable_seqscan;
RESET enable_indexscan;

-- Both directions, and back again.
BEGIN;
DECLARE forth SCROLL CURSOR FOR SELECT id FROM big WHERE id <= 12;
SELECT count(*) FROM big WHERE id <= 12;
MOVE FORWARD ALL IN forth;
FETCH BACKWARD 3 FROM forth;
FETCH FORWARD 2 FROM forth;
FETCH FIRST FROM forth;
FETCH LAST FROM forth;
FETCH ABSOLUTE 2 FROM forth;
FETCH RELATIVE -1 FROM forth;
FETCH PRIOR FROM forth;
CLOSE forth;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
DECLARE by_index SCROLL CURSOR FOR SELECT id FROM big WHERE id BETWEEN 100 AND 110 ORDER BY id;
FETCH LAST FROM by_index;
FETCH BACKWARD 4 FROM by_index;
FETCH FORWARD 2 FROM by_index;
COMMIT;

-- TIDs: a row is found by what it was shown under, ranges do not overlap.
CREATE TABLE tids (id int);
INSERT INTO tids SELECT g FROM generate_series(1, 100) g;
SELECT count(*) FROM tids a JOIN tids b ON a.ctid = b.ctid WHERE a.id <> b.id;
SELECT count(*), count(DISTINCT ctid) FROM tids;
SELECT id FROM tids WHERE ctid = (SELECT ctid FROM tids WHERE id = 42);
SELECT id FROM tids WHERE ctid IN (SELECT ctid FROM tids WHERE id IN (7, 9)) ORDER BY id;
SELECT count(*) FROM tids WHERE ctid = ANY (ARRAY(SELECT ctid FROM tids WHERE id < 10));
WITH pivot AS (SELECT ctid FROM tids WHERE id = 50)
SELECT (SELECT count(*) FROM tids WHERE ctid < (SELECT ctid FROM pivot))
     + (SELECT count(*) FROM tids WHERE ctid >= (SELECT ctid FROM pivot)) AS everything;
SELECT count(*) FROM tids WHERE ctid >= '(0,0)' AND ctid < '(4000000000,0)';
SELECT count(*) FROM tids WHERE ctid > '(4000000000,0)';
SELECT count(*) FROM tids WHERE ctid = '(4000000000,1)' OR ctid = '(0,0)' OR ctid = '(0,65535)';
UPDATE tids SET id = -id WHERE ctid = (SELECT ctid FROM tids WHERE id = 8);
DELETE FROM tids WHERE ctid IN (SELECT ctid FROM tids ORDER BY id DESC LIMIT 90);
SELECT id FROM tids ORDER BY id;
-- The idiom that removes duplicates.
INSERT INTO tids SELECT * FROM tids;
DELETE FROM tids a USING tids b WHERE a.id = b.id AND a.ctid < b.ctid;
SELECT id FROM tids ORDER BY id;
BEGIN;
UPDATE tids SET id = id;
UPDATE tids SET id = id WHERE id > 5;
INSERT INTO tids SELECT * FROM tids;
DELETE FROM tids a USING tids b WHERE a.id = b.id AND a.ctid < b.ctid;
SELECT id FROM tids ORDER BY id;
COMMIT;

-- Samples.
SELECT count(*) FROM big TABLESAMPLE SYSTEM (100);
SELECT count(*) FROM big TABLESAMPLE BERNOULLI (100);
SELECT count(*) FROM big TABLESAMPLE SYSTEM (0);
SELECT count(*) BETWEEN 5000 AND 14000 AS half FROM big TABLESAMPLE BERNOULLI (50);
SELECT count(*) = count(DISTINCT id) AS distinct_rows FROM big TABLESAMPLE SYSTEM (30) REPEATABLE (1);
SELECT (SELECT sum(id) FROM big TABLESAMPLE BERNOULLI (10) REPEATABLE (5))
     = (SELECT sum(id) FROM big TABLESAMPLE BERNOULLI (10) REPEATABLE (5)) AS same;

-- Parallel scans.
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE big SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT count(*), sum(id) FROM big;
SELECT count(*), sum(id) FROM big;
BEGIN;
UPDATE big SET t = 'seen by workers' WHERE id % 1000 = 1;
UPDATE big SET t = t || '!' WHERE id % 2000 = 1;
DELETE FROM big WHERE id % 1000 = 2;
SAVEPOINT s;
INSERT INTO big SELECT g, 1, 'new' FROM generate_series(30001, 30500) g;
SELECT count(*), sum(id), count(*) FILTER (WHERE t LIKE 'seen%'), count(*) FILTER (WHERE t LIKE '%!') FROM big;
ROLLBACK TO s;
SELECT count(*), sum(id), count(*) FILTER (WHERE t LIKE 'seen%'), count(*) FILTER (WHERE t LIKE '%!') FROM big;
ROLLBACK;
SET enable_seqscan = off;
SELECT count(*), sum(id) FROM big WHERE k BETWEEN 3 AND 50;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SELECT count(*), sum(id) FROM big WHERE k BETWEEN 3 AND 50;
RESET enable_indexscan;
RESET enable_indexonlyscan;
RESET enable_seqscan;
SET force_parallel_mode = on;
SELECT count(*), sum(id) FROM big WHERE t LIKE 'changed%';
SELECT id FROM big WHERE id = 77;
RESET force_parallel_mode;
CREATE INDEX big_t ON big (t);
SELECT count(*) FROM big WHERE t = 'row 777';
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

-- A scan inside a scan, and one that is begun again and again.
SELECT count(*) FROM (SELECT id, (SELECT count(*) FROM tids WHERE tids.id < o.id % 10) n FROM big o WHERE id < 50) x;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT count(*), sum(a.id) FROM tids a JOIN tids b ON a.id >= b.id;
SELECT count(*), sum(a.id) FROM big a JOIN big b ON a.id = b.id + 1 WHERE a.k = 5;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
DROP TABLE big, tids;
