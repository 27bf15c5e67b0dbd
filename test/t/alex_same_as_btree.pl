# Tables alike in all but the method of their indexes, btree or alex, and in their own, omendb or heap:
# each transaction changes all four, so one snapshot sees the same rows in them, by any index and by a
# sequential scan. Eight sessions insert, update, delete and upsert rows whose keys collide, with
# savepoints and rollbacks; others read, VACUUM, REINDEX, flush and compact; the server is killed and
# restarted; a standby answers the same queries.
#
# A change is made in one table first. If that succeeds, the row locks and keys taken there keep the
# others off the same rows, so it must succeed in the other three. Whose turn is first changes.
#
# OMENDB_RANDOM_SECONDS says for how long, OMENDB_RANDOM_SEED gives a run the same random numbers, though
# not the same order of events.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Time::HiRes qw(sleep time);

my $seed = $ENV{OMENDB_RANDOM_SEED} // (time * 1000) % 1000000007;
my $time_limit = $ENV{OMENDB_RANDOM_SECONDS} // 50;
note "OMENDB_RANDOM_SEED=$seed";
srand($seed);

# First two are omendb tables, a* have alex indexes.
my @tables = qw(bo ao bh ah);

my $node = new_node('indexes', allows_streaming => 1, conf => <<'CONF');
omendb.target_file_size = '1MB'
autovacuum = off
deadlock_timeout = '50ms'
wal_keep_size = '2GB'
max_wal_size = '256MB'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
for my $table (@tables)
{
	my $method = $table =~ /^a/ ? 'alex' : 'btree';
	my $kind = $table =~ /o$/ ? 'omendb' : 'heap';
	$node->safe_psql('postgres', <<"SQL");
SET omendb.default_index_method = $method;
CREATE TABLE $table (k bigint NOT NULL, u int, g int, s text COLLATE "C", n numeric, t timestamptz, v int, x int) USING $kind;
CREATE UNIQUE INDEX ${table}_k ON $table USING $method (k);
CREATE UNIQUE INDEX ${table}_u ON $table USING $method (u) INCLUDE (v);
CREATE INDEX ${table}_s_g ON $table USING $method (s, g DESC);
CREATE INDEX ${table}_part ON $table USING $method (g, k) WHERE v < 8;
CREATE INDEX ${table}_lower ON $table USING $method (lower(s) DESC, (k % 7));
CREATE INDEX ${table}_incl ON $table USING $method (g, t DESC NULLS LAST) INCLUDE (s, n);
CREATE INDEX ${table}_n ON $table USING $method (n NULLS FIRST, k);
CREATE INDEX ${table}_t ON $table USING $method (t, u DESC);
ALTER TABLE $table ADD CONSTRAINT ${table}_x UNIQUE (x) DEFERRABLE;
SQL
}
is($node->safe_psql('postgres', "SELECT string_agg(t.relname || ' ' || a.amname, ', ' ORDER BY t.relname DESC) FROM pg_index "
	  . 'JOIN pg_class t ON t.oid = indrelid JOIN pg_class i ON i.oid = indexrelid JOIN pg_am a ON a.oid = i.relam '
	  . "WHERE i.relname = t.relname || '_x'"), 'bo btree, bh btree, ao alex, ah btree', 'constraints have their methods');

$node->safe_psql('postgres', <<'SQL');
-- What a row is when it is inserted: nothing but the key and a seed decide.
CREATE FUNCTION rows_of(first bigint, count int, step int, seed int)
RETURNS TABLE (k bigint, u int, g int, s text, n numeric, t timestamptz, v int, x int) STABLE LANGUAGE sql AS $$
  SELECT key, CASE WHEN h % 5 > 1 THEN (h / 5 % 3000)::int END, CASE WHEN h % 11 > 0 THEN (h / 11 % 40)::int END,
         CASE WHEN h % 13 > 0 THEN (ARRAY['anna', 'Berta', 'carl', 'Dora', 'emil', ''])[1 + h / 13 % 6] || repeat('-', (h / 7 % 3)::int) || h / 17 % 20 END,
         CASE WHEN h % 9 > 0 THEN round((h / 9 % 2000 - 1000)::numeric / 4, (h % 3)::int) END,
         CASE WHEN h % 8 > 0 THEN timestamptz '2024-01-01 00:00+00' + h / 8 % 500 * interval '1 hour' END,
         (h % 16)::int, (key % 1000000)::int
  FROM (SELECT key, hashint8extended(key, seed) & 1048575 h FROM generate_series(first, first + (count - 1) * step, step) key) y
$$;

CREATE FUNCTION below(n int) RETURNS int LANGUAGE sql AS 'SELECT floor(random() * n)::int';
-- Most keys are from a few that everybody wants.
CREATE FUNCTION some_key() RETURNS bigint LANGUAGE sql AS
  'SELECT CASE WHEN random() < 0.7 THEN below(150) ELSE below(20000) * CASE WHEN random() < 0.1 THEN -7919 ELSE 1 END END';

-- Changes the first table; if that has changed a row, the others alike.
CREATE FUNCTION apply(tables text[], statement text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  expected int; changed int;
BEGIN
  BEGIN
    EXECUTE replace(statement, '@', tables[1]);
    GET DIAGNOSTICS expected = ROW_COUNT;
  EXCEPTION WHEN unique_violation OR serialization_failure OR deadlock_detected THEN
    RETURN -1;
  END;
  IF expected = 0 THEN RETURN 0; END IF;
  FOR i IN 2 .. array_length(tables, 1) LOOP
    EXECUTE replace(statement, '@', tables[i]);
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> expected THEN
      RAISE 'DIFFERENT: % changed % rows of % and % of %', statement, expected, tables[1], changed, tables[i];
    END IF;
  END LOOP;
  RETURN expected;
END $$;

-- At READ COMMITTED the tables are looked at by different snapshots: only what names one row by its
-- key, and so is held off by the lock on that row, changes all alike.
CREATE FUNCTION change(tables text[], one_snapshot bool) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  key bigint := some_key(); seed int := below(1000); kind int := below(CASE WHEN one_snapshot THEN 14 ELSE 10 END);
BEGIN
  RETURN apply(tables, CASE kind
    WHEN 0 THEN format('INSERT INTO @ SELECT * FROM rows_of(%s, 1, 1, %s)', key, seed)
    WHEN 1 THEN format('INSERT INTO @ SELECT * FROM rows_of(%s, %s, %s, %s)', below(1000000), 1 + below(200), 1 + below(1000), seed)
    WHEN 2 THEN format('INSERT INTO @ SELECT * FROM rows_of(%s, 1, 1, %s) ON CONFLICT (k) DO UPDATE SET v = @.v + 1, g = EXCLUDED.g', key, seed)
    WHEN 3 THEN format('INSERT INTO @ SELECT * FROM rows_of(%s, 1, 1, %s) ON CONFLICT (u) DO UPDATE SET n = @.n + 1, t = EXCLUDED.t', key, seed)
    WHEN 4 THEN format('UPDATE @ SET v = v + 1 WHERE k = %s', key)
    WHEN 5 THEN format('UPDATE @ SET g = %s, s = s || ''x'' WHERE k = %s', below(40), key)
    WHEN 6 THEN format('UPDATE @ SET k = %s WHERE k = %s', some_key(), key)
    WHEN 7 THEN format('UPDATE @ SET u = %s, t = t + interval ''1 day'' WHERE k = %s', below(3000), key)
    WHEN 8 THEN format('DELETE FROM @ WHERE k = %s', key)
    WHEN 9 THEN format('UPDATE @ SET n = n * 10, x = %s WHERE k = %s', below(1000), key)
    WHEN 10 THEN format('UPDATE @ SET v = v - 1, n = NULL WHERE g = %s AND k < 500', below(40))
    WHEN 11 THEN format('DELETE FROM @ WHERE k BETWEEN %s AND %s', key, key + 300)
    WHEN 12 THEN format('UPDATE @ SET x = -x WHERE x BETWEEN %s AND %s', key, key + 5)
    WHEN 13 THEN format('UPDATE @ SET s = upper(s), k = k + 1000000 WHERE u < %s AND s > ''Dora''', below(300))
  END);
END $$;

-- The same query in every table and by every kind of plan. A transaction at REPEATABLE READ that has
-- changed rows may see a unique key twice: in a row that others have deleted since its snapshot, and in
-- its own. Their order is open then: `in_order` is false.
CREATE FUNCTION compare(tables text[], in_order bool) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  key bigint := some_key(); g int := below(40);
  one text := quote_literal((ARRAY['anna', 'BERTA', 'carl-', 'Dora', 'emil', ''])[1 + below(6)]);
  query text := CASE below(18)
    WHEN 0 THEN format('SELECT * FROM @ WHERE k = %s', key)
    WHEN 1 THEN format('SELECT k, g FROM @ WHERE k BETWEEN %s AND %s ORDER BY k', key, key + below(2000))
    WHEN 2 THEN format('SELECT k FROM @ WHERE k > %s ORDER BY k DESC LIMIT %s', key, below(300))
    WHEN 3 THEN format('SELECT k, v FROM @ WHERE k = ANY (ARRAY[%s, %s, %s, %s]) ORDER BY k', key, some_key(), some_key(), some_key())
    WHEN 4 THEN format('SELECT u, v FROM @ WHERE u < %s ORDER BY u', below(500))
    WHEN 5 THEN 'SELECT count(*) FROM @ WHERE u IS NULL'
    WHEN 6 THEN format('SELECT s, g, k FROM @ WHERE s > %s ORDER BY s, g DESC, k LIMIT 100', one)
    WHEN 7 THEN format('SELECT s, g FROM @ WHERE (s, g) >= (%s, %s) ORDER BY s, g', one, g)
    WHEN 8 THEN format('SELECT s, g FROM @ WHERE s >= %s AND s < %s || ''z'' AND g IN (%s, %s) ORDER BY s DESC, g', one, one, g, g + 3)
    WHEN 9 THEN format('SELECT g, k FROM @ WHERE v < 8 AND g >= %s ORDER BY g, k', g)
    WHEN 10 THEN format('SELECT lower(s), k %% 7, k FROM @ WHERE lower(s) = lower(%s) AND k %% 7 < 4 ORDER BY 1 DESC, 2, 3', one)
    WHEN 11 THEN format('SELECT g, t, s, n FROM @ WHERE g = %s ORDER BY g, t DESC NULLS LAST, s, n, n::text', g)
    WHEN 12 THEN format('SELECT n, k FROM @ WHERE n <= %s ORDER BY n NULLS FIRST, k', below(500) - 250)
    WHEN 13 THEN 'SELECT n, k FROM @ WHERE n IS NULL ORDER BY k DESC'
    WHEN 14 THEN format('SELECT t, u FROM @ WHERE t >= timestamptz ''2024-01-05 UTC'' + %s * interval ''1 hour'' ORDER BY t, u DESC LIMIT 70', below(300))
    WHEN 15 THEN 'SELECT t, u FROM @ ORDER BY t DESC, u LIMIT 50'
    WHEN 16 THEN format('SELECT x, k FROM @ WHERE x > %s ORDER BY x, k LIMIT 90', below(1000) - 500)
    WHEN 17 THEN 'SELECT min(k), max(k), min(u), max(u), min(t), trim_scale(max(n)), count(*), sum(v) FROM @'
  END;
  plans text[] := ARRAY['seqscan', 'indexscan', 'bitmapscan', 'indexonlyscan'];
  answers text := format('SELECT string_agg(r::text, E''\n'' %s) FROM (%%s) r', CASE WHEN NOT in_order THEN 'ORDER BY r::text' END);
  plan text; tab text; answer text; expected text; again text; by_table text; asked int := 0;
BEGIN
  FOREACH plan IN ARRAY plans LOOP
    PERFORM set_config('enable_' || p, (p = plan OR (p = 'indexscan' AND plan = 'indexonlyscan'))::text, true) FROM unnest(plans) p;
    PERFORM set_config('enable_sort', (plan = 'seqscan' OR plan = 'bitmapscan')::text, true);
    FOREACH tab IN ARRAY tables LOOP
      EXECUTE format(answers, replace(query, '@', tab)) INTO answer;
      IF asked = 0 THEN expected := answer; END IF;
      IF answer IS DISTINCT FROM expected THEN
        -- Whether it lasts, and whether the table still has what it had.
        EXECUTE format(answers, replace(query, '@', tab)) INTO again;
        PERFORM set_config('enable_' || p, (p = 'seqscan')::text, true) FROM unnest(plans) p;
        PERFORM set_config('enable_sort', 'on', true);
        EXECUTE format(answers, replace(query, '@', tab)) INTO by_table;
        RAISE 'DIFFERENT (again: %, then by seqscan: %): % by % in % gives %, by seqscan in % gives %',
          CASE WHEN again IS NOT DISTINCT FROM answer THEN 'the same' WHEN again IS NOT DISTINCT FROM expected THEN 'right' ELSE 'something else' END,
          CASE WHEN by_table IS NOT DISTINCT FROM answer THEN 'the same' WHEN by_table IS NOT DISTINCT FROM expected THEN 'right' ELSE 'something else' END,
          query, plan, tab, left(answer, 1500), tables[1], left(expected, 1500);
      END IF;
      asked := asked + 1;
    END LOOP;
  END LOOP;
  RETURN asked;
END $$;

-- Goes to and fro in the same cursor over each table.
CREATE FUNCTION scroll(tables text[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  query text := (ARRAY['SELECT k FROM @ WHERE k > 50 ORDER BY k', 'SELECT k, g FROM @ WHERE v < 8 AND g > 3 ORDER BY g, k',
    'SELECT n, k FROM @ ORDER BY n NULLS FIRST, k', 'SELECT k, v FROM @ WHERE k IN (1, 5, 70, 71, 72, 140) ORDER BY k'])[1 + below(4)];
  moves text[] := ARRAY(SELECT (ARRAY['NEXT', 'NEXT', 'PRIOR', 'PRIOR', 'RELATIVE 7', 'RELATIVE -5', 'FIRST', 'LAST', 'ABSOLUTE 12'])[1 + below(9)] FROM generate_series(1, 30));
  c refcursor; r record; m text; tab text; answer text; expected text;
BEGIN
  PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true);
  FOREACH tab IN ARRAY tables LOOP
    answer := '';
    c := NULL;
    OPEN c SCROLL FOR EXECUTE replace(query, '@', tab);
    FOREACH m IN ARRAY moves LOOP
      CASE m
        WHEN 'NEXT' THEN FETCH NEXT FROM c INTO r;
        WHEN 'PRIOR' THEN FETCH PRIOR FROM c INTO r;
        WHEN 'RELATIVE 7' THEN FETCH RELATIVE 7 FROM c INTO r;
        WHEN 'RELATIVE -5' THEN FETCH RELATIVE -5 FROM c INTO r;
        WHEN 'FIRST' THEN FETCH FIRST FROM c INTO r;
        WHEN 'LAST' THEN FETCH LAST FROM c INTO r;
        WHEN 'ABSOLUTE 12' THEN FETCH ABSOLUTE 12 FROM c INTO r;
      END CASE;
      answer := answer || m || ' ' || coalesce(r::text, 'nothing') || E'\n';
    END LOOP;
    CLOSE c;
    IF tab = tables[1] THEN expected := answer; END IF;
    IF answer <> expected THEN
      RAISE 'DIFFERENT: cursor of % in % gives %, in % gives %', query, tab, answer, tables[1], expected;
    END IF;
  END LOOP;
  RETURN 1;
END $$;

-- Counts what it did in counters of the session.
CREATE PROCEDURE work(tables text[], number int, seconds float) LANGUAGE plpgsql AS $$
DECLARE
  finish timestamptz := clock_timestamp() + seconds * interval '1 second';
  one_snapshot bool; done int := 0;
BEGIN
  PERFORM setseed(number / 10000.0);
  COMMIT;
  WHILE clock_timestamp() < finish LOOP
    one_snapshot := current_setting('transaction_isolation') = 'repeatable read';
    BEGIN
      FOR i IN 1 .. 1 + below(4) LOOP
        IF random() < 0.2 THEN
          BEGIN
            done := done + greatest(change(tables, one_snapshot), 0) + greatest(change(tables, one_snapshot), 0);
            RAISE 'undo' USING ERRCODE = 'U0001';
          EXCEPTION WHEN SQLSTATE 'U0001' THEN NULL;
          END;
        ELSE
          done := done + greatest(change(tables, one_snapshot), 0);
        END IF;
        IF one_snapshot AND random() < 0.15 THEN PERFORM compare(tables, false); END IF;
      END LOOP;
    EXCEPTION WHEN deadlock_detected THEN
      NULL;  -- with REINDEX, which locks a table and then its index
    END;
    -- For the next one; not after a rollback.
    PERFORM set_config('default_transaction_isolation', (ARRAY['read committed', 'repeatable read'])[1 + below(2)], false);
    IF random() < 0.2 THEN ROLLBACK; ELSE COMMIT; END IF;
  END LOOP;
  RAISE NOTICE 'done %', done;
END $$;

CREATE PROCEDURE look(tables text[], number int, seconds float) LANGUAGE plpgsql AS $$
DECLARE
  finish timestamptz := clock_timestamp() + seconds * interval '1 second';
  done int := 0;
BEGIN
  PERFORM setseed(number / 10000.0), set_config('default_transaction_isolation', 'repeatable read', false);
  COMMIT;
  WHILE clock_timestamp() < finish LOOP
    BEGIN
      FOR i IN 1 .. 1 + below(6) LOOP
        done := done + compare(tables, true);
        IF random() < 0.3 THEN done := done + scroll(tables); END IF;
      END LOOP;
    EXCEPTION WHEN deadlock_detected THEN NULL;
    END;
    COMMIT;
  END LOOP;
  RAISE NOTICE 'done %', done;
END $$;
SQL

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('indexes_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
# A REINDEX leaves out what is dead to the primary's snapshots only, whatever a standby's may see; so
# the slot has to hold back what the standby's queries need, also while nobody is connected.
$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('standby', true)");
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = '20s'\nhot_standby_feedback = on\nprimary_slot_name = 'standby'\nwal_receiver_status_interval = '1s'");
$standby->start;

# The order in which the tables are changed.
sub array { return "ARRAY['" . join("', '", @_) . "']"; }

# Everything says the same, in snapshots and by the tables' own checks.
sub check_all
{
	my ($server, $when) = @_;
	my %seen;
	for my $table (@tables)
	{
		$seen{$table} = $server->safe_psql('postgres', 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; '
			  . "SELECT count(*), count(DISTINCT k), count(u), count(DISTINCT u), md5(string_agg(r::text, E'\\n' ORDER BY k)) FROM $table r");
		my ($rows, $keys, $uses, $uniques) = split /\|/, $seen{$table};
		ok($rows == $keys && $uses == $uniques, "$when: unique keys of $table are unique ($seen{$table})");
		is($seen{$table}, $seen{ $tables[0] }, "$when: $table has the rows of $tables[0]") if $table ne $tables[0];
	}
	# Not those that a REINDEX CONCURRENTLY has left behind.
	my ($ret, $out, $err) = $server->psql('postgres', "SELECT omendb.check_index(i.oid) FROM pg_class i JOIN pg_index ON indexrelid = i.oid "
		  . "JOIN pg_am a ON a.oid = relam WHERE amname = 'alex' AND indisvalid AND indislive");
	is($err, '', "$when: alex indexes are as their tables");
	($ret, $out, $err) = $server->psql('postgres', "SELECT bt_index_check(i.oid, true) FROM pg_class i JOIN pg_index ON indexrelid = i.oid "
		  . "JOIN pg_am a ON a.oid = relam WHERE amname = 'btree' AND indisvalid AND indislive AND indrelid::regclass::text IN ('bo', 'ao', 'bh', 'ah')");
	is($err, '', "$when: btrees are as their tables");
	($ret, $out, $err) = $server->psql('postgres', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(compare(' . array(@tables) . ', true)) FROM generate_series(1, 40)');
	is($err, '', "$when: queries");
	return;
}

# A session that runs a procedure. Errors are not printed: they are judged by what the log of its end says.
sub start
{
	my ($server, $call) = @_;
	my $session = session($server);
	$session->do("SET client_min_messages = notice; SET lock_timeout = '20s'");
	$session->send($call);
	return $session;
}

my (@bad, %counts);
sub judge
{
	my ($who, $answer, $may_die, $harmless) = @_;
	if (!defined $answer)
	{
		push @bad, "$who: no answer" unless $may_die;
		return;
	}
	$counts{$who} += $1 if $answer =~ /done (\d+)/;
	push @bad, "$who: $answer" if $answer =~ /(?:ERROR|FATAL|PANIC|WARNING):  / && !($may_die && $answer =~ /:  57P0/)
	  && !(defined $harmless && $answer =~ $harmless);
	return;
}

my $round = 0;
sub run_round
{
	my ($seconds, $end) = @_;
	$round++;
	my $dies = $end eq 'kill' || $end eq 'child';
	# The first of the tables takes the waits and the violations.
	my @order = ([qw(ao bo ah bh)], [qw(ah ao bh bo)], [qw(bo ao bh ah)])[$round % 3]->@*;
	my $number = int rand 9000;
	my @workers = map { start($node, 'CALL work(' . array(@order) . ", $number + $_, $seconds)") } 1 .. 8;
	my @readers = map { start($node, 'CALL look(' . array(@tables) . ", $number + $_, $seconds)") } 9 .. 10;
	# PostgreSQL's REINDEX CONCURRENTLY of a heap table leaves out what only older snapshots of a standby may
	# see, and lets them use the index: with btrees they miss rows as well. So either the standby leaves heap
	# tables alone or this command does. (omendb tables keep such rows: old_snapshots_on_standby.pl.)
	my $heap_on_standby = rand() < 0.5;
	$node->poll_query_until('postgres', 'SELECT xmin IS NOT NULL FROM pg_replication_slots') or die 'no feedback';
	my @asked = $heap_on_standby ? @tables : grep { /o$/ } @tables;
	my @standby_readers = map { start($standby, 'CALL look(' . array(@asked) . ", $number + $_, $seconds)") } 11 .. 12;
	my $janitor = session($node);
	$janitor->do("SET lock_timeout = '2s'");
	my $stop = time + $seconds;
	$stop -= rand $seconds / 2 if $dies;
	while (time < $stop)
	{
		my $table = $tables[ rand @tables ];
		my $index = (qw(k u s_g part lower incl n t x))[ rand 9 ];
		my $what = rand 100;
		my $command =
		    $what < 30 ? 'SELECT omendb.flush()'
		  : $what < 40 ? 'SELECT omendb.compact()'
		  : $what < 65 ? "VACUUM $table"
		  : $what < 70 ? "VACUUM (FREEZE) $table"
		  : $what < 76 ? "REINDEX INDEX ${table}_$index"
		  : $what < 80 ? "REINDEX TABLE $table"
		  : $what < 90 ? "REINDEX INDEX CONCURRENTLY ${table}_$index"
		  : $what < 94 ? 'CHECKPOINT'
		  :              "ANALYZE $table";
		next if $command =~ /CONCURRENTLY/ && $table =~ /h$/ && $heap_on_standby;
		my $answer = $janitor->query($command);
		judge("$command", $answer, $dies, qr/40P01|55P03/);
		last if $janitor->is_dead;
		$janitor->query("DROP INDEX IF EXISTS ${table}_${index}_ccnew, ${table}_${index}_ccold") if $command =~ /CONCURRENTLY/ && $answer =~ /ERROR/;
		sleep 0.02 + rand 0.1;
	}
	if ($end eq 'kill')
	{
		kill 9, $node->{_pid};
	}
	elsif ($end eq 'child')
	{
		crash_by_killing($node, worker_pid($node, 'omendb store'));
	}
	judge('work', $_->answer, $dies) for @workers;
	judge('look', $_->answer, $dies) for @readers;
	# Cancelled for what recovery had to do.
	judge('look on the standby', $_->answer, 0, qr/40001|40P01|57014|55P03|57P0/) for @standby_readers;
	$_->quit for @workers, @readers, @standby_readers, $janitor;
	if ($end eq 'kill') { start_again($node) }
	elsif ($end eq 'fast') { $node->restart('fast') }
	return;
}

my $started = time;
my @ends = qw(child kill none fast kill);
my $length = $time_limit / @ends < 8 ? $time_limit / @ends : 8;
do
{
	my $end = $ends[ $round % @ends ];
	run_round($length, $end);
	check_all($node, "round $round, $end");
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	check_all($standby, "round $round on the standby");
} while (!@bad && Test::More->builder->is_passing && (time - $started < $time_limit || $round < @ends));

is(join("\n", @bad), '', 'nobody met an error or a difference');
note join ', ', map { "$_ $counts{$_}" } sort keys %counts;
cmp_ok($counts{work}, '>', 100, 'rows were changed');
cmp_ok($counts{look}, '>', 100, 'queries were compared');
cmp_ok($counts{'look on the standby'}, '>', 20, 'queries were compared on the standby');
$standby->stop;
$node->stop;
done_testing();
