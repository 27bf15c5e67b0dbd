-- An index whose build failed is left invalid by what builds all of a table's again, without a check.
SET default_table_access_method = omendb;

CREATE TABLE twice (id int);
INSERT INTO twice VALUES (1), (1);
CREATE UNIQUE INDEX CONCURRENTLY twice_id ON twice USING alex (id);
VACUUM FULL twice;
SELECT indisvalid FROM pg_index WHERE indexrelid = 'twice_id'::regclass;
REINDEX TABLE twice;
DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice);
REINDEX TABLE twice;
SELECT indisvalid FROM pg_index WHERE indexrelid = 'twice_id'::regclass;
DROP TABLE twice;
