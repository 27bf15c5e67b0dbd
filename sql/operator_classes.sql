-- Operator classes of alex have the names of btree's.
SET default_table_access_method = omendb;

CREATE TABLE words (id int4 NOT NULL, word text NOT NULL, other name);
CREATE INDEX words_id ON words USING alex (id int4_ops DESC);
CREATE INDEX words_pattern ON words USING alex (word text_pattern_ops, other name_ops);
CREATE INDEX words_options ON words USING alex (id int4_ops(foo = 1));
CREATE UNIQUE INDEX words_unique ON words USING alex (word text_pattern_ops, id);
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'words'::regclass ORDER BY 1;
INSERT INTO words VALUES (1, 'foo'), (2, 'fool'), (3, 'bar');
INSERT INTO words VALUES (1, 'foo');
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT word FROM words WHERE word LIKE 'fo%';
SELECT word FROM words WHERE word LIKE 'fo%' ORDER BY 1;
RESET enable_seqscan;

-- What a definition of them names is found again.
INSERT INTO words VALUES (1, 'foo') ON CONFLICT (word text_pattern_ops, id) DO UPDATE SET other = 'again';
INSERT INTO words VALUES (1, 'foo') ON CONFLICT (word, id) DO NOTHING;
CREATE TABLE copied (LIKE words INCLUDING INDEXES);
ALTER TABLE words ALTER word TYPE varchar(20);
SELECT pg_get_indexdef(indexrelid) FROM pg_index
  WHERE indrelid IN ('words'::regclass, 'copied'::regclass) ORDER BY 1;
SELECT * FROM words ORDER BY id;
SELECT omendb.check_index('words_unique');
DROP TABLE words, copied;
