-- A scan that turns around meets every row again, also where the blocks come from the store.
CREATE TABLE turning (id int, body text) USING omendb;
INSERT INTO turning SELECT i, 'row ' || i FROM generate_series(1, 3000) i;
SELECT omendb.flush();
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM turning;
MOVE FORWARD 2500 IN c;
FETCH 1 FROM c;
MOVE BACKWARD 2000 IN c;
FETCH 1 FROM c;
MOVE FORWARD 1998 IN c;
FETCH 3 FROM c;
MOVE FORWARD ALL IN c;
FETCH BACKWARD 2 FROM c;
MOVE BACKWARD ALL IN c;
FETCH 2 FROM c;
MOVE FORWARD ALL IN c;
COMMIT;
DROP TABLE turning;
