-- What the server counts and estimates of an omendb table is what it says of a heap table with the same past.
CREATE TABLE counted_heap (id int PRIMARY KEY, kind int, v int, note text) USING heap;
CREATE TABLE counted_omendb (LIKE counted_heap INCLUDING ALL) USING omendb;
CREATE FUNCTION on_both(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE replace(statement, 'counted', 'counted_heap');
  EXECUTE replace(statement, 'counted', 'counted_omendb');
END $$;
-- The columns that differ between the two, and those named anyway.
CREATE FUNCTION compare_counters() RETURNS TABLE (counter text, heap text, omendb text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_stat_clear_snapshot();
  RETURN QUERY
    SELECT h.key, h.value, o.value
    FROM (SELECT * FROM pg_stat_user_tables t, jsonb_each_text(to_jsonb(t)) WHERE relname = 'counted_heap') h
    JOIN (SELECT * FROM pg_stat_user_tables t, jsonb_each_text(to_jsonb(t)) WHERE relname = 'counted_omendb') o USING (key)
    WHERE h.key <> 'relname' AND h.key <> 'relid' AND h.key <> 'schemaname' AND h.key NOT LIKE 'last%' AND h.key <> 'n_tup_hot_upd'
      AND (h.value IS DISTINCT FROM o.value OR h.value <> '0')
    ORDER BY h.key COLLATE "C";
END $$;

SELECT on_both('ALTER TABLE counted SET (autovacuum_enabled = off)');
SELECT on_both('INSERT INTO counted SELECT g, g % 10, 0, repeat(''n'', g % 100) FROM generate_series(1, 5000) g');
SELECT pg_stat_force_next_flush();
SELECT * FROM compare_counters();

SELECT on_both('UPDATE counted SET v = v + 1 WHERE id <= 100');
SELECT on_both('UPDATE counted SET id = id + 10000 WHERE id <= 10');
SELECT on_both('DELETE FROM counted WHERE id BETWEEN 4001 AND 4500');
SELECT on_both('DO $x$ BEGIN INSERT INTO counted VALUES (0), (-1); UPDATE counted SET v = 9 WHERE id = 200; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN END $x$');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT on_both('SELECT count(*) FROM counted WHERE id = 500');
SELECT on_both('SELECT sum(v) FROM counted WHERE id BETWEEN 600 AND 699');
RESET enable_seqscan;
SET enable_indexscan = off;
SELECT on_both('SELECT count(*) FROM counted WHERE kind = 3');
RESET enable_indexscan;
RESET enable_bitmapscan;
SELECT pg_stat_force_next_flush();
SELECT * FROM compare_counters();

-- ANALYZE and VACUUM put right what was only counted. An update in place leaves nothing dead behind.
SELECT on_both('ANALYZE counted');
SELECT pg_stat_force_next_flush();
SELECT * FROM compare_counters() WHERE counter IN ('n_live_tup', 'n_dead_tup', 'n_mod_since_analyze', 'analyze_count', 'n_ins_since_vacuum');
VACUUM counted_heap;
VACUUM counted_omendb;
SELECT pg_stat_force_next_flush();
SELECT * FROM compare_counters() WHERE counter LIKE 'n_%' OR counter = 'vacuum_count';
SELECT relname, reltuples, relpages > 0 AS pages, relallvisible = relpages AS all_visible FROM pg_class
  WHERE relname IN ('counted_heap', 'counted_omendb') ORDER BY 1;
SELECT o.attname, o.null_frac = h.null_frac AS nulls, o.n_distinct = h.n_distinct AS distinct, o.avg_width = h.avg_width AS width,
    abs(o.correlation - h.correlation) < 0.2 AS correlation
  FROM pg_stats o JOIN pg_stats h USING (attname) WHERE o.tablename = 'counted_omendb' AND h.tablename = 'counted_heap' ORDER BY 1;
TRUNCATE counted_heap, counted_omendb;
SELECT pg_stat_force_next_flush();
SELECT * FROM compare_counters() WHERE counter IN ('n_live_tup', 'n_dead_tup', 'n_tup_del');

-- Blocks: what a statement reads is counted once, as read or hit, and is no more than there is.
SELECT on_both('INSERT INTO counted SELECT g, g % 10, 0, repeat(''n'', g % 100) FROM generate_series(1, 5000) g');
SELECT omendb.flush();
VACUUM counted_omendb;
CREATE FUNCTION blocks_of(query text, OUT hit bigint, OUT read bigint, OUT dirtied bigint, OUT written bigint) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT json) ' || query INTO plan;
  hit := plan->0->'Plan'->>'Shared Hit Blocks';
  read := plan->0->'Plan'->>'Shared Read Blocks';
  dirtied := plan->0->'Plan'->>'Shared Dirtied Blocks';
  written := plan->0->'Plan'->>'Shared Written Blocks';
END $$;
SELECT hit + read BETWEEN 1 AND (SELECT relpages FROM pg_class WHERE relname = 'counted_omendb') AS scan, dirtied, written
  FROM blocks_of('SELECT sum(v) FROM counted_omendb');
SELECT hit + read BETWEEN 2 AND 6 AS one_row FROM blocks_of('SELECT * FROM counted_omendb WHERE id = 77');
SELECT pg_stat_force_next_flush();
SELECT pg_stat_clear_snapshot();
SELECT heap_blks_read + heap_blks_hit > 0 AS blocks, idx_blks_read + idx_blks_hit > 0 AS index_blocks,
    heap_blks_read + heap_blks_hit < 100000 AS no_nonsense
  FROM pg_statio_user_tables WHERE relname = 'counted_omendb';

-- What a plan expects is what it gets.
CREATE FUNCTION rows_expected(query text, OUT good boolean) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) ' || query INTO plan;
  plan := plan->0->'Plan';
  good := (plan->>'Plan Rows')::float8 BETWEEN (plan->>'Actual Rows')::float8 / 2 AND (plan->>'Actual Rows')::float8 * 2 + 1;
END $$;
ANALYZE counted_omendb;
SELECT query, good FROM unnest(ARRAY['SELECT * FROM counted_omendb', 'SELECT * FROM counted_omendb WHERE kind = 3',
  'SELECT * FROM counted_omendb WHERE id < 400', 'SELECT * FROM counted_omendb WHERE id = 7',
  'SELECT kind FROM counted_omendb GROUP BY kind']) query, rows_expected(query);
-- Also before the first ANALYZE.
CREATE TABLE unanalyzed (id int, note text) USING omendb WITH (autovacuum_enabled = off);
INSERT INTO unanalyzed SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g;
SELECT relpages = 0 AS never_analyzed FROM pg_class WHERE relname = 'unanalyzed';
SELECT good FROM rows_expected('SELECT * FROM unanalyzed');
DROP TABLE counted_heap, counted_omendb, unanalyzed;
DROP FUNCTION on_both, compare_counters, blocks_of, rows_expected;
