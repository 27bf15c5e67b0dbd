# A damaged file of an index keeps the leaves behind the damage from being known to the leaf directory.
# They are not taken to be absent: a unique index still refuses a key that it has.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('damaged_index', conf => "autovacuum = off\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE keys (id int) USING heap;
CREATE UNIQUE INDEX keys_id ON keys USING alex (id);
INSERT INTO keys SELECT generate_series(1, 400000);
SELECT omendb.flush();
SQL
$node->stop;

# The index is nearly all that is in the store.
my $store = $node->data_dir . '/omendb';
my ($largest) = sort { -s $b <=> -s $a } glob "$store/*.sst";
cmp_ok(-s $largest, '>', 500_000, 'it has a file');
open my $file, '+<:raw', $largest or die "$largest: $!";
seek $file, int(0.5 * -s $largest), 0;
read $file, my $byte, 1;
seek $file, int(0.5 * -s $largest), 0;
print $file chr(ord($byte) ^ 0x10);
close $file;

my $from = log_position($node);
$node->start;
my $session = session($node);
# Whoever misses a leaf has the others read.
$session->query('INSERT INTO keys VALUES (399999)');
is($session->error, '23505', 'a key behind the damage is met');
ok(wait_for(60, sub { slurp_file($node->logfile, $from) =~ /could not read leaves of an index/ }),
	'the store worker meets the damage');
cmp_ok($session->do("SELECT known_leaves FROM omendb.index_stat('keys_id')"), '>', 100, 'it knows leaves in front of it');
for my $key (map { 390000 + 7 * $_ } 0 .. 19)
{
	$session->query("INSERT INTO keys VALUES ($key)");
	is($session->error, '23505', "key $key behind the damage is met");
}
$session->do('INSERT INTO keys VALUES (400001)');
$session->quit;
$node->stop;
done_testing();
