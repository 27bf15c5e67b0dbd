# What is written to WAL: every type of record, readable by tools, without full-page images, and no
# larger than what changed.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('wal', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
full_page_writes = on
wal_keep_size = 1GB
CONF
$node->start;
my $session = session($node);
$session->do($_) for 'CREATE EXTENSION omendb', 'CREATE EXTENSION pg_walinspect',
  'SET default_table_access_method = omendb';

my %seen;

# Makes the changes and looks at our records of them: those named are among them, nothing is wrong
# with any. Returns the records.
sub records_of
{
	my ($name, $sql, @types) = @_;
	# A full-page image would be written at the first change after a checkpoint.
	$session->do('CHECKPOINT');
	my $from = $session->do('SELECT pg_current_wal_insert_lsn()');
	$session->do($_) for @$sql;
	my $to = $session->do('SELECT pg_current_wal_insert_lsn()');
	# Its commit flushes what no commit followed.
	$session->do("SELECT pg_logical_emit_message(true, 'omendb', 'flush')");
	my @records = map { [ split /\|/, $_, 5 ] } split /\n/, $session->do(
		'SELECT record_type, main_data_length, record_length, fpi_length, description '
		  . "FROM pg_get_wal_records_info('$from', '$to') WHERE resource_manager = 'omendb'");
	my %here;
	for my $record (@records)
	{
		my ($type, undef, undef, $image, $description) = @$record;
		$here{$type}++;
		$seen{$type}++;
		# New marks in the visibility map are logged as its page; nothing else has images.
		my $is_map = $type eq 'BLOCKS_VISIBLE';
		fail("$name: a full-page image of $image bytes in $type") if ($image != 0) != $is_map;
		fail("$name: $type is described as '$description'")
		  if $description eq '' || $description =~ /damaged|unknown/;
	}
	ok($here{$_}, "$name: $_") for @types;
	return @records;
}

# The largest of one type, by the bytes of its own.
sub largest
{
	my ($type, @records) = @_;
	my ($largest) = sort { $b <=> $a } map { $_->[1] } grep { $_->[0] eq $type } @records;
	return $largest // -1;
}

records_of('a new table',
	[ 'CREATE TABLE t (id int PRIMARY KEY, k int, n int, body text)', "INSERT INTO t VALUES (1, 1, 1, 'one')" ],
	qw(STORAGE_REGISTER STORAGE_BLOCKS VERSION INDEX_ENTRIES));
my @records = records_of('a narrow insert', ["INSERT INTO t VALUES (2, 2, 2, 'two')"], 'VERSION', 'INDEX_ENTRIES');
cmp_ok(largest('VERSION', @records), '<=', 25 + 40, 'a narrow insert is a small record');
cmp_ok(largest('INDEX_ENTRIES', @records), '<=', 40, 'and so is that of its key');
is(scalar(@records), 2, 'and there are no others');
$session->do("INSERT INTO t VALUES (3, 3, 3, repeat('x', 1000))");
my @update = records_of('an update', ['UPDATE t SET n = n + 1 WHERE id = 2'], 'VERSION');
cmp_ok(largest('VERSION', @update), '<=', 25 + 40, 'a narrow update is a small record');
is(scalar(@update), 1, 'and the only one');
like($update[0][4], qr/^update; storage \d+, block \d+, slot \d+, cid \d+/, 'it says what it is');
@records = records_of('a delete', ['DELETE FROM t WHERE id = 2'], 'VERSION');
cmp_ok(largest('VERSION', @records), '<=', 25, 'a delete has no row');
like($records[0][4], qr/^delete;/, 'and says so');
@records = records_of('a row lock', ['SELECT 1 FROM t WHERE id = 1 FOR UPDATE'], 'VERSION');
like($records[0][4], qr/^lock;/, 'a row lock says so');
@records = records_of('ON CONFLICT', ["INSERT INTO t VALUES (4, 4, 4, 'four') ON CONFLICT DO NOTHING"], 'VERSION');
like(join("\n", map { $_->[4] } @records), qr/^insert;.*^speculative confirm;/ms, 'a speculative insert is confirmed');
$session->do('CREATE INDEX ON t (k)');
@records = records_of('a change of an indexed column', ['UPDATE t SET k = -k WHERE id = 1'], 'MOVE');
cmp_ok(largest('MOVE', @records), '<=', 30 + 40, 'a narrow move is a small record');

my $file = PostgreSQL::Test::Utils::tempdir() . '/rows';
$session->do("COPY (SELECT g, g, g, md5(g::text) FROM generate_series(1000, 20999) g) TO '$file'");
@records = records_of('COPY', [ "COPY t FROM '$file'" ], 'IMAGES');
cmp_ok(largest('IMAGES', @records), '<=', 1 << 20, 'records of images are bounded');
cmp_ok(largest('IMAGES', @records), '>', 4000, 'and hold many rows each');
$session->do('CREATE TABLE wide (id int, body bytea); ALTER TABLE wide ALTER body SET STORAGE PLAIN');
# The server hands over batches by their bytes: a few of these.
$session->do("COPY (SELECT g, (SELECT decode(string_agg(md5((g * 1000 + h)::text), ''), 'hex') FROM "
	  . "generate_series(1, 250) h) FROM generate_series(1, 400) g) TO '$file'");
@records = records_of('COPY of wide rows', [ "COPY wide FROM '$file'" ], 'IMAGES');
cmp_ok(largest('IMAGES', @records), '<=', 1 << 20, 'also those of wide rows');
cmp_ok(largest('IMAGES', @records), '>', 30_000, 'which are large');
is($session->do('SELECT count(*), min(length(body)) FROM wide'), '400|4000', 'with every row');

records_of('VACUUM', [ 'DELETE FROM t WHERE id BETWEEN 2000 AND 3000', 'VACUUM t' ], 'INDEX_CLEANUP');
records_of('VACUUM FREEZE', ['VACUUM FREEZE t'], 'FREEZE');
# Blocks are marked once nobody can have an older snapshot.
ok(wait_for(60, sub { records_of('VACUUM', ['VACUUM t']); $seen{BLOCKS_VISIBLE} }), 'VACUUM: BLOCKS_VISIBLE');
records_of('a new column', [ 'ALTER TABLE t ADD COLUMN extra int', 'UPDATE t SET extra = 1 WHERE id = 3' ],
	'STORAGE_REGISTER');
records_of('TRUNCATE in the transaction that made the table',
	[ 'BEGIN', 'CREATE TABLE made (id int)', 'INSERT INTO made VALUES (1)', 'TRUNCATE made', 'COMMIT' ],
	'STORAGE_DROP');
records_of('a rollback', [ 'BEGIN', "UPDATE t SET body = 'never' WHERE id = 3", 'ROLLBACK' ], 'VERSION');
$session->do('CREATE UNLOGGED TABLE unlogged (id int)');
is(scalar(records_of('unlogged', [ 'INSERT INTO unlogged SELECT g FROM generate_series(1, 1000) g',
			'INSERT INTO unlogged VALUES (0)', 'UPDATE unlogged SET id = -id' ])),
	0, 'an unlogged table writes none');

is(join(' ', sort keys %seen),
	'BLOCKS_VISIBLE FREEZE IMAGES INDEX_CLEANUP INDEX_ENTRIES MOVE STORAGE_BLOCKS STORAGE_DROP STORAGE_REGISTER VERSION',
	'these are all types of records that there are');
$session->quit;
$node->stop;
done_testing();
