# Rewritten and moved tables, and copied and moved databases, have all their rows: on the standby too,
# after crashes at once, and when the server dies in the middle. What was not finished leaves nothing.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
allow_in_place_tablespaces = on
wal_keep_size = 1GB
CONF
$primary->start;
$primary->safe_psql('postgres', "CREATE TABLESPACE space LOCATION ''");
$primary->safe_psql('postgres', 'CREATE DATABASE source');
$primary->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'start', has_streaming => 1);
$standby->start;

$primary->safe_psql('source', <<'SQL');
CREATE EXTENSION omendb;
CREATE EXTENSION amcheck;
CREATE TABLE t (id int PRIMARY KEY, k int, wide text) USING omendb;
ALTER TABLE t ALTER wide SET STORAGE external;
CREATE INDEX t_k ON t (k);
INSERT INTO t SELECT g, (g * 7919) % 3000, repeat('w', CASE WHEN g % 100 = 0 THEN 5000 ELSE 5 END)
	FROM generate_series(1, 5000) g;
DELETE FROM t WHERE id % 10 = 0;
UPDATE t SET wide = 'in place' WHERE id % 7 = 0;
UPDATE t SET k = k + 1 WHERE id % 11 = 0;
CREATE UNLOGGED TABLE u (a int PRIMARY KEY) USING omendb;
INSERT INTO u SELECT generate_series(1, 100);
SQL
my $rows = 'SELECT count(*), sum(id), sum(k), sum(hashtextextended(wide, 0)) FROM t';
my $tids = 'SELECT count(*), sum(hashtextextended(ctid::text || t::text, 0)) FROM t';
my $expected = $primary->safe_psql('source', $rows);

# The rows are there, the indexes lead to them, and the standby has the same.
sub check
{
	my ($name, $database) = @_;
	is($primary->safe_psql($database, $rows), $expected, "$name: rows");
	my ($ret, $out, $err) = $primary->psql($database, 'SELECT ' . check_sql('indexrelid') . ' FROM pg_index '
		  . "WHERE indrelid = 't'::regclass");
	is($err, '', "$name: indexes");
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	is($standby->safe_psql($database, $tids), $primary->safe_psql($database, $tids), "$name: standby");
	return;
}

sub crash { $primary->kill9; start_again($primary); return; }

# How many storages the store still knows shows in its log when it is opened.
sub storages
{
	my $from = log_position($primary);
	my $count;
	$primary->restart;
	wait_for(60, sub {
		slurp_file($primary->logfile, $from) =~ /omendb store is open: (\d+) storages/ and $count = $1;
	}) or die 'the store was not opened';
	return $count;
}

# A checkpoint makes the sweep look; it must not take what is in use.
sub sweep
{
	$primary->safe_psql('postgres', 'CHECKPOINT');
	$standby->safe_psql('postgres', 'CHECKPOINT');
	sleep 3;
	return;
}

my @commands = (
	[ 'VACUUM FULL', 'source', 'VACUUM FULL t' ],
	[ 'CLUSTER by index', 'source', 'SET enable_sort = off; CLUSTER t USING t_k' ],
	[ 'CLUSTER by sort', 'source', 'SET enable_indexscan = off; CLUSTER t USING t_pkey' ],
	[ 'SET TABLESPACE', 'source', 'ALTER TABLE t SET TABLESPACE space' ],
	[ 'SET TABLESPACE back', 'source', 'ALTER TABLE t SET TABLESPACE pg_default' ]);
for my $command (@commands)
{
	my ($name, $database, $sql) = @$command;
	$primary->safe_psql($database, $sql);
	check($name, $database);
	$primary->safe_psql($database, 'UPDATE t SET k = k WHERE id % 13 = 0; DELETE FROM t WHERE id = 1; '
		  . "INSERT INTO t VALUES (1, 7919 % 3000, 'wwwww')");
	crash();
	check("$name, crash", $database);
	$primary->safe_psql($database, $sql);
	crash();
	sweep();
	check("$name, crash at once", $database);
}

# Unlogged rows go along; a crash takes them.
$primary->safe_psql('source', 'INSERT INTO u SELECT generate_series(101, 200)');
$primary->safe_psql('source', 'ALTER TABLE u SET TABLESPACE space');
is($primary->safe_psql('source', 'SELECT count(*) FROM u'), 100, 'unlogged table moved');
$primary->restart;
is($primary->safe_psql('source', 'SELECT count(*) FROM u'), 100, 'unlogged table after a clean stop');
crash();
is($primary->safe_psql('source', 'SELECT count(*) FROM u'), 0, 'unlogged table after a crash');
$primary->safe_psql('source', 'DROP TABLE u');

for my $strategy ('wal_log', 'file_copy')
{
	my $copy = "copy_$strategy";
	$primary->safe_psql('postgres', "CREATE DATABASE $copy TEMPLATE source STRATEGY $strategy");
	check("copy by $strategy", $copy);
	sweep();
	check("copy by $strategy, sweep", $copy);
	crash();
	check("copy by $strategy, crash", $copy);
	$primary->safe_psql('postgres', "ALTER DATABASE $copy SET TABLESPACE space");
	crash();
	check("moved $copy, crash", $copy);
	$primary->safe_psql('postgres', "ALTER DATABASE $copy SET TABLESPACE pg_default");
	sweep();
	check("moved $copy back", $copy);
	$primary->safe_psql($copy, 'DELETE FROM t');
	check('source of it', 'source');
}
$standby->kill9;
start_again($standby);
check('source', 'source');

# Dies in the middle of copying blocks; afterwards all is as before.
sub die_within
{
	my ($name, $database, $sql) = @_;
	my $from = log_position($primary);
	$primary->psql($database, "SET client_min_messages = error; $sql");
	wait_until_up($primary);
	like(slurp_file($primary->logfile, $from), qr/terminated by signal 9/, "$name died");
	return;
}
for my $command (@commands)
{
	my ($name, $database, $sql) = @$command;
	$sql = 'ALTER TABLE t SET TABLESPACE space' if $name =~ /back/;
	set_failure_point($primary, 'copy_block:5');
	die_within("$name in the middle", $database, $sql);
	set_failure_point($primary, '');
	check("$name in the middle", $database);
}
for my $strategy ('wal_log', 'file_copy')
{
	set_failure_point($primary, 'copy_block:5');
	die_within("copy by $strategy", 'postgres', "CREATE DATABASE never TEMPLATE source STRATEGY $strategy");
	set_failure_point($primary, '');
	check('source', 'source');
	$primary->safe_psql('postgres', "CREATE DATABASE never TEMPLATE source STRATEGY $strategy");
	check("copy by $strategy, again", 'never');
	$primary->safe_psql('postgres', 'DROP DATABASE never');
}

# Cancelled or ended in the middle: neither rows nor files of the new database are left.
my @folders = sort glob($primary->data_dir . '/base/*');
for my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	for my $strategy ('wal_log', 'file_copy')
	{
		sweep();
		my $known = storages();
		set_failure_point($primary, 'copy_block:sleep=500');
		my $session = session($primary);
		$session->send("CREATE DATABASE never TEMPLATE source STRATEGY $strategy;");
		ok(wait_for(60, sub { $primary->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_activity WHERE '
				. "query ~ '^CREATE DATABASE' AND state = 'active'") eq '1'
				&& scalar(() = glob($primary->data_dir . '/base/*')) > @folders }), "$strategy: copying");
		sleep 2;
		$primary->safe_psql('postgres', "SELECT $how(pid) FROM pg_stat_activity WHERE query ~ '^CREATE DATABASE'");
		ok(wait_for(60, sub { $primary->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_activity WHERE '
				. "query ~ '^CREATE DATABASE' AND state = 'active'") eq '0' }), "$how ended it");
		set_failure_point($primary, '');
		is($primary->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'never'"), '0',
			"$how: no database");
		is_deeply([ sort glob($primary->data_dir . '/base/*') ], \@folders, "$how: no files");
		is(storages(), $known, "$how, $strategy: no rows");
	}
}
check('source at the end', 'source');

# The standby as the new primary.
$standby->promote;
is($standby->safe_psql('source', $rows), $expected, 'promoted standby');
done_testing();
