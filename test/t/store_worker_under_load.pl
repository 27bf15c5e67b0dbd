# While writers fill the buffer as fast as the store worker empties it, the worker still does the rest
# of its work: it compacts on request, deletes files that nobody needs and rereads its settings. It claims its
# full share of the processors then, and a small one when nobody waits for it.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('load', conf => <<'CONF');
autovacuum = off
max_wal_size = 10GB
checkpoint_timeout = 1h
omendb.target_file_size = '1MB'
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE t (id int PRIMARY KEY, body text) USING omendb;
CREATE TABLE small (id int) USING omendb;
INSERT INTO small SELECT generate_series(1, 1000);
INSERT INTO t SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 2000) g;
SELECT omendb.flush();
SQL

# Where the kernel has no such groups, there is nothing to see.
my $group = '/proc/' . worker_pid($node, 'omendb store worker') . '/autogroup';
my $has_groups = -e $group && slurp_file($group) =~ /nice/;
sub share_becomes
{
	my ($nice, $name) = @_;
  SKIP: {
		skip 'no autogroups', 1 if !$has_groups;
		ok(wait_for(60, sub { slurp_file($group) =~ / nice $nice$/m }), $name);
	}
	return;
}
share_becomes(10, 'an idle worker claims little of the processors');

# A flush takes longer than the writers need to fill the next segment, on any machine.
set_failure_point($node, 'after_commit:sleep=1500');
my @writers = map { session($node) } 1 .. 2;
for my $writer (@writers)
{
	$writer->send(q{DO $$ BEGIN LOOP
		UPDATE t SET body = repeat(md5(random()::text), 20) WHERE id % 2 = } . ($writer == $writers[0] ? 0 : 1) . q{;
		COMMIT;
	END LOOP; END $$});
}
my $flushes = 'SELECT flushes FROM omendb.store_stat()';
my $before = $node->safe_psql('postgres', $flushes);
ok(wait_for(60, sub { $node->safe_psql('postgres', $flushes) > $before + 2 }), 'the worker is busy');
my $waiting = q{SELECT count(*) FROM omendb.buffer_stat() WHERE state = 'flushing'};
ok(wait_for(60, sub { $node->safe_psql('postgres', $waiting) > 1 }), 'the next segment waits for it');
share_becomes(0, 'it claims all of its share');

my $session = session($node);
$session->do(q{SET statement_timeout = '60s'});
$session->query(q{SELECT omendb.compact('small')});
is($session->error, undef, 'it compacts on request');
# One flush supersedes nothing, but the compactions of the load do.
my $store = $node->data_dir . '/omendb';
my %seen = map { $_ => 1 } glob "$store/*.sst";
ok(wait_for(60, sub { grep { !-e } keys %seen }), 'it deletes files that compaction replaced');

# Rereading its settings it stops sleeping: the writers then get on much faster.
set_failure_point($node, '');
$before = $node->safe_psql('postgres', $flushes);
ok(wait_for(60, sub { $node->safe_psql('postgres', $flushes) > $before + 20 }), 'it rereads its settings');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %'");
$_->quit for @writers;
share_becomes(10, 'and little again');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 2000, 'the rows are there');
$node->stop;
done_testing();
