# The files of a new index are on their way into the store when the store worker dies, by SIGKILL or a
# PANIC. The index was not committed, so it is not there afterwards. Nothing
# stays in the staging folder, no file in the store belongs to nobody, and what was there is as it was.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

# Small files, so that an index has several.
my $node = new_node('ingest', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 10GB
omendb.target_file_size = '1MB'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');

# 140 bytes an entry.
my $rows = 36_000;
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE t (id bigint PRIMARY KEY, note text COLLATE "C") USING omendb;
INSERT INTO t SELECT g, repeat(md5(g::text), 4) FROM generate_series(1, $rows) g;
CREATE INDEX t_note ON t USING alex (note, id);
CREATE TABLE h (id int) USING heap;
INSERT INTO h SELECT generate_series(1, 1000);
CREATE UNIQUE INDEX h_id ON h USING alex (id);
SQL
my $store = $node->data_dir . '/omendb';
my $next = 0;  # a row of every round

sub index_files { my @files = glob "$store/staging/index-*"; return scalar @files; }
sub staged { my @files = glob "$store/staging/*"; return scalar @files; }

# Files in the store's folder, and those that it knows of: one line of its levels each, with level, number, size.
sub there { my @files = glob "$store/*.sst"; return scalar @files; }
sub known
{
	my $sum = 0;
	$sum += $_ for $node->safe_psql('postgres', 'SELECT levels FROM omendb.store_stat()') =~ /^ +\d+ +(\d+) +\d+$/mg;
	return $sum;
}

sub flush_everything
{
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	ok(wait_for(60, sub { !staged() }), "$_[0]: nothing else is to be flushed");
	return;
}

sub is_as_before
{
	my ($name) = @_;
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = 't_lost'"), 0, "$name: the index is not there");
	ok(wait_for(30, sub { !staged() }), "$name: nothing is staged") or diag join ' ', glob "$store/staging/*";
	my ($there, $known);
	ok(wait_for(30, sub { ($there, $known) = (there(), known()); $there == $known }), "$name: no file in the store belongs to nobody")
	  or diag "$there files, $known of them known";
	is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), $rows + $next, "$name: rows");
	check_index($node, 't', 't_note', 'note, id', $name);
	check_index($node, 't', 't_pkey', 'id', $name);
	check_index($node, 'h', 'h_id', 'id', $name);
	my $session = session($node);
	$session->query('INSERT INTO h VALUES (500)');
	is($session->error, '23505', "$name: a unique index refuses a key that it has");
	$session->do('CREATE INDEX t_lost ON t USING alex (note, id)');
	is($session->do("SELECT omendb.check_index('t_lost')"), $rows + $next, "$name: it can be built");
	# A drop would be flushed at some time of its own.
	$session->do("ALTER INDEX t_lost RENAME TO t_kept_$next; CHECKPOINT");
	$session->quit;
	return;
}

# What is only in the write buffer when it happens; the flush that the worker dies in is that of the index.
sub add_a_row
{
	$next++;
	$node->safe_psql('postgres', "INSERT INTO t VALUES (-$next, 'row $next')");
	return;
}

my @points = qw(before_commit ingest_link ingest_link:4 ingest_unlink ingest_unlink:4 after_commit after_publish);
for my $point (@points)
{
	flush_everything($point);
	add_a_row();
	my $from = log_position($node);
	set_failure_point($node, $point);
	sleep 0.5;
	my $session = session($node);
	ok(!defined $session->query('CREATE INDEX t_lost ON t USING alex (note, id)', 120), "$point: the session has lost its server");
	ok(wait_for(60, sub { slurp_file($node->logfile, $from) =~ /omendb store worker" \(PID \d+\) was terminated by signal 9/ }),
		"$point: it was reached");
	set_failure_point($node, '');
	$session->quit;
	wait_until_up($node);
	is_as_before($point);
}

# A PANIC, and what ends in abort() as one does.
for my $point ('leaves_taken:error', 'after_commit:sleep=60000')
{
	my $by_error = $point =~ /error/;
	flush_everything($point);
	add_a_row();
	my $from = log_position($node);
	my $worker = worker_pid($node, 'omendb store worker');
	# So that a second build waits its turn behind the first.
	kill 'STOP', $worker if $by_error;
	set_failure_point($node, $point);
	sleep 0.5;
	my @builders = map { session($node) } 't_lost', 't_next';
	$builders[0]->send('CREATE INDEX t_lost ON t USING alex (note, id)');
	$builders[1]->send('CREATE INDEX t_next ON t USING alex (note, id)');
	ok(wait_for(60, sub {
		$node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'OmenDBIngest'") == 2
	}), "$point: both wait for the store worker");
	kill $by_error ? 'CONT' : 'ABRT', $worker;
	ok(!defined $_->answer(60), "$point: a session has lost its server") for @builders;
	$_->quit for @builders;
	ok(wait_for(60, sub { slurp_file($node->logfile, $from) =~ /omendb store worker" \(PID $worker\) was terminated by signal 6/ }),
		"$point: the store worker died");
	like(slurp_file($node->logfile, $from), qr/PANIC/, "$point: of a PANIC") if $by_error;
	set_failure_point($node, '');
	wait_until_up($node);
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = 't_next'"), 0, "$point: the other one is not there");
	is_as_before($point);
}

$node->stop;
done_testing();
