# A large index is built in files of its own, which the store worker takes into the store; only then its
# entries are logged. It has every row of its table: after changes, crashes, on a standby, in a base
# backup that was taken meanwhile. A build that fails, at whatever time, leaves nothing behind.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

# Small files, so that every index has several.
my $node = new_node('builds', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 10GB
wal_keep_size = 4GB
omendb.target_file_size = '1MB'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
$node->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('builds_standby');
$standby->init_from_backup($node, 'start', has_streaming => 1);
$standby->append_conf('postgresql.conf', "wal_retrieve_retry_interval = '200ms'");
$standby->start;

# Entries on (note, id) have more than 140 bytes: so many rows are enough for files.
my $rows = 32_000;
my $notes = "SELECT g AS id, repeat(md5(g::text), 4) COLLATE \"C\" AS note FROM generate_series(1, $rows) g";
my $on_notes = 'USING alex (note, id)';
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE t (id bigint, note text COLLATE "C") USING omendb;
INSERT INTO t $notes;
CREATE TABLE h USING heap AS $notes;
CREATE TABLE keys (id bigint) USING heap;
INSERT INTO keys SELECT generate_series(1, 310000);
SQL

my $by_index = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; ';
my $staging = $node->data_dir . '/omendb/staging';

# Files of the store worker's flushes have a number for a name.
sub index_files { my @files = glob "$staging/index-*"; return scalar @files; }
sub flush_files { my @files = grep { !/index-/ } glob "$staging/*"; return scalar @files; }

sub nothing_is_staged
{
	my ($name) = @_;
	ok(wait_for(30, sub { !index_files() && !flush_files() }), "$name: the staging folder is empty")
	  or diag join ' ', glob "$staging/*";
	return;
}

# Without a flush since, entries that went through the write buffer would be there. Those of the store are
# counted as leaves become known.
sub was_built_in_files
{
	my ($index, $entries, $name, $query) = @_;
	$query //= sub { $node->safe_psql('postgres', @_) };
	my $figures = '';
	ok(wait_for(30, sub {
		$figures = $query->("SELECT stored_entries, buffered_entries FROM omendb.index_stat('$index')");
		$figures eq "$entries|0"
	}), "$name: $index went into files") or diag $figures;
	return;
}

sub is_clean
{
	my ($server, $index, $entries, $name) = @_;
	my ($ret, $out, $err) = $server->psql('postgres', "SELECT omendb.check_index('$index')");
	is($err, '', "$name: $index is clean");
	# Those of dead rows count as well.
	cmp_ok($out || 0, '>=', $entries, "$name: $index has all rows");
	return;
}

sub all_are_clean
{
	my ($server, $name) = @_;
	my ($ret, $out, $err) = $server->psql('postgres', 'SELECT count(*), count(omendb.check_index(i.oid)) FROM pg_class i '
		  . "JOIN pg_index ON indexrelid = i.oid JOIN pg_am a ON a.oid = relam WHERE amname = 'alex' AND indisvalid");
	is($err, '', "$name: indexes are clean");
	my ($indexes, $checked) = split /\|/, $out;
	ok($indexes > 0 && $indexes == $checked, "$name: all of them");
	return;
}

sub build { return $node->safe_psql('postgres', "CREATE INDEX $_[0] ON t $on_notes"); }
sub drop { return $node->safe_psql('postgres', "DROP INDEX $_[0]"); }
sub count_of { return $node->safe_psql('postgres', "SELECT count(*) FROM $_[0]"); }
sub crash { $node->kill9; start_again($node); return; }

# The table is as it was and takes rows; the index that was not finished is not there; another one can be built.
sub is_as_before
{
	my ($index, $name) = @_;
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = '$index'"), 0,
		"$name: $index is not there");
	nothing_is_staged($name);
	$node->safe_psql('postgres', "INSERT INTO t VALUES (-1, 'new'); DELETE FROM t WHERE note = 'new'");
	build($index);
	is_clean($node, $index, count_of('t'), "$name, built again");
	drop($index);
	return;
}

# How many storages the store knows shows in its log when it is opened. The file of one that was dropped goes
# with a checkpoint; then it is swept, and forgotten with a flush.
sub are_storages
{
	my ($expected, $name) = @_;
	my $count;
	ok(wait_for(60, sub {
		$node->safe_psql('postgres', 'CHECKPOINT');
		my $from = log_position($node);
		$node->restart;
		wait_for(60, sub { slurp_file($node->logfile, $from) =~ /omendb store is open: (\d+) storages/ and $count = $1 })
		  or die 'the store was not opened';
		$count == $expected;
	}), "$name: no storage is left over") or diag "$count, not $expected";
	return;
}

# A session that waits for the store worker to take its files.
sub start_build
{
	my ($index) = @_;
	my $session = session($node);
	my $pid = $session->do('SELECT pg_backend_pid()');
	$session->send("CREATE INDEX $index ON t $on_notes");
	ok(wait_for(60, sub {
		$node->safe_psql('postgres', "SELECT wait_event FROM pg_stat_activity WHERE pid = $pid") eq 'OmenDBIngest'
	}), "$index waits for the store worker");
	return ($session, $pid);
}

sub is_ended
{
	my ($session, $pid, $how, $name) = @_;
	$node->safe_psql('postgres', "SELECT pg_${how}_backend($pid)");
	my $answer = $session->answer(60);
	if ($how eq 'terminate')
	{
		ok(!defined $answer && $session->is_dead, "$name: terminated");
		ok(wait_for(60, sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") == 0 }),
			"$name: and gone");
	}
	else
	{
		is($session->error, '57014', "$name: cancelled") or diag $answer;
		is($session->do('SELECT 1'), 1, "$name: the session goes on");
	}
	$session->quit;
	return;
}

# One whose files the store worker has taken, but not yet ingested; the worker is stopped there.
sub start_held_build
{
	my ($index) = @_;
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	ok(wait_for(60, sub { !flush_files() }), "$index: nothing else is to be flushed");
	set_failure_point($node, 'flush_before_ingest:sleep=2000');
	sleep 0.5;
	my $worker = worker_pid($node, 'omendb store worker');
	my $session = session($node);
	my $pid = $session->do('SELECT pg_backend_pid()');
	$session->send("CREATE INDEX $index ON t $on_notes");
	# Not at another flush.
	ok(wait_for(60, sub { index_files() > 1 && flush_files() }), "$index: the store worker is at it");
	kill 'STOP', $worker;
	cmp_ok(index_files(), '>', 1, "$index: it has files");
	set_failure_point($node, '');
	return ($session, $pid, $worker);
}

# What was built, and changes of it.
build('t_note');
was_built_in_files('t_note', $rows, 'a build');
nothing_is_staged('a build');
like($node->safe_psql('postgres', $by_index . 'EXPLAIN SELECT note, id FROM t ORDER BY note, id'), qr/^Index (Only )?Scan using t_note/,
	'queries use it');
$node->safe_psql('postgres', <<"SQL");
INSERT INTO t SELECT g, repeat(md5(g::text), 4) FROM generate_series($rows + 1, $rows + 2000) g;
UPDATE t SET note = 'updated ' || id WHERE id <= 500;
DELETE FROM t WHERE id BETWEEN 501 AND 1500;
SQL
my @finds = map { [ $_->[0] =~ /\D/ ? "note = '$_->[0]'" : "note = repeat(md5('$_->[0]'), 4)", $_->[1] ] } [ $rows, $rows ],
  [ $rows + 1500, $rows + 1500 ], [ 'updated 17', 17 ], [ 17, '' ], [ 700, '' ];
for my $flushed (0, 1)
{
	my $name = $flushed ? 'changes in the store' : 'changes in the buffer';
	$node->safe_psql('postgres', 'SELECT omendb.flush()') if $flushed;
	is($node->safe_psql('postgres', "${by_index}SELECT id FROM t WHERE $_->[0]"), $_->[1], "$name: $_->[0]") for @finds;
	check_index($node, 't', 't_note', 'note, id', $name);
}

# Many short entries, of a heap. A key that is there twice is the largest one, so that most files are
# written by then.
$node->safe_psql('postgres', 'CREATE UNIQUE INDEX keys_id ON keys USING alex (id)');
was_built_in_files('keys_id', 310000, 'a unique index of a heap');
my $session = session($node);
$session->query('INSERT INTO keys VALUES (155000)');
is($session->error, '23505', 'it refuses a key that it has');
$session->do('DROP INDEX keys_id');
$session->do('INSERT INTO keys VALUES (310000)');
$session->query('CREATE UNIQUE INDEX keys_id ON keys USING alex (id)');
is($session->error, '23505', 'it is not built if there are two of a key');
is(index_files(), 0, 'and leaves no files');
$session->do('DELETE FROM keys WHERE id = 310000; CREATE UNIQUE INDEX keys_id ON keys USING alex (id)');
is_clean($node, 'keys_id', 309999, 'built once the keys are unique');
$session->do("CREATE UNIQUE INDEX h_note ON h $on_notes");
was_built_in_files('h_note', $rows, 'another one of a heap');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is_clean($standby, 'keys_id', 309999, 'the standby');
$session->do('DROP TABLE keys');
$session->quit;

# Rolled back, built anew.
$session = session($node);
$session->do($_) for 'BEGIN', "CREATE INDEX never ON t $on_notes", 'ROLLBACK', 'BEGIN', 'SAVEPOINT s',
  "CREATE INDEX never ON t $on_notes", 'ROLLBACK TO s', "INSERT INTO t VALUES (200000, 'kept')", 'COMMIT', 'BEGIN',
  'REINDEX INDEX t_note', "INSERT INTO t VALUES (200001, 'never')", 'ROLLBACK';
is_as_before('never', 'a rollback');
is_clean($node, 't_note', count_of('t'), 'a REINDEX that is rolled back');
for my $command ('REINDEX INDEX', 'REINDEX INDEX CONCURRENTLY')
{
	$session->do("$command t_note");
	was_built_in_files('t_note', count_of('t'), $command);
	is_clean($node, 't_note', count_of('t'), $command);
}

# A temporary table.
$session->do("CREATE TEMP TABLE mine USING omendb AS $notes; CREATE INDEX mine_note ON mine $on_notes");
was_built_in_files('mine_note', $rows, 'a temporary table', sub { $session->do(@_) });
$session->do('DELETE FROM mine WHERE id <= 10; INSERT INTO mine SELECT g, md5(g::text) FROM generate_series(-99, 0) g');
is($session->do("SELECT omendb.check_index('mine_note')"), $rows + 100, 'its index has all rows, and the deleted ones');
$session->quit;
nothing_is_staged('builds that ended in several ways');

# Beside writers.
$node->safe_psql('postgres', 'CREATE TABLE log (writer int, n int) USING heap; CREATE TABLE stop () USING heap');
my @writers = map {
	my $writer = session($node);
	$writer->send(<<"SQL");
DO \$\$
BEGIN
  FOR i IN 1 .. 1000000 LOOP
    UPDATE t SET note = 'by $_, ' || i WHERE id = 2000 * $_ + i % 1000;
    INSERT INTO t VALUES ($_ * 1000000 + i, 'new of $_, ' || i);
    DELETE FROM t WHERE id = $_ * 1000000 + i / 2;
    INSERT INTO log VALUES ($_, i);
    COMMIT;
    EXIT WHEN EXISTS (SELECT FROM stop);
    PERFORM pg_sleep(0.005);
  END LOOP;
END \$\$
SQL
	$writer;
} 1, 2;
ok(wait_for(60, sub { count_of('log') > 0 }), 'writers write');
my $writes = count_of('log');
$node->safe_psql('postgres', "CREATE INDEX CONCURRENTLY t_beside ON t $on_notes");
my $later = count_of('log');
cmp_ok($later, '>', $writes, 'they write during CREATE INDEX CONCURRENTLY');
$node->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY t_note');
cmp_ok(count_of('log'), '>', $later, 'and during REINDEX CONCURRENTLY');
$node->safe_psql('postgres', 'INSERT INTO stop DEFAULT VALUES');
for (@writers) { ok(defined $_->answer(60) && !$_->error, 'a writer comes to its end'); $_->quit; }
is_clean($node, 't_note', count_of('t'), 'built beside writers');
check_index($node, 't', 't_beside', 'note, id', 'built beside writers');
drop('t_beside');

# Given up while the store worker has not come to it: its files go at once.
for my $how ('cancel', 'terminate')
{
	my $name = "$how, not taken yet";
	my $worker = worker_pid($node, 'omendb store worker');
	kill 'STOP', $worker;
	my ($building, $pid) = start_build('t_other');
	cmp_ok(index_files(), '>', 1, "$name: it has files");
	is_ended($building, $pid, $how, $name);
	is(index_files(), 0, "$name: they are gone");
	kill 'CONT', $worker;
	is_as_before('t_other', $name) if $how eq 'terminate';
}

# Given up while the store worker is at it, with another one that waits its turn.
for my $how ('cancel', 'terminate')
{
	my $name = "$how, taken";
	my ($building, $pid, $worker) = start_held_build('t_other');
	my ($next) = start_build('t_next');
	is_ended($building, $pid, $how, $name);
	kill 'CONT', $worker;
	ok(defined $next->answer(120) && !$next->error, "$name: the next one is built");
	$next->quit;
	is_clean($node, 't_next', count_of('t'), "$name, the next one");
	drop('t_next');
	is_as_before('t_other', $name) if $how eq 'terminate';
}

# Both are built.
my ($one, undef, $worker) = start_held_build('t_one');
my ($two) = start_build('t_two');
kill 'CONT', $worker;
ok(defined $_->answer(120) && !$_->error, 'one of two builds at once') for $one, $two;
$_->quit for $one, $two;
was_built_in_files($_, count_of('t'), 'two builds at once') for 't_one', 't_two';
is_clean($node, $_, count_of('t'), 'two builds at once') for 't_one', 't_two';
drop($_) for 't_one', 't_two';
are_storages(3, 'builds that failed or were given up');  # t, t_note, h_note

# A crash right behind the commit. An unlogged table is empty afterwards.
$node->safe_psql('postgres', "CREATE UNLOGGED TABLE u USING omendb AS $notes; CREATE INDEX u_note ON u $on_notes");
was_built_in_files('u_note', $rows, 'an unlogged table');
$node->safe_psql('postgres', 'CHECKPOINT');
build('t_crash');
$node->safe_psql('postgres', "UPDATE t SET note = 'behind the build' WHERE id = 5000; DELETE FROM t WHERE id = 5001");
my $expected = count_of('t');
crash();
is(count_of('t'), $expected, 'a crash behind the commit: rows');
check_index($node, 't', 't_crash', 'note, id', 'a crash behind the commit');
nothing_is_staged('a crash behind the commit');
is($node->safe_psql('postgres', "${by_index}SELECT count(*) FROM u WHERE note > ''"), 0, 'the unlogged one is empty');
$node->safe_psql('postgres', "INSERT INTO u VALUES (1, 'one'), (2, 'two')");
is_clean($node, 'u_note', 2, 'the unlogged one');
$node->safe_psql('postgres', "INSERT INTO u $notes; REINDEX INDEX u_note");
was_built_in_files('u_note', $rows + 2, 'the unlogged one, built anew');
is_clean($node, 'u_note', $rows + 2, 'the unlogged one, built anew');
drop('t_crash');

# The store worker dies on the way; so does the whole server, the worker a little later.
for my $point (qw(flush_before_ingest flush_after_ingest))
{
	my $from = log_position($node);
	set_failure_point($node, $point);
	sleep 0.5;
	$session = session($node);
	ok(!defined $session->query("CREATE INDEX t_lost ON t $on_notes", 120), "$point: the session has lost its server");
	ok(wait_for(60, sub { slurp_file($node->logfile, $from) =~ /omendb store worker" \(PID \d+\) was terminated by signal 9/ }),
		"$point: it was reached");
	set_failure_point($node, '');
	$session->quit;
	wait_until_up($node);
	is(count_of('t'), $expected, "$point: rows");
	is_as_before('t_lost', $point);
}
my ($building, undef, $orphan) = start_held_build('t_lost');
$node->kill9;
# It ingests them without a postmaster.
kill 'CONT', $orphan;
$building->quit;
start_again($node);
is(count_of('t'), $expected, 'the postmaster is killed: rows');
is_as_before('t_lost', 'the postmaster is killed');
is_clean($node, $_->[0], count_of($_->[1]), 'after all crashes') for [ 't_note', 't' ], [ 'h_note', 'h' ];

# Base backups, while indexes are built one after the other.
$node->safe_psql('postgres', 'CREATE TABLE built (n int) USING heap');
for my $round (1, 2)
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $end = PostgreSQL::Test::Utils::tempdir() . '/end';
	my $builder = in_child(sub {
		my $session = session($node);
		for (my $n = 1; !-e $end; $n++)
		{
			$session->do("CREATE INDEX built_${round}_$n ON t $on_notes");
			$session->do("UPDATE t SET note = 'round $n, ' || id WHERE id % 1000 = $n");
			$session->do("DROP INDEX built_${round}_@{[$n - 2]}") if $n > 2;
			$session->do($_) for $n % 3 ? () : ('BEGIN', "CREATE INDEX never ON t $on_notes", 'ROLLBACK', 'REINDEX INDEX h_note');
			$session->do("INSERT INTO built VALUES ($n)");
			sleep 0.3;
		}
		$session->do("DROP INDEX $_") for split /\n/, $session->do("SELECT relname FROM pg_class WHERE relname ~ '^built_'");
		$session->quit;
	});
	my ($during, $rate, $backup) = (0, 32);
	# Two that end during it: the later one began during it as well.
	for (my $try = 1; $during < 2 && $rate >= 1; $try++)
	{
		$backup = "round${round}_$try";
		my $before = count_of('built');
		$node->backup($backup, backup_options => [ '--max-rate', "${rate}M" ]);
		$during = count_of('built') - $before;
		$rate = int($rate / 2);
	}
	append_to_file($end, '');
	cmp_ok($during, '>=', 2, "backup $round: indexes were built while it was taken");
	is(wait_for_children($builder), 0, "backup $round: all builds succeeded");
	my $copy = PostgreSQL::Test::Cluster->new("copy_$round");
	$copy->init_from_backup($node, $backup);
	$copy->start;
	all_are_clean($copy, "backup $round");
	is(scalar(my @staged = glob $copy->data_dir . '/omendb/staging/*'), 0, "backup $round: its staging folder is empty");
	$copy->safe_psql('postgres', "CREATE INDEX t_copy ON t $on_notes");
	is_clean($copy, 't_copy', $copy->safe_psql('postgres', 'SELECT count(*) FROM t'), "backup $round, another build");
	$copy->stop;
}

# The standby, which has followed all along, and as the new primary.
build('t_last');
my $in_order = "${by_index}SELECT md5(string_agg(note || ' ' || id, ',')) FROM (SELECT note, id FROM t ORDER BY note, id) s";
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
same_on($node, $standby, $in_order, 'the standby has the same rows in order');
$standby->safe_psql('postgres', 'CHECKPOINT');
all_are_clean($standby, 'standby');
$standby->promote;
same_on($node, $standby, $in_order, 'the new primary has the same rows in order');
all_are_clean($standby, 'new primary');
$standby->safe_psql('postgres', "DELETE FROM t WHERE id % 100 = 0; REINDEX INDEX t_last; CREATE INDEX t_new ON t $on_notes");
all_are_clean($standby, 'new primary, more builds');
$standby->stop;

# Without the records that only standbys and backups need.
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0");
$node->restart;
for my $method ('omendb', 'heap')
{
	$session = session($node);
	$session->do($_) for 'BEGIN', "CREATE TABLE m_$method USING $method AS $notes",
	  "CREATE INDEX m_${method}_note ON m_$method $on_notes", 'COMMIT';
	was_built_in_files("m_${method}_note", $rows, 'wal_level = minimal');
	$session->quit;
}
$node->safe_psql('postgres', 'REINDEX INDEX t_last');
crash();
is_clean($node, $_, $rows, 'wal_level = minimal, a crash') for 'm_omendb_note', 'm_heap_note';
is_clean($node, 't_last', count_of('t'), 'wal_level = minimal, a crash');
$node->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:|signal 11|signal 6/, 'nobody crashed by itself: ' . $_->name) for $node, $standby;
done_testing();
