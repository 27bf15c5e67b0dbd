# A session looks at a row that only the store has, and is held up before it writes. Meanwhile another
# one changes the row and the change is flushed: to the write buffer the row looks as it did before.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = 2;
my $node = new_node('between');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
SET default_table_access_method = omendb;
CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL);
CREATE TABLE doomed (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO counter VALUES (1, 0);
INSERT INTO doomed SELECT g, 0 FROM generate_series(1, 10) g;
SELECT omendb.flush();
SQL

my $met = 0;
for my $round (1 .. $rounds)
{
	my $other = session($node);
	$other->do('SELECT n FROM counter');
	set_failure_point($node, 'before_write_gate:sleep=3000');
	my $held = session($node);
	$held->do('SELECT n FROM counter');
	$held->send('UPDATE counter SET n = n + 1 WHERE id = 1 RETURNING n');
	sleep 0.3;
	set_failure_point($node, '');
	sleep 0.3;
	$other->do('UPDATE counter SET n = n + 1 WHERE id = 1');
	$other->do("DELETE FROM doomed WHERE id = $round");
	$other->do('SELECT omendb.flush()');
	my $flushed = time;
	$held->answer(30);
	$met++ if time - $flushed > 0.2;
	is($node->safe_psql('postgres', 'SELECT n FROM counter'), 2 * $round, "round $round: both count");
	$_->quit for $held, $other;
}
cmp_ok($met, '>', 0, 'the flush came in between');
is($node->safe_psql('postgres', 'SELECT count(*) FROM doomed'), 10 - $rounds, 'deletes stand');
$node->stop;
done_testing();
