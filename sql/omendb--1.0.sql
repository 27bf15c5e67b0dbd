-- The omendb extension. Loaded by CREATE EXTENSION omendb.
\echo Use "CREATE EXTENSION omendb" to load this file. \quit

-- The control file names the schema: CREATE EXTENSION has made it.
COMMENT ON SCHEMA omendb IS 'functions of the omendb storage engine';
GRANT USAGE ON SCHEMA omendb TO PUBLIC;

CREATE FUNCTION omendb.tableam_handler(internal) RETURNS table_am_handler
AS 'MODULE_PATHNAME', 'omendb_tableam_handler'
LANGUAGE C STRICT;
COMMENT ON FUNCTION omendb.tableam_handler(internal) IS 'table access method handler of omendb';

CREATE ACCESS METHOD omendb TYPE TABLE HANDLER omendb.tableam_handler;
COMMENT ON ACCESS METHOD omendb IS
  'row blocks in RocksDB behind a shared write buffer, durable by PostgreSQL''s WAL';

CREATE FUNCTION omendb.flush() RETURNS void
AS 'MODULE_PATHNAME', 'omendb_flush'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION omendb.flush() IS
  'brings everything in the write buffer into the store and waits for it';
REVOKE ALL ON FUNCTION omendb.flush() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION omendb.flush() TO pg_checkpoint;

CREATE FUNCTION omendb.compact(relation regclass DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'omendb_compact'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;
COMMENT ON FUNCTION omendb.compact(regclass) IS
  'compacts what the store has of a relation, or the whole store, and waits for it';
REVOKE ALL ON FUNCTION omendb.compact(regclass) FROM PUBLIC;

CREATE FUNCTION omendb.buffer_stat(
  OUT segment integer, OUT state text, OUT sequence bigint, OUT capacity bigint, OUT used bigint,
  OUT reserved bigint, OUT versions bigint, OUT images bigint, OUT blocks bigint,
  OUT first_lsn pg_lsn, OUT last_lsn pg_lsn)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'omendb_buffer_stat'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION omendb.buffer_stat() IS 'the segments of the write buffer';

CREATE FUNCTION omendb.store_stat(
  OUT state text, OUT failure text, OUT generation bigint, OUT durable_lsn pg_lsn,
  OUT level0_files bigint, OUT pending_compaction_bytes bigint, OUT compacting boolean,
  OUT obsolete_files bigint, OUT obsolete_bytes bigint, OUT flushes bigint,
  OUT flushed_blocks bigint, OUT flushed_bytes bigint, OUT writer_stalls bigint,
  OUT writer_stall_ms bigint, OUT writer_delay_ms bigint, OUT checkpoints bigint,
  OUT swept_storages bigint, OUT judged_xids bigint, OUT wanted_xids bigint, OUT horizon bigint,
  OUT levels text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'omendb_store_stat'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION omendb.store_stat() IS
  'the state of the store and what its workers have done since the server started';

CREATE FUNCTION omendb.relation_size(relation regclass) RETURNS bigint
AS 'MODULE_PATHNAME', 'omendb_relation_size'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION omendb.relation_size(regclass) IS
  'bytes that the store holds of a relation, as of the last flush';
