# Unlogged tables are kept by a clean restart and empty after a crash; temporary ones leave nothing
# behind. The space of dropped and truncated tables comes back.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('unlogged', conf => <<'CONF');
autovacuum = off
omendb.target_file_size = '1MB'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
$node->safe_psql('postgres', <<'SQL');
CREATE UNLOGGED TABLE u (id int PRIMARY KEY, body text) USING omendb;
CREATE UNLOGGED TABLE u_flushed (id int PRIMARY KEY, body text) USING omendb;
CREATE TABLE logged (id int PRIMARY KEY, body text) USING omendb;
SQL

sub fill
{
	$node->safe_psql('postgres', "INSERT INTO u_flushed SELECT g, 'x' FROM generate_series(1, 2000) g");
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	$node->safe_psql('postgres', "INSERT INTO u SELECT g, 'x' FROM generate_series(1, 1000) g; "
		  . "UPDATE u SET body = 'y' WHERE id <= 500; DELETE FROM u WHERE id > 900; "
		  . "TRUNCATE logged; INSERT INTO logged SELECT g, 'x' FROM generate_series(1, 1000) g");
	return;
}

my $all = "SELECT (SELECT count(*) FROM u), (SELECT count(*) FROM u WHERE body = 'y'), "
  . '(SELECT count(*) FROM u_flushed), (SELECT count(*) FROM logged)';
fill();
is($node->safe_psql('postgres', $all), '900|500|2000|1000', 'rows of unlogged tables');
$node->restart;
is($node->safe_psql('postgres', $all), '900|500|2000|1000', 'a clean restart keeps them');

my $crash_worker = sub {
	crash_by_killing($node, worker_pid($node, 'omendb store worker'));
};
# PostgreSQL empties unlogged relations in any recovery, also where there is nothing to replay.
my $to_standby_and_back = sub {
	$node->append_conf('postgresql.conf', 'wal_level = replica');
	$node->restart;
	$node->stop;
	$node->set_standby_mode;
	$node->start;
	$node->promote;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
};
for my $case ([ 'crash', sub { $node->kill9; start_again($node) } ],
	[ 'checkpoint and crash', sub { $node->safe_psql('postgres', 'CHECKPOINT'); $node->kill9; start_again($node) } ],
	[ 'crash of a worker', $crash_worker ],
	[ 'immediate stop', sub { $node->stop('immediate'); $node->start } ],
	[ 'clean stop, start as a standby', $to_standby_and_back ])
{
	my ($name, $crash) = @$case;
	$crash->();
	is($node->safe_psql('postgres', $all), '0|0|0|1000', "$name: unlogged tables are empty");
	is($node->safe_psql('postgres', 'SET enable_seqscan = off; SELECT count(*) FROM u WHERE id > 0'), 0,
		"$name: so are their indexes");
	fill();
	is($node->safe_psql('postgres', $all), '900|500|2000|1000', "$name: they can be filled again");
	check_index($node, 'u', 'u_pkey', 'id', $name);
	$node->restart;
	is($node->safe_psql('postgres', $all), '900|500|2000|1000', "$name: and are kept by a restart");
}
# The truncation is the last thing that happens, and no WAL and no flush tells of it.
my $truncating = session($node);
$truncating->do('BEGIN');
$truncating->do('CREATE UNLOGGED TABLE u_truncated (id int) USING omendb');
$truncating->do('INSERT INTO u_truncated SELECT generate_series(1, 1000)');
$node->safe_psql('postgres', 'SELECT omendb.flush()');
$truncating->do('TRUNCATE u_truncated');
$truncating->do('COMMIT');
$truncating->quit;
$node->restart;
is($node->safe_psql('postgres', 'SELECT count(*) FROM u_truncated'), 0,
	'a truncation just before a clean restart is not forgotten');

$node->safe_psql('postgres', 'ALTER TABLE u SET LOGGED');
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', $all), '900|500|0|1000', 'a table that was made logged is kept');

# Temporary tables: of a session that ends, that is killed, that the server goes down with.
my $storages = "SELECT count(*) FROM omendb.store_stat(), regexp_matches(levels, '.') LIMIT 1";
for my $end ('ends', 'is killed', 'crashes with the server')
{
	my $session = session($node);
	$session->do('CREATE TEMP TABLE mine (id int PRIMARY KEY, body text) USING omendb');
	$session->do("INSERT INTO mine SELECT g, 'x' FROM generate_series(1, 3000) g");
	$session->do("UPDATE mine SET body = 'y' WHERE id % 2 = 0");
	$session->do('DELETE FROM mine WHERE id % 3 = 0');
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	$session->do("INSERT INTO mine SELECT g, 'z' FROM generate_series(5001, 5100) g");
	is($session->do("SELECT count(*), count(*) FILTER (WHERE body = 'y') FROM mine"), '2100|1000',
		"a session's temporary table before it $end");
	$session->do("CREATE TEMP TABLE shortly (id int) USING omendb ON COMMIT DELETE ROWS");
	$session->do('BEGIN; INSERT INTO shortly SELECT generate_series(1, 100)');
	is($session->do('SELECT count(*) FROM shortly'), 100, 'ON COMMIT DELETE ROWS: before');
	$session->do('COMMIT');
	is($session->do('SELECT count(*) FROM shortly'), 0, 'ON COMMIT DELETE ROWS: after');
	if ($end eq 'ends') { $session->quit }
	elsif ($end eq 'is killed')
	{
		crash_by_killing($node, $session->do('SELECT pg_backend_pid()'));
	}
	else { $node->kill9; start_again($node) }
	my $other = session($node);
	is($other->do("SELECT count(*) FROM pg_class WHERE relname = 'mine' AND relpersistence = 't' "
		  . "AND pg_table_is_visible(oid)"), 0, "it is gone when the session $end");
	$other->do('CREATE TEMP TABLE mine (id int PRIMARY KEY, body text) USING omendb');
	is($other->do('SELECT count(*) FROM mine'), 0, 'the next one of that name is empty');
	$other->do("INSERT INTO mine VALUES (1, 'x')");
	is($other->do('SELECT * FROM mine'), '1|x', 'and usable');
	is($node->safe_psql('postgres', "SELECT count(*), min(body) FROM logged"), '1000|x', 'others are as they were');
}

# Space.
my $store = $node->data_dir . '/omendb';
$node->safe_psql('postgres', 'SELECT omendb.flush()');
for my $case (
	[ 'DROP TABLE', 'CREATE TABLE big', 'DROP TABLE big' ],
	[ 'TRUNCATE', 'CREATE TABLE big', 'TRUNCATE big', 'DROP TABLE big' ],
	[ 'an abort of what made it', 'BEGIN; CREATE TABLE big', 'ROLLBACK' ],
	[ 'the end of a temporary table', 'CREATE TEMP TABLE big', 'DROP TABLE big' ],
	[ 'DROP SCHEMA', 'CREATE SCHEMA s; SET search_path = s; CREATE TABLE big', 'DROP SCHEMA s CASCADE' ],
	[ 'a prepared DROP', 'CREATE TABLE big', "BEGIN; DROP TABLE big; PREPARE TRANSACTION 'd'; COMMIT PREPARED 'd'" ])
{
	my ($name, $create, $remove, $clean) = @$case;
	if ($name =~ /prepared/)
	{
		$node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
		$node->restart;
	}
	my $idle = session($node);
	$idle->do('SELECT count(*) FROM logged');
	my $session = session($node);
	$node->safe_psql('postgres', 'SELECT omendb.compact()');
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $before = file_size_sum($store);
	$session->do("$create (id int, body text) USING omendb");
	$session->do("INSERT INTO big SELECT g, md5(g::text) || md5((g + 1)::text) || md5((g + 2)::text) FROM generate_series(1, 120000) g");
	$session->do('SELECT omendb.flush()');
	my $full = file_size_sum($store);
	cmp_ok($full - $before, '>', 8 * 1024 * 1024, "$name: the rows take space");
	$session->do($_) for split /; /, $remove;
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $after;
	ok(wait_for(60, sub { ($after = file_size_sum($store)) - $before < ($full - $before) / 10 }),
		"$name: the space comes back") or diag "before $before, full $full, after $after";
	$session->do($clean) if $clean;
	$session->quit;
}
# A DROP DATABASE that is refused leaves the rows.
{
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	$node->safe_psql('other', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE big (id int, body text) USING omendb;
INSERT INTO big SELECT g, md5(g::text) || md5((g + 1)::text) || md5((g + 2)::text) FROM generate_series(1, 120000) g;
CREATE UNLOGGED TABLE unlogged USING omendb AS SELECT * FROM big;
SELECT omendb.flush();
SQL
	my (undef, undef, $error) = $node->psql('postgres', 'BEGIN; DROP DATABASE other');
	like($error, qr/cannot run inside a transaction block/, 'DROP DATABASE in a transaction is refused');
	my $user = session($node, 'other');
	is($user->do('SELECT count(*) FROM big'), 120000, 'and leaves the rows');
	(undef, undef, $error) = $node->psql('postgres', 'DROP DATABASE other');
	like($error, qr/is being accessed by other users/, 'so is that of a database in use');
	is($user->do('SELECT count(*) FROM big, (SELECT count(*) FROM unlogged) u'), 120000, 'which keeps its rows, too');
	$user->quit;
	$node->safe_psql('postgres', 'ALTER DATABASE other RENAME TO another');
	$node->safe_psql('postgres', 'DROP DATABASE another WITH (FORCE)');
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS another');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname LIKE '%other'"), 0,
		'the database is gone');
}
is($node->safe_psql('postgres', $all), '900|500|0|1000', 'what was not dropped is as it was');
$node->stop;
done_testing();
