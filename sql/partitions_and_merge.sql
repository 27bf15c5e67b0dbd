-- Partitions, rows that move between them, MERGE; heap and omendb partitions side by side.
SET default_table_access_method = omendb;
CREATE TABLE sales (id int, region text, amount int, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE sales_n PARTITION OF sales FOR VALUES IN ('n');
CREATE TABLE sales_s PARTITION OF sales FOR VALUES IN ('s') USING heap;
CREATE TABLE sales_rest PARTITION OF sales DEFAULT;
INSERT INTO sales SELECT g, (ARRAY['n', 's', 'w'])[g % 3 + 1], g, NULL FROM generate_series(1, 300) g;
CREATE VIEW spread AS SELECT tableoid::regclass::text AS part, count(*), sum(amount), count(note) AS notes
  FROM sales GROUP BY 1 ORDER BY 1;
SELECT * FROM spread;
UPDATE sales SET region = 's' WHERE region = 'n' AND id < 100;
SELECT * FROM spread;
SELECT omendb.flush();
UPDATE sales SET region = 'n', note = 'moved' WHERE region = 's' AND id % 5 = 0;
WITH u AS (UPDATE sales SET region = 'x', amount = amount + 1 WHERE id IN (1, 2, 3) RETURNING tableoid::regclass, *)
  SELECT * FROM u ORDER BY id;
SELECT * FROM spread;
BEGIN;
UPDATE sales SET region = 's' WHERE region = 'n';
UPDATE sales SET region = 'n' WHERE region = 's';
UPDATE sales SET note = 'there and back' WHERE id < 10;
DELETE FROM sales WHERE id > 290;
SELECT omendb.flush();
SELECT * FROM spread;
ROLLBACK;
SELECT * FROM spread;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '% % on %: % -> %', TG_WHEN, TG_OP, TG_TABLE_NAME, CASE WHEN TG_OP <> 'INSERT' THEN OLD END,
    CASE WHEN TG_OP <> 'DELETE' THEN NEW END;
  RETURN NULL;
END $$;
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON sales FOR EACH ROW EXECUTE FUNCTION tell();
UPDATE sales SET region = 'n', amount = 0 WHERE id = 4;
UPDATE sales SET amount = 1 WHERE id = 4;
UPDATE sales SET region = 's' WHERE id = 4;
DELETE FROM sales WHERE id = 4;
DROP TRIGGER t ON sales;
ALTER TABLE sales DETACH PARTITION sales_n;
SELECT count(*) FROM sales_n;
INSERT INTO sales_n VALUES (1000, 'w', 1, 'does not belong');
ALTER TABLE sales ATTACH PARTITION sales_n FOR VALUES IN ('n');
DELETE FROM sales_n WHERE region = 'w';
ALTER TABLE sales ATTACH PARTITION sales_n FOR VALUES IN ('n');
SELECT * FROM spread;

CREATE TABLE target (id int PRIMARY KEY, v int, note text);
CREATE TABLE source (id int, v int);
INSERT INTO target SELECT g, g FROM generate_series(1, 10) g;
INSERT INTO source SELECT g, g * 100 FROM generate_series(6, 15) g;
MERGE INTO target t USING source s ON t.id = s.id
  WHEN MATCHED AND s.id % 3 = 0 THEN DELETE
  WHEN MATCHED AND s.id = 7 THEN DO NOTHING
  WHEN MATCHED THEN UPDATE SET v = t.v + s.v, note = 'merged'
  WHEN NOT MATCHED AND s.id < 15 THEN INSERT VALUES (s.id, s.v, 'new')
  WHEN NOT MATCHED THEN DO NOTHING;
SELECT * FROM target ORDER BY id;
SELECT omendb.flush();
BEGIN;
MERGE INTO target t USING source s ON t.id = s.id
  WHEN MATCHED THEN UPDATE SET id = t.id + 100, v = 0
  WHEN NOT MATCHED THEN INSERT VALUES (s.id, -1);
MERGE INTO target t USING source s ON t.id = s.id + 100
  WHEN MATCHED THEN UPDATE SET note = coalesce(t.note, '') || '!' WHEN NOT MATCHED THEN DO NOTHING;
SELECT * FROM target ORDER BY id;
ROLLBACK;
INSERT INTO source VALUES (8, 1);
MERGE INTO target t USING source s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v;
MERGE INTO target t USING source s ON t.id = s.id WHEN MATCHED THEN DELETE;
SELECT * FROM target ORDER BY id;
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON target FOR EACH ROW EXECUTE FUNCTION tell();
MERGE INTO target t USING (VALUES (1, 5), (2, 6), (30, 7)) s (id, v) ON t.id = s.id
  WHEN MATCHED AND t.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v
  WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v);
MERGE INTO sales USING (VALUES (10, 'n', 1), (11, 'w', 2), (9999, 's', 3)) s (id, region, amount) ON sales.id = s.id
  WHEN MATCHED THEN UPDATE SET region = s.region, amount = s.amount WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.region, s.amount);
SELECT * FROM spread;
SELECT * FROM sales WHERE id IN (10, 11, 9999) ORDER BY id;
DROP VIEW spread;
DROP TABLE sales, target, source;
DROP FUNCTION tell();
