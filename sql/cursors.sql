-- Cursors: held, positioned, and over rows that change under them.
SET default_table_access_method = omendb;
CREATE TABLE seats (id int PRIMARY KEY, who text, n int DEFAULT 0);
INSERT INTO seats SELECT g, 'free' FROM generate_series(1, 10) g;

BEGIN;
DECLARE c CURSOR FOR SELECT * FROM seats ORDER BY id FOR UPDATE;
FETCH 2 FROM c;
UPDATE seats SET who = 'second' WHERE CURRENT OF c;
UPDATE seats SET n = n + 1 WHERE CURRENT OF c;
UPDATE seats SET n = n + 1 WHERE CURRENT OF c;
FETCH 1 FROM c;
DELETE FROM seats WHERE CURRENT OF c;
DELETE FROM seats WHERE CURRENT OF c;
FETCH 1 FROM c;
UPDATE seats SET id = 40 WHERE CURRENT OF c;
UPDATE seats SET who = 'moved' WHERE CURRENT OF c;
FETCH 1 FROM c;
COMMIT;
SELECT * FROM seats ORDER BY id;

BEGIN;
DECLARE c CURSOR FOR SELECT * FROM seats WHERE id < 100;
FETCH 1 FROM c;
SELECT omendb.flush();
UPDATE seats SET n = 50 WHERE CURRENT OF c;
SAVEPOINT s;
UPDATE seats SET n = 60 WHERE CURRENT OF c;
ROLLBACK TO s;
UPDATE seats SET n = n + 1 WHERE CURRENT OF c;
FETCH RELATIVE 0 FROM c;
COMMIT;
SELECT count(*), sum(n) FROM seats;

BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id, who FROM seats ORDER BY id;
FETCH 1 FROM held;
COMMIT;
DELETE FROM seats WHERE id > 5;
SELECT omendb.flush();
FETCH ALL FROM held;
CLOSE held;

-- A loop over a query that changes the table it reads.
DO $$
DECLARE r record; seen int := 0;
BEGIN
  FOR r IN SELECT id FROM seats ORDER BY id LOOP
    INSERT INTO seats VALUES (r.id + 100, 'copy');
    UPDATE seats SET n = 7 WHERE id = r.id + 1;
    seen := seen + 1;
  END LOOP;
  RAISE NOTICE 'saw %', seen;
  FOR r IN SELECT id FROM seats FOR UPDATE LOOP
    UPDATE seats SET n = n + 1 WHERE id = r.id;
  END LOOP;
END $$;
SELECT * FROM seats ORDER BY id;
-- Procedures that commit in between.
DO $$
DECLARE r record;
BEGIN
  FOR r IN SELECT id FROM seats ORDER BY id LOOP
    UPDATE seats SET n = n * 2 WHERE id = r.id;
    COMMIT;
  END LOOP;
END $$;
SELECT sum(n) FROM seats;

-- Locking clauses.
BEGIN;
SELECT id FROM seats WHERE id = 1 FOR UPDATE;
SELECT id FROM seats WHERE id = 1 FOR SHARE;
SELECT id FROM seats WHERE id = 1 FOR NO KEY UPDATE;
SELECT id FROM seats WHERE id = 1 FOR KEY SHARE NOWAIT;
SELECT id FROM seats WHERE id IN (1, 2) ORDER BY id FOR UPDATE SKIP LOCKED;
UPDATE seats SET n = 0 WHERE id = 1;
SELECT id, n FROM seats WHERE id = 1 FOR UPDATE;
SAVEPOINT s;
SELECT id, n FROM seats WHERE id = 2 FOR UPDATE;
UPDATE seats SET n = 1 WHERE id = 2;
ROLLBACK TO s;
SELECT omendb.flush();
UPDATE seats SET n = 2 WHERE id IN (SELECT id FROM seats WHERE id <= 2 FOR UPDATE SKIP LOCKED);
SELECT id, n FROM seats WHERE id <= 2 ORDER BY id;
COMMIT;
SELECT id, n FROM seats WHERE id <= 2 ORDER BY id;

-- Aborted and repeated moves.
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM seats WHERE id = 1;
FETCH c;
SAVEPOINT s;
UPDATE seats SET id = 1001 WHERE CURRENT OF c;
UPDATE seats SET id = 1002 WHERE CURRENT OF c;
ROLLBACK TO s;
UPDATE seats SET who = 'here' WHERE CURRENT OF c;
UPDATE seats SET id = 1003 WHERE CURRENT OF c;
UPDATE seats SET who = 'there' WHERE CURRENT OF c;
SELECT omendb.flush();
UPDATE seats SET id = 1004 WHERE CURRENT OF c;
DELETE FROM seats WHERE CURRENT OF c;
DELETE FROM seats WHERE CURRENT OF c;
SELECT id, who FROM seats WHERE id IN (1, 1001, 1002, 1003, 1004);
COMMIT;
DROP TABLE seats;
