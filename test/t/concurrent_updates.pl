# Sessions that update the same rows: no increment is lost, and nothing that a session has not
# committed leaks into what another one writes after it has waited for it.
use strict;
use warnings;
use OmendbTest;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_node('updates');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
SET default_table_access_method = omendb;
CREATE TABLE pair (id int PRIMARY KEY, a text, b text, c text);
CREATE TABLE pair_log (a text, b text, c text, old_a text, old_b text);
CREATE FUNCTION note_pair() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO pair_log VALUES (NEW.a, NEW.b, NEW.c, OLD.a, OLD.b);
  RETURN NULL;
END $$;
CREATE TRIGGER note_pair AFTER UPDATE ON pair FOR EACH ROW EXECUTE FUNCTION note_pair();
CREATE TABLE q (id int PRIMARY KEY, n int NOT NULL, pad text);
CREATE TABLE q_moved (id int PRIMARY KEY, n int NOT NULL);
CREATE INDEX ON q_moved (n);
CREATE TABLE increments (client int, rows int) USING heap;
INSERT INTO q SELECT g, 0, repeat('x', 30) FROM generate_series(1, 40) g;
INSERT INTO q_moved SELECT g, 0 FROM generate_series(1, 40) g;
SQL

# What the first session did, where its change is when the second one waits, and how it ends.
for my $index ('', 'CREATE INDEX pair_a ON pair (a)')
{
	for my $end ('ROLLBACK', 'COMMIT')
	{
		for my $flush (0, 1)
		{
			for my $times (1, 3)
			{
				my $name = "$end" . ($flush ? ', flushed' : '') . ", $times changes"
				  . ($index ? ', indexed' : '');
				$node->safe_psql('postgres', "DROP INDEX IF EXISTS pair_a; TRUNCATE pair, pair_log; $index; "
					  . "INSERT INTO pair VALUES (1, 'a0', 'b0', 'c0')");
				my ($one, $two) = (session($node), session($node));
				$one->do('BEGIN');
				$one->do("UPDATE pair SET a = 'a$_', c = 'c$_' WHERE id = 1") for 1 .. $times;
				$one->do('SELECT omendb.flush()') if $flush;
				$two->do('SELECT * FROM pair');
				$two->send("UPDATE pair SET b = 'b1' WHERE id = 1 RETURNING a, b, c");
				ok(!defined $two->answer(0.3), "$name: the second session waits");
				$node->safe_psql('postgres', 'SELECT omendb.flush()') if $flush;
				$one->do($end);
				my $expected = $end eq 'COMMIT' ? "a$times|b1|c$times" : 'a0|b1|c0';
				is($two->answer(30), $expected, "$name: what the second one wrote");
				is($node->safe_psql('postgres', 'SELECT a, b, c FROM pair'), $expected,
					"$name: what is in the table");
				is($node->safe_psql('postgres', "SELECT a, b, c, old_b FROM pair_log WHERE b = 'b1'"),
					"$expected|b0", "$name: what its trigger saw");
			}
		}
	}
}

# Deleted by the first, brought back by its abort.
{
	my ($one, $two) = (session($node), session($node));
	$one->do($_) for 'BEGIN', 'DELETE FROM pair WHERE id = 1';
	$two->send("UPDATE pair SET c = 'after delete' WHERE id = 1 RETURNING c");
	ok(!defined $two->answer(0.3), 'an update waits for a delete');
	$one->do('ROLLBACK');
	is($two->answer(30), 'after delete', 'and finds the row when it is rolled back');
	$one->do($_) for 'BEGIN', 'DELETE FROM pair WHERE id = 1';
	$two->send("UPDATE pair SET c = 'gone' WHERE id = 1 RETURNING c");
	ok(!defined $two->answer(0.3), 'another one waits for a delete');
	$one->do('COMMIT');
	is($two->answer(30), '', 'and finds nothing when it is committed');
}

my $clients = 8;
my $transactions = $ENV{OMENDB_INCREMENTS} // 250;
for my $table (qw(q q_moved))
{
	for my $case (
		[ 'skip locked', "WHERE id IN (SELECT id FROM $table WHERE id > :start ORDER BY id LIMIT 3 "
			  . 'FOR UPDATE SKIP LOCKED)' ],
		[ 'for update', "WHERE id IN (SELECT id FROM $table WHERE id > :start ORDER BY id LIMIT 2 FOR UPDATE)" ],
		[ 'plain', 'WHERE id = :start + 1' ])
	{
		my ($name, $where) = @$case;
		$node->safe_psql('postgres', "TRUNCATE increments; UPDATE $table SET n = 0");
		my $script = PostgreSQL::Test::Utils::tempdir() . "/$table-$name.sql";
		append_to_file($script, <<"SQL");
\\set start random(0, 37)
BEGIN;
WITH changed AS (UPDATE $table SET n = n + 1 $where RETURNING id)
  INSERT INTO increments SELECT :client_id, count(*) FROM changed;
END;
SQL
		my $flusher = in_child(sub {
			my $session = session($node);
			while (1) { $session->query('SELECT omendb.flush()') // return; sleep 0.1 }
		});
		# Rows are locked in the order of their ids, so that nobody waits in a circle.
		$node->command_checks_all(
			[ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $transactions, '-f', $script,
				$node->connstr('postgres') ],
			0, [qr{number of transactions actually processed: (\d+)/\g1\b}], [qr/^/],
			"$table, $name: no error");
		kill 9, $flusher;
		waitpid $flusher, 0;
		my ($sum, $rows) = split /\|/, $node->safe_psql('postgres',
			"SELECT (SELECT sum(n) FROM $table), (SELECT sum(rows) FROM increments)");
		is($sum, $rows, "$table, $name: no increment is lost");
		cmp_ok($rows, '>=', $clients * $transactions / 4, "$table, $name: many were made");
		is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT id) FROM $table"), '40|40',
			"$table, $name: every row is there once");
	}
}
# Writers that never pause do not keep a flush from freezing the buffer, though at any time some of them
# are between admission and change.
{
	set_failure_point($node, 'after_write_gate:sleep=10');
	my $script = PostgreSQL::Test::Utils::tempdir() . '/endless.sql';
	append_to_file($script, "\\set id random(1, 40)\nUPDATE q SET n = n + 1 WHERE id = :id;\n");
	my $load = fork // die "fork: $!";
	if (!$load)
	{
		open STDOUT, '>', '/dev/null' or POSIX::_exit(126);
		open STDERR, '>', '/dev/null' or POSIX::_exit(126);
		exec 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', 900, '-f', $script, $node->connstr('postgres')
		  or POSIX::_exit(127);
	}
	my $session = session($node);
	my $sum = $session->do('SELECT sum(n) FROM q');
	ok(wait_for(60, sub { $session->do('SELECT sum(n) FROM q') > $sum + 100 }), 'they write');
	$session->do("SET statement_timeout = '60s'");
	my $before = $session->do('SELECT sum(n) FROM q');
	# A hundred flushes may take less time than a hundred changes: it goes on until both were made.
	my ($flushed, $longest, $made) = (0, 0, 0);
	my $deadline = time + 120;
	while (time < $deadline && ($flushed < 100 || $made <= 100))
	{
		my $start = time;
		$session->query('SELECT omendb.flush()', 120);
		last if $session->error;
		$flushed++;
		$longest = time - $start if time - $start > $longest;
		$made = $session->do('SELECT sum(n) FROM q') - $before if $flushed % 10 == 0;
	}
	cmp_ok($flushed, '>=', 100, 'every flush comes to its end');
	cmp_ok($longest, '<', 30, 'none of them starves');
	cmp_ok($made, '>', 100, 'while they went on writing');
	note sprintf 'the longest took %.2f s', $longest;
	set_failure_point($node, '');
	kill 'TERM', $load;
	waitpid $load, 0;
}
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck');
check_index($node, 'q_moved', 'q_moved_n_idx', 'n', 'at the end');
check_index($node, 'q_moved', 'q_moved_pkey', 'id', 'at the end');
$node->stop;
done_testing();
