-- Queries through alex indexes give what a sequential scan gives: every operator, direction and kind
-- of scan, on an omendb table and on a heap, before and after the entries are in the store.
SET client_min_messages = warning;

-- Runs a query with the index and without, in order. Fails if no alex index is in the plan.
CREATE FUNCTION same(statement text, scan text DEFAULT 'Index') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  line text;
  used boolean := false;
  lines text := 'q::text, E''\n''';
  with_index text;
  without_index text;
BEGIN
  SET LOCAL enable_seqscan = off;
  SET LOCAL enable_sort = off;
  SET LOCAL enable_bitmapscan = off;
  SET LOCAL enable_indexonlyscan = off;
  IF scan = 'Bitmap' THEN SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = on; END IF;
  IF scan = 'Index Only' THEN SET LOCAL enable_indexonlyscan = on; END IF;
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
    used := used OR line LIKE '%' || CASE scan WHEN 'Bitmap' THEN 'Bitmap Index' ELSE scan END || ' Scan%';
  END LOOP;
  IF NOT used THEN
    RETURN 'no ' || scan || ' scan: ' || statement;
  END IF;
  -- Equal numbers of another scale are in no order among themselves.
  IF scan = 'Index Only' THEN lines := lines || ' ORDER BY q::text'; END IF;
  EXECUTE 'SELECT string_agg(' || lines || ') FROM (' || statement || ') q' INTO with_index;
  SET LOCAL enable_seqscan = on;
  SET LOCAL enable_sort = on;
  SET LOCAL enable_bitmapscan = off;
  SET LOCAL enable_indexscan = off;
  SET LOCAL enable_indexonlyscan = off;
  EXECUTE 'SELECT string_agg(' || lines || ') FROM (' || statement || ') q' INTO without_index;
  SET LOCAL enable_indexscan = on;
  IF with_index IS DISTINCT FROM without_index THEN
    RETURN statement || E' differs:\n' || coalesce(with_index, 'NULL') || E'\n--\n' || coalesce(without_index, 'NULL');
  END IF;
  RETURN NULL;
END $$;

CREATE TABLE facts (id int, a int2, b int4, c int8, f4 float4, f8 float8, n numeric, t text, v varchar(20),
  p char(6), bt bytea, u uuid, d date, ts timestamp, tz timestamptz, tm time, bo boolean, o oid);
INSERT INTO facts SELECT i, (i * 7 % 50) - 25, CASE WHEN i % 11 <> 0 THEN i % 37 END, i::bigint * 1000003 % 5000 - 2500,
  CASE WHEN i % 19 = 0 THEN 'NaN' WHEN i % 23 = 0 THEN '-Infinity' ELSE (i % 100) / 8.0 - 3 END,
  CASE WHEN i % 29 = 0 THEN 'Infinity' WHEN i % 31 = 0 THEN NULL ELSE (i % 200) / 16.0 END,
  CASE WHEN i % 17 = 0 THEN NULL ELSE round((i % 97) / 10.0, i % 4) - 3 END,
  CASE WHEN i % 13 = 0 THEN NULL ELSE repeat(chr(97 + i % 5), i % 4) || i % 50 END, 'key ' || i % 64, (i % 70)::text,
  decode(lpad(to_hex(i % 300), 4, '0'), 'hex'), md5((i % 150)::text)::uuid, date '2026-01-01' + i % 60,
  timestamp '2026-01-01' + (i % 90) * interval '7 hours', timestamptz '2026-01-01 UTC' + (i % 80) * interval '5 hours',
  time '00:00' + (i % 48) * interval '30 minutes', i % 3 = 0, (i % 90)::oid
FROM generate_series(1, 600) i;
CREATE TABLE conditions (number serial, condition text);
INSERT INTO conditions (condition)
SELECT format('%s %s %s', col, op, val)
FROM (VALUES ('a', '3::int2'), ('a', '-7::int4'), ('a', '100000'), ('a', '-99999999999::int8'), ('b', '5::int8'), ('b', '12::int2'),
  ('c', '77'), ('c', '-2500::int8'), ('f4', '2.1::float8'), ('f4', '2.125::float4'), ('f4', '''NaN''::float8'), ('f8', '1.5::float4'),
  ('f8', '''Infinity'''), ('n', '1.50'), ('n', '-2.9'), ('t', '''bb7'''), ('t', '''''::text'), ('v', '''key 33'''), ('p', '''33  '''),
  ('bt', '''\x0017'''), ('u', '''37693cfc-7480-49e4-5d87-b8c7d8b9aacd'''), ('d', 'date ''2026-01-20'''),
  ('d', 'timestamp ''2026-01-20 12:00'''), ('d', 'timestamptz ''2026-01-20 00:00'''), ('ts', 'date ''2026-01-09'''),
  ('ts', 'timestamp ''2026-01-03 07:00'''), ('ts', 'timestamptz ''2026-01-03 07:00'''), ('tz', 'date ''2026-01-06'''),
  ('tz', 'timestamptz ''2026-01-05 11:00 UTC'''), ('tm', 'time ''11:30'''), ('bo', 'true'), ('o', '40::oid')) AS x(col, val),
  (VALUES ('<'), ('<='), ('='), ('>='), ('>')) AS o(op);
INSERT INTO conditions (condition) VALUES ('b IS NULL'), ('b IS NOT NULL'), ('t IS NULL'), ('b IN (1, 9, 9, NULL, 36, 400)'),
  ('b = ANY (''{}''::int[])'), ('b > 3 AND b < 9'), ('b > 3 AND b > 7 AND b <= 20'), ('b > 9 AND b < 3'), ('b = 3 AND b = 4'),
  ('t BETWEEN ''a'' AND ''c'''), ('n BETWEEN 0 AND 1'), ('b >= 5 AND b IN (4, 5, 6)'), ('t IN (''a1'', ''bb7'', ''zz'')'),
  ('f8 IS NOT NULL AND f8 > 3'), ('a = ANY (ARRAY[1, 2, 3]::int8[])');

CREATE FUNCTION compare_all(t text, scan text DEFAULT 'Index') RETURNS SETOF text LANGUAGE sql AS $$
  SELECT answer FROM (
    SELECT same(format('SELECT %s FROM %s WHERE %s ORDER BY %s%s%s',
                       CASE WHEN scan = 'Index Only' THEN col ELSE col || ', id' END, t, condition, col, direction,
                       CASE WHEN scan = 'Index Only' THEN '' ELSE ', id' || direction END),
                scan) AS answer
    FROM (SELECT condition, split_part(condition, ' ', 1) AS col, number FROM conditions) c, (VALUES (''), (' DESC')) d(direction)
    ORDER BY number) q
  WHERE answer IS NOT NULL $$;

CREATE FUNCTION make_indexes(t text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  col text;
BEGIN
  FOREACH col IN ARRAY ARRAY['a', 'b', 'c', 'f4', 'f8', 'n', 't', 'v', 'p', 'bt', 'u', 'd', 'ts', 'tz', 'tm', 'bo', 'o'] LOOP
    EXECUTE format('CREATE INDEX ON %s USING alex (%I, id)', t, col);
  END LOOP;
END $$;

CREATE TABLE kept (LIKE facts) USING omendb;
SELECT make_indexes('kept');
INSERT INTO kept SELECT * FROM facts;
CREATE TABLE built (LIKE facts) USING omendb;
INSERT INTO built SELECT * FROM facts ORDER BY md5(id::text);
SELECT make_indexes('built');
SELECT make_indexes('facts');
SELECT compare_all('kept');
SELECT compare_all('built');
SELECT compare_all('facts');
SELECT omendb.flush();
SELECT compare_all('kept');
SELECT compare_all('built');
INSERT INTO kept SELECT * FROM facts WHERE id % 3 = 0;
DELETE FROM kept WHERE id % 5 = 0;
UPDATE built SET b = b + 1, t = t || 'x', n = -n WHERE id % 4 = 1;
SELECT compare_all('kept');
SELECT compare_all('built');
VACUUM kept, built;
SELECT compare_all('kept');
SELECT omendb.flush();
SELECT omendb.compact();
SELECT compare_all('kept');
SELECT compare_all('kept', 'Index Only');
SELECT compare_all('built');
SELECT compare_all('built', 'Index Only');
SELECT count(omendb.check_index(indexrelid)) FROM pg_index WHERE indrelid IN ('kept'::regclass, 'built'::regclass, 'facts'::regclass);

-- Several columns, directions, nulls at either end, included columns, expressions and predicates.
CREATE TABLE wide (id int, a int, b text, c numeric, extra text) USING omendb;
CREATE INDEX wide_1 ON wide USING alex (a DESC, b, c DESC NULLS LAST) INCLUDE (extra);
CREATE INDEX wide_2 ON wide USING alex (b NULLS FIRST, a);
CREATE INDEX wide_3 ON wide USING alex (lower(b), (a + 1)) WHERE c > 0;
INSERT INTO wide SELECT i, CASE WHEN i % 10 > 0 THEN i % 7 END, CASE WHEN i % 9 > 0 THEN chr(65 + i % 4) || i % 3 END,
  CASE WHEN i % 8 > 0 THEN (i % 6) - 2.5 END, 'extra ' || i FROM generate_series(1, 400) i;
SELECT same(q) FROM (VALUES
  ('SELECT * FROM wide WHERE a = 3 ORDER BY a DESC, b, c DESC NULLS LAST, id'),
  ('SELECT a, b, c FROM wide ORDER BY a DESC, b, c DESC NULLS LAST'),
  ('SELECT a, b, c FROM wide ORDER BY a ASC NULLS LAST, b DESC, c ASC NULLS FIRST'),
  ('SELECT a, b, c FROM wide WHERE a IN (2, 5, NULL) AND b > ''B'' ORDER BY a DESC, b, c DESC NULLS LAST'),
  ('SELECT a, b, c FROM wide WHERE a IN (2, 5) AND c BETWEEN -1 AND 1 ORDER BY a DESC, b, c DESC NULLS LAST'),
  ('SELECT a, b, c FROM wide WHERE (a, b) = (4, ''A1'') ORDER BY a DESC, b, c DESC NULLS LAST'),
  ('SELECT b, a FROM wide WHERE (b, a) > (''B1'', 3) ORDER BY b NULLS FIRST, a'),
  ('SELECT b, a FROM wide WHERE (b, a) <= (''C'', 3) ORDER BY b DESC NULLS LAST, a DESC'),
  ('SELECT b, a FROM wide WHERE b IS NULL AND a > 2 ORDER BY b NULLS FIRST, a'),
  ('SELECT b, a FROM wide WHERE b IS NULL AND a IS NULL ORDER BY b NULLS FIRST, a'),
  ('SELECT b, a FROM wide WHERE b = ANY (ARRAY[''A0'', ''D2'', ''C1'']) AND a = ANY (ARRAY[1, 6]) ORDER BY b NULLS FIRST, a'),
  ('SELECT lower(b), a + 1 FROM wide WHERE c > 0 AND lower(b) >= ''b'' ORDER BY lower(b), a + 1')) v(q)
WHERE same(q) IS NOT NULL;
VACUUM wide;
SELECT same('SELECT a, b, c, extra FROM wide WHERE a = 3 ORDER BY a DESC, b, c DESC NULLS LAST, extra', 'Index Only');
SELECT same('SELECT sum(id) FROM wide WHERE a = 3 OR b = ''A1''', 'Bitmap');
-- Through a cursor, both ways, across batches.
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_sort = off;
DECLARE c SCROLL CURSOR FOR SELECT a, b FROM wide WHERE a IN (1, 2, 6) ORDER BY a DESC, b;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FORWARD 40 FROM c \g /dev/null
FETCH BACKWARD 39 FROM c \g /dev/null
FETCH 2 FROM c;
FETCH LAST FROM c;
FETCH NEXT FROM c;
FETCH PRIOR FROM c;
FETCH FIRST FROM c;
COMMIT;
-- A merge join marks and restores.
SET enable_hashjoin = off;
SET enable_nestloop = off;
SET enable_sort = off;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM wide x JOIN wide y ON x.a = y.a AND x.b = y.b;
SELECT count(*), sum(x.id), sum(y.id) FROM wide x JOIN wide y ON x.a = y.a AND x.b = y.b;
RESET enable_nestloop;
RESET enable_hashjoin;
RESET enable_seqscan;
RESET enable_sort;
SELECT count(*), sum(x.id), sum(y.id) FROM wide x JOIN wide y ON x.a = y.a AND x.b = y.b;
SELECT count(omendb.check_index(i)) FROM (VALUES ('wide_1'::regclass), ('wide_2'), ('wide_3')) v(i);

-- What it cannot hold says so.
CREATE INDEX ON wide USING alex ((ARRAY[a]));
CREATE INDEX ON wide USING alex ((point(a, a)));
INSERT INTO wide (b) VALUES ((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i));
SELECT omendb.check_index('wide');
CREATE INDEX wide_btree ON wide (id);
SELECT omendb.check_index('wide_btree');
DROP TABLE facts, kept, built, wide, conditions;
DROP FUNCTION same, compare_all, make_indexes;
