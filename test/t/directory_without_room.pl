# The leaf directory has too little memory for a large index: the index is searched in the store, and what lookups
# and unique checks find is as right as ever, also when the memory runs out amid a flush. Once
# others are gone there is room for what it can hold.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('room', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 10GB
omendb.index_memory = '1MB'
omendb.cache_size = '1MB'
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE first (id bigint, t text COLLATE "C") USING omendb;
CREATE UNIQUE INDEX first_t ON first USING alex (t);
CREATE TABLE wide (id bigint, t text COLLATE "C", n int) USING omendb;
CREATE UNIQUE INDEX wide_t ON wide USING alex (t);
SQL

sub known
{
	my ($index) = @_;
	return $node->safe_psql('postgres', "SELECT coalesce(known_leaves, 0) FROM omendb.index_stat('$index')");
}

# Keys of 500 bytes: a leaf has two dozen of them, and the directory keeps the first of each.
my $key = "repeat(md5(g::text), 15) || g";
my $next = 1;
sub add
{
	my ($count) = @_;
	$node->safe_psql('postgres', "INSERT INTO wide SELECT g, $key, 0 FROM generate_series($next, $next + $count - 1) g; SELECT omendb.flush()");
	$next += $count;
	return;
}

# Keys that are there, in the store and in the buffer, and keys that are not.
sub is_right
{
	my ($name) = @_;
	my $session = session($node);
	$session->do('SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off');
	my $last = $next - 1;
	is($session->do("SELECT count(*), count(w.id) FROM generate_series(1, $last + 500, 7) g LEFT JOIN wide w ON w.t = $key"),
		int(($last + 499) / 7) + 1 . '|' . (int(($last - 1) / 7) + 1), "$name: lookups find what is there");
	my $refused = 0;
	for my $id (map { 1 + int($_ * ($last - 1) / 40) } 0 .. 40)
	{
		$session->query("INSERT INTO wide SELECT -g, $key, 1 FROM generate_series($id, $id) g");
		$refused++ if ($session->error // '') eq '23505';
	}
	is($refused, 41, "$name: unique checks refuse what is there");
	$session->do("INSERT INTO wide SELECT g, $key, 2 FROM generate_series($next, $next + 99) g");
	$next += 100;
	$session->query("INSERT INTO wide SELECT -g, $key, 1 FROM generate_series($next - 50, $next - 50) g");
	is($session->error, '23505', "$name: also what was added just now");
	is($session->do("INSERT INTO wide SELECT g, $key, 3 FROM generate_series($next - 200, $next - 1) g ON CONFLICT (t) DO UPDATE SET n = 3 RETURNING 1") =~ tr/1//, 200,
		"$name: ON CONFLICT");
	is($session->do("SELECT omendb.check_index('wide_t') >= count(*) FROM wide"), 't', "$name: the index is whole");
	is($session->do('SELECT count(*), count(DISTINCT t) FROM wide'), $next - 1 . '|' . ($next - 1), "$name: each key once");
	$session->quit;
	return;
}

for my $from (map { 1 + 2000 * $_ } 0 .. 39)
{
	$node->safe_psql('postgres', "INSERT INTO first SELECT g, $key FROM generate_series($from, $from + 1999) g; SELECT omendb.flush()");
}
cmp_ok(known('first_t'), '>', 500, 'an index takes most of the room');
add(1000);
cmp_ok(known('wide_t'), '>', 0, 'another one is known');
is_right('known');
# Bit by bit: the memory is full amid a flush that changes what is known.
for (1 .. 40)
{
	last if known('wide_t') == 0;
	add(4000);
}
is(known('wide_t'), 0, 'there is no room for more of it');
is_right('without room');
is($node->safe_psql('postgres', "SELECT omendb.check_index('first_t')"), 80000, 'the first one is whole');
is(known('wide_t'), 0, 'there still is no room');

# Whoever looks for something has it read once the first one is gone.
$node->safe_psql('postgres', 'DROP TABLE first; CHECKPOINT; SELECT omendb.flush()');
ok(wait_for(30, sub {
	$node->safe_psql('postgres', "SET enable_seqscan = off; SELECT count(*) FROM wide WHERE t BETWEEN 'a' AND 'b'");
	known('wide_t') > 20;
}), 'now there is room') or diag $node->safe_psql('postgres', "SELECT * FROM omendb.index_stat('wide_t')");
is_right('room again');
$node->safe_psql('postgres', "DELETE FROM wide WHERE id % 3 = 0; UPDATE wide SET t = t || '.' WHERE id % 3 = 1; VACUUM wide; SELECT omendb.flush()");
is($node->safe_psql('postgres', "SELECT omendb.check_index('wide_t') - count(*) FROM wide"), 0, 'changes and a VACUUM');
my $session = session($node);
my $known = $session->do('SELECT t FROM wide WHERE id % 3 = 2 AND id > 0 ORDER BY id DESC LIMIT 1');
$session->query("INSERT INTO wide VALUES (0, '$known')");
is($session->error, '23505', 'and unique');
$session->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal/, 'nobody crashed');
done_testing();
