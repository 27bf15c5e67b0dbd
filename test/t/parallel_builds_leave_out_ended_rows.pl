# Workers build a btree of an omendb table together. Rows that have ended and whose expression fails are
# left out by CREATE INDEX CONCURRENTLY, though older snapshots see them: of this server these are waited
# for, on a standby they are cancelled. CREATE INDEX fails as it does with heap, as long as
# somebody may see such a row.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('primary', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
wal_keep_size = '1GB'
min_parallel_table_scan_size = 0
max_parallel_maintenance_workers = 3
CONF
$node->start;
# Tells who evaluates it.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE EXTENSION amcheck;
CREATE FUNCTION share(a int) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS $$
BEGIN
  IF a % 100 = 1 THEN RAISE LOG 'share by %', pg_backend_pid(); END IF;
  RETURN 1000000 / a;
END $$;
SQL
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = '100ms'");
$standby->start;

my $rows = 20_000;
my $select = 'SELECT id FROM @ WHERE share(a) BETWEEN 50 AND 5000 ORDER BY share(a), id';

# Nine rows fail; others that end do not.
sub make_table
{
	my ($table, $method) = @_;
	$node->safe_psql('postgres', <<"SQL");
DROP TABLE IF EXISTS $table;
CREATE TABLE $table (id int, a int, note text) USING $method WITH (parallel_workers = 3);
INSERT INTO $table SELECT g, CASE WHEN g % 2000 = 1000 THEN 0 ELSE g END, md5(g::text) FROM generate_series(1, $rows) g;
SQL
	return;
}

sub end_rows
{
	my ($table) = @_;
	$node->safe_psql('postgres', "DELETE FROM $table WHERE a = 0 OR a % 2000 = 1001");
	return;
}

sub old_snapshot
{
	my ($of) = @_;
	my $session = session($of);
	$session->do('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_am');
	return $session;
}

sub by_workers
{
	my ($from, $name) = @_;
	my %pids = map { $_ => 1 } slurp_file($node->logfile, $from) =~ /LOG:  share by (\d+)/g;
	cmp_ok(scalar(keys %pids), '>=', 2, "$name: several processes build it");
	return;
}

sub is_whole
{
	my ($table, $index, $name) = @_;
	is($node->safe_psql('postgres', "SELECT indisvalid FROM pg_index WHERE indexrelid = '$index'::regclass"), 't', "$name: it is valid");
	my ($ret, $out, $err) = $node->psql('postgres', "SELECT bt_index_check('$index', heapallindexed => true)");
	is($err, '', "$name: it has all rows");
	my $query = $select =~ s/@/$table/r;
	my $by_index = 'SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off; ';
	like($node->safe_psql('postgres', "${by_index}EXPLAIN $query"), qr/Index.*Scan using $index/, "$name: it is used");
	is($node->safe_psql('postgres', $by_index . $query),
		$node->safe_psql('postgres', "SET enable_indexscan = off; SET enable_bitmapscan = off; $query"), "$name: it finds all rows");
	return;
}

# Whether the server waits for older snapshots now.
sub waits_for
{
	my ($command) = @_;
	return wait_for(60, sub {
		$node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase = 'waiting for old snapshots'") == 1
	});
}

for my $method (qw(omendb heap))
{
	my $table = "t_$method";
	make_table($table, $method);
	my $old = old_snapshot($node);
	end_rows($table);

	# Heap asks for rows that its snapshot sees alone.
	my $from = log_position($node);
	my $builder = session($node);
	$builder->send("CREATE INDEX CONCURRENTLY ${table}_i ON $table (share(a), id)");
	ok(waits_for(), "$method: CREATE INDEX CONCURRENTLY comes to its end");
	is($old->do("SELECT count(*) FROM $table WHERE a = 0"), 10, "$method: the old snapshot sees rows that fail");
	$old->do('COMMIT');
	is($builder->answer(60), '', "$method: and succeeds once the old snapshot is gone");
	by_workers($from, "$method, CONCURRENTLY");
	is_whole($table, "${table}_i", "$method, CONCURRENTLY");

	# More that fail, and the index anew.
	$node->safe_psql('postgres', "DROP INDEX ${table}_i; INSERT INTO $table VALUES (-1, 0, 'fails')");
	$builder->query("CREATE INDEX CONCURRENTLY ${table}_i ON $table (share(a), id)");
	is($builder->error, '22012', "$method: a row that all see fails");
	$old = old_snapshot($node);
	$node->safe_psql('postgres', "UPDATE $table SET a = 5 WHERE id = -1");
	$from = log_position($node);
	$builder->send("REINDEX INDEX CONCURRENTLY ${table}_i");
	ok(waits_for(), "$method: REINDEX CONCURRENTLY comes to its end");
	$old->do('COMMIT');
	is($builder->answer(60), '', "$method: and succeeds once the old snapshot is gone");
	by_workers($from, "$method, REINDEX");
	is_whole($table, "${table}_i", "$method, REINDEX");

	# Not CONCURRENTLY.
	make_table($table, $method);
	$old = old_snapshot($node);
	end_rows($table);
	$from = log_position($node);
	my $answer = $builder->query("CREATE INDEX ${table}_i ON $table (share(a), id)");
	is($builder->error, '22012', "$method: CREATE INDEX fails as long as somebody sees a row that does") or diag $answer;
	$old->do('COMMIT');
	$from = log_position($node);
	$builder->do("CREATE INDEX ${table}_i ON $table (share(a), id)");
	by_workers($from, "$method, CREATE INDEX again");
	is_whole($table, "${table}_i", "$method, CREATE INDEX");
	$_->quit for $old, $builder;
}

# A snapshot of a standby may come to the rows by the new index, which lacks some of them.
make_table('t_omendb', 'omendb');
$node->safe_psql('postgres', 'DELETE FROM t_omendb WHERE a = 0');
my $query = $select =~ s/@/t_omendb/r;
my $expected = $node->safe_psql('postgres', $query);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $reader = old_snapshot($standby);
my $keeper = old_snapshot($node);
end_rows('t_omendb');
my $builder = session($node);
$builder->send('CREATE INDEX CONCURRENTLY t_omendb_i ON t_omendb (share(a), id)');
ok(waits_for(), 'rows that only older snapshots see do not fail');
$keeper->do('COMMIT');
is($builder->answer(60), '', 'the index is built');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $answer = $reader->query("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off; $query", 60);
if (defined $answer && !$reader->error) { is($answer, $expected, "the standby's snapshot sees its rows"); }
else { like($reader->error // '40001', qr/^(?:40001|40P01)\z/, "the standby's snapshot is cancelled"); }
$_->quit for $reader, $keeper, $builder;
$standby->stop;
$node->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:|terminated by signal/, 'nobody crashed: ' . $_->name) for $node, $standby;
done_testing();
