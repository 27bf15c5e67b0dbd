# A store that is older than what was seen of it before is refused, after a crash and after a clean
# stop; so is a copy older than its backup. The right one is accepted again.
use strict;
use warnings;
use File::Path qw(remove_tree);
use OmendbTest;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('older', allows_streaming => 1, conf => "checkpoint_timeout = 1h\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE TABLE t (id int) USING omendb');
$node->safe_psql('postgres', 'INSERT INTO t VALUES (1)');
$node->stop;
my $copies = PostgreSQL::Test::Utils::tempdir();
my $store = $node->data_dir . '/omendb';

sub save { PostgreSQL::Test::RecursiveCopy::copypath($_[0], "$copies/$_[1]"); return; }
sub put_back
{
	my ($name, $to) = @_;
	remove_tree($to // $store);
	PostgreSQL::Test::RecursiveCopy::copypath("$copies/$name", $to // $store);
	return;
}
save($store, 'old');

sub is_refused
{
	my ($server, $name) = @_;
	my (undef, undef, $error) = $server->psql('postgres', 'SELECT count(*) FROM t');
	like($error, qr/the omendb store is not open.*older than it has to be/s, "$name: an older store is refused");
	is($server->safe_psql('postgres', 'SELECT count(*) FROM pg_class WHERE relname = \'t\''), 1, "$name: heap works");
	return;
}

# The checkpoint brings the rows into the store, so WAL will not bring them again.
$node->start;
$node->safe_psql('postgres', 'INSERT INTO t VALUES (2), (3); CHECKPOINT');
$node->kill9;
save($store, 'crashed');
put_back('old');
start_again($node);
is_refused($node, 'crash');
# Nor by stopping cleanly, nor by a checkpoint.
$node->safe_psql('postgres', 'CHECKPOINT');
$node->restart;
is_refused($node, 'clean restart');
$node->kill9;
start_again($node);
is_refused($node, 'another crash');
$node->stop;
put_back('crashed');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 3, 'the right store is accepted');
$node->safe_psql('postgres', 'INSERT INTO t VALUES (4)');
$node->stop;
save($store, 'stopped');
put_back('crashed');
$node->start;
is_refused($node, 'clean stop');
$node->stop;
put_back('stopped');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 4, 'the right store is accepted after a clean stop');

# Whoever checkpoints without a change of ours makes the store newer, too: the backup's checkpoint.
my $lsn = sub { $node->safe_psql('postgres', "SELECT $_[0] FROM pg_control_checkpoint(), omendb.store_stat()") };
$node->safe_psql('postgres', 'CREATE TABLE heap AS SELECT 1 AS x; CHECKPOINT');
is($lsn->('durable_lsn >= redo_lsn'), 't', 'the store is as new as the checkpoint');
is($lsn->('durable_lsn = redo_lsn'), 't', 'and not newer');

# Backups: the store in the copy is replaced by one from before the backup.
$node->backup('b');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'b');
save($copy->data_dir . '/omendb', 'copy');
put_back('stopped', $copy->data_dir . '/omendb');
$copy->start;
is_refused($copy, 'backup');
# The label is gone by now; what it said is not.
$copy->restart;
is_refused($copy, 'backup, restarted');
$copy->kill9;
start_again($copy);
is_refused($copy, 'backup, crashed');
$copy->stop;
ok(-e $copy->data_dir . '/omendb.restored', 'it is still remembered as a copy');
put_back('copy', $copy->data_dir . '/omendb');
$copy->start;
is($copy->safe_psql('postgres', 'SELECT count(*) FROM t'), 4, 'the copy with its own store is accepted');
ok(!-e $copy->data_dir . '/omendb.restored', 'and is like any other store from then on');
$copy->safe_psql('postgres', 'INSERT INTO t VALUES (5)');
$copy->restart;
is($copy->safe_psql('postgres', 'SELECT count(*) FROM t'), 5, 'it takes writes');
$copy->stop;
put_back('copy', $copy->data_dir . '/omendb');
$copy->start;
is_refused($copy, 'the copy has gone on');
$copy->stop;
$node->stop;
done_testing();
