# A streaming standby has the same rows as its primary, through crashes, checkpoints and restarts of
# both, after the replay of every kind of record, and as the new primary.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
max_prepared_transactions = 5
max_connections = 40
hot_standby_feedback = off
wal_keep_size = 1GB
CONF
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE before_backup (id int PRIMARY KEY, body text) USING omendb;
INSERT INTO before_backup SELECT g, 'before' FROM generate_series(1, 3000) g;
SQL
$primary->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'start', has_streaming => 1);
$standby->start;

my @tables = qw(before_backup);
sub compare
{
	my ($name) = @_;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	for my $table (@tables)
	{
		same_on($primary, $standby, "SELECT count(*), sum(hashtextextended(t::text, 0)), "
			  . "sum(hashtextextended(ctid::text || t::text, 0)) FROM $table t", "$name: $table");
	}
	return;
}

# A restartpoint of the standby that is one: it moves to the primary's last checkpoint, with rows in the
# buffer until then.
sub restartpoint
{
	my ($name) = @_;
	my $redo = 'SELECT redo_lsn FROM pg_control_checkpoint()';
	my $before = $standby->safe_psql('postgres', $redo);
	$primary->safe_psql('postgres', 'CHECKPOINT');
	$primary->safe_psql('postgres', "INSERT INTO before_backup SELECT g, 'buffered' FROM generate_series(1000001, 1000100) g");
	$primary->safe_psql('postgres', "DELETE FROM before_backup WHERE id > 1000000");
	compare("$name: before the restartpoint");
	cmp_ok($standby->safe_psql('postgres', 'SELECT sum(versions + images) FROM omendb.buffer_stat()'), '>', 0,
		"$name: the standby's buffer holds rows");
	$standby->safe_psql('postgres', 'CHECKPOINT');
	is($standby->safe_psql('postgres', "SELECT redo_lsn > '$before' FROM pg_control_checkpoint()"), 't',
		"$name: the restartpoint moved");
	return;
}

sub crash_standby { $standby->kill9; start_again($standby); return; }
sub crash_primary { $primary->kill9; start_again($primary); return; }

compare('base backup');

# Every kind of record, each replayed on its own, then again after a crash of the standby.
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, k int, body text) USING omendb;
CREATE INDEX t_k ON t (k);
CREATE TABLE wide (id int, a numeric, b float8, c timestamptz, d text, e int[]) USING omendb;
SQL
push @tables, 't', 'wide';
my @changes = (
	[ 'single inserts', map { "INSERT INTO t VALUES ($_, $_, 'single')" } 1 .. 20 ],
	[ 'many inserts', "INSERT INTO t SELECT g, g, 'many' FROM generate_series(21, 3000) g" ],
	[ 'COPY', "COPY t FROM STDIN;\n" . join('', map { "$_\t$_\tcopied\n" } 10001 .. 12000) . "\\." ],
	[ 'NULLs and types', "INSERT INTO wide SELECT g, g / 7.0, random(), now(), nullif(repeat('x', g % 50), ''), "
		. 'CASE WHEN g % 3 = 0 THEN ARRAY[g, g + 1] END FROM generate_series(1, 1000) g' ],
	[ 'updates in place', "UPDATE t SET body = 'updated' WHERE id % 3 = 0" ],
	[ 'several versions', 'BEGIN', map({ "UPDATE t SET body = 'version $_' WHERE id % 7 = 0" } 1 .. 5), 'COMMIT' ],
	[ 'more versions than aliases', 'BEGIN', map({ "UPDATE t SET body = 'v $_' WHERE id = 5" } 1 .. 40), 'COMMIT' ],
	[ 'moves', 'UPDATE t SET k = -k WHERE id % 5 = 0' ],
	[ 'deletes', 'DELETE FROM t WHERE id % 11 = 0' ],
	[ 'row locks', 'BEGIN', 'SELECT count(*) FROM (SELECT 1 FROM t WHERE id < 100 FOR UPDATE) s',
		'SELECT count(*) FROM (SELECT 1 FROM t WHERE id < 200 FOR KEY SHARE) s', 'COMMIT' ],
	[ 'an abort', 'BEGIN', "UPDATE t SET body = 'never'", 'UPDATE t SET k = 0 WHERE id < 100',
		"INSERT INTO t SELECT g, g, 'never' FROM generate_series(50001, 50500) g", 'ROLLBACK' ],
	[ 'savepoints', 'BEGIN', "INSERT INTO t VALUES (60001, 1, 'kept')", 'SAVEPOINT s', 'DELETE FROM t',
		'ROLLBACK TO s', "INSERT INTO t VALUES (60002, 1, 'kept')", 'COMMIT' ],
	[ 'ON CONFLICT', "INSERT INTO t SELECT g, g, 'conflict' FROM generate_series(1, 200) g "
		. 'ON CONFLICT (id) DO UPDATE SET body = excluded.body, k = t.k + 1' ],
	[ 'a new column', "ALTER TABLE t ADD COLUMN extra int DEFAULT 7; UPDATE t SET extra = 8 WHERE id % 2 = 0" ],
	[ 'a rewrite', 'ALTER TABLE t ALTER k TYPE bigint' ],
	[ 'truncation', 'TRUNCATE before_backup', "INSERT INTO before_backup VALUES (1, 'after')" ],
	[ 'truncation that is rolled back', 'BEGIN', 'TRUNCATE t', "INSERT INTO t VALUES (1)", 'ROLLBACK' ],
	[ 'a dropped table', 'CREATE TABLE gone USING omendb AS SELECT g FROM generate_series(1, 1000) g',
		'DROP TABLE gone' ],
	[ 'a new table in a transaction', 'BEGIN', 'CREATE TABLE made USING omendb AS SELECT g, g::text AS body FROM '
		. 'generate_series(1, 2000) g', 'CREATE INDEX ON made (g)', 'COMMIT' ],
	[ 'a prepared transaction', 'BEGIN', "UPDATE t SET body = 'prepared' WHERE id < 50",
		"INSERT INTO t VALUES (70001, 1, 'prepared')", "PREPARE TRANSACTION 'p'", "COMMIT PREPARED 'p'" ],
	[ 'VACUUM', 'VACUUM t', 'VACUUM FREEZE wide' ]);
for my $change (@changes)
{
	my ($name, @sql) = @$change;
	my $session = session($primary);
	$session->do($_) for @sql;
	push @tables, 'made' if $name =~ /new table/;
	compare($name);
}
crash_standby();
compare('all replayed once more');
for my $index ('t_pkey', 't_k')
{
	same_on($primary, $standby, "SELECT " . check_sql("'$index'::regclass"), "check of $index on the standby");
}
same_on($primary, $standby, 'SET enable_seqscan = off; SELECT count(*), sum(k) FROM t WHERE k > 0', 'an index scan');

# A transaction that is open while things happen: seen by neither before it commits.
my $open = session($primary);
$open->do($_) for 'BEGIN', "UPDATE t SET body = 'open' WHERE id BETWEEN 100 AND 300",
  "INSERT INTO t SELECT g, g, 'open' FROM generate_series(80001, 80300) g";
$primary->safe_psql('postgres', 'SELECT omendb.flush()');
compare('an open transaction');
restartpoint('an open transaction');
crash_standby();
compare('an open transaction and a crash of the standby');
is($standby->safe_psql('postgres', "SELECT count(*) FROM t WHERE body = 'open'"), 0, 'it is not visible there');
$open->do('COMMIT');
compare('committed');
is($standby->safe_psql('postgres', "SELECT count(*) FROM t WHERE body = 'open'"),
	$primary->safe_psql('postgres', "SELECT count(*) FROM t WHERE body = 'open'"), 'it is visible there');

# Crash of the primary, then a restartpoint on the standby at the primary's end-of-recovery checkpoint.
for my $round (1 .. 3)
{
	my $session = session($primary);
	$session->do("INSERT INTO t SELECT 100000 * $round + g, g, 'round $round' FROM generate_series(1, 2000) g");
	$session->do("UPDATE t SET body = 'round $round' WHERE id % 9 = $round");
	$session->quit;
	$primary->safe_psql('postgres', 'CHECKPOINT') if $round == 2;
	crash_primary();
	$primary->safe_psql('postgres', "INSERT INTO t VALUES (100000 * $round + 90000, 1, 'after crash')");
	compare("round $round: primary crashed");
	restartpoint("round $round");
	crash_standby();
	compare("round $round: restartpoint, standby crashed");
	$primary->safe_psql('postgres', "DELETE FROM t WHERE id % 100 = $round");
	compare("round $round: goes on");
	$standby->restart;
	compare("round $round: standby restarted");
	$primary->restart;
	compare("round $round: primary restarted");
}

# The primary's compaction and the standby's know different horizons; a long query sees its snapshot.
my $reader = session($standby);
$reader->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $sums = $reader->do('SELECT count(*), sum(hashtextextended(t::text, 0)) FROM t');
$primary->safe_psql('postgres', "UPDATE t SET body = 'newer'");
$primary->safe_psql('postgres', 'CHECKPOINT');
$primary->safe_psql('postgres', 'SELECT omendb.compact()');
compare('compacted on the primary');
$standby->safe_psql('postgres', 'CHECKPOINT');
is($reader->do('SELECT count(*), sum(hashtextextended(t::text, 0)) FROM t'), $sums,
	'a snapshot on the standby is still good');
$reader->do('COMMIT');
$reader->quit;

my $refused = session($standby);
$refused->query("INSERT INTO t VALUES (-1, 1, 'no')");
is($refused->error, '25006', 'the standby takes no writes');
$refused->quit;

# Promotion with rows that are nowhere but in the standby's buffer, and with an open transaction that
# ends with the old primary.
my $lost = session($primary);
$lost->do($_) for 'BEGIN', "UPDATE t SET body = 'lost' WHERE id < 1000",
  "INSERT INTO t VALUES (-2, 1, 'lost')";
$primary->safe_psql('postgres', "UPDATE t SET body = 'last' WHERE id % 2 = 0 AND id > 1000");
compare('before promotion');
my $before = $primary->safe_psql('postgres', 'SELECT count(*), sum(hashtextextended(t::text, 0)) FROM t');
$primary->kill9;
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT count(*), sum(hashtextextended(t::text, 0)) FROM t'), $before,
	'the new primary has the rows of the old one');
my $session = session($standby);
$session->do("INSERT INTO t SELECT 2000000 + g, g, 'promoted' FROM generate_series(1, 5000) g");
$session->do("UPDATE t SET body = 'promoted' WHERE id < 1000");
$session->do("CREATE TABLE later USING omendb AS SELECT g FROM generate_series(1, 1000) g");
$session->do("COPY t (id, k, body) FROM STDIN;\n" . join('', map { "$_\t$_\tpromoted\n" } 3000001 .. 3001000) . "\\.");
$before = $session->do('SELECT count(*), sum(hashtextextended(t::text, 0)) FROM t');
$session->quit;
is($standby->safe_psql('postgres', "SELECT count(*) FROM t WHERE body = 'promoted' AND id > 2000000"), 6000,
	'it takes writes');
$standby->kill9;
start_again($standby);
is($standby->safe_psql('postgres', 'SELECT count(*), sum(hashtextextended(t::text, 0)) FROM t'), $before,
	'and keeps them after a crash');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM later'), 1000, 'its new table as well');
check_index($standby, 't', 't_pkey', 'id', 'new primary');
check_index($standby, 't', 't_k', 'k', 'new primary');
$standby->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:|signal 11|signal 6/, 'nobody crashed by itself: ' . $_->name)
  for $primary, $standby;
done_testing();
