# A TID that an index may still name is not given to another row: not after an abort, a deletion, a
# compaction, a restart or a crash. Rows that are gone from the store leave their index entries behind
# until VACUUM takes them.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('tids', conf => 'autovacuum = off');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');

my %again = (
	'clean restart' => sub { $node->restart },
	'crash' => sub { $node->kill9; start_again($node) },
	'checkpoint and crash' =>
	  sub { $node->safe_psql('postgres', 'CHECKPOINT'); $node->kill9; start_again($node) },
	'crash of a worker' => sub {
		crash_by_killing($node, worker_pid($node, 'omendb store worker'));
	},
	'crash right after a flush' => sub {
		set_failure_point($node, 'after_commit');
		my $session = session($node);
		$session->do('SELECT pg_sleep(0.3)');
		$session->query('SELECT omendb.flush()');
		wait_for(10, sub { $session->query('SELECT 1'); $session->is_dead });
		set_failure_point($node, '');
		wait_until_up($node);
	},
);

my $table = 0;
for my $how (sort keys %again)
{
	for my $flushed (0, 1)
	{
		my $t = 't' . ++$table;
		my $name = $how . ($flushed ? ', flushed and compacted before' : '');
		my $settle = sub {
			return unless $flushed;
			$node->safe_psql('postgres', 'SELECT omendb.flush()');
			$node->safe_psql('postgres', 'SELECT omendb.compact()');
		};
		my $session = session($node);
		$session->do($_)
		  for "CREATE TABLE $t (k int PRIMARY KEY, what text) USING omendb",
		  "CREATE TABLE used_$t (tid tid, what text) USING heap",
		  "INSERT INTO $t SELECT g, 'first' FROM generate_series(1, 700) g",
		  "INSERT INTO used_$t SELECT ctid, 'first' FROM $t",
		  'BEGIN';
		$session->do("INSERT INTO $t SELECT g, 'aborted' FROM generate_series(1001, 1600) g");
		my @aborted = split /\n/, $session->do("SELECT ctid FROM $t WHERE what = 'aborted'");
		$session->do("COPY $t FROM STDIN;\n" . join('', map { "$_\taborted\n" } 2001 .. 2600) . "\\.");
		push @aborted, split /\n/, $session->do("SELECT ctid FROM $t WHERE k > 2000");
		is(scalar(@aborted), 1200, "$name: rows to abort");
		$session->do($_) for 'ROLLBACK', "DELETE FROM $t WHERE k % 2 = 0";
		$session->do("INSERT INTO used_$t SELECT tid::tid, 'aborted' FROM unnest('{"
			  . join(',', map { "\"$_\"" } @aborted) . "}'::text[]) tid");
		# Moved rows leave a TID behind too.
		$session->do("UPDATE $t SET k = -k WHERE k % 5 = 0");
		$session->do("INSERT INTO used_$t SELECT ctid, 'moved' FROM $t WHERE k < 0");
		$session->quit;
		$settle->();
		$again{$how}->();
		$session = session($node);
		$session->do("INSERT INTO $t SELECT g, 'new' FROM generate_series(10001, 11500) g");
		$session->do("COPY $t FROM STDIN;\n" . join('', map { "$_\tnew\n" } 12001 .. 12600) . "\\.");
		$session->do("INSERT INTO $t VALUES (13000 + $_, 'new')") for 1 .. 20;
		is($session->do("SELECT u.what, count(*) FROM $t JOIN used_$t u ON u.tid = $t.ctid "
				  . "WHERE $t.what = 'new' GROUP BY 1"),
			'', "$name: no new row has a TID that was used");
		$session->do('SET enable_seqscan = off; SET enable_bitmapscan = off');
		is($session->do("SELECT count(*) FROM $t WHERE k BETWEEN 1001 AND 2600"), 0,
			"$name: no aborted key leads to a row");
		is($session->do("SELECT count(*) FROM $t WHERE k BETWEEN 1 AND 700"), 280,
			"$name: no deleted or moved key leads to a row");
		is($session->do("SELECT count(*), count(*) FILTER (WHERE what = 'new') FROM $t WHERE k > 700"),
			'2120|2120', "$name: every new row is found by its key");
		# Keys of aborted, deleted and moved rows can be inserted.
		$session->do("INSERT INTO $t SELECT g, 'again' FROM generate_series(1001, 1100) g");
		$session->do("INSERT INTO $t SELECT g, 'again' FROM generate_series(2, 700, 2) g");
		is($session->do("SELECT count(*) FROM $t WHERE what = 'again'"), 450,
			"$name: their keys can be taken again");
		check_index($node, $t, "${t}_pkey", 'k', $name);
	}
}
$node->stop;
done_testing();
