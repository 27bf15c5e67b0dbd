-- Foreign keys between omendb tables, and between them and heaps in both directions.
SET default_table_access_method = omendb;

CREATE TABLE p_omen (id int PRIMARY KEY, alt int UNIQUE, note text);
CREATE TABLE p_plain (id int PRIMARY KEY, note text) USING heap;
CREATE TABLE c_cascade (id int, p int REFERENCES p_omen ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE c_null (id int, p int REFERENCES p_omen ON DELETE SET NULL ON UPDATE SET NULL) USING heap;
CREATE TABLE c_default (id int, p int DEFAULT 1 REFERENCES p_omen ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
CREATE TABLE c_restrict (id int, p int REFERENCES p_omen (alt) ON DELETE RESTRICT);
CREATE TABLE c_to_heap (id int, p int REFERENCES p_plain ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE c_late (id int, p int REFERENCES p_omen DEFERRABLE INITIALLY DEFERRED);
INSERT INTO p_omen SELECT g, g * 10, 'p' || g FROM generate_series(1, 10) g;
INSERT INTO p_plain SELECT g, 'h' || g FROM generate_series(1, 10) g;
INSERT INTO c_cascade SELECT g, g % 10 + 1 FROM generate_series(1, 30) g;
INSERT INTO c_null SELECT g, g % 10 + 1 FROM generate_series(1, 20) g;
INSERT INTO c_default SELECT g, g % 10 + 1 FROM generate_series(1, 10) g;
INSERT INTO c_to_heap SELECT g, g % 10 + 1 FROM generate_series(1, 10) g;
INSERT INTO c_cascade VALUES (0, 99);
INSERT INTO c_to_heap VALUES (0, 99);
UPDATE c_cascade SET p = 98 WHERE id = 1;
CREATE VIEW state AS
  SELECT 'cascade' AS t, count(*) AS n, count(p) AS p, sum(p) AS total FROM c_cascade
  UNION ALL SELECT 'null', count(*), count(p), sum(p) FROM c_null
  UNION ALL SELECT 'default', count(*), count(p), sum(p) FROM c_default
  UNION ALL SELECT 'to heap', count(*), count(p), sum(p) FROM c_to_heap
  UNION ALL SELECT 'late', count(*), count(p), sum(p) FROM c_late;
SELECT * FROM state;
SELECT omendb.flush();
UPDATE p_omen SET note = 'changed', alt = alt + 1;
UPDATE p_omen SET id = 20 WHERE id = 2;
SELECT * FROM state;
DELETE FROM p_omen WHERE id = 3;
SELECT * FROM state;
INSERT INTO c_restrict VALUES (1, 41);
DELETE FROM p_omen WHERE id = 4;
UPDATE p_omen SET alt = 0 WHERE id = 4;
DELETE FROM p_plain WHERE id < 4;
UPDATE p_plain SET id = id + 100 WHERE id > 8;
SELECT * FROM state;
-- Parent and child change in one transaction, several times.
BEGIN;
UPDATE p_omen SET id = 50 WHERE id = 5;
UPDATE p_omen SET note = 'again' WHERE id = 50;
UPDATE p_omen SET id = 51 WHERE id = 50;
SELECT omendb.flush();
UPDATE p_omen SET id = 5 WHERE id = 51;
UPDATE c_cascade SET p = 6 WHERE p = 5;
DELETE FROM p_omen WHERE id = 5;
SELECT * FROM state;
ROLLBACK;
SELECT * FROM state;
-- Deferred.
BEGIN;
INSERT INTO c_late VALUES (1, 77);
UPDATE c_late SET id = 2;
UPDATE c_late SET p = 78;
INSERT INTO p_omen VALUES (78, 780, 'in time');
UPDATE p_omen SET note = 'x' WHERE id = 78;
COMMIT;
BEGIN;
INSERT INTO c_late VALUES (3, 79);
INSERT INTO p_omen VALUES (79, 790, 'and gone');
DELETE FROM p_omen WHERE id = 79;
COMMIT;
BEGIN;
DELETE FROM p_omen WHERE id = 78;
UPDATE c_late SET id = 5;
INSERT INTO p_omen VALUES (78, 781, 'back');
COMMIT;
BEGIN;
DELETE FROM p_omen WHERE id = 78;
DELETE FROM c_late;
COMMIT;
SELECT * FROM state;
-- To itself, added later, not valid at first.
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE, v int);
INSERT INTO tree SELECT g, nullif(g / 2, 0) FROM generate_series(1, 63) g;
UPDATE tree SET v = id;
UPDATE tree SET parent = 3 WHERE id = 2;
DELETE FROM tree WHERE id = 3;
SELECT count(*), sum(v) FROM tree;
CREATE TABLE loose (p int);
INSERT INTO loose VALUES (1), (1234);
ALTER TABLE loose ADD FOREIGN KEY (p) REFERENCES p_omen;
ALTER TABLE loose ADD CONSTRAINT loose_p FOREIGN KEY (p) REFERENCES p_omen NOT VALID;
ALTER TABLE loose VALIDATE CONSTRAINT loose_p;
DELETE FROM loose WHERE p = 1234;
ALTER TABLE loose VALIDATE CONSTRAINT loose_p;
DELETE FROM p_omen WHERE id = 1;
TRUNCATE p_omen;
DROP VIEW state;
DROP TABLE c_cascade, c_null, c_default, c_restrict, c_to_heap, c_late, loose, tree, p_omen, p_plain;
