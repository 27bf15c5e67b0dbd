# Transaction ids run past 2^31 and 2^32: omendb tables say the same as heap tables all along, let
# datfrozenxid advance and clog be truncated, on the server itself and on a standby, also where
# transactions were open when their rows went to the store.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = <<'CONF';
autovacuum = off
autovacuum_freeze_max_age = 2000000000
max_prepared_transactions = 5
hot_standby_feedback = off
wal_keep_size = 1GB
omendb.write_buffer_size = '64MB'
CONF
my $node = new_node('wrap', allows_streaming => 1, conf => $conf);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
UPDATE pg_database SET datallowconn = true WHERE datname = 'template0';
CREATE TABLE h (id int PRIMARY KEY, k int, body text);
CREATE INDEX ON h (k);
CREATE TABLE o (id int PRIMARY KEY, k int, body text) USING omendb;
CREATE INDEX ON o (k);
CREATE TABLE old_rows (id int, body text) USING omendb;
CREATE UNLOGGED TABLE unlogged_rows (id int) USING omendb;
CREATE TABLE never_written (id int) USING omendb;
SQL

sub segment { return sprintf '%04X', $_[0] >> 20; }
sub segment_path { my ($of, $xid) = @_; return $of->data_dir . '/pg_xact/' . segment($xid); }

# The next transaction gets this id.
sub jump
{
	my ($epoch, $xid) = @_;
	# After a crash the server counts from the oldest transaction of before it.
	$node->run_log([ 'vacuumdb', '--all', '--freeze' ]);
	$node->stop;
	my $path = segment_path($node, $xid);
	if (!-e $path)
	{
		open my $file, '>', $path or die "$path: $!";
		print $file "\0" x 262144;
		close $file;
	}
	command_ok([ 'pg_resetwal', '-x', $xid, '-e', $epoch, '-D', $node->data_dir ],
		"jump to $epoch/$xid");
	$node->start;
	return;
}

sub compare
{
	my ($of, $name) = @_;
	my $what = "count(*), sum(hashtextextended(t::text, 0)) FROM";
	is($of->safe_psql('postgres', "SELECT $what o t"), $of->safe_psql('postgres', "SELECT $what h t"),
		"$name: the same rows");
	my $by_index = "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT id, k, body FROM";
	is($of->safe_psql('postgres', "$by_index o WHERE k > -1000000000 ORDER BY k, id"),
		$of->safe_psql('postgres', "$by_index h WHERE k > -1000000000 ORDER BY k, id"),
		"$name: the same rows by index");
	return;
}

sub next_xid
{
	return $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
}

# The same statements on both tables; transactions stay open while their rows go to the store.
my ($round, $old_rows) = (0, 12000);
sub work
{
	my ($name) = @_;
	my $from = ++$round * 1000;
	my $both = sub {
		my ($session, @sql) = @_;
		for my $sql (@sql)
		{
			for my $table ('h', 'o') { (my $one = $sql) =~ s/\bt\b/$table/g; $session->do($one); }
		}
		return;
	};
	my $change = sub {
		my ($session, $at) = @_;
		my $end = $at + 99;
		$both->($session,
			"INSERT INTO t SELECT g, g, 'new' FROM generate_series($at, $end) g",
			"UPDATE t SET body = 'in place' WHERE id BETWEEN $at AND $at + 30",
			"UPDATE t SET k = -k WHERE id BETWEEN $at + 20 AND $at + 40",
			"DELETE FROM t WHERE id BETWEEN $at + 35 AND $at + 45",
			"INSERT INTO t SELECT g, g, 'upsert' FROM generate_series($at + 30, $at + 60) g "
			  . "ON CONFLICT (id) DO UPDATE SET body = excluded.body");
		return;
	};
	my ($quick, $commits, $aborts, $locks, $reads) = map { session($node) } 1 .. 5;
	$change->($quick, $from);
	# After a crash it would be a new storage behind old_rows, and files would span these.
	$node->safe_psql('postgres', "INSERT INTO unlogged_rows VALUES ($round)") if $round == 1;
	$reads->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$reads->do('SELECT count(*) FROM o');
	$_->do('BEGIN') for $commits, $aborts, $locks;
	$change->($commits, $from + 200);
	$commits->do('SAVEPOINT s');
	$change->($commits, $from + 300);
	$commits->do('ROLLBACK TO s');
	$commits->do('SAVEPOINT s');
	$change->($commits, $from + 400);
	$both->($commits, "UPDATE t SET body = 'committed late' WHERE id BETWEEN $from + 70 AND $from + 75");
	$change->($aborts, $from + 500);
	$both->($aborts, "UPDATE t SET body = 'never' WHERE id BETWEEN $from + 80 AND $from + 85",
		"DELETE FROM t WHERE id BETWEEN $from + 86 AND $from + 90");
	$both->($locks, "SELECT count(*) FROM (SELECT 1 FROM t WHERE id BETWEEN $from AND $from + 10 FOR KEY SHARE) s");
	# Enough for files of their own, which no compaction of the others touches. Frozen rows have no
	# cmin but 0.
	$node->safe_psql('postgres', join '; ', 'BEGIN', map({ 'INSERT INTO old_rows SELECT g, '
		  . '(SELECT string_agg(md5(g::text || i::text), NULL) FROM generate_series(1, 40) i) '
		  . "FROM generate_series($_ + 1, $_ + $old_rows / 2) g" } 0, $old_rows / 2), 'COMMIT')
	  if $round == 1;
	$both->($quick, "UPDATE t SET body = 'under a lock' WHERE id BETWEEN $from AND $from + 5");
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	$node->safe_psql('postgres', 'CHECKPOINT');
	$change->($quick, $from + 600);
	$commits->do('COMMIT');
	$aborts->do('ROLLBACK');
	$locks->do('COMMIT');
	$reads->do('COMMIT');
	$change->($quick, $from + 700);
	compare($node, $name);
	return;
}

sub age_of
{
	my ($relation) = @_;
	return $node->safe_psql('postgres', "SELECT age(relfrozenxid) FROM pg_class WHERE relname = '$relation'");
}

my @tables = qw(o old_rows unlogged_rows never_written h);
sub freeze
{
	my ($name) = @_;
	$node->command_ok([ 'vacuumdb', '--all', '--freeze' ], "$name: VACUUM FREEZE of everything");
	cmp_ok(age_of($_), '<', 1000, "$name: relfrozenxid of $_ advanced") for @tables;
	cmp_ok($node->safe_psql('postgres', 'SELECT max(age(datfrozenxid)) FROM pg_database'), '<', 1000,
		"$name: datfrozenxid advanced");
	compare($node, "$name, frozen");
	return;
}

sub crash { $node->kill9; start_again($node); return; }

# They were flushed while a snapshot of before was held, so they kept their transaction id.
sub check_old_rows
{
	my ($of, $name) = @_;
	is($of->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM old_rows'),
		"$old_rows|$old_rows", "$name: old rows are seen");
	return;
}

work('at the beginning');
freeze('at the beginning');
jump(0, 2**30);
work('at 2^30');
crash();
compare($node, 'at 2^30, after a crash');
freeze('at 2^30');
ok(!-e segment_path($node, 3), 'the first segment of clog is gone');
check_old_rows($node, 'at 2^30');

jump(0, 2**31 - 20);
work('across 2^31');
cmp_ok(next_xid(), '>', 2**31, 'that was across 2^31');
freeze('across 2^31');
ok(!-e segment_path($node, 2**31 - 1), 'clog before 2^31 is gone');
crash();
compare($node, 'across 2^31, after a crash');
check_old_rows($node, 'across 2^31');
is($node->safe_psql('postgres', "SELECT count(*) FROM old_rows WHERE cmin = '1'"), $old_rows / 2,
	'old rows are not frozen yet');

jump(0, 3 * 2**30);
# Rows of the beginning are more than half a lap behind.
compare($node, 'at 3 * 2^30');
check_old_rows($node, 'at 3 * 2^30');
$node->safe_psql('postgres', "UPDATE old_rows SET body = 'changed' WHERE id % 2 = 0; "
	  . 'SELECT count(*) FROM (SELECT 1 FROM old_rows FOR UPDATE) s; ANALYZE old_rows; '
	  . 'CREATE INDEX ON old_rows (id)');
work('at 3 * 2^30');
freeze('at 3 * 2^30');
check_old_rows($node, 'at 3 * 2^30, frozen');

# Across 2^32, with a standby whose store never had a verdict.
jump(0, 2**32 - 20);
$node->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'start', has_streaming => 1);
$standby->start;
work('across 2^32');
cmp_ok(next_xid(), '>', 2**32, 'that was across 2^32');
my $catch_up = sub { $node->wait_for_catchup($standby, 'replay', $node->lsn('insert')); };
$catch_up->();
$standby->safe_psql('postgres', 'CHECKPOINT');
compare($standby, 'standby, across 2^32');
my $reader = session($standby);
$reader->do('SELECT count(*) FROM o');
freeze('across 2^32');
$catch_up->();
for my $of ($node, $standby)
{
	ok(!-e segment_path($of, 2**32 - 1), $of->name . ': clog before 2^32 is gone');
	compare($of, $of->name . ', across 2^32, frozen');
	check_old_rows($of, $of->name);
}
is($reader->do('SELECT count(*) FROM o'), $node->safe_psql('postgres', 'SELECT count(*) FROM h'),
	'a session of before sees the same');
$reader->quit;
$standby->kill9;
start_again($standby);
compare($standby, 'standby, across 2^32, after a crash');
crash();
compare($node, 'across 2^32, after a crash');

# Killed while files are rewritten: on the standby, redo comes to the same record again.
work('behind 2^32');
$catch_up->();
$standby->safe_psql('postgres', 'CHECKPOINT');
$standby->append_conf('postgresql.conf', 'restart_after_crash = off');
set_failure_point($standby, 'compaction_file');
$node->command_ok([ 'vacuumdb', '--all', '--freeze' ], 'VACUUM FREEZE while the standby dies of it');
ok(wait_for(120, sub { !defined $standby->{_pid} || !kill 0, $standby->{_pid} }), 'it died');
$standby->{_pid} = undef;
set_failure_point($standby, '');
start_again($standby);
$catch_up->();
compare($standby, 'standby, killed in redo of a freeze');
compare($node, 'behind 2^32, frozen');

# As a primary it goes on.
$standby->promote;
$node->stop('immediate');
$node = $standby;
work('promoted');
freeze('promoted');
check_old_rows($node, 'promoted');
$node->stop;
done_testing();
