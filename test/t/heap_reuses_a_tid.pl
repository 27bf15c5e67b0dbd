# ON CONFLICT has found an entry of its key in an alex index of a heap table, and is held up before it looks
# at the row, which is dead. VACUUM wants to remove both, and heap to put another row under the TID: that one
# must not be taken for one of the key.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('tids', conf => "autovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
my $hold = 3000;

for my $case ([ '1', '' ], [ 'NULL', 'NULLS NOT DISTINCT' ])
{
	my ($key, $nulls) = @$case;
	$node->safe_psql('postgres', <<"SQL");
DROP TABLE IF EXISTS t;
CREATE TABLE t (k int, who text) USING heap;
CREATE UNIQUE INDEX t_k ON t USING alex (k) $nulls;
INSERT INTO t VALUES ($key, 'dead'), (2, 'stays');
DELETE FROM t WHERE who = 'dead';
SQL
	my ($held, $other) = (session($node), session($node));
	$_->do('SELECT FROM t WHERE k = 2') for $held, $other;
	set_failure_point($node, "newest_entry:sleep=$hold");
	sleep 0.3;
	$held->do('SELECT 1');
	$held->send("INSERT INTO t VALUES ($key, 'held') ON CONFLICT (k) DO NOTHING");
	sleep 0.3;
	set_failure_point($node, '');
	$other->send('VACUUM (INDEX_CLEANUP on, TRUNCATE off) t');
	ok(wait_for(2, sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'OmenDBShownEntries'") == 1 }),
		"$key: VACUUM waits");
	ok(defined $other->answer(60), "$key: not for ever");
	$other->do("INSERT INTO t VALUES (3, 'other')");
	ok(defined $held->answer(60), "$key: the check ends");
	is($node->safe_psql('postgres', "SELECT string_agg(who, ' ' ORDER BY who) FROM t"), 'held other stays', "$key: nothing was in the way");
	is($node->safe_psql('postgres', "SELECT omendb.check_index('t_k')"), 3, "$key: the index has them all");
	$_->quit for $held, $other;
}

done_testing();
