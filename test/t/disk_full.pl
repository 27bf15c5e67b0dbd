# A full disk stops writers with an error and nobody else; they go on by themselves when there is room,
# and nothing is lost, also not by a crash at that time. The disk is a small tmpfs in a namespace of
# this test's own, or, where that is not to be had, one that root mounted at OMENDB_SMALL_DISK
# (tools/test.sh does).
use strict;
use warnings;

my ($mount_call, $why_not);

# Before the test modules take hold of the standard output.
BEGIN
{
	require POSIX;
	my %mount_calls = (x86_64 => 165, aarch64 => 40, riscv64 => 40, ppc64le => 21, s390x => 21);
	$mount_call = $mount_calls{ (POSIX::uname())[4] };
	my @unshare = qw(unshare --user --map-current-user --keep-caps --mount);
	if ($ENV{OMENDB_SMALL_DISK}) { }
	elsif (!$mount_call) { $why_not = 'the number of the mount call is not known here' }
	elsif (!$ENV{OMENDB_OWN_NAMESPACE})
	{
		$why_not = 'this user may not make a namespace with mounts of its own';
		if (system("@unshare true 2>/dev/null") == 0)
		{
			$ENV{OMENDB_OWN_NAMESPACE} = 1;
			exec @unshare, $^X, (map { "-I$_" } @INC), $0 or die "exec: $!";
		}
	}
}

use List::Util qw(min);
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => $why_not if $why_not;

my $node = new_node('full', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 10GB
omendb.target_file_size = '1MB'
CONF
my $store = $node->data_dir . '/omendb';
my $ballast = "$store/../ballast";
if (my $disk = $ENV{OMENDB_SMALL_DISK})
{
	symlink $disk, $store or die "$store: $!";
}
else
{
	mkdir $store, 0700 or die "$store: $!";
	my ($type, $options, $target) = ('tmpfs', 'size=80m,mode=0700', $store);
	plan skip_all => "mount: $!" if syscall($mount_call, $type, $target, $type, 0, $options) != 0;
}

# Part of the room is taken until the test gives it back.
$ballast = "$store/ballast";
sub take_room
{
	my ($free) = `df --output=avail -B1 '$store'` =~ /(\d+)\s*\z/;
	my $room = min(48 * 1024 * 1024, $free - 4 * 1024 * 1024);
	system_or_bail('fallocate', '-l', $room, $ballast);
	return;
}

sub give_room { unlink $ballast or die "$ballast: $!"; return; }

take_room();
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY, body text) USING omendb;
CREATE TABLE plain (id int) USING heap;
INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 1000) g;
SQL

my $last = 1000;
my $rows = 'SELECT count(*), max(id), count(*) FILTER (WHERE body IS NULL) FROM t';
my $text = "(SELECT string_agg(md5(g::text || h::text), '') FROM generate_series(1, 4) h)";

# Inserts until it is refused; every acknowledged one counts. True if it was for lack of room.
sub fill
{
	my ($session, $limit) = @_;
	my $end = time + 120;
	while ($last < $limit && time < $end)
	{
		my ($from, $to) = ($last + 1, $last + 1000);
		my $answer = $session->query("SET statement_timeout = '30s'; "
			  . "INSERT INTO t SELECT g, $text FROM generate_series($from, $to) g", 60);
		if ($session->error)
		{
			is($session->error, '53100', 'the writer is told that the disk is full') or diag $answer;
			like($answer, qr/HINT:.*resumes by itself/, 'and that it will go on');
			return 1;
		}
		$last = $to;
	}
	return 0;
}

my $from = log_position($node);
my $writer = session($node);
ok(fill($writer, 1_000_000), 'the disk becomes full');
note "full after $last rows";
is($node->safe_psql('postgres', $rows), "$last|$last|0", 'readers go on and see what was committed');
is($node->safe_psql('postgres', "SET enable_seqscan = off; SELECT count(*) FROM t WHERE id % 1000 = 7 AND id > 0"),
	$last / 1000, 'by index too');
is($node->safe_psql('postgres', 'INSERT INTO plain VALUES (1); SELECT count(*) FROM plain'), 1, 'heap goes on');
like(slurp_file($node->logfile, $from), qr/WARNING:.*could not write to the omendb store.*/, 'the log says so');
# What was refused asked for more at once than the next one does: that may find room for a while.
ok(fill($writer, 1_000_000), 'a second writer is refused as well');
$writer->query("UPDATE t SET body = reverse(body)", 120);
is($writer->error, '53100', 'so is an update of everything');
$writer->query("COPY t FROM STDIN;\n" . join('', map { "-$_\t" . rand() . rand() . rand() . rand() . rand() . "\n" } 1 .. 400000) . "\\.");
is($writer->error, '53100', 'and COPY');
is($node->safe_psql('postgres', $rows), "$last|$last|0", 'they left nothing');
my $warnings = () = slurp_file($node->logfile, $from) =~ /could not write to the omendb store/g;
cmp_ok($warnings, '<=', 10, 'the log is not flooded');

give_room();
ok(wait_for(20, sub { $writer->query("INSERT INTO t VALUES ($last + 1, '')"); !defined $writer->error }),
	'writing resumes by itself');
$last++;
like(slurp_file($node->logfile, $from), qr/omendb store can be written again/, 'the log says that too');
ok(wait_for(20, sub { $writer->query('SELECT omendb.flush()'); !defined $writer->error }),
	'all of it can be flushed');
is($node->safe_psql('postgres', $rows), "$last|$last|0", 'nothing is lost');
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', $rows), "$last|$last|0", 'also not by a crash after it');

# Full, and then a crash. The disk keeps what it has, so something has to go first.
$node->safe_psql('postgres', 'DROP TABLE t');
$node->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, body text) USING omendb');
$node->safe_psql('postgres', 'CHECKPOINT');
ok(wait_for(60, sub { file_size_sum($store) < 12 * 1024 * 1024 }), 'a dropped table gives its room back');
take_room();
$last = 0;
$writer = session($node);
ok(fill($writer, 1_000_000), 'the disk becomes full again');
is($node->safe_psql('postgres', $rows), "$last|$last|0", 'every acknowledged row is there');
$node->kill9;
# It does not come up yet: recovery waits for room.
start_to_crash($node);
give_room();
wait_until_up($node);
is($node->safe_psql('postgres', $rows), "$last|$last|0", 'recovery on a full disk waits for room and loses nothing');
$writer = session($node);
$writer->do("INSERT INTO t VALUES ($last + 1, '')");
$last++;

# Full, and then a stop.
take_room();
ok(fill($writer, 1_000_000), 'the disk becomes full once more');
my $stopper = in_child(sub { $node->stop('fast', fail_ok => 1) });
sleep 2;
give_room();
waitpid $stopper, 0;
is($?, 0, 'a fast stop waits for room');
$node->{_pid} = undef;
$node->start;
is($node->safe_psql('postgres', $rows), "$last|$last|0", 'and nothing is lost');
$warnings = () = slurp_file($node->logfile) =~ /WARNING:  /g;
cmp_ok($warnings, '<=', 40, 'there are not more warnings than a reader can bear');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|signal 11|signal 6/, 'nobody crashed by itself');
$node->stop;
done_testing();
