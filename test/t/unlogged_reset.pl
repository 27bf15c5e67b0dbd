# The server empties unlogged tables after a crash, though the store cannot be opened then: when it
# can be, after a clean restart or by itself, their rows are gone there, too.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('reset', conf => "checkpoint_timeout = 1h\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE EXTENSION amcheck;
CREATE TABLE logged (id int PRIMARY KEY) USING omendb;
CREATE UNLOGGED TABLE u (id int PRIMARY KEY) USING omendb;
INSERT INTO logged SELECT generate_series(1, 100);
SQL
my $manifest = $node->data_dir . '/omendb/CURRENT';

for my $restart (1, 0)
{
	my $name = $restart ? 'opened after a clean restart' : 'opened by itself';
	$node->safe_psql('postgres', 'INSERT INTO u SELECT generate_series(1, 100); CHECKPOINT');
	$node->kill9;
	rename $manifest, "$manifest.away" or die "rename: $!";
	start_again($node);
	my (undef, undef, $error) = $node->psql('postgres', 'SELECT count(*) FROM u');
	like($error, qr/the omendb store is not open/, "$name: the store is not open after the crash");
	$node->stop if $restart;
	rename "$manifest.away", $manifest or die "rename: $!";
	$node->start if $restart;
	ok(wait_for(30, sub { ($node->psql('postgres', 'SELECT count(*) FROM u'))[0] == 0 }), "$name: it is open");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), 0, "$name: the unlogged table is empty");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM logged'), 100, "$name: the logged one is not");
	$node->safe_psql('postgres', 'INSERT INTO u SELECT generate_series(1, 50)');
	check_index($node, 'u', 'u_pkey', 'id', $name);
	$node->restart;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), 50, "$name: its new rows survive a clean restart");
	check_index($node, 'u', 'u_pkey', 'id', "$name, restarted");
	$node->safe_psql('postgres', 'TRUNCATE u');
}
$node->stop;
done_testing();
