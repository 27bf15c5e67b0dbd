# The same statements, drawn from a seed, in two databases whose tables differ in their access method
# only, and in that of their indexes, btree and alex: heap and omendb answer alike, with the same rows, counts and errors. Four sessions at READ
# COMMITTED and REPEATABLE READ take turns, with savepoints, cursors, row locks, prepared transactions,
# DDL and VACUUM; two of them wait for locks, two give up at once. Between their statements the write
# buffer is flushed, the store is compacted, and the server restarts or is killed.
#
# OMENDB_RANDOM_SECONDS says for how long, OMENDB_RANDOM_SEED repeats a run: the same statements as
# long as the answers are the same.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use RandomStatements;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{OMENDB_RANDOM_SEED} // (time * 1000) % 1000000007;
my $time_limit = $ENV{OMENDB_RANDOM_SECONDS} // 60;
note "OMENDB_RANDOM_SEED=$seed";

my @databases = qw(heap omendb);
# Autovacuum and its statistics would be the one thing that comes at another time in each run.
my $node = new_node('same', conf => <<'CONF');
autovacuum = off
omendb.target_file_size = '1MB'
max_prepared_transactions = 10
max_wal_size = '128MB'
deadlock_timeout = '100ms'
CONF
$node->start;
for my $database (@databases)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
	$node->safe_psql('postgres', "ALTER DATABASE $database SET default_table_access_method = $database");
	$node->safe_psql($database, for_database($RandomStatements::schema, $database));
	is($node->safe_psql($database, "SELECT DISTINCT amname FROM pg_class c JOIN pg_am a ON a.oid = relam "
		  . "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"), $database, "tables of $database");
	# Partitions have the primary key of their parent.
	is($node->safe_psql($database, 'SELECT count(*) FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam '
		  . "WHERE amname = 'alex' AND relkind = 'i' AND relnamespace = 'public'::regnamespace"), $database eq 'heap' ? 0 : 14, "alex indexes of $database");
}

my $statements = RandomStatements->new($seed);
my (@sessions, $janitor, %control, @history, %prepared);
my ($sent, $next_gid, $failed, $waited) = (0, 1, 0, 0);
my %errors;

sub for_database
{
	my ($sql, $database) = @_;
	$sql =~ s/\@method/$database eq 'heap' ? 'btree' : 'alex'/ge;
	$sql =~ s/\@-/$database-/g;
	return $sql;
}

sub connect_all
{
	# A prepared transaction may have a table locked for as long as it takes.
	local $ENV{PGOPTIONS} = '-c lock_timeout=1s';
	%control = map { $_ => session($node, $_) } @databases;
	@sessions = map { open_session($_) } 0 .. 3;
	$janitor = open_session(4);
	refresh_shape();
	return;
}

# A pair of psql sessions, one in each database.
sub open_session
{
	my ($number) = @_;
	local $ENV{PGOPTIONS} = $number < 2 ? '-c lock_timeout=30ms' : '';
	my %pair = (number => $number, state => 'idle', savepoints => 0);
	for my $database (@databases)
	{
		$pair{$database} = session($node, $database);
		$pair{$database}->do('\set QUIET off');
		$pair{$database}->do($RandomStatements::session_schema);
		$pair{pid}{$database} = ($pair{$database}->do('SELECT pg_backend_pid()') =~ /^(\d+)$/m)[0];
	}
	return \%pair;
}

sub refresh_shape
{
	$statements->set_shape(map { [ split /\|/ ] } split /\n/, $control{heap}->do(
		"SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'shape'::regclass "
		  . "AND attnum > 1 AND NOT attisdropped ORDER BY attnum"));
	# There is always one to draw.
	return if @{ $statements->{columns} };
	for my $database (@databases)
	{
		$control{$database}->query('ALTER TABLE shape ADD COLUMN c1 int');
	}
	$statements->set_shape([ 'c1', 'integer' ]);
	return;
}

# What an answer says, without what may differ: the place in the server's source, and of an error all
# but the code and the first line.
sub meaning
{
	my ($answer, $what, $database) = @_;
	$answer =~ s/\b$database-/\@-/g;
	my @lines = grep { !/^(?:LOCATION|HINT|CONTEXT|DETAIL|QUERY|STATEMENT|LINE \d+):? / && !/^\s*\^?$/ } split /\n/, $answer;
	my ($error) = grep { /^(?:ERROR|FATAL):/ } @lines;
	if (defined $error)
	{
		my ($code) = $error =~ /^\w+:  (\w+):/;
		# Never in order; nor is a damage.
		return "INTERNAL $error" if $code =~ /^(?:XX|58|53)/;
		return 'ERROR' if $what->{many} && $code =~ /^(?:23|40|55|22|44)/;
		return $code =~ /^40/ ? $code : $error;
	}
	@lines = sort @lines unless $what->{ordered};
	return join "\n", @lines;
}

sub describe
{
	my ($pair, $sql, %answers) = @_;
	my $text = "session $pair->{number}: $sql\n";
	$text .= "--- $_ says:\n" . substr($answers{$_} // '(no answer)', 0, 3000) . "\n" for @databases;
	return $text;
}

sub mismatch
{
	my ($text) = @_;
	$failed = 1;
	fail("statement $sent of seed $seed is answered alike");
	diag($text);
	my $from = @history > 60 ? @history - 60 : 0;
	diag("What went before:\n" . join("\n", map { substr $_, 0, 400 } @history[ $from .. $#history ]));
	return;
}

# Looks whether both have answered, and whether both wait for a lock, or heap's VACUUM for a page that a
# cursor has pinned: omendb has nothing to wait for then. True once that is clear.
sub settle
{
	my ($pair, $seconds) = @_;
	my $end = time + $seconds;
	my $doubtful = 0;
	while (1)
	{
		for my $database (@databases)
		{
			$pair->{answer}{$database} //= $pair->{$database}->answer(0.01);
			if ($pair->{$database}->is_dead)
			{
				mismatch("the session in $database died: " . describe($pair, $pair->{sql}, %{ $pair->{answer} }));
				return 0;
			}
		}
		my @open = grep { !defined $pair->{answer}{$_} } @databases;
		return 1 unless @open;
		my @waiting = grep {
			my $pid = $pair->{pid}{$_};
			$control{$_}->do("SELECT (SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $pid)"
				  . " + (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'BufferPin' AND pid = $pid)")
		} @open;
		# Both wait; or the one that waits met another row first, and the other an error.
		return 1 if @waiting == 2 || (@waiting == 1 && @open == 1 && $doubtful++ > 20);
		if (time > $end)
		{
			mismatch("no answer after $seconds s: " . describe($pair, $pair->{sql}, %{ $pair->{answer} }));
			return 0;
		}
	}
}

sub execute
{
	my ($pair, $sql, @what) = @_;
	$sent++;
	push @history, "$sent [$pair->{number}] $sql";
	$pair->{sql} = $sql;
	$pair->{what} = { map { $_ => 1 } @what };
	$pair->{answer} = {};
	for my $database (@databases)
	{
		$pair->{$database}->send(for_database($sql, $database));
	}
	return finish($pair);
}

# Takes the answers of a statement if they are there: true if so.
sub finish
{
	my ($pair) = @_;
	return 0 unless settle($pair, 120);
	my %answers = %{ $pair->{answer} };
	if (grep { !defined $answers{$_} } @databases)
	{
		$waited++ unless $pair->{blocked};
		$pair->{blocked} = 1;
		return 0;
	}
	$pair->{blocked} = 0;
	my ($heap, $omendb) = map { meaning($answers{$_}, $pair->{what}, $_) } @databases;
	if ($heap ne $omendb || $omendb =~ /^INTERNAL/)
	{
		mismatch(describe($pair, $pair->{sql}, %answers));
		return 0;
	}
	my ($code) = $answers{heap} =~ /^ERROR:  (\w+):/m;
	$errors{$code}++ if $code;
	if ($pair->{state} eq 'idle')
	{
		$pair->{state} = 'open' if !$code && $pair->{sql} =~ /^BEGIN/;
	}
	elsif ($pair->{sql} =~ /^(?:COMMIT|ROLLBACK|PREPARE)\b(?! TO| PREPARED)/)
	{
		# A failed transaction is rolled back instead.
		my ($gid) = $pair->{sql} =~ /^PREPARE TRANSACTION '\@-(\d+)'/;
		$prepared{$gid} = 1 if defined $gid && $answers{heap} =~ /^PREPARE TRANSACTION$/m;
		$pair->{state} = 'idle';
		$pair->{savepoints} = 0;
	}
	elsif ($code)
	{
		$pair->{state} = 'failed';
	}
	elsif ($pair->{sql} =~ /^ROLLBACK TO/)
	{
		$pair->{state} = 'open';
	}
	$pair->{repeatable} = $pair->{sql} =~ /REPEATABLE/ if $pair->{sql} =~ /^BEGIN/;
	$pair->{repeatable} = 0 if $pair->{state} eq 'idle';
	$pair->{cursor} = $pair->{sql} if $pair->{sql} =~ /^DECLARE/ && !$code;
	$pair->{cursor} = '' if $pair->{state} eq 'idle' || $pair->{sql} =~ /^CLOSE c/ || ($code // '') eq '34000';
	delete $prepared{$1} if $pair->{sql} =~ /PREPARED '\@-(\d+)'/ && !$code;
	refresh_shape() if $pair->{state} eq 'idle' && $pair->{sql} =~ /^(?:COMMIT|ROLLBACK|ALTER)/;
	return 1;
}

sub end_prepared
{
	my ($pair) = @_;
	my $gid = $statements->one(sort { $a <=> $b } keys %prepared);
	execute($pair, ($statements->chance(70) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '\@-$gid'");
	return;
}

sub step
{
	my ($pair) = @_;
	$statements->{repeatable} = $pair->{repeatable};
	my $blocked = grep { $_->{blocked} } @sessions;
	my $state = $pair->{state};
	my $idle = !grep { $_->{state} ne 'idle' || $_->{blocked} } @sessions;
	if ($blocked)
	{
		# Those that wait have met some of their rows, in an order of their own: nothing but what ends
		# their waiting, and reads.
		return execute($pair, $statements->chance(60) ? 'COMMIT' : 'ROLLBACK') if $state ne 'idle' && $statements->chance(60);
		return end_prepared($pair) if $state eq 'idle' && %prepared && $statements->chance(50);
		return execute($pair, @{ $statements->read_statement });
	}
	if ($state eq 'idle')
	{
		my $kind = $statements->weighted(50, 'begin', 12, 'read', 22, 'write', 2, 'ddl', 2, 'maintenance', 3, 'setting', 3, 'prepared', 1, 'concurrently');
		return execute($pair, 'BEGIN ISOLATION LEVEL ' . $statements->one('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ')
			  . ($statements->chance(5) ? ', READ ONLY' : '')) if $kind eq 'begin';
		return execute($pair, @{ $statements->read_statement }) if $kind eq 'read' || ($kind eq 'prepared' && !%prepared);
		return execute($pair, @{ $statements->write_statement }) if $kind eq 'write';
		return execute($pair, @{ $statements->ddl_statement }) if $kind eq 'ddl';
		return execute($pair, @{ $statements->maintenance_statement }) if $kind eq 'maintenance';
		return execute($pair, @{ $statements->setting_statement }) if $kind eq 'setting';
		return end_prepared($pair) if $kind eq 'prepared';
		# Waits for whoever is in a transaction.
		return execute($pair, @{ $statements->read_statement }) unless $idle && !%prepared;
		return execute($pair, $statements->one('REINDEX TABLE CONCURRENTLY items', 'REINDEX INDEX CONCURRENTLY events_v',
			'REINDEX INDEX CONCURRENTLY events_start',
			'DROP INDEX CONCURRENTLY IF EXISTS parts_qty', 'CREATE INDEX CONCURRENTLY IF NOT EXISTS parts_qty ON parts USING @method (qty)'));
	}
	if ($state eq 'failed' && $statements->chance(85))
	{
		return execute($pair, 'ROLLBACK') unless $pair->{savepoints} && $statements->chance(70);
		return execute($pair, 'ROLLBACK TO s' . (1 + $statements->below($pair->{savepoints})));
	}
	# Whether DDL meets an index that an open cursor uses depends on the plan.
	my $kind = $statements->weighted(24, 'read', 40, 'write', 10, 'lock', 7, 'savepoint', 4, 'rollback to', 2, 'release', 12, 'cursor', ($pair->{cursor} ? 0 : 1), 'ddl',
		12, 'commit', 5, 'rollback', 2, 'prepare');
	return execute($pair, @{ $statements->read_statement }) if $kind eq 'read';
	return execute($pair, @{ $statements->write_statement }) if $kind eq 'write';
	return execute($pair, @{ $statements->lock_statement }) if $kind eq 'lock';
	return execute($pair, @{ $pair->{cursor} ? $statements->cursor_statement($pair->{cursor}) : $statements->declare_statement }) if $kind eq 'cursor';
	return execute($pair, @{ $statements->ddl_statement }) if $kind eq 'ddl';
	return execute($pair, 'COMMIT') if $kind eq 'commit';
	return execute($pair, 'ROLLBACK') if $kind eq 'rollback';
	if ($kind eq 'prepare')
	{
		return execute($pair, 'COMMIT') if keys %prepared >= 4;
		return execute($pair, "PREPARE TRANSACTION '\@-" . $next_gid++ . "'");
	}
	return execute($pair, 'SAVEPOINT s' . ++$pair->{savepoints}) if $kind eq 'savepoint' || !$pair->{savepoints};
	return execute($pair, ($kind eq 'release' ? 'RELEASE ' : 'ROLLBACK TO ') . 's' . (1 + $statements->below($pair->{savepoints})));
}

# All rows of all tables, by a sequential scan and by the indexes.
sub compare_tables
{
	my ($when) = @_;
	my %all;
	for my $database (@databases)
	{
		my $session = $control{$database};
		for my $table (@RandomStatements::tables)
		{
			$session->do('SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off');
			my $rows = $session->query("SELECT md5(string_agg(r, E'\\n' ORDER BY r COLLATE \"C\")), count(*) FROM (SELECT t::text r FROM $table t) x");
			my $locked = ($session->error // '') eq '55P03';
			$session->do('RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_bitmapscan');
			return if $locked;
			$all{$database} .= "$table:\n" . ($rows // 'no answer') . "\n";
		}
	}
	if ($all{heap} ne $all{omendb})
	{
		mismatch("the tables differ $when:\n$all{heap}\n$all{omendb}");
		return;
	}
	my %check = (btree => 'bt_index_check(c.oid, true)', alex => 'omendb.check_index(c.oid)');
	for my $method (sort keys %check)
	{
		my $answer = $control{omendb}->query(
			"SELECT count($check{$method}) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam "
			  . "WHERE amname = '$method' AND c.relkind = 'i' AND c.relnamespace = 'public'::regnamespace AND indisvalid");
		mismatch("check of $method indexes $when: " . ($answer // 'no answer')) if !defined $answer || ($control{omendb}->error // '55P03') ne '55P03';
	}
	return;
}

sub restart
{
	my ($how) = @_;
	push @history, "-- $how";
	for my $database (@databases) { $_->quit for $control{$database}, map { $_->{$database} } $janitor, @sessions }
	@sessions = ();
	if ($how eq 'kill')
	{
		kill 9, $node->{_pid};
		start_again($node);
	}
	elsif ($how eq 'child')
	{
		crash_by_killing($node, worker_pid($node, 'omendb store'));
	}
	else
	{
		$node->restart('fast');
	}
	connect_all();
	return;
}

connect_all();
my $started = time;
my %events;
while (!$failed && time - $started < $time_limit)
{
	my $event = $statements->weighted(960, '', 12, 'flush', 6, 'compact', 3, 'checkpoint', 2, 'compare', 1, 'kill', 1, 'fast', 1, 'child');
	$events{$event}++ if $event;
	push @history, "-- $event" if $event;
	if ($event eq 'flush') { $control{omendb}->do('SELECT omendb.flush()') }
	elsif ($event eq 'compact') { $control{omendb}->do('SELECT omendb.compact()') }
	elsif ($event eq 'checkpoint') { $control{heap}->do('CHECKPOINT') }
	elsif ($event eq 'compare') { compare_tables("at statement $sent") unless grep { $_->{blocked} } @sessions }
	elsif ($event) { restart($event); compare_tables("after $event") unless %prepared }
	last if $failed;
	my @free = grep { !$_->{blocked} } @sessions;
	# If they all wait, then for prepared transactions.
	if (@free) { step($statements->one(@free)) } else { end_prepared($janitor) }
	for my $pair (grep { $_->{blocked} } @sessions)
	{
		last if $failed;
		finish($pair);
	}
}
for my $pair (@sessions)
{
	last if $failed;
	execute($pair, 'ROLLBACK') if $pair->{state} ne 'idle' && !$pair->{blocked};
	finish($_) for grep { $_->{blocked} } @sessions;
}
end_prepared($janitor) while !$failed && %prepared;
if (!$failed)
{
	for my $pair (grep { $_->{blocked} } @sessions) { finish($pair); execute($pair, 'ROLLBACK') if $pair->{state} ne 'idle' }
	compare_tables('at the end');
	restart('kill');
	compare_tables('after the last crash');
}
ok(!$failed, "$sent statements of seed $seed are answered alike");
note "$waited waited; events: " . join(', ', map { "$_ $events{$_}" } sort keys %events);
note 'errors: ' . join(', ', map { "$_ $errors{$_}" } sort keys %errors);
cmp_ok($sent, '>', 100, 'some statements were sent');
$node->stop if !$failed;
done_testing();
