-- Updates that change no indexed column keep the row's TID; a transaction may make many of them.
SET default_table_access_method = omendb;

CREATE TABLE counter (id int PRIMARY KEY, n int, note text);
INSERT INTO counter SELECT g, 0, 'n' || g FROM generate_series(1, 5) g;

-- More updates of one row than there are aliases for its versions.
DO $$
BEGIN
  FOR i IN 1..50 LOOP
    UPDATE counter SET n = n + 1 WHERE id = 1;
  END LOOP;
END $$;
SELECT * FROM counter ORDER BY id;

BEGIN;
UPDATE counter SET n = n + 1 WHERE id = 2;
WITH u AS (UPDATE counter SET n = n + 1, note = note || '+' WHERE id <= 2 RETURNING *) SELECT * FROM u ORDER BY id;
UPDATE counter SET n = n + 1 FROM generate_series(1, 3) g WHERE counter.id = 2 RETURNING n;
DO $$
BEGIN
  FOR i IN 1..20 LOOP
    UPDATE counter SET n = n + 1 WHERE id = 2;
    IF i = 7 THEN PERFORM omendb.flush(); END IF;
  END LOOP;
END $$;
SELECT * FROM counter ORDER BY id;
ROLLBACK;
SELECT * FROM counter ORDER BY id;

-- Savepoints: what is rolled back was never there, above and below the sixteenth version.
BEGIN;
UPDATE counter SET n = 100 WHERE id = 3;
SAVEPOINT a;
UPDATE counter SET n = 101 WHERE id = 3;
SAVEPOINT b;
DELETE FROM counter WHERE id = 3;
INSERT INTO counter VALUES (3, 102, 'again');
UPDATE counter SET n = 103 WHERE id = 3;
SELECT * FROM counter WHERE id = 3;
ROLLBACK TO b;
SELECT * FROM counter WHERE id = 3;
UPDATE counter SET n = n + 1 WHERE id = 3;
ROLLBACK TO a;
SELECT * FROM counter WHERE id = 3;
DO $$
BEGIN
  FOR i IN 1..30 LOOP
    BEGIN
      UPDATE counter SET n = n + 1 WHERE id = 3;
      IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
  END LOOP;
END $$;
SELECT * FROM counter WHERE id = 3;
SELECT omendb.flush();
SELECT * FROM counter WHERE id = 3;
SELECT n FROM counter WHERE id = 3 FOR UPDATE;
UPDATE counter SET n = n + 1 WHERE id = 3 RETURNING n;
COMMIT;
SELECT * FROM counter ORDER BY id;

-- A statement sees neither its own changes nor the rows that it makes.
INSERT INTO counter SELECT id + 100, n, note FROM counter;
UPDATE counter SET id = id + 1000 WHERE id > 100;
UPDATE counter SET n = (SELECT max(n) FROM counter) + 1 WHERE id IN (1, 2);
WITH gone AS (DELETE FROM counter WHERE id > 1000 RETURNING id, n)
INSERT INTO counter SELECT id + 1, n FROM gone;
SELECT * FROM counter ORDER BY id;
WITH u AS (UPDATE counter SET n = -1 WHERE id = 1 RETURNING n)
  SELECT (SELECT n FROM u) AS updated, n FROM counter WHERE id = 1;
WITH u AS (UPDATE counter SET n = -2 WHERE id = 1 RETURNING id)
  UPDATE counter SET n = -3 WHERE id IN (SELECT id FROM u);
WITH u AS (UPDATE counter SET n = -4 WHERE id = 1 RETURNING id)
  DELETE FROM counter WHERE id IN (SELECT id FROM u);
SELECT * FROM counter WHERE id = 1;

-- A cursor shows what was when it was opened.
BEGIN;
DECLARE c CURSOR FOR SELECT id, n FROM counter WHERE id <= 5 ORDER BY id;
FETCH 2 FROM c;
UPDATE counter SET n = 77 WHERE id <= 5;
SELECT omendb.flush();
FETCH 2 FROM c;
UPDATE counter SET n = 78 WHERE id <= 5;
DELETE FROM counter WHERE id = 5;
FETCH 2 FROM c;
SELECT id, n FROM counter WHERE id <= 5 ORDER BY id;
COMMIT;

-- The joined row may match twice, and only the first counts.
CREATE TABLE addend (id int, v int);
INSERT INTO addend VALUES (1, 10), (1, 10), (2, 5);
UPDATE counter SET n = n + v FROM addend WHERE counter.id = addend.id;
SELECT id, n FROM counter WHERE id <= 2 ORDER BY id;
DELETE FROM counter USING addend WHERE counter.id = addend.id;
SELECT id FROM counter WHERE id <= 5 ORDER BY id;

-- Every column changes its width, into and out of NULL.
CREATE TABLE widths (id int PRIMARY KEY, a text, b int, c text, d numeric);
INSERT INTO widths VALUES (1, NULL, 1, 'c', NULL), (2, 'a', NULL, NULL, 1.5);
UPDATE widths SET a = repeat('x', id * 100), b = NULL, c = NULL, d = 1e100 WHERE id = 1;
UPDATE widths SET a = '', b = 2, c = repeat('y', 3000), d = NULL WHERE id = 2;
SELECT omendb.flush();
SELECT id, length(a), b, length(c), d FROM widths ORDER BY id;
UPDATE widths SET c = upper(c), a = a || 'z';
SELECT omendb.flush();
SELECT id, length(a), right(a, 1), b, length(c), left(c, 1), d FROM widths ORDER BY id;

DROP TABLE counter, addend, widths;
