# Clients write while processes are killed: one after the other at every point that matters of a
# flush, an ingest, a compaction, a checkpoint and of recovery itself, and then at random. After each
# crash the books of TPC-B balance, and everything that a client saw committed is there, once, and
# nothing that it did not commit.
#
# OMENDB_CRASH_ROUNDS says how many, OMENDB_CRASH_SECONDS after what time none beyond the 50th is
# begun. OMENDB_CRASH_SEED repeats a run's choices (not its timing).
use strict;
use warnings;
use List::Util qw(sum0);
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $least_rounds = 50;
my $rounds = $ENV{OMENDB_CRASH_ROUNDS} // 70;
my $time_limit = $ENV{OMENDB_CRASH_SECONDS} // 330;
my $seed = $ENV{OMENDB_CRASH_SEED} // (time * 1000) % 1000000007;
srand $seed;
note "OMENDB_CRASH_SEED=$seed";

my $bankers = 3;  # clients of pgbench
my $keepers = 3;  # clients with books of their own
my $started = time;

my $node = new_node('crash', conf => <<'CONF');
omendb.target_file_size = '1MB'
max_wal_size = '64MB'
autovacuum_naptime = 2
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE EXTENSION amcheck;
ALTER DATABASE postgres SET default_table_access_method = omendb;
SQL
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE progress (client int PRIMARY KEY, step int);
CREATE TABLE items (client int, id int, kind int, body text, PRIMARY KEY (client, id));
CREATE INDEX items_kind ON items (kind, client);
CREATE INDEX items_body ON items (body);
CREATE TABLE audit (client int, op text, id int, old text, new text);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit VALUES (coalesce(NEW.client, OLD.client), TG_OP, coalesce(NEW.id, OLD.id),
                            OLD.body, NEW.body);
  RETURN NULL;
END $$;
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON items
  FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TABLE batches (client int, batch int, n int, x bigint, label text);
CREATE UNIQUE INDEX batches_key ON batches (client, batch, n);
CREATE INDEX batches_x ON batches (x);
CREATE INDEX batches_label ON batches USING hash (label);
CREATE FUNCTION copy_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.n = 7 THEN
    INSERT INTO audit VALUES (NEW.client, 'BATCH', NEW.batch, NULL, NEW.label);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER copy_label AFTER INSERT ON batches FOR EACH ROW EXECUTE FUNCTION copy_label();
SQL
$node->safe_psql('postgres', "INSERT INTO progress SELECT g, 0 FROM generate_series(1, $keepers) g");
{
	local $ENV{PGOPTIONS} = '-c default_table_access_method=omendb';
	$node->command_ok([ 'pgbench', '-i', '-q', '-s', '1', 'postgres' ], 'pgbench -i');
}

my $script = PostgreSQL::Test::Utils::tempdir() . '/tpcb.sql';
append_to_file($script, <<'SQL');
\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
\set who :round * 100 + :client_id
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime, filler)
  VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP, :who);
END;
SQL

# What client `keeper` does in its `step`-th transaction, which follows from these two numbers and
# the state of its books alone: the statements, and the books afterwards. So the test can say from
# the number of a transaction what must be in the tables.
sub plan_step
{
	my ($keeper, $step, $books) = @_;
	srand(($keeper * 7919 + $step * 104729) % 2147483647);
	my @ids = sort { $a <=> $b } keys %{ $books->{items} };
	my @sql = ('BEGIN');
	my $pick = sub { $ids[ int(rand(@ids)) ] };
	my $count = sub { my ($op) = @_; $books->{audit}{$op}++; };
	my $body = sub { return "b$keeper-$step-" . int(rand(1000)) . ('x' x int(rand(60))); };
	my $insert = sub {
		my ($number) = @_;
		my @rows;
		for (1 .. $number)
		{
			my ($id, $kind, $text) = (++$books->{next_id}, int(rand(20)), $body->());
			$books->{items}{$id} = "$kind|$text";
			push @rows, "($keeper, $id, $kind, '$text')";
			$count->('INSERT');
		}
		push @sql, 'INSERT INTO items VALUES ' . join(', ', @rows);
	};
	my $change = sub {
		my ($column) = @_;
		my $id = $pick->();
		my ($kind, $text) = split /\|/, $books->{items}{$id}, 2;
		if ($column eq 'kind') { $kind = int(rand(20)) } else { $text = $body->() }
		push @sql, "UPDATE items SET $column = "
		  . ($column eq 'kind' ? $kind : "'$text'") . " WHERE client = $keeper AND id = $id";
		$books->{items}{$id} = "$kind|$text";
		$count->('UPDATE');
	};
	my $remove = sub {
		my $id = $pick->();
		return unless delete $books->{items}{$id};
		push @sql, "DELETE FROM items WHERE client = $keeper AND id = $id";
		$count->('DELETE');
		@ids = grep { $_ != $id } @ids;
	};
	my $copy = sub {
		my $batch = ++$books->{batch};
		my $rows = 1 + int(rand(400));
		my $text = '';
		my $sum = 0;
		for my $n (1 .. $rows)
		{
			my $x = int(rand(1e9));
			$text .= "$keeper\t$batch\t$n\t$x\tlabel $batch $n\n";
			$sum += $x;
		}
		push @sql, "COPY batches FROM STDIN;\n$text\\.";
		$books->{batches}{$batch} = "$rows|$sum";
		$count->('BATCH') if $rows >= 7;
		my $old = $batch - 5;
		push @sql, "DELETE FROM batches WHERE client = $keeper AND batch = $old"
		  if delete $books->{batches}{$old};
	};

	# Nothing of this may stay.
	if (rand() < 0.15)
	{
		push @sql, "INSERT INTO items SELECT $keeper, 1000000000 + g, 1, 'never' "
		  . 'FROM generate_series(1, ' . int(1 + rand(300)) . ') g';
		push @sql, "UPDATE items SET body = 'never' WHERE client = $keeper AND kind < 5";
		push @sql, 'ROLLBACK', 'BEGIN';
	}
	my $what = rand();
	if (@ids < 20 || $what < 0.2) { $insert->(1) }
	elsif ($what < 0.3) { $insert->(2 + int(rand(60))) }
	elsif ($what < 0.5) { $change->('body') for 1 .. 1 + int(rand(3)) }
	elsif ($what < 0.6) { $change->('kind') for 1 .. 1 + int(rand(3)) }
	elsif ($what < 0.65)
	{
		my $id = $pick->();
		for (1 .. 20) { @ids = ($id); $change->('body') }
	}
	elsif ($what < 0.85) { $copy->() }
	else { $remove->() for 1 .. 1 + int(rand(@ids > 300 ? 100 : 5)) }
	if (rand() < 0.1)
	{
		push @sql, 'SAVEPOINT s',
		  "UPDATE items SET body = 'never', kind = 99 WHERE client = $keeper",
		  "DELETE FROM batches WHERE client = $keeper", 'ROLLBACK TO s';
		$insert->(1);
	}
	push @sql, "UPDATE progress SET step = $step WHERE client = $keeper";
	return @sql;
}

sub copy_of
{
	my ($books) = @_;
	my %copy = %$books;
	$copy{$_} = { %{ $books->{$_} } } for qw(items audit batches);
	return \%copy;
}

# One client: goes on until it loses its connection. Tells by a file how far it came.
sub keep_books
{
	my ($keeper, $step, $books, $file) = @_;
	open my $log, '>', $file or die "$file: $!";
	$log->autoflush(1);
	my $session = session($node);
	while (1)
	{
		$step++;
		print $log "begin $step\n";
		for my $sql (plan_step($keeper, $step, $books), 'COMMIT')
		{
			defined $session->query($sql, 60) or return;
			next unless defined $session->error;
			return if $session->error =~ /^(57P|08)/;
			print $log "error $step " . $session->error . " in $sql\n";
			die 'keeper got ' . $session->error . " in $sql";
		}
		print $log "commit $step\n";
	}
}

# Keeps the workers busy: there is not enough written to do it.
sub disturb
{
	my $session = session($node);
	srand;
	while (1)
	{
		my $what = rand();
		my $sql = $what < 0.6 ? 'SELECT omendb.flush()'
		  : $what < 0.75 ? 'CHECKPOINT'
		  : $what < 0.9 ? 'SELECT omendb.compact()'
		  : 'VACUUM items, batches, pgbench_accounts';
		defined $session->query($sql, 120) or return;
		return if defined $session->error;
		sleep rand(0.3);
	}
}

# Where a worker can kill itself, by what it is doing then.
my %points = (
	flush => [qw(before_judge after_judge flush_after_files before_commit after_commit after_publish
		  before_segment_reset)],
	ingest => [qw(flush_before_ingest flush_after_ingest)],
	compaction => [qw(compaction_begin compaction_file compaction_fold compaction_end before_unlink)],
	checkpoint => [qw(checkpoint_flush)]);
my %group_of = map { my $group = $_; map { $_ => $group } @{ $points{$group} } } keys %points;
my @points = sort keys %group_of;
my @recovery_points = qw(redo_flush cleanup_flush flush_after_files flush_after_ingest after_commit
  before_segment_reset compaction_fold);
my @plan = (
	(map { [ 'point', $_ ] } @points),
	(map { [ 'recovery', $_ ] } @recovery_points),
	map { [$_] } qw(postmaster backend worker guard checkpointer));

sub random_of { return $_[ int(rand(@_)) ]; }

sub client_backend
{
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
		  . 'AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1');
}

my @books = map { { items => {}, audit => {}, batches => {}, next_id => 0, batch => 0 } } 0 .. $keepers;
my @step = (0) x ($keepers + 1);
my %history;  # round and client => number of transactions
my $log_dir = PostgreSQL::Test::Utils::tempdir();
my %done;     # what was done => number of rounds
my %reached;  # group => number of rounds in which it was really there that a process died

# The first rounds are those of the plan.
sub choose
{
	my ($round) = @_;
	return @{ $plan[ $round - 1 ] } if $round <= @plan;
	my $kind = random_of(qw(postmaster backend worker guard point point point point recovery checkpointer));
	return ($kind, $kind eq 'point' ? random_of(@points) : $kind eq 'recovery' ? random_of(@recovery_points) : undef);
}

# How often a point is passed before the process dies there.
sub visits
{
	my ($point, $round) = @_;
	return 1 if $round <= @plan && $point ne 'compaction_fold';
	return 1 + int(rand($point eq 'compaction_fold' ? 200 : $group_of{$point} eq 'compaction' ? 2 : 4));
}

# Kills somebody; says whom or where.
sub crash
{
	my ($disturber, $round, $kind, $point) = @_;
	if ($kind eq 'point')
	{
		my $at = $point . ':' . visits($point, $round);
		my $from = log_position($node);
		set_failure_point($node, $at);
		# The disturber loses its connection like everyone else.
		my $gone = wait_for($round <= @plan ? 30 : 8, sub { waitpid($disturber, POSIX::WNOHANG()) != 0 });
		# Only the workers have such points.
		if ($gone && wait_for(10, sub {
			slurp_file($node->logfile, $from) =~ /"omendb \w+ \w+" \(PID \d+\) was terminated by signal 9/ }))
		{
			$reached{ $group_of{$point} }++;
			$reached{"point $point"}++;
			return $at;
		}
		$node->kill9;
		return "$at (not reached)";
	}
	if ($kind eq 'postmaster' || $kind eq 'recovery')
	{
		# Recovery flushes before it replays a checkpoint's record if rows were written since its start.
		$node->psql('postgres', 'CHECKPOINT') if ($point // '') eq 'redo_flush';
		$node->kill9;
		$reached{postmaster}++;
		return $kind;
	}
	my $pid = $kind eq 'backend' ? client_backend()
	  : worker_pid($node, $kind eq 'worker' ? 'omendb store worker'
		: $kind eq 'guard' ? 'omendb checkpoint guard' : 'checkpointer');
	if ($pid && kill(9, $pid) == 1)
	{
		$reached{$kind}++;
		return $kind;
	}
	return "$kind (not found)";
}

# Brings the server back; for recovery it crashes once more on the way.
sub recover
{
	my ($round, $kind, $point) = @_;
	set_failure_point($node, '');
	if ($kind eq 'recovery')
	{
		my $at = $point . ':' . ($round <= @plan ? 1 : 1 + int(rand(2)));
		my $from = log_position($node);
		set_failure_point($node, $at);
		start_to_crash($node);
		set_failure_point($node, '');
		my $log = slurp_file($node->logfile, $from);
		my $there = $log =~ /(?:startup process|"omendb store worker") \(PID \d+\) was terminated by signal 9/;
		if ($there)
		{
			$reached{recovery}++;
			$reached{"recovery at $point"}++;
		}
		$node->kill9;
		start_again($node);
		return " and then at $at of recovery" . ($there ? '' : ' (not reached)');
	}
	if (defined $node->{_pid}) { wait_until_up($node) } else { start_again($node) }
	return '';
}

for my $round (1 .. $rounds)
{
	last if $round > $least_rounds && time - $started > $time_limit;
	unlink glob("$log_dir/*");
	my $disturber = in_child(\&disturb);
	my $pgbench = in_child(sub {
		open STDOUT, '>', "$log_dir/out";
		open STDERR, '>&', \*STDOUT;
		exec 'pgbench', '-n', '-c', $bankers, '-T', 300, '-D', "round=$round", '-l',
		  "--log-prefix=$log_dir/log", '-s', 1, '-f', $script, $node->connstr('postgres');
	});
	my @children = map {
		my $keeper = $_;
		in_child(sub {
			keep_books($keeper, $step[$keeper], $books[$keeper], "$log_dir/keeper$keeper") });
	} 1 .. $keepers;
	my ($kind, $point) = choose($round);
	sleep 0.5 + rand(1);
	my $at = crash($disturber, $round, $kind, $point);
	waitpid $disturber, 0;
	waitpid $pgbench, 0;
	my $failed = wait_for_children(@children);
	$at .= recover($round, $kind, $point);
	$done{$at}++;

	subtest "round $round: $at" => sub {
		is($failed, 0, 'no keeper saw an error');
		unlike(slurp_file("$log_dir/out"), qr/ERROR: /, 'no client of pgbench saw an error');
		my $session = session($node);
		my $sums = $session->do(<<'SQL');
SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
       (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
SQL
		my @sums = split /\|/, $sums;
		is(scalar(grep { $_ == $sums[0] } @sums), 4, "the books balance: $sums");
		is($session->do('SELECT count(*), count(DISTINCT aid) FROM pgbench_accounts'),
			'100000|100000', 'every account is there once');

		my %seen = map { /^(\d+)\s*\|(\d+)$/ ? ($1 => $2) : () } split /\n/,
		  $session->do('SELECT filler, count(*) FROM pgbench_history GROUP BY 1');
		my %acknowledged;
		for my $file (glob "$log_dir/log.*")
		{
			$acknowledged{ (split ' ')[0] }++ for split /\n/, slurp_file($file);
		}
		for my $client (0 .. $bankers - 1)
		{
			my $who = $round * 100 + $client;
			my $least = $acknowledged{$client} // 0;
			my $found = $seen{$who} // 0;
			ok($found == $least || $found == $least + 1,
				"pgbench client $client: $least transactions acknowledged, $found found");
			$history{$who} = $found if $found > 0;
		}
		is_deeply(\%seen, \%history, 'the history of earlier rounds is as it was');

		for my $keeper (1 .. $keepers)
		{
			my $log = -e "$log_dir/keeper$keeper" ? slurp_file("$log_dir/keeper$keeper") : '';
			my ($begun) = $log =~ /.*^begin (\d+)$/ms;
			my ($committed) = $log =~ /.*^commit (\d+)$/ms;
			$committed //= $step[$keeper];
			my $step = $session->do("SELECT step FROM progress WHERE client = $keeper");
			ok($step == $committed || $step == ($begun // -1),
				"keeper $keeper: $committed committed, $step found");
			my $books = $books[$keeper];
			plan_step($keeper, $_, $books) for $step[$keeper] + 1 .. $step;
			$step[$keeper] = $step;

			my @rows = split /\n/, $session->do(
				"SELECT id, kind, body FROM items WHERE client = $keeper ORDER BY id");
			my @expected = map { "$_|$books->{items}{$_}" }
			  sort { $a <=> $b } keys %{ $books->{items} };
			is_deeply(\@rows, \@expected, "keeper $keeper: its items");
			@rows = split /\n/, $session->do('SELECT batch, count(*), sum(x) FROM batches '
				  . "WHERE client = $keeper GROUP BY 1 ORDER BY 1");
			@expected = map { "$_|$books->{batches}{$_}" }
			  sort { $a <=> $b } keys %{ $books->{batches} };
			is_deeply(\@rows, \@expected, "keeper $keeper: its batches");
			my %audit = map { split /\|/ } split /\n/,
			  $session->do("SELECT op, count(*) FROM audit WHERE client = $keeper GROUP BY 1");
			is_deeply(\%audit, $books->{audit}, "keeper $keeper: what its triggers wrote");
		}
		if ($round % 10 == 0)
		{
			check_index($node, 'items', 'items_pkey', 'client, id', "round $round");
			check_index($node, 'items', 'items_kind', 'kind, client', "round $round");
			check_index($node, 'items', 'items_body', 'body', "round $round");
			check_index($node, 'batches', 'batches_key', 'client, batch, n', "round $round");
			check_index($node, 'batches', 'batches_x', 'x', "round $round");
			check_index($node, 'pgbench_accounts', 'pgbench_accounts_pkey', 'aid', "round $round");
		}
	} or last;
	# plan_step left the generator where the next round would repeat this one's choices.
	srand($seed + $round);
}
note sprintf '%d rounds in %d s, transactions: %d of pgbench, %d of keepers',
  sum0(values %done), time - $started, sum0(values %history), sum0(@step);
note "$_: $done{$_}" for sort keys %done;
note "really reached: $_: $reached{$_}" for sort keys %reached;
cmp_ok(sum0(values %done), '>=', $rounds < $least_rounds ? $rounds : $least_rounds, 'enough rounds');
if ($rounds >= @plan)
{
	cmp_ok($reached{$_} // 0, '>', 0, "somebody died in or of: $_")
	  for sort keys %points, qw(recovery postmaster backend worker guard checkpointer);
}
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|signal 11|signal 6/, 'nobody crashed by itself');
$node->stop;
done_testing();
