# Index entries reach the WAL when there are many of them, at the latest before their transaction commits.
# A flush may bring them to the store earlier. Whatever ends the transaction, and whenever the server
# dies, an index then has an entry for each row and none that leads elsewhere; so has a standby's.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
max_prepared_transactions = 5
max_connections = 40
wal_keep_size = 1GB
restart_after_crash = off
CONF
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION pg_walinspect');
# More indexes than a session collects entries of.
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, body text COLLATE "C") USING omendb;
CREATE INDEX t_n ON t USING alex (n);
CREATE INDEX t_body ON t USING alex (body);
CREATE TABLE wide (id int PRIMARY KEY, a int, b int, c int, d int, e int, f int, g int, h int, i int, j int) USING omendb;
SELECT format('CREATE INDEX wide_%1$s ON wide USING alex (%1$s)', chr(c)) FROM generate_series(97, 106) c \gexec
CREATE TABLE noted (id int PRIMARY KEY, note text) USING omendb;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO noted VALUES (new.id, new.body); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (new.body = 'note') EXECUTE FUNCTION note();
SQL
$primary->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'start', has_streaming => 1);
$standby->start;

my @indexes = (qw(t_pkey t_n t_body wide_pkey noted_pkey), map { "wide_$_" } 'a' .. 'j');

# Every row is found through each index, and every entry leads to a row that has its key.
sub is_whole
{
	my ($node, $name, %rows) = @_;
	for my $index (@indexes)
	{
		my ($ret, undef, $error) = $node->psql('postgres', "SELECT omendb.check_index('$index')");
		is($ret, 0, "$name: $index") or diag $error;
	}
	is($node->safe_psql('postgres', "SELECT count(*) FROM $_"), $rows{$_}, "$name: $_ has its rows") for sort keys %rows;
	return;
}

sub crash
{
	$primary->stop('immediate');
	start_again($primary);
	return;
}

# What was written of indexes by a session's statements, and flushed before the last of them.
sub records_of
{
	my ($session, @statements) = @_;
	my $last = pop @statements;
	my $from = $session->do('SELECT pg_current_wal_insert_lsn()');
	$session->do($_) for @statements;
	$primary->safe_psql('postgres', 'SELECT omendb.flush()');
	$session->do($last);
	my $to = $session->do('SELECT pg_current_wal_insert_lsn()');
	# Its commit flushes what no commit followed.
	$session->do("SELECT pg_logical_emit_message(true, 'omendb', 'flush')");
	return $session->do("SELECT count(*) FROM pg_get_wal_records_info('$from', '$to') "
		  . "WHERE resource_manager = 'omendb' AND record_type = 'INDEX_ENTRIES'");
}

my $fill = sub { "INSERT INTO t SELECT g, g % 7, 'b' || g FROM generate_series($_[0], $_[1]) g" };
my $session = session($primary);
cmp_ok(records_of($session, 'BEGIN', $fill->(1, 1000), 'COMMIT'), '<=', 30, 'a record has many entries');
is(records_of($session, 'BEGIN', $fill->(1001, 1010), 'ROLLBACK'), 0, 'none are written of what is rolled back');
is(records_of($session, 'BEGIN', $fill->(1001, 1005), 'SAVEPOINT s', $fill->(1006, 1010), 'ROLLBACK TO s', 'COMMIT'), 3,
	'nor of a subtransaction');
is(records_of($session, $fill->(1006, 1006), 'SELECT 1'), 3, 'a single row is not forgotten');
crash();
is_whole($primary, 'committed', t => 1006);

$session = session($primary);
$session->do('BEGIN');
$session->do($fill->(2001, 2100));
$primary->safe_psql('postgres', 'SELECT omendb.flush()');
crash();
is_whole($primary, 'lost in the middle', t => 1006);
$primary->safe_psql('postgres', $fill->(2001, 2100));
is_whole($primary, 'the same keys again', t => 1106);

$session = session($primary);
$session->do('BEGIN');
$session->do($fill->(3001, 3100));
$session->do('SAVEPOINT a');
$session->do($fill->(3101, 3200));
$session->do('SAVEPOINT b');
$session->do($fill->(3201, 3300));
$session->do('RELEASE b');
$primary->safe_psql('postgres', 'CHECKPOINT');
$session->do('ROLLBACK TO a');
$session->do($fill->(3151, 3250));
$session->do('COMMIT');
crash();
is_whole($primary, 'savepoints', t => 1306);

$session = session($primary);
$session->do('BEGIN');
$session->do($fill->(4001, 4100));
$session->do("PREPARE TRANSACTION 'p'");
crash();
$primary->safe_psql('postgres', "COMMIT PREPARED 'p'");
is_whole($primary, 'prepared', t => 1406);

$primary->safe_psql('postgres', 'INSERT INTO wide SELECT g, g, g, g, g, g, g, g, g, g, g FROM generate_series(1, 500) g');
crash();
is_whole($primary, 'many indexes', wide => 500);

# Rows that come when the transaction is about to commit, rows that meet others, and rows that move.
$primary->safe_psql('postgres', "INSERT INTO t SELECT g, 1, 'note' FROM generate_series(5001, 5050) g");
$primary->safe_psql('postgres', "INSERT INTO t SELECT g, 2, 'met' FROM generate_series(5026, 5075) g ON CONFLICT (id) DO UPDATE SET n = 3");
$primary->safe_psql('postgres', 'UPDATE t SET id = id + 10000 WHERE id BETWEEN 5001 AND 5050');
$primary->safe_psql('postgres', "DO \$\$ BEGIN FOR i IN 6001 .. 6050 LOOP
	INSERT INTO t VALUES (i, i, 'loop'); IF i % 10 = 0 THEN COMMIT; END IF; IF i % 25 = 1 THEN ROLLBACK; END IF; END LOOP; END \$\$");
crash();
is($primary->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE body = 'note'), count(*) FILTER (WHERE body = 'met'), count(*) FILTER (WHERE body = 'loop') FROM t}),
	'50|25|43', 'rows of triggers, of ON CONFLICT, of a procedure');
is_whole($primary, 'triggers, ON CONFLICT, moves', t => 1406 + 75 + 43, noted => 50);

# Indexes that go while their entries are pending. What is written of one afterwards would be for nobody.
my $from = $primary->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$primary->safe_psql('postgres', <<'SQL');
BEGIN;
CREATE TABLE gone (id int PRIMARY KEY) USING omendb;
INSERT INTO gone SELECT generate_series(1, 10);
TRUNCATE gone;
INSERT INTO gone SELECT generate_series(5, 20);
SAVEPOINT s;
TRUNCATE gone;
INSERT INTO gone SELECT generate_series(30, 40);
ROLLBACK TO s;
REINDEX TABLE gone;
INSERT INTO gone SELECT generate_series(50, 60);
CREATE INDEX gone_other ON gone USING alex (id DESC);
INSERT INTO gone SELECT generate_series(70, 80);
DROP INDEX gone_other;
COMMIT;
SQL
my (%dropped, $late);
for (split /\n/, $primary->safe_psql('postgres', "SELECT record_type, description FROM pg_get_wal_records_info('$from', pg_current_wal_flush_lsn()) "
	  . "WHERE resource_manager = 'omendb' ORDER BY start_lsn"))
{
	my ($type, $storage) = /^(\w+)\|.*?storage (\d+)/ or next;
	$dropped{$storage} = 1 if $type eq 'STORAGE_DROP';
	$late .= "$_\n" if $type eq 'INDEX_ENTRIES' && $dropped{$storage};
}
cmp_ok(scalar(keys %dropped), '>', 1, 'storages were dropped');
is($late, undef, 'no entries come after the drop of their index');
my $log = log_position($primary);
crash();
unlike(slurp_file($primary->logfile, $log), qr/unknown omendb storage/, 'recovery knows all storages');
push @indexes, 'gone_pkey';
is_whole($primary, 'truncated and built anew', gone => 38);

my %rows = (t => 1524, wide => 500, noted => 50, gone => 38);
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
same_on($primary, $standby, "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM $_ t", "the standby has the rows of $_") for sort keys %rows;
$standby->promote;
is_whole($standby, 'the standby, promoted', %rows);
$_->stop for $primary, $standby;
done_testing();
