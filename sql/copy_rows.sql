-- COPY in and out, batches with every shape of rows, constraints and triggers on the way.
SET default_table_access_method = omendb;
CREATE TABLE c (id int PRIMARY KEY, v text, n numeric, d date DEFAULT '2020-01-01');
COPY c (id, v, n) FROM stdin;
1	one	1.5
2	\N	\N
3	tab\there	-7
4		0
\.
COPY c FROM stdin (FORMAT csv, HEADER);
id,v,n,d
5,"quoted, ""text""",1e10,2021-02-03
6,,,
\.
COPY c TO stdout;
COPY (SELECT * FROM c ORDER BY id DESC) TO stdout (FORMAT csv, HEADER);
COPY c FROM stdin;
7	seven	1	2020-01-01
1	duplicate	1	2020-01-01
8	eight	1	2020-01-01
\.
COPY c FROM stdin;
9	nine	not a number	2020-01-01
\.
SELECT id FROM c ORDER BY id;
COPY c FROM stdin WHERE id > 10;
10	ten	1	2020-01-01
11	eleven	1	2020-01-01
\.
SELECT id FROM c ORDER BY id;
CREATE TABLE other (LIKE c);
BEGIN;
COPY other FROM stdin (FREEZE);
1	x	1	2020-01-01
\.
ROLLBACK;
BEGIN;
CREATE TABLE frozen (id int);
COPY frozen FROM stdin (FREEZE);
1
2
\.
SELECT omendb.flush();
UPDATE frozen SET id = id + 1;
SELECT * FROM frozen ORDER BY id;
COMMIT;
SELECT * FROM frozen ORDER BY id;

-- Many rows through a program's pipe of COPY: narrow, wide, and both in turn.
CREATE TABLE turns (id int PRIMARY KEY, v text);
CREATE INDEX ON turns (v text_pattern_ops) WHERE length(v) < 100;
INSERT INTO turns SELECT g, CASE WHEN g % 100 < 90 THEN 's' || g ELSE repeat('w' || g, g % 100 * 30) END
  FROM generate_series(1, 3000) g;
CREATE TABLE plain USING heap AS TABLE turns;
SELECT count(*) FROM turns FULL JOIN plain USING (id) WHERE turns.v IS DISTINCT FROM plain.v;
SELECT omendb.flush();
SELECT count(*) FROM turns FULL JOIN plain USING (id) WHERE turns.v IS DISTINCT FROM plain.v;
BEGIN;
INSERT INTO turns SELECT id + 10000, v FROM plain;
UPDATE turns SET v = 'x' WHERE id BETWEEN 10500 AND 10700;
SELECT omendb.flush();
DELETE FROM turns WHERE id BETWEEN 11000 AND 11100;
SELECT count(*), sum(length(v)) FROM turns;
ROLLBACK;
SELECT count(*), sum(length(v)) FROM turns;
INSERT INTO turns SELECT g, 's' FROM generate_series(2990, 3010) g;
SELECT count(*), max(id) FROM turns;
ANALYZE turns;
SELECT reltuples FROM pg_class WHERE relname = 'turns';
DELETE FROM turns WHERE id > 1000;
VACUUM ANALYZE turns;
SELECT reltuples FROM pg_class WHERE relname = 'turns';
SELECT n_distinct, null_frac FROM pg_stats WHERE tablename = 'turns' AND attname = 'id';
DROP TABLE c, other, frozen, turns, plain;
