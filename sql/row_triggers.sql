-- Row triggers see the versions that their event names, however often a row changes.
SET default_table_access_method = omendb;

CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    RAISE NOTICE '% INSERT %', TG_WHEN, NEW;
  ELSIF TG_OP = 'DELETE' THEN
    RAISE NOTICE '% DELETE %', TG_WHEN, OLD;
    RETURN OLD;
  ELSE
    RAISE NOTICE '% UPDATE % -> %', TG_WHEN, OLD, NEW;
  END IF;
  RETURN NEW;
END $$;
CREATE TABLE item (id int PRIMARY KEY, v int, tag text);
CREATE INDEX ON item (tag);
CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION tell();

INSERT INTO item VALUES (1, 1, 'x'), (2, 2, 'y');
UPDATE item SET v = v + 10 WHERE id = 1;
UPDATE item SET tag = 'z' WHERE id = 1;
UPDATE item SET id = 3 WHERE id = 2;
DELETE FROM item WHERE id = 3;
SELECT omendb.flush();
BEGIN;
UPDATE item SET v = v + 10;
UPDATE item SET v = v + 10;
UPDATE item SET tag = tag || tag, v = v + 10;
UPDATE item SET v = v + 10;
SELECT omendb.flush();
UPDATE item SET v = v + 10;
DELETE FROM item;
INSERT INTO item VALUES (1, 0, 'back');
UPDATE item SET v = 1;
COMMIT;
SELECT * FROM item ORDER BY id;
DROP TRIGGER a ON item;
DROP TRIGGER b ON item;

-- A BEFORE trigger replaces the row, suppresses the change, or changes other rows and the same row.
CREATE FUNCTION replace_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.v = 13 THEN RETURN NULL; END IF;
  NEW.tag := coalesce(NEW.tag, '') || '#' || NEW.v;
  RETURN NEW;
END $$;
CREATE TRIGGER r BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION replace_row();
INSERT INTO item SELECT g, g FROM generate_series(11, 15) g;
UPDATE item SET v = 13 WHERE id = 12 RETURNING *;
UPDATE item SET v = 14 WHERE id = 12 RETURNING *;
SELECT * FROM item ORDER BY id;
DROP TRIGGER r ON item;
CREATE FUNCTION touch_others() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE item SET v = v + 1000 WHERE id = NEW.id + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE UPDATE ON item FOR EACH ROW WHEN (NEW.v < 100 AND NEW.id = 11)
  EXECUTE FUNCTION touch_others();
UPDATE item SET v = v + 1 WHERE id = 11;
SELECT id, v FROM item ORDER BY id;
DROP TRIGGER t ON item;
CREATE FUNCTION touch_self() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE item SET v = -1 WHERE id = OLD.id;
  RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER t BEFORE UPDATE OR DELETE ON item FOR EACH ROW WHEN (pg_trigger_depth() = 0)
  EXECUTE FUNCTION touch_self();
UPDATE item SET v = 5 WHERE id = 11;
DELETE FROM item WHERE id = 11;
DROP TRIGGER t ON item;
CREATE TRIGGER t AFTER UPDATE ON item FOR EACH ROW WHEN (pg_trigger_depth() = 0)
  EXECUTE FUNCTION touch_self();
UPDATE item SET v = 5 WHERE id = 11 RETURNING *;
SELECT id, v FROM item ORDER BY id;
DROP TRIGGER t ON item;

-- Conditions on OLD and NEW, columns that trigger, constraint triggers, transition tables.
CREATE TRIGGER w AFTER UPDATE OF v ON item FOR EACH ROW WHEN (OLD.v IS DISTINCT FROM NEW.v)
  EXECUTE FUNCTION tell();
UPDATE item SET v = v, tag = 'same' WHERE id = 12;
UPDATE item SET v = v * 2 WHERE id = 12;
DROP TRIGGER w ON item;
CREATE FUNCTION tell_tables() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    RAISE NOTICE '% old: %', TG_OP, (SELECT string_agg(o::text, ' ' ORDER BY id) FROM o);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    RAISE NOTICE '% new: %', TG_OP, (SELECT string_agg(n::text, ' ' ORDER BY id) FROM n);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER i AFTER INSERT ON item REFERENCING NEW TABLE AS n
  FOR EACH STATEMENT EXECUTE FUNCTION tell_tables();
CREATE TRIGGER u AFTER UPDATE ON item REFERENCING OLD TABLE AS o NEW TABLE AS n
  FOR EACH STATEMENT EXECUTE FUNCTION tell_tables();
CREATE TRIGGER d AFTER DELETE ON item REFERENCING OLD TABLE AS o
  FOR EACH STATEMENT EXECUTE FUNCTION tell_tables();
BEGIN;
UPDATE item SET v = id, tag = NULL;
UPDATE item SET v = v + 1, tag = 't' || id WHERE id < 14;
SELECT omendb.flush();
UPDATE item SET id = -id WHERE id > 13;
INSERT INTO item VALUES (12, 0, 'n'), (50, 0, 'n') ON CONFLICT (id) DO UPDATE SET v = 0;
DELETE FROM item WHERE id < 0;
COMMIT;
SELECT * FROM item ORDER BY id;

-- COPY and large statements fire them for every row.
CREATE TABLE log_rows (op text, id int, old_v int, new_v int);
CREATE FUNCTION log_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO log_rows VALUES (TG_OP, CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END,
    CASE WHEN TG_OP <> 'INSERT' THEN OLD.v END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.v END);
  RETURN NULL;
END $$;
CREATE TABLE many (id int, v int);
CREATE TRIGGER l AFTER INSERT OR UPDATE OR DELETE ON many FOR EACH ROW EXECUTE FUNCTION log_row();
INSERT INTO many SELECT g, g FROM generate_series(1, 1000) g;
BEGIN;
UPDATE many SET v = v + 1;
SELECT omendb.flush();
UPDATE many SET v = v + 1 WHERE id % 2 = 0;
DELETE FROM many WHERE id % 10 = 0;
COMMIT;
SELECT op, count(*), sum(id), sum(old_v), sum(new_v) FROM log_rows GROUP BY op ORDER BY op;
SELECT count(*), sum(v) FROM many;

DROP TABLE item, log_rows, many;
DROP FUNCTION tell(), replace_row(), touch_others(), touch_self(), tell_tables(), log_row();
