# The table of storages has room for as many relations as exist, however many came and went since the
# last checkpoint. A standby with the same limit follows, also one that takes no sessions.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
omendb.max_storages = 64
checkpoint_timeout = 1h
wal_keep_size = 1GB
max_locks_per_transaction = 200
CONF
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION omendb');
$primary->safe_psql('postgres', 'CREATE TABLE kept USING omendb AS SELECT 1 AS id');
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby = off');
$standby->start;

my $session = session($primary);
$session->do('CREATE TEMP TABLE mine (id int) USING omendb ON COMMIT DELETE ROWS');
$session->do('INSERT INTO mine VALUES (1)') for 1 .. 200;
is($session->do('SELECT count(*) FROM mine'), 0, 'commits that empty a temporary table');
for my $kind ('TEMP', 'UNLOGGED', '')
{
	for my $i (1 .. 90)
	{
		$session->do("CREATE $kind TABLE staging (id int) USING omendb");
		$session->do("INSERT INTO staging VALUES ($i)");
		is($session->do('SELECT id FROM staging'), $i, "$kind staging table $i") if $i == 90;
		$session->do('DROP TABLE staging');
	}
}
$session->do('CREATE TABLE truncated (id int) USING omendb');
$session->do('BEGIN; TRUNCATE truncated; INSERT INTO truncated VALUES (1); TRUNCATE truncated; COMMIT') for 1 .. 90;
is($session->do('SELECT * FROM kept'), 1, 'the others are as they were');

# Relations that exist do fill it.
my $made = 0;
for (1 .. 70)
{
	$session->query("CREATE TABLE live_$_ USING omendb AS SELECT $_ AS id");
	last if $session->error;
	$made++;
}
is($session->error, '54000', 'there is a limit');
cmp_ok($made, '>', 55, 'of relations that exist');
$session->do('DROP TABLE live_1');
$session->do('CREATE TABLE another USING omendb AS SELECT 1 AS id');
is($session->do('SELECT * FROM another'), 1, 'one that is dropped makes room for another');
$session->quit;

my $lsn = $primary->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
ok($primary->poll_query_until('postgres',
	"SELECT count(*) > 0 FROM pg_stat_replication WHERE replay_lsn >= '$lsn'"), 'the standby follows');
$standby->promote;
ok(wait_for(60, sub { my ($ret) = $standby->psql('postgres', 'SELECT 1'); $ret == 0 }), 'and can be promoted');
same_on($primary, $standby, 'SELECT (SELECT id FROM kept), (SELECT id FROM another), (SELECT id FROM live_50)',
	'with the same rows');
$_->stop for $standby, $primary;
unlike(slurp_file($_->logfile), qr/too many omendb relations to replay|PANIC|TRAP:/, $_->name . ' ran through')
  for $primary, $standby;
done_testing();
