# The visibility map says of no block that it is visible to everyone when it is not: after crashes
# whose changes were not on disk, on a standby, after its promotion, and beside writers.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $primary = new_node('primary', allows_streaming => 1, conf => "autovacuum = off\ncheckpoint_timeout = '1h'");
$primary->start;
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE EXTENSION pg_visibility;
CREATE TABLE t (id int PRIMARY KEY, v int, note text) USING omendb;
INSERT INTO t SELECT g, 0, repeat('n', 20) FROM generate_series(1, 20000) g;
SQL
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# What the index alone says, and what the rows say.
my $by_index = 'SET enable_seqscan = off; SET enable_bitmapscan = off; '
  . 'SELECT count(*) || \' \' || coalesce(sum(id), 0) FROM (SELECT id FROM t WHERE id > 0 ORDER BY id) s';
my $by_rows = 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; '
  . 'SELECT count(*) || \' \' || coalesce(sum(id), 0) FROM (SELECT id, v FROM t WHERE id > 0 OFFSET 0) s';
my $visible = "SELECT count(*) FROM pg_visibility_map('t') WHERE all_visible";

sub agree
{
	my ($node, $name) = @_;
	is($node->safe_psql('postgres', $by_index), $node->safe_psql('postgres', $by_rows), $name);
}

# All rows were inserted before every snapshot there is: VACUUM gets there, with a try or two.
sub vacuum_until_visible
{
	wait_for(60, sub {
		$primary->safe_psql('postgres', 'VACUUM t');
		$primary->safe_psql('postgres', "SELECT count(*) = 0 FROM pg_visibility_map('t') v
			WHERE NOT all_visible AND blkno <= (SELECT max((ctid::text::point)[0]) FROM t)") eq 't';
	}) or die 'blocks do not become visible';
}

vacuum_until_visible();
cmp_ok($primary->safe_psql('postgres', $visible), '>', 70, 'blocks are marked');
agree($primary, 'marked blocks');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $visible), $primary->safe_psql('postgres', $visible),
	'the standby has the marks');
agree($standby, 'the standby agrees');

# The map is on disk with its marks; what clears them is in the WAL alone.
$primary->safe_psql('postgres', 'CHECKPOINT');
$primary->safe_psql('postgres', <<'SQL');
DELETE FROM t WHERE id % 500 = 0;
UPDATE t SET id = id + 100000 WHERE id % 700 = 1;
BEGIN; DELETE FROM t WHERE id % 400 = 7; ROLLBACK;
-- Last, for a commit brings the WAL of what was rolled back to disk.
UPDATE t SET v = v + 1 WHERE id % 3 = 0;
SQL
my $before = $primary->safe_psql('postgres', $visible);
$primary->wait_for_catchup($standby);
agree($standby, 'cleared marks on the standby');
is($standby->safe_psql('postgres', $visible), $before, 'the same marks are cleared there');
$primary->kill9;
start_again($primary);
agree($primary, 'cleared marks after a crash');
is($primary->safe_psql('postgres', $visible), $before, 'the same marks are cleared');

# Rows that are in the store already when redo comes to what cleared their marks.
vacuum_until_visible();
$primary->safe_psql('postgres', 'CHECKPOINT');
$primary->safe_psql('postgres', 'DELETE FROM t WHERE id % 300 = 5; SELECT omendb.flush()');
$primary->kill9;
start_again($primary);
agree($primary, 'the store is ahead of the map');

# Writers, vacuums, flushes and readers at once; rolled-back inserts leave entries behind.
my $end = time + 8;
my @children;
for my $client (1 .. 3)
{
	push @children, in_child(sub {
		my $session = session($primary);
		my $id = 1000000 * $client;
		while (time < $end)
		{
			$id += 10;
			$session->do("INSERT INTO t SELECT g, 1, 'x' FROM generate_series($id, $id + 9) g");
			$session->do("BEGIN; INSERT INTO t SELECT g, 1, 'never' FROM generate_series($id + 500000, $id + 500003) g; ROLLBACK");
			$session->do("DELETE FROM t WHERE id = $id - 7");
			$session->do("UPDATE t SET id = id + 100000000 WHERE id = $id - 13");
			$session->do("UPDATE t SET v = v + 1 WHERE id = $id + 1");
		}
		$session->quit;
	});
}
push @children, in_child(sub {
	my $session = session($primary);
	while (time < $end)
	{
		$session->do('VACUUM t');
		$session->do('SELECT omendb.flush()');
	}
	$session->quit;
});
push @children, in_child(sub {
	my $session = session($primary);
	$session->do('SET enable_bitmapscan = off');
	while (time < $end)
	{
		# One snapshot, two ways.
		$session->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
		$session->do('SET LOCAL enable_seqscan = off');
		my $index = $session->do('SELECT count(*), sum(id) FROM (SELECT id FROM t WHERE id > 0 ORDER BY id) s');
		$session->do('SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off');
		my $rows = $session->do('SELECT count(*), sum(id) FROM (SELECT id, v FROM t OFFSET 0) s');
		$session->do('COMMIT');
		die "the index says $index, the rows say $rows\n" if $index ne $rows;
	}
	$session->quit;
});
is(wait_for_children(@children), 0, 'index-only scans agree with the rows beside writers and VACUUM');
agree($primary, 'and at the end');
vacuum_until_visible();
agree($primary, 'and when all is marked');
$primary->wait_for_catchup($standby);
agree($standby, 'the standby too');

# A promoted standby clears marks that it only knows from redo.
$primary->stop;
$standby->promote;
$standby->safe_psql('postgres', "DELETE FROM t WHERE id % 250 = 3; INSERT INTO t SELECT g, 1, 'p' FROM generate_series(5000001, 5000100) g");
agree($standby, 'the promoted standby clears marks');
$standby->kill9;
start_again($standby);
agree($standby, 'after a crash as well');
$standby->stop;
done_testing();
