# However large the write buffer is: a row that PostgreSQL could not read back from its WAL is refused.
# Takes minutes and many gigabytes: only with OMENDB_LARGE_TESTS=1.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'OMENDB_LARGE_TESTS is not set' unless $ENV{OMENDB_LARGE_TESTS};
my ($available) = (-r '/proc/meminfo' ? slurp_file('/proc/meminfo') : '') =~ /^MemAvailable:\s+(\d+) kB/m;
plan skip_all => 'needs 12 GB of memory for a buffer whose segments hold such a row'
  if ($available // 0) < 12 * 1024 * 1024;

my $node = new_node('beyond', conf => <<'CONF');
omendb.write_buffer_size = '9GB'
autovacuum = off
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE wide (id int PRIMARY KEY, a text, b text) USING omendb;
ALTER TABLE wide ALTER a SET STORAGE PLAIN, ALTER b SET STORAGE PLAIN;
INSERT INTO wide VALUES (1, 'a', 'b');
SQL
my $limit = 1000 * 1024 * 1024;
my $half = $limit / 2 + 1;
my $session = session($node);
for my $write ("INSERT INTO wide VALUES (2, repeat('a', $half), repeat('b', $half))",
	"UPDATE wide SET a = repeat('a', $half), b = repeat('b', $half)")
{
	my $answer = $session->query($write);
	is($session->error, '54000', 'the row is refused');
	like($answer, qr/maximum size $limit\b.*must fit into a WAL record/s, 'and the limit named');
}
is($session->do('SELECT * FROM wide'), '1|a|b', 'nothing was changed');
$session->quit;
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', 'SELECT * FROM wide'), '1|a|b', 'what is in the WAL can be read back');
$node->stop;
done_testing();
