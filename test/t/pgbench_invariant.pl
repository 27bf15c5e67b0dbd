# pgbench's own scripts on omendb tables, 8 clients: no transaction fails, the books balance, and every
# transaction that pgbench counted is in the history; also after a crash and after a fast restart.
#
# OMENDB_PGBENCH_SCALE=100 OMENDB_PGBENCH_SECONDS=60 for a long run.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $scale = $ENV{OMENDB_PGBENCH_SCALE} // 20;
my $seconds = $ENV{OMENDB_PGBENCH_SECONDS} // 10;
my $clients = 8;

my $node = new_node('invariant');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION amcheck');
{
	local $ENV{PGOPTIONS} = '-c default_table_access_method=omendb';
	$node->command_ok([ 'pgbench', '-i', '-q', '-s', $scale, 'postgres' ], "pgbench -i -s $scale");
}
is($node->safe_psql('postgres', <<'SQL'), 4, 'its four tables are omendb tables');
SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = relam
WHERE relname LIKE 'pgbench_%' AND relkind = 'r' AND amname = 'omendb'
SQL

# Runs a script; the number of transactions that pgbench says were done.
sub bench
{
	my ($script) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(
		[ 'pgbench', '-n', '-b', $script, '-c', $clients, '-j', 2, '-T', $seconds, $node->connstr('postgres') ],
		'<', \undef, '>', \$out, '2>', \$err);
	ok($ok, "$script runs to its end") or diag $err;
	unlike($err, qr/error|aborted/i, "$script: no client saw an error");
	my ($failed) = $out =~ /^number of failed transactions: (\d+)/m;
	is($failed, 0, "$script: no transaction failed");
	my ($done) = $out =~ /^number of transactions actually processed: (\d+)/m;
	cmp_ok($done // 0, '>', 0, "$script: some were done");
	note "$script: $done transactions; $1 tps" if $out =~ /^tps = ([\d.]+)/m;
	return $done;
}

sub sums
{
	return split /\|/, $node->safe_psql('postgres', <<'SQL');
SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
       (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
       (SELECT count(*) FROM pgbench_history)
SQL
}

# Everything in the tables, also per row: sums alone would not see two wrongs.
sub fingerprint
{
	return $node->safe_psql('postgres', <<'SQL');
SELECT count(*), count(DISTINCT aid), sum(hashtextextended(a::text, 0)) FROM pgbench_accounts a;
SELECT count(*), sum(hashtextextended(t::text, 0)) FROM pgbench_tellers t;
SELECT count(*), sum(hashtextextended(b::text, 0)) FROM pgbench_branches b;
SELECT count(*), sum(hashtextextended(h::text, 0)) FROM pgbench_history h;
-- Each account is what the history says of it.
SELECT count(*) FROM pgbench_accounts a
  FULL JOIN (SELECT aid, sum(delta) AS sum FROM pgbench_history GROUP BY aid) h USING (aid)
  WHERE abalance IS DISTINCT FROM coalesce(h.sum, 0);
SQL
}

sub balance_after_all
{
	my ($tpcb, $simple, $delta, $when) = @_;
	my ($accounts, $tellers, $branches, $history, $rows) = sums();
	is($accounts, $history, "$when: accounts and history agree");
	is("$tellers $branches", "$delta $delta", "$when: tellers and branches are as tpcb-like left them");
	is($rows, $tpcb + $simple, "$when: the history has all transactions");
	like(fingerprint(), qr/^@{[ 100000 * $scale ]}\|@{[ 100000 * $scale ]}\|.*\n0\z/s,
		"$when: every account is there once and as its history says");
	return;
}

my $tpcb = bench('tpcb-like');
my ($accounts, $tellers, $branches, $history, $rows) = sums();
is("$tellers $branches $history", "$accounts $accounts $accounts", 'the four sums are equal after tpcb-like');
is($rows, $tpcb, 'the history has a row for each transaction');
my $before = fingerprint();
bench('select-only');
is(fingerprint(), $before, 'select-only changes nothing');
my $simple = bench('simple-update');
balance_after_all($tpcb, $simple, $accounts, 'after simple-update');

$before = fingerprint();
$node->kill9;
start_again($node);
balance_after_all($tpcb, $simple, $accounts, 'after a crash');
is(fingerprint(), $before, 'after a crash: every row is what it was');
$node->restart;
balance_after_all($tpcb, $simple, $accounts, 'after a fast restart');
is(fingerprint(), $before, 'after a fast restart: every row is what it was');

# It goes on from there, and balances again.
my $more = bench('tpcb-like');
my ($a2, $t2, $b2, $h2, $r2) = sums();
is($a2, $h2, 'accounts and history agree at the end');
is($t2, $b2, 'and tellers and branches');
is($r2, $tpcb + $simple + $more, 'and the number of transactions');
check_index($node, "pgbench_$_->[0]", "pgbench_$_->[0]_pkey", $_->[1], 'at the end')
  for [ 'accounts', 'aid' ], [ 'tellers', 'tid' ], [ 'branches', 'bid' ];
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|signal 11|signal 6/, 'nobody crashed by itself');
$node->stop;
done_testing();
