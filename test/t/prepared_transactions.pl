# A prepared transaction outlives crashes with its rows, its locks and its verdict.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('prepared', conf => 'max_prepared_transactions = 10');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, a int, b text) USING omendb;
CREATE INDEX t_a ON t (a);
INSERT INTO t SELECT g, g, 'old' FROM generate_series(1, 1000) g;
SQL

sub prepare
{
	my ($name, $first) = @_;
	my $session = session($node);
	$session->do($_)
	  for 'BEGIN',
	  "INSERT INTO t SELECT g, g, '$name' FROM generate_series($first + 10000, $first + 10099) g",
	  "UPDATE t SET b = '$name' WHERE id BETWEEN $first AND $first + 9",
	  "UPDATE t SET b = b || '!' WHERE id BETWEEN $first AND $first + 9",
	  "UPDATE t SET a = -a WHERE id BETWEEN $first + 10 AND $first + 19",
	  "DELETE FROM t WHERE id BETWEEN $first + 20 AND $first + 29",
	  "SELECT id FROM t WHERE id = $first + 30 FOR UPDATE",
	  "SELECT id FROM t WHERE id = $first + 31 FOR KEY SHARE",
	  'SAVEPOINT s', "UPDATE t SET b = 'never' WHERE id = $first + 40",
	  "INSERT INTO t VALUES ($first + 20000, 0, 'never')", 'ROLLBACK TO s',
	  "PREPARE TRANSACTION '$name'";
	return;
}

my $untouched = '1000|500500|old|old';
my $all = 'SELECT count(*), sum(a), min(b), max(b) FROM t';

sub check_pending
{
	my ($name, $first) = @_;
	my $session = session($node);
	$session->do("SET lock_timeout = '200ms'");
	for my $id ($first, $first + 10, $first + 20, $first + 30)
	{
		$session->query("UPDATE t SET b = 'mine' WHERE id = $id");
		is($session->error, '55P03', "$name: row $id is locked");
	}
	$session->query("DELETE FROM t WHERE id = $first + 31");
	is($session->error, '55P03', "$name: a key share lock keeps off DELETE");
	$session->query("BEGIN; UPDATE t SET b = 'old' WHERE id = $first + 31; ROLLBACK");
	is($session->error, undef, "$name: a key share lock lets other columns be updated");
	$session->query("INSERT INTO t VALUES ($first + 10005, 0, 'mine')");
	is($session->error, '55P03', "$name: its keys are taken until it is decided");
	$session->query("BEGIN; UPDATE t SET b = 'old' WHERE id = $first + 40; ROLLBACK");
	is($session->error, undef, "$name: a row that was rolled back to its savepoint is free");
	return;
}

prepare('kept', 100);
prepare('dropped', 300);
is($node->safe_psql('postgres', $all), $untouched, 'nothing is visible before the crash');
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', $all), $untouched, 'nothing is visible after a crash');
check_pending($_->[0], $_->[1]) for [ 'kept', 100 ], [ 'dropped', 300 ];

# Now its versions go to the store without a verdict, through a compaction and another crash.
prepare('late', 500);
$node->safe_psql('postgres', 'SELECT omendb.flush()');
$node->safe_psql('postgres', 'UPDATE t SET b = b WHERE id > 700');
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql('postgres', 'SELECT omendb.compact()');
$node->safe_psql('postgres', 'VACUUM t');
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', $all), $untouched, 'nothing is visible after flush, compaction and crash');
check_pending($_->[0], $_->[1]) for [ 'kept', 100 ], [ 'dropped', 300 ], [ 'late', 500 ];
$node->restart;
check_pending('after a restart', 100);

$node->safe_psql('postgres', "COMMIT PREPARED 'kept'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'dropped'");
$node->kill9;
start_again($node);
$node->safe_psql('postgres', "COMMIT PREPARED 'late'");

sub check_decided
{
	my ($name) = @_;
	for ([ 'kept', 100 ], [ 'late', 500 ])
	{
		my ($who, $first) = @$_;
		is($node->safe_psql('postgres',
				"SELECT count(*) FROM t WHERE id BETWEEN $first + 10000 AND $first + 10099 AND b = '$who'"),
			100, "$name: $who inserted");
		is($node->safe_psql('postgres', "SELECT count(*) FROM t WHERE b = '$who!'"), 10,
			"$name: $who updated");
		is($node->safe_psql('postgres', "SELECT sum(a) FROM t WHERE id BETWEEN $first + 10 AND $first + 19"),
			-(10 * $first + 145), "$name: $who moved");
		is($node->safe_psql('postgres', "SELECT count(*) FROM t WHERE id BETWEEN $first + 20 AND $first + 29"),
			0, "$name: $who deleted");
	}
	is($node->safe_psql('postgres', "SELECT count(*), sum(a), max(b) FROM t WHERE id BETWEEN 300 AND 399"),
		'100|34950|old', "$name: the dropped one changed nothing");
	is($node->safe_psql('postgres', "SELECT count(*) FROM t WHERE b IN ('never', 'dropped', 'mine')"),
		0, "$name: no row of what was rolled back");
	is($node->safe_psql('postgres', "SELECT count(*) FROM t"), 1180, "$name: no row too many");
	check_index($node, 't', 't_pkey', 'id', $name);
	check_index($node, 't', 't_a', 'a', $name);
	return;
}

check_decided('committed');
$node->safe_psql('postgres', "BEGIN; UPDATE t SET b = b WHERE id BETWEEN 300 AND 399; ROLLBACK; "
	  . "BEGIN; UPDATE t SET b = b WHERE id BETWEEN 100 AND 199; ROLLBACK;");
$node->safe_psql('postgres', 'SELECT omendb.flush()');
$node->safe_psql('postgres', 'SELECT omendb.compact()');
check_decided('compacted');
$node->kill9;
start_again($node);
check_decided('after a crash');
$node->stop;
done_testing();
