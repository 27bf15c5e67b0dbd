# The write buffer may be smaller than what is written or replayed at once; a row that cannot fit into
# one of its segments is refused with the limit named.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('small', conf => <<'CONF');
omendb.write_buffer_size = '256MB'
max_wal_size = 10GB
checkpoint_timeout = 1h
autovacuum = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, n int, body text) USING omendb;
CREATE TABLE rows_before (sum numeric, count int) USING heap;
SQL

# What compresses badly, so that the buffer's segments fill as fast as the input comes.
my $body = q{md5(g::text || 'a') || md5(g::text || 'b') || md5(g::text || 'c') || md5(g::text || 'd')};
my $state = 'SELECT count(*), sum(n), sum(hashtextextended(body, id)) FROM t';

$node->safe_psql('postgres', "INSERT INTO t SELECT g, 0, $body FROM generate_series(1, 200000) g");
$node->safe_psql('postgres', 'UPDATE t SET n = n + 1 WHERE id % 4 = 0');
$node->safe_psql('postgres', "BEGIN; DELETE FROM t; ROLLBACK");
$node->safe_psql('postgres', 'DELETE FROM t WHERE id % 10 = 0');
my $before = $node->safe_psql('postgres', $state);
is($node->safe_psql('postgres', 'SELECT sum(flushes) FROM omendb.store_stat()'), 0,
	'all of it is in the buffer and the WAL only');
$node->kill9;
$node->append_conf('postgresql.conf', "omendb.write_buffer_size = '16MB'");
start_again($node);
is($node->safe_psql('postgres', $state), $before, 'recovery with a buffer smaller than what is replayed');
is($node->safe_psql('postgres', 'SHOW omendb.write_buffer_size'), '16MB', 'the buffer is the smallest');

# Killed in the middle of such a recovery.
$node->safe_psql('postgres', 'UPDATE t SET n = n + 1 WHERE id % 3 = 0');
$before = $node->safe_psql('postgres', $state);
my $from = log_position($node);
$node->kill9;
set_failure_point($node, 'after_commit');
# The server starts again by itself, and its worker kills itself again.
start_to_crash($node);
set_failure_point($node, '');
$node->kill9;
start_again($node);
like(slurp_file($node->logfile, $from), qr/terminated by signal 9/, 'recovery was killed');
is($node->safe_psql('postgres', $state), $before, 'and started anew loses nothing');

# One COPY of ten times the buffer.
$node->safe_psql('postgres', 'TRUNCATE t');
my $file = PostgreSQL::Test::Utils::tempdir() . '/rows';
$node->safe_psql('postgres',
	"COPY (SELECT g, g % 10, $body || md5(g::text || 'e') || md5(g::text || 'f') FROM generate_series(1, 850000) g) TO '$file'");
cmp_ok(-s $file, '>', 160 * 1024 * 1024, 'the input is ten times the buffer');
my $start = time;
$node->safe_psql('postgres', "COPY t FROM '$file'");
note sprintf 'COPY took %.1f s', time - $start;
my $check = 'SELECT count(*), sum(n), sum(id::bigint), min(length(body)), max(length(body)) FROM t';
my $right = '850000|3825000|361250425000|192|192';
is($node->safe_psql('postgres', $check), $right, 'every row of the COPY is there');
my $session = session($node);
$session->do('BEGIN');
$session->do('UPDATE t SET n = n + 1, body = upper(body)', 300);
is($session->do("SELECT count(*) FROM t WHERE body = upper(body) AND n > 0"), 850000,
	'a transaction larger than the buffer sees its own changes');
is($node->safe_psql('postgres', $check), $right, 'nobody else does');
$session->do('ROLLBACK');
is($node->safe_psql('postgres', $check), $right, 'rolled back, it leaves nothing');
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', $check), $right, 'nor after a crash');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE body <> lower(body)'), 0, 'in no row');

# Rows around the limit. PLAIN keeps them out of TOAST.
$node->safe_psql('postgres', 'CREATE TABLE wide (id int PRIMARY KEY, body bytea) USING omendb; '
	  . 'ALTER TABLE wide ALTER body SET STORAGE PLAIN');
my $capacity = $node->safe_psql('postgres', 'SELECT max(capacity) FROM omendb.buffer_stat()');
$session = session($node);
my $answer = $session->query("INSERT INTO wide VALUES (0, decode(repeat('ab', $capacity), 'hex'))");
is($session->error, '54000', 'a row as large as a segment is refused');
like($answer, qr/row is too big: size \d+, maximum size \d+/, 'the limit is named');
like($answer, qr/DETAIL:.*"wide".* a segment of the write buffer/, 'so is what it comes from');
like($answer, qr/HINT:.*omendb\.write_buffer_size/, 'and what raises it');
my ($limit) = $answer =~ /maximum size (\d+)/;
cmp_ok($limit, '>', $capacity / 4, 'it is not much smaller than a segment');
for my $size (100_000, 1_000_000, $limit - 100)
{
	$answer = $session->query("INSERT INTO wide VALUES ($size, decode(repeat('ab', $size), 'hex'))");
	is($session->error, undef, "a row of $size bytes fits") or diag $answer;
}
$session->query("INSERT INTO wide VALUES (0, decode(repeat('ab', $limit + 100), 'hex'))");
is($session->error, '54000', 'a row a little larger than the limit does not');
$session->query("COPY wide FROM STDIN;\n1\t\\\\x" . ('cd' x ($limit + 1000)) . "\n\\.", 60);
is($session->error, '54000', 'COPY of such a row is refused too');
$session->query("UPDATE wide SET body = decode(repeat('ab', $limit + 100), 'hex') WHERE id = 100000");
is($session->error, '54000', 'so is an update to such a row');
$answer = $session->query("UPDATE wide SET body = decode(repeat('ac', $limit - 100), 'hex') WHERE id = 100000");
is($session->error, undef, 'an update to a row that fits is not') or diag $answer;
$answer = $session->query("UPDATE wide SET id = id + 1 WHERE id = 100000");
is($session->error, undef, 'nor one that moves it') or diag $answer;
my $wide = 'SELECT count(*), sum(length(body)), min(md5(body)), max(md5(body)) FROM wide';
my $wide_rows = $session->do($wide);
like($wide_rows, qr/^3\|/, 'the rows that fit are there');
$session->do('SELECT omendb.flush()');
is($session->do($wide), $wide_rows, 'also in the store');
$session->do("UPDATE wide SET id = -id");
is($session->do($wide), $wide_rows, 'and moved from there');
$session->do('CREATE TABLE toasted (id int, body text) USING omendb');
$session->do("INSERT INTO toasted SELECT g, string_agg(md5(g::text || h::text), '') FROM generate_series(1, 3) g, "
	  . 'generate_series(1, 200000) h GROUP BY g');
is($session->do('SELECT count(*), min(length(body)) FROM toasted'), '3|6400000',
	'values that can be toasted may be larger than a segment');
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', $wide), $wide_rows, 'wide rows outlive a crash');
is($node->safe_psql('postgres', 'SELECT count(*), min(length(body)) FROM toasted'), '3|6400000',
	'toasted values too');

# A row that was logged with a larger buffer than the one that has to replay it.
$node->append_conf('postgresql.conf', "omendb.write_buffer_size = '256MB'");
$node->restart;
my $large = $limit * 3;
$node->safe_psql('postgres', "INSERT INTO wide VALUES (9, decode(repeat('ef', $large), 'hex'))");
$node->safe_psql('postgres', "INSERT INTO wide VALUES (10, 'after')");
$wide_rows = $node->safe_psql('postgres', $wide);
$from = log_position($node);
$node->kill9;
$node->append_conf('postgresql.conf', "omendb.write_buffer_size = '16MB'");
start_to_crash($node);
my $log = slurp_file($node->logfile, $from);
like($log, qr/FATAL:  a change to replay does not fit into the write buffer/, 'a buffer too small to replay is refused');
like($log, qr/HINT:.*"omendb.write_buffer_size"/, 'with what to do');
$node->append_conf('postgresql.conf', "omendb.write_buffer_size = '256MB'");
start_again($node);
is($node->safe_psql('postgres', $wide), $wide_rows, 'with the buffer as it was, the rows are there');
$node->stop;
done_testing();
