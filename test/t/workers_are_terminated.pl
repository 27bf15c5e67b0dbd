# A worker of ours that is terminated while the server goes on, or that meets an error, loses no row
# and stops nobody for good: writers wait for its successor, checkpoints for its flush.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('terminated', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (client int, n int, body text, PRIMARY KEY (client, n)) USING omendb;
CREATE TABLE counter (client int PRIMARY KEY, n int) USING omendb;
INSERT INTO counter SELECT g, 0 FROM generate_series(0, 3) g;
SQL

my $clients = 4;
my $dir = PostgreSQL::Test::Utils::tempdir();

# Notes every commit that was acknowledged. Ends without an error only when it is told to.
sub work
{
	my ($client, $n) = @_;
	open my $log, '>', "$dir/$client" or die "$dir/$client: $!";
	$log->autoflush(1);
	print $log "$n\n";
	my $session = session($node);
	until (-e "$dir/stop")
	{
		$n++;
		$session->do("BEGIN; INSERT INTO t VALUES ($client, $n, repeat('x', 1000)); "
			  . "UPDATE counter SET n = $n WHERE client = $client; COMMIT");
		print $log "$n\n";
	}
	return;
}

sub acknowledged
{
	my ($client) = @_;
	return -e "$dir/$client" ? (split /\n/, slurp_file("$dir/$client"))[-1] // 0 : 0;
}

sub under_load
{
	my ($name, $worker, $successor_expected) = @_;
	my @started = map { acknowledged($_) } 0 .. $clients - 1;
	my @children = map { my $client = $_; in_child(sub { work($client, $started[$client]) }) } 0 .. $clients - 1;
	my $goes_on = sub {
		my @from = map { acknowledged($_) } 0 .. $clients - 1;
		return wait_for(120, sub { !grep { acknowledged($_) < $from[$_] + 5 } 0 .. $clients - 1 });
	};
	ok($goes_on->(), "$name: all clients write");
	my $pid = worker_pid($node, $worker);
	kill 'TERM', $pid;
	if ($successor_expected)
	{
		ok(wait_for(120, sub { my $is = worker_pid($node, $worker); defined $is && $is != $pid }),
			"$name: another one is started");
	}
	ok($goes_on->(), "$name: writes go on by themselves");
	append_to_file("$dir/stop", '');
	is(wait_for_children(@children), 0, "$name: no client saw an error");
	unlink "$dir/stop";
	$node->kill9;
	start_again($node);
	for my $client (0 .. $clients - 1)
	{
		my $n = acknowledged($client);
		is($node->safe_psql('postgres', "SELECT count(*), max(n) FROM t WHERE client = $client"), "$n|$n",
			"$name: every acknowledged row of client $client is there");
		is($node->safe_psql('postgres', "SELECT n FROM counter WHERE client = $client"), $n,
			"$name: and its update");
	}
	return;
}

under_load('guard', 'omendb checkpoint guard', 1);
under_load('store worker', 'omendb store worker', 0);

# Both: the store worker leaves when the guard has closed the buffer, and comes back.
{
	my $session = session($node);
	$session->do("INSERT INTO t VALUES (10, 1, 'before')");
	my %pids;
	for my $worker ('omendb store worker', 'omendb checkpoint guard')
	{
		$pids{$worker} = worker_pid($node, $worker);
	}
	kill 'TERM', $pids{$_} for sort keys %pids;
	for my $worker (sort keys %pids)
	{
		ok(wait_for(120, sub { my $is = worker_pid($node, $worker); defined $is && $is != $pids{$worker} }),
			"both: another $worker is started");
	}
	$session->do("INSERT INTO t VALUES (10, 2, 'after')", 120);
	is($session->do('SELECT string_agg(body, $$ $$ ORDER BY n) FROM t WHERE client = 10'), 'before after',
		'both: reads and writes go on');
	$session->quit;
	$node->kill9;
	start_again($node);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE client = 10'), 2, 'both: no row is lost');
}

# While no guard is there a writer waits and can be cancelled; a fast stop ends it.
set_failure_point($node, 'before_arm:hold');
sleep 1;
my $guard = worker_pid($node, 'omendb checkpoint guard');
kill 'TERM', $guard;
ok(wait_for(120, sub { my $is = worker_pid($node, 'omendb checkpoint guard'); defined $is && $is != $guard }),
	'the successor is there, and does not open the buffer yet');
my $waiting = session($node);
$waiting->do("SET statement_timeout = '500ms'");
$waiting->query("INSERT INTO t VALUES (11, 1, 'x')");
is($waiting->error, '57014', 'a writer that waits for it is cancelled');
$waiting->do('RESET statement_timeout');
$waiting->send("INSERT INTO t VALUES (11, 2, 'x')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE client = 10'), 2, 'readers need no guard');
my $from = log_position($node);
$node->stop('fast');
$waiting->answer(20);
ok($waiting->is_dead || ($waiting->error // '') =~ /^57P/, 'a fast stop ends a waiting writer');
unlike(slurp_file($node->logfile, $from), qr/PANIC|TRAP:|terminated by signal/, 'in order');
set_failure_point($node, '');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE client = 11'), 0, 'it has written nothing');

# A guard that fails over and over still holds checkpoints back.
$node->safe_psql('postgres', 'CHECKPOINT');
my $redo = 'SELECT redo_lsn FROM pg_control_checkpoint()';
my $before = $node->safe_psql('postgres', $redo);
$from = log_position($node);
set_failure_point($node, 'guard_tick:error');
ok(wait_for(60, sub { slurp_file($node->logfile, $from) =~ /failure point "guard_tick" was met/ }),
	'the guard raises an error');
my $session = session($node);
$session->do("INSERT INTO t SELECT 20, g, 'while it fails' FROM generate_series(1, 1000) g");
$session->send('CHECKPOINT');
ok(!defined $session->answer(3), 'a checkpoint waits meanwhile');
is($node->safe_psql('postgres', $redo), $before, 'it is not in the control file');
$node->kill9;
set_failure_point($node, '');
start_again($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE client = 20'), 1000, 'a crash then loses nothing');
$from = log_position($node);
set_failure_point($node, 'guard_tick:error');
ok(wait_for(60, sub { slurp_file($node->logfile, $from) =~ /failure point "guard_tick" was met/ }),
	'the guard raises an error again');
$session = session($node);
$session->do("INSERT INTO t SELECT 21, g, 'while it fails' FROM generate_series(1, 1000) g");
$session->send('CHECKPOINT');
ok(!defined $session->answer(1), 'a checkpoint waits again');
set_failure_point($node, '');
ok(defined $session->answer(120) && !$session->error, 'it completes when the guard has recovered');
is($node->safe_psql('postgres', 'SELECT sum(versions + images) FROM omendb.buffer_stat()'), 0,
	'what was in the buffer is in the store by then');
$session->quit;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal/, 'nobody crashed');
$node->stop;
done_testing();
