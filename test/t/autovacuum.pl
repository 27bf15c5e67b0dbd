# Autovacuum comes to an omendb table when it has changed enough, analyses it, marks its blocks as visible to
# all and takes the dead rows' entries out of its indexes.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('autovacuum', conf => <<'CONF');
autovacuum_naptime = 1
log_autovacuum_min_duration = 0
autovacuum_vacuum_threshold = 100
autovacuum_analyze_threshold = 100
autovacuum_vacuum_insert_threshold = 1000
autovacuum_vacuum_scale_factor = 0
autovacuum_vacuum_insert_scale_factor = 0
autovacuum_analyze_scale_factor = 0
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE changing (id int PRIMARY KEY, v int) USING omendb;
CREATE TABLE growing (id int PRIMARY KEY, v int) USING omendb;
CREATE TABLE quiet (id int PRIMARY KEY) USING omendb;
INSERT INTO quiet SELECT generate_series(1, 50);
SQL

sub becomes
{
	my ($query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name);
	return;
}

$node->safe_psql('postgres', 'INSERT INTO growing SELECT g, g FROM generate_series(1, 5000) g');
becomes("SELECT last_autovacuum IS NOT NULL AND last_autoanalyze IS NOT NULL AND n_ins_since_vacuum = 0 AND n_live_tup = 5000
  FROM pg_stat_user_tables WHERE relname = 'growing'", 'a table that grew is vacuumed and analysed');
is($node->safe_psql('postgres', "SELECT reltuples, relallvisible = relpages AND relpages > 0 FROM pg_class WHERE relname = 'growing'"),
	'5000|t', '... all of its blocks are visible to all');

$node->safe_psql('postgres', 'INSERT INTO changing SELECT g, g FROM generate_series(1, 2000) g');
becomes("SELECT n_mod_since_analyze = 0 AND n_live_tup = 2000 FROM pg_stat_user_tables WHERE relname = 'changing'", 'a new table is analysed');
$node->safe_psql('postgres', 'DELETE FROM changing WHERE id % 2 = 0');
becomes("SELECT n_dead_tup = 0 AND n_live_tup = 1000 AND vacuum_count = 0 FROM pg_stat_user_tables WHERE relname = 'changing'",
	'a table with deleted rows is vacuumed');
is($node->safe_psql('postgres', "SELECT omendb.check_index('changing_pkey')"), 1000, '... and its index has no entry of a dead row any more');
is($node->safe_psql('postgres', "SELECT autovacuum_count + autoanalyze_count FROM pg_stat_user_tables WHERE relname = 'quiet'"), 0,
	'a table that did not change enough is left alone');

# Of a large table that was only filled autovacuum marks the blocks that are full of rows, and does not walk
# through the indexes for the few others: of those it is not known what was rolled back.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE filled (id int PRIMARY KEY) USING omendb WITH (autovacuum_enabled = off);
INSERT INTO filled SELECT generate_series(1, 300000);
BEGIN;
INSERT INTO filled SELECT generate_series(1000001, 1000010);
ROLLBACK;
SELECT pg_stat_force_next_flush();
SELECT pg_stat_reset_single_table_counters('filled'::regclass);
INSERT INTO filled SELECT generate_series(300001, 302000);
ALTER TABLE filled SET (autovacuum_enabled = on);
SQL
becomes("SELECT last_autovacuum IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'filled'", 'a large table is vacuumed');
my $entries = "SELECT omendb.check_index('filled_pkey')";
my $by_index = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(id) FROM filled WHERE id > 0';
is($node->safe_psql('postgres', $entries), 302010, '... without a walk through its index');
is($node->safe_psql('postgres', "SELECT relpages - relallvisible BETWEEN 1 AND 10 FROM pg_class WHERE relname = 'filled'"), 't',
	'... and all but a few of its blocks are visible to all');
is($node->safe_psql('postgres', $by_index), '302000|45602151000', '... an index-only scan gives all rows and no other');
$node->safe_psql('postgres', 'VACUUM filled');
is($node->safe_psql('postgres', $entries), 302000, 'VACUUM walks through it');
is($node->safe_psql('postgres', "SELECT relpages = relallvisible FROM pg_class WHERE relname = 'filled'"), 't',
	'... and marks all blocks');
is($node->safe_psql('postgres', $by_index), '302000|45602151000', '... an index-only scan gives the same');

# What VACUUM reads counts for its delay: row blocks, and entries of indexes.
for my $options ('DISABLE_PAGE_SKIPPING, INDEX_CLEANUP OFF', 'INDEX_CLEANUP ON')
{
	my $session = session($node);
	$session->do("SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1; SET application_name = 'delayed'");
	$session->send("VACUUM ($options) filled");
	becomes("SELECT wait_event = 'VacuumDelay' FROM pg_stat_activity WHERE application_name = 'delayed'", "VACUUM ($options) is delayed");
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'delayed'");
	$session->answer(60);
	is($session->error, '57014', '... and can be cancelled meanwhile');
	$session->quit;
}

# To prevent wraparound it comes in any case; that of a frozen table is young again.
$node->safe_psql('postgres', 'ALTER TABLE quiet SET (autovacuum_enabled = off, autovacuum_freeze_max_age = 100000, autovacuum_freeze_min_age = 0)');
$node->safe_psql('postgres', 'CREATE PROCEDURE spend(n int) LANGUAGE plpgsql AS $$
  BEGIN FOR i IN 1..n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$');
$node->safe_psql('postgres', "CALL spend(101000)");
becomes("SELECT age(relfrozenxid) < 50000 FROM pg_class WHERE relname = 'quiet'", 'autovacuum freezes a table that is old, even where it is off');
my $log = slurp_file($node->logfile);
like($log, qr/automatic vacuum of table "postgres\.public\.growing": found 5000 rows in \d+ of \d+ row blocks/, 'the log tells of a vacuum');
my @prevented = $log =~ /(automatic vacuum to prevent wraparound of table "postgres\.public\.quiet")/g;
is(scalar @prevented, 1, '... and of the one that had to be, once');
$node->stop;
done_testing();
