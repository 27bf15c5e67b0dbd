# Whoever waits can be cancelled, timed out and terminated: for room in the write buffer, a flush, a
# compaction, a row lock, another transaction's key.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_node('waits', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 10GB
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, body text) USING omendb;
CREATE TABLE locked (id int PRIMARY KEY, n int) USING omendb;
CREATE TABLE folded (id int, n int) USING omendb;
INSERT INTO folded SELECT g, 0 FROM generate_series(1, 100) g;
INSERT INTO t SELECT g, 'first' FROM generate_series(1, 1000) g;
INSERT INTO locked SELECT g, 0 FROM generate_series(1, 10) g;
SQL

sub wait_event
{
	my ($pid) = @_;
	return $node->safe_psql('postgres',
		"SELECT wait_event_type || ':' || wait_event FROM pg_stat_activity WHERE pid = $pid");
}

# Ends a waiting statement in each of the ways there are; the row count afterwards is the same.
sub check_ends
{
	my ($name, $sql, $event, $before, $reads_wait) = @_;
	for my $end (qw(timeout cancel terminate))
	{
		my $session = session($node);
		my $pid = $session->do('SELECT pg_backend_pid()');
		$session->do($_) for @{ $before // [] };
		$session->do("SET statement_timeout = '1s'") if $end eq 'timeout';
		my $start = time;
		$session->send($sql);
		if ($end ne 'timeout')
		{
			ok(wait_for(60, sub { wait_event($pid) =~ $event }), "$name: it waits")
			  or diag wait_event($pid);
			$node->safe_psql('postgres', "SELECT pg_${end}_backend($pid)");
		}
		my $answer = $session->answer(30);
		if ($end eq 'terminate')
		{
			ok(!defined $answer && $session->is_dead, "$name: terminated");
			next;
		}
		is($session->error, '57014', "$name: $end") or diag $answer;
		cmp_ok(time - $start, '<', 15, "$name: $end at once");
		$session->do('ROLLBACK');
		next if $reads_wait;
		is($session->do('SELECT count(*) FROM locked'), 10, "$name: the session goes on after $end");
	}
	return;
}

# A stopped store worker empties no segment.
my $worker = worker_pid($node, 'omendb store worker');
kill 'STOP', $worker;
my $big = "INSERT INTO t SELECT g, md5(g::text) || md5((g+1)::text) FROM generate_series(10001, 400000) g";
check_ends('room in the buffer', $big, qr/^LWLock:OmenDBBufferFull$/);
check_ends('a flush', 'SELECT omendb.flush()', qr/^LWLock:OmenDBFlush$/);
my $full = session($node);
$full->send($big);
sleep 1;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 1000, 'readers need no room');
my $stopper = in_child(sub { $node->stop('fast', fail_ok => 1) });
$full->answer(20);
ok($full->is_dead || $full->error, 'a fast stop ends a writer that waits for room');
kill 'CONT', $worker;
waitpid $stopper, 0;
is($?, 0, 'and comes to its end when the worker goes on');
$node->{_pid} = undef;
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 1000, 'no row of any of them is there');

$worker = worker_pid($node, 'omendb store worker');
kill 'STOP', $worker;
my $patient = session($node);
$patient->send($big);
sleep 2;
kill 'CONT', $worker;
ok(defined $patient->answer(60) && !$patient->error, 'a writer goes on when there is room');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 391000, 'with all its rows');

# A compaction that takes long keeps nobody: flushes and checkpoints go on, and whoever waits for it
# can give up, which ends it.
sub compacting { return $node->safe_psql('postgres', 'SELECT compacting FROM omendb.store_stat()') eq 't'; }
# One flush more makes no compaction begin by itself, which would leave nothing to fold.
$node->safe_psql('postgres', 'SELECT omendb.compact()');
$node->safe_psql('postgres', "UPDATE t SET body = 'changed' WHERE id % 100 = 0; SELECT omendb.flush()");
ok(wait_for(60, sub { !compacting() }), 'nothing is compacted');
set_failure_point($node, 'compaction_fold:sleep=5');
sleep 0.5;
my $compaction = session($node);
$compaction->send('SELECT omendb.compact()');
ok(wait_for(30, sub { compacting() }), 'a long compaction');
my $flushes = $node->safe_psql('postgres', 'SELECT flushes FROM omendb.store_stat()');
$node->safe_psql('postgres', "INSERT INTO t SELECT -g, 'meanwhile' FROM generate_series(1, 1000) g; "
	  . 'SELECT omendb.flush(); CHECKPOINT');
cmp_ok($node->safe_psql('postgres', 'SELECT flushes FROM omendb.store_stat()'), '>', $flushes,
	'a flush while it runs');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE id < 0'), 1000, 'its rows are there');
ok(!defined $compaction->answer(0), 'it still runs');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM pg_stat_activity '
	  . "WHERE query LIKE 'SELECT omendb.compact%'");
$compaction->answer(30);
is($compaction->error, '57014', 'it is cancelled');
check_ends('a long compaction', 'SELECT omendb.compact()', qr/OmenDBCompact/);
$compaction->send('SELECT omendb.compact()');
my $queued = session($node);
my $queued_pid = $queued->do('SELECT pg_backend_pid()');
$queued->send("SELECT omendb.compact('t')");
ok(wait_for(30, sub { wait_event($queued_pid) =~ /OmenDBCompact/ }), 'another one waits its turn');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($queued_pid)");
$queued->answer(30);
is($queued->error, '57014', 'and can give up');
set_failure_point($node, '');
ok(defined $compaction->answer(120) && !$compaction->error, 'the one before it comes to its end');
$node->safe_psql('postgres', 'SELECT omendb.compact()');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 392000, 'with all rows');
$node->safe_psql('postgres', 'DELETE FROM t WHERE id < 0');
set_failure_point($node, 'compaction_fold:sleep=5');
sleep 0.5;
$node->safe_psql('postgres', "UPDATE t SET body = 'again' WHERE id % 100 = 0");
$compaction->send('SELECT omendb.compact()');
ok(wait_for(30, sub { compacting() }), 'a long compaction again');
my $stopped_at = time;
$node->stop('fast');
cmp_ok(time - $stopped_at, '<', 20, 'it does not hold up a fast stop');
set_failure_point($node, '');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 391000, 'all rows are there');

# Locks of rows and keys, in the buffer and in the store.
for my $flushed (0, 1)
{
	my $where = $flushed ? 'in the store' : 'in the buffer';
	my $holder = session($node);
	$holder->do('BEGIN');
	$holder->do('UPDATE locked SET n = n + 1 WHERE id = 1');
	$holder->do('SELECT 1 FROM locked WHERE id = 2 FOR UPDATE');
	$holder->do('DELETE FROM locked WHERE id = 3');
	$holder->do('INSERT INTO locked VALUES (100, 1)');
	$node->safe_psql('postgres', 'SELECT omendb.flush()') if $flushed;
	my %waits = (
		'an update' => 'UPDATE locked SET n = 5 WHERE id = 1',
		'FOR UPDATE' => 'SELECT 1 FROM locked WHERE id = 2 FOR UPDATE',
		'FOR KEY SHARE' => 'SELECT 1 FROM locked WHERE id = 3 FOR KEY SHARE',
		'a key' => 'INSERT INTO locked VALUES (100, 2)',
		'ON CONFLICT' => 'INSERT INTO locked VALUES (100, 2) ON CONFLICT (id) DO UPDATE SET n = 3');
	check_ends("$_, $where", $waits{$_}, qr/^Lock:/, ['BEGIN']) for sort keys %waits;
	my $session = session($node);
	$session->do("SET lock_timeout = '300ms'");
	$session->query($waits{'an update'});
	is($session->error, '55P03', "lock_timeout, $where");
	$session->query('SELECT 1 FROM locked WHERE id = 2 FOR UPDATE NOWAIT');
	is($session->error, '55P03', "NOWAIT, $where");
	# Two that wait for each other.
	my ($one, $two) = (session($node), session($node));
	$_->do('BEGIN') for $one, $two;
	$one->do('UPDATE locked SET n = 7 WHERE id = 5');
	$two->do('UPDATE locked SET n = 8 WHERE id = 6');
	$one->send('UPDATE locked SET n = 7 WHERE id = 6');
	sleep 0.3;
	$two->send('UPDATE locked SET n = 8 WHERE id = 5');
	my @answers = map { $_->answer(30) // 'none' } $one, $two;
	is(scalar(grep { ($_->error // '') eq '40P01' } $one, $two), 1, "a deadlock is broken, $where")
	  or diag "@answers";
	$_->do('ROLLBACK') for $one, $two;
	$holder->do('ROLLBACK');
	is($node->safe_psql('postgres', 'SELECT count(*), sum(n) FROM locked'), '10|0', "nothing changed, $where");
}
# A walk over a whole index that finds nothing, batch by batch.
$node->safe_psql('postgres', 'CREATE TABLE pairs (a int, b int) USING omendb; CREATE INDEX pairs_a_b ON pairs USING alex (a, b); '
	  . 'INSERT INTO pairs SELECT g, 0 FROM generate_series(1, 60000) g; ANALYZE pairs');
set_failure_point($node, 'index_batch:sleep=300');
sleep 1;
for my $kind ('index', 'bitmap')
{
	my $walker = session($node);
	$walker->do("SET enable_seqscan = off; SET enable_indexscan = @{[$kind eq 'index' ? 'on' : 'off']}; "
		  . "SET enable_indexonlyscan = off; SET enable_bitmapscan = @{[$kind eq 'bitmap' ? 'on' : 'off']}; SET statement_timeout = '2s'");
	my $start = time;
	$walker->query('SELECT count(*) FROM pairs WHERE a > 0 AND b = 1');
	is($walker->error, '57014', "a walk by $kind: timeout");
	cmp_ok(time - $start, '<', 15, "a walk by $kind: at once");
	$walker->quit;
}
set_failure_point($node, '');
sleep 1;
# A compaction that sleeps in every fold of a block, and one block to fold each time.
set_failure_point($node, 'compaction_fold:sleep=5000');
sleep 1;
check_ends('a compaction', "SELECT omendb.compact('folded')", qr/^LWLock:OmenDBCompact$/,
	[ 'UPDATE folded SET n = n + 1', 'SELECT omendb.flush()' ]);

# More changes than compaction keeps up with: who writes much is slowed down.
set_failure_point($node, 'compaction_fold:sleep=1000');
my $busy = session($node);
$busy->do('CREATE TABLE indebted (id int, n int) USING omendb');
$busy->do('INSERT INTO indebted SELECT g, 0 FROM generate_series(1, 25000) g');
$busy->do('SELECT omendb.flush()');
for (1 .. 200)
{
	last if $busy->do('SELECT level0_files FROM omendb.store_stat()') >= 24;
	$busy->do('UPDATE indebted SET n = n + 1 WHERE id % 256 = 0');
	$busy->do('SELECT omendb.flush()');
}
cmp_ok($busy->do('SELECT level0_files FROM omendb.store_stat()'), '>=', 24, 'compaction is behind');
$busy->do('CREATE TABLE heavy (id int, body bytea) USING omendb');
$busy->do('ALTER TABLE heavy ALTER body SET STORAGE PLAIN');
check_ends('compaction debt', "INSERT INTO heavy SELECT g, decode(repeat('ab', 1000000), 'hex') FROM generate_series(1, 5000) g",
	qr/^LWLock:OmenDBCompactionDelay$/);
cmp_ok($busy->do('SELECT writer_delay_ms FROM omendb.store_stat()'), '>', 0, 'what writers waited is counted');
is($busy->do('SELECT count(*) FROM heavy'), 0, 'no row of any of them is there');
$busy->quit;

# VACUUM of a heap table, while somebody shows an entry of its alex index.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE shown (id int) USING heap;
CREATE INDEX shown_id ON shown USING alex (id);
-- What is deleted is in another page than what is shown: that one stays pinned.
INSERT INTO shown SELECT generate_series(1, 50);
INSERT INTO shown SELECT generate_series(1001, 1300);
INSERT INTO shown SELECT generate_series(51, 100);
VACUUM ANALYZE shown;
DELETE FROM shown WHERE id BETWEEN 51 AND 100;
CREATE FUNCTION stopped(id int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF id = 2 THEN PERFORM pg_advisory_xact_lock_shared(9); END IF;
  RETURN id;
END $$;
SQL
my ($stopper, $shower) = (session($node), session($node));
$stopper->do('BEGIN; SELECT pg_advisory_xact_lock(9)');
$shower->do("SET enable_$_ = off") for qw(seqscan bitmapscan sort);
like($shower->do('EXPLAIN SELECT stopped(id) FROM shown WHERE id < 1000 ORDER BY id'), qr/Index Only Scan using shown_id/, 'an index-only scan of a heap table');
$shower->send("SELECT string_agg(stopped(id)::text, ' ') FROM (SELECT id FROM shown WHERE id < 1000 ORDER BY id) s");
ok(wait_for(60, sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'") == 1 }), 'it is stopped at an entry');
check_ends('shown entries', 'VACUUM (INDEX_CLEANUP on) shown', qr/^LWLock:OmenDBShownEntries$/);
my $vacuum = session($node);
$vacuum->send('VACUUM (INDEX_CLEANUP on) shown');
$stopper->do('COMMIT');
ok(defined $vacuum->answer(60) && !$vacuum->error, 'VACUUM goes on when nobody shows one');
is($shower->answer(60), join(' ', 1 .. 50), 'the scan goes on, too');
$_->quit for $stopper, $shower, $vacuum;

# A buffer that is not open for writes: its guard was terminated, and the next one has not armed it yet.
set_failure_point($node, 'before_arm:hold');
sleep 1;
my $guard = worker_pid($node, 'omendb checkpoint guard');
kill 'TERM', $guard;
ok(wait_for(120, sub { my $is = worker_pid($node, 'omendb checkpoint guard'); defined $is && $is != $guard }),
	'another guard is there');
check_ends('admission', 'INSERT INTO locked VALUES (200, 1)', qr/^LWLock:OmenDBAdmission$/);
my $held = session($node);
$held->send('INSERT INTO locked VALUES (201, 1)');
set_failure_point($node, '');
ok(defined $held->answer(60) && !$held->error, 'a writer goes on when it is armed');
$held->do('DELETE FROM locked WHERE id = 201');
$held->quit;

# A store that is not open yet.
$node->stop;
set_failure_point($node, 'before_store_open:hold');
$node->start;
check_ends('opening the store', 'SELECT count(*) FROM locked', qr/^LWLock:OmenDBStoreOpen$/, [], 1);
$held = session($node);
$held->send('SELECT count(*) FROM locked');
set_failure_point($node, '');
is($held->answer(60), 10, 'a reader goes on when it is open');
$held->quit;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal/, 'nobody crashed');
$node->stop;
done_testing();
