-- Columns come and go under rows that were written before.
SET default_table_access_method = omendb;

CREATE TABLE shape (id int PRIMARY KEY, a text, b int);
INSERT INTO shape SELECT g, 'a' || g, g FROM generate_series(1, 300) g;
SELECT omendb.flush();
INSERT INTO shape SELECT g, 'a' || g, g FROM generate_series(301, 310) g;
ALTER TABLE shape ADD COLUMN c int DEFAULT 7;
ALTER TABLE shape ADD COLUMN d text DEFAULT 'dflt' NOT NULL;
ALTER TABLE shape ADD COLUMN e timestamptz;
SELECT * FROM shape WHERE id IN (1, 305) ORDER BY id;
INSERT INTO shape VALUES (400, 'new', 1, NULL, 'given', '2020-01-01 00:00+00');
INSERT INTO shape (id) VALUES (401);
UPDATE shape SET a = 'updated' WHERE id IN (2, 306);
UPDATE shape SET c = NULL WHERE id = 3;
SELECT id, a, b, c, d, e FROM shape WHERE id IN (1, 2, 3, 305, 306, 400, 401) ORDER BY id;
SELECT omendb.flush();
SELECT id, a, b, c, d, e FROM shape WHERE id IN (1, 2, 3, 305, 306, 400, 401) ORDER BY id;
SELECT count(*), sum(c), count(c), count(d), count(e) FROM shape;
-- The default of a column's missing values is not its default of today.
ALTER TABLE shape ALTER COLUMN c SET DEFAULT 99;
INSERT INTO shape (id) VALUES (402);
SELECT id, c FROM shape WHERE id IN (1, 401, 402) ORDER BY id;
-- Dropped columns.
ALTER TABLE shape DROP COLUMN a;
ALTER TABLE shape ADD COLUMN a int DEFAULT -1;
SELECT * FROM shape WHERE id IN (1, 2, 305, 400, 402) ORDER BY id;
INSERT INTO shape (id, a) VALUES (403, 5);
UPDATE shape SET b = b + 1 WHERE id < 5;
SELECT omendb.flush();
SELECT * FROM shape WHERE id IN (1, 2, 305, 400, 402, 403) ORDER BY id;
DELETE FROM shape WHERE a = -1 AND id > 300 RETURNING id, a;
CREATE INDEX ON shape (a, c);
SET enable_seqscan = off;
SELECT count(*) FROM shape WHERE a = -1 AND c = 7;
RESET enable_seqscan;
ALTER TABLE shape ADD CONSTRAINT c_small CHECK (c < 50);
ALTER TABLE shape ADD CONSTRAINT c_small CHECK (c < 100);
ALTER TABLE shape ALTER COLUMN c SET NOT NULL;
-- A rewrite: volatile default, changed type.
ALTER TABLE shape ADD COLUMN f serial;
SELECT count(*), count(DISTINCT f) FROM shape;
ALTER TABLE shape ALTER COLUMN b TYPE text USING 'b' || b;
SELECT id, b, c, d, e, a FROM shape WHERE id IN (1, 2, 403) ORDER BY id;
ALTER TABLE shape ALTER COLUMN c TYPE bigint;
SELECT count(*), sum(c) FROM shape;
BEGIN;
ALTER TABLE shape ADD COLUMN g int DEFAULT 1;
ALTER TABLE shape DROP COLUMN c;
INSERT INTO shape (id, d, g) VALUES (500, 'x', 2);
SELECT omendb.flush();
ROLLBACK;
SELECT count(*), sum(c) FROM shape;
ALTER TABLE shape DROP COLUMN b, DROP COLUMN d, DROP COLUMN e, DROP COLUMN f, DROP COLUMN a, DROP COLUMN c;
SELECT count(*), min(id), max(id) FROM shape;
ALTER TABLE shape DROP COLUMN id;
SELECT count(*) FROM shape;
DROP TABLE shape;

-- Generated and identity columns.
CREATE TABLE computed (id int GENERATED ALWAYS AS IDENTITY, w int, h int,
  area int GENERATED ALWAYS AS (w * h) STORED, label text GENERATED ALWAYS AS ('w' || w) STORED);
CREATE INDEX ON computed (area);
INSERT INTO computed (w, h) VALUES (1, 2), (3, 4);
INSERT INTO computed (id, w, h) VALUES (9, 1, 1);
INSERT INTO computed (w, h, area) VALUES (1, 1, 5);
UPDATE computed SET w = w + 1 RETURNING *;
UPDATE computed SET area = 3;
SELECT omendb.flush();
UPDATE computed SET h = 10 WHERE area = 8 RETURNING *;
ALTER TABLE computed ADD COLUMN perimeter int GENERATED ALWAYS AS (2 * (w + h)) STORED;
ALTER TABLE computed ALTER COLUMN area DROP EXPRESSION;
UPDATE computed SET area = 0 WHERE id = 1;
SELECT * FROM computed ORDER BY id;
DROP TABLE computed;

-- Inheritance and row types that changed.
CREATE TABLE ancestor (a int, b text);
CREATE TABLE heir (c int) INHERITS (ancestor);
INSERT INTO ancestor VALUES (1, 'p');
INSERT INTO heir VALUES (2, 'c', 3);
ALTER TABLE ancestor ADD COLUMN d int DEFAULT 4;
INSERT INTO heir VALUES (5, 'c', 6, 7);
UPDATE ancestor SET b = b || d;
SELECT tableoid::regclass, * FROM ancestor ORDER BY a;
SELECT * FROM heir ORDER BY a;
ALTER TABLE heir NO INHERIT ancestor;
SELECT * FROM ancestor ORDER BY a;
DROP TABLE ancestor, heir;

-- The attributes of a composite type, and the keys of its tables.
CREATE TYPE altered_type AS (id int, v text);
ALTER TYPE altered_type ALTER ATTRIBUTE v TYPE varchar(20);
CREATE TABLE typed OF altered_type (PRIMARY KEY (id), UNIQUE (v)) USING omendb;
INSERT INTO typed SELECT g, 'v' || g FROM generate_series(1, 300) g;
ALTER TYPE altered_type ALTER ATTRIBUTE v TYPE text;
ALTER TYPE altered_type ALTER ATTRIBUTE v TYPE text CASCADE, ALTER ATTRIBUTE id TYPE bigint CASCADE;
INSERT INTO typed VALUES (300, 'twice');
INSERT INTO typed VALUES (301, 'v1');
SET enable_seqscan = off;
SELECT * FROM typed WHERE id = 17 OR v = 'v18' ORDER BY id;
RESET enable_seqscan;
DROP TYPE altered_type CASCADE;
