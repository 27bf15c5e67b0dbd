-- relfrozenxid moves as for heap; see the TAP test transaction_ids_wrap for what it allows.
SET default_table_access_method = omendb;
CREATE FUNCTION age_of(regclass) RETURNS int LANGUAGE sql
AS 'SELECT age(relfrozenxid) FROM pg_class WHERE oid = $1';
CREATE PROCEDURE use_xids(n int) LANGUAGE plpgsql
AS 'BEGIN FOR i IN 1..n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END';
CREATE TABLE young (id int PRIMARY KEY, v int) WITH (autovacuum_enabled = off);
CREATE TABLE never_written (id int) WITH (autovacuum_enabled = off);
CREATE UNLOGGED TABLE kept_out_of_wal (id int) WITH (autovacuum_enabled = off);
CREATE TEMP TABLE passing (id int);
INSERT INTO young SELECT g, g FROM generate_series(1, 1000) g;
INSERT INTO kept_out_of_wal SELECT g FROM generate_series(1, 1000) g;
INSERT INTO passing SELECT g FROM generate_series(1, 1000) g;
CALL use_xids(500);
UPDATE young SET v = -v WHERE id % 7 = 0;
DELETE FROM young WHERE id % 11 = 0;
BEGIN;
UPDATE young SET v = 0;
ROLLBACK;
SELECT age_of('young') >= 500 AS young, age_of('kept_out_of_wal') >= 500 AS unlogged,
       age_of('passing') >= 500 AS temporary;
-- Nothing is due yet, but a table without rows is free.
VACUUM young, never_written;
SELECT age_of('young') >= 500 AS young, age_of('never_written') < 300 AS never_written;
VACUUM FREEZE young, kept_out_of_wal, passing;
SELECT age_of('young') < 300 AS young, age_of('kept_out_of_wal') < 300 AS unlogged,
       age_of('passing') < 300 AS temporary;
SELECT count(*), sum(v) FROM young;
SELECT count(*) FROM kept_out_of_wal;
SELECT count(*) FROM passing;
-- Due by the settings; once done it stays done.
CALL use_xids(500);
SET vacuum_freeze_table_age = 100;
SET vacuum_freeze_min_age = 50;
VACUUM young;
SELECT age_of('young') BETWEEN 50 AND 350 AS young;
SET vacuum_freeze_table_age = 100000;
VACUUM young;
RESET vacuum_freeze_min_age;
RESET vacuum_freeze_table_age;
-- TRUNCATE leaves nothing to freeze.
CALL use_xids(500);
TRUNCATE young;
SELECT age_of('young') < 300 AS truncated;
INSERT INTO young VALUES (1, 1);
VACUUM FREEZE young;
SELECT count(*) FROM young;
DROP TABLE young, never_written, kept_out_of_wal, passing;
DROP FUNCTION age_of;
DROP PROCEDURE use_xids;
