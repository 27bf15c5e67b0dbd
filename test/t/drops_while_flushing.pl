# A storage is dropped while the segment that registered it waits to be flushed, and the next segment
# has rows of it. A crash then leaves its registration in the store and its rows in WAL.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('drops', conf => "checkpoint_timeout = 1h\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', 'CREATE TABLE other (id int) USING omendb');

for my $case ([ 'truncated', 'TRUNCATE t', 0 ],
	[ 'truncated and filled again', 'TRUNCATE t; INSERT INTO t SELECT generate_series(1, 300)', 300 ])
{
	my ($name, $end, $rows) = @$case;
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $session = session($node);
	$session->do('BEGIN; DROP TABLE IF EXISTS t; CREATE TABLE t (id int) USING omendb');
	$session->do('INSERT INTO t SELECT generate_series(1, 1000)');
	set_failure_point($node, 'before_judge:sleep=3000');
	sleep 0.5;
	my $flusher = session($node);
	$flusher->send('SELECT omendb.flush()');
	ok(wait_for(10, sub { $node->safe_psql('postgres',
				"SELECT count(*) FROM omendb.buffer_stat() WHERE state = 'frozen'") }),
		"$name: the segment that registered the storage is frozen");
	$session->do('INSERT INTO t SELECT generate_series(1001, 2000)');
	$session->do($_) for split(/; /, $end), 'INSERT INTO other VALUES (1)', 'COMMIT';
	ok(defined $flusher->answer, "$name: it is in the store");
	# The store worker gets time to forget what redo still needs.
	set_failure_point($node, 'redo_start:sleep=2500');
	my $from = log_position($node);
	$node->kill9;
	start_again($node);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), $rows, "$name: the table has its rows");
	unlike(slurp_file($node->logfile, $from), qr/unknown omendb storage/, "$name: redo knew the storage");
	ok(wait_for(20, sub { $node->safe_psql('postgres', 'SELECT swept_storages FROM omendb.store_stat()') > 0 }),
		"$name: the dropped storage is forgotten in the end");
	set_failure_point($node, '');
	$node->restart;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), $rows, "$name: still after a restart");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM other'), 2, 'others have theirs');
$node->stop;
done_testing();
