-- An UPDATE that changes no indexed column keeps the row's TID and its index entries; one that
-- changes an indexed column gives a new one.
BEGIN;
SELECT plan(12);
CREATE TABLE tids (id int PRIMARY KEY, indexed int, plain text) USING omendb;
CREATE INDEX tids_indexed ON tids (indexed);
INSERT INTO tids SELECT i, i, 'row ' || i FROM generate_series(1, 1000) i;
CREATE TEMP TABLE before ON COMMIT DROP AS SELECT id, ctid AS tid FROM tids;

SELECT is((SELECT count(DISTINCT ctid) FROM tids), 1000::bigint, 'every row has a TID of its own');
UPDATE tids SET plain = plain || ' changed';
SELECT is((SELECT count(*) FROM tids WHERE plain LIKE '% changed'), 1000::bigint,
          'the update is seen');
-- Within the transaction a TID carries the number of the version in its top four bits.
CREATE FUNCTION plain_tid(tid) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT ((split_part(trim($1::text, '()'), ',', 1)::bigint & ((1 << 28) - 1))::text
          || ',' || split_part(trim($1::text, '()'), ',', 2))
$$;
SELECT is((SELECT count(*) FROM tids t JOIN before b ON t.id = b.id AND plain_tid(t.ctid) = plain_tid(b.tid)),
          1000::bigint, 'no TID changed');
SELECT is((SELECT count(*) FROM tids t JOIN before b ON t.ctid = b.tid), 0::bigint,
          'but the plain TID still names the old version inside the transaction');
UPDATE tids SET indexed = -indexed WHERE id <= 10;
SELECT is((SELECT count(*) FROM tids t JOIN before b ON t.id = b.id AND plain_tid(t.ctid) = plain_tid(b.tid)),
          990::bigint, 'a changed indexed column means a new TID');
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM tids WHERE indexed BETWEEN -10 AND -1), 10::bigint,
          'the index finds the moved rows');
SELECT is((SELECT count(*) FROM tids WHERE indexed BETWEEN 1 AND 10), 0::bigint,
          'and not where they were');

-- More updates of one row than there are aliases.
DO $$ BEGIN FOR i IN 1..40 LOOP UPDATE tids SET plain = 'again ' || i WHERE id = 500; END LOOP; END $$;
SELECT is((SELECT plain FROM tids WHERE id = 500), 'again 40', 'forty updates of one row');
SELECT is((SELECT count(*) FROM tids), 1000::bigint, 'leave one row each');
SAVEPOINT s;
UPDATE tids SET plain = 'lost' WHERE id IN (1, 500, 900);
ROLLBACK TO s;
SELECT is((SELECT count(*) FROM tids WHERE plain = 'lost'), 0::bigint, 'a rolled back update is gone');
DELETE FROM tids WHERE id % 2 = 0;
SELECT is((SELECT count(*) FROM tids), 500::bigint, 'deletes are seen');
SELECT is((SELECT sum(id) FROM tids WHERE id > 0), 250000::bigint, 'also through the index');
SELECT * FROM finish();
ROLLBACK;
