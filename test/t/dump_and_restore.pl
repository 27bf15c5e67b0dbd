# pg_dump and pg_restore in every format, vacuumdb, reindexdb, clusterdb and pg_amcheck work on omendb
# tables as on heap tables, and a dump says which tables are omendb's.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('dump');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE origin');
$node->safe_psql('origin', <<'SQL');
CREATE EXTENSION omendb;
CREATE EXTENSION amcheck;
CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric, flags bool[], at timestamptz) USING omendb;
CREATE INDEX plain_v ON plain USING hash (v);
CREATE INDEX plain_n ON plain (n DESC) WHERE n > 5;
INSERT INTO plain SELECT g, CASE WHEN g % 7 > 0 THEN repeat(E'w\t\\' || g, g % 50) END, g / 3.0, ARRAY[g % 2 = 0, NULL],
  '2024-01-01'::timestamptz + g * interval '1 hour' FROM generate_series(1, 3000) g;
INSERT INTO plain (id, v) SELECT 5000 + s, string_agg(md5((g + s)::text), '') FROM generate_series(1, 3000) g, generate_series(1, 3) s GROUP BY s;
CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int NOT NULL REFERENCES plain ON DELETE CASCADE,
  twice int GENERATED ALWAYS AS (parent * 2) STORED, CHECK (parent > 0)) USING omendb;
INSERT INTO child (parent) SELECT 1 + g % 3000 FROM generate_series(1, 500) g;
CREATE TABLE on_heap (id int PRIMARY KEY REFERENCES plain) USING heap;
INSERT INTO on_heap VALUES (1), (2);
CREATE TABLE parted (k int, v text) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1, 2) USING omendb;
CREATE TABLE parted_2 PARTITION OF parted DEFAULT USING heap;
INSERT INTO parted SELECT g % 4, 'p' || g FROM generate_series(1, 200) g;
CREATE MATERIALIZED VIEW summary USING omendb AS SELECT k, count(*) FROM parted GROUP BY k;
CREATE UNIQUE INDEX ON summary (k);
CREATE UNLOGGED TABLE fleeting (id int) USING omendb;
INSERT INTO fleeting VALUES (1), (2);
CREATE TABLE "no columns" () USING omendb;
INSERT INTO "no columns" DEFAULT VALUES;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE child ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON child USING (parent < 100);
COMMENT ON TABLE plain IS 'plain rows';
ALTER TABLE plain DROP COLUMN flags;
ALTER TABLE plain ADD COLUMN late text DEFAULT 'late';
UPDATE plain SET late = 'changed' WHERE id % 10 = 0;
DELETE FROM plain WHERE id BETWEEN 2900 AND 2950 AND id NOT IN (SELECT parent FROM child);
SQL

# What a database has, as text.
my $contents = <<'SQL';
SELECT 'plain', count(*), md5(string_agg(p::text, ',' ORDER BY id)) FROM plain p;
SELECT 'child', count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM child c;
SELECT 'on_heap', string_agg(id::text, ',' ORDER BY id) FROM on_heap;
SELECT 'parted', tableoid::regclass, count(*), md5(string_agg(v, ',' ORDER BY v)) FROM parted GROUP BY 2 ORDER BY 2;
SELECT 'summary', * FROM summary ORDER BY k;
SELECT 'no columns', count(*) FROM "no columns";
SELECT relname, amname, relpersistence FROM pg_class c JOIN pg_am a ON a.oid = relam
  WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') ORDER BY 1;
SELECT indexname, replace(indexdef, 'public.', '') FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1;
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2;
SELECT tgname FROM pg_trigger WHERE NOT tgisinternal;
SELECT polname FROM pg_policy;
SELECT obj_description('plain'::regclass), nextval('child_id_seq') > 500;
SQL
my $expected = $node->safe_psql('origin', $contents);
like($expected, qr/^plain\|omendb\|p$/m, 'the access method is to be compared');

my $folder = PostgreSQL::Test::Utils::tempdir();
sub restored
{
	my ($database, $name) = @_;
	is($node->safe_psql($database, $contents), $expected, "$name: the same rows and definitions");
	my $check = $node->safe_psql($database, "SELECT count(" . check_sql('indexrelid') . ") FROM pg_index i JOIN pg_class c ON c.oid = indexrelid "
		  . "JOIN pg_am a ON a.oid = relam WHERE amname IN ('alex', 'btree') AND relnamespace = 'public'::regnamespace");
	cmp_ok($check, '>', 3, "$name: the indexes are whole");
	return;
}

for my $format ('plain', 'custom', 'directory', 'tar')
{
	my $file = "$folder/dump-$format";
	my @jobs = $format eq 'directory' ? ('-j', '2') : ();
	$node->command_ok([ 'pg_dump', '-F', $format, @jobs, '-f', $file, 'origin' ], "pg_dump, $format");
	$node->safe_psql('postgres', "CREATE DATABASE $format");
	if ($format eq 'plain')
	{
		like(slurp_file($file), qr/^SET default_table_access_method = omendb;$/m, 'a dump names the access method');
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $file, $format ], 'psql takes the dump');
	}
	else
	{
		@jobs = $format eq 'tar' ? () : ('-j', '3');
		$node->command_ok([ 'pg_restore', '-e', @jobs, '-d', $format, $file ], "pg_restore, $format");
	}
	restored($format, $format);
}

# The rows alone, as INSERTs that skip what is there, after the definitions alone.
$node->safe_psql('postgres', 'CREATE DATABASE pieces');
$node->command_ok([ 'pg_dump', '-s', '-f', "$folder/schema", 'origin' ], 'pg_dump --schema-only');
$node->command_ok([ 'pg_dump', '-a', '--inserts', '--rows-per-insert=100', '--on-conflict-do-nothing', '--disable-triggers', '-f',
		"$folder/rows", 'origin' ], 'pg_dump --data-only');
for my $file ('schema', 'rows', 'rows')
{
	# Twice the rows: what has no key is there twice, all else once.
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$folder/$file", 'pieces' ], "psql takes $file");
}
is($node->safe_psql('pieces', 'SELECT count(*) FROM plain'), $node->safe_psql('origin', 'SELECT count(*) FROM plain'), 'each row with a key is there once');
is($node->safe_psql('pieces', 'SELECT count(*) FROM parted'), 400, 'rows without a key are there as often as they were loaded');

# To heap.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->command_ok([ 'pg_restore', '-e', '--no-table-access-method', '-d', 'other', "$folder/dump-custom" ], 'pg_restore --no-table-access-method');
is($node->safe_psql('other', "SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE amname = 'omendb'"), 0, '... makes heap tables');
$node->command_ok([ 'pg_dumpall', '-f', "$folder/all" ], 'pg_dumpall');

# The other programs.
$node->command_ok([ 'pg_amcheck', '--all', '--heapallindexed', '--rootdescend', '--parent-check', '--install-missing' ], 'pg_amcheck of everything');
$node->command_ok([ 'vacuumdb', '-z', '-j', '2', 'origin' ], 'vacuumdb --analyze');
$node->command_ok([ 'vacuumdb', '--full', 'origin' ], 'vacuumdb --full');
$node->command_ok([ 'reindexdb', '--concurrently', 'origin' ], 'reindexdb --concurrently');
$node->safe_psql('origin', 'ALTER TABLE plain CLUSTER ON plain_pkey');
$node->command_ok([ 'clusterdb', 'origin' ], 'clusterdb');
restored('origin', 'after all of them');
$node->command_like([ 'psql', '-X', '-c', '\d+ plain', 'origin' ], qr/^Access method: omendb$/m, '\d+ names the access method');
$node->command_like([ 'psql', '-X', '-c', '\dt+ plain', 'origin' ], qr/\| omendb +\|/, '\dt+ names the access method');
my ($ret, $out, $err) = $node->psql('origin', 'ALTER EXTENSION omendb UPDATE');
is($ret, 0, 'ALTER EXTENSION UPDATE of the newest version');
like($err, qr/NOTICE:  version "1.0" of extension "omendb" is already installed/, '... says so');
($ret, $out, $err) = $node->psql('origin', 'DROP EXTENSION omendb');
like($err, qr/cannot drop extension omendb because other objects depend on it/, 'the extension stays while there are tables');
$node->stop;
done_testing();
