# A backup by hand, between pg_backup_start and pg_backup_stop: the store's files stay for as long as
# it takes, and no longer. The copy has all rows.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('source', allows_streaming => 1, has_archiving => 1,
	conf => "autovacuum = off\ncheckpoint_timeout = 1h");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE TABLE t (id int, body text) USING omendb');
sub fill
{
	my ($from) = @_;
	$node->safe_psql('postgres',
		"INSERT INTO t SELECT g, md5(g::text) FROM generate_series($from, $from + 19999) g; SELECT omendb.flush()");
	return;
}
sub compact { $node->safe_psql('postgres', 'SELECT omendb.compact()'); return; }
my $store = $node->data_dir . '/omendb';
sub files { my %is = map { $_ => 1 } glob "$store/*.sst"; return \%is; }
sub nothing_obsolete
{
	return wait_for(20, sub {
		$node->safe_psql('postgres', 'SELECT obsolete_files = 0 AND NOT compacting FROM omendb.store_stat()') eq 't' });
}

fill(1);
compact();
for my $end ('SELECT count(*) FROM pg_backup_stop(false)', 'the end of the session')
{
	my $session = session($node);
	$session->do("SELECT pg_backup_start('by hand', true)");
	sleep 1.5;  # until what was obsolete before is gone
	my $before = files();
	fill(100000);
	compact();
	sleep 3;
	is(scalar(grep { !-e } keys %$before), 0, "files stay while a backup runs, to be ended by $end");
	$session->do('BEGIN; SELECT 1; ROLLBACK');
	$session->query('SELECT 1 / 0');
	sleep 2;
	is(scalar(grep { !-e } keys %$before), 0, 'also after other transactions of the session');
	if ($end =~ /SELECT/) { $session->do($end) }
	else { $session->quit }
	ok(wait_for(20, sub { grep { !-e } keys %$before }), "files go after $end");
	$session->quit;
}

# Asked about, but not called; called, but failed.
my $session = session($node);
$session->do("EXPLAIN SELECT pg_backup_start('by hand', true)");
$session->query("SELECT pg_backup_start(repeat('too long', 1000), true)");
isnt($session->error, undef, 'a backup that does not start');
fill(200000);
compact();
ok(nothing_obsolete(), 'holds no files back');

# The whole way: while the copy is taken the store is rewritten.
$session->do('SET client_min_messages = warning');
my $copy_dir = PostgreSQL::Test::Utils::tempdir() . '/copy';
$session->do("SELECT pg_backup_start('by hand', true)");
$node->safe_psql('postgres', 'DELETE FROM t WHERE id % 2 = 0');
my $rounds = 0;
PostgreSQL::Test::RecursiveCopy::copypath($node->data_dir, $copy_dir,
	filterfn => sub {
		my ($path) = @_;
		return 0 if $path eq 'postmaster.pid' || $path =~ m{^pg_wal/.}m || $path eq 'omendb/LOCK';
		if ($path =~ m{^omendb/} && $rounds++ < 3) { fill(300000 * $rounds); compact(); sleep 1.2; }
		return 1;
	});
my $label = $session->do('SELECT labelfile FROM pg_backup_stop()');
append_to_file("$copy_dir/backup_label", "$label\n");
my $expected = $node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM t');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
PostgreSQL::Test::RecursiveCopy::copypath($copy_dir, $node->backup_dir . '/hand');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'hand', has_restoring => 1, standby => 0);
$copy->start;
ok(wait_for(60, sub { $copy->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' }), 'the copy has recovered');
is($copy->safe_psql('postgres', 'SELECT count(*), sum(id) FROM t'), $expected, 'it has all rows');
$copy->stop;
$node->stop;
done_testing();
