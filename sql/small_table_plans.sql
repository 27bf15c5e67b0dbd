-- A small table that nobody has analyzed is planned as one that will grow, as with heap: by its
-- index. Under SERIALIZABLE a sequential scan would lock the whole table.
SET default_table_access_method = omendb;
CREATE TABLE tinybox (id text PRIMARY KEY, balance int);
INSERT INTO tinybox VALUES ('X', 0), ('Y', 0);
EXPLAIN (COSTS OFF) SELECT * FROM tinybox WHERE id = 'X';
EXPLAIN (COSTS OFF) SELECT * FROM tinybox ORDER BY id;
ANALYZE tinybox;
EXPLAIN (COSTS OFF) SELECT * FROM tinybox WHERE id = 'X';
DROP TABLE tinybox;
