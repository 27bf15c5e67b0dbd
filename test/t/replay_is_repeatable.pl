# Replaying what is already in the store changes nothing: the crash comes between a flush and the
# checkpoint, once or several times, also in the middle of the replay.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('replay', conf => <<'CONF');
checkpoint_timeout = 1h
max_wal_size = 10GB
autovacuum = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, n int, k int, body text) USING omendb;
CREATE INDEX t_k ON t (k);
INSERT INTO t SELECT g, 0, g, 'first' FROM generate_series(1, 2000) g;
CHECKPOINT;
SQL

my $query = "SELECT count(*), sum(n), sum(k), sum(hashtextextended(t::text, 0)), "
  . "sum(hashtextextended(ctid::text || t::text, 0)) FROM t";

sub state_of { return $node->safe_psql('postgres', $query); }

# All kinds of changes, several versions of the same rows, an abort among them.
my $step = 0;
sub change
{
	$step++;
	my $session = session($node);
	$session->do($_)
	  for "UPDATE t SET n = n + 1, body = 'step $step' WHERE id % 3 = $step % 3",
	  'UPDATE t SET n = n + 1 WHERE id % 7 = 0',
	  "UPDATE t SET k = -k WHERE id % 11 = $step % 11",
	  "DELETE FROM t WHERE id % 50 = $step % 50",
	  "INSERT INTO t SELECT 10000 * $step + g, 0, g, 'step $step' FROM generate_series(1, 300) g",
	  'BEGIN', "UPDATE t SET n = -1000, body = 'never' WHERE id % 2 = 0",
	  "INSERT INTO t SELECT 10000 * $step + 5000 + g, 0, g, 'never' FROM generate_series(1, 300) g",
	  'ROLLBACK', 'UPDATE t SET n = n + 1 WHERE id % 7 = 0',
	  'BEGIN', 'SELECT 1 FROM t WHERE id < 100 FOR UPDATE', 'SAVEPOINT s', 'DELETE FROM t',
	  'ROLLBACK TO s', 'COMMIT';
	$session->do("COPY t FROM STDIN;\n"
		  . join('', map { (10000 * $step + 1000 + $_) . "\t0\t$_\tcopy\n" } 1 .. 600) . "\\.");
	return;
}

sub crash_at
{
	my ($point, $sql) = @_;
	set_failure_point($node, $point);
	sleep 0.5;
	my $session = session($node);
	$session->query($sql, 60);
	ok(wait_for(10, sub { $session->query('SELECT 1'); $session->is_dead }), "$point was reached");
	set_failure_point($node, '');
	wait_until_up($node);
	return;
}

sub kill_and_start { $node->kill9; start_again($node); return; }

for my $point (qw(flush_after_files flush_before_ingest flush_after_ingest before_commit after_commit
	after_publish before_segment_reset before_judge after_judge))
{
	change();
	my $before = state_of();
	crash_at($point, 'SELECT omendb.flush()');
	is(state_of(), $before, "$point: nothing changed by the replay");
	# Part of the range is in the store now, part of it is not.
	change();
	$before = state_of();
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	change() if $step % 2;
	$before = state_of();
	kill_and_start();
	is(state_of(), $before, "$point: nothing changed by the next replay");
}

# In recovery: the first flush is killed, the next recovery finds its files or has to make them anew.
for my $point (qw(cleanup_flush flush_after_files flush_after_ingest after_commit before_segment_reset))
{
	for my $time (1, 2)
	{
		change();
		my $before = state_of();
		my $from = log_position($node);
		$node->kill9;
		set_failure_point($node, $point);
		# The startup process ends the server with it; after the store worker it starts again by itself.
		start_to_crash($node);
		ok(wait_for(20, sub { slurp_file($node->logfile, $from) =~ /terminated by signal 9/ }),
			"$point was reached in recovery");
		set_failure_point($node, '');
		$node->kill9;
		start_again($node);
		is(state_of(), $before, "$point in recovery, time $time: nothing changed");
		if ($time == 2)
		{
			kill_and_start();
			is(state_of(), $before, "$point in recovery, and once more");
		}
	}
}

# The same operands again, folded by compaction with the bases that have them already.
change();
my $before = state_of();
for my $time (1 .. 3)
{
	crash_at('after_commit', 'SELECT omendb.flush()') if $time == 1;
	$node->safe_psql('postgres', 'SELECT omendb.compact()') if $time > 1;
	kill_and_start();
	is(state_of(), $before, "compacted $time: nothing changed");
}
set_failure_point($node, 'compaction_fold:20');
sleep 0.5;
change();
$before = state_of();
my $session = session($node);
$session->query('SELECT omendb.flush()', 30);
$session->query('SELECT omendb.compact()', 30);
set_failure_point($node, '');
ok($session->is_dead, 'the worker died while it compacted');
wait_until_up($node);
is(state_of(), $before, 'killed in a compaction: nothing changed');
crash_at('checkpoint_flush', 'CHECKPOINT');
is(state_of(), $before, 'killed before the flush of a checkpoint: nothing changed');
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql('postgres', 'SELECT omendb.compact()');
kill_and_start();
is(state_of(), $before, 'after a checkpoint, too');
check_index($node, 't', 't_pkey', 'id', 'at the end');
check_index($node, 't', 't_k', 'k', 'at the end');
$node->stop;
done_testing();
