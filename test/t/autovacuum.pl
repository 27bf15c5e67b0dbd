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
