-- Commands that demand a btree take an alex index.
SET default_table_access_method = omendb;

-- An index becomes a constraint.
CREATE TABLE words (id int, word text, other text);
INSERT INTO words VALUES (1, 'foo'), (2, 'fool'), (3, 'bar');
CREATE INDEX words_id ON words USING alex (id);
CREATE UNIQUE INDEX words_pattern ON words USING alex (word text_pattern_ops);
CREATE UNIQUE INDEX words_key ON words USING alex (id) INCLUDE (other);
CREATE UNIQUE INDEX words_word ON words USING alex (word, id);
CREATE UNIQUE INDEX words_descending ON words USING alex (id DESC);
CREATE UNIQUE INDEX words_dropped ON words USING alex (id, word);
ALTER TABLE words ADD UNIQUE USING INDEX words_descending;
ALTER TABLE words ADD UNIQUE USING INDEX words_pattern;
ALTER TABLE words ADD UNIQUE USING INDEX words_id;
ALTER TABLE words ADD UNIQUE USING INDEX no_such_index;
ALTER TABLE words ADD UNIQUE USING INDEX words_dropped;
-- Not by a statement that may make the index again.
ALTER TABLE words ADD COLUMN made float DEFAULT random(), ADD UNIQUE USING INDEX words_word;
ALTER TABLE words DROP CONSTRAINT words_dropped,
  ADD CONSTRAINT words_pkey PRIMARY KEY USING INDEX words_key,
  ADD CONSTRAINT words_word_key UNIQUE USING INDEX words_word DEFERRABLE;
CREATE TABLE uses (id int REFERENCES words, word text, FOREIGN KEY (id) REFERENCES words (id));
INSERT INTO uses VALUES (1, 'foo');
INSERT INTO uses VALUES (4, 'foo');
SELECT conname, amname, condeferrable, pg_get_constraintdef(pg_constraint.oid)
  FROM pg_constraint JOIN pg_class ON pg_class.oid = conindid JOIN pg_am ON pg_am.oid = relam
  WHERE conrelid = 'words'::regclass ORDER BY 1;
SELECT omendb.check_index('words_pkey');
DROP TABLE uses, words;
-- On a heap table, too; in the transaction that made the index, rolled back, and again.
CREATE TABLE plain (id int) USING heap;
CREATE UNIQUE INDEX plain_key ON plain USING alex (id);
BEGIN;
CREATE UNIQUE INDEX plain_second ON plain USING alex (id);
ALTER TABLE plain ADD UNIQUE USING INDEX plain_second;
ALTER TABLE plain ADD PRIMARY KEY USING INDEX plain_key;
ROLLBACK;
ALTER TABLE plain ADD PRIMARY KEY USING INDEX plain_key;
INSERT INTO plain VALUES (1);
INSERT INTO plain VALUES (1);
SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE relname = 'plain_key';
DROP TABLE plain;

-- A materialized view is refreshed beside its readers.
CREATE TABLE counted (kind text, amount int);
INSERT INTO counted SELECT 'k' || g % 3, g FROM generate_series(1, 9) g;
CREATE MATERIALIZED VIEW sums AS SELECT kind, sum(amount) AS amount FROM counted GROUP BY kind;
CREATE UNIQUE INDEX sums_kind ON sums USING alex (kind text_pattern_ops) WHERE amount > 0;
REFRESH MATERIALIZED VIEW CONCURRENTLY sums;
DROP INDEX sums_kind;
CREATE UNIQUE INDEX sums_kind ON sums USING alex (kind text_pattern_ops);
INSERT INTO counted VALUES ('k0', 100), ('k3', 1);
DELETE FROM counted WHERE kind = 'k1';
REFRESH MATERIALIZED VIEW CONCURRENTLY sums;
SELECT * FROM sums ORDER BY kind;
SELECT omendb.check_index('sums_kind');
BEGIN;
CREATE MATERIALIZED VIEW largest AS SELECT kind, max(amount) AS amount FROM counted GROUP BY kind;
CREATE UNIQUE INDEX ON largest USING alex (kind);
UPDATE counted SET amount = 200 WHERE kind = 'k3';
REFRESH MATERIALIZED VIEW CONCURRENTLY largest;
SELECT * FROM largest ORDER BY kind;
COMMIT;
DROP TABLE counted CASCADE;
