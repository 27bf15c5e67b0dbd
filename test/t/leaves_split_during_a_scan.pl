# A scan of an index has found out which state of the store it reads, and is held up. Meanwhile its leaf
# is split, and another session reads one of the new leaves, which is in the shared cache then. The scan
# meets that one among leaves that it sees as they were: it must not leave out what lay in the other one.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_node('split', conf => "autovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
my $hold = 3000;

# In one leaf lie 10, 20 .. 8000. With 5, 15 .. 7995 beside them two are made of it; 4005 is the first in
# the second one. By then `read` has been read.
sub scan
{
	my ($name, $read, $settings, $query, $expected) = @_;
	my $met = 0;
	for (1 .. 5)
	{
		$node->safe_psql('postgres', <<"SQL");
DROP TABLE IF EXISTS t;
CREATE TABLE t (k int) USING omendb;
CREATE INDEX t_k ON t USING alex (k);
INSERT INTO t SELECT g * 10 FROM generate_series(1, 800) g;
SELECT omendb.flush();
SQL
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
$node->stop;
done_testing();
