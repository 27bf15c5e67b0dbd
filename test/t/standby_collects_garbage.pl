# A standby throws away superseded versions by itself, and none that one of its sessions still sees.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1, conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
synchronous_commit = off
max_prepared_transactions = 5
wal_keep_size = 1GB
CONF
$primary->start;
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE t (id int PRIMARY KEY, n int, body text) USING omendb;
INSERT INTO t SELECT g, 0, 'x' FROM generate_series(1, 4) g;
SQL
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub flush_on_both
{
	$primary->safe_psql('postgres', 'CHECKPOINT');
	$primary->wait_for_catchup($standby);
}
my $updates = q{DO $$ BEGIN FOR i IN 1 .. 4000 LOOP
	UPDATE t SET n = n + 1, body = repeat(md5(i::text), 30) WHERE id = 1;
	COMMIT;
END LOOP; END $$};
my $size = "SELECT omendb.relation_size('t')";
my $rows = 'SELECT id, n, md5(body) FROM t ORDER BY id';

flush_on_both();
# Committed, rolled back, and prepared while their rows are flushed as those of nobody yet.
my %open = map { $_ => session($primary) } qw(commit rollback prepare);
my %id = (commit => 2, rollback => 3, prepare => 4);
for my $end (sort keys %open)
{
	$open{$end}->do('BEGIN');
	$open{$end}->do("UPDATE t SET n = 1000, body = '$end' WHERE id = $id{$end}");
}
$open{prepare}->do("PREPARE TRANSACTION 'p'");
$primary->safe_psql('postgres', $updates);
flush_on_both();
same_on($primary, $standby, $rows, 'the same rows while transactions are open');
my $reader = session($standby);
$reader->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seen = $reader->do($rows);

$open{commit}->do('COMMIT');
$open{rollback}->do('ROLLBACK');
$primary->safe_psql('postgres', $updates);
flush_on_both();
is($reader->do($rows), $seen, 'an open snapshot of the standby keeps its rows');
$reader->do('COMMIT');
same_on($primary, $standby, $rows, 'the same rows after it');
cmp_ok($standby->safe_psql('postgres', 'SELECT judged_xids FROM omendb.store_stat()'), '>', 8000,
	'flushes know what became of the transactions');

# The one that is still prepared was taken for nothing else.
$standby->stop('immediate');
$standby->start;
$primary->wait_for_catchup($standby);
same_on($primary, $standby, $rows, 'the same rows after a crash of the standby');
$primary->safe_psql('postgres', "COMMIT PREPARED 'p'");
flush_on_both();
is($standby->safe_psql('postgres', 'SELECT n, body FROM t WHERE id = 4'), '1000|prepare',
	'a prepared transaction can be committed');

# It held the horizon back. Each round brings a few files, which makes the store compact them.
my $left;
ok(wait_for(120, sub {
	$primary->safe_psql('postgres', 'UPDATE t SET n = n + 1 WHERE id = 1');
	flush_on_both();
	$left = $standby->safe_psql('postgres', $size);
	$left < 200_000 && $standby->safe_psql('postgres', 'SELECT wanted_xids FROM omendb.store_stat()') <= 1;
}), 'superseded versions are gone, and compaction has its answers') or diag "$left bytes are left";

same_on($primary, $standby, $rows, 'the same rows in the end');
$_->quit for values %open;
$primary->stop;
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT body FROM t WHERE id IN (2, 3, 4) ORDER BY id'), "commit\nx\nprepare",
	'also as the new primary');
$standby->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:/, $_->name . ' ran through') for $primary, $standby;
done_testing();
