-- What omendb refuses, it refuses by name, and nothing changes by it.
SET default_table_access_method = omendb;
CREATE TABLE t (id int PRIMARY KEY, body text);
INSERT INTO t SELECT g, 'b' || g FROM generate_series(1, 10) g;

-- A row that no segment of the write buffer could take, with TOAST kept from helping.
CREATE TABLE wide (id int, body text);
ALTER TABLE wide ALTER COLUMN body SET STORAGE PLAIN;
DO $$
DECLARE
  message text;
  detail text;
  hint text;
  state text;
  segment bigint := pg_size_bytes(current_setting('omendb.write_buffer_size')) / 4;
BEGIN
  INSERT INTO wide VALUES (0, repeat('x', (segment / 2 * 0.9)::int));
  BEGIN
    INSERT INTO wide VALUES (1, repeat('x', (segment / 2)::int));
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
      state = RETURNED_SQLSTATE;
    RAISE NOTICE '%: %', state, regexp_replace(message, '\d+', 'N', 'g');
    RAISE NOTICE '%', detail;
    RAISE NOTICE '%', hint;
  END;
END $$;
SELECT id FROM wide;
DROP TABLE wide;

-- Columns that a table cannot have, and options that the access method does not know.
CREATE TABLE no (id int) WITH (fillfactor = 1);
CREATE TABLE no (id int) WITH (unknown_option = 1);
SELECT count(*), sum(length(body)) FROM t;
DROP TABLE t;
