# Many sessions that have read omendb tables and then do nothing: each costs little, and none of them
# keeps files on the disk that the store has done with.
#
# OMENDB_IDLE_CONNECTIONS=1000 for a long run; the test itself opens two files for each: ulimit -n 4096.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $number = $ENV{OMENDB_IDLE_CONNECTIONS} // 200;
my $rows = 60000;
my $apart = int($rows / $number);  # each session reads a row of its own
my $node = new_node('idle', conf => <<"CONF");
max_connections = @{[ $number + 20 ]}
shared_buffers = 32MB
autovacuum = off
omendb.target_file_size = '1MB'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE t (id int PRIMARY KEY, n int, body text) USING omendb;
INSERT INTO t SELECT g, 0, md5(g::text) FROM generate_series(1, $rows) g;
SELECT omendb.flush();
SQL

my $store = $node->data_dir . '/omendb';
my @sessions = map { session($node) } 1 .. $number;
my %kind;  # of session
for my $i (0 .. $#sessions)
{
	my $session = $sessions[$i];
	$kind{$i} = $i % 10 == 0 ? 'in a transaction' : $i % 10 == 1 ? 'with a snapshot' : 'idle';
	$session->do('BEGIN') if $kind{$i} eq 'in a transaction';
	$session->do('BEGIN ISOLATION LEVEL REPEATABLE READ') if $kind{$i} eq 'with a snapshot';
	$session->do('SET enable_seqscan = off; SELECT body FROM t WHERE id = ' . ($i * $apart + 1));
	$session->do('SELECT count(*) FROM t') if $i % 4 == 0;
}
my @pids = map { $_->do('SELECT pg_backend_pid()') } @sessions;
is(scalar(@pids), $number, "$number sessions have read");

sub private_kb
{
	my ($pid) = @_;
	my $text = slurp_file("/proc/$pid/smaps_rollup");
	my $sum = 0;
	$sum += $1 while $text =~ /^Private_\w+:\s+(\d+) kB/mg;
	return $sum;
}

# A session that has read only heap tables, for comparison.
my $plain = session($node);
$plain->do('SELECT count(*) FROM pg_class');
my $plain_kb = private_kb($plain->do('SELECT pg_backend_pid()'));

# Everything is written anew several times over: old files are done with.
sub rewrite
{
	my ($rounds) = @_;
	for (1 .. $rounds)
	{
		$node->safe_psql('postgres', 'UPDATE t SET n = n + 1');
		$node->safe_psql('postgres', 'SELECT omendb.flush()');
		$node->safe_psql('postgres', 'SELECT omendb.compact()');
	}
	return;
}

# Names of deleted files of the store that somebody still has open or mapped.
sub dead_files
{
	my %dead;
	for my $i (0 .. $#pids)
	{
		my $pid = $pids[$i];
		for my $link (glob "/proc/$pid/fd/*")
		{
			my $name = readlink $link // next;
			$dead{"$name: a session $kind{$i}"}++ if $name =~ m{/omendb/.*\(deleted\)};
		}
		open my $maps, '<', "/proc/$pid/maps" or next;
		while (<$maps>) { $dead{"$1: mapped by a session $kind{$i}"}++ if m{(/\S*/omendb/\S+) \(deleted\)}; }
		close $maps;
	}
	return %dead;
}

sub live_bytes
{
	return $node->safe_psql('postgres', "SELECT omendb.relation_size('t')");
}

rewrite(3);
my $seen = '';
ok( wait_for(90, sub {
		my %dead = dead_files();
		$seen = join "\n", map { "$_ $dead{$_}" } sort keys %dead;
		return !%dead;
	}), 'nobody keeps a deleted file open') or diag $seen;
ok( wait_for(30, sub {
		$node->safe_psql('postgres', 'SELECT obsolete_files FROM omendb.store_stat()') == 0;
	}), 'the store has no file left to delete');
my ($disk, $live) = (file_size_sum($store), live_bytes());
cmp_ok($disk, '<', 4 * $live + 8 * 1024 * 1024, "the disk has $disk bytes for $live");

my ($most_kb, $sum_kb, $most_files, $most_threads) = (0, 0, 0, 0);
for my $pid (@pids)
{
	my $kb = private_kb($pid);
	$sum_kb += $kb;
	$most_kb = $kb if $kb > $most_kb;
	my $files = () = glob "/proc/$pid/fd/*";
	$most_files = $files if $files > $most_files;
	my $threads = () = glob "/proc/$pid/task/*";
	$most_threads = $threads if $threads > $most_threads;
}
note "private memory: $most_kb kB at most, " . int($sum_kb / $number) . " kB on average, $plain_kb kB of a session "
  . "that read heap only; open files: $most_files; threads: $most_threads";
# About twice of what was measured with 200 sessions and assertions: 2.1 MB on average, 2.9 at most
# (1.4 of a session that read heap only), 25 files, 3 threads.
cmp_ok($sum_kb / $number, '<', 4300, 'an idle session takes little memory');
cmp_ok($most_kb, '<', 6 * 1024, 'none takes much');
cmp_ok($most_files, '<=', 50, 'nor many files');
cmp_ok($most_threads, '<=', 6, 'nor many threads');

# They go on where they were.
for my $i (0 .. $#sessions)
{
	my $expected = $kind{$i} eq 'with a snapshot' ? 0 : 3;
	my $id = $i * $apart + 1;
	my $row = $sessions[$i]->do("SELECT n, body = md5('$id') FROM t WHERE id = $id");
	next if $row eq "$expected|t";
	is($row, "$expected|t", "session $i, $kind{$i}, reads its row");
}
pass('every session reads what it should');
$sessions[$_]->do('COMMIT') for grep { $kind{$_} ne 'idle' } 0 .. $#sessions;
is($sessions[1]->do('SELECT sum(n) FROM t'), 3 * $rows, 'a session sees the newest rows after its transaction');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal/, 'nobody crashed');
$_->quit for @sessions;
$node->stop;
done_testing();
