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

CREATE FUNCTION omendb.alex_handler(internal) RETURNS index_am_handler
AS 'MODULE_PATHNAME', 'omendb_alex_handler'
LANGUAGE C STRICT;
COMMENT ON FUNCTION omendb.alex_handler(internal) IS 'index access method handler of alex';

CREATE ACCESS METHOD alex TYPE INDEX HANDLER omendb.alex_handler;
COMMENT ON ACCESS METHOD alex IS 'learned index (ALEX) for omendb tables';

-- Operator families and classes are btree's, of the same names, for the orders that have
-- memcomparable bytes (src/pg/index_codec.cpp): what btree can do with an operator, alex can. The
-- classes are found without a schema, as btree's are: pg_index names btree's class for a unique
-- index (am/index_hooks.h), and its definition, made from that, has to find alex's.
DO $$
DECLARE
  btree constant oid = (SELECT oid FROM pg_am WHERE amname = 'btree');
  family record;
  class record;
  pair record;
  operators text;
BEGIN
  FOR family IN
    SELECT oid, opfname FROM pg_opfamily
    WHERE opfmethod = btree AND opfnamespace = 'pg_catalog'::regnamespace AND opfname IN (
      'integer_ops', 'oid_ops', 'xid8_ops', 'pg_lsn_ops', 'money_ops', 'float_ops', 'numeric_ops',
      'bool_ops', 'char_ops', 'datetime_ops', 'time_ops', 'timetz_ops', 'interval_ops', 'uuid_ops',
      'macaddr_ops', 'macaddr8_ops', 'network_ops', 'bytea_ops', 'text_ops', 'bpchar_ops',
      'text_pattern_ops', 'bpchar_pattern_ops')
    ORDER BY opfname
  LOOP
    EXECUTE format('CREATE OPERATOR FAMILY omendb.%I USING alex', family.opfname);

    -- The operators of one type belong to its first class; varchar_ops and its like have none.
    FOR class IN
      SELECT opcname, opcdefault, opcintype,
        format_type(opcintype, NULL) AS type,
        row_number() OVER (PARTITION BY opcintype ORDER BY opcdefault DESC, opcname) = 1 AS first
      FROM pg_opclass WHERE opcfamily = family.oid
      ORDER BY first DESC, opcname
    LOOP
      SELECT string_agg(
          format('OPERATOR %s %s.%s', amopstrategy, oprnamespace::regnamespace, oprname),
          ', ' ORDER BY amopstrategy)
        || format(', FUNCTION 1 %s', (SELECT amproc::regprocedure FROM pg_amproc
             WHERE amprocfamily = family.oid AND amproclefttype = class.opcintype
               AND amprocrighttype = class.opcintype AND amprocnum = 1))
      INTO operators
      FROM pg_amop JOIN pg_operator ON pg_operator.oid = amopopr
      WHERE amopfamily = family.oid AND amoplefttype = class.opcintype
        AND amoprighttype = class.opcintype;
      EXECUTE format('CREATE OPERATOR CLASS pg_catalog.%I %s FOR TYPE %s USING alex FAMILY omendb.%I AS %s',
        class.opcname, CASE WHEN class.opcdefault THEN 'DEFAULT' END, class.type, family.opfname,
        CASE WHEN class.first THEN operators ELSE 'STORAGE ' || class.type END);
    END LOOP;

    -- Operators between two types.
    FOR pair IN
      SELECT format_type(amoplefttype, NULL) AS lefttype,
        format_type(amoprighttype, NULL) AS righttype, amoplefttype, amoprighttype,
        string_agg(format('OPERATOR %s %s.%s (%s, %s)', amopstrategy,
            oprnamespace::regnamespace, oprname, format_type(amoplefttype, NULL),
            format_type(amoprighttype, NULL)), ', ' ORDER BY amopstrategy) AS operators
      FROM pg_amop JOIN pg_operator ON pg_operator.oid = amopopr
      WHERE amopfamily = family.oid AND amoplefttype <> amoprighttype
      GROUP BY amoplefttype, amoprighttype
      ORDER BY 1, 2
    LOOP
      EXECUTE format('ALTER OPERATOR FAMILY omendb.%I USING alex ADD %s, FUNCTION 1 (%s, %s) %s',
        family.opfname, pair.operators, pair.lefttype, pair.righttype,
        (SELECT amproc::regprocedure FROM pg_amproc
         WHERE amprocfamily = family.oid AND amproclefttype = pair.amoplefttype
           AND amprocrighttype = pair.amoprighttype AND amprocnum = 1));
    END LOOP;
  END LOOP;
END
$$;

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
  'bytes that the store holds of a table or an alex index, as of the last flush';

CREATE FUNCTION omendb.check_index(index regclass) RETURNS bigint
AS 'MODULE_PATHNAME', 'omendb_check_index'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION omendb.check_index(regclass) IS
  'compares an index of the access method alex with its table in both directions, raises what is wrong, returns its number of entries';
REVOKE ALL ON FUNCTION omendb.check_index(regclass) FROM PUBLIC;

CREATE FUNCTION omendb.index_stat(
  index regclass,
  OUT buffered_entries bigint, OUT buffer_bytes bigint, OUT buffer_levels bigint,
  OUT buffer_model_nodes bigint, OUT buffer_leaves bigint, OUT buffer_plain_leaves bigint,
  OUT buffer_search_error double precision,
  OUT stored_entries bigint, OUT leaves bigint, OUT known_leaves bigint,
  OUT leaf_fill double precision, OUT directory_levels bigint, OUT directory_model_nodes bigint,
  OUT directory_search_error double precision, OUT directory_bytes bigint, OUT filter_bytes bigint,
  OUT memory_per_entry double precision, OUT operands_per_leaf double precision,
  OUT most_operands bigint, OUT store_bytes_per_entry double precision)
AS 'MODULE_PATHNAME', 'omendb_index_stat'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION omendb.index_stat(regclass) IS
  'what an index of the access method alex consists of in the write buffer, in the leaf directory (NULL: nothing of it is there) and in the store; entries of the store are counted with their tombstones, errors are in slots, sizes in bytes';
