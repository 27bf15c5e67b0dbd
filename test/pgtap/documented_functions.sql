-- What the extension offers is there, documented, and guarded.
BEGIN;
SELECT plan(9);
SELECT has_extension('omendb');
SELECT has_schema('omendb');
SELECT is((SELECT amtype FROM pg_am WHERE amname = 'omendb'), 't'::"char", 'a table access method');
SELECT is_empty($$
  SELECT p.oid::regprocedure FROM pg_proc p
  WHERE p.pronamespace = 'omendb'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
$$, 'every function has a comment');
SELECT isnt((SELECT obj_description(oid, 'pg_am') FROM pg_am WHERE amname = 'omendb'), NULL,
            'and so has the access method');
SELECT is((SELECT count(*) FROM omendb.buffer_stat()), 4::bigint, 'four segments');
SELECT is((SELECT state FROM omendb.store_stat()), 'open', 'the store is open');
CREATE TABLE sized (id int, body text) USING omendb;
SELECT is(omendb.relation_size('sized'), 0::bigint, 'an empty table takes no space');
SELECT is_empty($$
  SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  WHERE p.pronamespace = 'omendb'::regnamespace AND p.proname IN ('flush', 'compact')
    AND a.grantee = 0 AND a.privilege_type = 'EXECUTE'
$$, 'flush and compact are not for everyone');
SELECT * FROM finish();
ROLLBACK;
