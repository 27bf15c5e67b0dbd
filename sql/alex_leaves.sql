-- Leaves that grow, shrink, become empty and merge: every entry stays where it is looked for.
CREATE TABLE gaps (id int PRIMARY KEY) USING omendb WITH (autovacuum_enabled = off);
INSERT INTO gaps SELECT generate_series(1, 5000);
SELECT omendb.flush();
DELETE FROM gaps WHERE id BETWEEN 1000 AND 3000;
VACUUM gaps;
SELECT omendb.flush();
SELECT omendb.check_index('gaps_pkey');
-- Into the hole, at several places of it.
INSERT INTO gaps SELECT generate_series(1500, 1520);
SELECT omendb.flush();
INSERT INTO gaps SELECT generate_series(1600, 2500);
SELECT omendb.flush();
SELECT omendb.check_index('gaps_pkey');
SELECT omendb.compact('gaps');
SELECT omendb.check_index('gaps_pkey');
-- A queue: the low end goes, again and again, and what is empty does not stay.
CREATE TABLE queue (id bigint PRIMARY KEY) USING omendb WITH (autovacuum_enabled = off);
DO $$
BEGIN
  FOR i IN 0..9 LOOP
    INSERT INTO queue SELECT i * 3000 + g FROM generate_series(1, 3000) g;
    DELETE FROM queue WHERE id <= i * 3000 + 2900;
    COMMIT;
  END LOOP;
END $$;
VACUUM queue;
SELECT omendb.flush();
SELECT stored_entries, leaves <= 2 AS few_leaves FROM omendb.index_stat('queue_pkey');
SELECT omendb.check_index('queue_pkey'), min(id), max(id) FROM queue;
DELETE FROM queue;
VACUUM queue;
SELECT omendb.flush();
SELECT omendb.check_index('queue_pkey');
INSERT INTO queue VALUES (1), (29000), (50000);
SELECT omendb.flush();
SET enable_seqscan = off;
SELECT id FROM queue ORDER BY id DESC;
RESET enable_seqscan;
-- Equal keys over many leaves, removed from the middle.
CREATE TABLE same_keys (k int, n int) USING omendb WITH (autovacuum_enabled = off);
CREATE INDEX same_keys_k ON same_keys USING alex (k);
INSERT INTO same_keys SELECT g % 3, g FROM generate_series(1, 9000) g;
SELECT omendb.flush();
DELETE FROM same_keys WHERE k = 1 AND n BETWEEN 2000 AND 7000;
VACUUM same_keys;
SELECT omendb.flush();
SELECT omendb.check_index('same_keys_k');
SET enable_seqscan = off;
SELECT k, count(*), sum(n) FROM same_keys WHERE k = 1 GROUP BY k;
RESET enable_seqscan;
-- Long keys: few in a leaf.
CREATE TABLE long_keys (k text COLLATE "C" PRIMARY KEY) USING omendb WITH (autovacuum_enabled = off);
INSERT INTO long_keys SELECT repeat(md5((g % 100)::text), 100) || g FROM generate_series(1, 600) g;
SELECT omendb.flush();
SELECT omendb.check_index('long_keys_pkey');
DELETE FROM long_keys WHERE k < repeat('8', 10);
VACUUM long_keys;
SELECT omendb.flush();
SELECT omendb.check_index('long_keys_pkey') = count(*) AS same FROM long_keys;
SELECT omendb.relation_size('long_keys_pkey') > 100000 AS has_a_size;
DROP TABLE gaps, queue, same_keys, long_keys;
-- More changes than are folded at a time, all of them for one leaf: in front of what it has, behind
-- it, on both sides, and in between.
CREATE TABLE crowded (id int, at text) USING omendb WITH (autovacuum_enabled = off);
CREATE INDEX crowded_id ON crowded USING alex (id);
INSERT INTO crowded SELECT g, 'first' FROM generate_series(1, 480) g;
SELECT omendb.flush();
INSERT INTO crowded SELECT -g, 'front' FROM generate_series(1, 70000) g;
SELECT omendb.flush();
SELECT omendb.check_index('crowded_id');
INSERT INTO crowded SELECT g, 'behind' FROM generate_series(1000001, 1040000) g;
SELECT omendb.flush();
SELECT omendb.check_index('crowded_id');
DELETE FROM crowded WHERE id BETWEEN -69000 AND 1039000;
VACUUM crowded;
SELECT omendb.flush();
INSERT INTO crowded SELECT g * 7, 'between' FROM generate_series(-9000, 140000) g;
SELECT omendb.flush();
SELECT omendb.check_index('crowded_id');
CREATE TABLE around (id int PRIMARY KEY) USING omendb WITH (autovacuum_enabled = off);
INSERT INTO around SELECT g * 1000 FROM generate_series(1, 400) g;
SELECT omendb.flush();
INSERT INTO around SELECT g FROM generate_series(-1000, 402000) g WHERE g % 1000 <> 0 AND g % 5 = 0;
SELECT omendb.flush();
SELECT omendb.check_index('around_pkey');
SELECT count(*), min(id), max(id) FROM around;
DROP TABLE crowded, around;
-- A check runs the functions of an index with the rights of its owner, not of whoever checks it.
CREATE ROLE regress_owner;
CREATE FUNCTION tells_who(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
$$BEGIN RAISE NOTICE 'evaluated by %', current_user; RETURN i; END$$;
CREATE TABLE owned (id int) USING omendb;
INSERT INTO owned VALUES (1);
ALTER TABLE owned OWNER TO regress_owner;
CREATE INDEX owned_id ON owned USING alex (tells_who(id));
SELECT omendb.check_index('owned_id'), current_user = session_user AS as_before;
DROP TABLE owned;
DROP FUNCTION tells_who;
DROP ROLE regress_owner;
