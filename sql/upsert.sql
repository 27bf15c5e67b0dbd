-- INSERT ... ON CONFLICT in all its forms.
SET default_table_access_method = omendb;

CREATE TABLE stock (sku text PRIMARY KEY, amount int NOT NULL, note text);
INSERT INTO stock VALUES ('a', 1, 'one'), ('b', 2, 'two');

-- A row that was there already and one that was not: xmax tells them apart.
INSERT INTO stock VALUES ('b', 20), ('c', 30)
  ON CONFLICT (sku) DO UPDATE SET amount = stock.amount + excluded.amount
  RETURNING sku, amount, xmax = 0 AS inserted, xmin = pg_current_xact_id()::xid AS own;
INSERT INTO stock VALUES ('a', 0), ('d', 4) ON CONFLICT DO NOTHING RETURNING sku;
INSERT INTO stock VALUES ('a', 100) ON CONFLICT (sku) DO UPDATE SET amount = 0
  WHERE stock.amount > 1000 RETURNING sku;
SELECT * FROM stock ORDER BY sku;

-- The key itself changes.
INSERT INTO stock VALUES ('a', 5) ON CONFLICT (sku) DO UPDATE SET sku = 'z' RETURNING *;
SELECT * FROM stock ORDER BY sku;

-- No command may come to a row twice: inserted by it, or updated by it.
INSERT INTO stock VALUES ('e', 1), ('e', 2) ON CONFLICT (sku) DO UPDATE SET amount = 0;
INSERT INTO stock VALUES ('b', 1), ('b', 2) ON CONFLICT (sku) DO UPDATE SET amount = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO stock VALUES ('b', 1), ('b', 2) ON CONFLICT (sku) DO UPDATE SET amount = 0;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO stock VALUES ('e', 1), ('e', 2) ON CONFLICT (sku) DO UPDATE SET amount = 0;
ROLLBACK;
INSERT INTO stock VALUES ('e', 1), ('e', 2) ON CONFLICT DO NOTHING;
SELECT * FROM stock ORDER BY sku;

-- Over and over in one transaction, with a subtransaction that fails.
BEGIN;
INSERT INTO stock VALUES ('b', 1) ON CONFLICT (sku) DO UPDATE SET amount = stock.amount + 1;
INSERT INTO stock VALUES ('b', 1) ON CONFLICT (sku) DO UPDATE SET amount = stock.amount + 1;
SAVEPOINT s;
INSERT INTO stock VALUES ('b', 1) ON CONFLICT (sku) DO UPDATE SET amount = stock.amount + 1
  RETURNING amount;
INSERT INTO stock VALUES ('f', 1) ON CONFLICT (sku) DO UPDATE SET amount = 99 RETURNING amount;
ROLLBACK TO s;
INSERT INTO stock VALUES ('f', 2) ON CONFLICT (sku) DO UPDATE SET amount = 99 RETURNING amount;
INSERT INTO stock VALUES ('f', 2) ON CONFLICT (sku) DO UPDATE SET amount = 99 RETURNING amount;
COMMIT;
SELECT * FROM stock ORDER BY sku;

-- The same with rows that lie in the store.
SELECT omendb.flush();
INSERT INTO stock SELECT 'k' || g, g FROM generate_series(1, 600) g;
SELECT omendb.flush();
INSERT INTO stock SELECT 'k' || g, 1 FROM generate_series(301, 900) g
  ON CONFLICT (sku) DO UPDATE SET amount = stock.amount + 1000;
SELECT count(*), sum(amount) FROM stock WHERE sku LIKE 'k%';
SELECT omendb.flush();
SELECT count(*), sum(amount) FROM stock WHERE sku LIKE 'k%';

-- Triggers see the row that is in the way.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '% %: % -> %', TG_WHEN, TG_OP, CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE OLD END, NEW;
  RETURN NEW;
END $$;
CREATE TABLE told (id int PRIMARY KEY, n int, tag text UNIQUE);
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON told FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON told FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO told VALUES (1, 1, 'x');
INSERT INTO told VALUES (1, 2, 'y') ON CONFLICT (id) DO UPDATE SET n = excluded.n, tag = excluded.tag;
INSERT INTO told VALUES (2, 2, 'y') ON CONFLICT (tag) DO UPDATE SET n = told.n + 10;
INSERT INTO told VALUES (3, 2, 'y') ON CONFLICT (id) DO UPDATE SET n = 0;
INSERT INTO told VALUES (3, 2, 'y') ON CONFLICT ON CONSTRAINT told_tag_key DO NOTHING;
SELECT * FROM told ORDER BY id;

-- Partial and expression indexes as arbiters, an exclusion constraint, a partitioned table.
CREATE TABLE arbiters (a int, b text, during int4range, EXCLUDE USING gist (during WITH &&));
CREATE UNIQUE INDEX ON arbiters (lower(b)) WHERE a > 0;
INSERT INTO arbiters VALUES (1, 'One', '[1,5)');
INSERT INTO arbiters VALUES (1, 'ONE', '[5,6)') ON CONFLICT (lower(b)) WHERE a > 0 DO UPDATE SET a = 7
  RETURNING *;
INSERT INTO arbiters VALUES (2, 'two', '[4,9)') ON CONFLICT DO NOTHING RETURNING *;
INSERT INTO arbiters VALUES (-1, 'ONE', '[20,21)') ON CONFLICT (lower(b)) WHERE a > 0 DO NOTHING;
SELECT * FROM arbiters ORDER BY a;
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20);
INSERT INTO parts SELECT g, 'new' FROM generate_series(5, 15) g;
INSERT INTO parts SELECT g, 'again' FROM generate_series(0, 19) g
  ON CONFLICT (id) DO UPDATE SET v = parts.v || excluded.v;
SELECT v, count(*), min(id), max(id) FROM parts GROUP BY v ORDER BY v;

DROP TABLE stock, told, arbiters, parts;
DROP FUNCTION tell();

-- A row that the own transaction updated in place is in the way at every isolation level.
CREATE TABLE seen (id int PRIMARY KEY, n int);
INSERT INTO seen VALUES (1, 0), (2, 0);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO seen VALUES (3, 0);
UPDATE seen SET n = n + 1;
UPDATE seen SET n = n + 1;
INSERT INTO seen VALUES (1, 5), (3, 5), (4, 5) ON CONFLICT DO NOTHING RETURNING id;
INSERT INTO seen VALUES (1, 5), (3, 5), (4, 5) ON CONFLICT (id) DO UPDATE SET n = seen.n + 10 RETURNING *;
INSERT INTO seen VALUES (1, 5), (1, 5) ON CONFLICT (id) DO UPDATE SET n = 0;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO seen VALUES (3, 0);
UPDATE seen SET n = n + 1;
INSERT INTO seen VALUES (3, 5), (3, 5) ON CONFLICT (id) DO UPDATE SET n = 0;
ROLLBACK;
DROP TABLE seen;

-- xmax tells an update from an insert, also where the same transaction wrote the row before.
CREATE TABLE upsert_twice (id int PRIMARY KEY, v int) USING omendb;
BEGIN;
INSERT INTO upsert_twice VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET v = upsert_twice.v + 1
  RETURNING v, xmax = 0 AS inserted;
INSERT INTO upsert_twice VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET v = upsert_twice.v + 1
  RETURNING v, xmax = 0 AS inserted;
UPDATE upsert_twice SET v = 10 RETURNING v, xmax = 0 AS not_locked;
INSERT INTO upsert_twice VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET v = upsert_twice.v + 1
  RETURNING v, xmax = 0 AS inserted;
COMMIT;
DELETE FROM upsert_twice RETURNING xmax <> 0 AS deleted_by_somebody;
DROP TABLE upsert_twice;

-- A NULL in a unique index is in nobody's way.
CREATE TABLE with_nulls (k int PRIMARY KEY, u int UNIQUE) USING omendb;
SET statement_timeout = '20s';
INSERT INTO with_nulls VALUES (1, NULL), (2, NULL) ON CONFLICT DO NOTHING;
INSERT INTO with_nulls VALUES (1, NULL), (3, NULL), (4, 4) ON CONFLICT DO NOTHING;
INSERT INTO with_nulls VALUES (5, NULL), (4, NULL) ON CONFLICT (k) DO UPDATE SET u = with_nulls.u + 1;
RESET statement_timeout;
SELECT * FROM with_nulls ORDER BY k;
DROP TABLE with_nulls;

-- ON CONFLICT finds a key with NULLs that are not distinct.
SET statement_timeout = '60s';
CREATE TABLE nothing_twice (a int, b text, n int, UNIQUE NULLS NOT DISTINCT (a, b));
CREATE TABLE nothing_twice_heap (a int, b text, n int) USING heap;
CREATE UNIQUE INDEX ON nothing_twice_heap USING alex (a, b) NULLS NOT DISTINCT;
INSERT INTO nothing_twice VALUES (1, NULL, 1), (NULL, NULL, 1);
INSERT INTO nothing_twice_heap TABLE nothing_twice;
INSERT INTO nothing_twice VALUES (1, NULL, 2), (2, NULL, 2) ON CONFLICT DO NOTHING;
INSERT INTO nothing_twice VALUES (NULL, NULL, 2) ON CONFLICT (a, b) DO UPDATE SET n = excluded.n;
INSERT INTO nothing_twice_heap VALUES (1, NULL, 2), (2, NULL, 2) ON CONFLICT DO NOTHING;
INSERT INTO nothing_twice_heap VALUES (NULL, NULL, 2) ON CONFLICT (a, b) DO UPDATE SET n = excluded.n;
SELECT * FROM nothing_twice ORDER BY a, b;
SELECT * FROM nothing_twice_heap ORDER BY a, b;
DROP TABLE nothing_twice, nothing_twice_heap;
RESET statement_timeout;
