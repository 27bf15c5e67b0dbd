# With synchronous_commit = off a transaction can be in the write buffer, and be flushed to the store,
# before its commit record is on disk. After a crash it is there as a whole or not at all.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('async', conf => <<'CONF');
synchronous_commit = off
wal_writer_delay = 10s
autovacuum = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE one (n int PRIMARY KEY, body text) USING omendb;
CREATE TABLE other (n int PRIMARY KEY, body text) USING omendb;
CREATE TABLE plain (n int PRIMARY KEY, body text) USING heap;
CREATE TABLE noise (n int) USING heap;
CREATE TABLE counter (id int, n int) USING omendb;
INSERT INTO counter SELECT g, 0 FROM generate_series(1, 3) g;
SQL

# The WAL writer would write the commit record within a moment: stopped, only who needs it does.
sub crash_with_stopped_wal_writer
{
	my ($wal_writer) = @_;
	$node->kill9;
	kill 9, $wal_writer if $wal_writer;
	start_again($node);
	return;
}

sub stop_wal_writer
{
	my $pid = worker_pid($node, 'walwriter') or die 'no WAL writer';
	kill 'STOP', $pid;
	return $pid;
}

sub check
{
	my ($name) = @_;
	my ($one, $other, $plain, $counter) = map { $node->safe_psql('postgres', $_) } (
		'SELECT count(*), sum(n) FROM one', 'SELECT count(*), sum(n) FROM other',
		'SELECT count(*), sum(n) FROM plain', 'SELECT DISTINCT n FROM counter');
	is($one, $plain, "$name: the store and heap agree");
	is($other, $plain, "$name: two tables of the store agree");
	my ($count) = split /\|/, $plain;
	is($counter, $count, "$name: so do updated rows");
	is($node->safe_psql('postgres',
			'SELECT count(*) FROM one JOIN other USING (n) JOIN plain USING (n)'),
		$count, "$name: by index too");
	return $count;
}

my $n = 0;
sub change
{
	$n++;
	return map { "INSERT INTO $_ VALUES ($n, repeat('x', 50))" } qw(one other plain);
}
my $update = 'UPDATE counter SET n = n + 1';

my $met = 0;
for my $round (1 .. 4)
{
	# The guard sees the transaction committed, but the segment's own LSN is before the commit.
	my $writer = session($node);
	my $flusher = session($node);
	$flusher->do('SELECT 1');
	$writer->do($_) for 'SET synchronous_commit = on', change(), $update, 'SELECT omendb.flush()',
	  'SET synchronous_commit = off';
	set_failure_point($node, 'before_judge:hold');
	sleep 0.5;
	my $wal_writer = stop_wal_writer();
	$writer->do($_) for 'BEGIN', change(), $update;
	# What the segment holds is on disk by this commit, so that nothing but the verdict asks for more.
	$node->safe_psql('postgres', 'SET synchronous_commit = on; INSERT INTO noise VALUES (1)');
	$flusher->send('SELECT omendb.flush()');
	my $frozen = "SELECT count(*) FROM omendb.buffer_stat() WHERE state = 'frozen'";
	ok(wait_for(60, sub { $node->safe_psql('postgres', $frozen) > 0 }), 'the segment is frozen');
	$writer->do('COMMIT');
	my $in_between = $node->safe_psql('postgres', $frozen) > 0;
	$met++ if $in_between;
	set_failure_point($node, '');
	ok(defined $flusher->answer(60), 'the flush came to its end');
	crash_with_stopped_wal_writer($wal_writer);
	my $judged = $n;
	$n = check("commit between freeze and verdict, round $round");
	# Its verdict went to the store with the flush: so its commit record had to be on disk.
	is($n, $judged, "round $round: the transaction that was judged survived") if $in_between;
}
cmp_ok($met, '>', 0, 'transactions committed between freeze and verdict');

for my $round (1 .. 4)
{
	my $writer = session($node);
	my $flusher = session($node);
	my $wal_writer = stop_wal_writer();
	for (1 .. 30)
	{
		$writer->do($_) for 'BEGIN', change(), $update, 'COMMIT';
		$flusher->do('SELECT omendb.flush()') if $_ % 7 == $round;
	}
	if ($round % 2)
	{
		# Dies after the flush, before anybody else could have written more WAL.
		kill 'CONT', $wal_writer;
		set_failure_point($node, 'after_publish');
		sleep 0.3;
		$writer->do($_) for 'BEGIN', change(), $update, 'COMMIT';
		$flusher->query('SELECT omendb.flush()', 20);
		ok($flusher->is_dead, 'the worker killed itself');
		set_failure_point($node, '');
		wait_until_up($node);
	}
	else
	{
		crash_with_stopped_wal_writer($wal_writer);
	}
	$n = check("commits and flushes mixed, round $round");
}

# An aborted one, of which only a reader's hint says so, and rows that a reader has looked at.
my $writer = session($node);
my $wal_writer = stop_wal_writer();
$writer->do($_) for 'BEGIN', change(), $update, 'ROLLBACK', 'SELECT sum(n) FROM one', 'BEGIN';
$n--;
$writer->do($_) for change(), $update, 'COMMIT', 'SELECT sum(n) FROM counter', 'SELECT sum(n) FROM one';
$node->safe_psql('postgres', 'SELECT omendb.flush()');
crash_with_stopped_wal_writer($wal_writer);
check('rows with hints');
$node->stop;
done_testing();
