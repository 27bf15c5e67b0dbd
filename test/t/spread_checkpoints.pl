# Checkpoints that spread their writes over the time between two of them complete on time under load,
# though each has to wait for the write buffer to be flushed.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('spread', conf => <<'CONF');
checkpoint_timeout = 30s
checkpoint_completion_target = 0.9
max_wal_size = 10GB
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
{
	local $ENV{PGOPTIONS} = '-c default_table_access_method=omendb';
	$node->command_ok([ 'pgbench', '-i', '-q', '-s', '1', 'postgres' ], 'pgbench -i');
}
my $from = log_position($node);
my $log = '';
my $load = in_child(sub {
	open STDOUT, '>', '/dev/null';
	open STDERR, '>&', \*STDOUT;
	exec 'pgbench', '-n', '-c', 4, '-T', 150, $node->connstr('postgres');
});
my $timed = sub {
	$log = slurp_file($node->logfile, $from);
	my $count = 0;
	my $by_time = 0;
	for (split /\n/, $log)
	{
		$by_time = 1 if /checkpoint starting: time/;
		$by_time = 0 if /checkpoint starting: (?!time)/;
		$count++ if $by_time && /checkpoint complete/;
	}
	return $count;
};
ok(wait_for(120, sub { $timed->() >= 2 }), 'two spread checkpoints completed');
my @totals = $log =~ /checkpoint complete:.*total=([\d.]+) s/g;
cmp_ok($_, '<', 32, "a checkpoint took $_ s") for @totals;
my @started = $log =~ /checkpoint starting: time/g;
cmp_ok(scalar(@started), '<=', scalar(@totals) + 1, 'none was started that did not complete');

# A checkpoint that is asked for interrupts the spreading of one that runs.
my $start = time;
$node->safe_psql('postgres', 'CHECKPOINT');
cmp_ok(time - $start, '<', 20, 'CHECKPOINT under load completes at once');
kill 'INT', $load;
waitpid $load, 0;

# What a checkpoint covers is in the store: nothing of it has to be replayed.
my $query = 'SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM '
  . 'pgbench_branches), (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)';
my $before = $node->safe_psql('postgres', $query);
$node->kill9;
start_again($node);
is($node->safe_psql('postgres', $query), $before, 'a crash after them loses nothing');
my @sums = split /\|/, $before;
ok($sums[0] == $sums[1] && $sums[0] == $sums[2], "the books balance: $before");
$node->stop;
done_testing();
