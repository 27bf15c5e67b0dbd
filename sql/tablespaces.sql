-- Tables move between tablespaces with everything that finds their rows, and databases are copied and
-- moved with the rows of their omendb tables.
SET client_min_messages = warning;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE omendb_space LOCATION '';
CREATE TABLESPACE omendb_other LOCATION '';
CREATE TABLE moved (id int PRIMARY KEY, v int, wide text) USING omendb;
ALTER TABLE moved ALTER wide SET STORAGE external;
CREATE INDEX moved_v ON moved (v);
INSERT INTO moved SELECT i, i % 100, repeat('w', CASE WHEN i % 50 = 0 THEN 5000 ELSE 3 END)
    FROM generate_series(1, 2000) i;
DELETE FROM moved WHERE id % 10 = 0;
UPDATE moved SET v = v + 1 WHERE id % 7 = 0;
UPDATE moved SET wide = 'changed' WHERE id % 9 = 0;
CREATE TABLE before AS SELECT ctid AS tid, * FROM moved;
CREATE VIEW difference AS SELECT
    (SELECT count(*) FROM ((TABLE before EXCEPT SELECT ctid, * FROM moved)
        UNION ALL (SELECT ctid, * FROM moved EXCEPT TABLE before)) d) AS only_in_one,
    (SELECT count(*) FROM moved) AS rows;

-- Every row keeps its TID; indexes are not rebuilt.
ALTER TABLE moved SET TABLESPACE omendb_space;
SELECT * FROM difference;
SELECT spcname FROM pg_tablespace t JOIN pg_class c ON c.reltablespace = t.oid WHERE relname = 'moved';
SET enable_seqscan = off;
SELECT id, v, length(wide) FROM moved WHERE id IN (7, 10, 1950, 1999) ORDER BY id;
SELECT count(*) FROM moved WHERE v = 8;
RESET enable_seqscan;
ALTER INDEX moved_v SET TABLESPACE omendb_space;
SET enable_seqscan = off;
SELECT count(*) FROM moved WHERE v = 8;
RESET enable_seqscan;
CHECKPOINT;
SELECT * FROM difference;

-- The entries of alex indexes go with them; also with all of a tablespace, and not after a rollback.
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY) USING omendb;
INSERT INTO unlogged SELECT generate_series(1, 500);
ALTER INDEX unlogged_pkey SET TABLESPACE omendb_space;
ALTER INDEX moved_pkey SET TABLESPACE omendb_space;
SELECT omendb.check_index('unlogged_pkey'), omendb.check_index('moved_pkey');
ALTER INDEX ALL IN TABLESPACE omendb_space SET TABLESPACE omendb_other;
SELECT omendb.check_index('unlogged_pkey'), omendb.check_index('moved_pkey');
BEGIN;
ALTER INDEX moved_pkey SET TABLESPACE pg_default;
INSERT INTO moved VALUES (5000, 8, 'for a moment');
SELECT omendb.check_index('moved_pkey');
ROLLBACK;
CHECKPOINT;
SELECT omendb.check_index('moved_pkey');
INSERT INTO moved VALUES (1999, 8, 'twice');
ALTER INDEX moved_v SET TABLESPACE omendb_space;
ALTER INDEX moved_pkey SET TABLESPACE pg_default;
DROP TABLE unlogged;

-- New rows do not take TIDs that index entries of dead rows still have.
INSERT INTO moved SELECT i, 8, 'new' FROM generate_series(3001, 3100) i;
SELECT count(*) FROM moved m JOIN before b ON m.ctid = b.tid WHERE m.id > 3000;
SET enable_seqscan = off;
SELECT count(*) FROM moved WHERE v = 8;
RESET enable_seqscan;
DELETE FROM moved WHERE id > 3000;

-- In a transaction with changes of its own, kept and rolled back.
BEGIN;
UPDATE moved SET v = -1 WHERE id = 1;
SAVEPOINT a;
DELETE FROM moved WHERE id < 100;
ROLLBACK TO a;
INSERT INTO moved VALUES (5000, 0, 'own');
ALTER TABLE moved SET TABLESPACE omendb_other;
SELECT count(*), sum(v) FROM moved WHERE id < 100 OR id = 5000;
UPDATE moved SET v = -2 WHERE id IN (1, 5000);
SELECT id, v FROM moved WHERE id IN (1, 2, 5000) ORDER BY id;
ROLLBACK;
SELECT * FROM difference;
BEGIN;
DELETE FROM moved WHERE id = 1;
ALTER TABLE moved SET TABLESPACE pg_default;
COMMIT;
SELECT * FROM difference;
DELETE FROM before WHERE id = 1;

ALTER TABLE moved SET TABLESPACE omendb_space;
ALTER TABLE ALL IN TABLESPACE omendb_space SET TABLESPACE omendb_other;
ALTER INDEX ALL IN TABLESPACE omendb_space SET TABLESPACE omendb_other;
CREATE MATERIALIZED VIEW m USING omendb AS SELECT id FROM moved;
ALTER MATERIALIZED VIEW m SET TABLESPACE omendb_space;
ALTER MATERIALIZED VIEW ALL IN TABLESPACE omendb_space SET TABLESPACE omendb_other;
REFRESH MATERIALIZED VIEW m;
SELECT relname, spcname FROM pg_tablespace t JOIN pg_class c ON c.reltablespace = t.oid
    WHERE relname IN ('moved', 'moved_v', 'm') ORDER BY 1;
SELECT count(*) FROM m;
SELECT * FROM difference;
CLUSTER moved USING moved_v;
VACUUM FULL moved;
SELECT count(*), sum(v) FROM moved;

CREATE UNLOGGED TABLE unlogged (a int PRIMARY KEY) USING omendb;
INSERT INTO unlogged SELECT generate_series(1, 500);
ALTER TABLE unlogged SET TABLESPACE omendb_space;
SELECT count(*), sum(a) FROM unlogged;
CREATE TEMP TABLE temporary (a int PRIMARY KEY) USING omendb;
INSERT INTO temporary SELECT generate_series(1, 500);
ALTER TABLE temporary SET TABLESPACE omendb_space;
INSERT INTO temporary VALUES (501);
SELECT count(*), sum(a) FROM temporary;
CREATE TABLE nothing (a int) USING omendb;
ALTER TABLE nothing SET TABLESPACE omendb_space;
INSERT INTO nothing VALUES (1);
TABLE nothing;
DROP TABLE temporary, nothing, unlogged;
DROP MATERIALIZED VIEW m;
DROP VIEW difference;
DROP TABLE before;

-- Databases.
CREATE DATABASE omendb_template;
\set old_database :DBNAME
\connect omendb_template
SET client_min_messages = warning;
CREATE EXTENSION omendb;
CREATE TABLE t (id int PRIMARY KEY, v int, wide text) USING omendb;
INSERT INTO t SELECT i, i, repeat('x', CASE WHEN i % 100 = 0 THEN 4000 ELSE 2 END)
    FROM generate_series(1, 1000) i;
UPDATE t SET v = -v WHERE id % 5 = 0;
DELETE FROM t WHERE id % 50 = 1;
ALTER TABLE t ADD added int DEFAULT 3;
BEGIN;
INSERT INTO t SELECT i, i, 'aborted' FROM generate_series(2000, 2100) i;
ROLLBACK;
CREATE UNLOGGED TABLE u (a int) USING omendb;
INSERT INTO u SELECT generate_series(1, 100);
CREATE TABLE spaced (a int) USING omendb TABLESPACE omendb_space;
INSERT INTO spaced SELECT generate_series(1, 200);
CREATE TABLE dropped (a int) USING omendb;
INSERT INTO dropped VALUES (1);
DROP TABLE dropped;
CREATE TABLE empty (a int) USING omendb;
CREATE VIEW summary AS SELECT
    (SELECT format('%s rows, sum %s, %s, added %s', count(*), sum(v), md5(string_agg(wide, '' ORDER BY id)), sum(added)) FROM t) AS t,
    (SELECT count(*) FROM u) AS u, (SELECT count(*) FROM spaced) AS spaced,
    (SELECT count(*) FROM empty) AS empty;
SELECT * FROM summary;
\connect :old_database
CREATE DATABASE omendb_copy1 TEMPLATE omendb_template STRATEGY wal_log;
CREATE DATABASE omendb_copy2 TEMPLATE omendb_template STRATEGY file_copy TABLESPACE omendb_other;
\connect omendb_copy1
SELECT * FROM summary;
SET enable_seqscan = off;
SELECT id, v, added FROM t WHERE id IN (51, 55, 2000) ORDER BY id;
INSERT INTO t VALUES (2000, 1, 'new', 1);
UPDATE t SET v = 0 WHERE id = 2;
SELECT count(*), sum(v) FROM t;
\connect omendb_copy2
SELECT * FROM summary;
DELETE FROM t;
\connect omendb_template
SELECT * FROM summary;
\connect :old_database
DROP DATABASE omendb_copy2;
ALTER DATABASE omendb_copy1 SET TABLESPACE omendb_other;
CHECKPOINT;
\connect omendb_copy1
SELECT count(*), sum(v) FROM t;
INSERT INTO t VALUES (2001, 1, 'new', 1);
\connect :old_database
ALTER DATABASE omendb_copy1 SET TABLESPACE pg_default;
\connect omendb_copy1
SELECT count(*), sum(v), max(id) FROM t;
ALTER TABLE spaced SET TABLESPACE pg_default;
SELECT count(*) FROM spaced;
\connect :old_database
DROP DATABASE omendb_copy1;
DROP DATABASE omendb_template;
DROP TABLE moved;
SET client_min_messages = warning;
CHECKPOINT;
DROP TABLESPACE omendb_space;
DROP TABLESPACE omendb_other;
