-- Every type comes back as it went in: fresh, flushed, compacted; NULL in every place.
SET default_table_access_method = omendb;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(5) NOT NULL DEFAULT 'dflt';

CREATE TABLE every_type (
  id int PRIMARY KEY,
  c_bool bool, c_char "char", c_int2 int2, c_int4 int4, c_int8 int8, c_oid oid, c_xid xid, c_cid cid,
  c_float4 float4, c_float8 float8, c_numeric numeric, c_numeric2 numeric(12,3), c_money money,
  c_date date, c_time time, c_timetz timetz, c_ts timestamp, c_tstz timestamptz, c_interval interval,
  c_text text, c_varchar varchar(20), c_bpchar char(7), c_name name, c_bytea bytea,
  c_bit bit(11), c_varbit bit varying, c_uuid uuid, c_inet inet, c_cidr cidr, c_mac macaddr,
  c_mac8 macaddr8, c_point point, c_line line, c_lseg lseg, c_box box, c_path path,
  c_polygon polygon, c_circle circle, c_json json, c_jsonb jsonb, c_tsv tsvector,
  c_tsq tsquery, c_int4range int4range, c_numrange numrange, c_tstzrange tstzrange,
  c_multi int4multirange, c_ints int[], c_texts text[], c_grid int[][], c_mood mood, c_pair pair,
  c_pairs pair[], c_positive positive, c_short varchar(5), c_regclass regclass, c_tid tid,
  c_lsn pg_lsn, c_oidvector oidvector, c_record_text text, c_xid8 xid8, c_jsonpath jsonpath,
  c_int2vector int2vector, c_snapshot pg_snapshot, c_txid_snapshot txid_snapshot, c_acl aclitem,
  c_acls aclitem[], c_int8range int8range, c_tsrange tsrange, c_daterange daterange,
  c_multi8 int8multirange, c_multinum nummultirange, c_multits tsmultirange,
  c_multitstz tstzmultirange, c_multidate datemultirange, c_ranges int8range[], c_lsns pg_lsn[],
  c_bools bool[], c_regtype regtype, c_regproc regprocedure, c_refcursor refcursor);
INSERT INTO every_type VALUES (
  1, true, 'x', -32768, -2147483648, -9223372036854775808, 4294967295, '4294967295', '7',
  1.5e-38, '-Infinity', 'NaN', 123456789.125, 12.34,
  '4713-01-01 BC', '24:00', '12:34:56.789012+05:30', 'infinity', '2024-02-29 23:59:59.999999+00',
  '-1 year 2 mons -3 days 04:05:06.789',
  'text with ''quotes'' and ünïcödé', '', 'pad', 'a_name', '\x00ff00',
  B'10110011101', B'1', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1/64', '10.0.0.0/8',
  '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1,-2)', '{1,2,3}', '[(0,0),(1,1)]',
  '(3,4),(1,2)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,2),3>', '{"a": [1, null]}',
  '{"b": {"c": [1.50, "x", null, true]}, "a": 1}', 'the:1A quick:2 fox:3B',
  'quick & !(fox | dog)', '[1,10)', '(,5.5]', '[2020-01-01,2021-01-01)', '{[1,3),[5,7)}',
  '[0:2]={1,NULL,3}', '{"a b",NULL,""}', '{{1,2},{3,4}}', 'happy', '(1,"x,y")',
  '{"(1,a)","(,)",NULL}', 5, 'short', 'pg_class', '(5,6)', '16/B374D848', '1 2 3', 'r', '18446744073709551615', '$.a[*] ? (@ > 1.5 && @.b like_regex "^x")',
  '-32768 0 32767', '10:20:10,14,15', '1:1:', 'pg_monitor=arwdDxt/pg_read_all_data', '{=r/pg_monitor,pg_monitor=a*/pg_read_all_data}',
  '[-9223372036854775808,9223372036854775807)', '[2020-01-01 00:00:00.000001,infinity)', '[2020-02-28,2020-03-01)',
  '{[1,5),[9223372036854775800,)}', '{(,-1.5],[2.50,2.50]}', '{[2020-01-01,2020-01-02),[2021-01-01,)}',
  '{[2020-01-01 00:00:00+00,2020-01-01 12:00:00+00]}', '{[2020-01-01,2020-02-01),[2020-03-01,2020-04-01)}',
  '{"[1,2)",NULL,empty}', '{0/0,FFFFFFFF/FFFFFFFF}', '{t,NULL,f}', 'timestamp with time zone', 'lower(text)', 'c');
INSERT INTO every_type (id) VALUES (2);
INSERT INTO every_type SELECT (jsonb_populate_record(NULL::every_type, to_jsonb(e) || '{"id": 3}')).*
  FROM every_type e WHERE id = 1;
UPDATE every_type SET c_bool = false, c_int8 = 9223372036854775807, c_numeric = repeat('9', 200)::numeric,
  c_interval = '178000000 years', c_bytea = decode(repeat('00', 100), 'hex'), c_ints = '{}',
  c_multi = '{}', c_int4range = 'empty', c_jsonb = 'null', c_xid8 = '0',
  c_int2vector = '', c_multi8 = '{}', c_tsrange = 'empty', c_jsonpath = 'strict $', c_acls = '{}', c_name = repeat('n', 63) WHERE id = 3;
CREATE TABLE heap_types USING heap AS TABLE every_type;
CREATE FUNCTION differences() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM (SELECT e::text FROM every_type e EXCEPT ALL SELECT h::text FROM heap_types h
    UNION ALL (SELECT h::text FROM heap_types h EXCEPT ALL SELECT e::text FROM every_type e)) d $$;
SELECT differences();
\x
SELECT * FROM every_type ORDER BY id;
\x
SELECT omendb.flush();
SELECT differences();
SELECT omendb.compact();
SELECT differences();

-- Each column alone is set and cleared again.
DO $$
DECLARE c record;
BEGIN
  FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = 'every_type'::regclass AND attnum > 1
           ORDER BY attnum LOOP
    EXECUTE format('UPDATE every_type SET %1$I = (SELECT %1$I FROM heap_types WHERE id = 1) WHERE id = 2',
                   c.attname);
    EXECUTE format('UPDATE heap_types SET %1$I = (SELECT %1$I FROM heap_types WHERE id = 1) WHERE id = 2',
                   c.attname);
    EXECUTE format('UPDATE every_type SET %1$I = NULL WHERE id = 1', c.attname);
    IF differences() <> 2 THEN RAISE NOTICE '%: %', c.attname, differences(); END IF;
    EXECUTE format('UPDATE every_type SET %1$I = (SELECT %1$I FROM heap_types WHERE id = 1) WHERE id = 1',
                   c.attname);
    IF differences() <> 0 THEN RAISE NOTICE '%: %', c.attname, differences(); END IF;
  END LOOP;
END $$;
SELECT differences();
SELECT omendb.flush();
SELECT differences();

-- Blocks full of rows, so that every column gets an encoding: constant, few values, ranges, NULLs.
CREATE TABLE encoded (
  id int, same int, few text, rising bigint, wild bigint, tiny int2, flag bool, maybe int,
  only_null text, ratio float8, day date, at timestamptz, amount numeric, label varchar, code char(3),
  key uuid, list int[], doc jsonb, raw bytea, ip inet, big int8, letter "char", n name, span interval,
  p pair, m mood, r int4range);
INSERT INTO encoded SELECT g, 42, (ARRAY['red', 'green', 'blue'])[g % 3 + 1], 1700000000000 + g * 10,
  hashint8(g)::int8 * 4294967296 + hashint8(-g), (g % 5 - 2)::int2, g % 2 = 0,
  CASE WHEN g % 7 = 0 THEN g END, NULL, g / 3.0::float8, date '2020-01-01' + g % 400,
  timestamptz '2020-01-01 00:00:00+00' + g * interval '1 minute', (g * 1.1)::numeric,
  repeat(chr(97 + g % 26), g % 40), (g % 1000)::text, md5(g::text)::uuid,
  CASE g % 4 WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE ARRAY[g, NULL, g * 2] END,
  jsonb_build_object('k', g, 'nested', jsonb_build_array(g % 3, NULL)), decode(md5(g::text), 'hex'),
  ('10.' || g % 256 || '.0.1')::inet, CASE WHEN g % 100 = 0 THEN -9223372036854775808 ELSE 9223372036854775807 - g END,
  chr(65 + g % 26)::"char", 'name_' || g % 50, g * interval '1 hour', ROW(g, 'p' || g)::pair,
  (enum_range(NULL::mood))[g % 3 + 1], int4range(g, g + 5)
  FROM generate_series(1, 2000) g;
CREATE TABLE heap_encoded USING heap AS TABLE encoded;
CREATE FUNCTION encoded_differences() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM (SELECT e::text FROM encoded e EXCEPT ALL SELECT h::text FROM heap_encoded h
    UNION ALL (SELECT h::text FROM heap_encoded h EXCEPT ALL SELECT e::text FROM encoded e)) d $$;
SELECT encoded_differences();
SELECT omendb.flush();
SELECT encoded_differences();
UPDATE encoded SET few = NULL, maybe = coalesce(maybe, 0) + 1, doc = doc || '{"u": 1}', list = list || 1
  WHERE id % 5 = 0;
UPDATE heap_encoded SET few = NULL, maybe = coalesce(maybe, 0) + 1, doc = doc || '{"u": 1}', list = list || 1
  WHERE id % 5 = 0;
DELETE FROM encoded WHERE id % 11 = 0;
DELETE FROM heap_encoded WHERE id % 11 = 0;
SELECT encoded_differences();
SELECT omendb.flush();
SELECT encoded_differences();
SELECT omendb.compact();
SELECT encoded_differences();
SELECT count(*), sum(same), sum(rising), count(maybe), count(only_null), min(day), max(at),
  sum(amount), sum(length(label)) FROM encoded;
SELECT few, count(*) FROM encoded GROUP BY few ORDER BY few;

-- XML, where the server was built with it: the same answer where it was not.
DO $$
BEGIN
  PERFORM '<a/>'::xml;
EXCEPTION WHEN feature_not_supported THEN
  CREATE DOMAIN pg_temp.xml AS text;
  SET search_path = pg_temp, pg_catalog, public;
END $$;
CREATE TABLE documents (id int, x xml, list xml[]) USING omendb;
INSERT INTO documents SELECT g, ('<a n="' || g || '">' || repeat('<b>ü</b>', g * 20) || '</a>')::xml,
  ARRAY[('<c>' || g || '</c>')::xml, NULL] FROM generate_series(1, 300) g;
INSERT INTO documents VALUES (301, NULL, NULL), (302, '<d/>', '{}');
SELECT omendb.flush();
SELECT count(*), sum(length(x::text)), md5(string_agg(x::text, ',' ORDER BY id)), md5(string_agg(list::text, ',' ORDER BY id))
  FROM documents;
UPDATE documents SET x = '<e/>' WHERE id % 2 = 0;
SELECT count(*), sum(length(x::text)), (array_agg(list::text ORDER BY id))[1] FROM documents;
DROP TABLE documents;
RESET search_path;

-- Values compressed by either method, in line and in the TOAST table, in one table and one block; a
-- server without lz4 gives the same answers with pglz twice.
CREATE TABLE pressed (id int, p text COMPRESSION pglz, l text, out_p text COMPRESSION pglz, out_l text);
CREATE FUNCTION use_lz4() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') THEN
    ALTER TABLE pressed ALTER l SET COMPRESSION lz4, ALTER out_l SET COMPRESSION lz4;
  ELSE
    ALTER TABLE pressed ALTER l SET COMPRESSION pglz, ALTER out_l SET COMPRESSION pglz;
  END IF;
END $$;
SELECT use_lz4();
CREATE FUNCTION noise(seed int, n int) RETURNS text LANGUAGE sql AS
  $$ SELECT string_agg(md5(seed || ' ' || g), '') FROM generate_series(1, n) g $$;
INSERT INTO pressed SELECT g, repeat('p' || g, 1500), repeat('l' || g, 1500), noise(g, 200) || repeat('p', 3000),
  noise(-g, 200) || repeat('l', 3000) FROM generate_series(1, 100) g;
CREATE FUNCTION pressed_as(c text) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN c = 'lz4' AND NOT (SELECT 'lz4' = ANY (enumvals) FROM pg_settings
    WHERE name = 'default_toast_compression') THEN 'pglz' ELSE c END $$;
CREATE FUNCTION pressed_state() RETURNS TABLE (n bigint, p bool, l bool, in_line bool, sum text) LANGUAGE sql AS $$
  SELECT count(*), bool_and(pg_column_compression(p) = 'pglz'), bool_and(pg_column_compression(l) = pressed_as('lz4')),
    bool_and(pg_column_size(p) < 200 AND pg_column_size(l) < 200),
    md5(string_agg(md5(p) || md5(l) || md5(out_p) || md5(out_l), '' ORDER BY id)) FROM pressed $$;
SELECT * FROM pressed_state();
SELECT bool_and(pg_column_compression(out_p) = 'pglz'), bool_and(pg_column_compression(out_l) = pressed_as('lz4')) FROM pressed;
SELECT omendb.flush();
SELECT * FROM pressed_state();
-- A change of the method is for new values; old ones stay as they are, also when their row is updated.
ALTER TABLE pressed ALTER l SET COMPRESSION pglz, ALTER p SET COMPRESSION default;
UPDATE pressed SET id = id;
SELECT * FROM pressed_state();
UPDATE pressed SET l = l || '.' WHERE id <= 10;
SELECT pg_column_compression(l), count(*) FROM pressed WHERE id <= 10 GROUP BY 1;
SELECT bool_and(pg_column_compression(l) = pressed_as('lz4')) FROM pressed WHERE id > 10;
SELECT use_lz4();
CREATE TABLE plain_pressed USING heap AS SELECT id, p || '' AS p, l || '' AS l, out_p || '' AS out_p, out_l || '' AS out_l
  FROM pressed;
TRUNCATE pressed;
INSERT INTO pressed SELECT id, p || '', l || '', out_p || '', out_l || '' FROM plain_pressed;
SELECT omendb.compact('pressed');
SELECT n, p, l, in_line FROM pressed_state();
SELECT count(*) FROM pressed WHERE p = repeat('p' || id, 1500) AND out_p = noise(id, 200) || repeat('p', 3000)
  AND l = repeat('l' || id, 1500) || CASE WHEN id <= 10 THEN '.' ELSE '' END AND out_l = noise(-id, 200) || repeat('l', 3000);
DROP TABLE pressed, plain_pressed;
DROP FUNCTION use_lz4, noise, pressed_as, pressed_state;

-- Domains and their defaults, casts in both directions.
CREATE TABLE domains (p positive, s short);
INSERT INTO domains VALUES (1, 'a');
INSERT INTO domains (p) VALUES (2);
INSERT INTO domains VALUES (0, 'a');
INSERT INTO domains VALUES (1, NULL);
INSERT INTO domains VALUES (1, 'too long');
SELECT * FROM domains ORDER BY p;
ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 2);
DROP TABLE every_type, heap_types, encoded, heap_encoded, domains;
DROP FUNCTION differences(), encoded_differences();
DROP TYPE mood, pair;
DROP DOMAIN positive, short;
