# A standby's query that is older than what the primary did to a table or its indexes, and comes to the table
# after that was replayed: it gets the rows of its snapshot by every kind of plan. Where the primary has not
# heard of the snapshot (no hot_standby_feedback) it may be cancelled instead; where it has, it may not.
#
# PostgreSQL promises less for heap tables: CREATE INDEX and REINDEX CONCURRENTLY wait for old snapshots of
# the primary, not of a standby, and leave out what only these see. What heap does is noted, not judged.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('primary', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
wal_keep_size = '1GB'
min_parallel_table_scan_size = 0
allow_in_place_tablespaces = on
CONF
# Transaction ids with another upper half than 0.
command_ok([ 'pg_resetwal', '-e', '2', '-D', $node->data_dir ], 'transaction ids of the second lap');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLESPACE elsewhere LOCATION '';
-- Who computes it for the row 50 waits for whoever has taken the lock.
CREATE FUNCTION passed(k int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  IF k = 50 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
  RETURN k;
END $$;
SQL
$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('standby', true)");
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', <<'CONF');
max_standby_streaming_delay = '100ms'
primary_slot_name = 'standby'
wal_receiver_status_interval = '1s'
CONF
$standby->start;

my %methods = (omendb_btree => 'btree', omendb_alex => 'alex', heap_btree => 'btree', heap_alex => 'alex');
my @plans = qw(seqscan indexscan bitmapscan indexonlyscan);
my @queries = ('SELECT k, g FROM @ WHERE k > 0 ORDER BY k', 'SELECT k, v FROM @ WHERE k BETWEEN 1 AND 5000 ORDER BY k', 'SELECT k FROM @ WHERE passed(k) > 0 ORDER BY k',
	'SELECT v, k FROM @ WHERE v >= 0 ORDER BY v, k');
my $cancelled = 'cancelled';

sub ask
{
	my ($session, $query, $plan) = @_;
	my $settings = join '; ', map { "SET LOCAL enable_$_ = " . ($_ eq $plan || ($_ eq 'indexscan' && $plan eq 'indexonlyscan') ? 'on' : 'off') } @plans;
	my $answer = $session->query("$settings; $query", 60) // return $cancelled;
	return $answer =~ /ERROR:  (?:40001|40P01|25P02)|FATAL/ ? $cancelled : $answer;
}

sub make_table
{
	my ($table) = @_;
	my ($kind) = $table =~ /^([a-z]+)_/;
	$node->safe_psql('postgres', <<"SQL");
DROP TABLE IF EXISTS $table;
CREATE TABLE $table (k int, g int, v int) USING $kind WITH (parallel_workers = 2);
CREATE INDEX ${table}_k ON $table USING $methods{$table} (k) INCLUDE (g);
CREATE UNIQUE INDEX ${table}_p ON $table USING $methods{$table} (passed(k));
INSERT INTO $table SELECT i, i % 7, 0 FROM generate_series(1, 100) i;
SQL
	return;
}

# A session on the standby whose snapshot is that of now. It touches nothing that is locked later.
sub take_snapshot
{
	my ($feedback) = @_;
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	my $reader = session($standby);
	$reader->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my $xmin = $reader->do('SELECT pg_snapshot_xmin(pg_current_snapshot())');
	$node->poll_query_until('postgres', $feedback ? "SELECT xmin = '$xmin'::xid8::xid FROM pg_replication_slots" : 'SELECT xmin IS NULL FROM pg_replication_slots')
	  or die 'the primary has not heard of the snapshot';
	return $reader;
}

# Tables, an old snapshot on the standby, changes, what the primary does to them, and what the snapshot sees
# then: of each table '' if all is right.
sub what_is_wrong
{
	my ($tables, $command, $feedback) = @_;
	make_table($_) for @$tables;
	my %expected = map { $_ => $node->safe_psql('postgres', s/@/$tables->[0]/gr) } @queries;
	my $reader = take_snapshot($feedback);
	for my $table (@$tables)
	{
		$node->safe_psql('postgres', <<"SQL");
DELETE FROM $table WHERE k % 10 = 3;
UPDATE $table SET k = k + 1000 WHERE k % 10 = 5;
UPDATE $table SET g = g + 1 WHERE k % 10 = 7;
UPDATE $table SET v = 1 WHERE k % 10 = 9;
SQL
		$node->safe_psql('postgres', $command =~ s/@/$table/gr);
	}
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	my %wrong;
	for my $table (@$tables)
	{
		$wrong{$table} = '';
		for my $query (@queries)
		{
			for my $plan (@plans)
			{
				my $answer = ask($reader, $query =~ s/@/$table/gr, $plan);
				return map { $_ => $cancelled } @$tables if $answer eq $cancelled;
				$wrong{$table} .= "$query by $plan: $answer\n" if $answer ne $expected{$query};
			}
		}
	}
	$reader->quit;
	return %wrong;
}

# Starts a command that stops at row 50 of the table until the session that is returned, too, commits.
sub start_and_stop
{
	my ($command) = @_;
	my ($holder, $builder) = (session($node), session($node));
	$holder->do('BEGIN; SELECT pg_advisory_xact_lock(1)');
	$builder->send($command);
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'REINDEX%' AND wait_event = 'advisory'")
	  or die "$command does not wait";
	return ($builder, $holder);
}

# Rows that come and go while an index is built for which their writers do not care yet.
sub what_is_seen_after_changes_beside
{
	my ($table) = @_;
	make_table($table);
	my ($builder, $holder) = start_and_stop("REINDEX INDEX CONCURRENTLY ${table}_p");
	$node->safe_psql('postgres', "INSERT INTO $table SELECT i, 0, 0 FROM generate_series(-1000, -901) i");
	my $reader = take_snapshot(1);
	$node->safe_psql('postgres', "DELETE FROM $table WHERE k < -950; UPDATE $table SET k = k + 10000 WHERE k < 0");
	$holder->do('COMMIT');
	is($builder->answer, '', "$table was reindexed");
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	my @seen = map { ask($reader, "SELECT count(*), min(passed(k)) FROM $table WHERE passed(k) < 0", $_) } @plans;
	$_->quit for $holder, $builder, $reader;
	return join ', ', @seen;
}

# The store's horizon moves on while an index is built, and compaction throws away what the command's own
# horizon would have kept.
sub what_is_seen_after_compaction_beside
{
	my ($table) = @_;
	make_table($table);
	my $old = session($node);
	$old->do('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
	my $reader = take_snapshot(0);
	$node->safe_psql('postgres', "DELETE FROM $table WHERE k > 90");
	my ($builder, $holder) = start_and_stop("REINDEX INDEX ${table}_p");
	my $after = $node->safe_psql('postgres', 'SELECT pg_current_xact_id()');
	$old->do('COMMIT');
	ok($node->poll_query_until('postgres', "SELECT horizon >= $after - 1 FROM omendb.store_stat()"), 'the horizon moved on');
	$node->safe_psql('postgres', 'SELECT omendb.flush(); SELECT omendb.compact()');
	$holder->do('COMMIT');
	is($builder->answer, '', "$table was reindexed");
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	my $seen = ask($reader, "SELECT count(*) FROM $table WHERE passed(k) > 0", 'indexscan');
	$_->quit for $old, $holder, $builder, $reader;
	return $seen;
}

my @commands = (
	'REINDEX TABLE' => 'REINDEX TABLE @',
	'REINDEX CONCURRENTLY' => 'REINDEX INDEX CONCURRENTLY @_k; REINDEX INDEX CONCURRENTLY @_p',
	'CREATE INDEX CONCURRENTLY' => 'DROP INDEX @_k, @_p; CREATE INDEX CONCURRENTLY ON @ (k)',
	'CREATE INDEX CONCURRENTLY by others' => 'SET parallel_leader_participation = off; DROP INDEX @_k, @_p; CREATE INDEX CONCURRENTLY ON @ (k)',
	'VACUUM after compaction' => 'SELECT omendb.flush(); SELECT omendb.compact(); VACUUM @',
	'REINDEX after compaction' => 'SELECT omendb.flush(); SELECT omendb.compact(); REINDEX TABLE @',
	'CREATE INDEX' => 'DROP INDEX @_k, @_p; CREATE INDEX ON @ (k)',
	'CREATE INDEX CONCURRENTLY on what was changed in place' => 'CREATE INDEX CONCURRENTLY ON @ (v, k)',
	'CREATE INDEX on what was changed in place' => 'CREATE INDEX ON @ (v, k)',
	'REINDEX by others' => 'SET parallel_leader_participation = off; REINDEX TABLE @',
	'scans that meet dead rows' => join('; ', map { "SET enable_$_ = off" } qw(seqscan bitmapscan sort))
	  . '; SELECT count(*) FROM (SELECT k FROM @ ORDER BY k OFFSET 0) s; SELECT count(*) FROM (SELECT 1 FROM @ WHERE passed(k) > 0 OFFSET 0) s',
	'CLUSTER' => 'CLUSTER @ USING @_k',
	'VACUUM FULL' => 'VACUUM FULL @',
	'SET TABLESPACE' => 'ALTER TABLE @ SET TABLESPACE elsewhere',
);
my @all = sort keys %methods;
my @omendb = grep { /omendb/ } @all;
$standby->append_conf('postgresql.conf', 'hot_standby_feedback = on');
$standby->reload;
my @left = @commands;
while (my ($name, $command) = splice @left, 0, 2)
{
	# It has nothing for snapshots that see the old value. Cancelled are all queries of the database.
	my $cancels = $name =~ /CONCURRENTLY on what was changed/;
	my @tables = grep { $name ne 'CLUSTER' || $_ ne 'heap_alex' } @all;
	my %wrong = map { what_is_wrong($_, $command, 1) } $cancels ? map { [$_] } @omendb : \@tables;
	is($wrong{$_}, $cancels ? $cancelled : '', "with feedback, $name: $_") for @omendb;
	note "with feedback, $name: $_ is " . ($wrong{$_} eq '' ? 'right' : 'wrong') for grep { /heap/ && defined $wrong{$_} } @all;
}
for my $table (@all)
{
	my $seen = what_is_seen_after_changes_beside($table);
	my $what = "changes of $table beside REINDEX CONCURRENTLY";
	$table =~ /heap/ ? note "$what: $seen" : is($seen, join(', ', ('100|-1000') x @plans), $what);
}

$standby->append_conf('postgresql.conf', 'hot_standby_feedback = off');
$standby->reload;
@left = @commands;
while (my ($name, $command) = splice @left, 0, 2)
{
	# What cancels is the table's doing, whatever indexes it has; or an alex index whose entries go.
	my $scans = $name =~ /^scans/;
	my $table = $scans ? 'omendb_alex' : $omendb[ @left / 2 % 2 ];
	my %wrong = what_is_wrong([$table], $command, 0);
	like($wrong{$table}, $scans ? qr/^cancelled\z/ : qr/^(?:cancelled)?\z/, "without feedback, $name: $table");
}
for my $table (@omendb)
{
	like(what_is_seen_after_compaction_beside($table), qr/^(?:100|cancelled)\z/, "compaction of $table beside REINDEX");
}

$standby->stop;
$node->stop;
done_testing();
