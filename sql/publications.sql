-- Logical decoding does not know omendb tables: a publication never takes one in without a word.
SET client_min_messages = error;
CREATE SCHEMA published;
CREATE TABLE published.plain (id int PRIMARY KEY) USING heap;
CREATE TABLE ours (id int PRIMARY KEY, body text) USING omendb;
CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY) USING omendb;
CREATE PUBLICATION named FOR TABLE published.plain;

-- Named: the command works, and says what it does not do.
SET client_min_messages = warning;
CREATE PUBLICATION one FOR TABLE ours;
CREATE PUBLICATION two FOR TABLE published.plain, ONLY ours;
DROP PUBLICATION one, two;
RESET client_min_messages;
ALTER PUBLICATION named ADD TABLE ours;
\echo :SQLSTATE
ALTER PUBLICATION named SET TABLE published.plain, ours (id);
SELECT pubname, tablename FROM pg_publication_tables ORDER BY 1, 2;
ALTER PUBLICATION named SET (publish = 'insert');
ALTER PUBLICATION named ADD TABLE volatile;

-- By a child or a partition too, whenever it comes.
CREATE TABLE parent (id int) USING heap;
CREATE TABLE child () INHERITS (parent) USING omendb;
ALTER PUBLICATION named ADD TABLE parent;
CREATE TABLE parted (id int, body text) PARTITION BY RANGE (id);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES FROM (0) TO (10) USING heap;
ALTER PUBLICATION named ADD TABLE parted;
CREATE TABLE parted2 PARTITION OF parted FOR VALUES FROM (10) TO (20) USING omendb;
DROP TABLE parted2;
CREATE TABLE loose (id int, body text) USING omendb;
ALTER TABLE parted ATTACH PARTITION loose FOR VALUES FROM (10) TO (20);
ALTER TABLE parted DETACH PARTITION loose;
CREATE TABLE middle (id int, body text) PARTITION BY RANGE (id);
CREATE TABLE middle1 PARTITION OF middle FOR VALUES FROM (10) TO (20) USING omendb;
ALTER TABLE parted ATTACH PARTITION middle FOR VALUES FROM (10) TO (20);
ALTER PUBLICATION named DROP TABLE parted;
ALTER PUBLICATION named ADD TABLE parted;
-- A published table becomes one.
ALTER TABLE published.plain SET ACCESS METHOD omendb;
SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = 'published.plain'::regclass;
DROP TABLE parent, child, parted, loose;

-- A whole schema: allowed, but said. Heap tables in it are published as ever.
CREATE TABLE published.t1 (id int) USING omendb;
CREATE PUBLICATION whole FOR TABLES IN SCHEMA published;
ALTER PUBLICATION named SET TABLES IN SCHEMA published;
ALTER PUBLICATION named DROP TABLES IN SCHEMA published;
CREATE TABLE published.t2 (id int) USING omendb;
CREATE TABLE published.t3 USING omendb AS SELECT 1 AS id;
CREATE UNLOGGED TABLE published.t4 (id int) USING omendb;
ALTER TABLE published.t4 SET LOGGED;
CREATE TABLE published.t5 (id int) USING heap;
CREATE TABLE t6 (id int) USING omendb;
ALTER TABLE t6 SET SCHEMA published;
ALTER TABLE published.t6 SET SCHEMA public;
ALTER TABLE published.t5 SET ACCESS METHOD omendb;
CREATE TABLE published.parted (id int) PARTITION BY LIST (id);
CREATE TABLE elsewhere PARTITION OF published.parted FOR VALUES IN (1) USING omendb;
CREATE TEMP TABLE scratch (id int) USING omendb;
CREATE MATERIALIZED VIEW published.view USING omendb AS SELECT 1;

-- Everything: the same, and long lists are cut.
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE TABLE t7 (id int) USING omendb;
CREATE TABLE plain_too (id int) USING heap;
CREATE TABLE published.t8 (id int) USING omendb;
INSERT INTO t7 VALUES (1);
ALTER TABLE t7 ADD COLUMN more int;
SELECT * FROM t7;

SET client_min_messages = error;
DROP PUBLICATION named, whole, everything;
DROP SCHEMA published CASCADE;
DROP TABLE ours, volatile, t6, t7, plain_too;
