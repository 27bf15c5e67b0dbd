-- currtid2 (tuple_get_latest_tid) follows a row where updates moved it, and stays where they did not.
SET default_table_access_method = omendb;
CREATE TABLE walk (id int PRIMARY KEY, key int, note text);
CREATE INDEX walk_key ON walk (key);
CREATE TABLE walk_heap (LIKE walk INCLUDING INDEXES) USING heap;
INSERT INTO walk VALUES (1, 1, 'one'), (2, 2, 'two'), (3, 3, 'three');
CREATE TABLE tids (id int, step int, tid tid) USING heap;
CREATE PROCEDURE remember(now int) LANGUAGE sql AS 'INSERT INTO tids SELECT id, now, ctid FROM walk';
CALL remember(0);

-- In place: the TID is still the newest.
UPDATE walk SET note = note || '+';
UPDATE walk SET note = note || '+';
SELECT id, currtid2('walk', tid) = tid AS same FROM tids WHERE step = 0 ORDER BY id;

-- Moved, moved and updated in place, moved twice.
UPDATE walk SET key = key + 10;
CALL remember(1);
UPDATE walk SET note = note || '*' WHERE id = 2;
UPDATE walk SET key = key + 100 WHERE id = 3;
CALL remember(2);
CREATE FUNCTION latest() RETURNS TABLE (id int, step int, moved bool, found bool, note text)
LANGUAGE sql AS $$
  SELECT t.id, t.step, t.tid <> w.ctid, currtid2('walk', t.tid) = w.ctid, w.note
  FROM tids t JOIN walk w USING (id) ORDER BY t.id, t.step
$$;
SELECT * FROM latest();
SELECT omendb.flush();
-- Where the row was may be forgotten by now, where it is may not.
SELECT id, step, found FROM latest() WHERE NOT moved;
SELECT bool_and(currtid2('walk', t.tid) IN (t.tid, w.ctid)) FROM tids t JOIN walk w USING (id);
SELECT omendb.compact('walk');
SELECT id, step, found FROM latest() WHERE NOT moved;

-- Moves of the running transaction and of one that gives up. A TID of the transaction itself may
-- carry the number of a version.
CALL remember(3);
BEGIN;
UPDATE walk SET key = key + 1000 WHERE id = 1;
SELECT currtid2('walk', tid) = w.ctid AS found FROM tids JOIN walk w USING (id) WHERE id = 1 AND step = 3;
UPDATE walk SET note = 'in place' WHERE id = 1;
SELECT w.note FROM tids t JOIN walk w ON w.ctid = currtid2('walk', t.tid) WHERE t.id = 1 AND t.step = 3;
SELECT note FROM walk WHERE ctid = (SELECT currtid2('walk', tid) FROM tids WHERE id = 1 AND step = 3);
SAVEPOINT s;
UPDATE walk SET key = key + 1 WHERE id = 1;
SELECT currtid2('walk', tid) = w.ctid AS found FROM tids JOIN walk w USING (id) WHERE id = 1 AND step = 3;
ROLLBACK TO s;
SELECT w.note FROM tids t JOIN walk w ON w.ctid = currtid2('walk', t.tid) WHERE t.id = 1 AND t.step = 3;
SELECT note FROM walk WHERE ctid = (SELECT currtid2('walk', tid) FROM tids WHERE id = 1 AND step = 3);
ROLLBACK;
SELECT currtid2('walk', tid) = tid FROM tids WHERE id = 1 AND step = 3;

-- Deleted, also after a move: what was asked for, as on heap.
UPDATE walk SET key = -key WHERE id = 2;
DELETE FROM walk WHERE id = 2;
SELECT step, currtid2('walk', tid) = tid AS same FROM tids WHERE id = 2 AND step = 3;
INSERT INTO walk_heap VALUES (2, 2, 'two');
CREATE TABLE heap_tid USING heap AS SELECT ctid AS tid FROM walk_heap;
UPDATE walk_heap SET key = -key;
DELETE FROM walk_heap;
SELECT currtid2('walk_heap', tid) = tid AS same FROM heap_tid;

-- A TID that the table never gave out.
SELECT currtid2('walk', '(0,0)');
SELECT currtid2('walk', '(268435455,1)');
DROP PROCEDURE remember;
DROP FUNCTION latest;
DROP TABLE walk, walk_heap, tids, heap_tid;
