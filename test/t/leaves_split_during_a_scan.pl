# A scan of an index has found out which state of the store it reads, and is held up. Meanwhile its leaf
# is split, and another session reads one of the new leaves, which is in the shared cache then. The scan
# meets that one among leaves that it sees as they were: it must not leave out what lay in the other one.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_node('split', conf => "autovacuum = off\nmax_connections = 100\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
my $hold = 3000;

sub make_table
{
	my ($rows) = @_;
	$node->safe_psql('postgres', <<"SQL");
DROP TABLE IF EXISTS t;
CREATE TABLE t (k int) USING omendb;
CREATE INDEX t_k ON t USING alex (k);
INSERT INTO t SELECT g * 10 FROM generate_series(1, $rows) g;
SQL
	return;
}

# In one leaf lie 10, 20 .. 8000. With 5, 15 .. 7995 beside them two are made of it; 4005 is the first in
# the second one. By then `read` has been read.
sub scan
{
	my ($name, $read, $settings, $query, $expected) = @_;
	my $met = 0;
	for (1 .. 5)
	{
		make_table(800);
		$node->safe_psql('postgres', 'SELECT omendb.flush()');
		my $other = session($node);
		my $held = session($node);
		$_->do("SET enable_seqscan = off; $settings; SELECT FROM t WHERE k = 10") for $other, $held;
		like($held->do("EXPLAIN $query"), qr/Index (Only )?Scan (Backward )?(using|on) t_k/, "$name: by the index");
		set_failure_point($node, "index_batch:sleep=$hold");
		sleep 0.3;
		$held->do("SELECT 1");
		$held->send($query);
		sleep 0.3;
		set_failure_point($node, '');
		sleep 0.3;
		$other->do('INSERT INTO t SELECT g * 10 - 5 FROM generate_series(1, 800) g');
		$other->do('SELECT omendb.flush()');
		$other->do("SELECT FROM t WHERE k = $read");
		my $read_at = time;
		my $answer = $held->answer(60) // 'no answer';
		$met = time - $read_at > 0.2;
		is($answer, $expected, "$name: all rows");
		is($other->do("SELECT leaves FROM omendb.index_stat('t_k')"), 2, "$name: the leaf is split");
		$_->quit for $held, $other;
		last if $met;
	}
	ok($met, "$name: it was read in between");
	return;
}

scan('forward', 10, 'SET enable_indexscan = off; SET enable_indexonlyscan = off',
	'SELECT count(*), sum(k) FROM t WHERE k > 0', '800|3204000');
scan('backward', 8000, 'SET enable_bitmapscan = off; SET enable_sort = off',
	'SELECT string_agg(k::text, $$ $$) FROM (SELECT k FROM t WHERE k < 4030 ORDER BY k DESC LIMIT 5) s',
	'4020 4010 4000 3990 3980');
# The first leaves of an index come into the store after scans have found out which state they read, and
# while they know that there may be some. The second one is in the shared cache when they look; one of them
# comes to its beginning. There is none before it in the store as the scan sees it, and no damage in that.
my $met;
$node->safe_psql('postgres', 'CREATE TABLE stored (k int) USING omendb; INSERT INTO stored VALUES (1); SELECT omendb.flush()');
for (1 .. 5)
{
	make_table(1600);
	my @held = map { session($node) } 0 .. 55;
	my ($other, $reader) = map { session($node) } 1 .. 2;
	# They have read in the store, so that they find out at once.
	$_->do('SELECT count(*) FROM stored; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SELECT 1') for @held, $reader;
	my $query = sub { return 'SELECT string_agg(k::text, $$ $$) FROM (SELECT k FROM t WHERE k <= ' . (10 * $_[0]) . ' ORDER BY k DESC LIMIT 8) s' };
	my $end = sub { return 600 + 8 * $_[0] };
	like($held[0]->do('EXPLAIN ' . $query->(600)), qr/Index (Only )?Scan Backward using t_k/, 'first leaves: by the index');
	# The store worker waits before it publishes them.
	set_failure_point($node, 'flush_before_ingest:sleep=6000');
	sleep 0.3;
	$other->send('SELECT omendb.flush()');
	sleep 0.7;
	set_failure_point($node, 'index_batch:sleep=9000');
	sleep 0.3;
	$_->do('SELECT 1') for @held;
	my $sent_at = time;
	$held[$_]->send($query->($end->($_))) for 0 .. $#held;
	my $all_sent_at = time;
	sleep 0.3;
	set_failure_point($node, '');
	$other->answer(60);
	my $flushed_at = time;
	$reader->do('SELECT FROM t WHERE k = 15990');
	my $read_at = time;
	my @answers = map { $_->answer(60) // 'no answer' } @held;
	my @expected = map { my $last = $end->($_); join ' ', map { 10 * ($last - $_) } 0 .. 7 } 0 .. $#held;
	is_deeply(\@answers, \@expected, 'first leaves: all rows');
	is($reader->do("SELECT leaves FROM omendb.index_stat('t_k')"), 2, 'first leaves: there are two');
	$_->quit for @held, $other, $reader;
	$met = $flushed_at > $all_sent_at + 0.5 && $read_at < $sent_at + 8.5;
	last if $met;
}
ok($met, 'first leaves: one was read in between');
$node->stop;
done_testing();
