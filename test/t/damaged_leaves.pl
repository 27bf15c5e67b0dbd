# A leaf of an index is damaged in the store. Whoever reads it is told so, with the name of the index.
# The store worker, which comes by when it settles leaves or brings changes into them, neither dies nor
# does nothing else any more: what is beside the damage goes on, and so does the leaf's own index.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep);

my $node = new_node('leaves', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 10GB
CONF
$node->start;
my $rows = 400_000;
my $store = $node->data_dir . '/omendb';

sub large_files { return grep { -s $_ > 300_000 } glob "$store/*.sst"; }

sub make_table
{
	my ($unique) = @_;
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS keys, other');
	ok(wait_for(60, sub {
		$node->safe_psql('postgres', 'CHECKPOINT; SELECT omendb.flush(); SELECT omendb.compact()');
		!large_files();
	}), 'the store is empty');
	$node->safe_psql('postgres', <<"SQL");
CREATE TABLE keys (id bigint, n int) USING heap;
INSERT INTO keys SELECT g * 10, 0 FROM generate_series(1, $rows) g;
CREATE $unique INDEX keys_id ON keys USING alex (id);
CREATE TABLE other (id bigint PRIMARY KEY, n int) USING omendb;
INSERT INTO other SELECT g, 0 FROM generate_series(1, 1000) g;
CHECKPOINT;
SELECT omendb.flush();
SELECT omendb.compact();
SQL
	return;
}

# The newest large file is nearly all leaves of the index; what the compaction made it of may be there still.
sub damage
{
	my ($find) = @_;
	my ($name) = sort { $b cmp $a } large_files();
	ok(defined $name, 'it has a file') or die;
	my $bytes = slurp_file($name);
	my $at = $find->($bytes);
	open my $file, '+<:raw', $name or die "$name: $!";
	seek $file, $at, 0;
	print $file chr(ord(substr $bytes, $at, 1) ^ 0x10);
	close $file;
	return;
}

sub cpu_seconds
{
	my ($pid) = @_;
	my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;
	return ($stat[11] + $stat[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Changes all over the index but where it is damaged; enough to be settled.
sub change_around
{
	my ($step, $damaged) = @_;
	$node->safe_psql('postgres', "INSERT INTO keys SELECT g * 10 + $step, $step FROM generate_series(1, $rows, 10) g "
		  . "WHERE abs(g - $damaged) > 10000; INSERT INTO other SELECT g * 2000 + $step, $step FROM generate_series(1, 100) g; "
		  . 'SELECT omendb.flush()');
	return;
}

sub is_calm
{
	my ($worker, $name) = @_;
	my $from = log_position($node);
	my $cpu = cpu_seconds($worker);
	# Leaves settle after five seconds.
	sleep 9;
	cmp_ok(cpu_seconds($worker) - $cpu, '<', 3, "$name: the store worker is not busy");
	cmp_ok(log_position($node) - $from, '<', 20_000, "$name: the log does not fill");
	sleep 2;
	$from = log_position($node);
	$cpu = cpu_seconds($worker);
	sleep 5;
	cmp_ok(cpu_seconds($worker) - $cpu, '<', 1, "$name: it comes to rest");
	cmp_ok(log_position($node) - $from, '<', 5_000, "$name: so does the log");
	is(worker_pid($node, 'omendb store worker'), $worker, "$name: it is the same one");
	return;
}

# Work beside the index.
sub others_work
{
	my ($name) = @_;
	my $session = session($node);
	$session->do('SET statement_timeout = 30000');
	$session->do("CREATE TABLE new_one (id bigint PRIMARY KEY, n int) USING omendb; INSERT INTO new_one SELECT g, g FROM generate_series(1, 50000) g; "
		  . 'SELECT omendb.flush(); UPDATE other SET n = n + 1; CHECKPOINT');
	is($session->do("SELECT omendb.check_index('new_one_pkey')"), 50000, "$name: another index is built");
	is($session->do('SELECT count(*) FROM other o JOIN new_one n USING (id)'), 1000 + $session->do('SELECT count(*) FROM other WHERE id BETWEEN 1001 AND 50000'),
		"$name: another one is read");
	$session->do('DROP TABLE new_one');
	$session->quit;
	return;
}

# What was tried, and how it ended.
sub outcomes
{
	my ($damaged) = @_;
	my $session = session($node);
	$session->do('SET enable_seqscan = off; SET enable_bitmapscan = off');
	my %ended;
	for my $key (map { 10 * ($damaged + $_ * 100) } -200 .. 200)
	{
		my $answer = $session->query("SELECT n FROM keys WHERE id = $key");
		my $how = $session->error // ($answer eq '0' ? 'found' : 'missing');
		$ended{$how}++;
		$ended{text} = $answer if $session->error;
		next unless $session->error;
		$session->query("INSERT INTO keys VALUES ($key, 1)");
		$ended{'insert ' . ($session->error // 'done')}++;
	}
	$session->query("SELECT omendb.check_index('keys_id')");
	$ended{'check ' . ($session->error // 'done')}++;
	$session->query('SELECT count(id) FROM keys WHERE id > 0');
	$ended{'scan ' . ($session->error // 'done')}++;
	# From a leaf that is found by name.
	my $above = 10 * ($damaged + 3000);
	$session->query("SELECT count(id) FROM (SELECT id FROM keys WHERE id < $above ORDER BY id DESC OFFSET 0) s");
	$ended{'back ' . ($session->error // 'done')}++;
	$session->quit;
	return %ended;
}

sub told_of_damage
{
	my ($damaged, $name) = @_;
	my %ended = outcomes($damaged);
	cmp_ok($ended{XX001} // 0, '>=', 1, "$name: a read of the leaf says so");
	like($ended{text}, qr/ERROR:  XX001: .*"keys_id"/, "$name: and of which index it is");
	cmp_ok($ended{found}, '>=', 100, "$name: others are found");
	ok(!defined $ended{missing}, "$name: no key is missing in silence");
	is($ended{'insert XX001'}, $ended{XX001}, "$name: nor does a unique check pass it");
	is($ended{"$_ XX001"}, 1, "$name: $_") for qw(check scan back);
	return;
}

$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
my $middle = $rows / 2;

make_table('UNIQUE');
$node->stop;
damage(sub { return int(0.5 * length $_[0]) });
$node->start;
my $worker = worker_pid($node, 'omendb store worker');
change_around(1, $middle);
is_calm($worker, 'a value');
others_work('a value');
told_of_damage($middle, 'a value');

# Changes of the leaf itself, of an index that is not unique: they come into the store all the same.
make_table('');
$node->stop;
damage(sub { return int(0.5 * length $_[0]) });
$node->start;
$worker = worker_pid($node, 'omendb store worker');
for my $round (1 .. 2)
{
	my $name = "changes of the leaf, $round";
	my $from = log_position($node);
	my $session = session($node);
	$session->do('SET statement_timeout = 30000');
	# Few and many for one leaf.
	my $step = $round == 1 ? 500 : 1;
	$session->do("INSERT INTO keys SELECT 10 * $middle + g, $round FROM generate_series(-40000, 40000, $step) g; SELECT omendb.flush()");
	others_work($name);
	is(worker_pid($node, 'omendb store worker'), $worker, "$name: the store worker is the same one");
	unlike(slurp_file($node->logfile, $from), qr/could not write/, "$name: it can write");
	$session->query("SELECT omendb.check_index('keys_id')");
	is($session->error, 'XX001', "$name: the damage is noticed");
	$session->quit;
}
is_calm($worker, 'changes of the leaf');
$node->safe_psql('postgres', 'REINDEX INDEX keys_id');
is($node->safe_psql('postgres', "SELECT omendb.check_index('keys_id') - count(*) FROM keys"), 0, 'REINDEX makes it anew');

# Damage comes while a session reads leaves in pieces, past RocksDB, as it has found them before: keys on
# the damaged page cannot be read, the others of the leaf can, and all again when the damage goes.
make_table('UNIQUE');
$node->append_conf('postgresql.conf', 'omendb.cache_size = 0');
$node->restart;
{
	my $session = session($node);
	$session->do('SET enable_seqscan = off; SET enable_bitmapscan = off');
	$session->do("SELECT n FROM keys WHERE id = $_") for map { (10 * $_ * 100) x 3 } 1 .. $rows / 100;
	my ($name) = sort { $b cmp $a } large_files();
	my $flip = sub { damage(sub { return int(0.5 * length $_[0]) }) };
	my $read = sub {
		my %ended;
		for my $key (map { 10 * ($middle + $_ * 20) } -200 .. 200)
		{
			my $answer = $session->query("SELECT n FROM keys WHERE id = $key");
			$ended{$session->error // ($answer eq '0' ? 'found' : 'missing')}++;
		}
		return %ended;
	};
	my %ended = $read->();
	is_deeply(\%ended, { found => 401 }, 'in pieces: all are found');
	$flip->();
	%ended = $read->();
	cmp_ok($ended{XX001}, '>=', 2, 'in pieces: what is damaged is not read');
	cmp_ok($ended{XX001}, '<=', 30, 'in pieces: what is beside it is');
	is($ended{found} + $ended{XX001}, 401, 'in pieces: no key is missing in silence');
	my $low = 10 * ($middle - 4000);
	my $high = 10 * ($middle + 4000);
	$session->query("SELECT count(*) FROM keys WHERE id BETWEEN $low AND $high");
	is($session->error, 'XX001', 'in pieces: a scan comes to the damage');
	$session->query("SELECT id FROM keys WHERE id BETWEEN $low AND $high ORDER BY id DESC");
	is($session->error, 'XX001', 'in pieces: in either direction');
	$flip->();
	%ended = $read->();
	is_deeply(\%ended, { found => 401 }, 'in pieces: all are found again');
	is($session->do("SELECT count(*) FROM keys WHERE id BETWEEN $low AND $high"), 8001, 'in pieces: and scanned');
	$session->quit;
}

# Part of a key, in front of a value that is right: compaction gives up on it, a search may come to the wrong leaf.
make_table('UNIQUE');
$node->stop;
damage(sub {
	my ($bytes) = @_;
	pos($bytes) = int(0.5 * length $bytes);
	# A storage and the low position of a leaf.
	$bytes =~ /\0{7}[\x01-\x40]\x01\x80\0\0\0/sg or die 'there is no key';
	return $-[0] + 14;
});
$node->start;
$worker = worker_pid($node, 'omendb store worker');
told_of_damage($middle, 'a key');
change_around(1, $middle);
is_calm($worker, 'a key');
others_work('a key');
told_of_damage($middle, 'a key, after changes');

$node->stop('immediate');
done_testing();
