-- Constraints that are checked late meet rows that have changed since.
SET default_table_access_method = omendb;

CREATE TABLE booking (room int, note int,
  CONSTRAINT one_per_room EXCLUDE (room WITH =) INITIALLY DEFERRED);
INSERT INTO booking VALUES (1), (2);

-- The new row is updated in place before it is checked.
BEGIN;
INSERT INTO booking VALUES (2, 1);
DELETE FROM booking WHERE room = 2 AND note IS NULL;
UPDATE booking SET note = 2 WHERE room = 2;
UPDATE booking SET note = 3 WHERE room = 2;
COMMIT;
SELECT * FROM booking ORDER BY room;
BEGIN;
INSERT INTO booking VALUES (2, 9);
UPDATE booking SET note = 10 WHERE note = 9;
COMMIT;
SELECT * FROM booking ORDER BY room;

CREATE TABLE ranks (id int PRIMARY KEY, rank int, note text,
  CONSTRAINT rank_once UNIQUE (rank) DEFERRABLE INITIALLY IMMEDIATE);
INSERT INTO ranks SELECT g, g FROM generate_series(1, 10) g;
-- Checked at the end of the statement.
UPDATE ranks SET rank = rank + 1;
UPDATE ranks SET rank = 11 - rank WHERE rank < 11;
UPDATE ranks SET rank = 5 WHERE id = 1;
SELECT id, rank FROM ranks ORDER BY id;
-- Checked at commit.
BEGIN;
SET CONSTRAINTS rank_once DEFERRED;
UPDATE ranks SET rank = 1 WHERE id = 3;
UPDATE ranks SET note = 'moved' WHERE id = 3;
UPDATE ranks SET rank = 2 WHERE rank = 1 AND id <> 3;
UPDATE ranks SET rank = rank + 100, note = note || '!';
SET CONSTRAINTS rank_once IMMEDIATE;
ROLLBACK;
BEGIN;
SET CONSTRAINTS rank_once DEFERRED;
INSERT INTO ranks VALUES (20, 3, 'twice');
UPDATE ranks SET note = 'still twice' WHERE id = 20;
SELECT omendb.flush();
COMMIT;
BEGIN;
SET CONSTRAINTS rank_once DEFERRED;
INSERT INTO ranks VALUES (20, 3, 'twice');
UPDATE ranks SET note = 'once' WHERE id = 20;
UPDATE ranks SET rank = 30 WHERE id = 20;
UPDATE ranks SET note = 'once!' WHERE id = 20;
SELECT omendb.flush();
COMMIT;
SELECT id, rank, note FROM ranks ORDER BY id;
BEGIN;
SET CONSTRAINTS rank_once DEFERRED;
INSERT INTO ranks VALUES (21, 3, 'gone before it counts');
DELETE FROM ranks WHERE id = 21;
COMMIT;

-- Deferred constraint triggers see OLD and NEW of each update.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '%: % -> %', TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN OLD END,
    CASE WHEN TG_OP <> 'DELETE' THEN NEW END;
  RETURN NULL;
END $$;
CREATE TABLE late (id int PRIMARY KEY, v int, indexed int);
CREATE INDEX ON late (indexed);
CREATE CONSTRAINT TRIGGER late_tell AFTER INSERT OR UPDATE OR DELETE ON late
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO late VALUES (1, 1, 1), (2, 1, 1);
BEGIN;
UPDATE late SET v = 2 WHERE id = 1;
UPDATE late SET v = 3 WHERE id = 1;
UPDATE late SET indexed = 3, v = 4 WHERE id = 1;
UPDATE late SET v = 5 WHERE id = 1;
INSERT INTO late VALUES (3, 1, 1);
UPDATE late SET v = 2 WHERE id = 3;
DELETE FROM late WHERE id = 3;
UPDATE late SET v = 9 WHERE id = 2;
SAVEPOINT s;
UPDATE late SET v = 10 WHERE id = 2;
ROLLBACK TO s;
UPDATE late SET v = 11 WHERE id = 2;
SELECT omendb.flush();
DELETE FROM late WHERE id = 2;
COMMIT;
SELECT * FROM late ORDER BY id;

DROP TABLE booking, ranks, late;
DROP FUNCTION tell();

-- A BEFORE trigger locks the row first; the lock is not mistaken for the row's beginning.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '%: % -> %', TG_WHEN, OLD, NEW;
  RETURN NEW;
END $$;
CREATE TABLE locked (id int PRIMARY KEY, v int);
INSERT INTO locked VALUES (1, 0);
CREATE TRIGGER before_row BEFORE UPDATE ON locked FOR EACH ROW EXECUTE FUNCTION tell();
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON locked
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
BEGIN;
UPDATE locked SET v = v + 1;
UPDATE locked SET v = v + 1;
SELECT v FROM locked FOR UPDATE;
UPDATE locked SET v = v + 1;
COMMIT;
DROP TABLE locked;
DROP FUNCTION tell();
