-- VACUUM has every index tidy up, also when no row died.
SET default_table_access_method = omendb;
CREATE TABLE tidy (i int[]) WITH (autovacuum_enabled = off);
CREATE INDEX tidy_i ON tidy USING gin (i) WITH (fastupdate = on, gin_pending_list_limit = 4096);
INSERT INTO tidy SELECT ARRAY[1, 2, g] FROM generate_series(1, 3000) g;
SELECT gin_clean_pending_list('tidy_i') > 0 AS pending;
INSERT INTO tidy SELECT ARRAY[3, 1, g] FROM generate_series(1, 1000) g;
VACUUM tidy;
SELECT gin_clean_pending_list('tidy_i') AS pending;
SELECT count(*) FROM tidy WHERE i @> '{3}';
DELETE FROM tidy WHERE i @> '{2}';
VACUUM (INDEX_CLEANUP ON) tidy;
SET enable_seqscan = off;
SELECT count(*) FROM tidy WHERE i @> '{1}';
DROP TABLE tidy;
